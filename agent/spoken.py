"""Who said what: one type from the transcript to tools, hooks, the Live session and kept calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Speaker = Literal["caller", "agent"]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A turn of a call.

    Attributes:
        speaker: whose turn it was.
        text: what was said or typed; of an interrupted agent, what was heard.
        noted: nobody said it: the model was told it, and neither side is shown it.
    """

    speaker: Speaker
    text: str = field(repr=False)
    noted: bool = False
