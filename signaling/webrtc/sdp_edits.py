"""Edits of whole descriptions that need no more than their lines. Pure."""

from __future__ import annotations

import re

from signaling.webrtc.sdp import KEYS_CLOCKS_HZ

OPUS_WISHES = "minptime=20;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=32000"
_OPUS_RTPMAP = re.compile(r"a=rtpmap:(\d+) opus/48000", re.IGNORECASE)


def with_active_setup(offer: str) -> str:
    """Let the other side begin the DTLS handshake, if it leaves the choice to us (RFC 8842 section 5.3).

    Janus loses a handshake that reaches it before its own ICE is done, and the next try is a second later.
    """
    return offer.replace("a=setup:actpass", "a=setup:active")


def with_keys(offer: str) -> str:
    """Add a telephone's keys to an offer of ours, for each clock: aiortc's own offers know nothing of them."""
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
    """Add to an answer what we want of the caller's Opus (RFC 7587 section 6.1); aiortc's answers say nothing.

    Wide-band is all that the model takes, and FEC lets a lost packet be recovered from the next one.
    """
    edited = []
    for line in answer.splitlines(keepends=True):
        edited.append(line)
        found = _OPUS_RTPMAP.match(line)
        if found and f"a=fmtp:{found[1]} " not in answer:
            edited.append(f"a=fmtp:{found[1]} {OPUS_WISHES}\r\n")
    return "".join(edited)
