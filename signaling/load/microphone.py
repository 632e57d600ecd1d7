"""A caller's microphone in a scenario: speech, noise and telephone keys as packets, by an absolute clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from agent.clock import monotonic
from agent.media import dtmf
from agent.media.encode import voice_encoder
from agent.media.fir import Pcm
from agent.media.tap.audio import Switch
from signaling.client.caller import FRAME_S, Microphone
from signaling.load.sounds import FRAME_SAMPLES, RATE_HZ, loud_part

OPUS_HZ = 48_000


class ScenarioMicrophone(Microphone):
    """Sends Opus every 20 ms, and notes when what was said left.

    Args:
        background: what is heard all the time, repeated, whole frames of it; None for digital silence.
        on_sent: called with each frame's PCM and when it left.
    """

    def __init__(self, background: NDArray[np.float32] | None, on_sent: Callable[[Pcm, float], None]) -> None:
        super().__init__(RATE_HZ)
        self.spoke_from: float | None = None
        "When the first audible sample of the latest speech was spoken, in monotonic seconds."
        self.spoke_until: float | None = None
        "When the last one was."
        self.worst_late_s = 0.0
        "By how much this program was late with a packet, at worst."
        self._speech = np.zeros(0, np.int16)  # still to be said
        self._began: float | None = None
        self._done = asyncio.Event()
        self._done.set()
        self._encoder = voice_encoder("opus")
        self._background = background
        self._on_sent = on_sent
        self._keys: deque[bytes | None] = deque()
        self._key_pts = 0
        self._in_key = False
        self._switch: Switch | None = None

    def play(self, pcm: Pcm) -> None:
        """Say something; what is audible of it is timed."""
        self.spoke_from = self.spoke_until = None
        self._speech = np.concatenate((self._speech, pcm))
        self._done.clear()

    @property
    def idle(self) -> bool:
        """True once everything has been said and pressed."""
        return self._done.is_set()

    async def played(self) -> None:
        """Wait until everything has been said and pressed."""
        await self._done.wait()

    def use_keys(self, switch: Switch) -> None:
        """Enable `press`; call it once telephone keys have been negotiated."""
        self._switch = switch

    def press(self, keys: str) -> bool:
        """Press telephone keys (RFC 4733); return False if the service takes none."""
        if self._switch is None:
            return False
        for key in keys:
            self._keys.extend([*dtmf.key_packets(key, clock_hz=OPUS_HZ), *[None] * dtmf.PAUSE_SLOTS])
        self._done.clear()
        return True

    async def recv(self) -> av.Packet[Any]:  # type: ignore[override]
        """Return the next 20 ms as a packet once they are due.

        Raises:
            MediaStreamError: the track was stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        now = monotonic()
        if self._began is None:
            self._began = now
        due = self._began + self.sent_frames * FRAME_S
        await asyncio.sleep(max(0.0, due - now))
        now = monotonic()
        self.worst_late_s = max(self.worst_late_s, now - due)
        pcm = self._next_pcm(now)
        payload = self._next_key() if self._keys else None
        if self._keys or payload is not None:
            pcm = np.zeros(FRAME_SAMPLES, np.int16)  # a telephone is silent while a key is pressed
        if not len(self._speech) and not self._keys:
            self._done.set()
        packet: av.Packet[Any] = av.Packet(payload or self._encoder.encode(pcm))
        pts = self.sent_frames * FRAME_SAMPLES * OPUS_HZ // RATE_HZ
        packet.pts = pts if payload is None else self._key_pts
        packet.time_base = Fraction(1, OPUS_HZ)
        self.sent_frames += 1
        self._on_sent(pcm, now)
        return packet

    def _next_pcm(self, now: float) -> Pcm:
        samples = np.zeros(FRAME_SAMPLES, np.int16)
        if not self._keys and len(self._speech):
            part = self._speech[:FRAME_SAMPLES]
            self._speech = self._speech[FRAME_SAMPLES:]
            samples[: len(part)] = part
            self._time(samples, now)
        if self._background is None:
            return samples
        at = self.sent_frames * FRAME_SAMPLES % len(self._background)
        mixed = samples + self._background[at : at + FRAME_SAMPLES]
        noisy: Pcm = np.clip(mixed, -32768, 32767).astype(np.int16)
        return noisy

    def _time(self, samples: Pcm, now: float) -> None:
        """Note when what is audible was spoken: a packet leaves when its last sample has been."""
        loud = loud_part(samples)
        if loud is None:
            return
        if self.spoke_from is None:
            self.spoke_from = now - (FRAME_SAMPLES - loud[0]) / RATE_HZ
        self.spoke_until = now - (FRAME_SAMPLES - loud[1]) / RATE_HZ

    def _next_key(self) -> bytes | None:
        """Return the next packet of a key, and tell the sender what it is; None for a pause between keys."""
        assert self._switch is not None
        payload = self._keys.popleft()
        begins = payload is not None and not self._in_key
        if begins:
            self._key_pts = self.sent_frames * FRAME_SAMPLES * OPUS_HZ // RATE_HZ
        self._in_key = payload is not None
        self._switch(None if payload is None else "first" if begins else "further")
        return payload
