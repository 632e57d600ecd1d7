"""Endings of Live sessions, as tests speak of them."""

from __future__ import annotations

from typing import Literal

from agent.live.endings import MIN_CLOSE_CODE, Ending, closed

Stage = Literal["setup", "running"]


def ended(stage: Stage, code: int | None, reason: str = "") -> Ending:
    """Return how a session ended: by a close code, by an HTTP status, or (None) because nothing came any more."""
    during_setup = stage == "setup"
    if code is None:
        return Ending("not_confirmed", during_setup=True) if during_setup else Ending("dropped")
    if during_setup and code < MIN_CLOSE_CODE:
        return Ending("upgrade_refused", during_setup=True, code=code, reason=reason)
    return closed(code, reason, during_setup=during_setup)
