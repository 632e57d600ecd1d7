"""What a call's record says in figures. Pure.

Every figure of a call is a list: one value for each time that it could be measured, and None where something should
have come and did not. A caller whose answer never came counts as missing, not as absent: leaving it out would make
the percentiles of a bad service look good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from signaling.load import emodel
from signaling.load.hearing import Talk
from signaling.load.record import CallRecord, Turn

Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure.

    Attributes:
        name: as in the report and in the names of SLOs.
        title: what it is, for people.
        unit: as in its name.
        higher_is_better: its percentiles then count from above: p95 is what 95 % reach.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool = False


FIGURES = (
    Figure("set_up_ms", "set-up: offer to first audio", "ms"),
    Figure("greeting_ms", "greeting: answer to first audible sample", "ms"),
    Figure("response_ms", "response: end of the caller's speech to first audible sample", "ms"),
    Figure("added_ms", "added latency: response without model, tools, voice and the scenario's network", "ms"),
    Figure("stop_ms", "barge-in: start of the caller's speech to the agent's last audible sample", "ms"),
    Figure("talk_over_ms", "talk-over: both speak, per call", "ms"),
    Figure("gap_ms", "gaps in the agent's speech", "ms"),
    Figure("jitter_ms", "jitter of the agent's packets, per call", "ms"),
    Figure("mos_wide", "MOS, wide band (G.107.1), per call", "", higher_is_better=True),
    Figure("mos_narrow", "MOS, narrow band (G.107), per call", "", higher_is_better=True),
)
BY_NAME = {figure.name: figure for figure in FIGURES}


@dataclass(frozen=True, slots=True)
class Measured:
    """A value of a figure.

    Attributes:
        at: when it was measured, monotonic seconds; for what is missing, when it was given up.
        value: None if it is missing.
    """

    at: float
    value: float | None


def measure(record: CallRecord) -> dict[str, list[Measured]]:
    """Return a call's figures by name."""
    found: dict[str, list[Measured]] = {figure.name: [] for figure in FIGURES}
    if record.first_packet_at is None:
        return found
    found["set_up_ms"].append(Measured(record.first_packet_at, 1e3 * (record.first_packet_at - record.offered_at)))
    found["greeting_ms"] += _greeting(record)
    found["response_ms"] += _responses(record)
    found["stop_ms"] += _stops(record)
    ended = record.ended_at or record.first_packet_at
    found["added_ms"] += _added(record)
    found["gap_ms"] += [Measured(gap.ended_at, _ms(gap)) for gap in record.gaps]
    found["talk_over_ms"].append(Measured(ended, _talk_over_ms(record)))
    found["jitter_ms"].append(Measured(ended, record.jitter_ms))
    for name, band in (("mos_wide", emodel.WIDE), ("mos_narrow", emodel.NARROW)):
        found[name].append(Measured(ended, _score(record, band)))
    return found


def missing_replies(record: CallRecord) -> int:
    """Return how many answers never came."""
    return sum(each.value is None for each in _responses(record))


def _ms(talk: Talk) -> float:
    return 1e3 * (talk.ended_at - talk.started_at)


def _greeting(record: CallRecord) -> Iterator[Measured]:
    """Yield when the agent spoke first, if it did so before the caller said anything."""
    if record.greeting_missing:
        yield Measured(record.ended_at or record.offered_at, None)
    first_words = min((turn.started_at for turn in record.turns), default=float("inf"))
    if record.answered_at is not None and record.talks and record.talks[0].started_at < first_words:
        at = record.talks[0].started_at
        yield Measured(at, 1e3 * (at - record.answered_at))


def _responses(record: CallRecord) -> list[Measured]:
    found = []
    for turn, following in zip_longest(record.turns, record.turns[1:]):
        if not turn.wants_reply:
            continue
        ended = record.ended_at if record.ended_at is not None else float("inf")
        until = ended if following is None else following.started_at
        until = min(until, turn.ended_at + turn.within_s)
        reply = _reply(turn, until, record.talks)
        if reply is not None:
            found.append(Measured(reply, 1e3 * (reply - turn.ended_at)))
        elif ended >= turn.ended_at + turn.within_s or following is not None:
            found.append(Measured(until, None))
        # else the test or the call ended while the caller still waited: nothing can be said about this answer
    return found


def _reply(turn: Turn, until: float, talks: Sequence[Talk]) -> float | None:
    """Return when the answer began: the agent's first talk that starts after the caller's words."""
    starts = (talk.started_at for talk in talks)
    return next((start for start in starts if turn.ended_at < start <= until), None)


def _added(record: CallRecord) -> Iterator[Measured]:
    """Yield what the service, and a network that is not the scenario's, added to each answer.

    It is known of those answers of which the service told what the model took.
    """
    given_ms = dict(reversed(record.stages))  # the first answer to a turn is the one that was waited for
    for index, turn in enumerate(record.turns):
        until = record.turns[index + 1].started_at if index + 1 < len(record.turns) else float("inf")
        reply = _reply(turn, until, record.talks)
        if index in given_ms and reply is not None:
            added_ms = 1e3 * (reply - turn.ended_at) - given_ms[index] - record.network_ms
            yield Measured(reply, max(0.0, added_ms))


def _stops(record: CallRecord) -> Iterator[Measured]:
    """Yield for each barge-in how long the agent was still heard."""
    for turn in record.turns:
        if not turn.barges_in:
            continue
        for talk in record.talks:
            if talk.started_at <= turn.started_at < talk.ended_at:
                yield Measured(talk.ended_at, 1e3 * (talk.ended_at - turn.started_at))


def _talk_over_ms(record: CallRecord) -> float:
    both_s = 0.0
    for turn in record.turns:
        for talk in record.talks:
            both_s += max(0.0, min(turn.ended_at, talk.ended_at) - max(turn.started_at, talk.started_at))
    return 1e3 * both_s


def _score(record: CallRecord, band: emodel.Band) -> float:
    """Return the score of what the caller heard; the jitter buffer is taken to hold twice the jitter."""
    expected = record.received + record.lost
    loss_pct = 100 * (record.lost + record.late) / expected if expected else 0.0
    delay_ms = emodel.PACKET_MS + 2 * record.jitter_ms + record.network_ms / 2
    ratio = emodel.burst_ratio(record.lost, record.bursts, expected)
    return emodel.mos(band, delay_ms=delay_ms, loss_pct=min(loss_pct, 100.0), burst_ratio=ratio)
