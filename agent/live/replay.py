"""Remembers what was sent lately, so that the next session can be sent what it does not know. Pure.

A handle stands for the moment at which it was issued. What was sent later is unknown to the session that is resumed
from it, and is sent again, in order.

A message and the handle may cross on the way: the handle may or may not cover what left just before it came. Speech
and texts of that time are sent again, because it is better to hear a word twice than not at all; silence is sent
again only if it probably crossed. How long a message takes is estimated from the fastest connect, which takes four
or five round trips and the server's own work. A handle is `exact` if nothing can have crossed it.

Speech is kept until a handle covers it, and none does while a tool runs. Silence is kept only while there is little
to keep, for the pauses between words. What exceeds the bounds is forgotten.

Only the newest nudge is kept: a session is nudged once.

No session knows of an activity that was started in another one. Therefore, if an activity is open at the point from
which things are sent again, its start comes first, even if it is no longer remembered.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge

from agent.live.uplink import (
    BYTES_PER_S,
    ActivityMark,
    AgentChange,
    Audio,
    Item,
    Note,
    Nudge,
    ToolResult,
    TypedText,
)
from agent.picture import Shown

MAX_SPEECH_S = 30.0
MAX_WITH_SILENCE_S = 5.0  # speech and silence together; beyond this, silence is forgotten
MAX_OTHERS = 64
MAX_PICTURE_BYTES = 16 << 20  # all pictures that belong to texts
MAY_CROSS_S = (0.01, 0.2)  # bounds of half a connect: a message younger than that may have crossed the handle
PROBABLY_CROSSED_S = (0.001, 0.05)  # bounds of an eighth of a connect: a younger message probably has


@dataclass(eq=False, slots=True)
class Sent:
    """An item that was sent.

    Attributes:
        number: the item's number, in order of sending.
        item: what was sent.
        at: when it was sent, in monotonic seconds; infinite while it waits to be sent again.
    """

    number: int
    item: Item
    at: float


class ReplayRing:
    """Keeps speech, and the texts and marks in between, for as long as they may have to be sent again."""

    def __init__(self) -> None:
        self.exact = False
        "True if the newest handle covers exactly what was sent before it."
        self.answered = False
        "True if the model has given a whole answer that the newest handle does not cover."
        self._connect_s = math.inf
        self._may_cross_s, self._probably_s = MAY_CROSS_S[1], PROBABLY_CROSSED_S[1]
        self._words: deque[Sent] = deque()  # speech, texts and marks
        self._silence: deque[Sent] = deque()  # kept apart, so that the oldest is found at once
        self._was_open = False  # an activity was open before the oldest item
        self._number = 0
        self._speech_bytes = 0
        self._silence_bytes = 0
        self._others = 0
        self._picture_bytes = 0
        self._forgotten = 0  # number of the newest item that was forgotten
        self._forgotten_at = -math.inf  # when it was sent
        self._word_forgotten = 0  # number of the newest forgotten item that was not silence
        self._handle_mark = 0
        self._turn_mark = 0

    def connected(self, took_s: float) -> None:
        """Note how long connecting to the server took."""
        self._connect_s = min(self._connect_s, took_s)
        self._may_cross_s = min(max(self._connect_s / 2, MAY_CROSS_S[0]), MAY_CROSS_S[1])
        self._probably_s = min(max(self._connect_s / 8, PROBABLY_CROSSED_S[0]), PROBABLY_CROSSED_S[1])

    def sent(self, item: Item, now: float) -> None:
        """Note an item that is sent now.

        Pictures and tool results are never sent again. Nor is a change of the agent, because it is part of the next
        session's set-up.
        """
        if isinstance(item, Shown | ToolResult | AgentChange):
            return
        if isinstance(item, Nudge):
            self._forget_nudge()
        self._keep(item, now)

    def nudge(self, nudge: Nudge) -> None:
        """Have the next session sent this nudge, after everything else that it is sent again."""
        self._forget_nudge()
        self._keep(nudge, math.inf)

    def _keep(self, item: Item, now: float) -> None:
        self._number += 1
        sent = Sent(self._number, item, now)
        if not isinstance(item, Audio):
            self._words.append(sent)
            self._count_other(item, 1)
        elif item.speech:
            self._words.append(sent)
            self._speech_bytes += len(item.pcm_bytes)
        else:
            self._silence.append(sent)
            self._silence_bytes += len(item.pcm_bytes)
        while self._silence and self._speech_bytes + self._silence_bytes > MAX_WITH_SILENCE_S * BYTES_PER_S:
            self._forget(self._pop_silence(), now)
        while self._words_are_too_many():
            word = self._pop_word()
            self._forget(word, now)
            self._word_forgotten = max(self._word_forgotten, word.number)

    def _words_are_too_many(self) -> bool:
        too_long = self._speech_bytes > MAX_SPEECH_S * BYTES_PER_S
        return too_long or self._others > MAX_OTHERS or self._picture_bytes > MAX_PICTURE_BYTES

    def _count_other(self, item: Item, by: int) -> None:
        """Count an item other than audio: ``by`` is 1 if it is added, -1 if it is removed."""
        self._others += by
        if isinstance(item, TypedText | Note):
            self._picture_bytes += by * sum(len(picture.data) for picture in item.pictures)

    def _forget(self, gone: Sent, now: float) -> None:
        self._forgotten = max(self._forgotten, gone.number)
        self._forgotten_at = max(self._forgotten_at, min(gone.at, now))

    def handle_came(self, now: float) -> None:
        """Note that a handle arrived, which covers what was sent before."""
        self._handle_mark = self._number
        self.exact = True
        self.answered = False
        for sent in self._newest_first():
            age_s = now - sent.at
            if age_s >= self._may_cross_s:
                break
            self.exact = False
            if age_s < self._probably_s or not _is_silence(sent.item):
                self._handle_mark = sent.number - 1
        if now - self._forgotten_at < self._may_cross_s:  # after an outage items go out in a burst
            self._handle_mark = min(self._handle_mark, self._forgotten - 1)
        self._trim()

    def turn_completed(self) -> None:
        """Note that a turn is complete: what was sent before is now history, except what waits to be sent again."""
        waiting = next((sent.number for sent in self._in_order() if sent.at == math.inf), self._number + 1)
        self._turn_mark = max(self._turn_mark, waiting - 1)
        self._trim()

    def answer_completed(self) -> None:
        """Note that the model has answered what was sent before, although its turn is not complete yet."""
        self.turn_completed()
        self.answered = True

    @property
    def covers_handle(self) -> bool:
        """True if nothing that was sent after the handle has been forgotten."""
        return self._forgotten <= self._handle_mark

    @property
    def covers_words(self) -> bool:
        """True if nothing but silence has been forgotten of what was sent after the handle."""
        return self._word_forgotten <= self._handle_mark

    @property
    def covers_turn(self) -> bool:
        """True if nothing but silence has been forgotten of what was sent after the last complete turn."""
        return self._word_forgotten <= self._turn_mark

    def since_handle(self) -> list[Sent]:
        """Return what to send again to a session resumed from the newest handle; set `Sent.at` at each sending."""
        return self._since(self._handle_mark)

    def since_turn(self) -> list[Sent]:
        """Return what to send again to a fresh session that was told the history up to the last complete turn."""
        return self._since(self._turn_mark)

    def drop(self, is_refused: Callable[[Item], bool]) -> None:
        """Forget what must not be sent again."""
        words, self._words = self._words, deque[Sent]()
        for sent in words:
            if not is_refused(sent.item):
                self._words.append(sent)
            elif isinstance(sent.item, Audio):
                self._speech_bytes -= len(sent.item.pcm_bytes)
            else:
                self._count_other(sent.item, -1)

    def _since(self, mark: int) -> list[Sent]:
        again = [sent for sent in self._in_order() if sent.number > mark]
        for sent in again:
            sent.at = math.inf  # until it is sent again, no new handle covers it
        if self._open_at(mark):
            again.insert(0, Sent(mark, ActivityMark(starts=True), math.inf))
        return again

    def _open_at(self, mark: int) -> bool:
        """Return whether an activity is open after the item with this number."""
        is_open = self._was_open
        for sent in self._words:
            if sent.number <= mark and isinstance(sent.item, ActivityMark):
                is_open = sent.item.starts
        return is_open

    def _forget_nudge(self) -> None:
        kept = deque(sent for sent in self._words if not isinstance(sent.item, Nudge))
        self._others -= len(self._words) - len(kept)
        self._words = kept

    def _trim(self) -> None:
        """Forget what no session will need, and what exceeds the bounds."""
        needed = min(self._handle_mark, self._turn_mark)
        while self._words and self._words[0].number <= needed:
            self._pop_word()
        while self._silence and self._silence[0].number <= needed:
            self._pop_silence()

    def _in_order(self) -> Iterator[Sent]:
        return merge(self._words, self._silence, key=_number)

    def _newest_first(self) -> Iterator[Sent]:
        return merge(reversed(self._words), reversed(self._silence), key=_number, reverse=True)

    def _pop_word(self) -> Sent:
        sent = self._words.popleft()
        if isinstance(sent.item, Audio):
            self._speech_bytes -= len(sent.item.pcm_bytes)
        else:
            self._count_other(sent.item, -1)
        if isinstance(sent.item, ActivityMark):
            self._was_open = sent.item.starts
        return sent

    def _pop_silence(self) -> Sent:
        sent = self._silence.popleft()
        if isinstance(sent.item, Audio):
            self._silence_bytes -= len(sent.item.pcm_bytes)
        return sent


def _number(sent: Sent) -> int:
    return sent.number


def _is_silence(item: Item) -> bool:
    return isinstance(item, Audio) and not item.speech
