"""Flags come first, then the environment, then the file; a complaint says where the value came from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from agent.errors import ConfigError
from agent.settings import (
    ENV_PREFIX,
    GROUPS,
    TOML_FILE,
    Settings,
    load_settings,
    secret_settings,
    unknown_variables,
)

SECRET = "hunter2-hunter2-hunter2"

WriteToml = Callable[[str], None]


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith(ENV_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path) -> WriteToml:
    def write(text: str) -> None:
        (tmp_path / TOML_FILE).write_text(text)

    return write


def complaint(**flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(flags)
    assert caught.value.__suppress_context__  # or a traceback would show the value
    return str(caught.value)


def test_nothing_set_gives_the_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.google_api_key) == ("127.0.0.1", 8080, None)
    assert settings.model_fields_set == set()


def test_the_file_beats_the_default(toml: WriteToml) -> None:
    toml('port = 1\nice_servers = ["stun:a:3478"]\n')
    settings = load_settings()
    assert (settings.port, settings.ice_servers) == (1, ["stun:a:3478"])


def test_the_environment_beats_the_file(toml: WriteToml, monkeypatch: pytest.MonkeyPatch) -> None:
    toml("port = 1\nmax_calls = 7\n")
    monkeypatch.setenv("TALKSPURT_PORT", "2")
    settings = load_settings()
    assert (settings.port, settings.max_calls) == (2, 7)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "does not begin with stun: or stuns:"),
        ("", "does not begin with stun: or stuns:"),
        ("http://host", "does not begin with stun: or stuns:"),
        ("stun://host", "no slashes"),
        ("stun:", "write stun:HOST or stun:HOST:PORT"),
        ("stun:ho st", "write stun:HOST or stun:HOST:PORT"),
        ("stun:host:", "write stun:HOST or stun:HOST:PORT"),
        ("stun:host:x", "write stun:HOST or stun:HOST:PORT"),
        ("stun:::1", "write stun:HOST or stun:HOST:PORT"),
        ("stun:host:0", "1 to 65535"),
        ("stun:host:65536", "1 to 65535"),
        ("stun:[::g]", "not an IPv6 address"),
        ("stun:host?transport=udp", "no ?transport"),
        ("turn:host:3478", "TURN needs credentials"),
    ],
)
def test_what_is_no_stun_url_is_refused_with_the_reason(url: str, reason: str) -> None:
    said = complaint(ice_servers=["stun:good", url])
    assert said.startswith("flag --ice-servers = ")
    assert f"{url!r} is not the URL of a STUN server: " in said
    assert reason in said


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("stun:host", "stun:host"),
        ("STUN:Host.example.:19302", "stun:Host.example.:19302"),
        ("stuns:host:5349", "stuns:host:5349"),
        ("stun:192.0.2.1", "stun:192.0.2.1"),
        ("stun:[2001:db8::1]:3478", "stun:[2001:db8::1]:3478"),
    ],
)
def test_stun_urls_are_taken(url: str, expected: str) -> None:
    assert load_settings({"ice_servers": [url]}).ice_servers == [expected]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("media_addresses", "eth0", "'eth0' is not an IP address"),
        ("media_addresses", "10.0.0.0/8", "'10.0.0.0/8' is not an IP address"),
        ("candidate_networks", "all", "'all' is not a network such as 10.0.0.0/8"),
        ("candidate_networks", "10.0.0.1/8", "has host bits set"),
    ],
)
def test_addresses_and_networks_must_be_some(name: str, value: str, reason: str) -> None:
    assert reason in complaint(**{name: [value]})


@pytest.mark.parametrize(
    ("most", "pending", "expected"), [(1, None, 1), (10, None, 10), (100, None, 50), (100, 7, 7), (5, 50, 5)]
)
def test_calls_that_are_not_connected_are_bounded_by_default(most: int, pending: int | None, expected: int) -> None:
    assert load_settings({"max_pending_calls": pending}).most_pending(most) == expected


def test_a_flag_beats_them_all(toml: WriteToml, monkeypatch: pytest.MonkeyPatch) -> None:
    toml("port = 1\n")
    monkeypatch.setenv("TALKSPURT_PORT", "2")
    assert load_settings({"port": 3}).port == 3


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_PORT", "2")
    assert load_settings({"port": None, "host": None}).port == 2


@pytest.mark.parametrize("variable", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_the_api_key_has_the_names_that_googles_tools_use(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    key = load_settings().google_api_key
    assert key is not None
    assert key.get_secret_value() == SECRET


def test_of_two_api_keys_googles_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "other")
    monkeypatch.setenv("GOOGLE_API_KEY", SECRET)
    key = load_settings().google_api_key
    assert key is not None
    assert key.get_secret_value() == SECRET


def test_an_empty_api_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """``GOOGLE_API_KEY= make run`` and Compose's ``${GOOGLE_API_KEY}`` mean that there is no key."""
    monkeypatch.setenv("GOOGLE_API_KEY", "")
    assert load_settings().google_api_key is None


def test_a_list_in_the_environment_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_CORS_ORIGINS", '["https://a.example"]')
    assert load_settings().cors_origins == ["https://a.example"]


def test_settings_do_not_change_afterwards() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_a_complaint_names_the_flag() -> None:
    assert complaint(port=-1).startswith("flag --port = -1: ")
    assert complaint(log_level="loud").startswith("flag --log-level = 'loud': ")


def test_a_complaint_names_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_MAX_CALLS", "many")
    assert complaint().startswith("environment variable TALKSPURT_MAX_CALLS = 'many': ")


def test_a_complaint_names_a_variable_in_lower_case_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("talkspurt_port", "http")
    assert complaint().startswith("environment variable talkspurt_port = 'http': ")


def test_a_complaint_names_the_file_and_the_setting_in_it(toml: WriteToml) -> None:
    toml("port = 99999\n")
    assert complaint().startswith("talkspurt.toml: port = 99999: ")


def test_a_complaint_names_the_source_that_counted(toml: WriteToml, monkeypatch: pytest.MonkeyPatch) -> None:
    toml("port = 99999\n")
    monkeypatch.setenv("TALKSPURT_PORT", "http")
    assert complaint().startswith("environment variable TALKSPURT_PORT = 'http': ")
    assert complaint(port=-1).startswith("flag --port = -1: ")


def test_all_complaints_come_at_once(toml: WriteToml) -> None:
    toml('port = -1\nlog_level = "loud"\n')
    assert [part.split(" = ")[0] for part in complaint().split("; ")] == [
        "talkspurt.toml: port",
        "talkspurt.toml: log_level",
    ]


def test_a_setting_that_does_not_exist_is_named(toml: WriteToml) -> None:
    toml("prot = 8080\n")
    assert complaint() == "talkspurt.toml: there is no setting called prot; did you mean port?"
    toml("text_output = true\n")
    assert "audio_output" in complaint()
    toml("colour = 1\n")
    assert complaint() == "talkspurt.toml: there is no setting called colour"


def test_variables_that_are_no_settings_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_PORT", "1")
    assert unknown_variables() == []
    monkeypatch.setenv("TALKSPURT_VOCIE", "Kore")
    monkeypatch.setenv("talkspurt_service_host", "10.0.0.1")
    assert unknown_variables() == [
        "environment variable TALKSPURT_VOCIE: there is no setting called vocie; did you mean voice?",
        "environment variable talkspurt_service_host: there is no setting called service_host",
    ]


def test_a_file_that_is_no_toml_is_named(toml: WriteToml) -> None:
    toml("port\n")
    assert TOML_FILE in complaint()


@pytest.mark.parametrize(
    "written", [b"port = 1 # \xff", b"cors_origins = " + b"[" * 9000, b"port = " + b"9" * 5000, b"\x00"]
)
def test_a_file_that_cannot_be_read_is_named(written: bytes, tmp_path: Path) -> None:
    (tmp_path / TOML_FILE).write_bytes(written)
    assert TOML_FILE in complaint()


def test_a_list_that_is_nested_too_deeply_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_CORS_ORIGINS", "[" * 90_000)
    assert "nested too deeply" in complaint()


def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_ICE_SERVERS", "stun:host:3478")
    assert "TALKSPURT_ICE_SERVERS" in complaint()


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"port": "99999"}, "flag --port = '99999'"),
        ({"temperature": 2.1}, "(allowed: 0 to 2)"),
        ({"vad_silence_ms": -1}, "(allowed: 0 to 10,000)"),
        ({"max_calls": 0}, "(allowed: 1 or more)"),
        ({"setup_timeout_s": 0}, "(allowed: above 0, up to 120)"),
        ({"ice_grace_s": 0}, "(allowed: above 0)"),
        ({"server_key": "short"}, "(allowed: 16 characters or more)"),
        ({"vad": "loud"}, "'high', 'medium', 'low', 'phone' or 'off'"),
        ({"thinking_level": "huge"}, "'minimal', 'low', 'medium' or 'high'"),
    ],
)
def test_a_complaint_says_what_is_allowed(flags: dict[str, object], named: str) -> None:
    assert named in complaint(**flags)


def test_a_variable_of_another_program_is_not_blamed(toml: WriteToml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3000")
    toml("port = 99999\n")
    assert complaint().startswith("talkspurt.toml: port = 99999: ")


@pytest.mark.parametrize("variable", ["GOOGLE_API_KEY", "GEMINI_API_KEY"])
def test_the_source_of_a_setting_with_other_names_is_the_one_that_counted(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "other")
    monkeypatch.setenv(variable, SECRET)
    assert load_settings().source("google_api_key") == f"environment variable {variable}"


def test_settings_know_where_their_values_came_from(toml: WriteToml, monkeypatch: pytest.MonkeyPatch) -> None:
    toml('voice = "Kore"\n')
    monkeypatch.setenv("TALKSPURT_LANGUAGE", "de-DE")
    settings = load_settings({"model": "m"})
    assert settings.source("model") == "flag --model"
    assert settings.source("language") == "environment variable TALKSPURT_LANGUAGE"
    assert settings.source("voice") == "talkspurt.toml: voice"
    assert settings.source("port") == "default of port"


@pytest.mark.parametrize(
    ("flags", "blamed"),
    [
        ({"compression_trigger_tokens": 8000, "compression_target_tokens": 8000}, "--compression-target-tokens"),
        ({"vertex_api_key": "k", "vertex_project": "p"}, "--vertex-api-key"),
        ({"vertex_api_key": "k", "vertex_credentials_file": "f"}, "--vertex-api-key"),
        ({"thinking_level": "low", "thinking_budget": 5}, "--thinking-budget"),
        ({"vad": "off", "vad_silence_ms": 500}, "--vad-silence-ms"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: dict[str, object], blamed: str) -> None:
    with pytest.raises(ConfigError, match=f"^flag {blamed}"):
        load_settings(flags)


def test_every_group_begins_with_a_setting_in_order() -> None:
    names = list(Settings.model_fields)
    starts = [names.index(name) for name in GROUPS]
    assert starts == sorted(starts)
    assert starts[0] == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65536),
        ("server_key", "fifteen letters"),
        ("max_calls", 0),
        ("setup_timeout_s", 0),
        ("setup_timeout_s", 121),
        ("close_timeout_s", 11),
        ("drain_timeout_s", -1),
        ("ice_grace_s", -0.1),
        ("ping_interval_s", 0),
        ("api_version", "beta"),
        ("model", ""),
        ("log_level", "trace"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: object) -> None:
    assert complaint(**{name: value}).startswith(f"flag --{name.replace('_', '-')}")


@pytest.mark.parametrize("value", [0.0, 10.0])
def test_the_bounds_themselves_are_allowed(value: float) -> None:
    assert load_settings({"drain_timeout_s": value}).drain_timeout_s == value


@pytest.mark.parametrize(
    "text", [f'server_key = ["{SECRET}"]', f'google_api_key = ["{SECRET}"]', f'google_apikey = "{SECRET}"']
)
def test_a_secret_in_the_file_is_never_shown(text: str, toml: WriteToml) -> None:
    toml(text)
    assert SECRET not in complaint()


def test_a_secret_in_the_environment_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_SERVER_KEY", "hunter2")
    shown = complaint()
    assert shown.startswith("environment variable TALKSPURT_SERVER_KEY: ")
    assert "hunter2" not in shown


def test_settings_print_without_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", SECRET)
    settings = load_settings({"server_key": SECRET})
    assert settings.server_key is not None
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in shown


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_a_budget_is_a_price() -> None:
    assert load_settings({"budget_usd": 0.5}).budget_usd == 0.5
    assert load_settings({"idle_timeout_s": 0}).idle_timeout_s == 0
    assert complaint(budget_usd=0) == "flag --budget-usd = 0: input should be greater than 0 (allowed: above 0)"


def test_a_secret_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file-0123456\n")
    monkeypatch.setenv("TALKSPURT_SERVER_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("GEMINI_API_KEY_FILE", str(tmp_path / "key"))
    settings = load_settings()
    assert settings.server_key is not None
    assert settings.server_key.get_secret_value() == "from-a-file-0123456"
    assert settings.google_api_key is not None
    assert unknown_variables() == []
    monkeypatch.setenv("TALKSPURT_SERVER_KEY", "from-the-variable-0123")
    assert load_settings().server_key == SecretStr("from-the-variable-0123")


def test_a_secret_may_be_a_credential_of_the_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sip_password").write_text("hush")
    (tmp_path / "port").write_text("9")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load_settings()
    assert settings.sip_password == SecretStr("hush")
    assert settings.port == 8080  # no secret
    assert settings.server_key is None


def test_a_secret_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TALKSPURT_SERVER_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"server_key: .*none cannot be read: No such file"):
        load_settings()
    (tmp_path / "short").write_text("abc")
    monkeypatch.setenv("TALKSPURT_SERVER_KEY_FILE", str(tmp_path / "short"))
    with pytest.raises(ConfigError, match=r"file .*short: server_key: .*16") as caught:
        load_settings()
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("nothing", ["", " ", "                    "])
def test_no_secret_may_be_empty(toml: WriteToml, nothing: str) -> None:
    """An empty key would be one that everybody knows."""
    assert {"server_key", "google_api_key", "twilio_auth_token", "sip_password"} <= set(secret_settings())
    for name in secret_settings():
        toml(f'{name} = "{nothing}"')
        with pytest.raises(ConfigError, match=name):
            load_settings()


@pytest.mark.parametrize("variable", ["TALKSPURT_SERVER_KEY", "TALKSPURT_TWILIO_AUTH_TOKEN"])
def test_a_lock_without_a_key_is_said(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """``TALKSPURT_SERVER_KEY=$KEY`` without a KEY."""
    monkeypatch.setenv(variable, "")
    with pytest.raises(ConfigError, match=f"environment variable {variable}: it is empty"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("janus_url", "http://ann:S3CRET@host/?token=S3CRET"),
        ("janus_url", "ann:S3CRET@host"),
        ("twilio_url", "https://ann:S3CRET@host/twilio"),
        ("sip_proxy", "sip: ann:S3CRET@host"),
        ("sip_user", "sip:agent:S3CRET@agent.local"),
    ],
)
def test_the_password_in_an_address_is_not_shown(
    toml: WriteToml, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TALKSPURT_{name.upper()}", value)
    with pytest.raises(ConfigError, match=f"TALKSPURT_{name.upper()}") as caught:
        load_settings()
    assert "S3CRET" not in str(caught.value)
    monkeypatch.delenv(f"TALKSPURT_{name.upper()}")
    toml(f'{name} = ["{value}"]')  # of the wrong type
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings()
    assert "S3CRET" not in str(caught.value)


def test_an_address_is_stated_without_its_password() -> None:
    settings = load_settings({"janus_url": "ws://ann:S3CRET@host/?token=S3CRET"})
    assert settings.stated("janus_url") == "flag --janus-url = 'ws://***@host/?***'"


def test_what_the_model_is_told_is_made_valid_unicode() -> None:
    """Environment and command line hand on bytes that are no UTF-8 as halves of surrogate pairs."""
    settings = load_settings({"system_instruction": "Gr\udcfcezi", "transcription_vocabulary": ["\ud83d"]})
    assert settings.system_instruction == "Gr\ufffdezi"
    assert settings.transcription_vocabulary == ["\ufffd"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"retention_days": 30}, "retention_days: has no effect without history_url"),
        ({"record_store": "recordings"}, "record_store: has no effect without history_url"),
        ({"webhook_url": "https://a.example"}, "webhook_url: has no effect without history_url"),
        (
            {"webhook_url": "https://a.example", "history_url": "sqlite:///a.db"},
            "webhook_url: has no effect without webhook_secret",
        ),
        (
            {"webhook_secret": SECRET, "history_url": "sqlite:///a.db"},
            "webhook_secret: has no effect without webhook_url",
        ),
        ({"history_url": "mysql://db/calls"}, "history-url = 'mysql://db/calls'"),
        ({"history_url": "mysql://ann:hunter2@db/calls"}, r"history-url = 'mysql://\*\*\*@db/calls'"),
    ],
)
def test_what_is_kept_needs_a_place(given: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why.replace("_", "[-_]")) as refused:
        load_settings(given)
    assert "hunter2" not in str(refused.value)
