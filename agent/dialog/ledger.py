"""Tracks which tool calls are open, and makes sure that each ends exactly once.

Rules:
  1. A call is open from `open` until it finishes (result, error or timeout) or is cancelled. Whichever comes first
     counts; anything later has no effect and is not told to the model.
  2. The model's ids belong to a Live session. If an id comes again in the same session, whether its call is open or
     has ended, it is ignored: the answer to the first call is the answer.
  3. If too many calls are open, a further one is refused. It ends at once and is answered with an error, so that
     the model does not wait for it.
  4. Nothing is sent for a cancelled call. Only the session that made a call can cancel it.
  5. When the session is replaced, its ids are dead. Calls that are still open continue; their end is told as a
     note, and their progress is no longer told. A call without an id cannot be answered either, so it is treated in
     the same way.
  6. The new session may make a call again that is still running (same tool, same arguments). It then takes over
     that call and gets its end under the new id, and the work is not done twice.
  7. The same is true for a call that finished in a turn that the session's end cut off, or since then: the new
     session does not know about it and gets the same answer, once.
  8. A session that is resumed from a handle knows the calls that were open when the handle came, and does not make
     them again. If one of them was answered in a turn that the session's end cut off, the answer is told as a note.

| state     | open again (2) | progress          | finished            | cancelled (4) | session replaced |
| --------- | -------------- | ----------------- | ------------------- | ------------- | ---------------- |
| open      | ignored        | told under its id | told; ended         | ended         | orphaned         |
| orphaned  | taken over (6) | not told          | told as note; ended | not possible  | orphaned         |
| ended     | ignored        | not told          | not told            | ended         | forgotten        |
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MAX_OPEN = 16
MAX_ENDED_IDS = 1024

Verdict = Literal["run", "refuse", "ignore", "take_over"]
Telling = Literal["answer", "note", "nothing"]
"""How the model is told: under the call's id, as a note, or not at all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tool call in the ledger.

    Attributes:
        key: identifies it throughout the call, across sessions; for tasks and events.
        call_id: the model's id, valid in the session that made the call.
        name: the tool's name, as the model gave it.
        arguments: as the model gave them.
    """

    key: str
    call_id: str
    name: str
    arguments: Mapping[str, Any] = field(repr=False)


class Ledger:
    """The tool calls of one call, across all its Live sessions.

    Args:
        max_open: how many may be open at once (rule 3).
    """

    def __init__(self, max_open: int = MAX_OPEN) -> None:
        self.refused = 0
        "Calls that were refused because too many were open."
        self._max_open = max_open
        self._count = 0
        self._open: dict[str, Entry] = {}  # keyed by Entry.key
        self._ids: dict[str, str] = {}  # this session's ids of open calls, and their keys
        self._ended_ids: OrderedDict[str, None] = OrderedDict()  # this session's ids of ended calls
        self._answers: list[tuple[Entry, Any]] = []  # answers in the current turn
        self._cut_off: list[tuple[Entry, Any]] = []  # answers in a turn cut off by the session's end, or to orphans
        self._known: set[str] = set()  # keys of the calls that were open when the newest handle came

    @property
    def open_calls(self) -> tuple[Entry, ...]:
        """All open calls, including orphans, oldest first."""
        return tuple(self._open.values())

    @property
    def of_this_session(self) -> tuple[Entry, ...]:
        """The open calls of the current session, the only ones that it can cancel (rule 4)."""
        return tuple(entry for entry in self._open.values() if self._has_live_id(entry))

    def open(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> tuple[Verdict, Entry]:
        """Record a call that the model made.

        Args:
            call_id: the model's id; empty if it gave none.
            name: the tool.
            arguments: JSON values.

        Returns:
            What to do, and the entry: ``run`` it; ``refuse`` it, which ends it, with an error under its id;
            ``ignore`` it; or ``take_over`` the call that is already running under the entry's key.
        """
        if call_id and (call_id in self._ids or call_id in self._ended_ids):
            return "ignore", Entry("", call_id, name, arguments)
        orphan = next((call for call in self._orphans() if (call.name, call.arguments) == (name, arguments)), None)
        if orphan is not None and call_id:
            self._ids[call_id] = orphan.key
            self._open[orphan.key] = taken_over = Entry(orphan.key, call_id, name, arguments)
            return "take_over", taken_over
        self._count += 1
        entry = Entry(f"{call_id or name}#{self._count}", call_id, name, arguments)
        if len(self._open) >= self._max_open:
            self.refused += 1
            self._end_id(call_id)
            return "refuse", entry
        self._open[entry.key] = entry
        if call_id:
            self._ids[call_id] = entry.key
        return "run", entry

    def progress(self, key: str) -> tuple[Telling, str]:
        """Return how, and under which id, to tell the model of progress (rules 1 and 5)."""
        entry = self._open.get(key)
        if entry is None or not self._has_live_id(entry):
            return "nothing", ""
        return "answer", entry.call_id

    def finish(self, key: str, answer: Any = None) -> tuple[Telling, str]:
        """End a call with a result, an error or a timeout; return how, and under which id, to tell the model.

        Args:
            key: the entry's.
            answer: for `answered_before`.
        """
        entry = self._open.pop(key, None)
        if entry is None:
            return "nothing", ""
        if not self._has_live_id(entry):
            if entry.call_id:  # a call without an id never belonged to a session
                self._cut_off = [*self._cut_off[1 - self._max_open :], (entry, answer)]
            return "note", ""
        self._answers = [*self._answers[1 - self._max_open :], (entry, answer)]
        self._end_id(entry.call_id)
        return "answer", entry.call_id

    def answered_before(self, entry: Entry) -> Any:
        """Return the answer that an earlier session got to the same call; None if there is none (rule 7)."""
        for number, (before, answer) in enumerate(self._cut_off):
            if (before.name, before.arguments) == (entry.name, entry.arguments):
                del self._cut_off[number]
                return answer
        return None

    def turn_completed(self) -> None:
        """Note that the model has used the answers."""
        self._answers.clear()
        self._cut_off.clear()

    def handle_came(self) -> None:
        """Note that a session resumed from now on knows the calls that are open (rule 8)."""
        self._known = {entry.key for entry in self._open.values() if self._has_live_id(entry)}

    def cancel(self, call_id: str) -> Entry | None:
        """End a call that the model cancels; return it if it was open."""
        key = self._ids.get(call_id)
        if key is None:
            return None
        self._end_id(call_id)
        return self._open.pop(key)

    def abandon(self) -> tuple[Entry, ...]:
        """End and return all open calls, because nobody is left to be told of them."""
        abandoned = self.open_calls
        self._open.clear()
        self._ids.clear()
        return abandoned

    def session_replaced(self) -> list[tuple[Entry, Any]]:
        """Invalidate all ids so far (rule 5); return the answers to tell as notes, with their calls (rule 8)."""
        self._ids.clear()
        self._ended_ids.clear()
        lost = [(entry, answer) for entry, answer in self._answers if entry.key in self._known]
        self._cut_off = [*self._cut_off, *self._answers][-self._max_open :]
        self._answers.clear()
        self._known.clear()
        return lost

    def _orphans(self) -> list[Entry]:
        return [entry for entry in self._open.values() if not self._has_live_id(entry)]

    def _has_live_id(self, entry: Entry) -> bool:
        return self._ids.get(entry.call_id) == entry.key

    def _end_id(self, call_id: str) -> None:
        if not call_id:
            return
        self._ids.pop(call_id, None)
        self._ended_ids[call_id] = None
        if len(self._ended_ids) > MAX_ENDED_IDS:
            self._ended_ids.popitem(last=False)
