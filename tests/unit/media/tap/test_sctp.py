"""The guard treats SCTP chunks as aiortc does, but always comes to an end, at little cost."""

from __future__ import annotations

import inspect
import struct
import time
from collections.abc import Iterator
from typing import Any

import aiortc.rtcsctptransport
import pytest
from aiortc.rtcsctptransport import BaseInitChunk, BaseParamsChunk
from hypothesis import given
from hypothesis import strategies as st

from agent.media.tap.sctp import MAX_MISORDERED_CHUNKS, MAX_STREAMS, decode_params
from tests.fuzz.targets.sctp import FORWARD, SACK, chunk, data, established, packet
from tests.fuzz.world import World, world

ITS_OWN = aiortc.rtcsctptransport.decode_params


def test_it_is_replaced_where_it_is_used() -> None:
    for kind in (BaseInitChunk, BaseParamsChunk):
        assert "decode_params(body" in inspect.getsource(kind.__init__)
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


class Association:
    """One that is up and guarded, and what was objected to."""

    def __init__(self, around: World) -> None:
        self._world = around
        self.sctp: Any
        self.sctp, self.objections = around.run(established())
        around.settle()

    def take(self, *chunks: bytes) -> float:
        """Take a packet; return the CPU time that it took."""
        made = packet(self.sctp, b"\0" + b"".join(chunks))
        began = time.thread_time()
        self._world.run(self.sctp._handle_data(made))
        return time.thread_time() - began

    def send(self, count: int) -> None:
        """Send messages that nobody acknowledges."""
        for number in range(count):
            self._world.run(self.sctp._send(0, 51, b"%d" % number))


@pytest.fixture
def up() -> Iterator[Association]:
    with world() as around:
        made = Association(around)
        yield made
        around.run(made.sctp.stop())


def acknowledgement(step: int, *gaps: tuple[int, int]) -> bytes:
    blocks = b"".join(struct.pack("!HH", *gap) for gap in gaps)
    return chunk(SACK, 0, struct.pack("!LLHH", step % 2**32, 1 << 17, len(gaps), 0) + blocks)


def test_an_acknowledgement_of_what_was_never_sent_takes_no_time(up: Association) -> None:
    """One such packet had aiortc count to 65,535 for each of its gap blocks: seconds."""
    up.send(3)
    seconds = up.take(acknowledgement(0, *[(1, 0xFFFF)] * 300))
    assert seconds < 0.05
    assert len(up.sctp._sent_queue) == 3
    assert up.take(acknowledgement(1000, (1, 2))) < 0.05
    assert len(up.sctp._sent_queue) == 3
    assert up.sctp.state == "connected"


@pytest.mark.parametrize(
    ("gaps", "acked"),
    [([(2, 3)], [2, 3]), ([(5, 5), (2, 2)], [2, 5]), ([(2, 2), (2, 3), (9, 9)], [2]), ([(3, 2)], [])],
)
def test_gaps_among_what_was_sent_are_heeded(
    up: Association, gaps: list[tuple[int, int]], acked: list[int]
) -> None:
    up.send(6)
    first = up.sctp._sent_queue[0].tsn - 1
    up.take(acknowledgement(0, *gaps))
    assert [each.tsn - first for each in up.sctp._sent_queue if each._acked] == acked
    up.take(acknowledgement(6))
    assert not up.sctp._sent_queue


def test_streams_are_counted_where_messages_are_given_up_too(up: Association) -> None:
    """aiortc remembers a place in each, and goes through all of them each time."""
    streams = [struct.pack("!HH", number, 1) for number in range(MAX_STREAMS + 1)]
    up.take(chunk(FORWARD, 0, struct.pack("!L", 1) + b"".join(streams[:-1])))
    assert up.objections == []
    up.take(chunk(FORWARD, 0, struct.pack("!L", 1) + b"".join(streams[-1:])))
    assert up.objections == [f"opened more than {MAX_STREAMS} data channels"]
    assert up.sctp.state == "closed"


@pytest.mark.slow
def test_what_waits_for_one_chunk_is_bounded_however_little_it_holds(up: Association) -> None:
    """All TSNs behind the missing one are sorted with each that comes, and told in each acknowledgement."""
    slowest_s = 0.0
    for number in range(MAX_MISORDERED_CHUNKS // 40 + 1):
        slowest_s = max(
            slowest_s, up.take(*(data(2 + 2 * (40 * number + step), 0, 53, b"", 7) for step in range(40)))
        )
    assert up.objections == ["sent too much behind a missing chunk"]
    assert slowest_s < 0.3
