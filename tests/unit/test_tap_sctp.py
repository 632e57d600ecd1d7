"""Parameters of SCTP chunks as the guard reads them: as aiortc does, but to the end whatever they say."""

from __future__ import annotations

import inspect
import struct

import aiortc.rtcsctptransport
import pytest
from aiortc.rtcsctptransport import BaseInitChunk, BaseParamsChunk
from hypothesis import given
from hypothesis import strategies as st

from agent.media.tap_sctp import decode_params

ITS_OWN = aiortc.rtcsctptransport.decode_params


def test_it_is_replaced_where_it_is_used() -> None:
    for chunk in (BaseInitChunk, BaseParamsChunk):
        assert "decode_params(body" in inspect.getsource(chunk.__init__)
    assert list(inspect.signature(ITS_OWN).parameters) == ["body"]


@pytest.mark.parametrize("length", range(4))
def test_a_parameter_shorter_than_its_header_is_refused(length: int) -> None:
    """aiortc never comes to an end of one of length 0, and takes memory all the while."""
    with pytest.raises(ValueError, match="shorter"):
        decode_params(struct.pack("!HHHH", 1, 4, 7, length))


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=9)), max_size=5), st.binary(max_size=3))
def test_others_are_read_as_aiortc_does(params: list[tuple[int, bytes]], rest: bytes) -> None:
    body = b"".join(
        struct.pack("!HH", kind, len(value) + 4) + value + bytes(-len(value) % 4) for kind, value in params
    )
    assert decode_params(body) == params
    assert decode_params(body + rest) == ITS_OWN(body + rest)
