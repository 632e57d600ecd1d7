"""Which call makes room when too many are not connected yet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.webrtc.pending import MIN_PATIENCE_S, Pending, Slot, holder_of


def crowd(*holders: str, at: float = 0.0) -> tuple[Pending, list[Slot]]:
    """Return pending calls, one per millisecond."""
    pending = Pending()
    slots = [Slot(holder, at + number / 1000, f"rtc_{number}") for number, holder in enumerate(holders)]
    for slot in slots:
        pending.add(slot)
    return pending, slots


def test_nobody_goes_where_nobody_is() -> None:
    assert Pending().next_to_go("a", 100.0) is None


def test_the_oldest_of_a_crowd_makes_room_for_another_address_at_once() -> None:
    pending, slots = crowd("b", "a", "a", "a")
    assert pending.next_to_go("c", 0.1) is slots[1]
    assert pending.next_to_go("b", 0.1) is slots[1]


def test_the_crowds_own_offers_wait_until_its_oldest_had_time_enough() -> None:
    pending, slots = crowd("a", "a", "a")
    assert pending.next_to_go("a", MIN_PATIENCE_S - 0.01) is None
    assert pending.next_to_go("a", MIN_PATIENCE_S) is slots[0]


def test_who_has_as_many_as_the_others_displaces_nobody_in_haste() -> None:
    pending, slots = crowd("a", "a", "b")
    assert pending.next_to_go("b", 0.1) is None
    assert pending.next_to_go("b", MIN_PATIENCE_S) is slots[0]
    pending, _ = crowd("a", "b", "c")
    assert pending.next_to_go("d", 0.1) is None


def test_what_is_negotiated_is_not_given_up() -> None:
    pending, slots = crowd("a", "a", "a")
    slots[0].call_id = None
    assert pending.next_to_go("b", 0.1) is slots[1]


def test_a_gateways_call_comes_before_the_crowd_and_is_never_part_of_it() -> None:
    pending, slots = crowd("a", "a")
    gateway = Slot(None, 0.0, "rtc_x")
    pending.add(gateway)
    pending.remove(gateway)
    assert len(pending) == 2
    assert pending.next_to_go(None, 0.1) is slots[0]


def test_what_is_connected_is_forgotten_and_may_be_forgotten_twice() -> None:
    pending, slots = crowd("a", "a")
    for slot in (slots[0], slots[0], slots[1]):
        pending.remove(slot)
    assert len(pending) == 0
    assert pending.next_to_go("b", 100.0) is None


@given(st.lists(st.sampled_from("abc"), max_size=200))
def test_one_address_cannot_keep_others_out(offers: list[str]) -> None:
    """Offers come faster than any is given up for its age; nobody has two fewer than another while refused."""
    pending, held = Pending(), dict.fromkeys("abc", 0)
    for number, holder in enumerate(offers):
        if len(pending) >= 6:
            victim = pending.next_to_go(holder, 1.0)
            if victim is None:
                assert max(held.values()) - held[holder] <= 1
                continue
            assert victim.holder is not None
            pending.remove(victim)
            held[victim.holder] -= 1
        pending.add(Slot(holder, 1.0, str(number)))
        held[holder] += 1
    assert len(pending) == sum(held.values()) <= 6


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::5", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/talkspurt.sock", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_who_has_an_address(address: str | None, expected: str) -> None:
    assert holder_of(address) == expected
