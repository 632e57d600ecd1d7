"""The trace (W3C Trace Context) that a call belongs to, which lets operators follow it across services. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_NOTHING = frozenset("0")


@dataclass(frozen=True, slots=True)
class SpanName:
    """A span of another program.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whether that program records it.
    """

    trace_id: str
    span_id: str
    sampled: bool = True


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of a call.

    Attributes:
        trace_id: 32 hexadecimal digits.
        parent: the span that led to the call, in the same trace; None for a trace that begins here.
        link: a span that an untrusted sender says led to the call; None if there is none.
    """

    trace_id: str
    parent: SpanName | None = None
    link: SpanName | None = None

    @property
    def sampled(self) -> bool:
        """False if the program that led to the call does not record its trace."""
        return self.parent is None or self.parent.sampled


def read_traceparent(header: str) -> SpanName | None:
    """Return the span that a ``traceparent`` header names (W3C Trace Context, 3.2); None if it is not valid.

    Args:
        header: untrusted.
    """
    match = _TRACEPARENT.fullmatch(header.strip()[:512])
    if match is None or (header.strip().startswith("00") and len(header.strip()) != 55):
        return None
    trace_id, span_id = match[1], match[2]
    sampled = bool(int(match[3], 16) & 1)
    return None if _NOTHING in (set(trace_id), set(span_id)) else SpanName(trace_id, span_id, sampled)


def begin_trace(traceparent: str, *, trusted: bool, trace_id: str) -> Trace:
    """Return the trace of a call.

    Args:
        traceparent: the header that came with the call, empty if none did; untrusted.
        trusted: whether the sender may place the call in its own trace; otherwise that trace is only linked.
        trace_id: the id of the new trace if the call is not placed in the sender's.
    """
    led = read_traceparent(traceparent)
    if led is not None and trusted:
        return Trace(led.trace_id, parent=led)
    return Trace(trace_id, link=led)
