"""Decide which sections of an offer become part of the call, and answer all of them. Pure.

An offer is untrusted text, of which aiortc understands only a part and fails at the rest. So aiortc never gets the
text itself: `Offered.for_aiortc` writes a new offer with only the sections that are taken, and in them only what
was parsed here. `Offered.answer` completes aiortc's answer: each section that is not taken is answered with port 0
in its place (RFC 3264 section 6).

A section is taken unless

- the client rejects it itself, or it is neither audio nor video over SRTP nor WebRTC's data channels;
- none of its codecs is one of ours;
- it is a second section for data channels: there is one association in a peer connection;
- it shares its mid with a section before it;
- it would be one of more than `MAX_TRANSPORTS` that share no transport with others;
- it lacks what WebRTC needs: ICE credentials, a fingerprint, a=rtcp-mux. In a bundle they may stand in the first
  section only (RFC 8843 section 7.1.3).

A call needs audio that is taken and not inactive. If there is none, the refusal says why the first audio section
was not taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count

from agent.errors import OfferError
from signaling.webrtc.codecs import AUDIO_CODEC_NAMES, payloads_taken
from signaling.webrtc.rewrite import answered_section, joined, refused_section, section_for_aiortc
from signaling.webrtc.sdp import (
    DEFAULT_MESSAGE_BYTES,
    RTP_PROTOCOL,
    Attributes,
    MediaSection,
    attributes_of,
    max_message_bytes,
    shown,
    split_description,
)
from signaling.webrtc.transport import bundle_transport, own_transport, unacceptable

Admit = Callable[[str, str], bool]
"""Returns whether a candidate, as `usable_candidate` returns it, may be used on the transport that a mid leads."""

MAX_TRANSPORTS = 4  # besides the bundle's; voice, camera, screen and data need no more
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class Taken:
    """A section of an offer that becomes part of the call.

    Attributes:
        section: the section as offered.
        mid: its own mid, or one made up for aiortc.
        direction: its direction, as the client sees it.
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
        taken: the sections that become part of the call, by their place in the offer.
        bundle: mids of the taken sections that share a transport; empty if the client does not bundle.
        ice_lite: the client only answers connectivity checks (RFC 8445 section 2.5).
        ufrags: ICE user name fragments, to tell an ICE restart from a trickle.
    """

    sections: tuple[MediaSection, ...]
    taken: dict[int, Taken]
    bundle: tuple[str, ...]
    ice_lite: bool
    ufrags: frozenset[str]

    @property
    def one_transport(self) -> bool:
        """True if all taken sections share one transport."""
        return len(self.taken) == 1 or len(self.bundle) == len(self.taken)

    @property
    def leading(self) -> dict[str | None, str]:
        """The mid of the section that leads each section's transport, by mid; None stands for the first section."""
        mids = [taken.mid for taken in self.taken.values()]
        first = next((mid for mid in mids if mid in self.bundle), "")
        leads: dict[str | None, str] = {mid: first if mid in self.bundle else mid for mid in mids}
        return {None: leads[mids[0]], **leads}

    @property
    def wants_data(self) -> bool:
        """True if the client can open data channels."""
        return any(each.section.kind == "application" for each in self.taken.values())

    @property
    def max_message_bytes(self) -> int:
        """The longest message that the client accepts on its data channels, in bytes."""
        channels = (each.section for each in self.taken.values() if each.section.kind == "application")
        return next((max_message_bytes(section) for section in channels), DEFAULT_MESSAGE_BYTES)

    @property
    def speaking_mid(self) -> str:
        """The mid of the audio section on which the agent speaks: the first on which the client listens."""
        return self._audio_mid("sendrecv", "recvonly")

    @property
    def hearing_mid(self) -> str:
        """The mid of the audio section on which the caller is heard: the first on which the client speaks."""
        return self._audio_mid("sendrecv", "sendonly")

    def _audio_mid(self, *directions: str) -> str:
        active = [
            each for each in self.taken.values() if each.section.kind == "audio" and each.direction != "inactive"
        ]
        return next((each.mid for each in active if each.direction in directions), active[0].mid)

    def section(self, mid: str) -> MediaSection:
        """Return a taken section as it was offered."""
        return next(each.section for each in self.taken.values() if each.mid == mid)

    def refused(self) -> list[str]:
        """Return the kinds of the sections that are not taken, in a form that errors may show."""
        return [shown(section.kind) for index, section in enumerate(self.sections) if index not in self.taken]

    def for_aiortc(self) -> str:
        """Return an offer for aiortc, with the taken sections.

        ``end-of-candidates`` is left out: aioice gives up at once if it is told that no candidates will come.
        """
        lines = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
        if self.ice_lite:
            lines.append("a=ice-lite")
        if (
            self.bundle
        ):  # in the order of the sections: aiortc stops the transport unless the first section leads it
            mids = [taken.mid for taken in self.taken.values() if taken.mid in self.bundle]
            lines.append(f"a=group:BUNDLE {' '.join(mids)}")
        for taken in self.taken.values():
            lines += section_for_aiortc(taken.section, taken.mid, taken.direction, taken.transport)
        return joined(lines)

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
                lines += answered_section(section, next(answered))
            else:
                known = [before.mid for before in self.sections[:index]]
                lines += refused_section(section, with_mid=section.mid not in known)
        return joined(lines)


def read_offer(sdp: str, admit: Admit = lambda _mid, _candidate: True) -> Offered:
    """Parse a description from the other side, and decide which sections are taken.

    Args:
        sdp: untrusted.
        admit: returns whether a candidate may be used.

    Raises:
        OfferError: 400, it is not SDP with DTLS and ICE; 422, no audio in it is acceptable. It names the line.
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
                transport = own_transport(session, section, partial(admit, mid))
                alone += 1
            else:
                members = [each for each in group if each in chosen.values()]
                bundled = bundled or bundle_transport(session, group, members, partial(admit, mid))
                transport = bundled
        except OfferError as error:
            if section.kind == "audio":
                wrong.append(error.with_traceback(None))  # its frames hold the list
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
    """Return the first error, or a new one. It is removed from the list, which would otherwise form a cycle."""
    if wrong:
        return wrong.pop(0)
    if any(section.kind == "audio" for section in sections):
        return unacceptable("All audio of the offer is inactive.")
    return unacceptable("The offer has no audio section; a call needs one.")


def _why_not(
    section: MediaSection, before: Sequence[MediaSection], chosen: Collection[MediaSection]
) -> OfferError | None:
    """Return why a section cannot be taken, apart from its transport; None if it can."""
    line = shown(section.lines[0])
    if section.rejected:
        return unacceptable(f'The line "{line}" itself rejects the audio: its port is 0.')
    if section.mid is not None and section.mid in [other.mid for other in before]:
        return OfferError(400, "invalid_sdp", f'The line "a=mid:{shown(section.mid)}" stands in two sections.')
    if section.kind == "application":
        second = any(other.kind == "application" for other in chosen)
        return None if section.is_data_channels and not second else unacceptable("It is not for data channels.")
    if section.kind not in ("audio", "video") or not RTP_PROTOCOL.fullmatch(section.protocol):
        return unacceptable(f'The line "{line}" is not of audio over SRTP (UDP/TLS/RTP/SAVPF).')
    if not payloads_taken(section):
        return unacceptable(_no_codec(section))
    return None


def _no_codec(section: MediaSection) -> str:
    unread = section.unread_rtpmaps()
    hint = f' The line "a=rtpmap:{shown(unread[0])}" cannot be read.' if unread else ""
    return f'The line "{shown(section.lines[0])}" has no common audio codec: {AUDIO_CODEC_NAMES}.{hint}'


def _bundle(session: Attributes, sections: Sequence[MediaSection]) -> list[MediaSection]:
    """Return the sections of the first bundle, in its order; those of other bundles get transports of their own."""
    groups = (value.split() for value in session.get("group", ()))
    group = next((mids for semantics, *mids in filter(None, groups) if semantics == "BUNDLE"), [])
    by_mid: dict[str | None, MediaSection] = {}
    for section in sections:
        by_mid.setdefault(section.mid, section)
    return [by_mid[mid] for mid in dict.fromkeys(group) if mid in by_mid]


def _direction(section: MediaSection, session: Attributes) -> str:
    """Return the direction of a section, as the client sees it (RFC 8866 section 6.7)."""
    said = (name for place in (section.attributes, session) for name in place)
    return next((name for name in said if name in _DIRECTIONS), "sendrecv")
