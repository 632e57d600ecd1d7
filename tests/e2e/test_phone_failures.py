"""Each part of a phone call dies once: who notices, when, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.emulator import Emulator, running_emulator
from signaling.app import running
from signaling.phone import sip_line as sip
from tests.support import phones
from tests.support.phones import Phone, Ports, get, line_settings, needs_phones, registered, until
from tests.support.ports import free_ports
from tests.support.process import serving
from tests.support.service import emulator_endpoint
from tests.support.tones import tone

pytestmark = needs_phones


@dataclass(frozen=True)
class Place:
    """Where one test's phones and gateway are."""

    folder: Path
    ports: Ports

    def phone(self, **options: object) -> AbstractAsyncContextManager[Phone]:
        folder = self.folder / f"phone-{time.monotonic_ns()}"
        folder.mkdir()
        return phones.phone(folder, self.ports.sip, **options)  # type: ignore[arg-type]

    async def call(self, one: Phone) -> None:
        await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{self.ports.sip}")
        await one.event("CALL_ESTABLISHED")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, Ports(*free_ports(2)))


@asynccontextmanager
async def service(place: Place, emulator: Emulator, **changes: object) -> AsyncIterator[str]:
    endpoint = emulator_endpoint(emulator)
    async with running(line_settings(place.ports, **changes), endpoint) as url:
        yield url


async def closed(one: Phone, since: float, what: str) -> None:
    """Wait until the phone is told that its call is over; return how long that took."""
    event = await one.event("CALL_CLOSED")
    print(f"{what}: the phone is hung up after {event.at - since:.3f} s: {event.text}")


async def test_the_agent_is_killed(place: Place) -> None:
    environment = {
        "TALKSPURT_PORT": "0",
        "TALKSPURT_JANUS_URL": f"ws://127.0.0.1:{place.ports.websocket}",
        "TALKSPURT_JANUS_SECRET": phones.SECRET,
        "TALKSPURT_SIP_USER": f"sip:{phones.USER}@{phones.DOMAIN}",
        "TALKSPURT_SIP_PASSWORD": phones.PASSWORD,
        "TALKSPURT_SIP_PROXY": f"sip:127.0.0.1:{place.ports.sip}",
    }
    async with (
        phones.kamailio(place.folder / "kamailio", place.ports),
        phones.janus(place.folder / "janus", place.ports),
        place.phone() as one,
        serving(**environment) as killed,
    ):
        await registered(killed.url)
        await place.call(one)
        killed_at = asyncio.get_running_loop().time()
        killed.process.send_signal(signal.SIGKILL)
        await closed(one, killed_at, "agent killed")
        seen = len(one.events)
        await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{place.ports.sip}")
        assert "480" in (await one.event("CALL_CLOSED", after=seen)).text  # nobody takes the next call either


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_the_gateway_goes_and_comes_back(
    place: Place, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip, "MIN_RETRY_S", 0.2)
    loop = asyncio.get_running_loop()
    async with (
        phones.kamailio(place.folder / "kamailio", place.ports),
        running_emulator() as emulator,
        service(place, emulator) as url,
    ):
        async with phones.janus(place.folder / "janus", place.ports) as janus, place.phone() as one:
            await registered(url)
            await place.call(one)
            await emulator.wait_for(lambda: len(emulator.sessions) == 1)
            janus.send(number)
            gone_at = loop.time()
            await emulator.wait_for(lambda: not emulator.sessions[0].open, timeout_s=2)
            print(f"Janus {number.name}: the Live session is closed after {loop.time() - gone_at:.3f} s")
            assert (await get(url, "readyz"))["status"] == "unavailable"
            if number is signal.SIGTERM:
                await closed(one, gone_at, "Janus SIGTERM")
        async with phones.janus(place.folder / "janus", place.ports), place.phone() as one:
            back_at = loop.time()
            await registered(url, timeout_s=10)
            print(f"Janus is back: registered again after {loop.time() - back_at:.3f} s")
            await place.call(one)
            await one.do("hangup")
            await emulator.wait_for(lambda: not any(session.open for session in emulator.sessions))


async def test_the_registrar_goes_and_the_call_goes_on(place: Place) -> None:
    async with (
        phones.janus(place.folder / "janus", place.ports),
        running_emulator() as emulator,
        service(place, emulator) as url,
        place.phone() as one,
    ):
        async with phones.kamailio(place.folder / "kamailio", place.ports):
            await registered(url)
            await place.call(one)
            await emulator.wait_for(lambda: len(emulator.sessions) == 1)
        session = emulator.sessions[0]
        heard = session.audio_samples_in
        await emulator.wait_for(lambda: session.audio_samples_in > heard + 8_000)
        assert (await get(url, "readyz"))["calls"] == 1
        async with phones.kamailio(place.folder / "kamailio", place.ports):
            await one.do("hangup")
            await emulator.wait_for(lambda: not session.open)


async def test_a_wrong_password_is_said(place: Place) -> None:
    async with (
        phones.kamailio(place.folder / "kamailio", place.ports),
        phones.janus(place.folder / "janus", place.ports),
        running_emulator() as emulator,
        service(place, emulator, sip_password="wrong") as url,
    ):
        began = time.monotonic()
        async with asyncio.timeout(5):
            while "refuses" not in (body := await get(url, "readyz"))["phone"]:  # noqa: ASYNC110  no event
                await asyncio.sleep(0.02)
        print(f"wrong password: said after {time.monotonic() - began:.3f} s: {body['phone']}")


GAP_S = 1.0


async def test_a_gap_of_the_network_is_ridden_out(place: Place) -> None:
    """The gateway freezes, with no RTP and no messages on either side; then it carries on."""
    async with (
        phones.kamailio(place.folder / "kamailio", place.ports),
        phones.janus(place.folder / "janus", place.ports) as janus,
        running_emulator() as emulator,
        service(place, emulator) as url,
        place.phone(says=tone(440, 16_000, 50)) as one,
    ):
        await registered(url)
        await place.call(one)
        await emulator.wait_for(
            lambda: len(emulator.sessions) == 1 and emulator.sessions[0].audio_samples_in > 8_000
        )
        session = emulator.sessions[0]
        janus.send(signal.SIGSTOP)
        await asyncio.sleep(GAP_S)
        janus.send(signal.SIGCONT)
        before = session.audio_samples_in
        await emulator.wait_for(lambda: session.audio_samples_in > before + 24_000, timeout_s=5)
        assert abs(session.audio[-8_000:]).max() > 5_000
        assert (await get(url, "readyz"))["calls"] == 1
        assert not [event for event in one.events if event.kind == "CALL_CLOSED"]
        hung_up_at = asyncio.get_running_loop().time()
        await one.do("hangup")
        await emulator.wait_for(lambda: not session.open, timeout_s=1)
        took_s = asyncio.get_running_loop().time() - hung_up_at
        print(f"the phone hangs up: the Live session is closed after {took_s:.3f} s")
        await until(lambda: one.events[-1].kind == "CALL_CLOSED")
