"""The interface through which the link to the model reports to the call and queries it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.errors import LiveError
from agent.events import RefusedInput, SessionReplaced
from agent.live import wire
from agent.live.uplink import ToolResult
from agent.picture import Shown
from agent.spoken import Spoken


@dataclass(frozen=True, slots=True)
class LinkPorts:
    """The call, as the link sees it; none of the functions may block.

    Attributes:
        on_ready: called once the first session is set up.
        on_fact: called with each fact, in order.
        on_picture: called with each picture once it has been sent.
        on_ending: called with the seconds after which the server will close the session.
        on_ended: called when a session has ended, with the loss (None if it was left on purpose) and the tool
            results that can no longer be sent.
        on_replaced: called once the next session is ready, with the number of turns of history that it is told.
        on_forgotten: called when a resumed session has lost what was said; a fresh session will be told it.
        history: returns the turns so far, oldest first; with True only those up to the model's last complete turn.
        is_quiet: returns whether nobody is speaking and no tool call is open.
        on_refused: called with the kind of input that the server refuses, which is not sent again, and the reason.
    """

    on_ready: Callable[[], None]
    on_fact: Callable[[wire.Fact], None]
    on_picture: Callable[[Shown], None]
    on_ending: Callable[[float], None]
    on_ended: Callable[[LiveError | None, Sequence[ToolResult]], None]
    on_replaced: Callable[[SessionReplaced, int], None]
    on_forgotten: Callable[[], None]
    history: Callable[[bool], Sequence[Spoken]]
    is_quiet: Callable[[], bool]
    on_refused: Callable[[RefusedInput, str], None] = lambda _what, _reason: None


NOBODY = LinkPorts(
    on_ready=lambda: None,
    on_fact=lambda _fact: None,
    on_picture=lambda _picture: None,
    on_ending=lambda _time_left_s: None,
    on_ended=lambda _loss, _unsent: None,
    on_replaced=lambda _how, _told_turns: None,
    on_forgotten=lambda: None,
    history=lambda _complete_only: (),
    is_quiet=lambda: True,
)
"""The ports that replace those of a call that is over; they do nothing."""
