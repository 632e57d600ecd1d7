"""Telephone keys as RTP events: each is reported once, whatever arrives and however it is stamped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.dtmf import KEYS, KeyReader, key_packets
from agent.media.rtp import RtpPacket

EVENTS = 101


@dataclass(frozen=True)
class Phone:
    """How a telephone sends keys.

    Attributes:
        stamps: ``start`` as RFC 4733 wants, ``growing`` by each packet, ``ends`` for end packets anew, ``one`` for
            all keys of the call.
        durations: ``growing``, or ``constant``: the whole from the beginning.
        markers: on the ``first`` packet, on ``none``, on ``all``.
        starts: how often the first packet is sent.
        tick: 20 ms of the RTP clock.
    """

    stamps: str = "start"
    durations: str = "growing"
    markers: str = "first"
    starts: int = 1
    tick: int = 160

    def press(self, keys: str, *, start: int = 1000, sequence: int = 65_500) -> list[list[RtpPacket]]:
        """Return the event packets of each key: 100 ms of it, 100 ms between two."""
        pressed, slot = [], 0
        for key in keys:
            packets, first = [], slot
            sizes = [1] * (self.starts - 1) + [1, 2, 3, 4, 5, 5, 5]
            for index, size in enumerate(sizes):
                end = index >= len(sizes) - 3
                stamp = {"start": first, "growing": slot, "ends": slot if end else first, "one": 0}[self.stamps]
                length = (5 if self.durations == "constant" else size) * self.tick
                payload = bytes((KEYS.index(key), end << 7 | 10)) + length.to_bytes(2, "big")
                marker = self.markers == "all" or (self.markers == "first" and index < self.starts)
                packets.append(
                    RtpPacket(
                        EVENTS,
                        int(marker),
                        (sequence + slot) & 0xFFFF,
                        (start + stamp * self.tick) & 0xFFFFFFFF,
                        1,
                        payload,
                    )
                )
                slot += 1
            slot += 5
            pressed.append(packets)
        return pressed


PHONES = [
    Phone(stamps, durations, markers, starts, tick)
    for stamps in ("start", "growing", "ends", "one")
    for durations in ("growing", "constant")
    for markers in ("first", "none", "all")
    for starts, tick in ((1, 160), (3, 160), (1, 960))
]


def told(packets: Sequence[RtpPacket]) -> str:
    reader = KeyReader()
    return "".join(reader.push(packet) or "" for packet in packets)


def flat(pressed: list[list[RtpPacket]]) -> list[RtpPacket]:
    return [packet for packets in pressed for packet in packets]


def event(
    key: str, sequence: int, timestamp: int, duration: int, *, end: bool = False, marker: bool = False
) -> RtpPacket:
    payload = bytes((KEYS.index(key), end << 7 | 10)) + duration.to_bytes(2, "big")
    return RtpPacket(EVENTS, int(marker), sequence, timestamp, 1, payload)


def test_a_key_is_sent_as_rfc_4733_wants() -> None:
    payloads = list(key_packets("#"))
    assert [payload[0] for payload in payloads] == [11] * 7
    assert [payload[1] >> 7 for payload in payloads] == [0, 0, 0, 0, 1, 1, 1]  # the end is said three times
    assert [int.from_bytes(payload[2:], "big") for payload in payloads] == [160, 320, 480, 640, 800, 800, 800]


@pytest.mark.parametrize("keys", [KEYS, "1", "2", "*01", "1122", "000"])
@pytest.mark.parametrize("start", [0, 0xFFFFFFFF - 3000])
def test_every_key_of_every_telephone_is_told_once(keys: str, start: int) -> None:
    for phone in PHONES:
        assert told(flat(phone.press(keys, start=start))) == keys, phone


@given(st.text(KEYS, min_size=1, max_size=6), st.data())
def test_what_is_lost_or_doubled_does_not_matter(keys: str, data: st.DataObject) -> None:
    """As long as one packet of a key arrives, it is told once, in order: with no marker, and no end, too."""
    phone = Phone(markers=data.draw(st.sampled_from(["first", "none"])))
    packets = []
    for of_key in phone.press(keys):
        kept = data.draw(st.lists(st.sampled_from(range(7)), min_size=1, max_size=9))
        packets += [of_key[index] for index in sorted(kept)]
    assert told(packets) == keys


@pytest.mark.parametrize("kept", [slice(1, None), slice(-3), slice(0, None, 2), slice(-1, None)])
def test_every_telephone_may_lose_some(kept: slice) -> None:
    """The marker is lost with the first packet, the end bit with the last three."""
    for phone in PHONES:
        assert told(flat([packets[kept] for packets in phone.press("7*3#")])) == "7*3#", phone


@given(st.permutations(range(7)), st.sampled_from([phone for phone in PHONES if phone.durations == "growing"]))
def test_the_order_of_arrival_does_not_matter(order: list[int], phone: Phone) -> None:
    packets = replace(phone, starts=1).press("5")[0]
    assert told([packets[index] for index in order]) == "5"


def test_a_packet_that_comes_late_is_not_another_key() -> None:
    one, two = Phone().press("12")
    assert told([*one[:3], *two[:2], *one[3:], *two[2:]]) == "12"


def test_an_end_said_again_after_the_next_key_began_is_not_another_key() -> None:
    """Some telephones send the last end packet between those of the next key."""
    packets = [
        event("1", 0, 0, 160, marker=True),
        event("1", 1, 0, 800, end=True),
        event("1", 2, 1600, 160, marker=True),
        event("1", 3, 0, 800, end=True),
        event("1", 4, 1600, 320),
        event("1", 5, 1600, 320, end=True),
    ]
    assert told(packets) == "11"


def test_a_key_held_for_long_is_one_key() -> None:
    """After 8 s the timestamp moves on by the longest duration there is, without a marker."""
    held = [event("5", index, index * 0xFFFF, 0xFFFF) for index in range(3)]
    assert told(held) == "5"
    assert told([held[0], event("5", 1, 0xFFFF, 160), event("5", 2, 0xFFFF, 320, end=True)]) == "5"
    assert told([event("5", 0, 0, 60_000), event("5", 4, 0xFFFF, 160)]) == "5"
    marked = [packet._replace(marker=1) for packet in held[:2]]
    assert told(marked) == "55"


@pytest.mark.parametrize("packets", [65_036, 65_100, 65_535, 65_536])
def test_a_key_that_comes_when_all_sequence_numbers_were_used_is_told(packets: int) -> None:
    """22 minutes after the last one."""
    first, second = (
        Phone().press("7")[0],
        Phone().press("7", start=1000 + 160 * packets, sequence=65_500 + packets)[0],
    )
    assert told([*first, *second]) == "77"


def test_another_source_is_another_telephone() -> None:
    first, second = event("4", 7, 0, 160), event("4", 3, 0, 160)._replace(ssrc=2)
    assert told([first, second]) == "44"


def test_a_telephone_that_counts_anew_is_heard() -> None:
    assert told([event("4", 40_000, 90_000, 160, end=True), event("9", 3, 0, 160, marker=True)]) == "49"


@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.booleans())))
def test_anything_may_arrive(packets: list[tuple[bytes, int, int, bool]]) -> None:
    reader = KeyReader()
    for payload, sequence, timestamp, marker in packets:
        key = reader.push(RtpPacket(EVENTS, int(marker), sequence, timestamp, 1, payload))
        assert key is None or key in KEYS


def test_a_flash_is_no_key() -> None:
    assert told([RtpPacket(EVENTS, 1, 0, 0, 1, bytes((16, 10, 0, 160)))]) == ""
