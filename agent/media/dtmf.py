"""Keys of a telephone as RTP events (RFC 4733, before it RFC 2833), both ways. Pure.

A key is several packets with one timestamp and a growing duration; the marker is on the first, and the last is sent
three times with the end bit. Any of them may be lost or come twice, and not every telephone keeps to this: some
stamp each packet anew, some stamp several keys alike. So no single field tells one key from the next:

  1. What is not newer by its sequence number is passed over.
  2. Another event is another key.
  3. After the end bit, a packet without it is another press.
  4. So is one with the marker behind one without, unless it is an end packet.
  5. Otherwise it is the same press as long as the duration does not shrink and the timestamp stands still, moves
     with the duration, or moves by less than the duration: a new press cannot start before the last one's end.
  6. A key held for so long that the duration overflows goes on at a timestamp that follows, without a marker
     (RFC 4733 section 2.5.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from agent.media.rtp import RtpPacket

KEYS = "0123456789*#ABCD"
"By event code (RFC 4733 section 3.2)."
NAME = "telephone-event"
TONE_SLOTS = 5  # 100 ms: above the 40 ms that ITU-T Q.24 wants recognised
END_PACKETS = 3  # RFC 4733 section 2.5.1.4
PAUSE_SLOTS = 5
Part = Literal["first", "further"]
"Of the packets of a key: the first has the marker."
MOST_LATE_PACKETS = 500  # further back is a sender that counts anew
_END, _VOLUME = 0x80, 10  # -10 dBm0
_SEGMENT_TICKS = 0xFFFF


class KeyReader:
    """Tell keys from the event packets of one caller."""

    def __init__(self) -> None:
        self._newest: _EventPacket | None = None
        self._press_before = (-1, 0)  # code and timestamp, as they were last

    def push(self, packet: RtpPacket) -> str | None:
        """Take an event packet, untrusted.

        Returns:
            The key if one went down; None if it was told already, or is none.
        """
        event = _read(packet)
        if event is None:
            return None
        newest = self._newest
        if newest is None or newest.ssrc != event.ssrc:
            self._newest = event
            return KEYS[event.code]
        step = _signed(event.timestamp - newest.timestamp, 32)
        packets = (event.sequence - newest.sequence) & 0xFFFF
        # Rule 1; what is later by its timestamp comes after all sequence numbers were used, 22 minutes later.
        if step <= 0 and (packets == 0 or packets > 0x10000 - MOST_LATE_PACKETS):
            return None
        if step < 0 and (event.code, event.timestamp) == self._press_before:
            return None  # the end of the press before, said once more
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
    """Return True if an event of the same code is the press that is known already.

    Args:
        before: the event packet before it.
        event: the newer one.
        step: how far its timestamp is from the one before.
        packets: how far its sequence number is; 1 or more.
    """
    if not event.end and (before.end or (event.marker and not before.marker)):  # rules 3 and 4
        return False
    if step == _SEGMENT_TICKS:  # rule 6
        return not event.marker
    growth = _signed(event.duration - before.duration, 16)
    if step == 0:
        return growth >= 0 or (event.end and not before.end)
    if step == before.duration:  # rule 6, of a sender that has shorter segments
        return True
    if abs(step) < (before.duration if step > 0 else max(before.duration, event.duration)):
        return growth >= 0 or event.end
    if step < 0:
        return False
    # Stamped with its own time, an end packet, or any whose duration stays, is two packets ahead at most.
    interval, excess = step // packets, step - growth
    ends = event.end and not before.end and step <= event.duration + 2 * interval
    return ends or -interval <= 2 * excess <= 5 * interval


def key_packets(key: str, *, clock_hz: int = 8_000) -> Iterator[bytes]:
    """Yield the payloads of one key, to be sent 20 ms apart with the timestamp of the first.

    Args:
        key: one of `KEYS`.
        clock_hz: the RTP clock of the stream.
    """
    code, ticks = KEYS.index(key), clock_hz // 50
    for slot in range(1, TONE_SLOTS + END_PACKETS):
        end = _END if slot >= TONE_SLOTS else 0
        yield bytes((code, end | _VOLUME)) + (min(slot, TONE_SLOTS) * ticks).to_bytes(2, "big")


def _signed(difference: int, bits: int) -> int:
    half = 1 << bits - 1
    return ((difference + half) & ((1 << bits) - 1)) - half
