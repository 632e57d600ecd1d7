"""Edit whole descriptions, line by line. Pure."""

from __future__ import annotations

import re

from signaling.webrtc.sdp import KEYS_CLOCKS_HZ

OPUS_WISHES = "minptime=20;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=32000"
_OPUS_RTPMAP = re.compile(r"a=rtpmap:(\d+) opus/48000", re.IGNORECASE)


def with_active_setup(offer: str) -> str:
    """Make the offerer begin the DTLS handshake, if it leaves the choice to us (RFC 8842 section 5.3).

    Janus drops a handshake that arrives before its own ICE is done, and the next attempt comes a second later.
    """
    return offer.replace("a=setup:actpass", "a=setup:active")


def with_keys(offer: str) -> str:
    """Add telephone keys, which aiortc does not offer, to an offer of ours, for each clock."""
    edited = []
    for line in offer.splitlines():
        if line.startswith("m=audio "):
            edited += [" ".join([line, *map(str, KEYS_CLOCKS_HZ)])]
        elif line.startswith("a=rtpmap:") and not any("telephone-event" in each for each in edited):
            for payload, clock_hz in KEYS_CLOCKS_HZ.items():
                edited += [f"a=rtpmap:{payload} telephone-event/{clock_hz}", f"a=fmtp:{payload} 0-15"]
            edited.append(line)
        else:
            edited.append(line)
    return "\r\n".join(edited) + "\r\n"


def with_opus_wishes(answer: str) -> str:
    """Add to an answer how we want the caller to encode Opus (RFC 7587 section 6.1), which aiortc does not say.

    The model uses at most wideband, and FEC allows a lost packet to be recovered from the next one.
    """
    edited = []
    for line in answer.splitlines(keepends=True):
        edited.append(line)
        found = _OPUS_RTPMAP.match(line)
        if found and f"a=fmtp:{found[1]} " not in answer:
            edited.append(f"a=fmtp:{found[1]} {OPUS_WISHES}\r\n")
    return "".join(edited)
