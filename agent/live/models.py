"""What each Live model supports and requires, as pure data with functions that apply it.

Sources: Google's page about each model, the comparison in the Live API's guide, and the migration guides, as of
autumn 2026. A model that is not in the table is assumed to support everything: the Live server then decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from agent.errors import ConfigError
from agent.live.languages import is_known, meant
from agent.live.voices import VOICES, voice_meant
from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class ModelRules:
    """The rules of one model.

    Attributes:
        known: whether the model is in the table.
        modalities: the modalities that it can answer in; the first is its default.
        thinking_levels: the values of ``thinking_level`` that it accepts; empty if it accepts none.
        thinking_budget: whether it accepts a ``thinking_budget``.
        thinks: whether it thinks before it answers, unless thinking is turned off.
        non_blocking: whether a function may be declared NON_BLOCKING, so that the model talks on while it runs.
        non_blocking_default: whether a function declared without a behavior is NON_BLOCKING.
        blocking: whether a function may be declared BLOCKING.
        scheduling: whether a function's response may carry SILENT, WHEN_IDLE or INTERRUPT.
        proactive_audio: whether it may stay silent; ``always`` cannot be turned off.
        affective_dialog: whether it accepts ``enable_affective_dialog``.
        turn_coverage: its default turn coverage.
        tool_pictures: whether a function's response may carry pictures.
        client_content: when it accepts client content; with ``history_only``, texts go as realtime input.
        null_handle: whether it accepts a session resumption whose handle is null.
        agent_change: whether its instructions and tools may change within a session; if not, another one is needed.
        search: whether it can search with Google.
        code_execution: whether it can run code.
    """

    known: bool
    modalities: tuple[Literal["AUDIO", "TEXT"], ...]
    thinking_levels: tuple[str, ...]
    thinking_budget: bool
    thinks: bool
    non_blocking: bool
    non_blocking_default: bool
    blocking: bool
    scheduling: bool
    proactive_audio: Literal["always", "allowed", "never"]
    affective_dialog: bool
    turn_coverage: Literal["activity", "all_input", "activity_and_video"]
    tool_pictures: bool
    client_content: Literal["always", "history_only"]
    null_handle: bool
    agent_change: bool
    search: bool
    code_execution: bool


_UNKNOWN = ModelRules(
    known=False,
    modalities=("AUDIO", "TEXT"),
    thinking_levels=("minimal", "low", "medium", "high"),
    thinking_budget=True,
    thinks=False,
    non_blocking=True,
    non_blocking_default=False,
    blocking=True,
    scheduling=True,
    proactive_audio="allowed",
    affective_dialog=True,
    turn_coverage="activity",
    tool_pictures=True,
    client_content="always",
    null_handle=True,
    agent_change=True,
    search=True,
    code_execution=True,
)

_LIVE_3_8 = ModelRules(
    known=True,
    modalities=("AUDIO",),
    thinking_levels=(),  # it decides itself when to think and refuses any thinking config
    thinking_budget=False,
    thinks=False,
    non_blocking=True,
    non_blocking_default=True,
    blocking=True,
    scheduling=True,
    proactive_audio="always",
    affective_dialog=False,
    turn_coverage="activity_and_video",
    tool_pictures=True,  # Gemini 3 accepts them in `FunctionResponse.parts`; not documented for the Live API
    client_content="always",
    null_handle=True,
    agent_change=True,
    search=True,
    code_execution=False,
)

_LIVE_3_8_THINKING = replace(
    _LIVE_3_8, thinking_levels=("low", "medium", "high"), thinks=True, blocking=False, scheduling=False
)

_LIVE_3_1 = ModelRules(
    known=True,
    modalities=("AUDIO",),
    thinking_levels=("minimal", "low", "medium", "high"),
    thinking_budget=False,
    thinks=False,  # its default level is minimal
    non_blocking=False,
    non_blocking_default=False,
    blocking=True,
    scheduling=False,
    proactive_audio="never",
    affective_dialog=False,
    turn_coverage="activity_and_video",
    tool_pictures=True,
    # Google's newest guide says "always"; an older one and 1007 closes in practice contradict it. This suits both.
    client_content="history_only",
    null_handle=False,
    agent_change=False,
    search=True,
    code_execution=False,
)

_NATIVE_AUDIO_2_5 = ModelRules(
    known=True,
    modalities=("AUDIO",),
    thinking_levels=(),
    thinking_budget=True,
    thinks=True,
    non_blocking=True,
    non_blocking_default=False,
    blocking=True,
    scheduling=True,
    proactive_audio="allowed",
    affective_dialog=True,
    turn_coverage="activity",
    tool_pictures=False,  # 2.5 refuses such parts (400), and pictures sent in other ways reach it too late
    client_content="always",
    null_handle=True,
    agent_change=False,
    search=True,
    code_execution=False,
)

OFFLINE_DEMO = "offline-demo"

MODELS = {
    "gemini-3.8-live": _LIVE_3_8,
    "gemini-3.8-live-extended-thinking": _LIVE_3_8_THINKING,
    "gemini-3.1-flash-live": _LIVE_3_1,
    "gemini-2.5-flash-native-audio": _NATIVE_AUDIO_2_5,
    "gemini-live-2.5-flash-native-audio": _NATIVE_AUDIO_2_5,  # its name on Vertex AI
    "gemini-live-2.5-flash-preview-native-audio": _NATIVE_AUDIO_2_5,
    OFFLINE_DEMO: replace(_UNKNOWN, known=True),  # for trying settings out on the local emulator
}
"The rules by name, without the parts that `rules_of` removes."

_VERSION = re.compile(r"(?:[-@](?:preview|latest|exp|stable|\d+))+$")


def rules_of(model: str) -> ModelRules:
    """Look up the rules of a model.

    Args:
        model: the model's name; a path before it (``models/``, ``publishers/google/models/``) and a version or date
            after it (``-preview-12-2025``, ``-001``) are ignored.

    Returns:
        Its rules, or permissive ones with ``known=False`` if it is not in the table.
    """
    return MODELS.get(_VERSION.sub("", model.rpartition("/")[2].lower()), _UNKNOWN)


THINKING_ANSWER_S = 12.0
"How long an answer may take by default if the model thinks first."


def answer_timeout_s(settings: Settings) -> float:
    """Return how long an answer may take: as set; the default is longer if the model thinks first."""
    chosen = "answer_timeout_s" in settings.model_fields_set
    return settings.answer_timeout_s if chosen or not _thinks(settings) else THINKING_ANSWER_S


def _thinks(settings: Settings) -> bool:
    if settings.thinking_budget is not None:
        return settings.thinking_budget != 0
    if settings.thinking_level is not None:
        return settings.thinking_level != "minimal"
    return rules_of(settings.model).thinks


def ignores_speech(settings: Settings) -> bool:
    """Return whether the model may stay silent when speech is not meant for it."""
    allowed = rules_of(settings.model).proactive_audio
    return allowed == "always" or (allowed == "allowed" and bool(settings.proactive_audio))


def rules_in_force(settings: Settings, *, offline: bool) -> tuple[str, ModelRules]:
    """Return the name and the rules that the settings must obey.

    Without credentials the local emulator answers, and everything that it can do is allowed. If a model is named
    nevertheless, that model's rules apply, so that they can be tried out.
    """
    if offline and "model" not in settings.model_fields_set:
        return "the offline demo", MODELS[OFFLINE_DEMO]
    return settings.model, rules_of(settings.model)


def check_model(settings: Settings, *, offline: bool = False) -> None:
    """Check the settings against the rules of the model that answers; call this before anything connects.

    Args:
        settings: the service's settings.
        offline: whether the local emulator answers, see `rules_in_force`.

    Raises:
        ConfigError: the model would refuse the session or ignore a setting; it names each setting and its source.
    """
    model, rules = rules_in_force(settings, offline=offline)
    refusals = [f"{settings.stated(name)}: {model} {reason}" for name, reason in _refusals(settings, rules)]
    if refusals:
        hint = "; leave the model out to try it on the offline demo" if offline else ""
        raise ConfigError("; ".join(refusals) + hint)


class DeclaredTool(Protocol):
    """The part of a tool that models have rules about; see `agent.tools.declare.Tool`."""

    @property
    def name(self) -> str: ...
    @property
    def behavior(self) -> str | None: ...
    @property
    def scheduling(self) -> str | None: ...


def check_tools(settings: Settings, tools: Iterable[DeclaredTool], *, offline: bool = False) -> None:
    """Check the tools that will be declared against the rules of the model; call this before anything connects.

    Args:
        settings: the service's settings.
        tools: the tools that will be declared.
        offline: whether the local emulator answers, see `rules_in_force`.

    Raises:
        ConfigError: the model would refuse a tool or ignore part of it; it names each tool and the model.
    """
    model, rules = rules_in_force(settings, offline=offline)
    refusals = [
        f"tool {tool.name}: {what} = {getattr(tool, what)!r}: {model} {reason}"
        for tool in tools
        for what, reason in _tool_refusals(tool, rules)
    ]
    if refusals:
        raise ConfigError("; ".join(refusals))


def doubts(settings: Settings, *, offline: bool = False) -> list[str]:
    """Return what is unusual about the settings but may be right: one sentence each, for the log.

    Args:
        settings: the service's settings, after `check_model`.
        offline: whether the local emulator answers; what only it supports is then mentioned.
    """
    found = [
        f"{settings.stated(name)}: the offline demo takes it, but {settings.model} {reason}"
        for name, reason in (_refusals(settings, rules_of(settings.model)) if offline else ())
    ]
    if not rules_of(settings.model).known:
        found.append(
            f"{settings.stated('model')}: talkspurt does not know this model's rules; the Live server decides"
        )
    found += [*_voice_doubts(settings), *_language_doubts(settings), *_version_doubts(settings)]
    if settings.vad == "off":
        found.append(
            f"{settings.stated('vad')}: the Live server hears only typed text, and speech that the "
            "client marks (push-to-talk)"
        )
    return found


def _voice_doubts(settings: Settings) -> Iterator[str]:
    if settings.voice is not None and settings.voice not in VOICES:
        better = voice_meant(settings.voice)
        hint = f"; did you mean {better}?" if better else f" ({', '.join(VOICES)})"
        yield (
            f"{settings.source('voice')} = {settings.voice!r}: not one of the {len(VOICES)} prebuilt voices{hint}"
        )


def _language_doubts(settings: Settings) -> Iterator[str]:
    codes = [("language", settings.language)] if settings.language is not None else []
    for name, code in [*codes, *(("transcription_languages", each) for each in settings.transcription_languages)]:
        if not is_known(code):
            better = meant(code)
            yield (
                f"{settings.source(name)} = {code!r}: not the code of a language that Google lists"
                + (f"; did you mean {better}?" if better else " (see docs/models.md)")
            )


def _version_doubts(settings: Settings) -> Iterator[str]:
    """Yield a doubt for each setting that the Gemini API refuses or ignores in versions other than v1alpha."""
    if settings.api_version == "v1alpha" or settings.at_vertex or settings.model == OFFLINE_DEMO:
        return
    rules = rules_of(settings.model)
    wanted = {
        "proactive_audio": settings.proactive_audio is not None and rules.proactive_audio == "allowed",
        "affective_dialog": settings.affective_dialog and rules.affective_dialog,
    }
    for name in (name for name, is_wanted in wanted.items() if is_wanted):
        yield (
            f"{settings.source(name)} = {getattr(settings, name)!r}: for {settings.model} the Gemini API takes it "
            f"only in v1alpha, but api_version is {settings.api_version or 'v1beta'}; set --api-version v1alpha"
        )


def _refusals(settings: Settings, rules: ModelRules) -> Iterator[tuple[str, str]]:
    """Yield the settings that the model does not accept, and why."""
    if not settings.audio_output and "TEXT" not in rules.modalities:
        yield "audio_output", "can only speak; its transcript comes as text in any case"
    yield from _thinking_refusals(settings, rules)
    if settings.proactive_audio is False and rules.proactive_audio == "always":
        yield "proactive_audio", "always has proactive audio; leave it unset"
    if settings.proactive_audio and rules.proactive_audio == "never":
        yield "proactive_audio", "has no proactive audio; leave it unset"
    if settings.affective_dialog and not rules.affective_dialog:
        yield "affective_dialog", "has no affective dialog; leave it unset"
    if settings.search and not rules.search:
        yield "search", "cannot search; leave it unset"
    if settings.code_execution and not rules.code_execution:
        yield "code_execution", "cannot run code; leave it unset"


def _thinking_refusals(settings: Settings, rules: ModelRules) -> Iterator[tuple[str, str]]:
    level = settings.thinking_level
    if level is not None and level not in rules.thinking_levels:
        levels = ", ".join(rules.thinking_levels)
        yield "thinking_level", f"takes only {levels}" if levels else "takes no thinking level; leave it unset"
    if settings.thinking_budget is not None and not rules.thinking_budget:
        yield "thinking_budget", "takes no thinking budget; leave it unset"
    if settings.include_thoughts and not (rules.thinking_levels or rules.thinking_budget):
        yield "include_thoughts", "takes no thinking settings; leave it unset"


def _tool_refusals(tool: DeclaredTool, rules: ModelRules) -> Iterator[tuple[str, str]]:
    """Yield the parts of a tool's declaration that the model does not accept, and why."""
    if tool.behavior == "NON_BLOCKING" and not rules.non_blocking:
        yield "behavior", "waits for every tool; leave it unset"
    if tool.behavior == "BLOCKING" and not rules.blocking:
        yield "behavior", "waits for no tool; leave it unset"
    if tool.scheduling is not None and not rules.scheduling:
        yield "scheduling", "decides itself when to speak about a result; leave it unset"
