"""Extract how to connect to an offer's sections: their ICE and DTLS lines, checked one by one. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agent.errors import OfferError
from signaling.webrtc.sdp import Attributes, MediaSection, attributes_of, shown, usable_candidate

_ICE_WORD = re.compile(r"[!-~]{1,256}")
_FINGERPRINT = re.compile(r"(sha-256|sha-384|sha-512)\s+([0-9a-f]{2}(?::[0-9a-f]{2})*)", re.ASCII | re.IGNORECASE)
_SETUP = re.compile("actpass|active|passive")  # RFC 8842 section 5.1: DTLS has no holdconn
_NEEDED = {
    "ice-ufrag": "a user name fragment",
    "ice-pwd": "a password",
    "fingerprint": "a SHA-256, SHA-384 or SHA-512 fingerprint",
    "setup": "actpass, active or passive",
}


def bundle_transport(
    session: Attributes,
    group: Sequence[MediaSection],
    taken: Sequence[MediaSection],
    admit: Callable[[str], bool],
) -> list[str]:
    """Return the lines that say how to connect to a bundle.

    They are those of the first taken section, completed from the first section of the bundle. Candidates may be in
    any section.

    Args:
        session: the attributes of the session.
        group: the sections of the bundle.
        taken: those of them that are taken.
        admit: returns whether a candidate may be used.

    Raises:
        OfferError: 400 or 422, something that WebRTC needs is missing or wrong.
    """
    lines = _security(taken[0].attributes, session, group[0].attributes)
    [ufrag] = attributes_of(lines)["ice-ufrag"]
    same = (section for section in group if ufrag in (section.values("ice-ufrag") or (ufrag,)))
    candidates = [value for section in same for value in section.values("candidate")]
    if any(section.kind != "application" for section in taken) and not any(map(_multiplexes, group)):
        raise _no_mux(taken[0])
    return lines + _candidates(candidates, admit)


def own_transport(session: Attributes, section: MediaSection, admit: Callable[[str], bool]) -> list[str]:
    """Return the lines that say how to connect to a section that is in no bundle.

    Args:
        session: the attributes of the session.
        section: the section.
        admit: returns whether a candidate may be used.

    Raises:
        OfferError: 400 or 422, something that WebRTC needs is missing or wrong.
    """
    if section.port == 0:
        raise unacceptable(f'The line "{shown(section.lines[0])}" is bundle-only, but it is in no bundle.')
    if section.kind != "application" and not _multiplexes(section):
        raise _no_mux(section)
    return _security(section.attributes, session) + _candidates(section.values("candidate"), admit)


def _multiplexes(section: MediaSection) -> bool:
    return "rtcp-mux" in section.attributes or "rtcp-mux-only" in section.attributes  # RFC 8858


def _no_mux(section: MediaSection) -> OfferError:
    line = shown(section.lines[0])
    return OfferError(422, "rtcp_mux_required", f'Below the line "{line}" there is no a=rtcp-mux; it is needed.')


def _security(*places: Attributes) -> list[str]:
    """Return the ICE and DTLS lines, each from the first place that has it.

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
    """Return the fingerprints of the strongest hash function: only they need checking (RFC 8122 section 5)."""
    read = [(match[1].lower(), match[2].upper()) for value in values if (match := _FINGERPRINT.fullmatch(value))]
    if not read:
        raise _wrong("fingerprint", values[0])
    strongest = max(name for name, _ in read)
    return [f"{name} {value}" for name, value in dict.fromkeys(read) if name == strongest]


def _candidates(values: Sequence[str], admit: Callable[[str], bool]) -> list[str]:
    usable = (usable_candidate(value) for value in values)
    return [f"a=candidate:{value}" for value in dict.fromkeys(usable) if value and admit(value)]


def unacceptable(detail: str) -> OfferError:
    """Return the error that says why no audio can be taken."""
    return OfferError(422, "no_acceptable_audio", detail)
