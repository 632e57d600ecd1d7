"""Each setting has a flag that says what the setting says, and hands its text on unread."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from agent.errors import ConfigError
from agent.settings import GROUPS, Settings
from signaling.flags import with_settings

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
}
SECRETS = (
    *("server_key", "google_api_key", "vertex_api_key"),
    *("janus_secret", "sip_password", "twilio_auth_token"),
)
WITH_FLAGS = [name for name in Settings.model_fields if name not in SECRETS]


def run(*arguments: str) -> tuple[Settings, str | None]:
    """Give a command line to a command with a parameter of its own; return what it got."""
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
def test_each_setting_has_a_flag(name: str) -> None:
    kinds = kinds_of(name)
    if bool in kinds:
        assert getattr(run(flag(name))[0], name) is True
        assert getattr(run(f"--no-{flag(name)[2:]}")[0], name) is False
    elif list[str] in kinds:
        assert getattr(run(flag(name), "a", flag(name), "b")[0], name) == ["a", "b"]
    else:
        text, value = sample(name)
        settings, _ = run(flag(name), text)
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
    assert list(found) == WITH_FLAGS
    assert list(dict.fromkeys(option.rich_help_panel for option in found.values())) == list(GROUPS.values())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("port", "(0 to 65,535; default 8080)"),
        ("log_level", "(debug, info, warning, error; default info)"),
        ("setup_timeout_s", "(above 0, up to 120; default 4.5)"),
        ("audio_output", "(default on)"),
        ("cors_origins", "(default *)"),
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
