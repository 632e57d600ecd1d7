"""How well caller and agent hear each other: an estimate of the mean opinion score (MOS) per direction. Pure.

The formula is rtcscore's for audio, which simplifies the E-model (ITU-T G.107) for Opus:

    delay = 20 ms + jitter buffer + rtt / 2
    Ie    = 55 - 4.6 ln(bit rate in bit/s), from 0 to 30           impairment by the codec
    Ipl   = Ie + (100 - Ie) loss / (loss + B)                      plus loss in %; B = 20 with FEC, else 10
    Id    = 0.03 delay, and 0.1 (delay - 150) beyond 150 ms        impairment by delay
    R     = 100 - Ipl - Id, from 0 to 100
    MOS   = 1 + 0.035 R + 0.000007 R (R - 60) (100 - R)

The estimate ignores echo, noise and the sound before encoding. It serves to compare calls; it does not predict the
score that a listener would give.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.events import QualityEstimated

WINDOW_S = 10.0
PACKETIZATION_MS = 20.0
OPUS_BPS = 32_000  # the rate that browsers are asked for; they send less in silence, without loss of quality
G711_BPS = 64_000
FREE_DELAY_MS = 150.0


def mos(*, codec: str, loss: float, buffer_ms: float, rtt_ms: float) -> float:
    """Return the estimate, 1 to 4.5.

    Args:
        codec: the codec's name in SDP.
        loss: the share of packets that did not arrive in time, 0 to 1.
        buffer_ms: how long the listener's jitter buffer holds packets.
        rtt_ms: the round-trip time.
    """
    opus = codec.lower() == "opus"
    delay_ms = PACKETIZATION_MS + buffer_ms + rtt_ms / 2
    by_codec = min(max(55 - 4.6 * math.log(OPUS_BPS if opus else G711_BPS), 0.0), 30.0)
    percent = min(max(loss, 0.0), 1.0) * 100
    by_loss = by_codec + (100 - by_codec) * percent / (percent + (20 if opus else 10))
    by_delay = 0.03 * delay_ms + 0.1 * max(0.0, delay_ms - FREE_DELAY_MS)
    r = min(max(100 - by_loss - by_delay, 0.0), 100.0)
    return min(max(1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r), 1.0), 4.5)


@dataclass(frozen=True, slots=True)
class Inbound:
    """What has arrived from the caller so far.

    Attributes:
        received: packets that arrived.
        lost: packets that had not arrived when they were due.
        jitter_ms: interarrival jitter as in RFC 3550.
    """

    received: int
    lost: int
    jitter_ms: float


@dataclass(frozen=True, slots=True)
class Outbound:
    """What has been sent to the caller so far, as its receiver reports say (RFC 3550); untrusted.

    Attributes:
        sent: packets that were sent.
        lost: packets that the caller reports missing.
        jitter_ms: the jitter that the caller reports.
        reports: identifies the newest report, so that none is counted twice.
    """

    sent: int
    lost: int
    jitter_ms: float
    reports: object


@dataclass(slots=True)
class Score:
    """The estimates of one direction so far.

    Attributes:
        windows: the number of estimates.
        total: their sum.
        worst: the lowest estimate; None before the first.
    """

    windows: int = 0
    total: float = 0.0
    worst: float | None = None

    @property
    def mean(self) -> float | None:
        """The mean estimate; None before the first."""
        return self.total / self.windows if self.windows else None

    def add(self, value: float | None) -> None:
        """Add the estimate of a window, if there is one."""
        if value is not None:
            self.windows += 1
            self.total += value
            self.worst = value if self.worst is None else min(self.worst, value)


class Quality:
    """The estimates of one call, over windows of `WINDOW_S`."""

    def __init__(self) -> None:
        self.heard = Score()
        "Estimates of the audio from the caller."
        self.sent = Score()
        "Estimates of the audio to the caller."
        self._due_at: float | None = None
        self._inbound = Inbound(0, 0, 0.0)
        self._outbound: Outbound | None = None

    def is_due(self, now: float) -> bool:
        """Return whether a window is over; the first window begins when this is first called."""
        if self._due_at is None:
            self._due_at = now + WINDOW_S
        return now >= self._due_at

    def restart(self) -> None:
        """Begin a window anew, because what is counted now is another connection's."""
        self._due_at, self._inbound, self._outbound = None, Inbound(0, 0, 0.0), None

    def close_window(
        self, inbound: Inbound, outbound: Outbound | None, rtt_ms: float | None, codec: str, now: float
    ) -> QualityEstimated | None:
        """Estimate the window that is over; return None if no direction has an estimate.

        Args:
            inbound: what has arrived so far.
            outbound: what has been sent so far; None if the caller reports nothing.
            rtt_ms: the round-trip time; None if it is not known, which counts as 0.
            codec: the codec's name in SDP.
            now: monotonic seconds.
        """
        self._due_at = now + WINDOW_S
        delay_ms = rtt_ms or 0.0
        loss_in = _share(inbound.lost - self._inbound.lost, inbound.received - self._inbound.received)
        loss_out = self._loss_out(outbound)
        self._inbound, self._outbound = inbound, outbound
        mos_in = None if loss_in is None else mos(codec=codec, loss=loss_in, buffer_ms=0.0, rtt_ms=delay_ms)
        mos_out = None
        if outbound is not None and loss_out is not None:  # browsers buffer about twice the jitter
            mos_out = mos(codec=codec, loss=loss_out, buffer_ms=2 * outbound.jitter_ms, rtt_ms=delay_ms)
        if mos_in is None and mos_out is None:
            return None
        self.heard.add(mos_in)
        self.sent.add(mos_out)
        return QualityEstimated(
            mos_in=_rounded(mos_in, 2),
            mos_out=_rounded(mos_out, 2),
            loss_in_percent=_percent(loss_in),
            loss_out_percent=_percent(loss_out),
            jitter_in_ms=round(inbound.jitter_ms, 1),
            jitter_out_ms=None if outbound is None else round(outbound.jitter_ms, 1),
            rtt_ms=_rounded(rtt_ms, 1),
        )

    def _loss_out(self, outbound: Outbound | None) -> float | None:
        """Return the share of packets that the caller missed in this window; None without a new report.

        A report covers the time up to its own creation, a little before the window ends. This applies to the
        reports at both ends of the window, so that their difference still spans about one window.
        """
        before = self._outbound
        if outbound is None or (before is not None and outbound.reports == before.reports):
            return None
        sent = outbound.sent - (0 if before is None else before.sent)
        lost = outbound.lost - (0 if before is None else before.lost)
        return _share(lost, sent - lost)


def _share(lost: int, received: int) -> float | None:
    """Return the share of packets that was lost; None if none was sent."""
    lost, received = max(lost, 0), max(received, 0)  # duplicates can make the difference negative
    return lost / (lost + received) if lost + received else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 1)
