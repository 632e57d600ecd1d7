"""Sends what the caller shows to the model, and keeps the newest picture of each source."""

from __future__ import annotations

from agent.clock import Clock
from agent.live.uplink import Uplink
from agent.media.video import InboundVideo
from agent.picture import Shown

SHOWN_S = 3.0  # a camera or screen counts as off after this long without a packet


class Sight:
    """Sees what one caller shows.

    Args:
        uplink: sends the pictures to the model.
        clock: monotonic seconds.
    """

    def __init__(self, uplink: Uplink, *, clock: Clock) -> None:
        self.videos: list[InboundVideo] = []
        "The caller's camera and screen; to be filled in before the call runs."
        self._uplink = uplink
        self._clock = clock
        self._shown: dict[str, Shown] = {}  # the newest picture by source

    def see(self, shown: Shown) -> None:
        """Take a new picture from the caller."""
        self._shown[shown.source] = shown
        self._uplink.put(shown)

    def pictures(self, source: str | None = None) -> list[Shown]:
        """Return the newest picture of one source, or of every source, that is on."""
        off = {video.name for video in self.videos if not self._is_on(video)}
        return [shown for name, shown in self._shown.items() if source in (None, name) and name not in off]

    def jpeg(self, source: str | None) -> bytes | None:
        """Return the newest picture of one source, or of any source, as JPEG; None if there is none that is on."""
        return next((shown.picture.data for shown in self.pictures(source)), None)

    def look_again(self, source: str | None = None) -> list[str]:
        """Send the next picture of one source, or of all, even if unchanged; return the sources that are on."""
        on = [video for video in self.videos if source in (None, video.name) and self._is_on(video)]
        for video in on:
            video.forget()
        return [video.name for video in on]

    def session_replaced(self) -> None:
        """Send the next picture of each source even if it is unchanged: the new session has seen none."""
        for video in self.videos:
            video.forget()

    def _is_on(self, video: InboundVideo) -> bool:
        return self._clock() - video.stats.packet_at <= SHOWN_S
