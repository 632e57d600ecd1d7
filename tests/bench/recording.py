"""``python -m tests.bench.recording``: what it costs to record calls, against the same calls without, in one run.

The calls have the service's real media path on either side of the network: the caller's packets go through the
inlet, the agent's come from its track. There is no network and no model, so that the difference is the recording's
alone.
Quote the figures of one run, never of two.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from aiortc.mediastreams import MediaStreamError
from rich.console import Console
from rich.table import Table

from agent.event_loop import loop_factory
from agent.media.encode import voice_encoder
from agent.media.inbound import InletTap, PacketInlet
from agent.media.playout import Playout
from agent.media.rtp import RtpPacket
from agent.media.track import AgentVoiceTrack
from agent.record.recorder import Recorder, Recording

FRAME_S = 0.02
LAG_STEP_S = 0.005
ROUNDS = 3
CODECS = {"opus": (111, 960), "pcmu": (0, 160), "g722": (9, 160)}

console = Console()


@dataclass
class Figures:
    """What some seconds of all calls took."""

    cpu_s: float = 0.0
    call_s: float = 0.0
    lags_ms: list[float] = field(default_factory=list)

    def percent(self) -> float:
        """Return the load of a core by one call, in percent; on a busy machine too, which sends less."""
        return 100 * self.cpu_s / self.call_s

    def p99_ms(self) -> float:
        """Return the event loop's lag."""
        return float(np.percentile(self.lags_ms, 99))


class BenchCall:
    """One call that always talks, both ways."""

    def __init__(self, number: int, codec: str, packets: list[bytes], recording: Recording | None) -> None:
        self._packets = packets
        self._payload, self._ticks = CODECS[codec]
        self.recording = recording
        tap = None if recording is None else InletTap(recording.caller, recording.restarted)
        self._inlet = PacketInlet({self._payload: codec}, tap=tap)
        self.voice = AgentVoiceTrack(Playout(), phase_s=number % 20 / 1000)
        self.voice.use_codec(codec)
        self.voice.tap = None if recording is None else recording.agent
        self._speech = np.random.default_rng(number).normal(0, 2000, 24_000).astype(np.int16)

    async def hear(self, offset_s: float) -> None:
        """Take a packet every 20 ms; until cancelled."""
        loop = asyncio.get_running_loop()
        due, number = loop.time() + offset_s, 0
        while True:
            await asyncio.sleep(due - loop.time())
            payload = self._packets[number % len(self._packets)]
            self._inlet.push(
                RtpPacket(self._payload, 0, number & 0xFFFF, number * self._ticks & 0xFFFFFFFF, 1, payload),
                loop.time(),
            )
            number, due = number + 1, due + FRAME_S

    async def speak(self) -> None:
        """Speak until the track is stopped."""
        generation = 1
        try:
            while True:
                if self.voice.playout.queued_samples < 12_000:
                    self.voice.push(self._speech, generation=generation)
                await self.voice.recv()
        except MediaStreamError:
            return


async def _measure(
    calls: int, seconds: float, codec: str, recorder: Recorder | None, packets: list[bytes], took: Figures
) -> None:
    """Hold calls for some seconds."""
    held = [
        BenchCall(
            number, codec, packets, None if recorder is None else recorder.begin(f"call{number}-{time.time_ns()}")
        )
        for number in range(calls)
    ]
    tasks = [asyncio.create_task(call.hear(number % 20 / 1000)) for number, call in enumerate(held)]
    tasks += [asyncio.create_task(call.speak()) for call in held]
    await asyncio.sleep(2.0)  # the files are opened
    loop = asyncio.get_running_loop()
    began, cpu_s = time.monotonic(), time.process_time()
    frames = sum(call.voice.stats.frames for call in held)
    while time.monotonic() - began < seconds:
        due = loop.time() + LAG_STEP_S
        await asyncio.sleep(LAG_STEP_S)
        took.lags_ms.append(1000 * (loop.time() - due))
    took.cpu_s += time.process_time() - cpu_s
    took.call_s += (sum(call.voice.stats.frames for call in held) - frames) * FRAME_S
    for call in held:
        call.voice.end()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(call.recording.end() for call in held if call.recording is not None))


def run(
    calls: Annotated[int, typer.Option(min=1, max=200, help="Calls at once.")] = 30,
    seconds: Annotated[float, typer.Option(min=2, max=120, help="Length of each measurement.")] = 10.0,
    codec: Annotated[str, typer.Option(help="opus, pcmu or g722.")] = "opus",
) -> None:
    """Measure calls with and without a recording, in turn."""
    if codec not in CODECS:
        raise typer.BadParameter(f"choose one of {', '.join(CODECS)}")
    encode = voice_encoder(codec).encode
    noise = np.random.default_rng(1).normal(0, 2000, 24_000 * 2).astype(np.int16)
    packets = [encode(noise[start : start + 480]) for start in range(0, len(noise), 480)]
    without, with_it = Figures(), Figures()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop_factory()) as runner:
        recorder = Recorder(Path(folder))
        for _ in range(ROUNDS):
            runner.run(_measure(calls, seconds, codec, None, packets, without))
            runner.run(_measure(calls, seconds, codec, recorder, packets, with_it))
        runner.run(recorder.close())
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / len(files)
    table = Table(
        "", "without", "with recording", title=f"{calls} talking calls, {codec}, {ROUNDS} x {seconds:g} s"
    )
    cost = with_it.percent() - without.percent()
    table.add_row("% of a core per call", f"{without.percent():.3f}", f"{with_it.percent():.3f} (+{cost:.3f})")
    table.add_row("loop lag p99, ms", f"{without.p99_ms():.2f}", f"{with_it.p99_ms():.2f}")
    table.add_row("kB a minute and call", "", f"{size / 1000 / (seconds + 2.0) * 60:.0f}")
    table.add_row("stored, failed", "", f"{recorder.counts['stored']}, {recorder.counts['failed']}")
    table.add_row("lost, s", "", f"{recorder.lost_s:.2f}")
    console.print(table)


if __name__ == "__main__":
    typer.run(run)
