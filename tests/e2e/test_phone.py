"""Real telephones call the agent, and it calls them: baresip, Kamailio and Janus against the service."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio

from agent.emulator import (
    CallFunction,
    Emulator,
    HookedSession,
    Hooks,
    Moment,
    Reply,
    SessionRecord,
    Turn,
    message,
    running_emulator,
)
from agent.live.config import LiveEndpoint
from signaling.app import running
from signaling.command.doctor import examine_phone
from tests.support import phones
from tests.support.phones import Phone, Ports, get, line_settings, needs_phones, registered, until
from tests.support.ports import free_ports
from tests.support.service import emulator_endpoint
from tests.support.sip_client import FLOOD, flood, sip_client
from tests.support.tones import snr_db, tone

pytestmark = [needs_phones, pytest.mark.asyncio(loop_scope="module")]

TRANSFER_TO: list[str] = []
CLEARED_S = 1.5  # Janus clears a line of its call a second after the call
SNR_DB = 25  # on a tone G.711 has some 38 dB by itself, Opus as we ask phones for it (32 kbit/s) some 30


class Hum(Hooks):
    """The model hums 1000 Hz for 1.6 s from the start."""

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.READY:
            data = base64.b64encode(tone(1000, 24_000, 0.2).tobytes()).decode()
            part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
            for _ in range(8):
                await session.send(message("audio", {"serverContent": {"modelTurn": {"parts": [part]}}}))


def script(turn: Turn) -> Reply:
    """Have the model do what the keys ask for."""
    text = turn.text or ""
    if "1 2 #" in text:
        return (CallFunction("send_dtmf", {"digits": "4,2"}),)
    if "3 #" in text:
        return (CallFunction("end_call", {}),)
    if "0" in text:
        return (CallFunction("transfer", {"to": TRANSFER_TO[-1]}),)
    return ()


@dataclass(frozen=True)
class World:
    """What the tests in this file share.

    Attributes:
        url: of the service.
        ports: of the gateway.
        emulator: the Live server.
        folder: for phones.
    """

    url: str
    ports: Ports
    emulator: Emulator
    folder: Path

    @asynccontextmanager
    async def phone(self, **options: Any) -> AsyncIterator[Phone]:
        folder = self.folder / f"phone-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        async with phones.phone(folder, self.ports.sip, **options) as one:
            yield one

    async def dial(self, name: str) -> dict[str, Any]:
        """Have the agent call a phone."""
        wish = {"to": f"sip:{name}@127.0.0.1:{self.ports.sip}"}
        async with aiohttp.ClientSession() as http, http.post(f"{self.url}v1/calls", json=wish) as response:
            assert response.status == 201, await response.text()
            call: dict[str, Any] = await response.json()
            return call

    async def until(self, call_id: str, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while not found(state := await self.get(f"v1/calls/{call_id}")):  # noqa: ASYNC110  nor here
                await asyncio.sleep(0.02)
        return state

    async def until_state(self, call_id: str, wanted: str) -> dict[str, Any]:
        return await self.until(call_id, lambda state: state["state"] == wanted)

    async def get(self, path: str) -> dict[str, Any]:
        return await get(self.url, path)

    async def all_over(self) -> None:
        """Wait until no side has a call left."""
        await self.emulator.wait_for(lambda: not any(session.open for session in self.emulator.sessions))
        async with asyncio.timeout(5):
            while (await self.get("readyz"))["calls"]:  # noqa: ASYNC110  of a service there is no event
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("phones")
    ports = Ports(*free_ports(2))
    async with (
        phones.kamailio(folder / "kamailio", ports),
        phones.janus(folder / "janus", ports),
        running_emulator(on_turn=script, hooks=Hum) as emulator,
        running(line_settings(ports), emulator_endpoint(emulator)) as url,
    ):
        await registered(url)
        yield World(url, ports, emulator, folder)


async def say(world: World, one: Phone) -> SessionRecord:
    """Call the agent; returns the call's Live session."""
    before = len(world.emulator.sessions)
    await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{world.ports.sip}")
    await one.event("CALL_ESTABLISHED")
    await world.emulator.wait_for(lambda: len(world.emulator.sessions) > before)
    return world.emulator.sessions[-1]


async def test_every_codec_carries_a_tone_both_ways(world: World) -> None:
    """Four calls at once, one per codec; a fifth caller hears busy."""
    codecs = ("PCMU", "PCMA", "G722", "opus")
    async with AsyncExitStack() as stack:
        calling = [
            await stack.enter_async_context(world.phone(codec=codec, says=tone(440, 16_000, 50)))
            for codec in codecs
        ]
        late = await stack.enter_async_context(world.phone())
        sessions = [await say(world, one) for one in calling]
        await late.do("dial", f"sip:{phones.USER}@127.0.0.1:{world.ports.sip}")
        assert "486" in (await late.event("CALL_CLOSED")).text
        await world.emulator.wait_for(lambda: all(each.audio_samples_in > 1.5 * 16_000 for each in sessions))
        for one in calling:
            await one.do("hangup")
        await world.all_over()
        await asyncio.sleep(CLEARED_S)  # or whoever calls next finds every line busy
        for codec, one, session in zip(codecs, calling, sessions, strict=True):
            heard, rate_hz = one.heard()
            by_agent = snr_db(session.audio[9_600:22_400], 16_000, 440)
            by_phone = snr_db(heard[rate_hz * 6 // 10 : rate_hz * 14 // 10], rate_hz, 1000)
            print(f"{codec}: the agent hears {by_agent:.1f} dB, the phone {by_phone:.1f} dB")
            assert by_agent > SNR_DB, codec
            assert by_phone > SNR_DB, codec


async def press(one: Phone, keys: str) -> None:
    for key in keys:
        await one.do("sndcode", key)
        await asyncio.sleep(0.25)  # baresip sends one at a time


def keys_heard(one: Phone) -> str:
    return "".join(event.text for event in one.events if event.kind == "CALL_DTMF_START")


async def test_keys_go_both_ways_and_the_agent_hangs_up(world: World) -> None:
    async with world.phone() as one:
        session = await say(world, one)
        await press(one, "12#")
        await until(lambda: len(keys_heard(one)) >= 2)
        assert keys_heard(one) == "42"
        await press(one, "3#")
        await one.event("CALL_CLOSED")
        await world.all_over()
        told = str(session.setup["systemInstruction"])
        assert one.name in told  # the caller's number


async def test_the_agent_calls_a_phone(world: World) -> None:
    async with world.phone(registers=True) as one:
        call = await world.dial(one.name)
        assert call["state"] == "calling"
        await one.event("CALL_ESTABLISHED")
        await world.until_state(call["id"], "answered")
        await world.emulator.wait_for(lambda: world.emulator.sessions[-1].audio_samples_in > 16_000)
        await press(one, "7")
        await world.until(call["id"], lambda state: state.get("dtmf") == "7")
        await one.do("hangup")
        ended = await world.until_state(call["id"], "ended")
        assert ended["reason"] == "hung_up"
        await world.all_over()
        heard, rate_hz = one.heard()
        assert snr_db(heard[rate_hz // 2 : rate_hz], rate_hz, 1000) > SNR_DB


async def test_calls_that_are_not_answered(world: World) -> None:
    async with world.phone(registers=True, answers="manual") as one:
        nobody = await world.dial("phone1")
        refused = await world.dial(one.name)
        await one.event("CALL_INCOMING")
        await world.until_state(refused["id"], "ringing")
        await one.do("hangup")
        assert "404" in (await world.until_state(nobody["id"], "ended"))["detail"]
        assert (await world.until_state(refused["id"], "ended"))["reason"] == "not_answered"
        await one.event("CALL_CLOSED")
        seen = len(one.events)
        cancelled = await world.dial(one.name)
        await one.event("CALL_INCOMING", after=seen)
        async with (
            aiohttp.ClientSession() as http,
            http.delete(f"{world.url}v1/calls/{cancelled['id']}") as response,
        ):
            assert response.status == 200
        await one.event("CALL_CLOSED", after=seen)
        await world.all_over()


async def test_what_is_heard_before_the_answer_is_not_for_the_agent(world: World) -> None:
    async with world.phone(registers=True, answers="early", says=tone(440, 16_000, 50)) as one:
        call = await world.dial(one.name)
        await world.until_state(call["id"], "ringing")
        session = world.emulator.sessions[-1]
        await asyncio.sleep(0.3)
        assert session.audio_samples_in == 0
        await one.do("accept")
        await world.until_state(call["id"], "answered")
        await world.emulator.wait_for(lambda: session.audio_samples_in > 8_000)
        assert np.abs(session.audio).max() > 5_000
        await one.do("hangup")
        await world.all_over()


async def test_the_doctor_has_the_line_call_itself(world: World) -> None:
    await asyncio.sleep(CLEARED_S)
    port = int(world.url.rstrip("/").rpartition(":")[2])
    finding = await examine_phone(line_settings(world.ports, port=port), LiveEndpoint("not used"))
    assert finding.verdict == "good", finding
    await world.all_over()


async def test_a_caller_who_cancels_leaves_nothing_behind(world: World) -> None:
    async with world.phone() as one:
        await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{world.ports.sip}")
        await one.do("hangup")
        await one.event("CALL_CLOSED")
        await world.all_over()
        await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{world.ports.sip}")  # and the line is free
        await one.event("CALL_ESTABLISHED")
        await one.do("hangup")
        await world.all_over()


async def test_hold_is_silence_and_not_the_end(world: World) -> None:
    async with world.phone(says=tone(440, 16_000, 50)) as one:
        session = await say(world, one)
        await world.emulator.wait_for(lambda: session.audio_samples_in > 16_000)
        await one.do("hold")
        await asyncio.sleep(0.5)
        before, held = session.audio_samples_in, len(session.audio)
        await asyncio.sleep(0.5)
        assert session.audio_samples_in - before == pytest.approx(8_000, abs=3_000)  # time goes on for the model
        assert np.abs(session.audio[held + 3_000 :]).max() < 100  # in silence
        await one.do("resume")
        await world.emulator.wait_for(lambda: np.abs(session.audio[-1_600:]).max() > 5_000)
        await one.do("hangup")
        await world.all_over()


async def test_a_flood_of_strangers_costs_a_call_nothing(world: World) -> None:
    """No speech is lost, and hanging up during the flood takes effect at once."""
    async with world.phone(says=tone(440, 16_000, 50)) as one, sip_client("127.0.0.2", world.ports.sip) as stranger:
        session = await say(world, one)
        await world.emulator.wait_for(lambda: session.audio_samples_in > 16_000)
        before, began = session.audio_samples_in, time.monotonic()
        await flood(stranger)
        said_s, took_s = (session.audio_samples_in - before) / 16_000, time.monotonic() - began
        heard_db = snr_db(session.audio[before:][:12_800], 16_000, 440)
        second = asyncio.create_task(flood(stranger))
        hung_up_at = time.monotonic()
        await one.do("hangup")
        await world.emulator.wait_for(lambda: not session.open)
        gone_s = time.monotonic() - hung_up_at
        await second
        print(
            f"in {took_s:.2f} s of flood {said_s:.2f} s come at {heard_db:.0f} dB, the end after {gone_s:.3f} s"
            f"; {len(stranger.got)} of {2 * FLOOD} requests are answered"
        )
        assert said_s > took_s - 0.25
        assert heard_db > SNR_DB
        assert gone_s < 0.5
        assert len(stranger.got) < 300
        await world.all_over()


async def test_the_agent_transfers_the_caller(world: World) -> None:
    async with world.phone() as one, world.phone(registers=True) as other:
        await say(world, one)
        TRANSFER_TO.append(f"sip:{other.name}@127.0.0.1:{other.name.removeprefix('phone')}")  # its own port
        await press(one, "0#")
        await other.event("CALL_ESTABLISHED", timeout_s=10)
        await world.all_over()
