"""Which server a Live session connects to and how it is set up. Pure: turns settings into the SDK's types."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeVar

from google.genai import types

from agent.live.models import rules_of
from agent.live.pulse import WatchedConnection
from agent.settings import Settings

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """The server that the Live session talks to.

    Attributes:
        api_key: the key of the Gemini API, or of Vertex AI in express mode; any text for the emulator.
        base_url: the server's address; None lets the SDK decide (its own environment, then Google).
        ca_file: PEM file of the certificate to trust; None leaves it to the SDK (SSL_CERT_FILE, certifi).
        offline_demo: whether the server is the local emulator.
        vertex: whether the server is Vertex AI; without a key it needs an access token of a Google Cloud project.
    """

    api_key: str | None
    base_url: str | None = None
    ca_file: str | None = None
    offline_demo: bool = False
    vertex: bool = False


def endpoint_of(settings: Settings) -> LiveEndpoint | None:
    """Return the server that the credentials are for, Vertex AI first; None if there are no credentials."""
    if settings.vertex_project is not None or settings.vertex_credentials_file is not None:
        return LiveEndpoint(None, vertex=True)
    if settings.vertex_api_key is not None:
        return LiveEndpoint(settings.vertex_api_key.get_secret_value(), vertex=True)
    if settings.google_api_key is not None:
        return LiveEndpoint(settings.google_api_key.get_secret_value())
    return None


def http_options(endpoint: LiveEndpoint, settings: Settings) -> types.HttpOptions:
    """Return the SDK's transport options; unknown keys of ``async_client_args`` go to websockets.connect."""
    websocket: dict[str, Any] = {
        "compression": None,  # audio does not compress; deflate costs CPU on both ends
        "close_timeout": settings.close_timeout_s,
        "ping_interval": settings.ping_interval_s,
        "ping_timeout": settings.ping_timeout_s,
        "max_size": 16 << 20,  # the SDK's 1 MiB ends a call on one long message
        "create_connection": WatchedConnection,
    }
    if endpoint.ca_file is not None:
        websocket["ssl"] = ssl.create_default_context(cafile=endpoint.ca_file)
        websocket["proxy"] = None  # the emulator is on loopback
    return types.HttpOptions(
        api_version=settings.api_version or ("v1beta1" if endpoint.vertex else "v1beta"),
        base_url=endpoint.base_url,
        async_client_args=websocket,
    )


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """The set-up of a call's Live sessions.

    Attributes:
        settings: the service's settings.
        instructions: the system instruction, which replaces the setting `system_instruction`.
        declarations: one mapping of `types.FunctionDeclaration`'s fields per tool.
        vad: how the caller's turns are detected, which replaces the setting of that name.
        agent: the call's own object for this agent; nothing in `agent.live` reads it.
    """

    settings: Settings
    instructions: str = field(repr=False)
    declarations: Sequence[Mapping[str, Any]] = ()
    vad: str | None = None
    agent: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, settings: Settings, declarations: Sequence[Mapping[str, Any]] = ()) -> SessionSetup:
        """Return the set-up that the settings describe."""
        return cls(settings, settings.system_instruction, declarations, settings.vad)


def connect_config(
    setup: SessionSetup, *, handle: str | None = None, seeded: bool = False
) -> types.LiveConnectConfig:
    """Build the SDK's set-up of one session; build a new one per connect, because the SDK modifies it.

    It always asks for compression and resumption: without them a session ends for good after a few minutes.

    Args:
        setup: the set-up of the call's sessions.
        handle: the handle to resume from; None for a fresh session. New handles are requested in either case.
        seeded: whether the session will be told the history of the call before anything else.
    """
    settings = setup.settings
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO if settings.audio_output else types.Modality.TEXT],
        system_instruction=setup.instructions or None,
        speech_config=_speech_config(settings),
        tools=tools_of(settings, setup.declarations) or None,
        proactivity=_proactivity(settings),
        enable_affective_dialog=settings.affective_dialog or None,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        max_output_tokens=settings.max_output_tokens,
        seed=settings.seed,
        generation_config=_penalties(settings),
        thinking_config=_thinking_config(settings),
        media_resolution=_enum(types.MediaResolution, "MEDIA_RESOLUTION_", settings.media_resolution),
        realtime_input_config=_realtime_input_config(settings, setup.vad),
        input_audio_transcription=_input_transcription(settings),
        output_audio_transcription=_output_transcription(settings),
        context_window_compression=types.ContextWindowCompressionConfig(
            trigger_tokens=settings.compression_trigger_tokens,
            sliding_window=types.SlidingWindow(target_tokens=settings.compression_target_tokens),
        ),
        # Without a handle the SDK leaves the field out, so that no model gets the null that some refuse.
        session_resumption=types.SessionResumptionConfig(handle=handle),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if seeded else None,
    )


def _speech_config(settings: Settings) -> types.SpeechConfig | None:
    if not settings.audio_output or (settings.voice is None and settings.language is None):
        return None
    voice = None
    if settings.voice is not None:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=settings.voice))
    return types.SpeechConfig(voice_config=voice, language_code=settings.language)


def tools_of(settings: Settings, declarations: Sequence[Mapping[str, Any]]) -> list[types.Tool]:
    """Return everything that the model may use: Google's own tools and the declared functions."""
    tools = []
    if settings.search:
        tools.append(types.Tool(google_search=types.GoogleSearch()))
    if settings.code_execution:
        tools.append(types.Tool(code_execution=types.ToolCodeExecution()))
    if declarations:
        functions = [types.FunctionDeclaration(**fields) for fields in declarations]
        tools.append(types.Tool(function_declarations=functions))
    return tools


def _proactivity(settings: Settings) -> types.ProactivityConfig | None:
    """Return None for a model that is always proactive: it may treat even ``true`` as an error."""
    if settings.proactive_audio is None or rules_of(settings.model).proactive_audio == "always":
        return None
    return types.ProactivityConfig(proactive_audio=settings.proactive_audio)


def _penalties(settings: Settings) -> types.GenerationConfig | None:
    """Return the settings for which the SDK has no fields of its own; it merges its other fields into them."""
    fields = ("presence_penalty", "frequency_penalty", "candidate_count")
    given = {name: getattr(settings, name) for name in fields if getattr(settings, name) is not None}
    return types.GenerationConfig(**given) if given else None


def _thinking_config(settings: Settings) -> types.ThinkingConfig | None:
    level, budget, thoughts = settings.thinking_level, settings.thinking_budget, settings.include_thoughts or None
    if level is None and budget is None and thoughts is None:
        return None
    return types.ThinkingConfig(
        thinking_level=_enum(types.ThinkingLevel, "", level), thinking_budget=budget, include_thoughts=thoughts
    )


@dataclass(frozen=True, slots=True)
class VadPreset:
    """Settings of the Live server's own detector, which has only high and low sensitivity."""

    start: Literal["high", "low"]
    end: Literal["high", "low"]
    prefix_ms: int
    silence_ms: int


VAD_PRESETS = {
    "high": VadPreset("high", "high", 20, 300),  # quick answers, but interrupts people who pause to think
    "medium": VadPreset("high", "low", 100, 600),
    "low": VadPreset("low", "low", 300, 1000),  # patient; noise and short words begin no turn
    "phone": VadPreset("low", "high", 100, 600),  # line noise begins no turn and keeps none open
}


DEFAULT_SILENCE_S = 0.5  # roughly the Live server's default


def vad_silence_s(settings: Settings, vad: str | None) -> float:
    """Return how much silence ends a turn for the Live server's own detector; see `SessionSetup`."""
    preset = VAD_PRESETS.get(vad or "")
    silence_ms = _first(settings.vad_silence_ms, preset.silence_ms if preset else None)
    return DEFAULT_SILENCE_S if silence_ms is None else silence_ms / 1000


def _realtime_input_config(settings: Settings, vad: str | None) -> types.RealtimeInputConfig | None:
    given = {
        "automatic_activity_detection": _detection(settings, vad),
        "activity_handling": None if settings.barge_in else types.ActivityHandling.NO_INTERRUPTION,
        "turn_coverage": TURN_COVERAGES[settings.turn_coverage] if settings.turn_coverage else None,
    }
    return types.RealtimeInputConfig(**given) if any(given.values()) else None


TURN_COVERAGES = {
    "activity": types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
    "all_input": types.TurnCoverage.TURN_INCLUDES_ALL_INPUT,
    "activity_and_video": types.TurnCoverage.TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO,
}


def _detection(settings: Settings, vad: str | None) -> types.AutomaticActivityDetection | None:
    """Apply the preset, then the settings that override parts of it."""
    if vad == "off":
        return types.AutomaticActivityDetection(disabled=True)
    preset = VAD_PRESETS.get(vad or "")
    start = settings.vad_start_sensitivity or (preset.start if preset else None)
    end = settings.vad_end_sensitivity or (preset.end if preset else None)
    fields = {
        "start_of_speech_sensitivity": _enum(types.StartSensitivity, "START_SENSITIVITY_", start),
        "end_of_speech_sensitivity": _enum(types.EndSensitivity, "END_SENSITIVITY_", end),
        "prefix_padding_ms": _first(settings.vad_prefix_ms, preset.prefix_ms if preset else None),
        "silence_duration_ms": _first(settings.vad_silence_ms, preset.silence_ms if preset else None),
    }
    if all(value is None for value in fields.values()):
        return None
    return types.AutomaticActivityDetection(**fields)


def _first(value: int | None, otherwise: int | None) -> int | None:
    return otherwise if value is None else value


def _input_transcription(settings: Settings) -> types.AudioTranscriptionConfig | None:
    if not settings.input_transcription:
        return None
    return types.AudioTranscriptionConfig(
        language_codes=settings.transcription_languages or None,
        custom_vocabulary=settings.transcription_vocabulary or None,
        word_timestamp=settings.transcription_timestamps or None,
    )


def _output_transcription(settings: Settings) -> types.AudioTranscriptionConfig | None:
    wanted = settings.output_transcription and settings.audio_output
    return types.AudioTranscriptionConfig() if wanted else None


def _enum(kind: type[E], prefix: str, word: str | None) -> E | None:
    return None if word is None else kind(f"{prefix}{word.upper()}")
