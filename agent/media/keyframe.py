"""Key frames out of RTP packets: which packets make up a frame, and which frames stand alone. Pure.

Only frames that can be decoded by themselves are of interest here, so nothing waits for a frame that lost a packet:
the next one does as well. That is why aiortc's jitter buffer is not used; it would hold back everything behind the
gap for up to 512 packets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_PACKETS = 1024  # of one frame: over 1 MB
MAX_OPEN_FRAMES = 4  # the oldest incomplete one goes first

_START_CODE = b"\x00\x00\x01"
_IDR, _SPS, _DELIMITER = 5, 7, 9  # NAL unit types, H.264 table 7-1


@dataclass(frozen=True, slots=True)
class Part:
    """One packet of a frame.

    Attributes:
        sequence_number: as in RTP, 16 bits.
        timestamp: as in RTP; the same for all packets of a frame.
        marker: the frame's last packet.
        first: the frame can be decoded from here on, see `starts_frame`.
        data: what the packet adds to the frame: VP8 without its descriptor, H.264 as Annex B.
    """

    sequence_number: int
    timestamp: int
    marker: bool
    first: bool
    data: bytes = field(repr=False)


def starts_frame(codec: str, payload: bytes, data: bytes) -> bool:
    """Return True if a packet is where decoding of its frame may start.

    Args:
        codec: ``vp8`` or ``h264``.
        payload: the RTP payload.
        data: what it adds to the frame, see `Part`.
    """
    if codec == "vp8":  # start of partition 0, RFC 7741 section 4.2
        return bool(payload) and payload[0] & 0x17 == 0x10
    # WebRTC senders put the parameter sets into each key frame's access unit (RFC 7742 section 6.2).
    return data[:4] == b"\x00" + _START_CODE and len(data) > 4 and data[4] & 0x1F in (_SPS, _DELIMITER)


def is_key_frame(codec: str, frame: bytes) -> bool:
    """Return True if a whole frame stands alone.

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
        """Take a packet; False if the frame has grown beyond the bound."""
        number = part.sequence_number
        self._parts[number] = part.data
        if part.marker:
            self._last = number
        # H.264: a delimiter may stand in a packet before the parameter sets.
        if part.first and (self._first is None or (self._first - number) & 0xFFFF < 0x8000):
            self._first = number
        return len(self._parts) <= MAX_PACKETS

    def whole(self) -> bytes | None:
        """Return the frame once all of it is there."""
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
    """Put frames together, in whatever order their packets come."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}  # by timestamp, oldest first

    def push(self, part: Part) -> bytes | None:
        """Take a packet; return its frame if that is complete now."""
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
        """Forget what is not complete."""
        self._open.clear()
