"""Decide which of a caller's candidates connectivity checks are sent to. Pure.

A candidate makes the service send datagrams from inside the operator's network to an address that the caller chose
(RFC 8445 section 19.5). So checks go only to public addresses, unless a setting allows others. Callers whose
candidates are ignored still connect if they can reach the service: their own checks make the pair (peer-reflexive,
RFC 8445 section 7.3.1.3).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence

MAX_CANDIDATES = 50  # per call, offered and trickled; browsers send about ten

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
EVERYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
_BROADCAST = ipaddress.ip_address("255.255.255.255")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1


def may_be_checked(address: Address, networks: Sequence[Network]) -> bool:
    """Return whether checks may be sent to an address.

    Args:
        address: the candidate's address.
        networks: the networks that are allowed besides public addresses.
    """
    inner = _inner(address)
    if inner is not None:
        return may_be_checked(inner, networks)
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        return False
    return _is_public(address) or any(address in network for network in networks)


def _inner(address: Address) -> Address | None:
    """Return the IPv4 address that is embedded in an IPv6 address; None if there is none."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour


def _is_public(address: Address) -> bool:
    """Return whether an address is assigned to one holder and reachable from everywhere."""
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_reserved or address.is_link_local or site_local)


class CandidateGate:
    """Admit the candidates of one call.

    Args:
        networks: the networks that are allowed besides public addresses.
        ignored: counts the candidates that are not admitted, by reason: ``too_many`` or ``not_allowed``.
    """

    def __init__(self, networks: Sequence[Network], ignored: Counter[str]) -> None:
        self.leading: Mapping[str | None, str] = {}
        "The mid of the section that leads each section's transport, by mid; None stands for the first section."
        self._networks = networks
        self._ignored = ignored
        self._admitted: set[tuple[str, str, str]] = set()

    def admit(self, mid: str, candidate: str) -> bool:
        """Return whether to send checks to a candidate; a repeated one is not admitted again.

        Args:
            mid: the mid of the section that leads its transport, see `leading`.
            candidate: as `signaling.webrtc.sdp.usable_candidate` returns it.
        """
        address, port = candidate.split(maxsplit=6)[4:6]
        known = (mid, address, port)
        if known in self._admitted:
            return False
        if len(self._admitted) >= MAX_CANDIDATES:
            self._ignored["too_many"] += 1
            return False
        if not may_be_checked(ipaddress.ip_address(address), self._networks):
            self._ignored["not_allowed"] += 1
            return False
        self._admitted.add(known)
        return True
