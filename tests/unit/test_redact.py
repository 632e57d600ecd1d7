"""No address is shown with its password or token, however the address is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redact import shown_url, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://127.0.0.1:8188", "ws://127.0.0.1:8188"),
        ("ws://127.0.0.1:8188/janus", "ws://127.0.0.1:8188/janus"),
        ("wss://ann:pass@host:8188/janus?token=x#y", "wss://***@host:8188/janus?***"),
        ("wss://token@host", "wss://***@host"),
        ("wss://ann:p@ss@host/janus", "wss://***@host/janus"),
        ("wss://[::1]:8188/?apisecret=x", "wss://[::1]:8188/?***"),
        ("wss://host?token=x", "wss://host?***"),
        ("wss://host#token", "wss://host#***"),
        ("wss://ann:p/ss@host/janus", "wss://***"),
        ("wss://ann:p?ss@host/janus", "wss://***"),
        ("wss://ann:p#ss@host/janus", "wss://***"),
        ("wss://host/?mail=ann@example", "wss://***"),
        ("wss:/ann:pass@host", "wss:***"),
        ("turn:ann:pass@host:3478?transport=udp", "turn:***@host:3478?***"),
        ("stun:host:3478", "stun:host:3478"),
        ("sip:agent@agent.local", "sip:agent@agent.local"),
        ("sip:agent:pass@agent.local;transport=udp", "sip:agent:***@agent.local;transport=udp"),
        ("sip:agent@agent.local?X-Token=x", "sip:agent@agent.local?***"),
        ("ann:pass@host", "ann:***@host"),
        ("host?token=x", "***"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown


SECRET = "S3CRET"
AROUND = st.text("abc:/?#@[]!$&'()*+,;=%-._~ \\", max_size=6)


@given(AROUND, AROUND, st.sampled_from(["ws://", "wss://", "https://", "sip:", "turn:", "ws:/", "ws:\\\\"]))
def test_no_password_is_ever_shown(before: str, behind: str, scheme: str) -> None:
    """Whatever stands around it: as a password in front of the host, and as a token behind it."""
    assert SECRET not in shown_url(f"{scheme}user:{before}{SECRET}{behind}@host/janus")
    assert SECRET not in shown_url(f"{scheme}host/janus?{before}{SECRET}{behind}")


def test_addresses_in_a_text_are_found() -> None:
    text = "404, message='Not found', url='ws://host/janus?token=S3CRET' (was wss://ann:S3CRET@host)"
    assert without_secrets(text) == "404, message='Not found', url='ws://host/janus?***' (was wss://***@host)"
    odd = "wss://ann:S3 CRET@host"
    assert without_secrets(f"cannot connect to {odd}", odd) == "cannot connect to wss://***@host"
