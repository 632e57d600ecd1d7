"""A client's requests over the data channel, besides talking, typing and marking turns. See docs/events.md."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from agent.call.call import Call
from agent.errors import MediaError
from agent.media.still import read_still
from agent.picture import Picture
from agent.record.recorder import Recording

MAX_TEXT_CHARS = 16 << 10
MAX_PICTURES = 8
QUESTION = "Describe what you see."
ROLES = ("user", "assistant", "system")
SOURCES = ("camera", "screen")

Asked = dict[str, Any]


class RefusedError(Exception):
    """The request cannot be carried out; the message says why."""


def add_to_context(call: Call, asked: Asked) -> Asked:
    """Tell the model something, in any other role than the caller's only if the service allows it."""
    role = asked.get("role", "user")
    if role not in ROLES:
        raise RefusedError(f"role must be one of {', '.join(ROLES)}")
    if role != "user":
        _want_trust(call, f"role {role}")
    call.add_to_context(text_of(asked, "content"), role, run_immediately=asked.get("run_immediately") is True)
    return {}


def update_instructions(call: Call, asked: Asked) -> Asked:
    """Change the agent's instructions."""
    _want_trust(call, "this request")
    call.change_agent(text_of(asked, "instructions"), None)
    return {}


def ask_about_pictures(call: Call, asked: Asked) -> Asked:
    """Type a text about pictures that come with it."""
    given = asked.get("pictures")
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_PICTURES:
        raise RefusedError(f"pictures must be a list of 1 to {MAX_PICTURES} JPEGs or PNGs in Base64")
    call.type_text(text_of(asked, "content"), pictures=[_picture(each) for each in given])
    return {}


def describe(call: Call, asked: Asked) -> Asked:
    """Ask about what the caller is showing."""
    shown = call.sight.pictures(_source(asked))
    if not shown:
        raise RefusedError("nothing is shown at the moment: turn on the camera or share the screen")
    question = text_of(asked, "content") if "content" in asked else QUESTION
    call.type_text(question, pictures=[each.picture for each in shown])
    return {"sources": [each.source for each in shown]}


def look_again(call: Call, asked: Asked) -> Asked:
    """Send the next picture to the model even if nothing has changed."""
    return {"sources": call.sight.look_again(_source(asked))}


def say(call: Call, asked: Asked) -> Asked:
    """Make the agent say something."""
    _want_trust(call, "this request")
    call.say(text_of(asked, "text"))
    return {}


def pause_recording(call: Call, _asked: Asked) -> Asked:
    """Record nothing of what is said from now on."""
    _recorded(call).pause()
    return {}


def resume_recording(call: Call, _asked: Asked) -> Asked:
    """Record what is said again."""
    _recorded(call).resume()
    return {}


REQUESTS: dict[str, Callable[[Call, Asked], Asked]] = {
    "append-to-context": add_to_context,
    "update-instructions": update_instructions,
    "ask-about-pictures": ask_about_pictures,
    "describe": describe,
    "screenshot": look_again,
    "say": say,
    "pause-recording": pause_recording,
    "resume-recording": resume_recording,
}
"""Keyed by the ``t`` of a client-message.

Each function takes the call and the untrusted ``d``, returns the ``d`` of the answer, and raises `RefusedError`, or
LiveLost if the Live server has stopped reading.
"""


COSTS: dict[str, Callable[[Asked], dict[str, float]]] = {
    "append-to-context": lambda asked: {"notes": 1, **_characters(asked, "content")},
    "update-instructions": lambda asked: {"notes": 1, **_characters(asked, "instructions")},
    "ask-about-pictures": lambda asked: {"texts": 1, **_characters(asked, "content"), "pictures": _count(asked)},
    "describe": lambda asked: {"texts": 1, **_characters(asked, "content"), "pictures": len(SOURCES)},
    "screenshot": lambda _asked: {"pictures": 1},
    "say": lambda asked: {"notes": 1, **_characters(asked, "text")},
    "pause-recording": lambda _asked: {"marks": 1},
    "resume-recording": lambda _asked: {"marks": 1},
}
"""How much each request counts against the limits in `signaling.webrtc.rates`."""


def _characters(asked: Asked, name: str) -> dict[str, float]:
    text = asked.get(name)
    return {"characters": min(len(text), MAX_TEXT_CHARS) if isinstance(text, str) else 0}


def _count(asked: Asked) -> int:
    given = asked.get("pictures")
    return min(len(given), MAX_PICTURES) if isinstance(given, list) else 1


def text_of(asked: Asked, name: str) -> str:
    """Return a field that must be a text.

    Raises:
        RefusedError: it is not a text, or is empty or too long.
    """
    text = asked.get(name)
    if not isinstance(text, str) or not text.strip():
        raise RefusedError(f"{name} must be a text that is not empty")
    if len(text) > MAX_TEXT_CHARS:
        raise RefusedError(f"{name} is longer than {MAX_TEXT_CHARS} characters")
    return text.strip()


def _recorded(call: Call) -> Recording:
    if call.recording is None or not call.recording.active:
        raise RefusedError("this call is not being recorded")
    return call.recording


def _source(asked: Asked) -> str | None:
    source = asked.get("source")
    if source is not None and source not in SOURCES:
        raise RefusedError(f"source must be {' or '.join(SOURCES)}; leave it out for both")
    return source


def _picture(given: object) -> Picture:
    """Read Base64, with or without the prefix of a data URL."""
    if not isinstance(given, str):
        raise RefusedError("each picture must be a text in Base64")
    try:
        return read_still(base64.b64decode(given.rpartition(",")[2], validate=True))
    except (binascii.Error, ValueError):
        raise RefusedError("a picture is not valid Base64") from None
    except MediaError as error:
        raise RefusedError(str(error)) from None


def _want_trust(call: Call, what: str) -> None:
    if not call.client_may_instruct:
        raise RefusedError(f"{what} requires the setting client_may_instruct")
