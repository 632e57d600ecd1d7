"""All targets, by name."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets import (
    agent_file,
    bodies,
    datagrams,
    dtls,
    fragment,
    janus,
    live,
    offer,
    openai,
    prices,
    rtp,
    rtvi,
    sctp,
    settings,
    twilio,
    video,
    voice,
    wire,
)

_ALL = (
    *(offer.TARGET, fragment.TARGET),
    *(rtp.TARGET, datagrams.TARGET, dtls.TARGET, sctp.TARGET),
    *(voice.TARGET, voice.FALLBACK, *video.TARGETS),
    *(wire.TARGET, live.TARGET, live.VERTEX),
    *(rtvi.TARGET, twilio.TARGET, janus.TARGET),
    *(settings.TARGET, prices.TARGET, agent_file.TARGET),
    *bodies.TARGETS,
    *openai.TARGETS,
)
TARGETS: dict[str, Target] = {target.name: target for target in _ALL}
