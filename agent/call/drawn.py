"""Keeps the newest pictures that the model made in a call, so that they can be fetched. Pure."""

from __future__ import annotations

from collections import OrderedDict

from agent import events
from agent.picture import Picture

MIME_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
"""Types that a browser displays without running code: SVG is excluded because it may contain scripts."""
MAX_PICTURE_BYTES = 4 << 20
MAX_KEPT = 4


class Drawn:
    """The newest pictures of one call.

    Attributes:
        count: how many pictures were accepted.
    """

    def __init__(self) -> None:
        self.count = 0
        self._kept: OrderedDict[int, events.AgentShowedPicture] = OrderedDict()

    def take(self, picture: Picture) -> events.AgentShowedPicture | None:
        """Keep a picture; return its event, or None if the picture is refused."""
        if picture.mime_type not in MIME_TYPES or len(picture.data) > MAX_PICTURE_BYTES:
            return None
        self.count += 1
        shown = events.AgentShowedPicture(self.count, picture.mime_type, picture.data)
        self._kept[shown.number] = shown
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return shown

    def picture(self, number: int) -> events.AgentShowedPicture | None:
        """Return a picture by its number; None if it does not exist or is no longer kept."""
        return self._kept.get(number)
