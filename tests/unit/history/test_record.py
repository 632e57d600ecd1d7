"""How a call is kept: what databases and JSON do not take is made so that they do."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import ConfigError
from signaling.history import PACKAGES, want_packages
from signaling.history.database import read_url
from signaling.history.deliver import Endpoint
from signaling.history.objects import Objects, recording_key
from signaling.history.record import MAX_JSON_CHARS, stored_json, stored_number, stored_text
from tests.support.history import said, used

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(st.text())
def test_a_text_can_be_encoded_and_has_no_character_0(text: str) -> None:
    assert b"\0" not in stored_text(text).encode()


def test_a_text_that_can_be_kept_is_kept_as_it_is() -> None:
    assert stored_text("Grüße 🙂 \n\t") == "Grüße 🙂 \n\t"
    assert stored_text("a\0b\ud83d") == "a\ufffdb\ufffd"


@given(st.dictionaries(st.text(), plain))
def test_json_is_always_json(value: dict[str, Any]) -> None:
    text = stored_json(value)
    assert text is not None
    text.encode("ascii")
    json.loads(text, parse_constant=pytest.fail)


def test_what_is_no_json_is_said_to_be_none() -> None:
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    assert stored_json(None) is None
    assert stored_json({"a": (1, float("inf"))}) == '{"a":[1,null]}'
    assert stored_json(MappingProxyType({"a": 1})) == '{"a":1}'
    assert json.loads(stored_json({"a": {1, 2}}) or "") == {"not_kept": "no JSON: TypeError"}
    assert json.loads(stored_json(deep) or "") == {"not_kept": "no JSON: RecursionError"}
    assert json.loads(stored_json("x" * MAX_JSON_CHARS) or "") == {"not_kept": f"{MAX_JSON_CHARS + 2} characters"}


def test_numbers_that_json_lacks_are_none() -> None:
    assert [stored_number(each) for each in (None, 1.5, float("nan"), float("-inf"))] == [None, 1.5, None, None]


def test_nothing_that_was_said_is_shown() -> None:
    assert "secret" not in repr(said("a secret", unheard="more of the secret"))
    assert "secret" not in repr(used(arguments={"a": "secret"}, result="secret"))


def test_a_recording_is_kept_by_its_day() -> None:
    assert recording_key("rtc_a-B_9", 1_790_000_000_000, ".webm") == "2026/09/21/rtc_a-B_9.webm"


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("sqlite:///calls.db", "sqlite+aiosqlite:///calls.db"),
        ("sqlite+aiosqlite:////var/lib/calls.db", "sqlite+aiosqlite:////var/lib/calls.db"),
        ("postgresql://ann:pw@db/calls", "postgresql+asyncpg://ann:pw@db/calls"),
        ("postgres://db/calls?sslmode=require", "postgresql+asyncpg://db/calls?ssl=require"),
    ],
)
def test_a_database_may_be_named_in_the_usual_ways(url: str, read: str) -> None:
    assert read_url(url).render_as_string(hide_password=False) == read


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://db/calls", "mysql cannot be used"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("calls.db", "no URL"),
        ("postgresql+psycopg2://ann:secret@db/calls", r"postgresql\+psycopg2 cannot be used"),
        ("postgresql://ann:secret@db:port/calls", "no URL"),
    ],
)
def test_other_databases_are_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        read_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_c2hvcnQ=",
        "whsec_!!!",
        "whsec_" + "A" * 88,
        "whsec_é",
    ],
)
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="webhook_secret") as refused:
        Endpoint("https://example.com/hook", [SECRET, secret])
    assert secret == "" or secret not in str(refused.value) or secret == "whsec_"


def test_messages_go_over_tls_unless_the_network_is_private() -> None:
    for url in ("http://example.com/hook", "ftp://example.com", "example.com"):
        with pytest.raises(ConfigError, match="webhook_url"):
            Endpoint(url, [SECRET])
    Endpoint("http://10.0.0.1/hook", [SECRET], allow_private=True)
    with pytest.raises(ConfigError, match="webhook_url"):
        Endpoint("ftp://10.0.0.1/hook", [SECRET], allow_private=True)
    with pytest.raises(ConfigError, match="webhook_secret"):
        Endpoint("https://example.com/hook", [])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://key:secret@bucket/calls", "leave keys out"),
        ("s3://bucket/calls?access_key_id=secret", "access_key_id is none of the options"),
        ("nowhere://bucket", "cannot be used"),
        ("/dev/null/calls", "cannot be used"),
    ],
)
def test_a_record_store_that_cannot_be_used_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        Objects(url)
    assert "secret" not in str(refused.value)


def test_what_is_missing_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    want_packages("history_url")
    monkeypatch.setattr("signaling.history.PACKAGES", (*PACKAGES, "nosuchpackage"))
    with pytest.raises(ConfigError, match=r"history_url needs the extra `history`: pip install '\.\[history\]'"):
        want_packages("history_url")
