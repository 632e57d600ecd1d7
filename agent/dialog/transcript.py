"""What was said, turn by turn, from the fragments that the model streams.

Rules:
  1. One open turn of the caller, and one per generation of the agent's; a revision carries the turn's whole
     text, so that it replaces the one before.
  2. One final revision per turn, and nothing after it; a turn without text has no revision at all.
  3. An interrupted turn of the agent ends with what was heard. Each fragment remembers how many samples of voice
     had arrived when it did; between these marks text and voice are taken to run evenly, but never faster than
     anybody speaks. The cut falls behind the last whole word.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Speaker = Literal["caller", "agent"]

MAX_KEPT_TURNS = 1000
SAMPLES_PER_S = 24_000
FASTEST_CHARS_PER_S = 30  # hasty speech has some 20
MAX_HISTORY_CHARS = 20_000  # some 5,000 tokens


@dataclass(frozen=True, slots=True)
class Revision:
    """A turn's text as it stands.

    Attributes:
        speaker: whose turn it is.
        turn_id: stable over the turn's revisions, unique in the call.
        revision: counts up from 1.
        text: the whole text so far; after an interruption, what was heard of it.
        final: no revision follows.
        typed: the caller typed it.
        interrupted: the agent was interrupted in it.
        unheard_text: what was generated but not heard.
        estimated: where the text was cut is an estimate.
        noted: the model was told it; nobody said it aloud, and no client is shown it.
    """

    speaker: Speaker
    turn_id: str
    revision: int
    text: str
    final: bool = False
    typed: bool = False
    interrupted: bool = False
    unheard_text: str = ""
    estimated: bool = False
    noted: bool = False


@dataclass(slots=True)
class _OpenTurn:
    turn_id: str
    text: str = ""
    revision: int = 0
    outdated: bool = False  # the next fragment replaces the text
    marks: list[tuple[int, int]] = field(
        default_factory=list
    )  # (samples arrived, length of the text before the fragment)


class Transcript:
    """Collect fragments into turns.

    The turns that are final are kept in `turns`, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.turns: deque[Revision] = deque(maxlen=MAX_KEPT_TURNS)
        self._open: dict[tuple[Speaker, int], _OpenTurn] = {}  # by speaker and generation
        self._count = 0

    @property
    def count(self) -> int:
        """How many turns have begun, notes among them; turn ids count up."""
        return self._count

    def history(self, through: int | None = None) -> list[tuple[Speaker, str]]:
        """Return who said what, in the order in which the turns began, open ones as they stand.

        Args:
            through: only the first so many turns of the call; None for all.

        Returns:
            The newest turns, `MAX_HISTORY_CHARS` of them in all; of an interrupted one what was heard. Of a newest
            turn that is longer by itself its end.
        """
        told: list[tuple[Speaker, str]] = []
        room = MAX_HISTORY_CHARS
        for turn in reversed(self.in_order()):
            if turn.text.strip() and (through is None or _number(turn) <= through):
                room -= len(turn.text)
                if room < 0 and told:
                    break
                told.append((turn.speaker, turn.text.strip()[-MAX_HISTORY_CHARS:]))
        return told[::-1]

    def in_order(self) -> list[Revision]:
        """Return all turns in the order in which they began, open ones as they stand."""
        open_turns = [
            Revision(speaker, turn.turn_id, turn.revision, turn.text) for (speaker, _), turn in self._open.items()
        ]
        return sorted([*self.turns, *open_turns], key=_number)

    def restore(self, speaker: Speaker, text: str, *, noted: bool) -> None:
        """Add a turn of an earlier call that this one goes on from; to be called before anything is said."""
        self._count += 1
        self.turns.append(Revision(speaker, f"t{self._count}", 1, text, final=True, noted=noted))

    def expect_again(self) -> None:
        """The words of the caller's open turn will come once more: the next fragment replaces the text."""
        turn = self._open.get(("caller", 0))
        if turn is not None:
            turn.outdated = True

    def open_generations(self) -> list[int]:
        """Return the generations of the agent's open turns, oldest first."""
        return [generation for speaker, generation in self._open if speaker == "agent"]

    def add(
        self, speaker: Speaker, fragment: str, *, generation: int = 0, arrived_samples: int = 0
    ) -> Revision | None:
        """Append a fragment to the speaker's open turn, beginning one if there is none.

        Args:
            speaker: who said it.
            fragment: text as streamed, spaces included; may be empty.
            generation: of the agent's turn; 0 for the caller.
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
        return self._revise(speaker, turn)

    def typed(self, text: str) -> list[Revision]:
        """Add a turn that the caller typed; an open spoken one is finished first."""
        spoken = self.finish("caller")
        turn = self._begin("caller", 0)
        turn.text = text
        del self._open["caller", 0]
        final = self._revise("caller", turn, final=True, typed=True)
        self.turns.append(final)
        return [final] if spoken is None else [spoken, final]

    def note(self, text: str) -> None:
        """Add what the model is told beside the talk: part of the history, and nobody's turn."""
        self.restore("caller", text, noted=True)

    def finish(self, speaker: Speaker, generation: int = 0) -> Revision | None:
        """End the speaker's open turn (of a generation), if there is one."""
        turn = self._open.pop((speaker, generation), None)
        if turn is None:
            return None
        final = self._revise(speaker, turn, final=True)
        self.turns.append(final)
        return final

    def interrupt(
        self, generation: int, heard_samples: int, arrived_samples: int, *, written: bool = False
    ) -> Revision | None:
        """End the agent's open turn of a generation at what was heard of it.

        Args:
            generation: the generation that was cut off.
            heard_samples: samples of this generation's voice that were sent, at 24 kHz.
            arrived_samples: samples of it that had arrived.
            written: the agent does not speak, and what has arrived was read.
        """
        turn = self._open.pop(("agent", generation), None)
        if turn is None:
            return None
        heard = turn.text if written else turn.text[: _heard_length(turn, heard_samples, arrived_samples)]
        unheard = turn.text[len(heard) :]
        turn.text = heard.rstrip()
        final = self._revise(
            "agent",
            turn,
            final=True,
            interrupted=True,
            unheard_text=unheard.strip(),
            estimated=0 < heard_samples < arrived_samples,
        )
        self.turns.append(final)
        return final

    def _begin(self, speaker: Speaker, generation: int) -> _OpenTurn:
        self._count += 1
        turn = self._open[speaker, generation] = _OpenTurn(f"t{self._count}")
        return turn

    def _revise(
        self,
        speaker: Speaker,
        turn: _OpenTurn,
        *,
        final: bool = False,
        typed: bool = False,
        interrupted: bool = False,
        unheard_text: str = "",
        estimated: bool = False,
    ) -> Revision:
        turn.revision += 1
        text = turn.text.rstrip() if final else turn.text
        return Revision(
            speaker, turn.turn_id, turn.revision, text, final, typed, interrupted, unheard_text, estimated
        )


def _number(turn: Revision) -> int:
    return int(turn.turn_id[1:])


def _heard_length(turn: _OpenTurn, heard_samples: int, arrived_samples: int) -> int:
    """Return the length of the text that was heard (rule 3).

    The first fragment is spoken from the voice's beginning, whether it came before or behind it.
    """
    if heard_samples >= arrived_samples > 0:
        return len(turn.text)
    begin = (0, 0)
    fastest = heard_samples * FASTEST_CHARS_PER_S // SAMPLES_PER_S
    for end in [*turn.marks[1:], (arrived_samples, len(turn.text))]:
        if heard_samples < end[0]:
            share = (heard_samples - begin[0]) / (end[0] - begin[0])
            return _whole_words(turn.text, min(fastest, begin[1] + int(share * (end[1] - begin[1]))))
        begin = end
    return _whole_words(turn.text, min(fastest, len(turn.text)))


def _whole_words(text: str, length: int) -> int:
    """Return where the last word ends that lies whole within ``length``."""
    if length >= len(text) or text[length].isspace():
        return length
    while length and not text[length - 1].isspace():
        length -= 1
    return length
