"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import datagrams, fragment, janus, live, offer, rtp, rtvi, sctp, twilio, wire

_ALL = (
    offer.TARGET,
    fragment.TARGET,
    rtp.TARGET,
    datagrams.TARGET,
    sctp.TARGET,
    wire.TARGET,
    live.TARGET,
    live.VERTEX,
    rtvi.TARGET,
    twilio.TARGET,
    janus.TARGET,
)
TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
