"""The header by which another program says what led to a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.call.trace import SpanName, Trace, begin_trace, read_traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header",
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-00",
        f" 00-{TRACE}-{SPAN}-01 ",
        f"cc-{TRACE}-{SPAN}-01-what-later-versions-add",
    ],
)
def test_a_span_is_read(header: str) -> None:
    assert read_traceparent(header) == SpanName(TRACE, SPAN, sampled="-00" not in header[-4:])


def test_only_the_flag_of_sampling_counts() -> None:
    flags = {flag: read_traceparent(f"00-{TRACE}-{SPAN}-{flag}") for flag in ("00", "01", "02", "03", "ff")}
    assert {flag: read is not None and read.sampled for flag, read in flags.items()} == {
        "00": False,
        "01": True,
        "02": False,
        "03": True,
        "ff": True,
    }


def test_a_trace_is_taken_over_from_whom_it_may_be() -> None:
    header = f"00-{TRACE}-{SPAN}-00"
    own = "1" * 32
    trusted = begin_trace(header, trusted=True, trace_id=own)
    assert (trusted.trace_id, trusted.parent, trusted.link) == (TRACE, SpanName(TRACE, SPAN, sampled=False), None)
    assert not trusted.sampled
    stranger = begin_trace(header, trusted=False, trace_id=own)
    assert (stranger.trace_id, stranger.parent, stranger.link) == (own, None, SpanName(TRACE, SPAN, sampled=False))
    assert stranger.sampled
    assert begin_trace("nonsense", trusted=True, trace_id=own) == Trace(own)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n{TRACE}",
    ],
)
def test_what_is_not_valid_counts_for_nothing(header: str) -> None:
    assert read_traceparent(header) is None


@given(st.text(alphabet="0123456789abcdefg-\n \u0660", max_size=80))
def test_any_text_is_read_or_not(header: str) -> None:
    read = read_traceparent(header)
    assert read is None or (len(read.trace_id), len(read.span_id)) == (32, 16)
