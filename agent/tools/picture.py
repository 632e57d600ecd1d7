"""A picture that a tool returns to show the model."""

from __future__ import annotations


class Picture:
    """A JPEG or PNG for the model to look at, as a tool's result or anywhere within it.

    Args:
        data: the file's content, at most 4 MiB, and at most 4096 pixels on each side.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Picture({len(self.data)} bytes)"
