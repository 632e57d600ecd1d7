"""What the model is told that nobody said: marked as such, so that it is not taken for the caller's words."""

from __future__ import annotations

import json

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
