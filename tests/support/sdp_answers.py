"""Check SDP answers against their offers by RFC 3264, RFC 8829 and RFC 8843, with an SDP reader of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

STATIC = {"0": "pcmu/8000", "8": "pcma/8000", "9": "g722/8000"}
RTP = ("audio", "video")
ANSWERS = {"sendrecv": ("sendrecv", "sendonly", "recvonly"), "sendonly": ("recvonly",), "recvonly": ("sendonly",)}


class Section:
    """An m-line and what stands below it, or in the session."""

    def __init__(self, lines: list[str], session: list[str]) -> None:
        self.kind, port, self.protocol, *self.formats = lines[0][2:].split()
        self.lines = [line.strip() for line in lines]
        self._session = session
        self.bundle_only = "a=bundle-only" in self.lines
        self.refused = int(port.split("/")[0]) == 0 and not self.bundle_only

    def all(self, name: str) -> list[str]:
        """Return the values of an attribute of its own."""
        return [line[len(name) + 3 :].strip() for line in self.lines if line.startswith(f"a={name}:")]

    def one(self, name: str) -> str | None:
        """Return the value of an attribute, of its own or the session's."""
        inherited = [line[len(name) + 3 :].strip() for line in self._session if line.startswith(f"a={name}:")]
        return next(iter([*self.all(name), *inherited]), None)

    @property
    def mid(self) -> str | None:
        """Its own mid."""
        return next(iter(self.all("mid")), None)

    @property
    def direction(self) -> str:
        """Its direction, or the session's, or the default."""
        words = [line[2:].strip() for line in (*self.lines, *self._session) if line.startswith("a=")]
        return next((word for word in words if word in (*ANSWERS, "inactive")), "sendrecv")

    def codecs(self) -> dict[str, str]:
        """Return name and clock by payload type."""
        found = dict(STATIC)
        for value in self.all("rtpmap"):
            if match := re.fullmatch(r"(\d+)\s+([^/\s]+/\d+).*", value):
                found[match[1]] = match[2].lower()
        return {payload: found[payload] for payload in self.formats if payload in found}


def sections_of(sdp: str) -> list[Section]:
    """Return the sections of a description."""
    session, *media = re.split(r"(?m)^(?=m=)", re.sub(r"\r\n?", "\n", sdp))
    return [Section(part.strip().split("\n"), session.split("\n")) for part in media]


def bundle_of(sdp: str) -> list[str] | None:
    """Return the mids of the first bundle; None if there is no such line."""
    found = re.findall(r"(?m)^a=group:BUNDLE *(.*?)\s*$", sdp)
    return found[0].split() if found else None


def mistakes(offer: str, answer: str) -> list[str]:
    """Return what is wrong with an answer; an empty list if nothing is."""
    if re.search(r"(?<!\r)\n|\r(?!\n)", answer) or not answer.endswith("\r\n"):
        return ["lines do not end with CR LF"]
    offered, answered = sections_of(offer), sections_of(answer)
    tag = next((section for section in offered if section.mid in (bundle_of(offer) or [])[:1]), None)
    if [section.kind for section in offered] != [section.kind for section in answered]:
        return ["other sections than were offered"]
    found = [
        f"section {index}, {theirs.kind}: {mistake}"
        for index, (theirs, ours) in enumerate(zip(offered, answered, strict=True))
        for mistake in (_refusal(theirs, ours) if ours.refused else _acceptance(theirs, ours, tag))
    ]
    return found + list(_bundle(offered, answered, bundle_of(offer), bundle_of(answer)))


def _refusal(theirs: Section, ours: Section) -> Iterator[str]:
    if (theirs.protocol, theirs.formats) != (ours.protocol, ours.formats):
        yield f"{ours.lines[0]} refuses {theirs.lines[0]}"
    if ours.all("candidate") or ours.all("ice-ufrag"):
        yield "it is refused and has a transport"
    if theirs.mid != ours.mid:
        yield f"mid {ours.mid}, not {theirs.mid}"


def _acceptance(theirs: Section, ours: Section, tag: Section | None) -> Iterator[str]:
    if theirs.refused:
        yield "it was offered as rejected, and is accepted"
    if ours.bundle_only:
        yield "bundle-only in an answer"
    if theirs.protocol != ours.protocol or theirs.mid != ours.mid:
        yield f"{ours.protocol} {ours.mid}, not {theirs.protocol} {theirs.mid}"
    for name in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if ours.one(name) is None:
            yield f"no a={name}"
    setup = theirs.one("setup") or (tag.one("setup") if tag is not None else None)
    if ours.one("setup") not in {"actpass": ("active", "passive"), "passive": ("active",)}.get(
        setup or "", ("passive",)
    ):
        yield f"setup {ours.one('setup')} to {setup}"
    if not ours.all("candidate"):
        yield "no candidate"
    if ours.kind in RTP:
        yield from _rtp(theirs, ours)
    elif ours.formats[0].isdecimal() != theirs.formats[0].isdecimal():
        yield f"formats {ours.formats}, not {theirs.formats}"
    elif not ours.all("sctpmap" if ours.formats[0].isdecimal() else "sctp-port"):
        yield "no SCTP port"


def _rtp(theirs: Section, ours: Section) -> Iterator[str]:
    known = theirs.codecs()
    for payload, codec in ours.codecs().items():
        if known.get(payload) != codec:
            yield f"{payload} is {codec}, offered as {known.get(payload)}"
    if set(ours.formats) - set(ours.codecs()):
        yield "formats without rtpmap"
    for value in ours.all("fmtp"):
        payload, _, parameters = value.partition(" ")
        if payload not in ours.formats or (parameters.startswith("apt=") and parameters[4:] not in ours.formats):
            yield f"a=fmtp:{value}"
    if ours.direction != "inactive" and ours.direction not in ANSWERS.get(theirs.direction, ()):
        yield f"{ours.direction} to {theirs.direction}"
    if "a=rtcp-mux" not in ours.lines:
        yield "no a=rtcp-mux"
    extensions = {number.split("/")[0]: name for number, name in _extensions(theirs)}
    for number, name in _extensions(ours):
        if extensions.get(number) != name:
            yield f"extension {number} {name} was not offered"


def _extensions(section: Section) -> Iterator[tuple[str, str]]:
    for value in section.all("extmap"):
        number, name, *_ = value.split()
        yield number, name


def _bundle(
    offered: Iterable[Section], answered: list[Section], theirs: list[str] | None, ours: list[str] | None
) -> Iterator[str]:
    wanted = [mid for mid in theirs or [] if any(each.mid == mid and not each.refused for each in answered)]
    if (ours or []) != wanted or ours == []:
        yield f"the bundle is {ours}, not {wanted or None}"
    bundled = [section for section in answered if section.mid in wanted and not section.refused]
    if len({(section.one("ice-ufrag"), section.one("ice-pwd")) for section in bundled}) > 1:
        yield "a bundle on several transports"
    for their, our in zip(offered, answered, strict=True):
        if their.bundle_only and their.mid not in (theirs or []) and not our.refused:
            yield "bundle-only without a bundle, and accepted"
