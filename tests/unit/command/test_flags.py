"""Each setting has a flag with the same description, which passes its text on unread."""

from __future__ import annotations

import inspect
import re
from typing import Annotated, Any, get_args

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from agent.errors import ConfigError
from agent.live.models import check_model
from agent.settings import GROUPS, Settings
from signaling.command.flags import ALIASES, with_settings

pytestmark = pytest.mark.slow

SAMPLES: dict[object, tuple[str, Any]] = {str: ("abc", "abc"), int: ("20", 20), float: ("0.5", 0.5)}
UNUSUAL = {  # flags whose bounds or form exclude the sample of their type
    "api_version": ("v1alpha", "v1alpha"),
    "candidate_count": ("2", 2),
    "compression_trigger_tokens": ("25000", 25_000),
    "video_max_px": ("640", 640),
    "janus_url": ("ws://localhost:8188", "ws://localhost:8188"),
    "sip_user": ("sip:a@b", "sip:a@b"),
    "sip_proxy": ("sip:b", "sip:b"),
    "twilio_url": ("wss://b/twilio", "wss://b/twilio"),
    "history_url": ("sqlite:///calls.db", "sqlite:///calls.db"),
    "webhook_url": ("https://a.example/calls", "https://a.example/calls"),
    "otlp_endpoint": ("http://localhost:4318", "http://localhost:4318"),
}
HISTORY = ("--history-url", "sqlite:///calls.db")
NEEDS = {  # flags without which another one would have no effect
    "retention_days": HISTORY,
    "record_store": HISTORY,
    "webhook_url": HISTORY,
    "webhook_allow_private": (*HISTORY, "--webhook-url", "https://a.example/calls"),
    "trace_content": ("--otlp-endpoint", "http://localhost:4318"),
}
LISTS = {  # whose entries have a form
    "ice_servers": ["stun:a", "stun:b:3478"],
    "media_addresses": ["192.0.2.1", "2001:db8::1"],
    "candidate_networks": ["10.0.0.0/8", "fd00::/8"],
}
SECRETS = (
    *("server_key", "google_api_key", "vertex_api_key"),
    *("janus_secret", "sip_password", "twilio_auth_token", "webhook_secret"),
)
WITH_FLAGS = [name for name in Settings.model_fields if name not in SECRETS]


def run(*arguments: str) -> tuple[Settings, str | None]:
    """Run a command line on a command that has a parameter of its own; return what it got."""
    got: list[tuple[Settings, str | None]] = []
    app = typer.Typer()

    @app.command()
    @with_settings
    def command(settings: Settings, own: Annotated[str | None, typer.Argument()] = None) -> None:
        got.append((settings, own))

    result = CliRunner().invoke(app, arguments)
    if result.exception is not None:
        raise result.exception
    assert result.exit_code == 0, result.output
    return got[0]


def kinds_of(name: str) -> tuple[Any, ...]:
    annotation = Settings.model_fields[name].annotation
    return (annotation, *get_args(annotation))


def sample(name: str) -> tuple[str, Any]:
    """Return an acceptable text for a setting, and what the text means."""
    if name in UNUSUAL:
        return UNUSUAL[name]
    words = [word for kind in kinds_of(name) for word in get_args(kind) if isinstance(word, str)]
    if words:
        return words[0], words[0]
    return next(SAMPLES[kind] for kind in kinds_of(name) if kind in SAMPLES)


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("name", WITH_FLAGS)
def test_each_setting_has_a_flag(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds, needs = kinds_of(name), NEEDS.get(name, ())
    if "webhook" in name:
        monkeypatch.setenv("TALKSPURT_WEBHOOK_SECRET", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    if bool in kinds:
        for typed, value in ((flag(name), True), (f"--no-{flag(name)[2:]}", False)):
            settings, _ = run(typed, *needs)
            assert getattr(settings, name) is value
            assert settings.stated(name) == f"flag {typed}"
    elif list[str] in kinds:
        values = LISTS.get(name, ["a", "b"])
        assert getattr(run(flag(name), values[0], flag(name), values[1])[0], name) == values
    else:
        text, value = sample(name)
        settings, _ = run(flag(name), text, *needs)
        assert getattr(settings, name) == value
        assert settings.source(name) == f"flag {flag(name)}"


def test_secrets_have_no_flag() -> None:
    secret = [name for name in Settings.model_fields if SecretStr in kinds_of(name)]
    assert tuple(secret) == SECRETS
    for name in secret:
        with pytest.raises(SystemExit):
            run(flag(name), "a-secret-of-sixteen")


def test_a_flag_that_is_not_given_leaves_the_setting_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_CORS_ORIGINS", '["https://a.example"]')
    monkeypatch.setenv("TALKSPURT_BARGE_IN", "false")
    settings, own = run()
    assert (settings.cors_origins, settings.barge_in, own) == (["https://a.example"], False, None)
    assert settings.model_fields_set == {"cors_origins", "barge_in"}


def test_a_command_keeps_its_own_parameters() -> None:
    settings, own = run("agent.py", "--port", "0")
    assert (settings.port, own) == (0, "agent.py")


def test_writing_instead_of_speaking_has_its_usual_names() -> None:
    assert not run("--text-output")[0].audio_output
    assert not run("--no-audio-output")[0].audio_output
    assert run("--audio-output")[0].audio_output


def test_a_delay_has_its_usual_name_too() -> None:
    assert run("--initial-message-delay", "2.5")[0].initial_message_delay_s == 2.5


@pytest.mark.parametrize("typed", ["--text-output", "--no-audio-output"])
def test_only_the_flag_that_was_typed_is_named(typed: str) -> None:
    settings, _ = run(typed)
    assert settings.stated("audio_output") == f"flag {typed}"
    with pytest.raises(ConfigError) as refused:
        check_model(settings)
    assert re.findall(r"--[\w-]+", str(refused.value)) == [typed]
    with pytest.raises(ConfigError, match=r"^flag --initial-message-delay = 'soon': "):
        run("--initial-message-delay", "soon")


def test_two_flags_that_set_the_same_thing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^flags --audio-output and --text-output set the same thing"):
        run("--text-output", "--audio-output")


def test_a_variable_is_not_called_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_AUDIO_OUTPUT", "false")
    with pytest.raises(ConfigError) as refused:
        check_model(run()[0])
    assert str(refused.value).startswith("environment variable TALKSPURT_AUDIO_OUTPUT = false: gemini-3.8-live ")
    assert "--" not in str(refused.value)


def test_a_bad_flag_is_complained_about_as_any_other_source() -> None:
    with pytest.raises(ConfigError, match=r"^flag --port = 'http': .*\(allowed: 0 to 65,535\)$"):
        run("--port", "http")
    with pytest.raises(ConfigError, match=r"^flag --vad = 'loud': .*'phone' or 'off'$"):
        run("--vad", "loud")


def options() -> dict[str, Any]:
    @with_settings
    def command(settings: Settings) -> None: ...

    parameters = inspect.signature(command).parameters
    return {name: get_args(parameter.annotation)[1] for name, parameter in parameters.items()}


def test_the_help_groups_the_flags_in_the_settings_own_order() -> None:
    found = options()
    assert [name for name in found if name not in ALIASES] == WITH_FLAGS
    assert list(dict.fromkeys(option.rich_help_panel for option in found.values())) == list(GROUPS.values())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("port", "(0 to 65,535; default 8080)"),
        ("log_level", "(debug, info, warning, error; default info)"),
        ("setup_timeout_s", "(above 0, up to 120; default 4.5)"),
        ("audio_output", "(default on)"),
        ("cors_origins", "* for all."),
        ("vad", "(high, medium, low, phone, off)"),
    ],
)
def test_the_help_says_range_and_default(name: str, shown: str) -> None:
    assert options()[name].help.endswith(shown)


@pytest.mark.parametrize(
    ("name", "metavar"), [("vad_silence_ms", "MS"), ("setup_timeout_s", "SECONDS"), ("video_max_px", "PIXELS")]
)
def test_the_help_says_the_unit(name: str, metavar: str) -> None:
    assert options()[name].metavar == metavar
