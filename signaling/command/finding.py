"""What a check of `talkspurt doctor` has found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["good", "fallback", "bad"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        verdict: ``fallback`` means that it works but could be better.
        subject: what was checked.
        detail: what was found, and what to do about it.
    """

    verdict: Verdict
    subject: str
    detail: str
