"""What each model can do; settings that it would refuse are named before anything connects."""

from __future__ import annotations

from typing import Any

import pytest

from agent.author.agent import Agent
from agent.errors import ConfigError
from agent.live.models import (
    MODELS,
    THINKING_ANSWER_S,
    answer_timeout_s,
    check_model,
    check_tools,
    doubts,
    ignores_speech,
    rules_of,
)
from agent.live.voices import VOICES
from agent.settings import Settings, flag_of, load_settings
from agent.tools.declare import Behavior, Scheduling, Tool

LIVE, THINKING = "gemini-3.8-live", "gemini-3.8-live-extended-thinking"
OLD, NATIVE = "gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio-preview-12-2025"
AT_VERTEX = "gemini-live-2.5-flash-native-audio"


@pytest.mark.parametrize("model", [LIVE, THINKING, OLD, NATIVE, AT_VERTEX, "offline-demo"])
@pytest.mark.parametrize("prefix", ["", "models/", "publishers/google/models/", "projects/p/locations/l/models/"])
@pytest.mark.parametrize("suffix", ["", "-001", "-preview", "-preview-09-2026", "@002", "-latest"])
def test_a_model_is_known_by_any_of_its_names(model: str, prefix: str, suffix: str) -> None:
    assert rules_of(model).known
    assert rules_of(f"{prefix}{model}{suffix}") is rules_of(model)


@pytest.mark.parametrize("model", ["gemini-4-live", "gemini-3.8-live-translate", "gemini-3.8", "", "models/"])
def test_other_models_may_do_everything(model: str) -> None:
    rules = rules_of(model)
    assert not rules.known
    assert {"AUDIO", "TEXT"} == set(rules.modalities)
    check_model(Settings(model=model or "x", audio_output=False, affective_dialog=True, code_execution=True))


def test_the_models_differ_where_google_says_so() -> None:
    assert rules_of(LIVE).non_blocking_default
    assert not rules_of(THINKING).blocking
    assert not rules_of(OLD).non_blocking
    assert not rules_of(NATIVE).non_blocking_default
    assert (rules_of(OLD).client_content, rules_of(LIVE).client_content) == ("history_only", "always")
    assert (rules_of(OLD).null_handle, rules_of(LIVE).null_handle) == (False, True)
    assert (rules_of(LIVE).turn_coverage, rules_of(NATIVE).turn_coverage) == ("activity_and_video", "activity")


@pytest.mark.parametrize(
    ("model", "values", "thinks"),
    [
        (LIVE, {}, False),
        (THINKING, {}, True),
        (THINKING, {"thinking_level": "low"}, True),
        (OLD, {}, False),
        (OLD, {"thinking_level": "minimal"}, False),
        (OLD, {"thinking_level": "high"}, True),
        (NATIVE, {}, True),
        (NATIVE, {"thinking_budget": 0}, False),
        (NATIVE, {"thinking_budget": -1}, True),
        ("gemini-of-tomorrow", {}, False),
    ],
)
def test_a_model_that_thinks_is_given_more_time_unless_the_time_is_set(
    model: str, values: dict[str, Any], thinks: bool
) -> None:
    usual_s = Settings().answer_timeout_s
    assert usual_s < 6.5
    assert answer_timeout_s(Settings(model=model, **values)) == (THINKING_ANSWER_S if thinks else usual_s)
    assert answer_timeout_s(Settings(model=model, answer_timeout_s=3.0, **values)) == 3.0
    assert answer_timeout_s(Settings(model=model, answer_timeout_s=usual_s, **values)) == usual_s


def test_a_time_that_the_environment_sets_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_ANSWER_TIMEOUT_S", "4")
    assert answer_timeout_s(load_settings({"model": THINKING})) == 4.0


@pytest.mark.parametrize(
    ("model", "proactive", "ignores"),
    [
        (LIVE, None, True),
        (THINKING, None, True),
        (OLD, None, False),
        (NATIVE, None, False),
        (NATIVE, False, False),
        (NATIVE, True, True),
        ("gemini-of-tomorrow", True, True),
        ("gemini-of-tomorrow", None, False),
    ],
)
def test_which_model_may_ignore_speech(model: str, proactive: bool | None, ignores: bool) -> None:
    assert ignores_speech(Settings(model=model, proactive_audio=proactive)) is ignores


def test_no_rules_contradict_themselves() -> None:
    for rules in MODELS.values():
        assert rules.blocking or rules.non_blocking
        assert rules.non_blocking or not rules.non_blocking_default
        assert rules.non_blocking or not rules.scheduling
        assert rules.modalities[0] == "AUDIO"


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (LIVE, "audio_output", False),
        (NATIVE, "audio_output", False),
        (LIVE, "thinking_level", "low"),
        (LIVE, "thinking_budget", 0),
        (LIVE, "include_thoughts", True),
        (THINKING, "thinking_level", "minimal"),
        (THINKING, "thinking_budget", 100),
        (NATIVE, "thinking_level", "low"),
        (OLD, "thinking_budget", 0),
        (LIVE, "proactive_audio", False),
        (THINKING, "proactive_audio", False),
        (OLD, "proactive_audio", True),
        (LIVE, "affective_dialog", True),
        (OLD, "affective_dialog", True),
        (LIVE, "code_execution", True),
        (AT_VERTEX, "code_execution", True),
    ],
)
def test_what_a_model_does_not_take_is_named_with_its_source(model: str, name: str, value: Any) -> None:
    settings = load_settings({"model": model, name: value})
    for offline in (False, True):  # a model that is named is tried out without a key, too
        with pytest.raises(ConfigError) as caught:
            check_model(settings, offline=offline)
        stated = flag_of(name, value) if isinstance(value, bool) else f"{flag_of(name)} = {value!r}"
        assert str(caught.value).startswith(f"flag {stated}: {model} ")
        assert ("leave the model out" in str(caught.value)) is offline


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (LIVE, {"proactive_audio": True, "search": True}),
        (THINKING, {"thinking_level": "high", "include_thoughts": True}),
        (OLD, {"thinking_level": "minimal", "proactive_audio": False}),
        (NATIVE, {"thinking_budget": -1, "proactive_audio": True, "affective_dialog": True}),
        ("offline-demo", {"audio_output": False, "code_execution": True}),
    ],
)
def test_what_a_model_takes_is_let_through(model: str, changes: dict[str, Any]) -> None:
    check_model(Settings(model=model, **changes))


def test_all_refusals_come_at_once_each_with_its_own_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKSPURT_AFFECTIVE_DIALOG", "true")
    with pytest.raises(ConfigError) as caught:
        check_model(load_settings({"code_execution": True}))
    assert "environment variable TALKSPURT_AFFECTIVE_DIALOG = true: gemini-3.8-live " in str(caught.value)
    assert "flag --code-execution: gemini-3.8-live " in str(caught.value)


BY_DEFAULT = [  # what the model refuses that answers by default
    ("audio_output", False),
    ("code_execution", True),
    ("affective_dialog", True),
    ("proactive_audio", False),
    ("thinking_level", "low"),
    ("thinking_budget", 0),
    ("include_thoughts", True),
]


@pytest.mark.parametrize(("name", "value"), BY_DEFAULT)
def test_offline_what_the_emulator_can_do_is_allowed_and_said(name: str, value: Any) -> None:
    settings = load_settings({name: value})
    with pytest.raises(ConfigError):
        check_model(settings)
    check_model(settings, offline=True)
    (doubt,) = doubts(settings, offline=True)
    assert doubt.startswith(f"{settings.stated(name)}: the offline demo takes it, but gemini-3.8-live ")


def test_the_default_settings_suit_the_default_model() -> None:
    settings = load_settings()
    check_model(settings)
    assert doubts(settings) == doubts(settings, offline=True) == []


def test_an_unknown_model_and_an_unknown_voice_are_mentioned_once_each() -> None:
    settings = load_settings({"model": "gemini-9-live", "voice": "Karl"})
    model, voice = doubts(settings)
    assert "flag --model = 'gemini-9-live'" in model
    assert "flag --voice = 'Karl'" in voice
    assert "Kore" in voice
    assert doubts(load_settings({"voice": "Kore"})) == []


@pytest.mark.parametrize(
    ("voice", "meant"),
    [("kore", "Kore"), ("Puk", "Puck"), ("ZEPHYR", "Zephyr"), ("Aoide", "Aoede"), ("Sulafatt", "Sulafat")],
)
def test_a_voice_that_is_nearly_right_is_named(voice: str, meant: str) -> None:
    (doubt,) = doubts(load_settings({"voice": voice}))
    assert doubt == f"flag --voice = {voice!r}: not one of the 30 prebuilt voices; did you mean {meant}?"


def test_a_voice_of_the_agents_file_is_looked_at_too() -> None:
    (doubt,) = doubts(Agent(voice="core").settings(load_settings({"language": "en-GB"})))
    assert doubt.startswith("the agent's voice = 'core': ")
    assert "did you mean Kore?" in doubt


@pytest.mark.parametrize(
    "code",
    ["en", "en-GB", "de-AT", "zh-Hans-CN", "cmn-CN", "es-419", "fil", "yue-HK", "sr-Latn-RS", "ar-EG", "pt-BR"],
)
def test_a_language_that_google_lists_is_no_doubt(code: str) -> None:
    assert doubts(load_settings({"language": code, "transcription_languages": [code]})) == []


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("en-UK", "en-GB"),
        ("en_GB", "en-GB"),
        ("EN", "en"),
        ("en-gb", "en-GB"),
        ("English", "en"),
        ("portugese", "pt"),
        ("deutsch", "de"),
        ("gr", "el"),
        ("jp-JP", "ja-JP"),
        ("de-XX", "de"),
        ("klingon", None),
        ("xx", None),
    ],
)
def test_an_unknown_language_is_mentioned_with_what_was_meant(code: str, meant: str | None) -> None:
    (doubt,) = doubts(load_settings({"language": code}))
    assert doubt.startswith(f"flag --language = {code!r}: not the code of a language that Google lists")
    assert (f"did you mean {meant}?" in doubt) is (meant is not None)
    (again,) = doubts(load_settings({"transcription_languages": ["de", code]}))
    assert again.startswith(f"flag --transcription-languages = {code!r}: ")


@pytest.mark.parametrize(
    ("model", "changes", "doubted"),
    [
        (NATIVE, {"affective_dialog": True}, ["affective-dialog"]),
        (NATIVE, {"proactive_audio": True, "affective_dialog": True}, ["proactive-audio", "affective-dialog"]),
        (NATIVE, {"affective_dialog": True, "api_version": "v1"}, ["affective-dialog"]),
        (NATIVE, {"affective_dialog": True, "api_version": "v1alpha"}, []),
        (NATIVE, {"affective_dialog": True, "vertex_project": "p"}, []),
        (NATIVE, {}, []),
        (LIVE, {"proactive_audio": True}, []),  # which it always has
        ("offline-demo", {"affective_dialog": True}, []),
    ],
)
def test_what_wants_v1alpha_is_mentioned(model: str, changes: dict[str, Any], doubted: list[str]) -> None:
    told = doubts(load_settings({"model": model, **changes}))
    assert [doubt.partition(" = ")[0] for doubt in told] == [f"flag --{name}" for name in doubted]
    assert all("set --api-version v1alpha" in doubt for doubt in told)


def test_a_detector_that_is_off_is_mentioned() -> None:
    (vad,) = doubts(load_settings({"vad": "off"}))
    assert vad.startswith("flag --vad = 'off': ")


def test_there_are_thirty_voices() -> None:
    assert len(VOICES) == 30
    assert all(character and character == character.lower() for character in VOICES.values())


def probe(name: str, behavior: Behavior | None = None, scheduling: Scheduling | None = None) -> Tool:
    return Tool(name, "", {}, print, behavior=behavior, scheduling=scheduling)


@pytest.mark.parametrize(
    ("model", "behavior", "scheduling", "refused"),
    [
        (OLD, "NON_BLOCKING", None, ["behavior = 'NON_BLOCKING'"]),
        (OLD, "NON_BLOCKING", "SILENT", ["behavior = 'NON_BLOCKING'", "scheduling = 'SILENT'"]),
        (THINKING, "BLOCKING", None, ["behavior = 'BLOCKING'"]),
        (THINKING, "NON_BLOCKING", "WHEN_IDLE", ["scheduling = 'WHEN_IDLE'"]),
    ],
)
def test_a_tool_that_the_model_does_not_take_is_named_with_the_model(
    model: str, behavior: Behavior, scheduling: Scheduling | None, refused: list[str]
) -> None:
    tools = [probe("fine"), probe("odd", behavior, scheduling), probe("odder", behavior, scheduling)]
    with pytest.raises(ConfigError) as caught:
        check_tools(Settings(model=model), tools, offline=True)
    complaints = str(caught.value).split("; ")[::2]
    wanted = [f"tool {name}: {what}: {model} " for name in ("odd", "odder") for what in refused]
    assert all(complaint.startswith(start) for complaint, start in zip(complaints, wanted, strict=True))


@pytest.mark.parametrize("model", [LIVE, NATIVE, AT_VERTEX, "gemini-9-live", "offline-demo"])
def test_tools_that_the_model_takes_are_let_through(model: str) -> None:
    check_tools(
        Settings(model=model), [probe("a"), probe("b", "BLOCKING"), probe("c", "NON_BLOCKING", "INTERRUPT")]
    )
    check_tools(Settings(model=OLD), [probe("a"), probe("b", "BLOCKING")])
    check_tools(Settings(model=THINKING), [probe("a"), probe("b", "NON_BLOCKING")])
