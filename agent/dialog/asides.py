"""Every text that the model is told although nobody said it, all in one form. Pure.

The form is ``[Not said by the caller. ...]``, so that the model does not take it for words of the caller. The
offline demo model recognises these texts by how they begin; a test gives it each function and constant of this
module. Quoted text is JSON, so that it cannot break out of its quotes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from agent import events

Role = Literal["user", "assistant", "system"]
"Whose words something is: the caller's, the agent's, or nobody's."

MAX_ANSWER_CHARS = 4000
"The length limit of a tool's late answer, including the text around it."
MARK = "[Not said by the caller. "


def _aside(text: str) -> str:
    return f"{MARK}{text}]"


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


NUDGE = _aside("The caller is waiting for your answer and has heard nothing. Answer now, aloud.")
NUDGE_TO_WRITE = _aside("The caller is waiting for your answer and has not got one. Answer now.")
GENTLE_NUDGE = _aside(
    "The caller has said something and has heard nothing from you. If it was meant for you, answer now, aloud; if "
    "not, stay silent."
)

_LIMITS: dict[events.LimitKind, str] = {
    "budget": "its budget is spent",
    "idle": "nobody has spoken for a long while",
    "max_duration": "it has lasted as long as it may",
    "daily_budget": "what all calls together may cost in a day is spent",
    "daily_minutes": "all calls together have lasted as long as they may in a day",
}


def say_request(text: str) -> str:
    """Ask the model to say something now."""
    return _aside(f"Say to the caller now, in these words: {_quoted(text)}")


def greeting_request(text: str) -> str:
    """Ask the model to begin the call."""
    return _aside(
        f"The call has begun, and the caller hears you. Say to the caller now, in these words: {_quoted(text)}"
    )


def goodbye_request(limit: events.LimitKind) -> str:
    """Ask the model to say goodbye, because the call has reached a limit."""
    return _aside(
        f"The service says: the call ends now, because {_LIMITS[limit]}. Say goodbye in one short sentence, in the "
        "language of the conversation."
    )


def context_note(text: str, role: Role) -> str:
    """Give the model some context. In the role of the caller it is told as their words, without the mark."""
    if role == "user":
        return text
    return _aside(f"{'You have said before' if role == 'assistant' else 'Take note'}: {_quoted(text)}")


def keys_entered(keys: str) -> str:
    """Tell the model what the caller has entered on a telephone's keypad."""
    return _aside(f"The caller pressed these keys of the telephone: {' '.join(keys)}")


def late_answer(tool: str, answer: Mapping[str, Any]) -> str:
    """Tell the model the result of a tool call that can no longer be answered under its id.

    Args:
        tool: the tool's name.
        answer: the response that would have been sent, as JSON values.

    Returns:
        One line that contains JSON, of at most `MAX_ANSWER_CHARS` characters.
    """
    head = f"The answer of the tool {json.dumps(tool[:100])}, which you called before the connection was renewed: "
    room = MAX_ANSWER_CHARS - len(_aside(head))
    told = _quoted(answer)
    return _aside(head + (told if len(told) <= room else _shortened(told, room)))


def _shortened(told: str, room: int) -> str:
    """Return JSON of at most ``room`` characters that contains the beginning of a longer text."""
    length = room
    while True:
        short = _quoted({"cut_off_after": length, "beginning": told[:length]})
        if len(short) <= room:
            return short
        length = min(length - 1, length * room // len(short))
