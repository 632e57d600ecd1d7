"""The agent's voice as an outbound track, which paces packets out of the playout.

The track returns finished packets (`av.Packet`). They are encoded here, so that there is no executor hop, nothing
is queued behind the track, and a flush takes effect with the next packet.

Pacing rules:
  1. Packets leave on an absolute 20 ms grid with a random phase per call; lateness does not shift it.
  2. If a packet is more than 60 ms late, the missed slots are skipped and the RTP timestamp jumps; there is no
     burst.
  3. A talkspurt starts at once (but see `agent.media.pace`): speech that arrives while the agent is silent wakes
     the track, and the grid is moved to that moment, with no gap in the RTP timestamps. The time taken in advance
     (< 20 ms) is given back in the next silence, so that the receiver's buffer does not grow from turn to turn.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from agent.capture import Capture
from agent.media import dtmf
from agent.media.encode import SILENCE, VoiceEncoder, voice_encoder
from agent.media.fir import Pcm
from agent.media.level import is_audible
from agent.media.pace import Pace
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ, Flushed, Playout
from agent.media.rtp import OnAudio

FRAME_S = 0.02
MAX_LATE_S = 0.06  # beyond this slots are skipped, because a burst inflates the receiver's buffer for seconds
IN_FLIGHT_S = 0.1  # what left so shortly before the caller's last packet may still have been lost
COMMA_SLOTS = 25
HANGOVER_FRAMES = 5  # encoded silence before cached packets; otherwise the receiver stretches the last sound


@dataclass(slots=True)
class VoiceStats:
    """Counters for one outbound voice."""

    frames: int = 0
    late_frames: int = 0
    "Frames that were more than 60 ms late."
    skipped_slots: int = 0
    payload_bytes: int = 0


class AgentVoiceTrack(MediaStreamTrack):
    """Sends what is in a `Playout`, and silence otherwise.

    Args:
        playout: where the speech is queued.
        phase_s: offset of the 20 ms grid, random between 0 and 0.02, so that calls do not all encode at once.
        on_speaking: called with True when the first sample of a talkspurt is sent, and with False after the last.
        on_begun: called once with each generation, when its first sample is sent.
        on_heard: called once with each generation, when its first audible sample is sent.
        on_faded: called when the last packet of what was cut off is sent.
    """

    kind = "audio"

    def __init__(
        self,
        playout: Playout,
        *,
        phase_s: float = 0.0,
        on_speaking: Callable[[bool], None] | None = None,
        on_begun: Callable[[int], None] | None = None,
        on_heard: Callable[[int], None] | None = None,
        on_faded: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.stats = VoiceStats()
        self.generating = False
        "Set this while the model is generating: if speech runs out then, the queue has run dry."
        self.capture: Capture | None = None
        "Notes when each packet is made, for a replay."
        self.paced = True
        "False in a replay, where the caller of `recv` decides when a packet is due."
        self.playout = playout
        self.codec: str | None = None
        "The codec's name as given to `use_codec`; None before."
        self._time_base = Fraction(1)
        self.tap: OnAudio | None = None
        "Takes each packet that is sent, keys aside, for a recording."
        self._phase_s = phase_s
        self._on_speaking = on_speaking
        self._on_begun = on_begun
        self._on_heard = on_heard
        self._on_faded = on_faded
        self._begun = 0  # the newest generation with a sample that was sent
        self._heard = 0  # the newest generation with an audible sample that was sent
        self._encoder: VoiceEncoder | None = None
        self._due: float | None = None
        self._media_s = 0.0  # media time of the next frame
        self._advance_s = 0.0  # how far the grid is ahead of its original phase
        # A call begins with encoded silence, too: a decoder that got only cached packets would mute the first word.
        self._silent_frames = 0
        self._speaking = False
        self._fade: Pcm | None = None
        self._pace = Pace()
        self._wake: asyncio.Future[None] | None = None
        self._event_switch: Callable[[dtmf.Part | None], None] | None = None
        self._events_clock_hz = 8_000
        self._key_payloads: deque[bytes | None] = deque()  # None is a pause
        self._key_media_s: float | None = None  # media time at which the key being sent was pressed

    @property
    def speaking(self) -> bool:
        """True from the first sample of a talkspurt until its last one has been sent."""
        return self._speaking

    def use_codec(self, name: str) -> None:
        """Choose the codec; call it after negotiation, before the first `recv`.

        Args:
            name: the codec's name in SDP: ``opus``, ``PCMU``, ``PCMA`` or ``G722``.

        Raises:
            MediaError: it is another codec.
        """
        self._encoder, self.codec = voice_encoder(name), name
        self._time_base = Fraction(1, self._encoder.clock_hz)

    def use_events(self, switch: Callable[[dtmf.Part | None], None], clock_hz: int) -> None:
        """Enable `send_keys`; call it once telephone-event has been negotiated.

        Args:
            switch: called before each packet: with the part of a key that the packet is, or None for audio.
            clock_hz: the RTP clock of the events.
        """
        self._event_switch = switch
        self._events_clock_hz = clock_hz

    def send_keys(self, keys: str) -> bool:
        """Press telephone keys (RFC 4733), 240 ms each, before any further speech.

        Args:
            keys: characters from `dtmf.KEYS`; a comma is a pause of half a second.

        Returns:
            False if the other side does not accept events; then nothing is sent.
        """
        if self._event_switch is None:
            return False
        for key in keys:
            if key == ",":
                self._key_payloads.extend([None] * COMMA_SLOTS)
            else:
                self._key_payloads.extend(dtmf.key_packets(key, clock_hz=self._events_clock_hz))
                self._key_payloads.extend([None] * dtmf.PAUSE_SLOTS)
        return True

    def push(self, pcm: Pcm, *, generation: int) -> bool:
        """Queue speech like `Playout.push`, and start sending at once if the agent was silent."""
        accepted = self.playout.push(pcm, generation=generation)
        if accepted and len(pcm):
            self._pace.pushed(self.playout.queued_samples, asyncio.get_running_loop().time())
            if self._wake is not None and not self._wake.done() and self._talkspurt_waits():
                self._wake.set_result(None)
        return accepted

    def flush(self, generation: int | None = None) -> list[Flushed]:
        """Cut off queued speech; the next packet fades it out over 5 ms."""
        flushed, self._fade = self.playout.flush(generation)
        self.generating = False
        self._set_speaking(False)
        return flushed

    async def recv(self) -> av.Packet[Any]:
        """Wait until the next 20 ms are due, and return them encoded.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        assert self._encoder is not None, "use_codec comes first"
        if self.paced:
            await self._wait_for_slot()
        if self.capture is not None:
            self.capture.note("pull")
        key = self._key_payloads.popleft() if self._key_payloads else None
        at_s = self._start_of_key(key)
        payload = key or self._next_payload(self._encoder)
        packet: av.Packet[Any] = av.Packet(payload)
        packet.pts = round(at_s * self._encoder.clock_hz)
        packet.time_base = self._time_base
        if self.tap is not None and key is None:
            assert self._due is not None
            assert self.codec is not None
            ticks = self._encoder.clock_hz // 50
            sent_at = self._due - FRAME_S  # when it was due, so without jitter
            self.tap(self.codec.lower(), sent_at, packet.pts, ticks, payload)
        self._media_s += FRAME_S
        self.stats.frames += 1
        self.stats.payload_bytes += len(payload)
        return packet

    def confirm(self, silent_s: float) -> None:
        """Note that the caller was heard so many seconds ago: what was sent before that has arrived."""
        self.playout.confirm(int((silent_s + IN_FLIGHT_S) * VOICE_RATE_HZ))

    def rewind(self) -> int:
        """Take back what the caller has not received, before another sender takes over; return its samples.

        The former sender no longer gets anything; if it is waiting for a packet, its task is cancelled.
        """
        if self._wake is not None and not self._wake.done():
            self._wake.cancel()
        self._due = None
        samples = self.playout.rewind()
        if self.capture is not None:
            self.capture.note("rewind", samples)
        return samples

    def stop(self) -> None:
        """Do nothing: aiortc's senders stop the track when their connection is lost, and others may follow."""

    def end(self) -> None:
        """End the track; a pending `recv` raises."""
        super().stop()
        if self._wake is not None and not self._wake.done():
            self._wake.cancel()

    def let_go(self) -> None:
        """Drop the callbacks once the track has stopped."""
        self._on_speaking = self._on_begun = self._on_heard = self._on_faded = self.tap = None

    def _start_of_key(self, key: bytes | None) -> float:
        """Return the next packet's media time, and tell the sender whether it is a key or audio."""
        first = self._key_media_s is None
        if self._event_switch is not None:
            self._event_switch(None if key is None else "first" if first else "further")
        if key is None:
            self._key_media_s = None
            return self._media_s
        if self._key_media_s is None:
            self._key_media_s = self._media_s
        return self._key_media_s

    def _next_payload(self, encoder: VoiceEncoder) -> bytes:
        pcm = None if self._key_payloads else self._next_pcm()  # silence between two keys
        return encoder.silence if pcm is None else encoder.encode(pcm)

    async def _wait_for_slot(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due is None:
            self._due = now + self._phase_s
        if self._may_give_back():
            self._due += self._advance_s
            self._advance_s = 0.0
        early_s = self._due - now
        if early_s < -MAX_LATE_S:
            self.stats.late_frames += 1
            slots = int(-early_s / FRAME_S)
            self.stats.skipped_slots += slots
            self._due += slots * FRAME_S
            self._media_s += slots * FRAME_S
        elif early_s > 0 and not self._talkspurt_waits():
            await self._sleep_until(self._due)
            early_s = self._due - loop.time()
        if early_s > 0 and self._talkspurt_waits():
            self._due -= early_s
            self._advance_s += early_s
        self._due += FRAME_S

    async def _sleep_until(self, when: float) -> None:
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_at(when, _resolve, self._wake)
        try:
            await self._wake
        except asyncio.CancelledError:
            if self.readyState != "live":
                raise MediaStreamError from None
            raise
        finally:
            timer.cancel()
            self._wake = None

    def _talkspurt_waits(self) -> bool:
        return not self._speaking and self._pace.may_begin(
            self.playout.queued_samples, asyncio.get_running_loop().time()
        )

    def _may_give_back(self) -> bool:
        return self._advance_s > 0 and self._silent_frames >= HANGOVER_FRAMES and not self._talkspurt_waits()

    def _next_pcm(self) -> Pcm | None:
        """Return 20 ms of voice or of encoded silence, or None for cached silence after the hangover."""
        fade, self._fade = self._fade, None
        pcm: Pcm | None = None
        if self._speaking or self._talkspurt_waits():
            pcm = self.playout.pull(FRAME_SAMPLES if fade is None else FRAME_SAMPLES - len(fade))
        self._set_speaking(pcm is not None)
        if pcm is not None and self.playout.playing != self._heard:
            self._note_sent(pcm)
        if fade is not None:
            pcm = np.concatenate((fade, SILENCE[len(fade) :] if pcm is None else pcm))
            if self._on_faded is not None:
                self._on_faded()
        if pcm is not None:
            self._silent_frames = 0
            return pcm
        self._silent_frames += 1
        return SILENCE if self._silent_frames <= HANGOVER_FRAMES else None

    def _note_sent(self, pcm: Pcm) -> None:
        """Note a packet of a generation that nobody has heard yet."""
        generation = self.playout.playing
        if generation != self._begun:
            self._begun = generation
            if self._on_begun is not None:
                self._on_begun(generation)
        if is_audible(pcm):
            self._heard = generation
            if self._on_heard is not None:
                self._on_heard(generation)

    def _set_speaking(self, speaking: bool) -> None:
        if speaking != self._speaking:
            self._speaking = speaking
            if not speaking:
                self._pace.ended(ran_dry=self.generating)
            if self._on_speaking is not None:
                self._on_speaking(speaking)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
