"""However and whenever a call ends, it leaves no task, thread or file descriptor behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aioice.ice import Connection
from aiortc import (
    RTCDtlsTransport,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSctpTransport,
    RTCSessionDescription,
)

from agent.author.agent import Agent
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.call.tool_calls import ToolCalls
from agent.emulator import CallFunction, Emulator, Reply, Say, Turn, running_emulator
from agent.live.client import live_client
from agent.live.link import LiveLink
from agent.live.pulse import WatchedConnection
from agent.live.session import LiveSession
from agent.media.encode import VoiceEncoder
from agent.media.inbound import PacketInlet
from agent.media.tap.ice import GuardedProtocol
from agent.media.track import AgentVoiceTrack
from agent.media.video import VideoSource
from agent.settings import Settings
from agent.tools.context import CallContext
from signaling.client.caller import call_service
from signaling.phone import twilio
from signaling.phone.caller_id import CallerId
from signaling.phone.janus import Handle, Janus
from signaling.phone.sip_call import SipCall, SipLeg
from signaling.phone.stream import StreamLeg
from signaling.process import garbage
from signaling.webrtc.calls import Calls
from signaling.webrtc.leg import ClientLeg
from signaling.webrtc.peer import close_peer
from tests.bench.video import Camera
from tests.support.http import SDP
from tests.support.service import ServiceFactory, emulator_endpoint, service_for

CYCLES = 50
OF_A_CALL = {
    *(Call, ClientLeg, AgentVoiceTrack, PacketInlet, VoiceEncoder, VideoSource, ToolCalls, LiveLink, LiveSession),
    *(RTCPeerConnection, RTCDtlsTransport, RTCIceTransport, RTCRtpReceiver, RTCRtpSender, RTCSctpTransport),
    *(Connection, GuardedProtocol, WatchedConnection, StreamLeg, SipLeg, SipCall),
}
"Classes of which a call has an object or more, the caller's half of it included."


async def offer_and_delete(url: str) -> None:
    """Hang up before a packet was sent."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    pc.createDataChannel("chat")
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/whip", data=pc.localDescription.sdp, headers=SDP) as response:
            location = response.headers["Location"]
        async with http.delete(location) as response:
            assert response.status == 200
    await close_peer(pc)


async def offer_and_vanish(url: str) -> None:
    """Take the answer and disappear."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    await pc.setLocalDescription(await pc.createOffer())
    async with (
        aiohttp.ClientSession(url) as http,
        http.post("/whip", data=pc.localDescription.sdp, headers=SDP) as response,
    ):
        assert response.status == 201
    await close_peer(pc)


async def delete_while_connecting(url: str) -> None:
    pc = RTCPeerConnection()
    pc.addTransceiver("audio")
    pc.createDataChannel("chat")
    await pc.setLocalDescription(await pc.createOffer())
    async with aiohttp.ClientSession(url) as http:
        async with http.post("/whip", data=pc.localDescription.sdp, headers=SDP) as response:
            answer, location = await response.text(), response.headers["Location"]
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with http.delete(location) as response:
            assert response.status == 200
    await close_peer(pc)


async def connect_and_hang_up(url: str) -> None:
    async with call_service(url):
        pass


async def talk_and_leave(url: str) -> None:
    """Leave in the middle of the agent's speech, without a DELETE."""
    async with call_service(url, hang_up=False) as caller:
        await caller.message("bot-ready")
        caller.type("tell me a long story")
        await caller.message("bot-started-speaking")


async def use_a_tool_and_leave(url: str) -> None:
    async with call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is the weather in Rome")
        await caller.message("llm-function-call-started")


async def bad_offer(url: str) -> None:
    async with (
        aiohttp.ClientSession(url) as http,
        http.post("/whip", data="v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", headers=SDP) as response,
    ):
        assert response.status in (400, 422)


STAGES: list[Callable[[str], Awaitable[None]]] = [
    offer_and_delete,
    offer_and_vanish,
    delete_while_connecting,
    connect_and_hang_up,
    talk_and_leave,
    use_a_tool_and_leave,
    bad_offer,
]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def settle(url: str, emulator: Emulator) -> tuple[int, int, Counter[str]]:
    """Wait until no call is left and return open files, threads and tasks by name."""
    async with aiohttp.ClientSession(url) as http, asyncio.timeout(20):
        while True:
            async with http.get("/readyz") as response:
                if (await response.json())["calls"] == 0:
                    break
            await asyncio.sleep(0.05)
    await emulator.wait_for(lambda: not any(session.open for session in emulator.sessions))
    gc.collect()  # clients of the SDK that other tests have left close themselves then, in tasks of their own
    await asyncio.sleep(0.3)  # closed sockets of the HTTP client leave the loop
    gc.collect()
    tasks = Counter(str(task.get_coro().__qualname__) for task in asyncio.all_tasks())  # type: ignore[union-attr]
    return open_files(), media_threads(), tasks


def media_threads() -> int:
    """Count threads; those of the event loop's executor come and stay as they please."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


async def test_nothing_is_left_after_many_calls(service: ServiceFactory, emulator: Emulator) -> None:
    async with service(connect_timeout_s=1.0) as url:
        for stage in STAGES:  # once each, so that what is set up for good is there
            await stage(url)
        files, threads, tasks = await settle(url, emulator)
        for cycle in range(CYCLES):
            await STAGES[cycle % len(STAGES)](url)
        files_after, threads_after, tasks_after = await settle(url, emulator)
        assert tasks_after == tasks
        assert threads_after == threads
        assert files_after <= files


@pytest.mark.parametrize("codec", ["opus", "PCMU", "PCMA", "G722"])
async def test_a_call_that_has_ended_goes_without_the_collector(service: ServiceFactory, codec: str) -> None:
    async with service(video_fps=1.0) as url:
        with held_together() as held:
            await talk_and_hang_up(url, codec)
            await asyncio.wait_for(gone(url), 10)
        assert held() == Counter()


@pytest.mark.parametrize("stage", [offer_and_vanish, delete_while_connecting, talk_and_leave, use_a_tool_and_leave])
async def test_whatever_way_it_ended(service: ServiceFactory, stage: Callable[[str], Awaitable[None]]) -> None:
    async with service(connect_timeout_s=0.5) as url:
        with held_together() as held:
            await stage(url)
            await asyncio.wait_for(gone(url), 10)
        assert held() == Counter()


async def test_a_call_of_a_carriers_media_stream_goes_as_well(service: ServiceFactory) -> None:
    async with service(twilio_auth_token="the-auth-token") as url:
        with held_together() as held:
            await phone_by_a_carrier(url, "the-auth-token")
            await asyncio.wait_for(gone(url), 10)
        assert held() == Counter()


async def phone_by_a_carrier(url: str, token: str) -> None:
    endpoint = url.replace("http:", "ws:") + "twilio"
    signature = twilio.signature(token, endpoint.replace("ws:", "wss:"))
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(endpoint, headers={"X-Twilio-Signature": signature}) as socket,
    ):
        await socket.send_json({"event": "connected"})
        start = {
            "streamSid": "MZ1",
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        await socket.send_json({"event": "start", "streamSid": "MZ1", "start": start})
        async with aiohttp.ClientSession(url) as client, asyncio.timeout(5):
            while True:
                async with client.get("/readyz") as response:
                    if (await response.json())["calls"]:
                        break
                await asyncio.sleep(0.02)


async def test_a_call_of_the_sip_gateway_goes_as_well(emulator: Emulator) -> None:
    """Its tools know the telephone, which knows its leg."""
    settings = Settings(send_dtmf=True)
    client = live_client(emulator_endpoint(emulator), settings)

    def ring_and_hang_up() -> None:
        phone = SipCall(Handle(cast(Janus, None), 1), CallerId("inbound", "sip:a", "sip:b"), settings)
        call = Call("c", client=client, setup=AgentSetup.of(settings, phone.options().tools))
        leg = phone.make_leg(call, RTCPeerConnection())
        phone.begin(leg)
        assert {type(each) for each in gc.get_objects()} >= {Call, SipLeg, SipCall}
        leg.let_go()

    with held_together() as held:
        ring_and_hang_up()
        assert not held().keys() & {"Call", "SipLeg", "SipCall", "ToolCalls", "LiveLink"}


async def test_a_call_whose_agent_was_given_tools_that_know_it_goes_as_well() -> None:
    async def change(call: CallContext) -> str:
        """Change."""

        def whoever() -> str:
            """Say who calls."""
            return str(call.caller)

        call.change_agent("Be kind.", [whoever])
        return "changed"

    def script(turn: Turn) -> Reply:
        return (CallFunction("change", {}),) if turn.text == "change" else (Say("Hello."),)

    async def have_it_change(url: str) -> None:
        async with call_service(url) as caller:
            await caller.message("bot-ready")
            caller.type("change")
            await caller.message("bot-started-speaking")

    async with running_emulator(on_turn=script) as model, service_for(model, Agent(tools=(change,))) as url:
        with held_together() as held:
            await have_it_change(url)
            await asyncio.wait_for(gone(url), 10)
        assert held() == Counter()


async def talk_and_hang_up(url: str, codec: str) -> None:
    """Have a camera that is off."""
    async with call_service(url, codec=codec, videos=[Camera()]) as caller:
        await caller.message("bot-ready")
        caller.type("what is the weather in Rome")
        await caller.message("bot-started-speaking")


async def gone(url: str) -> None:
    async with aiohttp.ClientSession(url) as http:
        while True:
            async with http.get("/readyz") as response:
                if (await response.json())["calls"] == 0:
                    break
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # what was cancelled has its turn on the loop


@contextmanager
def held_together() -> Iterator[Callable[[], Counter[str]]]:
    """Yield a function that counts new objects by class; nothing is collected meanwhile."""

    def count() -> Counter[str]:
        return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in OF_A_CALL)

    gc.collect()
    before = count()
    gc.disable()
    try:
        yield lambda: count() - before
    finally:
        gc.enable()


async def test_what_lasts_is_left_out_of_later_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "CHECK_INTERVAL_S", 0.01)
    calls = Calls(Settings())
    gc.collect()
    gc.freeze()
    before = gc.get_freeze_count()
    try:
        lasting = [[number] for number in range(garbage.MAX_LASTING_OBJECTS + 1)]
        collecting = asyncio.create_task(garbage.collect_garbage(calls))
        async with asyncio.timeout(10):
            while gc.get_freeze_count() < before + len(lasting):  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
        collecting.cancel()
    finally:
        gc.unfreeze()


async def test_shutdown_leaves_nothing(service: ServiceFactory, emulator: Emulator) -> None:
    before = set(asyncio.all_tasks())
    threads = media_threads()
    async with service() as url:
        await talk_and_leave(url)
        await offer_and_vanish(url)
    await emulator.wait_for(lambda: not any(session.open for session in emulator.sessions))
    await asyncio.sleep(0.2)
    left = {task for task in asyncio.all_tasks() if not task.done()} - before
    assert not left
    assert media_threads() == threads
