"""When a talkspurt of the agent may begin: at once, unless the model streams no faster than it is heard.

A model that sends faster than real time has its next chunk here before the first is played. One that streams at
exactly real time would leave a gap after every chunk that comes a little late, so its talkspurts begin with a small
store. Which of the two it is shows in the queue: it grows, or it runs dry in the middle of a generation. A store
that runs dry was too small for the bursts of this model, and is doubled for the rest of the call.
"""

from __future__ import annotations

from agent.media.playout import VOICE_RATE_HZ

STORE_SAMPLES = VOICE_RATE_HZ * 60 // 1000
LARGEST_STORE_SAMPLES = VOICE_RATE_HZ * 240 // 1000
STORE_WAIT_SHARE = 2 / 3  # of its length: a reply that is shorter than the store does not wait longer
AHEAD_SAMPLES = VOICE_RATE_HZ * 140 // 1000  # so much beyond the store is not real time


class Pace:
    """Remember how fast the model streams; one value per call."""

    def __init__(self) -> None:
        self.faster_than_real_time = False
        "True once the queue has grown; False again once it ran dry."
        self._store_samples = STORE_SAMPLES
        self._waiting_since: float | None = None

    def pushed(self, queued_samples: int, now: float) -> None:
        """Note that speech was queued."""
        if self._waiting_since is None:
            self._waiting_since = now
        if queued_samples >= self._store_samples + AHEAD_SAMPLES:
            self.faster_than_real_time = True

    def may_begin(self, queued_samples: int, now: float) -> bool:
        """Say whether speech that waits in silence may begin to be heard."""
        if queued_samples == 0:
            return False
        waited_s = 0.0 if self._waiting_since is None else now - self._waiting_since
        long_enough = waited_s >= STORE_WAIT_SHARE * self._store_samples / VOICE_RATE_HZ
        return self.faster_than_real_time or queued_samples >= self._store_samples or long_enough

    def ended(self, *, ran_dry: bool) -> None:
        """Note that a talkspurt ended.

        Args:
            ran_dry: the queue was empty, though the model had not finished.
        """
        self._waiting_since = None
        if ran_dry and not self.faster_than_real_time:
            self._store_samples = min(2 * self._store_samples, LARGEST_STORE_SAMPLES)
        if ran_dry:
            self.faster_than_real_time = False
