"""Queues what is to be sent to the Live server; this is the only queue between the caller and the model.

Audio is bounded to about a second; the oldest is dropped and counted, because old speech is worth less than new.
While there is no session, the bound is 30 s instead: callers keep talking during an outage, and none of that may be
lost. Texts, tool results and activity marks keep their place among the audio and are never dropped. Only the newest
picture of each source is queued; it is sent when nothing else is waiting.
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
MAX_HELD_BYTES = 30 * BYTES_PER_S  # while there is no session
MAX_QUEUED_PICTURE_BYTES = 16 << 20  # all pictures that belong to texts
MAX_QUEUED_OTHERS = 1024  # large, because many tool calls in one message are answered at once


@dataclass(frozen=True, slots=True)
class Audio:
    """A chunk of the caller's audio: little-endian 16-bit mono 16 kHz; ``speech`` tells whether anybody speaks."""

    pcm_bytes: bytes = field(repr=False)
    speech: bool = True


@dataclass(frozen=True, slots=True)
class TypedText:
    """A text that the caller typed, and the pictures that it is about."""

    text: str = field(repr=False)
    pictures: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The answer to a tool call, or its progress.

    Attributes:
        call_id: the model's id; only the session that made the call knows it.
        name: the tool's name.
        response: what the model is told.
        scheduling: WHEN_IDLE, INTERRUPT or SILENT; None leaves it to the model.
        will_continue: whether this is progress and the answer is still to come.
        pictures: the pictures that the model is shown with it.
    """

    call_id: str
    name: str
    response: dict[str, Any] = field(repr=False)
    scheduling: str | None = None
    will_continue: bool = False
    pictures: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the model must know although nobody said it.

    Attributes:
        text: the text, which itself states that nobody said it.
        wants_reply: whether the model is to speak now.
        result: the tool's result that the note contains; None for any other note.
        pictures: the pictures that it is about.
    """

    text: str = field(repr=False)
    wants_reply: bool = False
    result: ToolResult | None = None
    pictures: tuple[Picture, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Nudge:
    """A reminder that the caller is waiting for an answer; it replaces an older one that is still queued."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ActivityMark:
    """The start or end of the caller's turn, for a Live server whose own detector is off."""

    starts: bool


@dataclass(frozen=True, slots=True)
class AgentChange:
    """New instructions or tools for the agent.

    Attributes:
        instructions: its new instructions; None leaves them unchanged.
        declarations: all of its tools; None leaves them unchanged.
    """

    instructions: str | None = field(repr=False)
    declarations: Sequence[Mapping[str, Any]] | None = field(repr=False)


Item = Audio | TypedText | Note | Nudge | ToolResult | Shown | ActivityMark | AgentChange


class Uplink:
    """A queue for one consumer."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        "Bytes of audio that were dropped because too much was queued."
        self.replaced_pictures = 0
        "Pictures that were not sent because a newer one from the same source came first."
        self.question_end: Item | None = None
        "The last known item of what the caller said or typed; None once it is sent."
        self._question_sent_at: float | None = None
        self._items: deque[Audio | TypedText | Note | Nudge | ToolResult | ActivityMark | AgentChange] = deque()
        self._pictures: dict[str, Shown] = {}  # by source
        self._audio_bytes = 0
        self._bound_bytes = MAX_QUEUED_BYTES
        self._held = False
        self._others = 0
        self._filled = asyncio.Event()

    def put(self, item: Item) -> None:
        """Queue an item; audio beyond the bound displaces the oldest, a picture displaces the last of its source.

        Raises:
            LiveLost: far too much besides audio is queued: the server has stopped reading.
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
        elif isinstance(item, TypedText) and item.pictures and self._picture_bytes(item) > MAX_QUEUED_PICTURE_BYTES:
            raise LiveLost("too many pictures wait for the Live server", fault="live")
        else:
            self._others += 1
        self._items.append(item)
        self._filled.set()

    def put_question(self, item: Item) -> None:
        """Queue an item that may complete the caller's question; otherwise like `put`.

        Raises:
            LiveLost: see `put`.
        """
        self.question_end = item
        self.put(item)

    def question_sent(self, now: float) -> None:
        """Note that `question_end` was sent."""
        self.question_end, self._question_sent_at = None, now

    def question_sent_at(self) -> float | None:
        """Return when the last item of the caller's question was sent; None if it has not been."""
        return self._question_sent_at if self.question_end is None else None

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
        """Keep more audio from now on, because there is no session."""
        self._held = True
        self._bound_bytes = MAX_HELD_BYTES

    def release(self) -> None:
        """Return to the usual bound once all queued audio has been sent, because there is a session."""
        self._held = False
        self._narrow()

    def take_tool_results(self) -> list[ToolResult]:
        """Remove and return the queued tool results: only the session that has ended knew their ids."""
        results = [item for item in self._items if isinstance(item, ToolResult)]
        self._items = deque(item for item in self._items if not isinstance(item, ToolResult))
        self._others -= len(results)
        return results

    def _picture_bytes(self, further: TypedText) -> int:
        """Return the bytes of pictures queued with a further text; counted each time, because that is rare."""
        texts = (further, *(item for item in self._items if isinstance(item, TypedText)))
        return sum(len(picture.data) for text in texts for picture in text.pictures)

    def drop_nudge(self) -> None:
        """Remove the queued nudge, if there is one."""
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
