"""What can go wrong: each class says whose fault it is and what to do next.

AgentError
├── ConfigError   the operator's setting: exit code 2, names the setting and where it came from
├── OfferError    the client's request: answered with a 4xx or 503
├── LiveError     the Gemini Live session
│   ├── LiveRefused   the server will not have this session: retrying does not help
│   └── LiveLost      a working session went away: retrying may help
├── ToolError     a tool's own failure: told to the model, not to the log
├── MediaError    the media cannot be decoded or encoded
└── GatewayError  the phone gateway is not there, or refuses
"""

from __future__ import annotations

from typing import Literal

LiveFault = Literal["operator", "live", "network"]
"""Whose fault the end of a Live session was: a key, a model, a setting or a quota; the Live server; the network."""


class AgentError(Exception):
    """Base of every error that talkspurt raises on purpose."""


class ConfigError(AgentError):
    """The operator set something that cannot work."""


class OfferError(AgentError):
    """The client's request cannot be served.

    Args:
        status: the HTTP status to answer with.
        code: a short machine-readable word, e.g. ``no_acceptable_audio``.
        detail: one sentence for the client's developer.
        retry_after_s: seconds after which the client may try again, for 429 and 503.
    """

    def __init__(self, status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


class LiveError(AgentError):
    """The Gemini Live session failed; `agent.live.endings` says how.

    Args:
        detail: one sentence saying what happened.
        fault: see `LiveFault`.
    """

    def __init__(self, detail: str, *, fault: LiveFault) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fault: LiveFault = fault


class LiveRefused(LiveError):
    """The Live server refused the session for good: the key, the model or a setting is wrong."""


class LiveLost(LiveError):
    """The Live session was lost: network, server restart, deadline."""


class ToolError(AgentError):
    """A tool failed; the message is given to the model as the tool's result.

    Args:
        message: what went wrong, in words for the model.
        scheduling: when the model is to speak of it; see `agent.tools.scheduled.Scheduled`.
    """

    def __init__(
        self, message: str = "", *, scheduling: Literal["WHEN_IDLE", "INTERRUPT", "SILENT"] | None = None
    ) -> None:
        super().__init__(message)
        self.scheduling = scheduling


class MediaError(AgentError):
    """Media could not be decoded or encoded."""


class GatewayError(AgentError):
    """The phone gateway cannot be used: it is not there, refuses a request, or does not answer.

    Args:
        detail: one sentence for the operator.
        code: the gateway's own or the SIP code, when there was one.
    """

    def __init__(self, detail: str, *, code: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
