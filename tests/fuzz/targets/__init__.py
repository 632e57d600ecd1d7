"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import fragment, janus, live, offer, rtp, rtvi, twilio

_ALL = (
    offer.TARGET,
    fragment.TARGET,
    rtp.TARGET,
    live.TARGET,
    live.VERTEX,
    rtvi.TARGET,
    twilio.TARGET,
    janus.TARGET,
)
TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
