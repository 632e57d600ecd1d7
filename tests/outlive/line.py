"""A caller, a service and an emulator in one process, and ways to hear what arrived at either end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import chirp, correlate

from agent.emulator import Emulator, Play, Turn, running_emulator
from agent.live.config import LiveEndpoint
from agent.media.fir import Pcm
from agent.settings import Settings
from signaling.app import running
from signaling.caller import Caller, dial

MODEL_HZ = 16_000
MIC_HZ = 48_000
QUESTION_S = 0.4
VOICE_HZ = 700.0


def tone(frequency_hz: float, rate_hz: int, seconds: float, amplitude: float = 8000) -> Pcm:
    """Return a sine."""
    angle = 2 * np.pi * frequency_hz * np.arange(int(rate_hz * seconds)) / rate_hz
    return (amplitude * np.sin(angle)).astype(np.int16)


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
        """Count the server-messages of a type that came so far."""
        return sum(
            message["type"] == "server-message" and message["data"]["type"] == kind
            for message in self.caller.messages
        )

    def shifts_ms(self) -> list[float]:
        """Return by how much each question came later at the model than the first, beyond what was said.

        All zero: nothing of the caller's voice was lost or doubled between the questions.
        """
        heard_s = places_s(self.emulator.model_audio(self.emulator.sessions[-1]))
        assert len(heard_s) == len(self.asked_s), f"{len(self.asked_s)} questions, {len(heard_s)} heard"
        delays = [heard - asked for heard, asked in zip(heard_s, self.asked_s, strict=True)]
        return [(delay - delays[0]) * 1000 for delay in delays]


def says(seconds: float) -> Any:
    """Return a script for the emulator: each answer is a tone of some length."""

    def script(_turn: Turn) -> tuple[Play, ...]:
        return (Play(tone(VOICE_HZ, 24_000, seconds)),)

    return script


@asynccontextmanager
async def on_line(
    *, answer_s: float = 1.0, settings: dict[str, Any] | None = None, faults: Sequence[Any] = (), **emulated: Any
) -> AsyncIterator[Line]:
    """Call a service whose Live server is the emulator.

    Args:
        answer_s: length of the agent's answers.
        settings: of the service.
        faults: what shall go wrong.
        emulated: further arguments of `running_emulator`.
    """
    async with AsyncExitStack() as stack:
        options = {"on_turn": says(answer_s), "faults": list(faults), **emulated}
        emulator = await stack.enter_async_context(running_emulator(**options))
        endpoint = LiveEndpoint("test-key", emulator.url, str(emulator.ca_file))
        changes: dict[str, Any] = {"port": 0, "drain_timeout_s": 0.1, **(settings or {})}
        url = await stack.enter_async_context(running(Settings(**changes), endpoint))
        caller = await stack.enter_async_context(dial(url))
        await caller.message("bot-ready")
        yield Line(caller, emulator, url)
