"""Which sections of an offer become part of the call, and the answer to all of them. Pure.

An offer is untrusted text of which aiortc understands a part, and at the rest of which it stumbles. So aiortc never
gets the text itself: `Offered.for_aiortc` writes a new one, of the sections that are taken, with nothing in it but
what was read here. `Offered.answer` makes the whole answer of aiortc's: each section that is not taken is answered
at port 0 in its place (RFC 3264 section 6).

A section is taken unless

- the client rejects it itself, or it is neither audio nor video over SRTP nor WebRTC's data channels;
- none of its codecs is one of ours;
- it is a second section for data channels: there is one association in a peer connection;
- it shares its mid with a section before it;
- it would be one of more than `MAX_TRANSPORTS` that share no transport with others;
- it lacks what WebRTC needs: ICE credentials, a fingerprint, a=rtcp-mux. In a bundle they may stand in the first
  section only (RFC 8843 section 7.1.3).

There is no call without audio that is taken and not inactive; why it is not, is said of the first audio section.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count

from aiortc.sdp import H264Profile, parse_h264_profile_level_id

from agent.errors import OfferError
from signaling.webrtc.sdp import (
    DEFAULT_MESSAGE_BYTES,
    STATIC_CODECS,
    Attributes,
    Codec,
    MediaSection,
    attributes_of,
    max_message_bytes,
    shown,
    split_description,
    usable_candidate,
)

Admit = Callable[[str, str], bool]
"""Says whether a candidate may be used: the mid that leads its transport, and what `usable_candidate` returns."""

MAX_TRANSPORTS = 4  # beside a bundle's; voice, camera, screen and data need no more

_AUDIO_CODECS = frozenset({Codec("opus", 48_000), *STATIC_CODECS.values()})
_VIDEO_CODECS = frozenset({Codec("vp8", 90_000), Codec("h264", 90_000)})
_RTX = Codec("rtx", 90_000)
_FMTP_READ = {"h264": ("packetization-mode", "profile-level-id"), "rtx": ("apt",)}
_H264_DEFAULT = "42e01f"  # browsers' own, of old
_H264_PROFILES = (H264Profile.PROFILE_BASELINE, H264Profile.PROFILE_CONSTRAINED_BASELINE)
_LIKE_RTCP = range(64, 81)  # with the marker bit these payload types look like RTCP (RFC 5761 section 4)

_RTP_PROTOCOL = re.compile(r"(?:(?:UDP|TCP)/D?TLS/)?RTP/S?AVPF?")  # RFC 8829 section 5.1.2: all mean the same
_DATA_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")
_DATA_CHANNELS = "webrtc-datachannel"
_SCTP_PORT = "5000"  # what everybody uses
_SIZE = re.compile(r"\d{1,12}", re.ASCII)  # of a message, in bytes

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_EXTENSION_NUMBERS = (*range(1, 15), *range(16, 256))  # RFC 8285 section 4
_EXTMAP = re.compile(r"(\d{1,3})(?:/sendrecv)?\s+([!-~]+)(?:\s.*)?", re.ASCII)
_MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
_MID_BYTES = 16  # what fits a one-byte header (RFC 8285 section 4.2)
_ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_FEEDBACK = re.compile(r"(\*|\d{1,3})\s+([!-~]+(?:\s+[!-~]+)*)", re.ASCII)
_SSRC = re.compile(r"(\d{1,10})(?:\s.*)?", re.ASCII)

_ICE_WORD = re.compile(r"[!-~]{1,256}")
_FINGERPRINT = re.compile(r"(sha-256|sha-384|sha-512)\s+([0-9a-f]{2}(?::[0-9a-f]{2})*)", re.ASCII | re.IGNORECASE)
_SETUP = re.compile("actpass|active|passive")  # RFC 8842 section 5.1: DTLS has no holdconn
_NEEDED = {
    "ice-ufrag": "a user name fragment",
    "ice-pwd": "a password",
    "fingerprint": "a SHA-256, SHA-384 or SHA-512 fingerprint",
    "setup": "actpass, active or passive",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A section of an offer that becomes part of the call.

    Attributes:
        section: as it was offered.
        mid: its own, or one that was made up for aiortc.
        direction: as the client sees it.
        transport: the lines for aiortc that say how to connect.
    """

    section: MediaSection
    mid: str
    direction: str
    transport: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer that can become a call.

    Attributes:
        sections: all of them, as offered.
        taken: those that become part of the call, by their place in the offer.
        bundle: mids of the sections taken that share a transport; empty if the client knows no bundles.
        ice_lite: the client only answers connectivity checks (RFC 8445 section 2.5).
        ufrags: ICE user name fragments, by which an ICE restart is told from a trickle.
    """

    sections: tuple[MediaSection, ...]
    taken: dict[int, Taken]
    bundle: tuple[str, ...]
    ice_lite: bool
    ufrags: frozenset[str]

    @property
    def one_transport(self) -> bool:
        """True if all that is taken shares one transport."""
        return len(self.taken) == 1 or len(self.bundle) == len(self.taken)

    @property
    def leading(self) -> dict[str | None, str]:
        """By each section's mid the mid of the one whose transport it shares; None is the first section."""
        mids = [taken.mid for taken in self.taken.values()]
        first = next((mid for mid in mids if mid in self.bundle), "")
        leads: dict[str | None, str] = {mid: first if mid in self.bundle else mid for mid in mids}
        return {None: leads[mids[0]], **leads}

    @property
    def wants_data(self) -> bool:
        """True if data channels can be opened."""
        return any(each.section.kind == "application" for each in self.taken.values())

    @property
    def max_message_bytes(self) -> int:
        """The longest message that the client takes on its data channels."""
        channels = (each.section for each in self.taken.values() if each.section.kind == "application")
        return next((max_message_bytes(section) for section in channels), DEFAULT_MESSAGE_BYTES)

    @property
    def speaking_mid(self) -> str:
        """The audio section on which the agent speaks: the first on which the client listens."""
        return self._audio_mid("sendrecv", "recvonly")

    @property
    def hearing_mid(self) -> str:
        """The audio section on which the caller is heard: the first on which the client speaks."""
        return self._audio_mid("sendrecv", "sendonly")

    def _audio_mid(self, *directions: str) -> str:
        active = [
            each for each in self.taken.values() if each.section.kind == "audio" and each.direction != "inactive"
        ]
        return next((each.mid for each in active if each.direction in directions), active[0].mid)

    def section(self, mid: str) -> MediaSection:
        """Return a section that is taken, as it was offered."""
        return next(each.section for each in self.taken.values() if each.mid == mid)

    def refused(self) -> list[str]:
        """Return the kinds of the sections that are not taken."""
        return [shown(section.kind) for index, section in enumerate(self.sections) if index not in self.taken]

    def for_aiortc(self) -> str:
        """Return what is taken as an offer that aiortc can take.

        ``end-of-candidates`` is not in it: aioice gives up at once when it is told that none will come.
        """
        lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
        if self.ice_lite:
            lines.append("a=ice-lite")
        if self.bundle:  # in the order of the sections: aiortc stops the transport if another one leads
            mids = [taken.mid for taken in self.taken.values() if taken.mid in self.bundle]
            lines.append(f"a=group:BUNDLE {' '.join(mids)}")
        for taken in self.taken.values():
            lines += _written(taken)
        return _text(lines)

    def answer(self, aiortcs: str) -> str:
        """Return the answer to all sections.

        Args:
            aiortcs: aiortc's answer to `for_aiortc`.
        """
        session, made = split_description(aiortcs)
        lines = [line for line in session if not line.startswith("a=group:")]
        if self.bundle:
            lines.append(f"a=group:BUNDLE {' '.join(self.bundle)}")
        answered = iter(made)
        for index, section in enumerate(self.sections):
            if index in self.taken:
                lines += _answered(section, next(answered))
            else:
                known = [before.mid for before in self.sections[:index]]
                lines += _refused(section, with_mid=section.mid not in known)
        return _text(lines)


def read_offer(sdp: str, admit: Admit = lambda _mid, _candidate: True) -> Offered:
    """Read a description of the other side, and rule what is taken of it.

    Args:
        sdp: untrusted.
        admit: asked for each candidate.

    Raises:
        OfferError: 400 if it is not SDP with DTLS and ICE, 422 if no audio in it is acceptable; names the line.
    """
    session_lines, sections = split_description(sdp)
    session = attributes_of(session_lines)
    chosen: dict[int, MediaSection] = {}
    wrong: list[OfferError] = []
    for index, section in enumerate(sections):
        error = _why_not(section, sections[:index], chosen.values())
        if error is None:
            chosen[index] = section
        elif section.kind == "audio":
            wrong.append(error)
    group = _bundle(session, sections)
    own_mids = {section.mid for section in sections}
    free_mids = (mid for mid in map(str, count()) if mid not in own_mids)
    taken: dict[int, Taken] = {}
    bundled: list[str] = []
    alone = 0
    for index, section in chosen.items():
        mid = section.mid or next(free_mids)
        try:
            if section not in group:
                if alone == MAX_TRANSPORTS:
                    continue
                transport = _own_transport(session, section, partial(admit, mid))
                alone += 1
            else:
                members = [each for each in group if each in chosen.values()]
                bundled = bundled or _bundles_transport(session, group, members, partial(admit, mid))
                transport = bundled
        except OfferError as error:
            if section.kind == "audio":
                wrong.append(error.with_traceback(None))  # the frames of it hold the list
            continue
        taken[index] = Taken(section, mid, _direction(section, session), tuple(transport))
    if not any(each.section.kind == "audio" and each.direction != "inactive" for each in taken.values()):
        raise _no_audio(sections, wrong)
    return Offered(
        tuple(sections),
        taken,
        tuple(
            section.mid for section in group if section.mid and section in [each.section for each in taken.values()]
        ),
        "ice-lite" in session,
        frozenset(chain(session.get("ice-ufrag", ()), *(section.values("ice-ufrag") for section in sections))),
    )


def _no_audio(sections: Sequence[MediaSection], wrong: list[OfferError]) -> OfferError:
    """Take out the first error, or make one: raised by the list's owner, it would hold itself from there."""
    if wrong:
        return wrong.pop(0)
    if any(section.kind == "audio" for section in sections):
        return _unacceptable("All audio of the offer is inactive.")
    return _unacceptable("The offer has no audio section; a call needs one.")


def _unacceptable(detail: str) -> OfferError:
    return OfferError(422, "no_acceptable_audio", detail)


def _why_not(
    section: MediaSection, before: Sequence[MediaSection], chosen: Collection[MediaSection]
) -> OfferError | None:
    """Return why a section cannot be taken whatever its transport is; None if it can."""
    line = shown(section.lines[0])
    if section.rejected:
        return _unacceptable(f'The line "{line}" itself rejects the audio: its port is 0.')
    if section.mid is not None and section.mid in [other.mid for other in before]:
        return OfferError(400, "invalid_sdp", f'The line "a=mid:{shown(section.mid)}" stands in two sections.')
    if section.kind == "application":
        second = any(other.kind == "application" for other in chosen)
        return None if _is_data(section) and not second else _unacceptable("It is not for data channels.")
    if section.kind not in ("audio", "video") or not _RTP_PROTOCOL.fullmatch(section.protocol):
        return _unacceptable(f'The line "{line}" is not of audio over SRTP (UDP/TLS/RTP/SAVPF).')
    if not _payloads(section):
        return _unacceptable(_no_codec(section))
    return None


def _is_data(section: MediaSection) -> bool:
    application = section.formats[0]
    return section.protocol in _DATA_PROTOCOLS and (application == _DATA_CHANNELS or _is_port(application))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 1 << 16


def _no_codec(section: MediaSection) -> str:
    unread = section.unread_rtpmaps()
    hint = f' The line "a=rtpmap:{shown(unread[0])}" cannot be read.' if unread else ""
    return f'The line "{shown(section.lines[0])}" has no common audio codec: opus, G722, PCMU or PCMA.{hint}'


def _payloads(section: MediaSection) -> dict[str, Codec]:
    """Return what is taken by payload type: codecs in the client's order, then their retransmission."""
    ours = _AUDIO_CODECS if section.kind == "audio" else _VIDEO_CODECS
    offered = {payload: codec for payload, codec in section.codecs().items() if _can_be_sent(payload)}
    parameters = section.parameters() if section.kind == "video" else {}
    found = {
        payload: codec
        for payload, codec in offered.items()
        if codec in ours and (codec.name != "h264" or _is_our_h264(parameters.get(payload, {})))
    }
    again = {
        payload: codec
        for payload, codec in offered.items()
        if codec == _RTX and parameters.get(payload, {}).get("apt") in found
    }
    return found | again


def _can_be_sent(payload: str) -> bool:
    return str(int(payload)) == payload and int(payload) < 128 and int(payload) not in _LIKE_RTCP


def _is_our_h264(parameters: Mapping[str, str]) -> bool:
    """True for what aiortc can take apart (RFC 6184 section 8.1)."""
    if parameters.get("packetization-mode") != "1":
        return False
    try:
        profile, _level = parse_h264_profile_level_id(parameters.get("profile-level-id", _H264_DEFAULT))
    except ValueError:
        return False
    return profile in _H264_PROFILES


def _bundle(session: Attributes, sections: Sequence[MediaSection]) -> list[MediaSection]:
    """Return the sections of the first bundle, in its order; those of a second one get transports of their own."""
    groups = (value.split() for value in session.get("group", ()))
    group = next((mids for semantics, *mids in filter(None, groups) if semantics == "BUNDLE"), [])
    by_mid: dict[str | None, MediaSection] = {}
    for section in sections:
        by_mid.setdefault(section.mid, section)
    return [by_mid[mid] for mid in dict.fromkeys(group) if mid in by_mid]


def _bundles_transport(
    session: Attributes,
    group: Sequence[MediaSection],
    taken: Sequence[MediaSection],
    admit: Callable[[str], bool],
) -> list[str]:
    """Return the transport of a bundle: that of the first section taken, which the first of all may complete.

    Candidates may stand in any of its sections.

    Raises:
        OfferError: it lacks what WebRTC needs, or a line of it is wrong.
    """
    lines = _security(taken[0].attributes, session, group[0].attributes)
    [ufrag] = attributes_of(lines)["ice-ufrag"]
    same = (section for section in group if ufrag in (section.values("ice-ufrag") or (ufrag,)))
    candidates = [value for section in same for value in section.values("candidate")]
    if any(section.kind != "application" for section in taken) and not any(map(_multiplexes, group)):
        raise _no_mux(taken[0])
    return lines + _candidates(candidates, admit)


def _own_transport(session: Attributes, section: MediaSection, admit: Callable[[str], bool]) -> list[str]:
    """Return the transport of a section that is in no bundle.

    Raises:
        OfferError: it lacks what WebRTC needs, or a line of it is wrong.
    """
    if section.port == 0:
        raise _unacceptable(f'The line "{shown(section.lines[0])}" is bundle-only, but it is in no bundle.')
    if section.kind != "application" and not _multiplexes(section):
        raise _no_mux(section)
    return _security(section.attributes, session) + _candidates(section.values("candidate"), admit)


def _multiplexes(section: MediaSection) -> bool:
    return "rtcp-mux" in section.attributes or "rtcp-mux-only" in section.attributes  # RFC 8858


def _no_mux(section: MediaSection) -> OfferError:
    line = shown(section.lines[0])
    return OfferError(422, "rtcp_mux_required", f'Below the line "{line}" there is no a=rtcp-mux; it is needed.')


def _security(*places: Attributes) -> list[str]:
    """Return the lines of ICE and DTLS, each from the first of the places that has it.

    Raises:
        OfferError: 400.
    """
    found = {name: next((place[name] for place in places if name in place), ()) for name in _NEEDED}
    found["setup"] = found["setup"] or ("active",)  # RFC 4145 section 4
    for name, values in found.items():
        if not values:
            raise OfferError(400, "invalid_sdp", f"The SDP has no a={name}: WebRTC needs {_NEEDED[name]}.")
    return [
        *(f"a={name}:{_checked(name, found[name][0])}" for name in ("ice-ufrag", "ice-pwd", "setup")),
        *(f"a=fingerprint:{value}" for value in _fingerprints(found["fingerprint"])),
    ]


def _checked(name: str, value: str) -> str:
    if _SETUP.fullmatch(value) if name == "setup" else _ICE_WORD.fullmatch(value):
        return value
    secret = name == "ice-pwd"
    raise _wrong(name, "..." if secret else value)


def _wrong(name: str, value: str) -> OfferError:
    line = shown(f"a={name}:{value}")
    return OfferError(400, "invalid_sdp", f'The line "{line}" cannot be used: WebRTC needs {_NEEDED[name]}.')


def _fingerprints(values: Sequence[str]) -> list[str]:
    """Return those of the strongest hash function: the others need not be checked (RFC 8122 section 5)."""
    read = [(match[1].lower(), match[2].upper()) for value in values if (match := _FINGERPRINT.fullmatch(value))]
    if not read:
        raise _wrong("fingerprint", values[0])
    strongest = max(name for name, _ in read)
    return [f"{name} {value}" for name, value in dict.fromkeys(read) if name == strongest]


def _candidates(values: Sequence[str], admit: Callable[[str], bool]) -> list[str]:
    usable = (usable_candidate(value) for value in values)
    return [f"a=candidate:{value}" for value in dict.fromkeys(usable) if value and admit(value)]


def _direction(section: MediaSection, session: Attributes) -> str:
    """Return a section's direction (RFC 8866 section 6.7)."""
    said = (name for place in (section.attributes, session) for name in place)
    return next((name for name in said if name in _DIRECTIONS), "sendrecv")


def _written(taken: Taken) -> list[str]:
    """Write a section for aiortc."""
    section = taken.section
    mid = f"a=mid:{taken.mid}"
    if section.kind == "application":
        return [*_written_data(section), mid, *taken.transport]
    payloads = _payloads(section)
    lines = [
        f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(payloads)}",
        mid,
        f"a={taken.direction}",
        "a=rtcp-mux",
    ]
    lines += _written_extensions(section)
    feedback = [match.groups() for value in section.values("rtcp-fb") if (match := _FEEDBACK.fullmatch(value))]
    parameters = section.parameters()
    for payload, codec in payloads.items():
        lines.append(f"a=rtpmap:{payload} {codec.name}/{codec.clock_hz}{'/2' if codec.name == 'opus' else ''}")
        lines += [f"a=rtcp-fb:{payload} {wish}" for whose, wish in feedback if whose in ("*", payload)]
        if codec.name in _FMTP_READ:
            theirs = parameters[payload]
            said = [f"{name}={theirs[name]}" for name in _FMTP_READ[codec.name] if name in theirs]
            lines.append(f"a=fmtp:{payload} {';'.join(said)}")
    return lines + _written_sources(section) + list(taken.transport)


def _written_data(section: MediaSection) -> list[str]:
    port = section.formats[0]
    if _is_port(port):  # as it was before RFC 8841
        lines = [f"m=application 9 DTLS/SCTP {port}", f"a=sctpmap:{port} {_DATA_CHANNELS} 65535"]
    else:
        port = next(filter(_is_port, section.values("sctp-port")), _SCTP_PORT)
        lines = [f"m=application 9 UDP/DTLS/SCTP {_DATA_CHANNELS}", f"a=sctp-port:{port}"]
    size = next(filter(_SIZE.fullmatch, section.values("max-message-size")), None)
    return lines if size is None else [*lines, f"a=max-message-size:{size}"]


def _written_extensions(section: MediaSection) -> Iterator[str]:
    """Write header extensions, of the numbers and names that may be used once only (RFC 8285 section 7)."""
    numbers, names = set[int](), set[str]()
    for value in section.values("extmap"):
        match = _EXTMAP.fullmatch(value)
        if match is None:
            continue
        number, name = int(match[1]), match[2]
        # Over it aiortc estimates the caller's bit rate from the gaps between packets; at one frame a second that
        # talks the caller down to nothing (REMB).
        unwanted = section.kind == "video" and name == _ABS_SEND_TIME
        nameless = name == _MID_EXTENSION and not 0 < len(section.mid or "") <= _MID_BYTES
        if not (unwanted or nameless or number in numbers or name in names) and number in _EXTENSION_NUMBERS:
            numbers.add(number)
            names.add(name)
            yield f"a=extmap:{number} {name}"


def _written_sources(section: MediaSection) -> list[str]:
    """Write the first source and its retransmission, which is all that aiortc can use."""
    sources = [match[1] for value in section.values("ssrc") if (match := _SSRC.fullmatch(value))]
    sources = [ssrc for ssrc in sources if 0 < int(ssrc) < 1 << 32]
    if not sources:
        return []
    pairs = (value.split()[1:] for value in section.values("ssrc-group") if value.startswith("FID "))
    again = next((pair[1:2] for pair in pairs if pair[:1] == sources[:1]), [])
    return [f"a=ssrc:{ssrc} cname:-" for ssrc in [sources[0], *(ssrc for ssrc in again if ssrc in sources)]]


def _answered(section: MediaSection, made: MediaSection) -> list[str]:
    """Return aiortc's answer to a section, with what has to be as it was offered (RFC 3264 section 6)."""
    first = f"m={section.kind} {made.port} {section.protocol} {' '.join(made.formats)}"
    return [first, *(line for line in made.lines[1:] if section.mid is not None or not line.startswith("a=mid:"))]


def _refused(section: MediaSection, *, with_mid: bool) -> list[str]:
    lines = [f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}", "c=IN IP4 0.0.0.0"]
    if with_mid and section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    return [*lines, "a=inactive"] if _RTP_PROTOCOL.fullmatch(section.protocol) else lines


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
