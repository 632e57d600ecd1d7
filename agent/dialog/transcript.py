"""Assembles what was said, turn by turn, from the fragments that the model streams.

Rules:
  1. The caller has at most one open turn, the agent at most one per generation. A revision carries the whole text
     of the turn and replaces the one before.
  2. A turn has one final revision, with none after it; a turn without text has no revision at all.
  3. An interrupted turn of the agent ends with what was heard. For each fragment it is recorded how many samples of
     voice had arrived by then; between these marks text and voice are assumed to advance evenly, but no faster than
     people speak. The cut is made after the last whole word.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from agent.events import AgentTranscribed, CallerTranscribed
from agent.spoken import Speaker, Spoken

MAX_KEPT_TURNS = 1000
SAMPLES_PER_S = 24_000
MAX_CHARS_PER_S = 30  # nobody speaks faster: hurried speech has about 20
MAX_HISTORY_CHARS = 20_000  # about 5,000 tokens


Transcribed = CallerTranscribed | AgentTranscribed


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn in its current state.

    Attributes:
        number: the turn's number, from 1, in the order in which the turns began.
        said: who said what.
    """

    number: int
    said: Spoken

    @property
    def turn_id(self) -> str:
        """The id that the turn's events carry."""
        return _turn_id(self.number)


@dataclass(slots=True)
class _OpenTurn:
    number: int
    text: str = ""
    revision: int = 0
    outdated: bool = False  # the next fragment replaces the text
    marks: list[tuple[int, int]] = field(default_factory=list)
    "For each fragment: the samples that had arrived, and the length of the text before it."


class Transcript:
    """Collects fragments into turns."""

    def __init__(self) -> None:
        self.turns: deque[Turn] = deque(maxlen=MAX_KEPT_TURNS)
        "The turns that are final, in the order in which they ended."
        self._open: dict[tuple[Speaker, int], _OpenTurn] = {}  # by speaker and generation
        self._count = 0

    @property
    def count(self) -> int:
        """How many turns have begun, including notes; turn ids count up."""
        return self._count

    def history(self, through: int | None = None) -> list[Spoken]:
        """Return who said what, in the order in which the turns began, with open turns in their current state.

        Args:
            through: the number of the last turn to include; None for all turns.

        Returns:
            The newest turns, with at most `MAX_HISTORY_CHARS` characters in all. Interrupted turns contain what was
            heard. If the newest turn alone is too long, its end is returned.
        """
        told: list[Spoken] = []
        room = MAX_HISTORY_CHARS
        for turn in reversed(self.in_order()):
            text = turn.said.text
            if text.strip() and (through is None or turn.number <= through):
                room -= len(text)
                if room < 0 and told:
                    break
                told.append(replace(turn.said, text=text.strip()[-MAX_HISTORY_CHARS:]))
        return told[::-1]

    def in_order(self) -> list[Turn]:
        """Return all turns in the order in which they began, with open turns in their current state."""
        open_turns = [Turn(turn.number, Spoken(speaker, turn.text)) for (speaker, _), turn in self._open.items()]
        return sorted([*self.turns, *open_turns], key=attrgetter("number"))

    def restore(self, said: Spoken) -> None:
        """Add a turn of the earlier call that this one continues; call this before anything is said."""
        self._count += 1
        self.turns.append(Turn(self._count, said))

    def expect_again(self) -> None:
        """The words of the caller's open turn will come again, so that the next fragment replaces the text."""
        turn = self._open.get(("caller", 0))
        if turn is not None:
            turn.outdated = True

    def open_generations(self) -> list[int]:
        """Return the generations of the agent's open turns, oldest first."""
        return [generation for speaker, generation in self._open if speaker == "agent"]

    def add(
        self, speaker: Speaker, fragment: str, *, generation: int = 0, arrived_samples: int = 0
    ) -> Transcribed | None:
        """Append a fragment to the speaker's open turn, beginning one if there is none.

        Args:
            speaker: who said it.
            fragment: text as streamed, including spaces; may be empty.
            generation: the generation of the agent's turn; 0 for the caller.
            arrived_samples: samples of the agent's voice that had arrived in this generation.
        """
        turn = self._open.get((speaker, generation))
        if turn is None or turn.outdated:
            fragment = fragment.lstrip()
        if not fragment:
            return None
        turn = turn or self._begin(speaker, generation)
        if turn.outdated:
            turn.text, turn.outdated = "", False
            turn.marks.clear()
        turn.marks.append((arrived_samples, len(turn.text)))
        turn.text += fragment
        return _revise(speaker, turn)

    def typed(self, text: str) -> list[Transcribed]:
        """Add a turn that the caller typed; an open spoken one is finished first."""
        spoken = self.finish("caller")
        turn = self._begin("caller", 0)
        turn.text = text
        del self._open["caller", 0]
        final = self._end("caller", turn, typed=True)
        return [final] if spoken is None else [spoken, final]

    def note(self, text: str) -> None:
        """Add to the history something that the model is told although nobody said it."""
        self.restore(Spoken("caller", text, noted=True))

    def finish(self, speaker: Speaker, generation: int = 0) -> Transcribed | None:
        """End the speaker's open turn, if there is one; an agent's turn is identified by its generation."""
        turn = self._open.pop((speaker, generation), None)
        return None if turn is None else self._end(speaker, turn)

    def interrupt(
        self, generation: int, heard_samples: int, arrived_samples: int, *, written: bool = False
    ) -> Transcribed | None:
        """End the agent's open turn of a generation after the part of it that was heard.

        Args:
            generation: the generation that was cut off.
            heard_samples: samples of this generation's voice that were sent, at 24 kHz.
            arrived_samples: samples of it that had arrived.
            written: whether the agent writes, so that all text that arrived counts as read.
        """
        turn = self._open.pop(("agent", generation), None)
        if turn is None:
            return None
        heard = turn.text if written else turn.text[: _heard_length(turn, heard_samples, arrived_samples)]
        unheard = turn.text[len(heard) :]
        turn.text = heard.rstrip()
        estimated = 0 < heard_samples < arrived_samples
        return self._end("agent", turn, interrupted=True, unheard_text=unheard.strip(), estimated=estimated)

    def _begin(self, speaker: Speaker, generation: int) -> _OpenTurn:
        self._count += 1
        turn = self._open[speaker, generation] = _OpenTurn(self._count)
        return turn

    def _end(self, speaker: Speaker, turn: _OpenTurn, **how: Any) -> Transcribed:
        turn.text = turn.text.rstrip()
        self.turns.append(Turn(turn.number, Spoken(speaker, turn.text)))
        return _revise(speaker, turn, final=True, **how)


def _revise(speaker: Speaker, turn: _OpenTurn, *, final: bool = False, **how: Any) -> Transcribed:
    """Return the event for the turn's next revision; ``how`` holds its fields about how the turn ended."""
    turn.revision += 1
    transcribed = CallerTranscribed if speaker == "caller" else AgentTranscribed
    return transcribed(_turn_id(turn.number), turn.revision, turn.text, final, **how)


def _turn_id(number: int) -> str:
    return f"t{number}"


def _heard_length(turn: _OpenTurn, heard_samples: int, arrived_samples: int) -> int:
    """Return the length of the text that was heard (rule 3).

    The first fragment belongs to the beginning of the voice, whether it arrived before or after it.
    """
    if heard_samples >= arrived_samples > 0:
        return len(turn.text)
    begin = (0, 0)
    fastest = heard_samples * MAX_CHARS_PER_S // SAMPLES_PER_S
    for end in [*turn.marks[1:], (arrived_samples, len(turn.text))]:
        if heard_samples < end[0]:
            share = (heard_samples - begin[0]) / (end[0] - begin[0])
            return _whole_words(turn.text, min(fastest, begin[1] + int(share * (end[1] - begin[1]))))
        begin = end
    return _whole_words(turn.text, min(fastest, len(turn.text)))


def _whole_words(text: str, length: int) -> int:
    """Return the end of the last word that lies entirely within ``length``."""
    if length >= len(text) or text[length].isspace():
        return length
    while length and not text[length - 1].isspace():
        length -= 1
    return length
