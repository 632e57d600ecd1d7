"""Deduces what the Live server refuses from what was sent before it closed with 1007. Pure.

Rules:
  1. After a close with 1007 (invalid payload), everything that was sent since the last completed turn is a suspect,
     because the server does not say what it refused. Sound is never a suspect: nothing in it can be invalid.
  2. A suspect that was also sent to a second session that ended in the same way counts as refused, and is not sent
     to a third. If several were sent, the last is to blame; so after each there is a pause in which the server can
     close.
  3. The same words are the same suspect, whether they are typed, noted, or part of the history that a fresh session
     is told. The same result of a tool is the same suspect, whichever call it answers.
  4. The history is usually sent as one message. While it contains suspects it is sent in parts, because otherwise
     all of it would be refused together.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from agent.live.uplink import AgentChange, Note, ToolResult, TypedText

PAUSE_S = 0.4  # rule 2: longer than a message takes to arrive and the close to come back
CROSSING_S = 0.2  # a turn's end that comes sooner after a message does not show that it was accepted
HISTORY_PARTS = 8  # rule 4
MAX_SENT = 256
MAX_SENT_PICTURE_BYTES = 16 << 20
MAX_KEYS = 1024
REFUSED_RESPONSE = {"error": "the result cannot be passed on: the Live server refused it"}

Key = tuple[Any, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Told:
    """A turn of the history, as a fresh session is told it."""

    text: str = field(repr=False)


Message = TypedText | Note | ToolResult | AgentChange
Content = Message | Told


class Refusals:
    """Finds out, over the consecutive sessions of one call, what cannot be sent."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, tuple[Content, ...]]] = deque(maxlen=MAX_SENT)  # since the last turn's end
        self._suspects: dict[Key, None] = {}
        self._refused: dict[Key, None] = {}

    def session_began(self) -> None:
        """Note that a new session begins, to which nothing has been sent yet."""
        self._sent.clear()

    def sent(self, contents: Sequence[Content], now: float) -> None:
        """Note the contents of a message that is sent now."""
        self._sent.append((now, tuple(contents)))
        while len(self._sent) > 1 and sum(_picture_bytes(each) for _, each in self._sent) > MAX_SENT_PICTURE_BYTES:
            self._sent.popleft()

    def turn_completed(self, now: float) -> None:
        """Note that the server completed a turn and so has accepted what was sent before."""
        while self._sent and now - self._sent[0][0] >= CROSSING_S:
            contents = self._sent.popleft()[1]
            for content in contents if self._suspects else ():
                self._suspects.pop(_key(content), None)

    def closed(self) -> tuple[Content, ...]:
        """Note that the server has closed the session with 1007.

        Returns:
            What is refused (rule 2) and must not be sent again; empty if that is not known yet.
        """
        for _at, contents in reversed(self._sent):
            refused = tuple(content for content in contents if _key(content) in self._suspects)
            if refused:
                for content in refused:
                    self.refuse(content)
                return refused
        for _at, contents in self._sent:
            for content in contents:
                _add(self._suspects, _key(content))
        return ()

    def is_suspect(self, contents: Sequence[Content]) -> bool:
        """Return whether a pause must follow (rule 2): one of these is a suspect and not the only one."""
        return len(self._suspects) > 1 and any(_key(content) in self._suspects for content in contents)

    def is_refused(self, content: Content) -> bool:
        """Return whether this must not be sent."""
        return bool(self._refused) and _key(content) in self._refused

    def refuse(self, content: Content) -> None:
        """Note that this cannot be sent."""
        self._suspects.pop(_key(content), None)
        _add(self._refused, _key(content))

    def admit(self, message: Message) -> Message | None:
        """Return what to send: an error in place of a refused tool result, None for any other refused message."""
        if isinstance(message, AgentChange) or not self.is_refused(message):
            return message
        return replace(message, response=REFUSED_RESPONSE, pictures=()) if isinstance(message, ToolResult) else None

    def in_parts(self, history: Sequence[T], contents: Sequence[Content]) -> list[Sequence[T]]:
        """Split a history into the parts that are sent (rule 4).

        Args:
            history: the turns.
            contents: the same turns as contents for `sent`.
        """
        parts = HISTORY_PARTS if self.is_suspect(contents) else 1
        size = max(1, -(-len(history) // parts))
        return [history[start : start + size] for start in range(0, len(history), size)]


def _key(content: Content) -> Key:
    """Return a key that is equal for the same suspect (rule 3); all changes of the agent are one suspect."""
    match content:
        case Note(result=ToolResult() as result):
            return _key(result)
        case ToolResult():
            told = json.dumps(content.response, sort_keys=True, default=str)
            return "result", content.name, told, content.pictures
        case TypedText():
            return "text", content.text.strip(), content.pictures
        case Note() | Told():
            return "text", content.text.strip(), ()
        case AgentChange():
            return ("agent_change",)


def _picture_bytes(contents: Sequence[Content]) -> int:
    return sum(len(picture.data) for content in contents for picture in getattr(content, "pictures", ()))


def _add(keys: dict[Key, None], key: Key) -> None:
    keys[key] = None
    if len(keys) > MAX_KEYS:
        del keys[next(iter(keys))]
