"""When a talkspurt of the agent may begin: at once, unless the model streams no faster than it is heard.

A model that sends faster than real time has its next chunk here before the first is played. One that streams at
exactly real time would leave a gap after every chunk that comes a little late, so its talkspurts begin with a small
store. Which of the two it is shows in the queue: it grows, or it runs dry in the middle of a generation.
"""

from __future__ import annotations

from agent.media.playout import VOICE_RATE_HZ

STORE_SAMPLES = VOICE_RATE_HZ * 60 // 1000
STORE_WAIT_S = 0.04  # a chunk of a streaming model; a reply that is shorter than the store does not wait longer
GROWN_SAMPLES = VOICE_RATE_HZ * 200 // 1000  # so much ahead is not real time


class Pace:
    """Remember how fast the model streams; one value per call."""

    def __init__(self) -> None:
        self.faster_than_real_time = False
        "True once the queue has grown; False again once it ran dry."
        self._waiting_since: float | None = None

    def pushed(self, queued_samples: int, now: float) -> None:
        """Note that speech was queued."""
        if self._waiting_since is None:
            self._waiting_since = now
        if queued_samples >= GROWN_SAMPLES:
            self.faster_than_real_time = True

    def may_begin(self, queued_samples: int, now: float) -> bool:
        """Say whether speech that waits in silence may begin to be heard."""
        if queued_samples == 0:
            return False
        waited_s = 0.0 if self._waiting_since is None else now - self._waiting_since
        return self.faster_than_real_time or queued_samples >= STORE_SAMPLES or waited_s >= STORE_WAIT_S

    def ended(self, *, ran_dry: bool) -> None:
        """Note that a talkspurt ended.

        Args:
            ran_dry: the queue was empty, though the model had not finished.
        """
        self._waiting_since = None
        if ran_dry:
            self.faster_than_real_time = False
