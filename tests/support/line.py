"""A caller, a service and an emulator in one process, and ways to hear what arrived at either end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp
import numpy as np
from numpy.typing import NDArray
from scipy.signal import chirp, correlate

from agent.author.agent import Agent
from agent.emulator import Emulator, Play, Turn, running_emulator
from agent.live.config import LiveEndpoint
from agent.media.fir import Pcm
from agent.settings import Settings
from signaling.app import DEMO, running
from signaling.client.caller import Caller, call_service
from tests.support.tones import tone
from tests.survival.registry import saw

MODEL_HZ = 16_000
MIC_HZ = 48_000
QUESTION_S = 0.4
VOICE_HZ = 700.0

FAST: dict[str, Any] = {"on_turn": None, "pace": 50, "await_playback": False}
"For `on_line`: the demo model answers, 50 times as fast as it would speak."
QUICK = {"vad_silence_ms": 100, "close_timeout_s": 0.2}
"Settings that shorten what a test would wait for."
TRUSTING = {"client_may_instruct": True}


def sweep(rate_hz: int) -> NDArray[np.float64]:
    """Return what the callers ask with: a sweep, whose place in a recording can be found to a fraction of a ms."""
    times = np.arange(int(rate_hz * QUESTION_S)) / rate_hz
    wave: NDArray[np.float64] = 8000 * chirp(times, 300, QUESTION_S, 3400) * np.hanning(len(times)) ** 0.25
    return wave


def places_s(recording: Pcm) -> list[float]:
    """Return where the sweeps begin in a recording at 16 kHz, in seconds."""
    match = np.abs(correlate(recording.astype(float), sweep(MODEL_HZ), mode="valid"))
    threshold = 0.4 * np.sum(sweep(MODEL_HZ) ** 2)
    places, span = [], int(QUESTION_S * MODEL_HZ)
    while match.size and match.max() > threshold:
        peak = int(np.argmax(match))
        places.append(peak / MODEL_HZ)
        match[max(0, peak - span // 2) : peak + span // 2] = 0
    return sorted(places)


def talkspurts_s(recording: Pcm, rate_hz: int) -> list[float]:
    """Return how long each stretch of the agent's voice is that has no gap of 10 ms in it, in seconds."""
    step = rate_hz // 200  # 5 ms
    frames = recording[: len(recording) // step * step].reshape(-1, step).astype(float)
    loud = np.sqrt(np.mean(frames**2, axis=1)) > 500
    padded = np.concatenate(([False], loud | np.roll(loud, 1), [False]))
    edges = np.flatnonzero(np.diff(padded.astype(int)))
    return [float(end - begin) * 0.005 for begin, end in zip(edges[::2], edges[1::2], strict=True)]


@dataclass(eq=False)
class Line:
    """One call, and what its caller has asked."""

    caller: Caller
    emulator: Emulator
    url: str
    asked_s: list[float] = field(default_factory=list)
    "Where the sweeps begin in what the microphone sent."

    async def ask(self) -> None:
        """Say a sweep."""
        microphone = self.caller.microphone
        self.asked_s.append(microphone.sent_frames * 0.02)
        microphone.play(sweep(MIC_HZ).astype(np.int16))
        await microphone.played()

    async def told(self, kind: str, *, timeout_s: float = 10.0, **wanted: Any) -> dict[str, Any]:
        """Wait for a server-message of a type."""

        def matches(data: dict[str, Any]) -> bool:
            return data["type"] == kind and all(data[name] == value for name, value in wanted.items())

        return await self.caller.message("server-message", matches, timeout_s=timeout_s)

    def count(self, kind: str) -> int:
        """Count the messages of a type that came so far; server-messages by their own."""
        return sum(name == kind for name in self.kinds())

    def kinds(self) -> list[str]:
        """Return the types of the messages so far, those of server-messages by their own."""
        return [
            message["data"]["type"] if message["type"] == "server-message" else message["type"]
            for message in self.caller.messages
        ]

    def datas(self, kind: str) -> list[dict[str, Any]]:
        """Return what the server-messages of a type said so far."""
        return [
            message["data"]
            for message, name in zip(self.caller.messages, self.kinds(), strict=True)
            if name == kind
        ]

    async def counted(self, kind: str, count: int, *, timeout_s: float = 10.0) -> None:
        """Wait until so many messages of a type have come."""
        await self.caller.until(lambda: self.count(kind) >= count, timeout_s)

    async def hears(self, ask: Callable[[], Any] | None = None, *, stops: int = 1, timeout_s: float = 10.0) -> None:
        """Ask, by a sweep or as told, and wait until the agent has spoken, and stopped so many times."""
        before = self.count("bot-stopped-speaking")
        if ask is None:
            await self.ask()
        else:
            ask()
        await self.counted("bot-stopped-speaking", before + stops, timeout_s=timeout_s)
        frames = len(self.caller.heard)
        await self.caller.until(lambda: len(self.caller.heard) >= frames + 8)  # the caller's own jitter buffer

    def heard_s(self) -> list[float]:
        """Return how long each stretch of the agent's voice was, see `talkspurts_s`."""
        return talkspurts_s(self.caller.heard_pcm(), self.caller.heard_rate_hz)

    def has_heard(self, tone_hz: float) -> bool:
        """Tell whether a tone was in anything that the caller heard."""
        pcm, rate = self.caller.heard_pcm().astype(float), self.caller.heard_rate_hz
        window = rate // 50  # 20 ms
        frames = pcm[: len(pcm) // window * window].reshape(-1, window) * np.hanning(window)
        probe = np.exp(-2j * np.pi * tone_hz * np.arange(window) / rate)
        return bool((np.abs(frames @ probe) > 1000 * window / 4).any())

    def slips_ms(self) -> list[float]:
        """Return by how much the silence before each question was lengthened, or shortened, at the model."""
        shifts = self.shifts_ms()
        return [after - before for before, after in pairwise(shifts)]

    def shifts_ms(self) -> list[float]:
        """Return by how much each question came later at the model than the first, beyond what was said.

        All zero: nothing of the caller's voice was lost or doubled between the questions.
        """
        heard_s = places_s(self.emulator.model_audio(self.emulator.sessions[-1]))
        assert len(heard_s) == len(self.asked_s), f"{len(self.asked_s)} questions, {len(heard_s)} heard"
        delays = [heard - asked for heard, asked in zip(heard_s, self.asked_s, strict=True)]
        return [(delay - delays[0]) * 1000 for delay in delays]


def tones_of(seconds: float) -> Any:
    """Return a script for the emulator: each answer is a tone of that length."""

    def script(_turn: Turn) -> tuple[Play, ...]:
        return (Play(tone(VOICE_HZ, 24_000, seconds)),)

    return script


async def says(caller: Caller, words: str) -> None:
    """Wait until the agent has said that."""
    await caller.message("bot-output", lambda data: words in data["text"], timeout_s=15)


def transcribed(caller: Caller) -> list[dict[str, Any]]:
    """Return what was told of the caller's own words."""
    return [message["data"] for message in caller.messages if message["type"] == "user-transcription"]


@asynccontextmanager
async def late_server(to_url: str, after_s: float) -> AsyncIterator[str]:
    """Yield an address at which nobody listens at first, and later a server: a way to another one."""
    host, port = to_url.removeprefix("https://").split(":")
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        pipes.update((asyncio.create_task(pipe(reader, back)), asyncio.create_task(pipe(there, writer))))

    async def listen(own: socket.socket) -> None:
        await asyncio.sleep(after_s)
        server = await asyncio.start_server(join, sock=own)
        async with server:
            await asyncio.Future()

    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        listening = asyncio.create_task(listen(own))
        try:
            yield f"https://127.0.0.1:{own.getsockname()[1]}"
        finally:
            tasks = [listening, *pipes]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def on_line(
    *,
    answer_s: float = 1.0,
    settings: dict[str, Any] | None = None,
    faults: Sequence[Any] = (),
    definition: Agent = DEMO,
    down_s: float = 0.0,
    ready: bool = True,
    **emulated: Any,
) -> AsyncIterator[Line]:
    """Call a service whose Live server is the emulator.

    Args:
        answer_s: length of the agent's answers.
        settings: of the service.
        faults: what goes wrong.
        definition: the agent.
        down_s: how long nobody listens where the service looks for the emulator.
        ready: wait until the agent can hear.
        emulated: further arguments of `running_emulator`.
    """
    async with AsyncExitStack() as stack:
        options = {"on_turn": tones_of(answer_s), "faults": list(faults), **emulated}
        emulator = await stack.enter_async_context(running_emulator(**options))
        live_url = emulator.url
        if down_s:
            live_url = await stack.enter_async_context(late_server(live_url, down_s))
        endpoint = LiveEndpoint("test-key", live_url, str(emulator.ca_file))  # may be another way than its own
        changes: dict[str, Any] = {"port": 0, "drain_timeout_s": 0.1, **(settings or {})}
        url = await stack.enter_async_context(running(Settings(**changes), endpoint, definition=definition))
        caller = await stack.enter_async_context(call_service(url))
        await stack.enter_async_context(witnessed(caller, url))
        if ready:
            await caller.message("bot-ready")
        yield Line(caller, emulator, url)


@asynccontextmanager
async def witnessed(caller: Caller, url: str) -> AsyncIterator[None]:
    """Note at the end what the client and the operator of a service were told, for `survives`."""
    yield
    async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
        saw(caller.messages, await response.text())
