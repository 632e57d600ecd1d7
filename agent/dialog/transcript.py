"""What was said, turn by turn, from the fragments that the model streams.

Rules:
  1. One open turn per speaker; a revision carries the turn's whole text, so that it replaces the one before.
  2. One final revision per turn, and nothing after it; a turn without text has no revision at all.
  3. An interrupted turn of the agent ends with what was heard: each fragment remembers how many samples of
     voice had arrived when it did, and those beyond the samples really sent are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Speaker = Literal["caller", "agent"]


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
    """

    speaker: Speaker
    turn_id: str
    revision: int
    text: str
    final: bool = False
    typed: bool = False
    interrupted: bool = False
    unheard_text: str = ""


@dataclass(slots=True)
class _OpenTurn:
    turn_id: str
    text: str = ""
    revision: int = 0
    marks: list[tuple[int, int]] = field(
        default_factory=list
    )  # (samples arrived, length of the text before the fragment)


class Transcript:
    """Collect fragments into turns.

    The turns that are final are kept in `turns`, in the order in which they ended.
    """

    def __init__(self) -> None:
        self.turns: list[Revision] = []
        self._open: dict[Speaker, _OpenTurn] = {}
        self._count = 0

    def add(self, speaker: Speaker, fragment: str, *, arrived_samples: int = 0) -> Revision | None:
        """Append a fragment to the speaker's open turn, beginning one if there is none.

        Args:
            speaker: who said it.
            fragment: text as streamed, spaces included; may be empty.
            arrived_samples: samples of the agent's voice that had arrived in this generation.
        """
        if not fragment:
            return None
        turn = self._open.get(speaker) or self._begin(speaker)
        if not turn.text:
            fragment = fragment.lstrip()
        turn.marks.append((arrived_samples, len(turn.text)))
        turn.text += fragment
        return self._revise(speaker, turn)

    def typed(self, text: str) -> list[Revision]:
        """Add a turn that the caller typed; an open spoken one is finished first."""
        spoken = self.finish("caller")
        turn = self._begin("caller")
        turn.text = text
        del self._open["caller"]
        final = self._revise("caller", turn, final=True, typed=True)
        self.turns.append(final)
        return [final] if spoken is None else [spoken, final]

    def finish(self, speaker: Speaker) -> Revision | None:
        """End the speaker's open turn, if there is one."""
        turn = self._open.pop(speaker, None)
        if turn is None:
            return None
        final = self._revise(speaker, turn, final=True)
        self.turns.append(final)
        return final

    def interrupt(self, heard_samples: int) -> Revision | None:
        """End the agent's open turn at what was heard of it.

        Args:
            heard_samples: samples of this generation that were sent.
        """
        turn = self._open.pop("agent", None)
        if turn is None:
            return None
        heard = turn.text[: _heard_length(turn, heard_samples)]
        unheard = turn.text[len(heard) :]
        turn.text = heard.rstrip()
        final = self._revise("agent", turn, final=True, interrupted=True, unheard_text=unheard.strip())
        self.turns.append(final)
        return final

    def _begin(self, speaker: Speaker) -> _OpenTurn:
        self._count += 1
        turn = self._open[speaker] = _OpenTurn(f"t{self._count}")
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
    ) -> Revision:
        turn.revision += 1
        text = turn.text.rstrip() if final else turn.text
        return Revision(speaker, turn.turn_id, turn.revision, text, final, typed, interrupted, unheard_text)


def _heard_length(turn: _OpenTurn, heard_samples: int) -> int:
    """Return how much of the text was heard: all fragments that came with voice sent before the cut.

    A fragment's voice arrives with it or after it, so a fragment counts once voice beyond its mark was sent.
    """
    for arrived_samples, length_before in turn.marks:
        if arrived_samples >= heard_samples:
            return length_before
    return len(turn.text)
