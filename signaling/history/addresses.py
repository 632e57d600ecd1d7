"""Which addresses may be connected to on behalf of others: those of the public Internet only. Pure.

It is asked with the address that is about to be connected to, after the name was resolved, so that a name which
resolves to something else the second time (DNS rebinding) helps nobody.
"""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052; the address behind it is in the last 32 bits

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Say whether an address is one of the public Internet, and none that leads elsewhere.

    Args:
        address: IPv4 or IPv6, with or without a zone.
    """
    try:
        read = _behind(ipaddress.ip_address(address))
    except ValueError:
        return False
    if isinstance(read, ipaddress.IPv6Address) and read.is_site_local:  # RFC 3879
        return False
    return read.is_global and not read.is_multicast and not read.is_reserved


def _behind(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for; any other as it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
