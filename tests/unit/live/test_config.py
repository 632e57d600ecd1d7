"""What a session is set up with, field by field."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import certifi
import pytest

from agent.live.config import LiveEndpoint, SessionSetup, connect_config, endpoint_of, http_options, vad_silence_s
from agent.live.pulse import WatchedConnection
from agent.settings import DEFAULT_INSTRUCTION, Settings
from agent.tools.demo import WEATHER


@pytest.fixture(autouse=True)
def _an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


ALWAYS: dict[str, Any] = {
    "context_window_compression": {"trigger_tokens": 25_600, "sliding_window": {}},
    "session_resumption": {},
}


def setup(*declarations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the fields that are set, as JSON."""
    config = connect_config(SessionSetup.of(Settings(**changes), declarations))
    return config.model_dump(mode="json", exclude_none=True)


def test_the_default_set_up() -> None:
    assert setup() == {
        "response_modalities": ["AUDIO"],
        "system_instruction": DEFAULT_INSTRUCTION,
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        **ALWAYS,
    }


def test_nothing_is_asked_for_that_was_turned_off() -> None:
    assert setup(system_instruction="", input_transcription=False, output_transcription=False) == {
        "response_modalities": ["AUDIO"],
        **ALWAYS,
    }


@pytest.mark.parametrize(
    ("changes", "speech"),
    [
        ({"voice": "Kore"}, {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}}),
        ({"language": "en-GB"}, {"language_code": "en-GB"}),
        (
            {"voice": "Puck", "language": "de-DE"},
            {"voice_config": {"prebuilt_voice_config": {"voice_name": "Puck"}}, "language_code": "de-DE"},
        ),
    ],
)
def test_voice_and_language_are_set_when_chosen(changes: dict[str, str], speech: dict[str, Any]) -> None:
    assert setup(**changes)["speech_config"] == speech


def test_tools_are_declared_in_one_tool() -> None:
    second = {"name": "roll", "description": "Roll a die.", "parameters_json_schema": {"type": "object"}}
    assert setup(WEATHER.declaration(), second)["tools"] == [
        {
            "function_declarations": [
                {
                    "name": "get_weather",
                    "description": WEATHER.description,
                    "parameters_json_schema": {
                        "type": "object",
                        "properties": {"city": {"type": "string", "description": "Name of the city, e.g. Paris."}},
                        "required": ["city"],
                    },
                },
                second,
            ]
        }
    ]


def test_each_session_gets_a_config_of_its_own() -> None:
    """The SDK changes the one that it is given (system_instruction becomes a Content)."""
    settings = Settings(voice="Kore")
    declarations = [WEATHER.declaration()]
    setup = SessionSetup.of(settings, declarations)
    first, second = connect_config(setup), connect_config(setup)
    before = second.model_dump(mode="json")
    first.system_instruction = "changed"
    assert first.speech_config is not None
    first.speech_config.language_code = "xx-XX"
    assert first.tools is not None
    first.tools.clear()
    assert second.model_dump(mode="json") == before
    assert connect_config(setup).model_dump(mode="json") == before


def test_gemini_is_reached_where_the_sdk_says() -> None:
    options = http_options(LiveEndpoint("key"), Settings())
    assert options.base_url is None
    assert options.api_version == "v1beta"


def test_vertex_has_a_version_of_its_own() -> None:
    assert http_options(LiveEndpoint(None, vertex=True), Settings()).api_version == "v1beta1"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"google_api_key": "k"}, LiveEndpoint("k")),
        ({"google_api_key": "k", "vertex_api_key": "v"}, LiveEndpoint("v", vertex=True)),
        ({"google_api_key": "k", "vertex_project": "p"}, LiveEndpoint(None, vertex=True)),
        ({"vertex_credentials_file": "account.json"}, LiveEndpoint(None, vertex=True)),
        ({"vertex_location": "europe-west4"}, None),
    ],
)
def test_the_credentials_say_who_answers(changes: dict[str, Any], expected: LiveEndpoint | None) -> None:
    assert endpoint_of(Settings(**changes)) == expected


def test_endpoint_and_api_version_are_handed_on() -> None:
    options = http_options(LiveEndpoint("key", "https://127.0.0.1:8443"), Settings(api_version="v1alpha"))
    assert (options.base_url, options.api_version) == ("https://127.0.0.1:8443", "v1alpha")


def test_the_websocket_is_set_up_for_long_calls() -> None:
    settings = Settings(close_timeout_s=2.0, ping_interval_s=10.0, ping_timeout_s=40.0)
    assert http_options(LiveEndpoint("key"), settings).async_client_args == {
        "compression": None,
        "close_timeout": 2.0,
        "ping_interval": 10.0,
        "ping_timeout": 40.0,
        "max_size": 16 << 20,
        "create_connection": WatchedConnection,
    }


def test_the_emulators_certificate_is_trusted_and_no_proxy_asked() -> None:
    endpoint = LiveEndpoint("demo", "https://127.0.0.1:8443", certifi.where(), offline_demo=True)
    arguments = http_options(endpoint, Settings()).async_client_args
    assert arguments is not None
    assert arguments["proxy"] is None
    context = arguments["ssl"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 0


@pytest.mark.parametrize(
    ("values", "silence_s"),
    [({}, 0.5), ({"vad": "low"}, 1.0), ({"vad": "low", "vad_silence_ms": 2000}, 2.0), ({"vad": "off"}, 0.5)],
)
def test_how_long_the_servers_detector_waits(values: dict[str, Any], silence_s: float) -> None:
    assert vad_silence_s(Settings(**values), Settings(**values).vad) == silence_s
