"""Put a caller's RTP packets in order and account for every moment of RTP time. Pure.

A speech model has no playout clock, so there is no playout delay here: what is in order is released at once.

Rules:
  1. A packet in order is released at once.
  2. Behind a gap in the sequence, packets are held until `MAX_HELD` have come or `MAX_HOLD_S` has passed; then
     what is missing is declared lost and the held packets are released.
  3. Lost packets and pauses of the sender (DTX, mute, hold) become a `Missing` as long as the timestamps say.
     Sequence numbers decide only whether to wait, and how long a loss is where the timestamps nearly agree.
  4. Timestamps that are less than half a packet from where they should be are taken for that: many senders stamp
     by a clock that jitters. The difference is carried as a debt of either sign and added to the next ones; it is
     made good once it has grown to half a packet, in the next pause at the latest.
  5. A sender that has paused for `PAUSE_S` is made up for as time passes, so that the model hears the pause; it is
     deducted when the sender goes on.
  6. A new SSRC, a jump that time cannot explain, or nothing but latecomers starts the stream anew. A single jump
     leads at most `MAX_LEAD_S` ahead of arrival; what many of them add up to is bounded by rule 9 alone.
  7. What was released once is never released again: duplicates and latecomers are dropped and counted. Nor is
     speech thrown away because its time has passed already; at most `MOST_AHEAD_S` are deducted later.
  8. A packet without ticks (a key of the telephone, RFC 4733; comfort noise, RFC 3389; nothing but padding) holds
     its place in the sequence and is no time: a pause goes on behind it.
  9. All that is released, speech and silence, is held to real time: `REAL_TIME` seconds of it a second, `BURST_S`
     at once, whatever timestamps, SSRCs and codecs the sender uses. A packet beyond that is dropped and counted, a
     pause before one is cut short. The silence of rule 5 takes nothing of the burst, which belongs to speech: what
     comes no more than `BURST_S` late is never dropped, however often the network stands still.

So the time released equals the RTP time that passed, whatever arrived: to the sample for a sender that stamps
exactly, within half a packet for one that does not. Only a stall of the network, which looks like a pause, is had
in advance.
Wrap-around: RFC 3550 section 5.1; sequence numbers are 16 bits, timestamps 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from agent.bucket import Bucket

MAX_HELD = 3
MAX_HOLD_S = 0.08
PAUSE_S = 0.2  # packets that are merely late by less cost no time that was made up for in vain
MAX_JUMP_PACKETS = 3000  # 60 s of 20 ms packets
MAX_LEAD_S = 2.0
MAX_LATE_IN_A_ROW = 10
MOST_AHEAD_S = 0.1
REAL_TIME = 1.1  # no clock is a tenth too fast; silence that was made up in vain has room in it
BURST_S = 2.0


def real_time() -> Bucket:
    """Return what holds one caller to real time, in seconds of audio (rule 9)."""
    return Bucket(REAL_TIME, BURST_S)


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet.

    Attributes:
        ssrc: who sends.
        sequence: 16 bits.
        timestamp: 32 bits, of the codec's RTP clock.
        payload: the codec's data.
        ticks: its length on the RTP clock; 0 if it is no audio (rule 8).
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
        lost: True if packets were lost in it, False if the sender paused.
        next_payload: the packet right behind it, which may carry its end (FEC); None if there is none.
    """

    ticks: int
    lost: bool
    next_payload: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Restarted:
    """The stream began anew: decoders forget the past."""


Released = Packet | Missing | Restarted


@dataclass(slots=True)
class ReorderStats:
    """Counters, in packets."""

    received: int = 0
    late: int = 0
    "Duplicates, and packets that came after they were given up."
    lost: int = 0
    reordered: int = 0
    restarts: int = 0
    surplus: int = 0
    "Dropped, because they came faster than real time."


class Reorder:
    """Order the packets of one stream.

    Args:
        clock_hz: the codec's RTP clock.
        bound: of `real_time`; the caller's, where that has more than this stream.
    """

    def __init__(self, clock_hz: int, bound: Bucket | None = None) -> None:
        self.stats = ReorderStats()
        self._clock_hz = clock_hz
        self._bound = real_time() if bound is None else bound
        self._ssrc: int | None = None
        self._next_sequence = 0
        self._next_timestamp = 0
        self._held: dict[int, Packet] = {}  # by sequence number, none of them next
        self._held_since = 0.0
        self._released_at = 0.0  # when time was last accounted for
        self._arrived_at = 0.0  # of the newest packet
        self._paused_at = 0.0  # up to when a pause was made up for
        self._ahead_ticks = 0  # time released beyond the RTP time; below 0 it is still owed
        self._pause_ticks = 0  # made up for in the pause that lasts
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
        step = _difference16(packet.sequence, self._next_sequence)
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
        """Release all that is held, with what is missing in between: nothing more will come."""
        released: list[Released] = []
        while self._held:
            released += self._give_up_gap(now)
        return released

    def poll(self, now: float) -> list[Released]:
        """Release what time alone releases (rules 2 and 5); to be called some ten times a second."""
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
        """Hold the packet's timestamp against the time that has passed (rule 6)."""
        jump_s = _difference32(packet.timestamp, self._next_timestamp) / self._clock_hz
        return -MAX_LEAD_S <= jump_s <= now - self._released_at + MAX_LEAD_S

    def _release_in_order(self, packet: Packet, now: float) -> list[Released]:
        released: list[Released] = []
        self._release(packet, released, now)
        if self._held:
            self.stats.reordered += 1
            self._release_held(released, now)
        return released

    def _give_up_gap(self, now: float) -> list[Released]:
        """Declare lost what is missing before the first held packet, and release from there on (rule 2)."""
        first = min(self._held.values(), key=lambda held: _difference16(held.sequence, self._next_sequence))
        lost = _difference16(first.sequence, self._next_sequence)
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
        if ticks == 0:  # rule 8; a key is stamped with when it went down, which may be long ago
            return
        self._late_in_a_row = 0
        step = _difference32(packet.timestamp, self._next_timestamp)
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
        """Return what is missing before a packet (rules 3 and 4), and carry what is left.

        Args:
            step: from the end of the packet before to the beginning of this one, by their timestamps.
            packet: the one about to be released.
        """
        lost, self._skipped = self._skipped, 0
        made_up, self._pause_ticks = self._pause_ticks, 0
        owed, by_sequence = step - self._ahead_ticks, lost * packet.ticks
        nearly = 2 * abs(owed - by_sequence) < packet.ticks and (lost > 0 or made_up == 0)
        missing = max((by_sequence if nearly else owed) - made_up, 0)
        # A sender that stopped its clock in a pause never takes all of it back.
        self._ahead_ticks = min(made_up + missing - owed, int(MOST_AHEAD_S * self._clock_hz))
        return Missing(missing, lost > 0, packet.payload if lost else None)

    def _cut_short(self, missing: Missing | None, now: float) -> Missing | None:
        """Return as much of what is missing as real time has room for (rule 9)."""
        if missing is None:
            return None
        ticks = min(missing.ticks, int(self._bound.room(now) * self._clock_hz))
        self._bound.take(ticks / self._clock_hz, now)
        return replace(missing, ticks=ticks)

    def _restart(self, packet: Packet, now: float) -> list[Released]:
        """Begin anew with this packet (rule 6); what is held of the old stream comes first."""
        released = self.drain(now)
        if self._ssrc is not None:
            self.stats.restarts += 1
            released.append(Restarted())
        self._ssrc = packet.ssrc
        self._next_sequence = packet.sequence
        self._next_timestamp = packet.timestamp
        self._ahead_ticks = self._pause_ticks = self._skipped = 0
        self._release(packet, released, now)
        return released


def _difference16(later: int, earlier: int) -> int:
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def _difference32(later: int, earlier: int) -> int:
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000
