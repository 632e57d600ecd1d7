"""Keys of a telephone as RTP events: each is told once, whatever arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.dtmf import KEYS, KeyReader, key_packets


def sent(keys: str, start: int = 1000) -> list[tuple[bytes, int, bool]]:
    """Return payload, timestamp and marker of the packets of some keys."""
    packets = []
    for number, key in enumerate(keys):
        timestamp = (start + number * 2400) & 0xFFFFFFFF
        packets += [(payload, timestamp, index == 0) for index, payload in enumerate(key_packets(key))]
    return packets


def told(packets: list[tuple[bytes, int, bool]]) -> str:
    reader = KeyReader()
    return "".join(reader.push(payload, at, marker=marker) or "" for payload, at, marker in packets)


def test_a_key_is_sent_as_rfc_4733_wants() -> None:
    payloads = list(key_packets("#"))
    assert [payload[0] for payload in payloads] == [11] * 7
    assert [payload[1] >> 7 for payload in payloads] == [0, 0, 0, 0, 1, 1, 1]  # the end is said three times
    assert [int.from_bytes(payload[2:], "big") for payload in payloads] == [160, 320, 480, 640, 800, 800, 800]


@pytest.mark.parametrize("start", [0, 1000, 0xFFFFFFFF - 3000])
def test_every_key_is_told_once(start: int) -> None:
    assert told(sent(KEYS, start)) == KEYS
    assert told(sent("1122", start)) == "1122"


@given(st.text(KEYS, min_size=1, max_size=6), st.data())
def test_what_is_lost_or_doubled_does_not_matter(keys: str, data: st.DataObject) -> None:
    """As long as one packet of a key arrives, it is told once, in order."""
    packets = []
    for number in range(len(keys)):
        of_key = sent(keys)[number * 7 : number * 7 + 7]
        kept = data.draw(st.lists(st.sampled_from(range(7)), min_size=1, max_size=9))
        packets += [of_key[index] for index in sorted(kept)]
    assert told(packets) == keys


def test_a_packet_that_comes_late_is_not_another_key() -> None:
    one, two = sent("12")[:7], sent("12")[7:]
    assert told([*one[:3], *two[:2], *one[3:], *two[2:]]) == "12"


def test_a_key_held_for_long_is_one_key() -> None:
    """After 8 s the timestamp moves on by the longest duration there is, without a marker."""
    payload = bytes((5, 10, 0xFF, 0xFF))
    assert told([(payload, 0, True), (payload, 0xFFFF, False), (payload, 2 * 0xFFFF, False)]) == "5"
    assert told([(payload, 0, True), (payload, 0xFFFF, True)]) == "55"


@given(st.binary(max_size=8), st.integers(0, 2**32 - 1), st.booleans())
def test_anything_may_arrive(payload: bytes, timestamp: int, marker: bool) -> None:
    key = KeyReader().push(payload, timestamp, marker=marker)
    assert key is None or key in KEYS


def test_a_flash_is_no_key() -> None:
    assert told([(bytes((16, 10, 0, 160)), 0, True)]) == ""
