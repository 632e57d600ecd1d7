"""Put both sides of a call on one clock, with no time missing. Pure.

Most readers of a file add up the lengths of its packets and ignore their timestamps. So each side becomes an
unbroken sequence of packets, in which time without packets gets fillers of 20 ms.

Rules:
  1. The clock starts with the first packet of either side. The first `START_S` are held, so that both sides' codecs
     and the caller's offset are known when the first packet is placed.
  2. The agent's packets are placed by its own clock, which is our clock.
  3. A caller's packet is placed at its RTP timestamp plus an offset, which tends to the smallest
     (arrival - timestamp) in `WINDOW_S`. It changes by `SLEW` at most, because a jump would cut or stretch speech.
  4. A packet that is `FAR_S` off is held. If one that is not off follows, the network or the sender was held up,
     and the timestamps are right. If for `STEP_S` none follows, nor any that is less off than those before, the
     sender's clock has stood still or jumped, and the offset is set anew.
  5. A restarted stream (`agent.media.reorder.Restarted`) begins with a new offset.
  6. A packet is at most 10 ms from its place, or half of its length if that is more. A larger gap is filled. If the
     track already extends beyond the packet's place, packets are left out: one in `LEAVE_OUT_EVERY`, so that speech
     stays intelligible. A sender's clock that is 50 ppm too fast costs one packet in 400 s.
  7. A side that is silent for `IDLE_S` is filled as time passes, and at the end both sides are equally long.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

from agent.record.opus import FRAME_TICKS, RATE_HZ

Side = Literal["caller", "agent"]
SIDES: tuple[Side, Side] = ("caller", "agent")
CLOCKS_HZ = {"opus": 48_000, "pcmu": 8_000, "pcma": 8_000, "g722": 8_000, "l16": 16_000}
"""RTP clocks by codec; ``l16`` is 16-bit PCM at 16 kHz, from callers whose packets cannot be tapped."""

START_S = 1.0
WINDOW_S = 30
SLEW = 0.001  # seconds per second
FAR_S = 0.1
STEP_S = 3.0
CLOSER_S = 0.02
SETTLING_S = 1.0
IDLE_S = 5.0  # longer than any burst of late packets that `agent.media.reorder` lets through
MAX_LEAD_S = 0.2
LEAVE_OUT_EVERY = 5
MAX_HELD = 1000  # packets held while the file is being started
MAX_FAR = 250  # packets held because they are far off
NEAR_TICKS = FRAME_TICKS // 2


class Packet(NamedTuple):
    """A packet from one side, as it came.

    Attributes:
        side: the side that sent it.
        codec: a key of `CLOCKS_HZ`.
        now: when it came or was sent, in monotonic seconds.
        timestamp: on the codec's clock; 32 bits for the caller, unwrapped for the agent.
        ticks: its length on the codec's clock.
        payload: the codec's data; empty while the recording is paused.
    """

    side: Side
    codec: str
    now: float
    timestamp: int
    ticks: int
    payload: bytes


class Piece(NamedTuple):
    """The next piece of one side's track.

    Attributes:
        side: the side whose track it is.
        start: 48 kHz samples from the beginning; equals the end of the side's previous piece.
        ticks: its length in 48 kHz samples.
        codec: the payload's codec; "" for a filler.
        payload: the codec's data; empty for a filler.
    """

    side: Side
    start: int
    ticks: int
    codec: str
    payload: bytes


@dataclass(slots=True)
class SenderClock:
    """Maps the RTP timestamps of one stream to our clock (rules 3 to 5).

    Args:
        clock_hz: the RTP clock.
    """

    clock_hz: int
    offset_s: float | None = None
    "Our clock minus the stream's; None before the first packet."
    _timestamp: int = 0
    _ticks: int = 0  # the newest timestamp, unwrapped
    _began_at: float = 0.0
    _first_offset_s: float = 0.0
    _moved_at: float = 0.0
    _by_second: deque[tuple[int, float]] = field(default_factory=deque)  # the smallest offset in each second
    _smallest_s: float = 0.0  # the smallest of these offsets
    far_since: float | None = None
    "Since when packets have been far off and none came closer; None after a packet that was not far off."
    _far_mark_s: float = 0.0  # the offset at that time
    _far_offset_s: float = 0.0  # the smallest offset since then

    def learn(self, timestamp: int, now: float) -> float:
        """Take a packet's timestamp and arrival; return its time in seconds on the stream's clock, unwrapped."""
        if self.offset_s is None:
            self._timestamp, self._began_at, self._moved_at = timestamp, now, now
        self._ticks += ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self._timestamp = timestamp
        stream_s = self._ticks / self.clock_hz
        self._follow(now - stream_s, now)
        return stream_s

    def step(self) -> None:
        """Set the offset anew, from the packets since `far_since`."""
        self.offset_s = self._far_offset_s
        self._by_second, self._smallest_s = deque(), self._far_offset_s
        self._note(self._far_offset_s, self._moved_at)
        self.far_since = None

    def _follow(self, offset_s: float, now: float) -> None:
        if self.offset_s is None or now - self._began_at < SETTLING_S:
            if self.offset_s is None:
                self.offset_s = self._first_offset_s = offset_s
            elif offset_s >= self._first_offset_s - SETTLING_S:
                self.offset_s = min(self.offset_s, offset_s)
            self._note(self.offset_s, now)
            self._moved_at = now
            return
        elapsed_s, self._moved_at = now - self._moved_at, now
        if abs(offset_s - self.offset_s) > FAR_S:
            if self.far_since is None or offset_s < self._far_mark_s - CLOSER_S:
                self.far_since, self._far_mark_s, self._far_offset_s = now, offset_s, offset_s
            self._far_offset_s = min(self._far_offset_s, offset_s)
            if now - self.far_since >= STEP_S:
                self.step()
            return
        self.far_since = None
        self._note(offset_s, now)
        wanted_s, most_s = self._smallest_s - self.offset_s, SLEW * elapsed_s
        self.offset_s += max(-most_s, min(most_s, wanted_s))

    def _note(self, offset_s: float, now: float) -> None:
        second, by_second = int(now), self._by_second
        if by_second and by_second[-1][0] == second:
            if offset_s < by_second[-1][1]:
                by_second[-1] = second, offset_s
                self._smallest_s = min(self._smallest_s, offset_s)
            return
        by_second.append((second, offset_s))
        while by_second[0][0] <= second - WINDOW_S:
            by_second.popleft()
        self._smallest_s = min(smallest_s for _second, smallest_s in by_second)


class Tape:
    """Both sides of one call."""

    def __init__(self) -> None:
        self.codecs: dict[Side, str] = {}
        "Each side's first codec; complete once the tape has started."
        self.left_out_s = 0.0
        "Audio that had no place (rule 6)."
        self._held: list[Packet | Side] = []  # a side in place of a packet means that its stream was restarted
        self._far: list[tuple[Packet, float]] = []  # the caller's packets, with their time on the stream's clock
        self._first_at: float | None = None
        self._zero: float | None = None
        self._caller: SenderClock | None = None
        self._agent_offset_s: float | None = None
        self._ends: dict[Side, int] = dict.fromkeys(SIDES, 0)
        self._kept: dict[Side, int] = dict.fromkeys(SIDES, LEAVE_OUT_EVERY)  # packets since one was left out

    @property
    def started(self) -> bool:
        """True once pieces have been returned."""
        return self._zero is not None

    @property
    def length_s(self) -> float:
        """The length so far, in seconds."""
        return max(self._ends.values()) / RATE_HZ

    def put(self, packet: Packet) -> list[Piece]:
        """Take a packet; return the pieces that can be written now, in order for each side."""
        if self._first_at is None:
            self._first_at = packet.now
        if not self.started:
            self.codecs.setdefault(packet.side, packet.codec)
            if len(self._held) < MAX_HELD:
                self._held.append(packet)
            return self._start() if packet.now - self._first_at >= START_S else []
        return self._place_agents(packet) if packet.side == "agent" else self._place_callers(packet)

    def restart(self) -> list[Piece]:
        """Note that the caller's stream was restarted."""
        if not self.started:
            if "caller" in self.codecs:
                self._held.append("caller")
            return []
        pieces = self._settle_far()
        self._caller = None
        return pieces

    def idle(self, now: float) -> list[Piece]:
        """Return what is due by time alone; call it a few times a second, after putting all packets up to now.

        Args:
            now: monotonic seconds.
        """
        if self._first_at is None or now - self._first_at < START_S:
            return []
        pieces = [] if self.started else self._start()
        far_since = self._caller.far_since if self._caller is not None else None
        if far_since is not None and now - far_since >= STEP_S:
            pieces += self._settle_far()
        assert self._zero is not None
        for side in SIDES:
            if side == "agent" or not self._far:
                self._fill(side, int((now - IDLE_S - self._zero) * RATE_HZ), pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """Return all remaining pieces; both sides then have the same length."""
        if self._first_at is None:
            return []
        pieces = [] if self.started else self._start()
        pieces += self._settle_far()
        for side in SIDES:
            self._fill(side, max(self._ends.values()), pieces)
        return pieces

    def _start(self) -> list[Piece]:
        """Place the packets held since the beginning (rule 1)."""
        held, self._held = self._held, []
        for side, other in (SIDES, SIDES[::-1]):
            if side not in self.codecs:
                self.codecs[side] = self.codecs[other]
        self._zero = min(self._first_times(held))
        pieces = []
        for packet in held:
            if isinstance(packet, str):
                pieces += self.restart()
            elif packet.side == "agent":
                pieces += self._place_agents(packet)
            else:
                pieces += self._place_callers(packet)
        return pieces

    def _first_times(self, held: list[Packet | Side]) -> list[float]:
        """Return when each side begins, after learning the caller's offset from all held packets."""
        agents = (packet.now for packet in held if isinstance(packet, Packet) and packet.side == "agent")
        of_caller = (each for each in held if isinstance(each, str) or each.side == "caller")
        callers = list(takewhile(_is_packet, of_caller))
        times = [next(agents, math.inf)]
        first = next(iter(callers), None)
        if isinstance(first, Packet):
            clock = SenderClock(CLOCKS_HZ[first.codec])
            for each in callers:
                if isinstance(each, Packet) and each.codec == first.codec:
                    clock.learn(each.timestamp, each.now)
            assert clock.offset_s is not None
            times.append(clock.offset_s)  # the stream's own clock begins at its first packet
            self._caller = SenderClock(clock.clock_hz)
            self._caller.learn(first.timestamp, clock.offset_s)
        return times

    def _place_agents(self, packet: Packet) -> list[Piece]:
        at_s = packet.timestamp / CLOCKS_HZ[packet.codec]
        if self._agent_offset_s is None:
            self._agent_offset_s = packet.now - at_s
        return self._place(packet, at_s + self._agent_offset_s)

    def _place_callers(self, packet: Packet) -> list[Piece]:
        clock, clock_hz = self._caller, CLOCKS_HZ[packet.codec]
        pieces = []
        if clock is None or clock.clock_hz != clock_hz:
            pieces = self._settle_far()
            clock = self._caller = SenderClock(clock_hz)
        stream_s = clock.learn(packet.timestamp, packet.now)
        if clock.far_since is None and not self._far:
            assert clock.offset_s is not None
            return pieces + self._place(packet, min(stream_s + clock.offset_s, packet.now + MAX_LEAD_S))
        self._far.append((packet, stream_s))
        if clock.far_since is None:
            pieces += self._place_far()
        elif len(self._far) >= MAX_FAR:
            pieces += self._settle_far()
        return pieces

    def _settle_far(self) -> list[Piece]:
        """Place the caller's held packets, after setting the offset anew to where they arrived."""
        if self._caller is not None and self._caller.far_since is not None:
            self._caller.step()
        return self._place_far()

    def _place_far(self) -> list[Piece]:
        far, self._far = self._far, []
        pieces = []
        for packet, stream_s in far:
            assert self._caller is not None
            assert self._caller.offset_s is not None
            pieces += self._place(packet, min(stream_s + self._caller.offset_s, packet.now + MAX_LEAD_S))
        return pieces

    def _place(self, packet: Packet, at_s: float) -> list[Piece]:
        """Put a packet on its track, at a time on our clock (rule 6)."""
        assert self._zero is not None
        side, ticks = packet.side, packet.ticks * RATE_HZ // CLOCKS_HZ[packet.codec]
        start = round((at_s - self._zero) * RATE_HZ)
        pieces = list[Piece]()
        if not packet.payload:
            self._fill(side, start + ticks, pieces)
            return pieces
        if start - self._ends[side] >= NEAR_TICKS:
            self._fill(side, start, pieces)
        end = self._ends[side]
        self._kept[side] += 1
        if start - end < -max(NEAR_TICKS, ticks // 2) and self._kept[side] >= LEAVE_OUT_EVERY:
            self._kept[side] = 0
            self.left_out_s += ticks / RATE_HZ
            return pieces
        pieces.append(Piece(side, end, ticks, packet.codec, packet.payload))
        self._ends[side] = end + ticks
        return pieces

    def _fill(self, side: Side, until: int, pieces: list[Piece]) -> None:
        """Fill a track up to a time, to the nearest 20 ms."""
        end = self._ends[side]
        while until - end >= NEAR_TICKS:
            pieces.append(Piece(side, end, FRAME_TICKS, "", b""))
            end += FRAME_TICKS
        self._ends[side] = end


def _is_packet(each: Packet | Side) -> bool:
    return isinstance(each, Packet)
