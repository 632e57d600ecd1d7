"""What the operator allows may be called, and nothing that only looks like it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.phone.callees import Callees, callees_of
from signaling.phone.telephone import address

DOMAIN = "agent.local"


def callees(*patterns: str) -> Callees:
    settings = Settings(dial=True, dial_allowed=list(patterns), sip_user=f"sip:agent@{DOMAIN}")
    found = callees_of(settings, "dial")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("pattern", "called"),
    [
        ("+4930*", "+49301234567"),
        ("+49 (30) *", "+49-30.1234"),
        ("+4930123???", "+4930123456"),
        ("112", "tel:112"),
        ("+4930*", f"sip:+4930123@{DOMAIN}"),
        ("+4930*", f"sip:+49-30-123@{DOMAIN.upper()};user=phone"),
        ("+4930*", f"sip:%2B4930%31@{DOMAIN}"),
        ("sip:ann@pbx.example", "sip:ann@PBX.example;transport=tcp"),
        ("sip:*@pbx.example", "sip:ann@pbx.example"),
        ("sip:1??@pbx.example:5070", "sip:123@pbx.example:5070"),
        ("sip:ann@*.example", "sip:ann@a.b.example"),
        ("sip:phone*@agent.local", "sip:phone1@agent.local"),
        ("*", "+1900555"),
        ("*", "sip:ann@evil.example;maddr=10.0.0.1"),
    ],
)
def test_what_a_pattern_names_may_be_called(pattern: str, called: str) -> None:
    assert callees("+999", pattern).allow(address(called, DOMAIN))


@pytest.mark.parametrize(
    ("pattern", "called"),
    [
        ("+4930*", "+4940123"),
        ("+4930*", "4930123"),
        ("+4930*", "004930123"),
        ("+4930???", "+4930"),
        ("+4930*", "sip:+4930123@evil.example"),
        ("sip:*@agent.local", "+1900555"),
        ("sip:*@agent.local", "sip:+1-900-555@agent.local"),
        ("sip:*@agent.local", "sip:%2B1900555@agent.local"),
        ("sip:*@agent.local", "sip:%31900555@AGENT.local:5060"),
        ("sip:*@agent.local", "sip:1900(555)@agent.local."),
        ("sip:*@agent.local", "sip:*72900555@agent.local"),
        ("1*", "sip:*1@agent.local"),
        ("sip:ann@pbx.example", "sip:ann@pbx.example.evil.example"),
        ("sip:ann@pbx.example", "sip:ann@pbx-example"),
        ("sip:ann@pbx.example", "sip:Ann@pbx.example"),
        ("sip:ann@pbx.example", "sip:joann@pbx.example"),
        ("sip:ann@pbx.example", "sip:ann@pbx.example:5070"),
        ("sip:ann@pbx.example", "sips:ann@pbx.example"),
        ("sip:ann@pbx.example", "sip:ann@pbx.example;maddr=10.0.0.1"),
        ("sip:ann@pbx.example", "sip:ann@pbx.example;transport=udp;maddr=evil"),
        ("sip:ann@pbx.?", "sip:ann@pbx.de"),
    ],
)
def test_what_no_pattern_names_may_not(pattern: str, called: str) -> None:
    assert not callees("+999", pattern).allow(address(called, DOMAIN))


@given(st.from_regex(r"\A[0-9*?+().\- ]{0,12}\Z"), st.from_regex(r"\A\+?[0-9]{1,8}\Z"))
def test_a_pattern_of_a_number_means_what_is_documented(pattern: str, number: str) -> None:
    """Held against a second way to say it."""
    try:
        allowed = callees("+999", pattern)
    except ConfigError:
        return
    plain = re.sub(r"[().\- ]", "", pattern)
    meant = re.fullmatch(plain.replace("+", r"\+").replace("*", r"\d*").replace("?", r"\d"), number)
    assert allowed.allow(address(number, DOMAIN)) == bool(meant or pattern == "*" or number == "+999")


def test_what_is_switched_off_allows_nothing() -> None:
    assert callees_of(Settings(dial_allowed=["*"]), "dial") is None
    assert callees_of(Settings(), "transfer") is None


def test_a_switch_alone_says_that_nobody_could_be_called() -> None:
    with pytest.raises(ConfigError, match="transfer: transfer_allowed is empty"):
        callees_of(Settings(transfer=True), "transfer")


@pytest.mark.parametrize(
    "pattern", ["", "ann", "sip:ann", "sip:@b", "+", "+49x", "http://a@b", "sip:a@b;maddr=c", "a*"]
)
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is no number"):
        callees(pattern)
