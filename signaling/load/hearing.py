"""What one caller hears: when the agent speaks, and which packets are late or missing. Pure.

Per packet nothing is allocated but what the decoder needs. Times are monotonic seconds.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from agent.errors import MediaError
from agent.media.fir import Pcm
from agent.media.level import AUDIBLE_PEAK, is_audible

CLOCK_HZ = 48_000  # of Opus, RFC 7587
EAR_RATE_HZ = 8_000  # enough to tell sound from silence, and the cheapest
LATE_S = 0.06
TALK_PAUSE_S = 0.2  # a shorter silence is a pause between words
BASE_WINDOW_S = 5.0  # over so long the fastest packet says what is in time
JITTER_SHARE = 16  # RFC 3550 section 6.4.1


class Talk(NamedTuple):
    """A stretch of speech, by its first and its last audible sample."""

    started_at: float
    ended_at: float


class Decoder(Protocol):
    """What turns a packet into sound."""

    def decode(self, packet: bytes) -> Pcm:
        """Return int16, shape ``(samples,)``, mono, at `EAR_RATE_HZ`."""


class Ear:
    """Listens to one stream of RTP packets.

    Args:
        decoder: the stream's.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.received = 0
        self.late = 0
        "Packets that came more than `LATE_S` after they should have."
        self.bursts = 0
        "How often one packet or several in a row were missing."
        self.gaps: list[Talk] = []
        "When the agent's speech broke off because a packet was late or missing, and when it went on."
        self.jitter_s = 0.0
        self.first_at: float | None = None
        "When the first packet came."
        self.talks: list[Talk] = []
        self._decoder = decoder
        self._first = self._highest = 0
        self._last_at = self._last_rtp_s = 0.0
        self._transit_s = 0.0
        self._base_s = self._next_base_s = float("inf")
        self._base_ends = 0.0
        self._rtp_wraps = 0
        self._timestamp = 0
        self._silent_payload = b""
        self._silent_run = 0
        self._talk_started: float | None = None
        self._audible_at = 0.0
        self._audible_pcm: Pcm | None = None

    @property
    def lost(self) -> int:
        """Packets that did not come, up to the newest that did."""
        return self._highest - self._first + 1 - self.received if self.received else 0

    @property
    def newest_talk_at(self) -> float:
        """When the agent's newest talk began, which may go on; 0 before the first."""
        if self._talk_started is not None:
            return self._talk_started
        return self.talks[-1].started_at if self.talks else 0.0

    @property
    def audible_at(self) -> float:
        """When the newest audible packet came; 0 before the first."""
        return self._audible_at

    def take(self, sequence: int, timestamp: int, payload: bytes, at: float) -> None:
        """Hear a packet.

        Args:
            sequence: its sequence number.
            timestamp: its RTP timestamp, on a clock of `CLOCK_HZ`.
            payload: the codec's bytes; untrusted.
            at: when it came; packets are given in the order in which they came.
        """
        if self.first_at is None:
            self.first_at = at
            self._first = self._highest = sequence
            self._timestamp = timestamp
            self._last_at, self._transit_s = at, at
            self.received = 1
        else:
            self._follow(sequence, timestamp, at)
        self._listen(payload, at)

    def _follow(self, sequence: int, timestamp: int, at: float) -> None:
        ahead = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        rtp_s = self._last_rtp_s + (((timestamp - self._timestamp + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)) / CLOCK_HZ
        self.received += 1
        self._judge(rtp_s, at)
        if ahead > 0:
            missing = ahead - 1
            self.bursts += missing > 0
            broke_off = at - self._last_at - (0.0 if missing else rtp_s - self._last_rtp_s) > LATE_S
            if self._talk_started is not None and broke_off:
                self.gaps.append(Talk(self._last_at, at))
            self._highest += ahead
            self._timestamp, self._last_rtp_s, self._last_at = timestamp, rtp_s, at

    def _judge(self, rtp_s: float, at: float) -> None:
        """Compare a packet's way with the fastest of late: the clocks of both sides need not agree."""
        transit_s = at - rtp_s
        self.jitter_s += (abs(transit_s - self._transit_s) - self.jitter_s) / JITTER_SHARE
        self._transit_s = transit_s
        if at >= self._base_ends:
            self._base_s, self._next_base_s = min(self._next_base_s, transit_s), transit_s
            self._base_ends = at + BASE_WINDOW_S
        self._base_s = min(self._base_s, transit_s)
        self._next_base_s = min(self._next_base_s, transit_s)
        self.late += transit_s - self._base_s > LATE_S

    def _listen(self, payload: bytes, at: float) -> None:
        if self._talk_started is not None and at - self._audible_at > TALK_PAUSE_S:
            self.finish()
        if payload == self._silent_payload and self._silent_run > 1:
            return  # the decoder has seen this silence twice: nothing of a sound is left in it
        try:
            pcm = self._decoder.decode(payload)
        except MediaError:
            return
        if is_audible(pcm):
            self._silent_run = 0
            if self._talk_started is None:
                self._talk_started = at + _first_audible(pcm) / EAR_RATE_HZ
            self._audible_at, self._audible_pcm = at, pcm
        else:
            self._silent_run = self._silent_run + 1 if payload == self._silent_payload else 1
            self._silent_payload = payload

    def finish(self) -> None:
        """End the talk that goes on, if one does: at its last audible sample."""
        if self._talk_started is not None and self._audible_pcm is not None:
            ended = self._audible_at + _last_audible(self._audible_pcm) / EAR_RATE_HZ
            self.talks.append(Talk(self._talk_started, ended))
        self._talk_started = None


def _first_audible(pcm: Pcm) -> int:
    return int(np.argmax((pcm > AUDIBLE_PEAK) | (pcm < -AUDIBLE_PEAK)))


def _last_audible(pcm: Pcm) -> int:
    return len(pcm) - _first_audible(pcm[::-1])
