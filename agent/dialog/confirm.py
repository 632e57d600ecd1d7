"""Which tool calls the caller has said yes to.

Rules:
  1. The first call of a tool that wants a yes is not carried out; the model is told to ask the caller.
  2. The same call again, with the same arguments, is carried out, if the caller has said something in between (what
     it was, the model judges) and not too much time has passed.
  3. A yes is good for one time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WITHIN_S = 120.0
MAX_ASKED = 16

REQUEST = (
    "Not done yet. Tell the caller what you are about to do and ask whether you shall. "
    "Only if the caller says yes, call again with the same arguments."
)


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    arguments: Mapping[str, Any] = field(repr=False)
    at: float


class Confirmations:
    """What the caller was, or is to be, asked."""

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    def given(self, name: str, arguments: Mapping[str, Any], *, caller_spoke_at: float, now: float) -> bool:
        """Say whether a call may be carried out; if not, the caller is to be asked from now on.

        Args:
            name: the tool.
            arguments: its arguments, checked.
            caller_spoke_at: when the caller last began to say or typed something, in monotonic seconds.
            now: monotonic seconds.
        """
        self._asked = [asked for asked in self._asked if now - asked.at <= WITHIN_S]
        same = next((asked for asked in self._asked if (asked.name, asked.arguments) == (name, arguments)), None)
        if same is None:
            self._asked = [*self._asked, _Asked(name, arguments, now)][-MAX_ASKED:]
            return False
        if caller_spoke_at <= same.at:
            return False
        self._asked.remove(same)
        return True
