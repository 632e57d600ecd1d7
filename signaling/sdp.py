"""Edits and checks of SDP text: pure, before and after aiortc has its say (RFC 8866, RFC 8829).

Offers are untrusted text. What aiortc would take badly is refused or removed here, with a sentence that the
client's developer can act on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import OfferError

AUDIO_CODECS = ("opus", "g722", "pcmu", "pcma")
_STATIC_PAYLOADS = {"0": "pcmu", "8": "pcma", "9": "g722"}  # RFC 3551 table 4: valid without an rtpmap
MAX_MEDIA_SECTIONS = 16
_ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_DIRECTIONS = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")
OPUS_WISHES = "minptime=20;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=32000"
# Not all write it as RFC 8866 section 6.6 wants: payload type, one space, name/clock, and channels only if several.
_RTPMAP = re.compile(r"a=rtpmap:\s*(\d{1,3})\s+([^\s/]+)\s*/\s*(\d{1,6})\s*(?:/\s*(\d)\s*)?", re.ASCII)
KEYS_CLOCKS_HZ = {101: 8_000, 110: 48_000}  # by the payload types that everybody uses
_OPUS_RTPMAP = re.compile(r"a=rtpmap:(\d+) opus/48000", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-line and the lines below it.

    Attributes:
        kind: ``audio``, ``video`` or ``application``.
        port: 0 rejects the section, unless it is bundle-only.
        lines: all its lines, the m-line first.
    """

    kind: str
    port: int
    lines: tuple[str, ...]

    @property
    def rejected(self) -> bool:
        """True if the client turned the section down (RFC 8829 section 5.2.2; RFC 8843 section 6)."""
        return self.port == 0 and "a=bundle-only" not in self.lines

    @property
    def silent(self) -> bool:
        """True if nobody would speak or listen on it."""
        return self.rejected or "a=inactive" in self.lines

    def missing_rtpmaps(self) -> list[str]:
        """Return the rtpmap lines of static payload types that the client left out, as it may."""
        offered = self.lines[0].split()[3:]
        mapped = {found[1] for line in self.lines if (found := _RTPMAP.fullmatch(line))}
        return [
            f"a=rtpmap:{payload} {name.upper()}/8000"
            for payload, name in _STATIC_PAYLOADS.items()
            if payload in offered and payload not in mapped
        ]

    def payloads(self) -> dict[str, str]:
        """Return the names of its codecs in lower case by payload type, in the order offered."""
        names = dict(_STATIC_PAYLOADS)
        for line in self.lines:
            if line.startswith("a=rtpmap:"):
                payload, _, encoding = line[len("a=rtpmap:") :].strip().partition(" ")
                names[payload] = encoding.split("/")[0].strip().lower()
        return {payload: names[payload] for payload in self.lines[0].split()[3:] if payload in names}

    def codecs(self) -> list[str]:
        """Return the names of its codecs in lower case, in the order offered."""
        return list(self.payloads().values())


def media_sections(sdp: str) -> list[MediaSection]:
    """Split a description.

    Raises:
        OfferError: 400, it is not SDP.
    """
    lines = sdp.replace("\r\n", "\n").split("\n")
    if not lines[0].startswith("v=0"):
        raise OfferError(400, "invalid_sdp", "The body is not SDP: it does not begin with v=0.")
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_MEDIA_SECTIONS:
        raise OfferError(400, "invalid_sdp", f"The SDP has more than {MAX_MEDIA_SECTIONS} media sections.")
    ends = [*starts[1:], len(lines)]
    return [_section(lines[start:end]) for start, end in zip(starts, ends, strict=False)]


def _section(lines: list[str]) -> MediaSection:
    fields = lines[0][2:].split()
    port = fields[1].split("/")[0] if len(fields) >= 4 else ""
    if not (port.isascii() and port.isdecimal() and len(port) <= 5):
        raise OfferError(400, "invalid_sdp", "The SDP has a malformed m= line.")
    return MediaSection(fields[0], int(port), tuple(lines))


def check_offer(sdp: str) -> None:
    """Refuse an offer that cannot become a call.

    Raises:
        OfferError: 400 if it is not SDP with DTLS and ICE, 422 if no audio in it is acceptable.
    """
    audio = [section for section in media_sections(sdp) if section.kind == "audio"]
    if not audio:
        raise OfferError(422, "no_acceptable_audio", "The offer has no audio section; a call needs one.")
    if audio[0].silent:  # the agent's voice is bound to the first one
        raise OfferError(
            422, "no_acceptable_audio", "The first audio section of the offer is rejected (port 0) or inactive."
        )
    if not any(codec in AUDIO_CODECS for codec in audio[0].codecs()):
        raise OfferError(
            422, "no_acceptable_audio", "The offer has no common audio codec: opus, G722, PCMU or PCMA."
        )
    for attribute in ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"):
        if attribute not in sdp:
            raise OfferError(400, "invalid_sdp", f"The SDP has no {attribute[2:-1]}: WebRTC needs it.")


def for_aiortc(sdp: str) -> str:
    """Return an offer as aiortc can take it.

    Candidates with ``.local`` names go: aioice would try to resolve them for a second before the answer. Browsers
    behind the same NAT still connect: their checks reach us and make the pair (peer-reflexive, RFC 8445 section
    7.3.1.3). ``end-of-candidates`` goes too: aioice gives up at once when it is told that none will come. What RFC
    8866 lets an offer leave out is written in: the direction, and the rtpmap of static payload types.
    """
    lines = [
        line
        for line in sdp.replace("\r\n", "\n").split("\n")
        if line and not is_mdns_candidate(line) and line != "a=end-of-candidates"
    ]
    first = next((index for index, line in enumerate(lines) if line.startswith("m=")), len(lines))
    session, media = lines[:first], "\n".join(lines[first:])
    default = next((line for line in session if line in _DIRECTIONS), "a=sendrecv")
    edited = [line for line in session if line not in _DIRECTIONS]
    for section in media_sections("v=0\n" + media):
        # Over it aiortc estimates the caller's bit rate from the gaps between packets; at one frame a second that
        # talks the caller down to nothing (REMB).
        tidy = map(_tidy, section.lines)
        edited += [line for line in tidy if section.kind != "video" or _ABS_SEND_TIME not in line]
        if section.kind in ("audio", "video") and not any(line in _DIRECTIONS for line in section.lines):
            edited.append(default)
        if section.kind == "audio":
            edited += section.missing_rtpmaps()
    return "\r\n".join(edited) + "\r\n"


def is_mdns_candidate(line: str) -> bool:
    """Return True for a candidate line (with or without ``a=``) whose address is an mDNS name."""
    fields = line.removeprefix("a=").split()
    return len(fields) > 4 and fields[0].startswith("candidate:") and fields[4].lower().endswith(".local")


def negotiated_audio_codec(answer: str) -> str:
    """Return the lower-case name of the codec that we send by the answer: the first of its audio section.

    Raises:
        OfferError: 422, the answer has no audio section that was accepted.
    """
    for section in media_sections(answer):
        if section.kind == "audio" and not section.rejected and section.codecs():
            return section.codecs()[0]
    raise OfferError(422, "no_acceptable_audio", "No audio section of the offer could be accepted.")


def audio_payloads(answer: str) -> dict[int, str]:
    """Return the codecs' names by payload type over all audio sections of an answer."""
    return _payloads(answer, "audio")


def video_payloads(answer: str) -> dict[int, str]:
    """Return the codecs' names by payload type over all video sections of an answer.

    In a bundle a payload type means the same in all of them (RFC 8843 section 9.1).
    """
    return _payloads(answer, "video")


def with_active_setup(offer: str) -> str:
    """Let the other side begin the DTLS handshake, if it leaves the choice to us (RFC 8842 section 5.3).

    Janus loses a handshake that reaches it before its own ICE is done, and the next try is a second later.
    """
    return offer.replace("a=setup:actpass", "a=setup:active")


def _tidy(line: str) -> str:
    """Return an rtpmap without the spaces that aiortc would take for a part of the name."""
    found = _RTPMAP.fullmatch(line)
    if found is None:
        return line
    payload, name, clock_hz, channels = found.groups()
    return f"a=rtpmap:{payload} {name}/{clock_hz}" + (f"/{channels}" if channels else "")


def key_clocks_hz(description: str) -> dict[int, int]:
    """Return the RTP clock of a telephone's keys (RFC 4733) by payload type, of the first audio section."""
    audio = next((section for section in media_sections(description) if section.kind == "audio"), None)
    if audio is None:
        return {}
    offered = audio.lines[0].split()[3:]
    found = (_RTPMAP.fullmatch(line) for line in audio.lines)
    return {
        int(match[1]): int(match[3])
        for match in found
        if match and match[2].lower() == "telephone-event" and match[1] in offered and match[4] in (None, "1")
    }


def fitting_clocks_hz(key_clocks_hz: Mapping[int, int], audio_clocks_hz: Sequence[int]) -> dict[int, int]:
    """Return what of a telephone's keys fits the audio, the best first.

    Events and audio share their timestamps, so their clocks have to agree (RFC 4733 section 2.2).

    Args:
        key_clocks_hz: of `key_clocks_hz`.
        audio_clocks_hz: of the codecs, the one that is sent first.

    Returns:
        The RTP clock by payload type; all of them if none fits: a telephone may well mean what it says.
    """
    fitting = {
        payload: clock_hz
        for audio_hz in audio_clocks_hz
        for payload, clock_hz in key_clocks_hz.items()
        if clock_hz == audio_hz
    }
    return fitting or dict(key_clocks_hz)


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


def _payloads(answer: str, kind: str) -> dict[int, str]:
    return {
        int(payload): name
        for section in media_sections(answer)
        if section.kind == kind
        for payload, name in section.payloads().items()
        if payload.isascii() and payload.isdecimal() and len(payload) <= 3
    }


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


@dataclass(frozen=True, slots=True)
class TrickledCandidate:
    """A candidate from a trickle fragment.

    Attributes:
        mid: the media section it belongs to; None for the first.
        candidate: ``candidate:...`` without ``a=``.
    """

    mid: str | None
    candidate: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a ``application/trickle-ice-sdpfrag`` says (RFC 8840 section 9).

    Attributes:
        ufrag: the ICE generation it is about; None if it does not say.
        candidates: usable ones; mDNS names are left out.
        end_of_candidates: no more will come.
    """

    ufrag: str | None
    candidates: tuple[TrickledCandidate, ...]
    end_of_candidates: bool


def parse_fragment(text: str) -> Fragment:
    """Read a trickle fragment.

    Raises:
        OfferError: 400, it is not one.
    """
    ufrag: str | None = None
    candidates: list[TrickledCandidate] = []
    ended = known = False
    for mid, line in _with_mids(text):
        name, _, value = line.removeprefix("a=").partition(":")
        if name == "ice-ufrag":
            ufrag = value
        elif name == "candidate" and not is_mdns_candidate(line):
            candidates.append(TrickledCandidate(mid, line.removeprefix("a=")))
        elif name == "end-of-candidates":
            ended = True
        known = known or name in ("ice-ufrag", "candidate", "end-of-candidates")
    if not known:
        raise OfferError(400, "invalid_sdp_fragment", "The body is not a trickle ICE SDP fragment.")
    return Fragment(ufrag, tuple(candidates), ended)


def _with_mids(text: str) -> Iterator[tuple[str | None, str]]:
    """Yield each line with the mid of the section that it stands in."""
    mid: str | None = None
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("m="):
            mid = None
        elif line.startswith("a=mid:"):
            mid = line[len("a=mid:") :].strip()
        yield mid, line.strip()


def ice_ufrag(sdp: str) -> str | None:
    """Return the first ICE user name fragment of a description."""
    for line in sdp.splitlines():
        if line.startswith("a=ice-ufrag:"):
            return line[len("a=ice-ufrag:") :].strip()
    return None
