"""Convert the caller's voice to 16 kHz mono, 20 ms at a time, with no time missing.

There are two inlets, and `open_inbound_audio` chooses: `PacketInlet` takes RTP packets from the tap; `FrameInlet`
takes decoded frames if aiortc cannot be tapped. In aiortc's frames, audio that was lost or not sent shows only as a
jump of ``frame.pts``; such gaps are filled with silence, so that the model's clock never falls behind the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCRtpReceiver
from aiortc.mediastreams import MediaStreamError

from agent.capture import Capture
from agent.clock import Clock
from agent.errors import MediaError
from agent.media import dtmf
from agent.media.chunker import FRAME_SAMPLES, UPLINK_RATE_HZ
from agent.media.decode import CODECS, Decoder
from agent.media.fir import FirResampler, Pcm, to_mono
from agent.media.reorder import Missing, Packet, Released, Reorder, ReorderStats, Restarted, real_time
from agent.media.rtp import OnAudio, RtpPacket
from agent.media.tap.audio import tap_audio
from agent.media.tap.guard import pass_over_empty_packets

POLL_INTERVAL_S = 0.1
MAX_GAP_S = 30.0  # a longer jump means a new stream, not time that passed
MAX_STEP_BACK_S = 0.1  # a longer jump backwards means a new stream, too


@dataclass(slots=True)
class InboundStats:
    """Counters for one caller's voice; samples are counted at 16 kHz."""

    samples: int = 0
    filled_samples: int = 0
    "Silence filled in for the sender's pauses."
    concealed_samples: int = 0
    "Lost samples that were recovered, concealed or replaced by silence."
    payload_bytes: int = 0
    unreadable: int = 0
    "Packets that are malformed or cannot be decoded."
    restarts: int = 0
    "How often the stream's timestamps jumped elsewhere."


@dataclass(frozen=True, slots=True)
class InletTap:
    """Takes the caller's voice for a recording.

    Attributes:
        audio: takes each packet, in order; for aiortc's frames, 16 kHz PCM as codec ``l16``.
        restarted: called when the stream's timestamps jumped elsewhere.
    """

    audio: OnAudio
    restarted: Callable[[], None]


class FrameInlet:
    """Turns audio frames into 16 kHz mono and fills gaps."""

    def __init__(self) -> None:
        self.stats = InboundStats()
        self.frame_stats = ReorderStats()
        "Counts frames instead of packets, as far as that is possible."
        self._bound = real_time()
        self._resampler: FirResampler | None = None
        self._next_pts: int | None = None
        self._ahead = 0  # samples, at the frame's rate, passed on beyond the frames' time; negative if still owed

    def push(self, frame: av.AudioFrame, now: float) -> Pcm:
        """Convert one frame.

        Args:
            frame: signed 16-bit, any rate and layout; its pts counts samples.
            now: monotonic seconds.

        Returns:
            int16, shape ``(samples,)``, mono, 16 kHz: silence for the gap before the frame, then the frame, both
            limited to real time (`agent.media.reorder`, rule 9).

        Raises:
            MediaError: the frame's format is not signed 16-bit.
        """
        if frame.format.name not in ("s16", "s16p"):
            raise MediaError(f"cannot use audio frames of format {frame.format.name}: expected s16")
        resampler = self._resampler
        if resampler is None or resampler.rate_in_hz != frame.sample_rate:
            resampler = self._resampler = FirResampler(frame.sample_rate, UPLINK_RATE_HZ)
            self._next_pts, self._ahead = None, 0
        samples: Pcm = frame.to_ndarray().astype(np.int16, copy=False)
        interleaved = samples.T if frame.format.is_planar else samples
        mono = to_mono(interleaved.reshape(-1), frame.layout.nb_channels)
        gap = self._missing(frame)
        if not self._bound.take((gap + frame.samples) / frame.sample_rate, now):
            if not self._bound.take(frame.samples / frame.sample_rate, now):
                self.frame_stats.surplus += 1
                return np.zeros(0, np.int16)
            room = min(gap, int(self._bound.room(now) * frame.sample_rate))
            gap = room if self._bound.take(room / frame.sample_rate, now) else 0
        if gap:
            silence = resampler.push(np.zeros(gap, np.int16))
            self.stats.filled_samples += len(silence)
            pcm = np.concatenate((silence, resampler.push(mono)))
        else:
            pcm = resampler.push(mono)
        self.stats.samples += len(pcm)
        return pcm

    async def listen(
        self, track: MediaStreamTrack, clock: Clock, on_pcm: Callable[[Pcm], None], tap: InletTap | None = None
    ) -> None:
        """Pass on the caller's voice until the track ends."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            pcm = self.push(frame, clock())
            if tap is not None and len(pcm):
                tap.audio("l16", clock(), self.stats.samples - len(pcm), len(pcm), pcm.tobytes())
            for start in range(0, len(pcm), FRAME_SAMPLES):
                on_pcm(pcm[start : start + FRAME_SAMPLES])

    def _missing(self, frame: av.AudioFrame) -> int:
        """Return how many samples at the frame's rate are missing before it."""
        if frame.pts is None:
            return 0
        expected, self._next_pts = self._next_pts, frame.pts + frame.samples
        if expected is None or (frame.pts == expected and not self._ahead):
            return 0
        step: int = frame.pts - expected
        if not -MAX_STEP_BACK_S * frame.sample_rate <= step <= MAX_GAP_S * frame.sample_rate:
            self.stats.restarts += 1
            self._ahead = 0
            return 0
        # As in `agent.media.reorder`, rule 4: less than half a frame is jitter, which is carried over, not filled.
        owed = step - self._ahead
        missing = max(owed, 0) if 2 * abs(owed) >= frame.samples else 0
        self._ahead = min(missing - owed, int(MAX_STEP_BACK_S * frame.sample_rate))
        return missing


class PacketInlet:
    """Turns RTP packets into 16 kHz mono, 20 ms at a time, with no time missing.

    Args:
        payloads: the codec's name in SDP for each payload type, as negotiated.
        on_key: called with each key that the caller presses (RFC 4733).
        tap: takes what can be decoded, for a recording.
        capture: notes what comes in, for a replay; None if nobody wants one.
    """

    def __init__(
        self,
        payloads: Mapping[int, str],
        on_key: Callable[[str], None] = lambda _key: None,
        tap: InletTap | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.stats = InboundStats()
        self._tap = tap
        self._capture = capture
        if capture is not None:
            capture.note("codecs", dict(payloads))
        self._codecs = {payload: name.lower() for payload, name in payloads.items() if name.lower() in CODECS}
        self._events = {payload for payload, name in payloads.items() if name.lower() == dtmf.NAME}
        self._keys = dtmf.KeyReader()
        self._on_key = on_key
        self._codec = ""
        self._reorder: Reorder | None = None
        self._bound = real_time()  # for all codecs together
        self._decoder: Decoder | None = None
        self._packet_ticks = 0  # length of the newest packet
        self._ticks = 0  # released so far
        self._handed = 0  # samples passed on so far
        self._short = np.zeros(0, np.int16)  # less than a frame, not passed on yet

    @property
    def reorder_stats(self) -> ReorderStats:
        """The stream's packet counters."""
        return self._reorder.stats if self._reorder is not None else ReorderStats()

    def push(self, packet: RtpPacket, now: float) -> list[Pcm]:
        """Take an untrusted packet as it arrives.

        Returns:
            The frames that can be passed on now: int16, shape ``(320,)`` each, mono, 16 kHz.
        """
        if self._capture is not None:
            self._capture.note("rtp", packet, now)
        name = self._codecs.get(packet.payload_type)
        if name is None or not packet.payload:
            return self._hold_place(packet, now)
        changed: list[Pcm] = []
        if name != self._codec or self._reorder is None:
            changed = self._use(name, now)
            assert self._reorder is not None
        self.stats.payload_bytes += len(packet.payload)
        ticks = CODECS[name].ticks(packet.payload)
        if ticks == 0:  # damaged: probably as long as the previous packet; it will be concealed
            ticks = self._packet_ticks
            if ticks == 0:
                self.stats.unreadable += 1
        self._packet_ticks = ticks
        whole = Packet(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload, ticks)
        heard = self._hear(self._reorder.push(whole, now), now)
        return changed + heard if changed else heard

    def poll(self, now: float) -> list[Pcm]:
        """Return what is released by time alone; call it about ten times a second."""
        released = self._reorder.poll(now) if self._reorder is not None else []
        if released and self._capture is not None:
            self._capture.note("poll", now)
        return self._hear(released, now)

    async def listen(self, clock: Clock, on_pcm: Callable[[Pcm], None]) -> None:
        """Call `poll` until cancelled; packets come in through `push`."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            for pcm in self.poll(clock()):
                on_pcm(pcm)

    def _hold_place(self, packet: RtpPacket, now: float) -> list[Pcm]:
        """Take a packet that is not audio but has a sequence number, so that the audio does not wait for it.

        These are telephone keys, comfort noise (RFC 3389; the silence is made here), packets with padding only, and
        anything that was not negotiated.
        """
        if packet.payload_type in self._events:
            key = self._keys.push(packet)
            if key is not None:
                self._on_key(key)
        if self._reorder is None:
            return []
        place = Packet(packet.ssrc, packet.sequence_number, packet.timestamp, b"", 0)
        return self._hear(self._reorder.push(place, now), now)

    def _use(self, name: str, now: float) -> list[Pcm]:
        """Switch to another codec; returns the frames that were held for the previous one."""
        held = self._hear(self._reorder.drain(now), now) if self._reorder is not None else []
        codec = CODECS[name]
        self._codec, self._decoder = name, codec.decoder()
        before = self.reorder_stats
        self._reorder = Reorder(codec.clock_hz, self._bound)
        self._reorder.stats = before
        self._packet_ticks = self._ticks = self._handed = 0
        return held

    def _hear(self, released: list[Released], now: float) -> list[Pcm]:
        if not released:
            return []
        parts = [self._short] if len(self._short) else []
        for item in released:
            parts += self._decode(item, now)
        pcm = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else self._short
        whole = len(pcm) - len(pcm) % FRAME_SAMPLES
        self._short = pcm[whole:]
        return [pcm[start : start + FRAME_SAMPLES] for start in range(0, whole, FRAME_SAMPLES)]

    def _decode(self, item: Released, now: float) -> list[Pcm]:
        """Return an item's samples; over the stream's life their number matches its time to the sample."""
        decoder, stats = self._decoder, self.stats
        assert decoder is not None
        if isinstance(item, Restarted):
            decoder.reset()
            stats.restarts += 1
            if self._tap is not None:
                self._tap.restarted()
            return []
        codec = CODECS[self._codec]
        self._ticks += item.ticks
        due = self._ticks * UPLINK_RATE_HZ // codec.clock_hz - self._handed
        if isinstance(item, Packet) and len(item.payload) <= codec.dtx_bytes and codec.ticks(item.payload):
            if self._tap is not None:
                self._tap.audio(self._codec, now, item.timestamp, item.ticks, item.payload)
            item = Missing(item.ticks, lost=False)
        if isinstance(item, Packet):
            try:
                pcm = decoder.decode(item.payload)
            except MediaError:
                stats.unreadable += 1
                item = Missing(item.ticks, lost=True)
            else:
                if self._tap is not None:
                    self._tap.audio(self._codec, now, item.timestamp, item.ticks, item.payload)
                return [self._hand(pcm)]
        pcm = decoder.make_up(max(due, 0), lost=item.lost, next_payload=item.next_payload)
        if item.lost:
            stats.concealed_samples += len(pcm)
        else:
            stats.filled_samples += len(pcm)
        return [self._hand(pcm)]

    def _hand(self, pcm: Pcm) -> Pcm:
        self._handed += len(pcm)
        self.stats.samples += len(pcm)
        return pcm


@dataclass(frozen=True, slots=True)
class InboundAudio:
    """How a call hears its caller.

    Attributes:
        listen: await it for as long as the call lasts; it passes on 16 kHz mono.
        tapped: True if packets come straight from the network; False if aiortc's frames are used.
        stats: sample counters.
        packets: returns packet counters; for aiortc's frames, only ``surplus`` is counted.
    """

    listen: Callable[[], Coroutine[Any, Any, None]]
    tapped: bool
    stats: InboundStats
    packets: Callable[[], ReorderStats]


def open_inbound_audio(
    receiver: RTCRtpReceiver,
    payloads: Mapping[int, str],
    *,
    hear: Callable[[Pcm], None],
    press: Callable[[str], None] = lambda _key: None,
    clock: Clock,
    tap: InletTap | None = None,
    capture: Capture | None = None,
) -> InboundAudio:
    """Take over a receiver's audio, through the tap if possible; call it before media flows.

    Args:
        receiver: aiortc's receiver, after negotiation.
        payloads: the codec's name in SDP for each payload type, as negotiated.
        hear: takes int16, shape ``(samples,)``, mono, 16 kHz.
        press: takes each telephone key, if events were negotiated (`tap.negotiate_keys`).
        clock: monotonic seconds.
        tap: takes the audio for a recording.
        capture: see `PacketInlet`; aiortc's frames are not noted.
    """
    packets = PacketInlet(payloads, press, tap, capture)

    def take(packet: RtpPacket) -> None:
        for pcm in packets.push(packet, clock()):
            hear(pcm)

    if tap_audio(receiver, take):
        return InboundAudio(lambda: packets.listen(clock, hear), True, packets.stats, lambda: packets.reorder_stats)
    pass_over_empty_packets(receiver)
    frames = FrameInlet()
    return InboundAudio(
        lambda: frames.listen(receiver.track, clock, hear, tap), False, frames.stats, lambda: frames.frame_stats
    )
