"""Where connectivity checks may go, and how many addresses of one call they go to."""

from __future__ import annotations

import ipaddress
from collections import Counter

import pytest

from signaling.webrtc.candidates import EVERYWHERE, LOOPBACK, MAX_CANDIDATES, CandidateGate, Network, may_be_checked

TEN: tuple[Network, ...] = (ipaddress.ip_network("10.0.0.0/8"),)


def candidate(address: str, port: int = 9, priority: int = 5) -> str:
    return f"1 1 udp {priority} {address} {port} typ host"


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::1", "172.32.0.1"]
)
def test_public_addresses_are_checked(address: str) -> None:
    assert may_be_checked(ipaddress.ip_address(address), ())


PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "2002:7f00:1::1"),
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1", "::ffff:10.1.2.3", "2002:a01:203::1"),
    *("169.254.169.254", "fe80::1", "fec0::1", "100.64.0.1"),
    *("192.0.2.1", "198.18.0.1", "240.0.0.1", "0.0.0.1", "2001:db8::1", "64:ff9b::a01:203"),
]
NEVER = ["0.0.0.0", "::", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255", "::ffff:224.0.0.1"]


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_other_addresses_are_not(address: str) -> None:
    assert not may_be_checked(ipaddress.ip_address(address), ())


@pytest.mark.parametrize("address", PRIVATE)
def test_settings_may_allow_them(address: str) -> None:
    assert may_be_checked(ipaddress.ip_address(address), EVERYWHERE)


@pytest.mark.parametrize("address", NEVER)
def test_no_setting_allows_what_belongs_to_nobody(address: str) -> None:
    assert not may_be_checked(ipaddress.ip_address(address), EVERYWHERE)


@pytest.mark.parametrize(
    ("address", "networks", "expected"),
    [
        ("10.1.2.3", TEN, True),
        ("::ffff:10.1.2.3", TEN, True),
        ("192.168.1.1", TEN, False),
        ("127.0.0.1", TEN, False),
        ("127.0.0.1", LOOPBACK, True),
        ("::1", LOOPBACK, True),
        ("10.1.2.3", LOOPBACK, False),
    ],
)
def test_a_network_allows_its_own_addresses_only(
    address: str, networks: tuple[Network, ...], expected: bool
) -> None:
    assert may_be_checked(ipaddress.ip_address(address), networks) is expected


def test_only_so_many_are_admitted_over_all_transports() -> None:
    ignored = Counter[str]()
    gate = CandidateGate((), ignored)
    admitted = [gate.admit(str(port % 2), candidate("8.8.8.8", port)) for port in range(1, 201)]
    assert sum(admitted) == MAX_CANDIDATES
    assert ignored == {"too_many": 200 - MAX_CANDIDATES}


def test_what_is_not_allowed_takes_no_place() -> None:
    ignored = Counter[str]()
    gate = CandidateGate((), ignored)
    assert not any(gate.admit("0", candidate("10.0.0.1", port)) for port in range(1, 101))
    assert gate.admit("0", candidate("8.8.8.8"))
    assert ignored == {"not_allowed": 100}


def test_an_address_is_checked_once_for_each_transport() -> None:
    ignored = Counter[str]()
    gate = CandidateGate((), ignored)
    assert [gate.admit("0", candidate("8.8.8.8", 9, priority)) for priority in (1, 2, 3)] == [True, False, False]
    assert gate.admit("1", candidate("8.8.8.8"))
    assert not ignored
