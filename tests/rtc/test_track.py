"""The outbound track in real time: talkspurts, flushes, streams at exactly real time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np

from agent.media.fir import Pcm
from agent.media.opus import OpusDecoder
from agent.media.playout import VOICE_RATE_HZ, Playout
from agent.media.track import AgentVoiceTrack


@dataclass
class Sent:
    at: float
    pts: int
    rms: float


class Far:
    """The far end: pulls packets as aiortc's sender does, and decodes what it gets."""

    def __init__(self, track: AgentVoiceTrack) -> None:
        self.track = track
        self.sent: list[Sent] = []
        self._decoder = OpusDecoder(VOICE_RATE_HZ)

    async def pull(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            packet = await self.track.recv()
            assert packet.pts is not None
            pcm = self._decoder.decode(bytes(packet)).astype(float)
            self.sent.append(Sent(loop.time(), packet.pts, float(np.sqrt(np.mean(pcm**2)))))


def voice(milliseconds: int) -> Pcm:
    angle = 2 * np.pi * 440 * np.arange(VOICE_RATE_HZ * milliseconds // 1000) / VOICE_RATE_HZ
    return (8000 * np.sin(angle)).astype(np.int16)


async def far_end() -> tuple[AgentVoiceTrack, Far, asyncio.Task[None]]:
    track = AgentVoiceTrack(Playout(), phase_s=0.007)
    track.use_codec("opus")
    far = Far(track)
    task = asyncio.create_task(far.pull())
    await asyncio.sleep(0.3)
    return track, far, task


async def test_a_burst_leaves_at_once() -> None:
    track, far, task = await far_end()
    loop = asyncio.get_running_loop()
    waits = []
    for turn in range(8):
        await asyncio.sleep(0.25 + turn * 0.003)  # another place in the 20 ms grid each time
        begun = loop.time()
        track.push(voice(100), generation=turn + 1)
        await asyncio.sleep(0.05)
        waits.append(next(sent.at for sent in far.sent if sent.at >= begun and sent.rms > 500) - begun)
    task.cancel()
    assert sorted(waits)[4] < 0.008, waits


async def test_the_grid_does_not_creep_over_many_turns() -> None:
    """What each talkspurt takes in advance is given back: the RTP clock stays with the wall clock."""
    track, far, task = await far_end()
    for turn in range(20):
        track.push(voice(60), generation=turn + 1)
        await asyncio.sleep(0.06 + 0.16 + turn % 7 * 0.003)
    await asyncio.sleep(0.2)
    task.cancel()
    first, last = far.sent[5], far.sent[-1]
    drift_s = (last.pts - first.pts) / 48_000 - (last.at - first.at)
    assert abs(drift_s) < 0.03
    steps = [b.pts - a.pts for a, b in zip(far.sent, far.sent[1:], strict=False)]
    assert {step % 960 for step in steps} == {0}
    assert sum(step // 960 - 1 for step in steps) == track.stats.skipped_slots  # none, unless the machine stalls


async def test_a_stream_at_real_time_has_no_gap() -> None:
    """40 ms chunks, exactly every 40 ms, each a little late or early."""
    track, far, task = await far_end()
    loop = asyncio.get_running_loop()
    track.generating = True
    rng = np.random.default_rng(2)
    begun = loop.time()
    signal = voice(2000)
    for number in range(50):
        await asyncio.sleep(max(0.0, begun + number * 0.04 + rng.uniform(-0.008, 0.008) - loop.time()))
        track.push(signal[number * 960 : (number + 1) * 960], generation=1)
    track.generating = False
    await asyncio.sleep(0.3)
    task.cancel()
    loud = [number for number, sent in enumerate(far.sent) if sent.rms > 1000]
    assert len(loud) >= 99
    assert loud[-1] - loud[0] + 1 - len(loud) == 0, "a gap in the middle"
    assert far.sent[loud[0]].at - begun < 0.12


async def test_flush_is_heard_within_a_frame() -> None:
    track, far, task = await far_end()
    loop = asyncio.get_running_loop()
    ends = []
    for turn in range(8):
        track.push(voice(1000), generation=turn + 1)
        await asyncio.sleep(0.2 + turn * 0.003)
        cut = loop.time()
        (flushed,) = track.flush(turn + 1)
        assert 0 < flushed.heard_samples < 12_000
        assert flushed.heard_samples + flushed.dropped_samples == 24_000
        await asyncio.sleep(0.15)
        ends.append(max(sent.at for sent in far.sent if sent.rms > 300) - cut)
    task.cancel()
    assert sorted(ends)[4] <= 0.025, ends


async def test_after_a_stall_there_is_no_burst() -> None:
    """200 ms late: the slots are skipped and the timestamp jumps (RFC 3550 section 5.1)."""
    track, far, task = await far_end()
    track.push(voice(1000), generation=1)
    await asyncio.sleep(0.1)
    time.sleep(0.2)  # noqa: ASYNC251  the loop stands still
    await asyncio.sleep(0.2)
    task.cancel()
    steps = [b.pts - a.pts for a, b in zip(far.sent, far.sent[1:], strict=False)]
    assert max(steps) >= 960 * 8
    gaps = [b.at - a.at for a, b in zip(far.sent, far.sent[1:], strict=False)]
    stall = int(np.argmax(gaps))
    assert sum(gaps[stall + 1 : stall + 6]) > 0.06
    assert track.stats.late_frames == 1
    assert track.stats.skipped_slots >= 8


async def test_the_first_word_of_a_call_is_not_muted() -> None:
    """The decoder must have heard real silence before it: with cached packets only, the onset fades in."""
    track, far, task = await far_end()
    track.push(voice(200), generation=1)
    await asyncio.sleep(0.2)
    task.cancel()
    loud = [sent.rms for sent in far.sent if sent.rms > 100]
    assert loud[1] > 4000  # of 5657


async def test_keys_go_before_speech_with_one_timestamp_each() -> None:
    """RFC 4733: the packets of a key are stamped with its start, and the audio after it goes on in time."""
    track = AgentVoiceTrack(Playout())
    track.use_codec("PCMU")
    assert not track.send_keys("1")
    events: list[str | None] = []
    track.use_events(events.append, 8_000)
    assert track.send_keys("1,2")
    track.push(voice(100), generation=1)
    packets = [await track.recv() for _ in range(60)]
    keys = [(bytes(packet), packet.pts) for packet, event in zip(packets, events, strict=True) if event]
    assert [payload[0] for payload, _ in keys] == [1] * 7 + [2] * 7
    assert len({pts for _, pts in keys}) == 2
    assert list(filter(None, events)) == (["first"] + ["further"] * 6) * 2
    audio = [packet.pts for packet, event in zip(packets, events, strict=True) if not event]
    assert all(pts is not None and pts % 160 == 0 for pts in audio)
    assert audio[-1] == 59 * 160  # nothing shifted
    assert track.playout.queued_samples == 0  # and then it spoke
