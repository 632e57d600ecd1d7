"""Rewrite sections: the taken ones for aiortc, and the answer to each one for the client. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from signaling.webrtc.codecs import payloads_taken
from signaling.webrtc.sdp import DATA_CHANNELS, RTP_PROTOCOL, MediaSection, is_port

_FMTP_READ = {"h264": ("packetization-mode", "profile-level-id"), "rtx": ("apt",)}
_SCTP_PORT = "5000"  # the usual port
_MESSAGE_BYTES = re.compile(r"\d{1,12}", re.ASCII)
_EXTENSION_NUMBERS = (*range(1, 15), *range(16, 256))  # RFC 8285 section 4
_EXTMAP = re.compile(r"(\d{1,3})(?:/sendrecv)?\s+([!-~]+)(?:\s.*)?", re.ASCII)
_MID_EXTENSION = "urn:ietf:params:rtp-hdrext:sdes:mid"
_MAX_MID_BYTES = 16  # the most that a one-byte header can carry (RFC 8285 section 4.2)
_ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
_FEEDBACK = re.compile(r"(\*|\d{1,3})\s+([!-~]+(?:\s+[!-~]+)*)", re.ASCII)
_SSRC = re.compile(r"(\d{1,10})(?:\s.*)?", re.ASCII)


def section_for_aiortc(section: MediaSection, mid: str, direction: str, transport: Sequence[str]) -> list[str]:
    """Write a section for aiortc, with only the lines that were understood.

    Args:
        section: the section as offered.
        mid: its own mid, or one made up for aiortc.
        direction: its direction, as the client sees it.
        transport: the lines that say how to connect.
    """
    if section.kind == "application":
        return [*_data_lines(section), f"a=mid:{mid}", *transport]
    payloads = payloads_taken(section)
    lines = [
        f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {' '.join(payloads)}",
        f"a=mid:{mid}",
        f"a={direction}",
        "a=rtcp-mux",
    ]
    lines += _extension_lines(section)
    feedback = [match.groups() for value in section.values("rtcp-fb") if (match := _FEEDBACK.fullmatch(value))]
    parameters = section.parameters()
    for payload, codec in payloads.items():
        lines.append(f"a=rtpmap:{payload} {codec.name}/{codec.clock_hz}{'/2' if codec.name == 'opus' else ''}")
        lines += [f"a=rtcp-fb:{payload} {wish}" for whose, wish in feedback if whose in ("*", payload)]
        if codec.name in _FMTP_READ:
            theirs = parameters[payload]
            said = [f"{name}={theirs[name]}" for name in _FMTP_READ[codec.name] if name in theirs]
            lines.append(f"a=fmtp:{payload} {';'.join(said)}")
    return lines + _source_lines(section) + list(transport)


def _data_lines(section: MediaSection) -> list[str]:
    port = section.formats[0]
    if is_port(port):  # the format used before RFC 8841
        lines = [f"m=application 9 DTLS/SCTP {port}", f"a=sctpmap:{port} {DATA_CHANNELS} 65535"]
    else:
        port = next(filter(is_port, section.values("sctp-port")), _SCTP_PORT)
        lines = [f"m=application 9 UDP/DTLS/SCTP {DATA_CHANNELS}", f"a=sctp-port:{port}"]
    size = next(filter(_MESSAGE_BYTES.fullmatch, section.values("max-message-size")), None)
    return lines if size is None else [*lines, f"a=max-message-size:{size}"]


def _extension_lines(section: MediaSection) -> Iterator[str]:
    """Write the header extensions, only the first for each number and for each name (RFC 8285 section 7)."""
    numbers, names = set[int](), set[str]()
    for value in section.values("extmap"):
        match = _EXTMAP.fullmatch(value)
        if match is None:
            continue
        number, name = int(match[1]), match[2]
        # With this extension, aiortc estimates the caller's bit rate from the gaps between packets; at one frame a
        # second it would ask for next to nothing (REMB).
        unwanted = section.kind == "video" and name == _ABS_SEND_TIME
        nameless = name == _MID_EXTENSION and not 0 < len(section.mid or "") <= _MAX_MID_BYTES
        if not (unwanted or nameless or number in numbers or name in names) and number in _EXTENSION_NUMBERS:
            numbers.add(number)
            names.add(name)
            yield f"a=extmap:{number} {name}"


def _source_lines(section: MediaSection) -> list[str]:
    """Write the first source and its retransmission: aiortc can use no others."""
    sources = [match[1] for value in section.values("ssrc") if (match := _SSRC.fullmatch(value))]
    sources = [ssrc for ssrc in sources if 0 < int(ssrc) < 1 << 32]
    if not sources:
        return []
    pairs = (value.split()[1:] for value in section.values("ssrc-group") if value.startswith("FID "))
    again = next((pair[1:2] for pair in pairs if pair[:1] == sources[:1]), [])
    return [f"a=ssrc:{ssrc} cname:-" for ssrc in [sources[0], *(ssrc for ssrc in again if ssrc in sources)]]


def answered_section(section: MediaSection, made: MediaSection) -> list[str]:
    """Return aiortc's answer to a section, with kind and protocol as offered (RFC 3264 section 6)."""
    first = f"m={section.kind} {made.port} {section.protocol} {' '.join(made.formats)}"
    return [first, *(line for line in made.lines[1:] if section.mid is not None or not line.startswith("a=mid:"))]


def refused_section(section: MediaSection, *, with_mid: bool) -> list[str]:
    """Return the answer to a section that is not taken: port 0."""
    lines = [f"m={section.kind} 0 {section.protocol} {' '.join(section.formats)}", "c=IN IP4 0.0.0.0"]
    if with_mid and section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    return [*lines, "a=inactive"] if RTP_PROTOCOL.fullmatch(section.protocol) else lines


def joined(lines: Sequence[str]) -> str:
    """Return lines as the text of a description."""
    return "".join(f"{line}\r\n" for line in lines)
