"""What the model is told that nobody said: marked as such, so that it is not taken for the caller's words."""

from __future__ import annotations

import json
from typing import Literal

Role = Literal["user", "assistant", "system"]
"Whose words something is: the caller's, the agent's, or nobody's."

MARK = "Not said by the caller"


def say_request(text: str) -> str:
    """Ask the model to say something now."""
    return f"[{MARK}. Say to the caller now, in these words: {json.dumps(text, ensure_ascii=False)}]"


def greeting_request(text: str) -> str:
    """Ask the model to begin the call."""
    return (
        f"[{MARK}. The call has begun, and the caller hears you. Say to the caller now, in these words: "
        f"{json.dumps(text, ensure_ascii=False)}]"
    )


def context_note(text: str, role: Role) -> str:
    """Have the model know something; what nobody has said is marked as such."""
    if role == "user":
        return text
    words = json.dumps(text, ensure_ascii=False)
    return f"[{MARK}. {'You have said before' if role == 'assistant' else 'Take note'}: {words}]"
