"""A carrier's media stream: what it may send, what it receives, and who ends it. The test is the carrier."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest

from agent.author.agent import Agent
from agent.emulator import CallFunction, Emulator, Play, Reply, Turn, running_emulator
from agent.errors import ConfigError
from agent.media.encode import voice_encoder
from agent.media.fir import Pcm
from signaling.phone import twilio
from tests.support.recording import onsets_s, tracks
from tests.support.service import service_for
from tests.support.tones import peak_hz, tone

TOKEN = "the-auth-token"
START = {
    "streamSid": "MZ1",
    "accountSid": "AC1",
    "callSid": "CA1",
    "tracks": ["inbound"],
    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    "customParameters": {"from": "+15550001", "to": "+15559999", "plan": "gold"},
}


def ulaw_decoded(payloads: list[bytes]) -> Pcm:
    codec = av.CodecContext.create("pcm_mulaw", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout = 8000, "mono"
    frames = [frame for payload in payloads for frame in codec.decode(av.Packet(payload))]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.int16)


class Carrier:
    """One phone call of a carrier, as its media stream tells of it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.got: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        self.closed_at = 0.0
        self.closed_because = ""
        self._changed = asyncio.Event()
        self._chunk = 0

    async def tell(self, event: str, **more: Any) -> None:
        """Send a message with the fields that all have."""
        await self.socket.send_json({"event": event, "streamSid": "MZ1", "sequenceNumber": "1", **more})

    async def begin(self) -> None:
        await self.socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.tell("start", start=START)

    async def say(self, pcm: Pcm, arrives: Callable[[int], int] = lambda _index: 1) -> None:
        """Speak for as long as it takes: int16, mono, 24 kHz; each chunk arrives as often as ``arrives`` says."""
        encoder = voice_encoder("pcmu")
        started = time.monotonic()
        for index in range(len(pcm) // 480):
            await asyncio.sleep(max(0.0, started + index * 0.02 - time.monotonic()))
            self._chunk += 1
            payload = base64.b64encode(encoder.encode(pcm[index * 480 :][:480])).decode()
            chunk = {"track": "inbound", "chunk": str(self._chunk), "timestamp": str(self._chunk * 20)}
            for _ in range(arrives(index)):
                await self.tell("media", media={**chunk, "payload": payload})

    async def read(self) -> None:
        """Play what comes, and answer marks, until the service closes."""
        while (frame := await self.socket.receive()).type is aiohttp.WSMsgType.TEXT:
            message = json.loads(frame.data)
            assert message["streamSid"] == "MZ1"
            self.got.append(message)
            if message["event"] == "media":
                self.payloads.append(base64.b64decode(message["media"]["payload"], validate=True))
            elif message["event"] == "mark":
                await self.tell("mark", mark=message["mark"])
            self._changed.set()
        self.closed_because = str(frame.extra or "")
        self.closed_at = time.monotonic()
        self._changed.set()

    def events(self) -> list[str]:
        """Return the kinds of what was sent to the carrier, media once per talkspurt."""
        kinds = [message["event"] for message in self.got]
        return [
            kind for index, kind in enumerate(kinds) if kind != "media" or kinds[index - 1 : index] != ["media"]
        ]

    async def until(self, found: Callable[[], Any], timeout_s: float = 5.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not found():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def ringing(url: str, *, signature: str | None = None, begins: bool = True) -> AsyncIterator[Carrier]:
    """Connect to the service as a carrier does."""
    endpoint = url.replace("http:", "ws:") + "twilio"
    if signature is None:
        signature = twilio.signature(TOKEN, endpoint.replace("ws:", "wss:"))  # TLS ends at a proxy
    async with (
        aiohttp.ClientSession() as http,
        http.ws_connect(endpoint, headers={"X-Twilio-Signature": signature}) as socket,
    ):
        carrier = Carrier(socket)
        reading = asyncio.create_task(carrier.read())
        try:
            if begins:
                await carrier.begin()
            yield carrier
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def script(turn: Turn) -> Reply:
    """``#`` has the model end the call, ``*`` play for long; it answers a voice with half a second of tone."""
    text = turn.text or ""
    if "#" in text:
        return (Play(tone(1000, 24_000, 0.5)), CallFunction("end_call", {}))
    if "*" in text:
        return (Play(tone(1000, 24_000, 8.0)),)
    return (Play(tone(700, 24_000, 0.5)),) if turn.voice_s else ()


Service = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
async def model() -> AsyncIterator[Emulator]:
    async with running_emulator(on_turn=script) as emulator:
        yield emulator


@pytest.fixture
def service(model: Emulator) -> Service:
    def start(**changes: Any) -> AbstractAsyncContextManager[str]:
        return service_for(model, **{"twilio_auth_token": TOKEN, **changes})

    return start


async def idle(url: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(5):
        while True:
            async with http.get(url + "readyz") as response:
                if not (await response.json())["calls"]:
                    return
            await asyncio.sleep(0.01)


async def test_a_conversation(service: Service, model: Emulator) -> None:
    """The caller's voice reaches the model, its answer the caller, with a mark behind it and no silence."""
    async with service() as url, ringing(url) as carrier:
        await model.wait_for(lambda: len(model.sessions) == 1)
        session = model.sessions[0]
        speech = tone(440, 24_000, 1.0)
        await carrier.say(np.concatenate((speech, np.zeros(24_000, np.int16))))
        await carrier.until(lambda: carrier.events() == ["media", "mark"])
        heard = session.audio
        assert abs(len(heard) - 2 * 16_000) < 3_200
        assert abs(peak_hz(heard[4_000:12_000], 16_000) - 440) < 5
        answer = ulaw_decoded(carrier.payloads)
        assert len(answer) == pytest.approx(4_000, abs=320)
        assert abs(peak_hz(answer, 8_000) - 700) < 10
        assert {len(payload) for payload in carrier.payloads} == {160}
        assert all(word in str(session.setup) for word in ("+15550001", "gold", "CA1"))
        detection = session.setup["realtimeInputConfig"]["automaticActivityDetection"]
        assert detection["silenceDurationMs"] == 600, "a telephone is listened to as one"
        await carrier.tell("stop", stop={"accountSid": "AC1", "callSid": "CA1"})
        await model.wait_for(lambda: not session.open, timeout_s=1)
        await carrier.until(lambda: carrier.closed_at)
        await idle(url)


async def test_a_conversation_is_recorded(service: Service, model: Emulator, tmp_path: Path) -> None:
    """Both sides as they were, in their places; the agent's silence, which the carrier does not get, too."""
    async with service(record=True, record_folder=str(tmp_path)) as url:
        async with ringing(url) as carrier:
            await model.wait_for(lambda: len(model.sessions) == 1)
            await carrier.say(np.concatenate((tone(440, 24_000, 1.0), np.zeros(24_000, np.int16))))
            await carrier.until(lambda: carrier.events() == ["media", "mark"])
            await carrier.tell("stop", stop={"accountSid": "AC1", "callSid": "CA1"})
            await carrier.until(lambda: carrier.closed_at)
        await idle(url)
    [path] = tmp_path.rglob("*.mka")  # noqa: ASYNC240
    caller, agent = tracks(path)
    assert len(caller) == pytest.approx(len(agent), abs=1000)
    [spoke_s], [answered_s] = onsets_s(caller), onsets_s(agent)
    assert answered_s > spoke_s + 1.0
    assert abs(peak_hz(np.rint(caller[int(spoke_s * 48_000) :][:40_000]).astype(np.int16), 48_000) - 440) < 5
    assert abs(peak_hz(np.rint(agent[int(answered_s * 48_000) :][:20_000]).astype(np.int16), 48_000) - 700) < 10


async def test_an_interruption_clears_what_the_carrier_has(service: Service, model: Emulator) -> None:
    async with service() as url, ringing(url) as carrier:
        await carrier.tell("dtmf", dtmf={"track": "inbound_track", "digit": "*"})
        await carrier.tell("dtmf", dtmf={"track": "inbound_track", "digit": "hook"})
        await carrier.until(lambda: len(carrier.payloads) > 20)
        await carrier.say(tone(440, 24_000, 1.0))
        await carrier.until(lambda: "clear" in carrier.events())
        assert carrier.events()[:2] == ["media", "clear"]


async def test_the_agents_goodbye_is_played_before_the_hang_up(service: Service, model: Emulator) -> None:
    async with service() as url, ringing(url) as carrier:
        await carrier.tell("dtmf", dtmf={"track": "inbound_track", "digit": "#"})
        await carrier.until(lambda: carrier.closed_at, timeout_s=8)
        assert carrier.events() == ["media", "mark"]
        assert len(ulaw_decoded(carrier.payloads)) == pytest.approx(4_000, abs=320)
        await model.wait_for(lambda: not model.sessions[0].open, timeout_s=1)
        await idle(url)


async def test_a_carrier_that_just_goes(service: Service, model: Emulator) -> None:
    async with service() as url:
        async with ringing(url):
            await model.wait_for(lambda: len(model.sessions) == 1)
        await model.wait_for(lambda: not model.sessions[0].open, timeout_s=1)
        await idle(url)


async def test_a_carrier_that_falls_silent(service: Service, model: Emulator) -> None:
    async with service(ice_grace_s=0.3) as url, ringing(url) as carrier:
        await model.wait_for(lambda: len(model.sessions) == 1)
        await carrier.until(lambda: carrier.closed_at)
        await model.wait_for(lambda: not model.sessions[0].open, timeout_s=1)


async def test_the_services_end_ends_the_call(service: Service, model: Emulator) -> None:
    async with AsyncExitStack() as stack:
        serving = AsyncExitStack()
        url = await serving.enter_async_context(service())
        carrier = await stack.enter_async_context(ringing(url))
        await model.wait_for(lambda: len(model.sessions) == 1)
        await serving.aclose()
        await carrier.until(lambda: carrier.closed_at)
    assert not model.sessions[0].open


@pytest.mark.parametrize("signature", ["", "wrong", twilio.signature("another", "wss://x/twilio"), "\udc80"])
async def test_who_is_not_the_carrier_is_refused(service: Service, model: Emulator, signature: str) -> None:
    async with service() as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with ringing(url, signature=signature):
                pass
        assert refused.value.status == 403
        assert not model.sessions


@pytest.mark.parametrize("changes", [{}, {"allowed_hosts": ["*"]}], ids=["a key", "any name"])
async def test_the_host_that_was_signed_for_must_be_known(service: Service, changes: dict[str, Any]) -> None:
    """Else the signature for another service of the same account would do, whoever has seen it."""
    with pytest.raises(ConfigError, match="twilio_url"):
        async with service(host="0.0.0.0", server_key="0123456789abcdef", **changes):
            pass


async def test_a_signature_for_another_name_is_none(service: Service, model: Emulator) -> None:
    foreign = "wss://other.example/twilio"
    async with service(allowed_hosts=["talk.example"]) as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(
                    url.replace("http:", "ws:") + "twilio",
                    headers={"Host": "other.example", "X-Twilio-Signature": twilio.signature(TOKEN, foreign)},
                ),
            ):
                pass
        assert refused.value.status == 421
        assert not model.sessions


async def test_an_agents_tool_with_the_name_of_a_telephones_tool_is_refused(model: Emulator) -> None:
    def end_call() -> None:
        """End something else."""

    agent = Agent(tools=[end_call])
    with pytest.raises(ConfigError, match="tool end_call has the name of a tool"):
        async with service_for(model, agent, twilio_auth_token=TOKEN):
            pass
    async with service_for(model, agent):
        pass  # without telephones the name is free


async def test_without_a_token_there_is_no_door(service: Service) -> None:
    async with service(twilio_auth_token=None) as url:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with ringing(url):
                pass
        assert refused.value.status == 404


async def test_the_url_may_be_another_to_the_carrier(service: Service, model: Emulator) -> None:
    public = "wss://talk.example.org/twilio"
    async with (
        service(twilio_url=public) as url,
        ringing(url, signature=twilio.signature(TOKEN, public + "/")),
    ):
        await model.wait_for(lambda: len(model.sessions) == 1)


async def test_a_full_service_refuses_before_the_upgrade(service: Service, model: Emulator) -> None:
    async with service(max_calls=1) as url, ringing(url):
        await model.wait_for(lambda: len(model.sessions) == 1)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with ringing(url):
                pass
        assert refused.value.status == 503


async def test_chunks_that_are_missing_or_come_twice_cost_no_time(service: Service, model: Emulator) -> None:
    """Three of ten are missing, one of ten comes twice."""
    async with service() as url, ringing(url) as carrier:
        await model.wait_for(lambda: len(model.sessions) == 1)
        arrivals = (1, 0, 1, 2, 0, 1, 1, 0, 1, 1)
        await carrier.say(tone(440, 24_000, 2.0), lambda index: arrivals[index % 10])
        await model.wait_for(lambda: len(model.sessions[0].audio) >= 2 * 16_000 - 1_600)
        heard = model.sessions[0].audio
        assert len(heard) == pytest.approx(2 * 16_000, abs=1_600)
        begins = int(np.flatnonzero(np.abs(heard) > 2_000)[0])
        silent = np.abs(heard[begins : begins + 1_600 * 15].reshape(-1, 40)).max(axis=1) < 500
        assert silent.mean() == pytest.approx(0.3, abs=0.08), "the filter blurs the edges"


FORMATS: list[dict[str, Any]] = [
    {"mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000}},
    {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 16000}},
    {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}},
    {"mediaFormat": {"encoding": 7}},
    {"mediaFormat": {"encoding": "\u00fc\n" * 100}},
    {"mediaFormat": "mulaw"},
    {"mediaFormat": {}},
    {"media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1}},
    {"media_format": {"encoding": "L16", "sample_rate": 16000}},
]


@pytest.mark.parametrize("form", FORMATS)
async def test_another_format_is_refused_with_words(
    service: Service, model: Emulator, form: dict[str, Any]
) -> None:
    start = {name: value for name, value in START.items() if name != "mediaFormat"}
    async with service() as url, ringing(url, begins=False) as carrier:
        await carrier.tell("start", start={**start, **form})
        await carrier.until(lambda: carrier.closed_at)
        assert carrier.socket.close_code == 1003
        assert "send audio/x-mulaw, 8000 Hz, 1 channel" in carrier.closed_because
        assert not model.sessions


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}},
        {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"}},
    ],
)
async def test_other_names_of_the_format_are_known(service: Service, model: Emulator, form: dict[str, Any]) -> None:
    start = {name: value for name, value in START.items() if name != "mediaFormat"}
    async with service() as url, ringing(url, begins=False) as carrier:
        await carrier.tell("start", start={**start, **form})
        await model.wait_for(lambda: len(model.sessions) == 1)


async def test_hostile_messages_do_no_harm(service: Service, model: Emulator) -> None:
    async with service() as url, ringing(url) as carrier:
        await model.wait_for(lambda: len(model.sessions) == 1)
        for text in (
            "",
            "[]",
            "null",
            "nonsense",
            "[" * 60_000,
            '{"event":' * 90 + "5" + "}" * 90,
            '{"event": 5}',
            '{"event": "media", "media": 3}',
        ):
            await carrier.socket.send_str(text)
        await carrier.socket.send_bytes(b"\x00\x01")
        payloads: list[Any] = ["", "!", "A", "\u00fc", 7, None, {}]
        for payload in (*payloads, base64.b64encode(bytes(30_000)).decode()):
            await carrier.tell("media", media={"payload": payload})
        for digit in ("", "12", None, "\n"):
            await carrier.tell("dtmf", dtmf={"digit": digit})
        await carrier.tell("mark", mark={"name": "another"})
        await carrier.say(tone(440, 24_000, 0.5))
        await model.wait_for(lambda: abs(model.sessions[0].audio[-3_000:]).max() > 5_000)
