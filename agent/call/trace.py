"""Which trace (W3C Trace Context) a call belongs to, by which its operator finds it everywhere. Pure."""

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
        sampled: its program records it.
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
        link: a span that is said to have led to it, by somebody whose word does not count.
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
        traceparent: the header that came with it, empty if none did: untrusted.
        trusted: whoever sent it may put the call into a trace of theirs; otherwise it is only linked.
        trace_id: of the trace that begins here otherwise.
    """
    led = read_traceparent(traceparent)
    if led is not None and trusted:
        return Trace(led.trace_id, parent=led)
    return Trace(trace_id, link=led)
