"""What waits to be sent to the Live server: the only queue between the caller and the model.

Audio is bounded to about a second, oldest dropped and counted: old speech is worth less than new. While no session
takes it, it is bounded to 30 s instead: the caller goes on talking over an outage, and none of it is to be lost.
Text, tool results and activity marks keep their place among the audio and are never dropped. Of pictures only the
newest of each source waits, and goes when nothing else does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.errors import LiveLost
from agent.picture import Picture, Shown

BYTES_PER_S = 16_000 * 2  # 16 kHz, 16 bits
MAX_QUEUED_BYTES = BYTES_PER_S  # 1 s
MAX_HELD_BYTES = 30 * BYTES_PER_S  # while no session takes it
MAX_QUEUED_IMAGE_BYTES = 16 << 20  # of pictures that belong to texts
MAX_QUEUED_OTHERS = 1024  # a storm of tool calls in one message is answered at once


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk of the caller's voice: little-endian 16-bit mono 16 kHz; ``speech`` unless nobody speaks in it."""

    pcm_bytes: bytes = field(repr=False)
    speech: bool = True


@dataclass(frozen=True, slots=True)
class TypedText:
    """Text of the caller, and what it is about."""

    text: str = field(repr=False)
    images: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a tool call, or its progress.

    Attributes:
        call_id: the model's id, good in the session that made the call.
        name: the tool.
        response: what the model is told.
        scheduling: WHEN_IDLE, INTERRUPT or SILENT; None leaves it to the model.
        will_continue: it is progress; the answer follows.
        images: what the model is shown with it.
    """

    call_id: str
    name: str
    response: dict[str, Any] = field(repr=False)
    scheduling: str | None = None
    will_continue: bool = False
    images: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the model is to know and that nobody said.

    Attributes:
        text: says of itself that nobody said it.
        wants_reply: the model is to speak now.
        result: the tool's result that it tells, if it does.
        images: what it is about.
    """

    text: str = field(repr=False)
    wants_reply: bool = False
    result: ToolResult | None = None
    images: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Nudge:
    """The caller waits for an answer; a newer one takes the place of one that is not answered yet."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActivityMark:
    """The caller's turn starts here, or ends; for a Live server whose own detector is off."""

    starts: bool


@dataclass(frozen=True, slots=True)
class AgentChange:
    """From here on the agent is told to be, or may call, something else.

    Attributes:
        instructions: what it is told to be; None leaves it.
        declarations: all of its tools; None leaves them.
    """

    instructions: str | None = field(repr=False)
    declarations: Sequence[Mapping[str, Any]] | None = field(repr=False)


Item = Audio | TypedText | Note | Nudge | ToolResult | Shown | ActivityMark | AgentChange


class Uplink:
    """A queue for one consumer."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        "Audio that was dropped because it waited too long."
        self.replaced_pictures = 0
        "Pictures that were not sent because a newer one of their source came first."
        self._items: deque[Audio | TypedText | Note | Nudge | ToolResult | ActivityMark | AgentChange] = deque()
        self._pictures: dict[str, Shown] = {}  # by source
        self._audio_bytes = 0
        self._bound_bytes = MAX_QUEUED_BYTES
        self._held = False
        self._others = 0
        self._filled = asyncio.Event()

    def put(self, item: Item) -> None:
        """Queue an item; audio beyond the bound pushes out the oldest audio, a picture the one before it.

        Raises:
            LiveLost: far too much besides audio waits: the server has stopped reading.
        """
        if isinstance(item, Shown):
            self.replaced_pictures += self._pictures.pop(item.source, None) is not None
            self._pictures[item.source] = item
            self._filled.set()
            return
        if isinstance(item, Audio):
            self._audio_bytes += len(item.pcm_bytes)
            while self._audio_bytes > self._bound_bytes and self._drop_oldest_audio():
                pass
        elif self._others >= MAX_QUEUED_OTHERS:
            raise LiveLost("the Live server has stopped reading", fault="live")
        elif isinstance(item, TypedText) and item.images and self._image_bytes(item) > MAX_QUEUED_IMAGE_BYTES:
            raise LiveLost("too many pictures wait for the Live server", fault="live")
        else:
            self._others += 1
        self._items.append(item)
        self._filled.set()

    async def get(self) -> Item:
        """Wait for the oldest item and take it; pictures come last."""
        while not self._items and not self._pictures:
            self._filled.clear()
            await self._filled.wait()
        if not self._items:
            return self._pictures.pop(next(iter(self._pictures)))
        item = self._items.popleft()
        if isinstance(item, Audio):
            self._audio_bytes -= len(item.pcm_bytes)
            self._narrow()
        else:
            self._others -= 1
        return item

    def hold(self) -> None:
        """Keep more audio from now on: there is no session that takes it."""
        self._held = True
        self._bound_bytes = MAX_HELD_BYTES

    def release(self) -> None:
        """There is a session: back to the usual bound, once all audio that waits has gone out."""
        self._held = False
        self._narrow()

    def take_tool_results(self) -> list[ToolResult]:
        """Take the tool results out that wait: their ids are those of a session that has ended."""
        results = [item for item in self._items if isinstance(item, ToolResult)]
        self._items = deque(item for item in self._items if not isinstance(item, ToolResult))
        self._others -= len(results)
        return results

    def _image_bytes(self, further: TypedText) -> int:
        """Return how many bytes of pictures would wait; counted when there is a further one, which is seldom."""
        texts = (further, *(item for item in self._items if isinstance(item, TypedText)))
        return sum(len(image.data) for text in texts for image in text.images)

    def drop_nudge(self) -> None:
        """Take the nudge out that waits, if there is one."""
        before = len(self._items)
        self._items = deque(item for item in self._items if not isinstance(item, Nudge))
        self._others -= before - len(self._items)

    def _narrow(self) -> None:
        if not self._held and not self._audio_bytes:
            self._bound_bytes = MAX_QUEUED_BYTES

    def _drop_oldest_audio(self) -> bool:
        for index, item in enumerate(self._items):
            if isinstance(item, Audio):
                del self._items[index]
                self._audio_bytes -= len(item.pcm_bytes)
                self.dropped_bytes += len(item.pcm_bytes)
                return True
        return False
