"""Where the Live session goes and how it is set up. Pure: settings in, the SDK's types out."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.genai import types

from agent.settings import Settings


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """The server that the Live session talks to.

    Attributes:
        api_key: the Gemini API key; any text for the emulator.
        base_url: where the server is; None lets the SDK decide (its own environment, then Google).
        ca_file: PEM file of the certificate to trust; None for the SDK's own choice (SSL_CERT_FILE, certifi).
        offline_demo: the server is the local emulator.
    """

    api_key: str
    base_url: str | None = None
    ca_file: str | None = None
    offline_demo: bool = False


def http_options(endpoint: LiveEndpoint, settings: Settings) -> types.HttpOptions:
    """Return the SDK's transport options; unknown keys of ``async_client_args`` go to websockets.connect."""
    websocket: dict[str, Any] = {
        "compression": None,  # audio does not compress; deflate costs CPU on both ends
        "close_timeout": settings.close_timeout_s,
        "ping_interval": settings.ping_interval_s,
        "ping_timeout": settings.ping_timeout_s,
        "max_size": 16 << 20,  # the SDK's 1 MiB ends a call on one long message
    }
    if endpoint.ca_file is not None:
        websocket["ssl"] = ssl.create_default_context(cafile=endpoint.ca_file)
        websocket["proxy"] = None  # the emulator is on loopback
    return types.HttpOptions(
        api_version=settings.api_version, base_url=endpoint.base_url, async_client_args=websocket
    )


def connect_config(
    settings: Settings,
    declarations: Sequence[Mapping[str, Any]] = (),
    *,
    handle: str | None = None,
    seeded: bool = False,
) -> types.LiveConnectConfig:
    """Build the set-up of one session; anew per connect, because the SDK changes what it is given.

    Args:
        settings: the service's settings.
        declarations: one mapping of `types.FunctionDeclaration`'s fields per tool.
        handle: what to resume; None for a fresh session. Handles are asked for in any case.
        seeded: the history of the call will be told to the session before anything else.
    """
    return types.LiveConnectConfig(
        response_modalities=[types.Modality.AUDIO],
        system_instruction=settings.system_instruction or None,
        speech_config=_speech_config(settings),
        input_audio_transcription=types.AudioTranscriptionConfig() if settings.input_transcription else None,
        output_audio_transcription=types.AudioTranscriptionConfig() if settings.output_transcription else None,
        tools=[_tool(declarations)] if declarations else None,
        session_resumption=types.SessionResumptionConfig(handle=handle),
        context_window_compression=_compression(settings),
        history_config=types.HistoryConfig(initial_history_in_client_content=True) if seeded else None,
    )


def _compression(settings: Settings) -> types.ContextWindowCompressionConfig:
    """Without compression a session ends after 15 minutes, or 2 with video."""
    return types.ContextWindowCompressionConfig(
        trigger_tokens=settings.compression_trigger_tokens,
        sliding_window=types.SlidingWindow(target_tokens=settings.compression_target_tokens),
    )


def _speech_config(settings: Settings) -> types.SpeechConfig | None:
    if settings.voice is None and settings.language is None:
        return None
    voice = None
    if settings.voice is not None:
        voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=settings.voice))
    return types.SpeechConfig(voice_config=voice, language_code=settings.language)


def _tool(declarations: Sequence[Mapping[str, Any]]) -> types.Tool:
    return types.Tool(function_declarations=[types.FunctionDeclaration(**fields) for fields in declarations])
