"""What the telephone network says about a call: who calls whom. None of it is verified."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

MAX_HEADERS = 16
MAX_TEXT = 200  # characters per header or name


@dataclass(frozen=True, slots=True)
class CallerId:
    """Who calls whom, according to the network or the carrier.

    Attributes:
        direction: ``inbound`` if the telephone called.
        caller: who called, a SIP URI or a number.
        callee: who was called.
        name: the caller's display name.
        headers: the call's SIP headers whose names begin with ``X-``, or a carrier's parameters.
    """

    direction: Literal["inbound", "outbound"]
    caller: str
    callee: str
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def trimmed(self) -> CallerId:
        """Return a copy with every text cut to `MAX_TEXT` printable characters."""
        headers = {_trimmed(name): _trimmed(value) for name, value in list(self.headers.items())[:MAX_HEADERS]}
        return CallerId(self.direction, _trimmed(self.caller), _trimmed(self.callee), _trimmed(self.name), headers)

    def instruction(self) -> str:
        """Return an instruction about the call; what the network says is JSON, so that it cannot break out."""
        return (
            "This is a telephone call. When the conversation is over, say goodbye and call end_call. "
            f"The telephone network says this of the call, unverified, as JSON: {json.dumps(asdict(self))}"
        )

    def described(self) -> dict[str, str]:
        """Return what `GET` on the call shows."""
        return {"direction": self.direction, "caller": self.caller, "callee": self.callee}


def _trimmed(text: str) -> str:
    return "".join(letter for letter in str(text) if letter.isprintable())[:MAX_TEXT]
