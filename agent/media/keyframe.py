"""Assemble key frames from RTP packets: find the packets of each frame, and the frames that are key frames. Pure.

Only frames that can be decoded on their own matter here, so nothing waits for a frame that lost a packet: the next
key frame will do. So aiortc's jitter buffer, which would hold back up to 512 packets behind a gap, is not used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.media.rtp import difference16

MAX_PACKETS_PER_FRAME = 1024  # enough for over 1 MB
MAX_OPEN_FRAMES = 4  # beyond that, the oldest incomplete frame is dropped

_START_CODE = b"\x00\x00\x01"
_IDR, _SPS, _DELIMITER = 5, 7, 9  # NAL unit types, H.264 table 7-1


@dataclass(frozen=True, slots=True)
class Part:
    """One packet of a frame.

    Attributes:
        sequence_number: RTP's sequence number, 16 bits.
        timestamp: RTP's timestamp, which is the same for all packets of a frame.
        marker: True for the frame's last packet.
        first: True if the frame can be decoded from here on, see `starts_frame`.
        data: what the packet adds to the frame: VP8 without its descriptor, H.264 as Annex B.
    """

    sequence_number: int
    timestamp: int
    marker: bool
    first: bool
    data: bytes = field(repr=False)


def starts_frame(codec: str, payload: bytes, data: bytes) -> bool:
    """Return True if decoding of a frame may start at this packet.

    Args:
        codec: ``vp8`` or ``h264``.
        payload: the RTP payload.
        data: what the packet adds to the frame, see `Part`.
    """
    if codec == "vp8":  # start of partition 0, RFC 7741 section 4.2
        return bool(payload) and payload[0] & 0x17 == 0x10
    # WebRTC senders put the parameter sets into the access unit of each key frame (RFC 7742 section 6.2).
    return data[:4] == b"\x00" + _START_CODE and len(data) > 4 and data[4] & 0x1F in (_SPS, _DELIMITER)


def is_key_frame(codec: str, frame: bytes) -> bool:
    """Return True if a complete frame can be decoded on its own.

    Args:
        codec: ``vp8`` or ``h264``.
        frame: VP8, or an Annex B access unit.
    """
    if codec == "vp8":  # RFC 6386 section 9.1
        return len(frame) >= 10 and not frame[0] & 1 and frame[3:6] == b"\x9d\x01\x2a"
    at = frame.find(_START_CODE)
    while 0 <= at < len(frame) - 3:
        if frame[at + 3] & 0x1F == _IDR:
            return True
        at = frame.find(_START_CODE, at + 3)
    return False


class _Open:
    """A frame that is not complete yet."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}
        self._first: int | None = None
        self._last: int | None = None

    def add(self, part: Part) -> bool:
        """Take a packet; return False if the frame has become too large."""
        number = part.sequence_number
        self._parts[number] = part.data
        if part.marker:
            self._last = number
        # H.264: a delimiter may come in a packet before the parameter sets.
        if part.first and (self._first is None or difference16(self._first, number) >= 0):
            self._first = number
        return len(self._parts) <= MAX_PACKETS_PER_FRAME

    def whole(self) -> bytes | None:
        """Return the frame once it is complete."""
        if self._first is None or self._last is None:
            return None
        count = ((self._last - self._first) & 0xFFFF) + 1
        if count > len(self._parts):
            return None
        numbers = [(self._first + step) & 0xFFFF for step in range(count)]
        if not all(number in self._parts for number in numbers):
            return None
        return b"".join(self._parts[number] for number in numbers)


class Assembler:
    """Assembles frames from packets in any order."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}  # keyed by timestamp, oldest first

    def push(self, part: Part) -> bytes | None:
        """Take a packet; return its frame if it is now complete."""
        frame = self._open.get(part.timestamp)
        if frame is None:
            frame = self._open[part.timestamp] = _Open()
            if len(self._open) > MAX_OPEN_FRAMES:
                del self._open[next(iter(self._open))]
        if not frame.add(part):
            del self._open[part.timestamp]
            return None
        whole = frame.whole()
        if whole is not None:
            del self._open[part.timestamp]
        return whole

    def clear(self) -> None:
        """Drop all incomplete frames."""
        self._open.clear()
