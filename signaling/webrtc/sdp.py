"""Read SDP: its lines, sections and attributes (RFC 8866). Pure.

Descriptions are untrusted text. `signaling.webrtc.offered` decides which sections of an offer are taken.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from agent.errors import OfferError

MAX_MEDIA_SECTIONS = 16
MAX_SHOWN_CHARS = 80  # longer SDP lines are cut when an error quotes them
DEFAULT_MESSAGE_BYTES = 64 << 10  # if the peer names no limit, RFC 8841 section 6.1
MAX_MESSAGE_BYTES = 256 << 10  # our own limit; a longer message would hold up all that follow
KEYS_CLOCKS_HZ = {101: 8_000, 110: 48_000}  # keyed by the usual payload types
_RTPMAP = re.compile(r"(\d{1,3})\s+([!-.0-~]+)\s*/\s*(\d{1,9})(?:\s*/\s*\d{1,3})?", re.ASCII)
_FMTP = re.compile(r"(\d{1,3})\s+(.+)", re.ASCII)
_MID = re.compile(r"[!-~]{1,64}")
DATA_CHANNELS = "webrtc-datachannel"
RTP_PROTOCOL = re.compile(r"(?:(?:UDP|TCP)/D?TLS/)?RTP/S?AVPF?")  # RFC 8829 section 5.1.2: all mean the same
_DATA_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")
_CANDIDATE_TYPES = ("host", "srflx", "relay")  # prflx is never signalled


Attributes = Mapping[str, Sequence[str]]
"""The values of a= lines by name, in order; a line without a value has an empty value."""


class Codec(NamedTuple):
    """A codec, as an rtpmap names it.

    Attributes:
        name: in lower case.
        clock_hz: the rate of its RTP timestamps.
    """

    name: str
    clock_hz: int


STATIC_CODECS = {"0": Codec("pcmu", 8000), "8": Codec("pcma", 8000), "9": Codec("g722", 8000)}
"""Those of our codecs whose payload types need no rtpmap (RFC 3551 table 4)."""


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-line and the lines below it.

    Attributes:
        kind: ``audio``, ``video``, ``application``, or whatever the client says.
        port: 0 rejects the section, unless it is bundle-only.
        protocol: e.g. ``UDP/TLS/RTP/SAVPF``.
        formats: payload types, or whatever the protocol has in their place; at least one.
        lines: all its lines, the m-line first.
        attributes: its own attributes, without those of the session.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[str, ...]
    attributes: Attributes = field(compare=False)

    @property
    def rejected(self) -> bool:
        """True if the client rejects the section (RFC 8829 section 5.2.2; RFC 8843 section 6)."""
        return self.port == 0 and not self.bundle_only

    @property
    def bundle_only(self) -> bool:
        """True if the section has no transport of its own."""
        return "bundle-only" in self.attributes

    @property
    def mid(self) -> str | None:
        """Its identification tag (RFC 5888); None if it has no usable one."""
        return next((mid for mid in self.values("mid") if _MID.fullmatch(mid)), None)

    @property
    def is_data_channels(self) -> bool:
        """True if it is for WebRTC's data channels (RFC 8841), or names a port as drafts of that did."""
        application = self.formats[0]
        return self.protocol in _DATA_PROTOCOLS and (application == DATA_CHANNELS or is_port(application))

    def values(self, name: str) -> Sequence[str]:
        """Return the values of its attributes of that name, in order."""
        return self.attributes.get(name, ())

    def codecs(self) -> dict[str, Codec]:
        """Return its codecs by payload type, in the order offered; unreadable rtpmaps are ignored."""
        mapped: dict[str, Codec] = {}
        for value in self.values("rtpmap"):
            if match := _RTPMAP.fullmatch(value):
                mapped.setdefault(match[1], Codec(match[2].lower(), int(match[3])))
        known = STATIC_CODECS | mapped
        return {payload: known[payload] for payload in self.formats if payload in known}

    def unread_rtpmaps(self) -> list[str]:
        """Return its unreadable rtpmaps."""
        return [value for value in self.values("rtpmap") if not _RTPMAP.fullmatch(value)]

    def payloads(self) -> dict[int, str]:
        """Return the names of its codecs by payload type, in the order offered."""
        return {int(payload): codec.name for payload, codec in self.codecs().items()}

    def parameters(self) -> dict[str, dict[str, str]]:
        """Return its codecs' parameters by payload type and lower-case name; a missing value is an empty one."""
        found: dict[str, dict[str, str]] = {}
        for value in self.values("fmtp"):
            if match := _FMTP.fullmatch(value):
                parameters = found.setdefault(match[1], {})
                for parameter in match[2].split(";"):
                    name, _, setting = parameter.partition("=")
                    parameters[name.strip().lower()] = setting.strip()
        return found


def is_port(text: str) -> bool:
    """Return whether a text is a port number."""
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 1 << 16


def description_lines(text: str) -> list[str]:
    """Return the lines of a description without their line breaks, and without empty lines.

    Lines are split by aiortc's own rule, which also treats U+000B, U+0085 and U+2028 as line breaks, so that aiortc
    never sees two lines in one of ours.
    """
    return [line.rstrip() for line in text.lstrip("\ufeff \t").splitlines() if line.strip()]


def attributes_of(lines: Sequence[str]) -> dict[str, list[str]]:
    """Return the attributes in the given lines."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.setdefault(name, []).append(value.strip())
    return found


def split_description(sdp: str) -> tuple[list[str], list[MediaSection]]:
    """Return the lines of the session, and the media sections.

    Raises:
        OfferError: 400, it is not SDP; the error names the line if a single line is wrong.
    """
    lines = description_lines(sdp)
    if not lines or lines[0] != "v=0":
        raise OfferError(400, "invalid_sdp", "The body is not SDP: it does not begin with v=0.")
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if len(starts) > MAX_MEDIA_SECTIONS:
        raise OfferError(400, "invalid_sdp", f"The SDP has more than {MAX_MEDIA_SECTIONS} media sections.")
    sections = [_section(lines[start:end]) for start, end in pairwise([*starts, len(lines)])]
    return lines[: starts[0]] if starts else lines, sections


def media_sections(sdp: str) -> list[MediaSection]:
    """Return the media sections of a description.

    Raises:
        OfferError: 400, it is not SDP.
    """
    return split_description(sdp)[1]


def _section(lines: list[str]) -> MediaSection:
    fields = lines[0][2:].split()
    port = fields[1].split("/")[0] if len(fields) >= 4 else ""
    readable = lines[0].isascii() and lines[0].replace("\t", " ").isprintable()
    if not (readable and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        wanted = "m=<kind> <port> <protocol> <formats>"
        raise OfferError(400, "invalid_sdp", f'The line "{shown(lines[0])}" is not {wanted}.')
    return MediaSection(fields[0], int(port), fields[2], tuple(fields[3:]), tuple(lines), attributes_of(lines))


def shown(line: str) -> str:
    """Return a line in a form that errors may show: shortened, and ASCII only."""
    return ascii(line[:MAX_SHOWN_CHARS])[1:-1] + ("..." if len(line) > MAX_SHOWN_CHARS else "")


def usable_candidate(value: str) -> str | None:
    """Return a candidate (RFC 8839 section 5.1) with only what aioice needs; None if it is unusable.

    Besides malformed ones, these are unusable: transports other than UDP, which aioice does not support; components
    other than the first, since RTCP has no port of its own; and host names. aioice would try to resolve a
    ``.local`` name for a second before the answer, while browsers behind the same NAT connect anyway: their checks
    reach us and make the pair (peer-reflexive, RFC 8445 section 7.3.1.3).

    Args:
        value: what follows ``candidate:``.
    """
    fields = value.split()
    if len(fields) < 8 or fields[1] != "1" or fields[2].lower() != "udp" or fields[6].lower() != "typ":
        return None
    foundation, _, _, priority, address, port, _, kind = fields[:8]
    numbers = all(number.isascii() and number.isdecimal() and len(number) <= 10 for number in (priority, port))
    if (
        not numbers
        or int(priority) >= 1 << 32
        or not 0 < int(port) < 1 << 16
        or kind.lower() not in _CANDIDATE_TYPES
    ):
        return None
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return None
    if ip.is_multicast or ip.is_unspecified or "%" in address or not foundation.isascii():
        return None
    return f"{foundation} 1 udp {priority} {ip} {port} typ {kind.lower()}"


def key_clocks_hz(audio: MediaSection) -> dict[int, int]:
    """Return the RTP clock of telephone keys (RFC 4733) by payload type."""
    keys = ((payload, codec) for payload, codec in audio.codecs().items() if codec.name == "telephone-event")
    return {int(payload): codec.clock_hz for payload, codec in keys}


def fitting_clocks_hz(key_clocks_hz: Mapping[int, int], audio_clocks_hz: Sequence[int]) -> dict[int, int]:
    """Return the payload types of telephone keys that fit the audio, the best first.

    Keys and audio share their timestamps, so their clocks have to be equal (RFC 4733 section 2.2).

    Args:
        key_clocks_hz: as the function `key_clocks_hz` returns them.
        audio_clocks_hz: the clocks of the codecs, beginning with the codec that is sent.

    Returns:
        The RTP clock by payload type; all of them if none fits, because some telephones break the rule and work.
    """
    fitting = {
        payload: clock_hz
        for audio_hz in audio_clocks_hz
        for payload, clock_hz in key_clocks_hz.items()
        if clock_hz == audio_hz
    }
    return fitting or dict(key_clocks_hz)


def max_message_bytes(channels: MediaSection) -> int:
    """Return the longest message, in bytes, that the other side accepts on a data channel, up to our own limit.

    RFC 8841 section 6. 0 means that it accepts any length; unreadable values are ignored.
    """
    for value in channels.values("max-message-size"):
        if value.isascii() and value.isdecimal() and len(value) <= 20:
            return min(int(value), MAX_MESSAGE_BYTES) or MAX_MESSAGE_BYTES
    return DEFAULT_MESSAGE_BYTES
