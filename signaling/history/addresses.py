"""Decide which addresses the service may connect to on behalf of others: only public ones. Pure.

The check is made on the resolved address just before connecting, so a name that resolves differently the second
time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052; the last 32 bits are the IPv4 address

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Return whether an address, or the IPv4 address that it stands for, is on the public Internet.

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
    """Return the IPv4 address that an IPv6 address stands for; any other address unchanged."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
