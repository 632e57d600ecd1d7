"""Telephone keys as RTP events (RFC 4733, formerly RFC 2833), in both directions. Pure.

A key press is several packets with the same timestamp and a growing duration. The first has the marker; the last
has the end bit and is sent three times. Any of them may be lost or duplicated, and not every telephone follows
this: some give each packet a new timestamp, and some give several keys the same one. So no single field separates
one key press from the next:

  1. A packet that is not newer by its sequence number is ignored.
  2. Another event code is another key.
  3. A packet without the end bit after one with it is another press.
  4. So is a packet with the marker after one without it, unless it is an end packet.
  5. Otherwise it is the same press as long as the duration does not shrink and the timestamp stays the same, moves
     with the duration, or moves by less than the duration: a new press cannot begin before the last one's end.
  6. A key held for so long that the duration overflows continues at the timestamp that follows, without a marker
     (RFC 4733 section 2.5.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from agent.media.rtp import RtpPacket, difference16, difference32

KEYS = "0123456789*#ABCD"
"The key for each event code (RFC 4733 section 3.2)."
NAME = "telephone-event"
TONE_SLOTS = 5  # 100 ms; ITU-T Q.24 requires receivers to recognise 40 ms
END_PACKETS = 3  # RFC 4733 section 2.5.1.4
PAUSE_SLOTS = 5
Part = Literal["first", "further"]
"Which of a key's packets it is; the first has the marker."
MAX_LATE_PACKETS = 500  # a packet further back means that the sender has restarted its numbering
_END, _VOLUME = 0x80, 10  # -10 dBm0
_SEGMENT_TICKS = 0xFFFF


class KeyReader:
    """Recognises key presses in one caller's event packets."""

    def __init__(self) -> None:
        self._newest: _EventPacket | None = None
        self._press_before = (-1, 0)  # last code and timestamp of the previous press

    def push(self, packet: RtpPacket) -> str | None:
        """Take an untrusted event packet.

        Returns:
            The key if one was pressed; None if the packet belongs to a press already reported, or is not a key.
        """
        event = _read(packet)
        if event is None:
            return None
        newest = self._newest
        if newest is None or newest.ssrc != event.ssrc:
            self._newest = event
            return KEYS[event.code]
        step = difference32(event.timestamp, newest.timestamp)
        packets = (event.sequence - newest.sequence) & 0xFFFF
        # Rule 1; with a later timestamp the sequence numbers have wrapped around, which takes 22 minutes.
        if step <= 0 and (packets == 0 or packets > 0x10000 - MAX_LATE_PACKETS):
            return None
        if step < 0 and (event.code, event.timestamp) == self._press_before:
            return None  # a repeated end of the previous press
        self._newest = event
        if event.code == newest.code and _goes_on(newest, event, step, max(packets, 1)):
            return None
        self._press_before = (newest.code, newest.timestamp)
        return KEYS[event.code]


class _EventPacket(NamedTuple):
    ssrc: int
    sequence: int
    timestamp: int
    marker: bool
    code: int
    end: bool
    duration: int


def _read(packet: RtpPacket) -> _EventPacket | None:
    payload = packet.payload
    if len(payload) < 4 or payload[0] >= len(KEYS):
        return None
    return _EventPacket(
        packet.ssrc,
        packet.sequence_number,
        packet.timestamp,
        bool(packet.marker),
        payload[0],
        payload[1] >= _END,
        int.from_bytes(payload[2:4], "big"),
    )


def _goes_on(before: _EventPacket, event: _EventPacket, step: int, packets: int) -> bool:
    """Return True if an event with the same code continues the press that is already known.

    Args:
        before: the previous event packet.
        event: the newer one.
        step: the difference of their timestamps.
        packets: the difference of their sequence numbers, 1 or more.
    """
    if not event.end and (before.end or (event.marker and not before.marker)):  # rules 3 and 4
        return False
    if step == _SEGMENT_TICKS:  # rule 6
        return not event.marker
    growth = difference16(event.duration, before.duration)
    if step == 0:
        return growth >= 0 or (event.end and not before.end)
    if step == before.duration:  # rule 6, for a sender that uses shorter segments
        return True
    if abs(step) < (before.duration if step > 0 else max(before.duration, event.duration)):
        return growth >= 0 or event.end
    if step < 0:
        return False
    # If packets are stamped with their own time, an end packet, or one with an unchanged duration, is at most two
    # packets ahead.
    interval, excess = step // packets, step - growth
    ends = event.end and not before.end and step <= event.duration + 2 * interval
    return ends or -interval <= 2 * excess <= 5 * interval


def key_packets(key: str, *, clock_hz: int = 8_000) -> Iterator[bytes]:
    """Yield the payloads of one key press, to be sent every 20 ms, all with the timestamp of the first.

    Args:
        key: one of `KEYS`.
        clock_hz: the stream's RTP clock.
    """
    code, ticks = KEYS.index(key), clock_hz // 50
    for slot in range(1, TONE_SLOTS + END_PACKETS):
        end = _END if slot >= TONE_SLOTS else 0
        yield bytes((code, end | _VOLUME)) + (min(slot, TONE_SLOTS) * ticks).to_bytes(2, "big")
