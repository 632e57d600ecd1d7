"""Keys of a telephone as RTP events (RFC 4733), both ways. Pure.

A key is several packets with one timestamp and a growing duration; the last is sent three times with the end bit.
Which of them arrive does not matter: a timestamp is a key, told at its first packet.
"""

from __future__ import annotations

from collections.abc import Iterator

KEYS = "0123456789*#ABCD"
"By event code (RFC 4733 section 3.2)."
NAME = "telephone-event"
TONE_SLOTS = 5  # 100 ms: above the 40 ms that ITU-T Q.24 wants recognised
END_PACKETS = 3  # RFC 4733 section 2.5.1.4
PAUSE_SLOTS = 5
_END, _VOLUME = 0x80, 10  # -10 dBm0
_SEGMENT_TICKS = 0xFFFF


class KeyReader:
    """Tell keys from the event packets of one caller."""

    def __init__(self) -> None:
        self._timestamp: int | None = None

    def push(self, payload: bytes, timestamp: int, *, marker: bool) -> str | None:
        """Take a packet's payload: untrusted.

        Args:
            payload: of the RTP packet.
            timestamp: 32 bits.
            marker: the RTP marker bit, set on the first packet of a key.

        Returns:
            The key, once; None if it was told already, or is none.
        """
        if len(payload) < 4 or payload[0] >= len(KEYS):
            return None
        before, step = self._timestamp, 0
        if before is not None:
            step = ((timestamp - before + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            if step <= 0:  # told already, or an older one that comes late
                return None
        self._timestamp = timestamp
        if step == _SEGMENT_TICKS and not marker:  # a key held for long goes on (RFC 4733 section 2.5.1.3)
            return None
        return KEYS[payload[0]]


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
