"""A picture: one type for what the caller shows, sends or is shown, and for what tools return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

SourceName = Literal["camera", "screen"]


class Picture:
    """A picture as a file. A tool returns one, or several anywhere in its result, to show the model something.

    This is no dataclass: pydantic, which makes JSON of what a tool returns, would take one apart.

    Args:
        data: the file's bytes: untrusted. From a tool: a JPEG or PNG of 4 MiB and 4096 pixels a side at most.
        mime_type: such as ``image/jpeg``; "" until somebody has looked (`agent.media.still.read_still`).
        width: in pixels; 0 if not known.
        height: in pixels; 0 if not known.
    """

    __slots__ = ("data", "height", "mime_type", "width")

    def __init__(self, data: bytes, mime_type: str = "", width: int = 0, height: int = 0) -> None:
        self.data = data
        self.mime_type = mime_type
        self.width = width
        self.height = height

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Picture):
            return NotImplemented
        return (self.mime_type, self.data) == (other.mime_type, other.data)

    def __hash__(self) -> int:
        return hash((self.mime_type, self.data))

    def __repr__(self) -> str:
        return f"Picture({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the caller shows at a moment."""

    source: SourceName
    picture: Picture = field(repr=False)
