"""What follows each way in which a Live session can end, and what people are told of it.

``tests/data/live_endings.csv`` has every close code, every class of HTTP status and every known reason, with the
error, the fault and the sentence; ``live_steps.csv`` says what follows in each context. Both were written by the
code that came before the table.
"""

from __future__ import annotations

import csv
import socket
import ssl
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from websockets.exceptions import ConnectionClosedError, InvalidHandshake, InvalidProxy, InvalidUpgrade, InvalidURI
from websockets.frames import Close

from agent.live.connect import CONNECT_ERRORS, why_not_connected
from agent.live.endings import TABLE, Ending, Step, closed, error_of, row_of
from agent.live.resumption import Recovery

DATA = Path(__file__).parents[2] / "data"
BUDGET_S = 1000.0

ADDRESS = "gopher://me:secret@proxy.example:70"
RAISED = {
    "transport": TransportError("cannot reach oauth2.example"),  # type: ignore[no-untyped-call]
    "refresh": RefreshError("invalid_grant: No such account", {"error": "invalid_grant"}),  # type: ignore[no-untyped-call]
    "default_credentials": DefaultCredentialsError("no default credentials"),  # type: ignore[no-untyped-call]
    "certificate": ssl.SSLCertVerificationError(1, "certificate verify failed"),
    "tls": ssl.SSLError(1, "wrong version number"),
    "refused": ConnectionRefusedError(111, "Connect call failed"),
    "name": socket.gaierror(-2, "Name or service not known"),
    "too_many_files": OSError(24, "Too many open files"),
    "handshake": InvalidHandshake("no handshake"),
    "invalid_upgrade": InvalidUpgrade("Upgrade", "h2c"),
    "uri": InvalidURI(ADDRESS, "scheme isn't ws or wss"),
    "proxy": InvalidProxy(ADDRESS, "unsupported"),
    "import": ImportError("connecting through a SOCKS proxy requires python-socks"),
    "value": ValueError("transparent parameter is not supported in Gemini API."),
    "empty_value": ValueError(),
    "type": TypeError("'<=' not supported"),
    "lookup": KeyError("setupComplete"),
    "recursion": RecursionError("maximum recursion depth exceeded"),
    "closed_early": ConnectionClosedError(Close(1011, "going"), None),
    "dropped_early": ConnectionClosedError(None, None),
}
"""What the SDK raises while it connects."""

OTHERS = {
    "timeout": Ending("not_confirmed", during_setup=True, limit_s=0.05),
    "first_message": Ending("no_setup_complete", during_setup=True),
    "dropped": Ending("dropped", reason="no close frame received or sent"),
    "stalled": Ending("stalled"),
    "unreadable": Ending("unreadable"),
}


def ending_of(row: dict[str, str]) -> Ending:
    during_setup, code = row["stage"] == "setup", int(row["code"] or 0)
    match row["kind"]:
        case "closed" | "error":
            return closed(code, row["reason"], during_setup=during_setup)
        case "closed_blamed":
            told = closed(code, row["reason"], during_setup=during_setup)
            return Ending(told.how, during_setup, code, told.reason, input_refused=True)
        case "upgrade":
            return Ending("upgrade_refused", during_setup=True, code=code)
        case kind:
            return OTHERS[kind] if kind in OTHERS else why_not_connected(RAISED[kind])


def read(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CASES = [(row, ending_of(row)) for row in read("live_endings.csv")]
FOLLOWS: defaultdict[str, dict[str, str]] = defaultdict(dict)
for each in read("live_steps.csv"):
    FOLLOWS[each["steps"]][each["context"]] = each["follows"]


def in_setup(context: str, recovery: Recovery) -> float:
    """Bring about a context of a session that is not confirmed; return the time."""
    if context == "failed_once":
        recovery.ready(0.0, resumed=False)
        recovery.lost(closed(1006, "", during_setup=False), 60.0, resumed=False)
        recovery.lost(closed(1011, "", during_setup=True), 61.0, resumed=True)
    elif context == "on_trial":
        recovery.ready(0.0, resumed=True)
        recovery.lost(closed(1006, "", during_setup=False), 5.0, resumed=True)
    return 65.0


def while_running(context: str, recovery: Recovery) -> float:
    """Bring about a context of a session that runs; return the time."""
    if context in ("failed_once", "failed_young"):
        recovery.lost(closed(1011, "", during_setup=True), 0.0, resumed=True)
    recovery.ready(10.0, resumed=context != "fresh")
    if context == "newer_handle":
        recovery.offered("h2")
    elif context == "proved":
        recovery.progressed()
    return 11.0 if context in ("young", "failed_young") else 15.0


def outcome(end: Ending, context: str, uniform: Callable[[float, float], float]) -> tuple[Step, float, str, str]:
    """Return the step, the delay, what became of the handle, and what follows if the next set-up fails."""
    recovery = Recovery(BUDGET_S, uniform)
    recovery.offered(None if context == "fresh" else "h1")
    now = (in_setup if end.during_setup else while_running)(context, recovery)
    had = recovery.handle
    move = recovery.lost(end, now, resumed=context != "fresh")
    if recovery.handle is None:
        return move.step, move.delay_s, "none" if had is None else "gone", ""
    then = recovery.lost(closed(1011, "", during_setup=True), now, resumed=True).step
    return move.step, move.delay_s, "kept", f" then {then}"


def follows(end: Ending, context: str) -> str:
    step, shortest_s, handle, then = outcome(end, context, lambda low, _high: low)
    longest_s = outcome(end, context, lambda _low, high: high)[1]
    return "give_up" if step is Step.GIVE_UP else f"{step} {shortest_s:g}..{longest_s:g} {handle}{then}"


@pytest.mark.parametrize("kind", sorted({row["kind"] for row, _ in CASES}))
def test_an_ending_is_told_and_followed_as_before_the_table(kind: str) -> None:
    for row, end in CASES:
        if row["kind"] == kind:
            error = error_of(end)
            assert error is not None
            assert (type(error).__name__, error.fault, error.detail) == (
                row["error"],
                row["fault"],
                row["sentence"],
            )
            expected = FOLLOWS[row["steps"]]
            assert {context: follows(end, context) for context in expected} == expected, row


def test_every_row_of_the_table_is_reached() -> None:
    left = [Ending("go_away"), Ending("left"), Ending("discarded")]
    reached = {row_of(end).case for end in [*left, *(end for _, end in CASES)]}
    assert [row.case for row in TABLE if row.case not in reached] == []


def test_every_close_code_and_class_of_status_is_tried() -> None:
    seen = {(row["kind"], int(row["code"] or 0)) for row, _ in CASES}
    assert {("closed", code) for code in (*range(1000, 1016), 3000, 3999, 4000, 4999)} <= seen
    assert {status // 100 for kind, status in seen if kind == "upgrade" and status} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("end", "step"),
    [
        (Ending("go_away"), Step.RESUME),
        (Ending("left"), Step.RESUME),
        (Ending("discarded"), Step.REBUILD),
    ],
)
def test_what_this_side_leaves_is_no_loss(end: Ending, step: Step) -> None:
    assert (row_of(end).step, error_of(end)) == (step, None)


def test_whatever_the_sdk_raises_is_read() -> None:
    assert all(isinstance(error, CONNECT_ERRORS) for error in RAISED.values())


def test_a_sentence_is_no_format_of_the_servers() -> None:
    error = error_of(closed(1011, "{code} {0} %s", during_setup=False))
    assert error is not None
    assert error.detail == "the Live session was lost (1011): {code} {0} %s"
