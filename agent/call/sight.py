"""What the caller shows: sent to the model as it comes, and the newest of each source kept. Pure."""

from __future__ import annotations

from agent.clock import Clock
from agent.live.uplink import Uplink
from agent.media.video import InboundVideo
from agent.picture import Shown

SHOWN_S = 3.0  # without a packet of it, a camera or screen counts as off


class Sight:
    """See what one caller shows.

    Args:
        uplink: takes the pictures.
        clock: monotonic seconds.
    """

    def __init__(self, uplink: Uplink, *, clock: Clock) -> None:
        self.videos: list[InboundVideo] = []
        "Where the caller is seen; to be filled before the call runs."
        self._uplink = uplink
        self._clock = clock
        self._shown: dict[str, Shown] = {}  # the newest picture by source

    def see(self, shown: Shown) -> None:
        """Take what the caller shows now."""
        self._shown[shown.source] = shown
        self._uplink.put(shown)

    def pictures(self, source: str | None = None) -> list[Shown]:
        """Return the newest picture of a source that is on, or of each."""
        off = {video.name for video in self.videos if not self._is_on(video)}
        return [shown for name, shown in self._shown.items() if source in (None, name) and name not in off]

    def jpeg(self, source: str | None) -> bytes | None:
        """Return the newest picture of a source that is on, or of any; None if it is off, or all are."""
        return next((shown.picture.data for shown in self.pictures(source)), None)

    def look_again(self, source: str | None = None) -> list[str]:
        """Send the next picture of a source, or of each, even if it looks like the last; return which are on."""
        on = [video for video in self.videos if source in (None, video.name) and self._is_on(video)]
        for video in on:
            video.forget()
        return [video.name for video in on]

    def session_replaced(self) -> None:
        """Send the next picture of each source again: the new session has seen nothing."""
        for video in self.videos:
            video.forget()

    def _is_on(self, video: InboundVideo) -> bool:
        return self._clock() - video.stats.packet_at <= SHOWN_S
