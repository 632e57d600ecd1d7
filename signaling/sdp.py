"""Edits and checks of SDP text: pure, before and after aiortc has its say (RFC 8866, RFC 8829).

Offers are untrusted text. What aiortc would take badly is refused or removed here, with a sentence that the
client's developer can act on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import OfferError

AUDIO_CODECS = ("opus", "g722", "pcmu", "pcma")
_STATIC_PAYLOADS = {"0": "pcmu", "8": "pcma", "9": "g722"}  # RFC 3551 table 4: valid without an rtpmap
MAX_MEDIA_SECTIONS = 16
OPUS_WISHES = "minptime=20;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=32000"
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

    def payloads(self) -> dict[str, str]:
        """Return the names of its codecs in lower case by payload type, in the order offered."""
        names = dict(_STATIC_PAYLOADS)
        for line in self.lines:
            if line.startswith("a=rtpmap:"):
                payload, _, encoding = line[len("a=rtpmap:") :].partition(" ")
                names[payload] = encoding.split("/")[0].lower()
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
    return [_section(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


def _section(lines: list[str]) -> MediaSection:
    fields = lines[0][2:].split()
    if len(fields) < 4 or not fields[1].split("/")[0].isdecimal():
        raise OfferError(400, "invalid_sdp", "The SDP has a malformed m= line.")
    return MediaSection(fields[0], int(fields[1].split("/")[0]), tuple(lines))


def check_offer(sdp: str) -> None:
    """Refuse an offer that cannot become a call.

    Raises:
        OfferError: 400 if it is not SDP with DTLS and ICE, 422 if no audio in it is acceptable.
    """
    audio = [section for section in media_sections(sdp) if section.kind == "audio"]
    usable = [section for section in audio if not section.rejected]
    if not audio:
        raise OfferError(422, "no_acceptable_audio", "The offer has no audio section; a call needs one.")
    if not usable:
        raise OfferError(422, "no_acceptable_audio", "All audio sections of the offer are rejected (port 0).")
    if not any(codec in AUDIO_CODECS for section in usable for codec in section.codecs()):
        raise OfferError(
            422, "no_acceptable_audio", "The offer has no common audio codec: opus, G722, PCMU or PCMA."
        )
    for attribute in ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"):
        if attribute not in sdp:
            raise OfferError(400, "invalid_sdp", f"The SDP has no {attribute[2:-1]}: WebRTC needs it.")


def without_mdns(sdp: str) -> str:
    """Remove candidates with ``.local`` names.

    aioice would try to resolve them for a second before the answer. Browsers behind the same NAT still
    connect: their checks reach us and make the pair (peer-reflexive, RFC 8445 section 7.3.1.3).
    """
    return "".join(line for line in sdp.splitlines(keepends=True) if not is_mdns_candidate(line))


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
    return {
        int(payload): name
        for section in media_sections(answer)
        if section.kind == "audio"
        for payload, name in section.payloads().items()
        if payload.isdecimal()
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
