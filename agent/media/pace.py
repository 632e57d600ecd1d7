"""Decide when a talkspurt of the agent may begin: at once, unless the model streams no faster than real time.

If a model sends faster than real time, its next chunk is here before the first one has been played. If it streams
in exactly real time, every chunk that comes a little late would leave a gap, so its talkspurts begin with a small
prebuffer. The queue shows which is the case: it grows, or it runs dry during a generation. If it runs dry, the
prebuffer was too small for this model's bursts and is doubled for the rest of the call.
"""

from __future__ import annotations

from agent.media.playout import VOICE_RATE_HZ

PREBUFFER_SAMPLES = VOICE_RATE_HZ * 60 // 1000
MAX_PREBUFFER_SAMPLES = VOICE_RATE_HZ * 240 // 1000
MAX_WAIT_PER_PREBUFFER = 2 / 3  # longest wait as a share of the prebuffer, for replies shorter than the prebuffer
AHEAD_SAMPLES = VOICE_RATE_HZ * 140 // 1000  # a queue this much longer than the prebuffer is ahead of real time


class Pace:
    """Remembers how fast the model streams; one per call."""

    def __init__(self) -> None:
        self.faster_than_real_time = False
        "True once the queue has grown; False again once it has run dry."
        self._prebuffer_samples = PREBUFFER_SAMPLES
        self._waiting_since: float | None = None

    def pushed(self, queued_samples: int, now: float) -> None:
        """Note that speech was queued."""
        if self._waiting_since is None:
            self._waiting_since = now
        if queued_samples >= self._prebuffer_samples + AHEAD_SAMPLES:
            self.faster_than_real_time = True

    def may_begin(self, queued_samples: int, now: float) -> bool:
        """Return True if queued speech may begin to be heard."""
        if queued_samples == 0:
            return False
        waited_s = 0.0 if self._waiting_since is None else now - self._waiting_since
        long_enough = waited_s >= MAX_WAIT_PER_PREBUFFER * self._prebuffer_samples / VOICE_RATE_HZ
        return self.faster_than_real_time or queued_samples >= self._prebuffer_samples or long_enough

    def ended(self, *, ran_dry: bool) -> None:
        """Note that a talkspurt ended.

        Args:
            ran_dry: the queue was empty although the model had not finished.
        """
        self._waiting_since = None
        if ran_dry and not self.faster_than_real_time:
            self._prebuffer_samples = min(2 * self._prebuffer_samples, MAX_PREBUFFER_SAMPLES)
        if ran_dry:
            self.faster_than_real_time = False
