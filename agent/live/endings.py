"""How a Live session ended, or why none began, and what follows. Pure.

The session reports only what happened, as an `Ending`. Everything that is concluded from it is in one row of
`TABLE`, the first that fits: what to do next, whose fault it was, the sentence for people, and whether the handle
that the session was resumed from is to blame.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from typing import Literal

from agent.errors import LiveFault, LiveLost, LiveRefused

How = Literal[
    "go_away",  # this side left, because the server had announced that it would close
    "left",  # this side left for another session: a silent model, a changed agent
    "discarded",  # this side left because the session's state cannot be trusted
    "closed",  # the WebSocket was closed; code 1006 means that it broke: a TCP drop, or a ping without a pong
    "error_message",  # the server sent an error with an HTTP status instead of a message
    "upgrade_refused",  # the server answered with an HTTP status instead of a WebSocket
    "unreachable",  # no connection: DNS, TCP, TLS, or a broken handshake
    "untrusted_certificate",
    "unusable_address",  # an address or a proxy that the client cannot use at all
    "unusable_settings",  # the SDK itself rejected a setting
    "no_token",  # Google refused an access token
    "token_unreachable",  # Google could not be asked for one
    "not_confirmed",  # the server did not confirm the session in time
    "no_setup_complete",  # its first message was something else
    "unreadable_setup",  # its first message could not be parsed
    "dropped",  # the connection was lost, and the SDK gave no code
    "stalled",  # the server has stopped reading
    "unreadable",  # too many messages in a row could not be parsed
]

INVALID_PAYLOAD = 1007
POLICY_VIOLATION = 1008
ABNORMAL_CLOSURE = 1006
TRY_AGAIN_LATER = 1013
MIN_CLOSE_CODE = 1000  # lower numbers are HTTP statuses
MAX_REASON_CHARS = 200

_QUOTA = re.compile(r"quota|resource.?exhausted|rate.?limit|too many|concurrent", re.IGNORECASE)
_NO_SUCH_SESSION = re.compile(
    r"(session|handle).*(not found|expired|invalid|unknown)|(invalid|unknown|expired).*handle",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended, or why none began.

    Attributes:
        how: what happened.
        during_setup: whether the server had not confirmed the session yet.
        code: the WebSocket's close code or the HTTP status; None if there was neither.
        reason: the server's words, or those of the error that stopped us; safe for logs.
        limit_s: the time limit that the server exceeded, in seconds, if it was too slow.
        input_refused: whether something that was sent is to blame and is not sent again, see `agent.live.refusals`.
    """

    how: How
    during_setup: bool = False
    code: int | None = None
    reason: str = ""
    limit_s: float = 0.0
    input_refused: bool = False

    def closed_with(self, *codes: int) -> bool:
        """Return whether the server closed the session with one of these codes."""
        return self.how == "closed" and self.code in codes


def closed(code: int, details: object, *, during_setup: bool) -> Ending:
    """Return the ending for an APIError of the SDK, which holds a close code or an HTTP status, and the reason."""
    reason = str(details).rstrip(". ")[:MAX_REASON_CHARS] if details else ""
    how: How = "closed" if code >= MIN_CLOSE_CODE else "error_message"
    return Ending(how, during_setup, code, reason)


class Step(StrEnum):
    """What to do next."""

    RESUME = "resume"
    "Resume from the newest handle; without one, the same as `REBUILD`."
    REBUILD = "rebuild"
    "Start a fresh session and tell the model what was said."
    WAIT = "wait"
    "Like `RESUME`, but after a longer pause, because the quota is used up."
    GIVE_UP = "give_up"
    "Stop trying: no session is possible."


class Blame(Flag):
    """When the handle that the session was resumed from is to blame; see `agent.live.resumption`."""

    NEVER = 0
    "Never: the server has not looked at the handle."
    IF_AGAIN = auto()
    "If this is the handle's second failure."
    IF_AT_ONCE = auto()
    "If the session had only just been resumed."
    ALWAYS = auto()
    "Always: the server refused the handle itself."


@dataclass(frozen=True, slots=True)
class Loss:
    """What people are told about an ending.

    Attributes:
        error: the error that the call ends with if no other session is possible.
        fault: whose fault it was.
        sentence: a format string with the ending's fields and ``why``, which is a colon and the reason, if any.
    """

    error: type[LiveRefused] | type[LiveLost]
    fault: LiveFault
    sentence: str

    def error_for(self, ending: Ending) -> LiveRefused | LiveLost:
        """Return the error, with its sentence."""
        why = f": {ending.reason}" if ending.reason else ""
        sentence = self.sentence.format(code=ending.code, reason=ending.reason, why=why, limit_s=ending.limit_s)
        return self.error(sentence, fault=self.fault)


@dataclass(frozen=True, slots=True)
class Row:
    """One case of how a session ends.

    Attributes:
        case: the case in words.
        fits: returns whether an ending is such a case.
        step: what follows; if the handle is to blame, it is `Step.REBUILD` instead.
        loss: what people are told; None if nothing was lost, because this side left.
        blame: when the handle is to blame.
        busy: whether the server says that it is busy, so that the next attempt waits a moment.
    """

    case: str
    fits: Callable[[Ending], bool]
    step: Step
    loss: Loss | None
    blame: Blame = Blame.NEVER
    busy: bool = False


def _is_quota(end: Ending) -> bool:
    return end.how in ("closed", "error_message") and bool(_QUOTA.search(end.reason))


def _is_setup_refused(end: Ending) -> bool:
    return end.during_setup and end.closed_with(INVALID_PAYLOAD, POLICY_VIOLATION)


def _is_session_unknown(end: Ending) -> bool:
    told = end.how in ("closed", "error_message") and end.during_setup
    return told and bool(_NO_SUCH_SESSION.search(end.reason))


def _is_status(end: Ending, how: How, *statuses: int) -> bool:
    return end.how == how and end.code in statuses


def _is_busy_session_unknown(end: Ending) -> bool:
    busy = end.closed_with(TRY_AGAIN_LATER) or _is_server_error(end, "error_message")
    return busy and _is_session_unknown(end)


def _is_server_error(end: Ending, how: How) -> bool:
    return end.how == how and end.code is not None and 500 <= end.code < 600


_REFUSED = Loss(LiveRefused, "operator", "the Live server refused the session ({code}){why}")
_LOST = Loss(LiveLost, "live", "the Live session was lost ({code}){why}")
_UNAVAILABLE = Loss(LiveLost, "live", "the Live server is not available (HTTP {code})")
_BY_SERVER = Blame.IF_AGAIN | Blame.IF_AT_ONCE

TABLE = (
    # This side left.
    Row("the server had announced that it would close", lambda end: end.how == "go_away", Step.RESUME, None),
    Row("this side wants another session", lambda end: end.how == "left", Step.RESUME, None),
    Row("this side does not trust the session's state", lambda end: end.how == "discarded", Step.REBUILD, None),
    # There was no connection.
    Row(
        "the SDK objects to a setting",
        lambda end: end.how == "unusable_settings",
        Step.GIVE_UP,
        Loss(LiveRefused, "operator", "the Live session cannot be set up: {reason}"),
    ),
    Row(
        "the address or the proxy is unusable",
        lambda end: end.how == "unusable_address",
        Step.GIVE_UP,
        Loss(LiveRefused, "operator", "the Live server's address or proxy cannot be used: {reason}"),
    ),
    Row(
        "the certificate is not trusted",
        lambda end: end.how == "untrusted_certificate",
        Step.GIVE_UP,
        Loss(LiveRefused, "operator", "the Live server's certificate is not trusted: {reason}"),
    ),
    Row(
        "Google refuses an access token",
        lambda end: end.how == "no_token",
        Step.GIVE_UP,
        Loss(
            LiveRefused,
            "operator",
            "Google gave no access token for Vertex AI: {reason}; check TALKSPURT_VERTEX_CREDENTIALS_FILE",
        ),
    ),
    Row(
        "Google cannot be asked for an access token",
        lambda end: end.how == "token_unreachable",
        Step.RESUME,
        Loss(LiveLost, "network", "Google cannot be asked for an access token: {reason}"),
    ),
    Row(
        "the server cannot be reached",
        lambda end: end.how == "unreachable",
        Step.RESUME,
        Loss(LiveLost, "network", "the Live server cannot be reached: {reason}"),
    ),
    # The server answered with an HTTP status.
    Row(
        "the key is refused",
        lambda end: _is_status(end, "upgrade_refused", 401, 403),
        Step.GIVE_UP,
        Loss(LiveRefused, "operator", "the Live server refused the API key (HTTP {code}): check GOOGLE_API_KEY"),
    ),
    Row(
        "the model or the address is refused",
        lambda end: _is_status(end, "upgrade_refused", 400, 404),
        Step.GIVE_UP,
        Loss(
            LiveRefused,
            "operator",
            "the Live server refused the session (HTTP {code}): check the model, TALKSPURT_API_VERSION "
            "and GOOGLE_GEMINI_BASE_URL",
        ),
    ),
    Row(
        "the server is short of quota (HTTP 429)",
        lambda end: _is_status(end, "upgrade_refused", 429),
        Step.WAIT,
        Loss(LiveLost, "operator", "the Live server's quota is used up (HTTP {code})"),
    ),
    Row(
        "the server is busy (HTTP 5xx)",
        lambda end: _is_server_error(end, "upgrade_refused"),
        Step.RESUME,
        _UNAVAILABLE,
        busy=True,
    ),
    Row("any other HTTP status", lambda end: end.how == "upgrade_refused", Step.RESUME, _UNAVAILABLE),
    # There was a connection, but no usable confirmation.
    Row(
        "the session was not confirmed in time",
        lambda end: end.how == "not_confirmed",
        Step.RESUME,
        Loss(LiveLost, "live", "the Live server did not confirm the session within {limit_s:.3g} s"),
        Blame.IF_AGAIN,
    ),
    Row(
        "the first message cannot be read",
        lambda end: end.how == "unreadable_setup",
        Step.RESUME,
        Loss(LiveLost, "live", "the Live server's first message cannot be read: {reason}"),
        Blame.IF_AGAIN,
    ),
    Row(
        "the first message is not the confirmation",
        lambda end: end.how == "no_setup_complete",
        Step.GIVE_UP,
        Loss(LiveRefused, "live", "the Live server's first message was not setupComplete"),
    ),
    # The server closed the session, or sent an error.
    Row(
        "the set-up is refused (1007, 1008) for want of quota",
        lambda end: _is_setup_refused(end) and _is_quota(end),
        Step.WAIT,
        _REFUSED,
    ),
    Row(
        "the reason speaks of quota, whatever the code",
        _is_quota,
        Step.WAIT,
        Loss(LiveLost, "operator", "the Live server's quota is used up ({code}){why}"),
    ),
    Row(
        "an error says that there are too many requests (429)",
        lambda end: _is_status(end, "error_message", 429),
        Step.WAIT,
        _LOST,
    ),
    Row(
        "an error refuses the key, the model or the address",
        lambda end: _is_status(end, "error_message", 400, 401, 403, 404),
        Step.GIVE_UP,
        _LOST,
    ),
    Row(
        "the set-up is refused for something that is not sent again (1007)",
        lambda end: end.input_refused and end.during_setup,
        Step.RESUME,
        _REFUSED,
    ),
    Row(
        "the session is closed for something that is not sent again (1007)",
        lambda end: end.input_refused,
        Step.RESUME,
        _LOST,
    ),
    Row("the set-up is refused (1007, 1008)", _is_setup_refused, Step.GIVE_UP, _REFUSED, Blame.ALWAYS),
    Row(
        "the server is busy, and knows no such session",
        _is_busy_session_unknown,
        Step.RESUME,
        _LOST,
        Blame.ALWAYS,
        busy=True,
    ),
    Row("the server knows no such session", _is_session_unknown, Step.RESUME, _LOST, Blame.ALWAYS),
    Row(
        "an error says that the server is busy (5xx)",
        lambda end: _is_server_error(end, "error_message"),
        Step.RESUME,
        _LOST,
        Blame.IF_AT_ONCE,
        busy=True,
    ),
    Row("any other error", lambda end: end.how == "error_message", Step.RESUME, _LOST, Blame.IF_AT_ONCE),
    Row(
        "the connection broke (1006)",
        lambda end: end.closed_with(ABNORMAL_CLOSURE),
        Step.RESUME,
        Loss(LiveLost, "network", _LOST.sentence),
        Blame.IF_AGAIN,
    ),
    Row(
        "the server is busy (1013)",
        lambda end: end.closed_with(TRY_AGAIN_LATER),
        Step.RESUME,
        _LOST,
        _BY_SERVER,
        busy=True,
    ),
    Row("any other close code", lambda end: end.how == "closed", Step.RESUME, _LOST, _BY_SERVER),
    # The connection failed while the session ran.
    Row(
        "the connection was lost without a code",
        lambda end: end.how == "dropped",
        Step.RESUME,
        Loss(LiveLost, "network", "the Live session was lost: {reason}"),
        Blame.IF_AGAIN,
    ),
    Row(
        "the server takes nothing any more",
        lambda end: end.how == "stalled",
        Step.RESUME,
        Loss(LiveLost, "live", "the Live server has stopped reading"),
        Blame.IF_AGAIN,
    ),
    Row(
        "the messages cannot be read",
        lambda end: end.how == "unreadable",
        Step.RESUME,
        Loss(LiveLost, "live", "the Live server's messages cannot be read"),
        Blame.IF_AGAIN,
    ),
)


def row_of(ending: Ending) -> Row:
    """Return the first row that fits."""
    return next(row for row in TABLE if row.fits(ending))


def error_of(ending: Ending) -> LiveRefused | LiveLost | None:
    """Return the error that says what happened; None if this side left."""
    loss = row_of(ending).loss
    return None if loss is None else loss.error_for(ending)
