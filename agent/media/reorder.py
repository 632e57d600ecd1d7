"""Put a caller's RTP packets in order and account for every moment of RTP time. Pure.

A speech model has no playout clock, so there is no playout delay here: packets in order are released at once.

Rules:
  1. A packet in order is released at once.
  2. Packets behind a gap in the sequence are held until `MAX_HELD` have come or `MAX_HOLD_S` has passed. Then the
     missing packets are declared lost, and the held ones are released.
  3. Lost packets and the sender's pauses (DTX, mute, hold) become a `Missing` whose length the timestamps give.
     Sequence numbers only decide whether to wait, and how long a loss is if the timestamps nearly agree.
  4. A timestamp that is less than half a packet off is treated as exact, because many senders stamp by a clock that
     jitters. The difference is carried over as a debt, of either sign, and added to the following ones. It is
     settled once it has grown to half a packet, or in the next pause if that comes first.
  5. If a sender has paused for `PAUSE_S`, silence is released as time passes, so that the model hears the pause.
     It is deducted when the sender continues.
  6. A new SSRC, a jump that the passing of time cannot explain, or a run of late packets restarts the stream. A
     single jump leads at most `MAX_LEAD_S` ahead of arrival; the sum of many jumps is bounded by rule 9 alone.
  7. Nothing is released twice: duplicates and late packets are dropped and counted. Nor is speech thrown away
     because silence was already released for its time; at most `MAX_AHEAD_S` is deducted later.
  8. A packet without ticks (a telephone key, RFC 4733; comfort noise, RFC 3389; padding only) keeps its place in
     the sequence but takes no time: a pause continues behind it.
  9. Everything that is released, speech and silence, is limited to real time: `REAL_TIME` seconds of it per second
     and `BURST_S` at once, whatever timestamps, SSRCs and codecs the sender uses. A packet beyond that is dropped
     and counted, and a pause before a packet is shortened. The silence of rule 5 does not use up the burst, which
     is for speech: packets that are at most `BURST_S` late are never dropped, however often the network stalls.

So the time released equals the RTP time that passed, whatever arrived: to the sample if the sender stamps exactly,
otherwise within half a packet. The only exception is a stall of the network, which looks like a pause: its time is
released in advance.
Wrap-around: RFC 3550 section 5.1; sequence numbers have 16 bits, timestamps 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.bucket import Bucket
from agent.media.rtp import difference16, difference32

MAX_HELD = 3
MAX_HOLD_S = 0.08
PAUSE_S = 0.2  # packets that are late by less than this cause no silence that turns out to be unnecessary
MAX_JUMP_PACKETS = 3000  # 60 s of 20 ms packets
MAX_LEAD_S = 2.0
MAX_LATE_IN_A_ROW = 10
MAX_AHEAD_S = 0.1
REAL_TIME = 1.1  # no clock is 10 % too fast, and this leaves room for unnecessary silence
BURST_S = 2.0


def real_time() -> Bucket:
    """Return the bucket, in seconds of audio, that limits one caller to real time (rule 9)."""
    return Bucket(REAL_TIME, BURST_S)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet.

    Attributes:
        ssrc: the sender.
        sequence: 16 bits.
        timestamp: 32 bits, on the codec's RTP clock.
        payload: the codec's data.
        ticks: its length on the RTP clock; 0 if it is not audio (rule 8).
    """

    ssrc: int
    sequence: int
    timestamp: int
    payload: bytes = field(repr=False)
    ticks: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Time without packets.

    Attributes:
        ticks: its length on the RTP clock.
        lost: True if packets were lost, False if the sender paused.
        next_payload: the packet right after it, which may contain its end (FEC); None if there is none.
    """

    ticks: int
    lost: bool
    next_payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Restarted:
    """The stream was restarted: decoders forget the past audio."""


Released = Packet | Missing | Restarted


@dataclass(slots=True)
class ReorderStats:
    """Counters, in packets."""

    received: int = 0
    late: int = 0
    "Duplicates, and packets that came after they were declared lost."
    lost: int = 0
    reordered: int = 0
    surplus: int = 0
    "Dropped because they came faster than real time."


class Reorder:
    """Orders the packets of one stream.

    Args:
        clock_hz: the codec's RTP clock.
        bound: what `real_time` returned; pass the same one for all streams of a caller.
    """

    def __init__(self, clock_hz: int, bound: Bucket | None = None) -> None:
        self.stats = ReorderStats()
        self._clock_hz = clock_hz
        self._bound = real_time() if bound is None else bound
        self._ssrc: int | None = None
        self._next_sequence = 0
        self._next_timestamp = 0
        self._held: dict[int, Packet] = {}  # keyed by sequence number; none of them is the next
        self._held_since = 0.0
        self._released_at = 0.0  # when audio was last released
        self._arrived_at = 0.0  # when the newest packet arrived
        self._paused_at = 0.0  # the time up to which silence was released in the present pause
        self._ahead_ticks = 0  # time released beyond the RTP time; negative if time is still owed
        self._pause_ticks = 0  # silence released in the present pause
        self._skipped = 0  # packets declared lost since the last audio
        self._late_in_a_row = 0

    def push(self, packet: Packet, now: float) -> list[Released]:
        """Take a packet.

        Args:
            packet: untrusted.
            now: monotonic seconds.

        Returns:
            What can be released.
        """
        self.stats.received += 1
        step = difference16(packet.sequence, self._next_sequence)
        continues = packet.ssrc == self._ssrc and abs(step) <= MAX_JUMP_PACKETS
        if packet.ticks:
            self._arrived_at = now
            self._paused_at = now + packet.ticks / self._clock_hz
        if not continues:
            return self._restart(packet, now) if packet.ticks else []
        if step < 0 or packet.sequence in self._held:
            self.stats.late += 1
            if packet.ticks == 0:
                return []
            self._late_in_a_row += 1
            return self._restart(packet, now) if self._late_in_a_row >= MAX_LATE_IN_A_ROW else []
        if packet.ticks and not self._is_plausible(packet, now):
            return self._restart(packet, now)
        if step == 0:
            return self._release_in_order(packet, now)
        if not self._held:
            self._held_since = now
        self._held[packet.sequence] = packet
        return self._give_up_gap(now) if len(self._held) >= MAX_HELD else []

    def drain(self, now: float) -> list[Released]:
        """Release all held packets and the gaps between them, because nothing more will come."""
        released: list[Released] = []
        while self._held:
            released += self._give_up_gap(now)
        return released

    def poll(self, now: float) -> list[Released]:
        """Return what is released by time alone (rules 2 and 5); call it about ten times a second."""
        if self._ssrc is None:
            return []
        if self._held:
            return self._give_up_gap(now) if now - self._held_since >= MAX_HOLD_S else []
        if now - self._arrived_at < PAUSE_S:
            return []
        spare_s = self._bound.spare(now)
        ticks = round(min(now - self._paused_at, spare_s) * self._clock_hz)
        if ticks <= 0 or not self._bound.take(ticks / self._clock_hz, now):
            return []
        self._paused_at += ticks / self._clock_hz
        self._pause_ticks += ticks
        return [Missing(ticks, lost=False)]

    def _is_plausible(self, packet: Packet, now: float) -> bool:
        """Compare the packet's timestamp with the time that has passed (rule 6)."""
        jump_s = difference32(packet.timestamp, self._next_timestamp) / self._clock_hz
        return -MAX_LEAD_S <= jump_s <= now - self._released_at + MAX_LEAD_S

    def _release_in_order(self, packet: Packet, now: float) -> list[Released]:
        released: list[Released] = []
        self._release(packet, released, now)
        if self._held:
            self.stats.reordered += 1
            self._release_held(released, now)
        return released

    def _give_up_gap(self, now: float) -> list[Released]:
        """Declare lost what is missing before the first held packet, and release the held ones (rule 2)."""
        first = min(self._held.values(), key=lambda held: difference16(held.sequence, self._next_sequence))
        lost = difference16(first.sequence, self._next_sequence)
        self.stats.lost += lost
        self._skipped += lost
        released: list[Released] = []
        del self._held[first.sequence]
        self._release(first, released, now)
        self._release_held(released, now)
        return released

    def _release_held(self, released: list[Released], now: float) -> None:
        while (packet := self._held.pop(self._next_sequence, None)) is not None:
            self._release(packet, released, now)

    def _release(self, packet: Packet, released: list[Released], now: float) -> None:
        self._next_sequence = (packet.sequence + 1) & 0xFFFF
        ticks = packet.ticks
        if ticks == 0:  # rule 8; a key's timestamp is when it was pressed, which may be long ago
            return
        self._late_in_a_row = 0
        step = difference32(packet.timestamp, self._next_timestamp)
        self._released_at = now
        self._next_timestamp = (packet.timestamp + ticks) & 0xFFFFFFFF
        missing = None
        if step or self._ahead_ticks or self._skipped or self._pause_ticks:
            missing = self._make_up(step, packet)
            ticks += missing.ticks
        if not self._bound.take(ticks / self._clock_hz, now):
            if not self._bound.take(packet.ticks / self._clock_hz, now):
                self.stats.surplus += 1
                return
            missing = self._cut_short(missing, now)
        if missing is not None and missing.ticks:
            released.append(missing)
        released.append(packet)

    def _make_up(self, step: int, packet: Packet) -> Missing:
        """Return the gap before a packet (rules 3 and 4), and carry over the difference.

        Args:
            step: from the end of the previous packet to the beginning of this one, by their timestamps.
            packet: the packet about to be released.
        """
        lost, self._skipped = self._skipped, 0
        made_up, self._pause_ticks = self._pause_ticks, 0
        owed, by_sequence = step - self._ahead_ticks, lost * packet.ticks
        nearly = 2 * abs(owed - by_sequence) < packet.ticks and (lost > 0 or made_up == 0)
        missing = max((by_sequence if nearly else owed) - made_up, 0)
        # The limit is for a sender that stopped its clock in a pause: most of the silence is never deducted.
        self._ahead_ticks = min(made_up + missing - owed, int(MAX_AHEAD_S * self._clock_hz))
        return Missing(missing, lost > 0, packet.payload if lost else None)

    def _cut_short(self, missing: Missing | None, now: float) -> Missing | None:
        """Return as much of a gap as real time allows (rule 9)."""
        if missing is None:
            return None
        ticks = min(missing.ticks, int(self._bound.room(now) * self._clock_hz))
        self._bound.take(ticks / self._clock_hz, now)
        return replace(missing, ticks=ticks)

    def _restart(self, packet: Packet, now: float) -> list[Released]:
        """Restart the stream with this packet (rule 6), after releasing what is held of the old one."""
        released = self.drain(now)
        if self._ssrc is not None:
            released.append(Restarted())
        self._ssrc = packet.ssrc
        self._next_sequence = packet.sequence
        self._next_timestamp = packet.timestamp
        self._ahead_ticks = self._pause_ticks = self._skipped = 0
        self._release(packet, released, now)
        return released
