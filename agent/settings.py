"""Every setting of the service, read in this one place.

Order: command-line flags (those that there are), then the environment, then ``talkspurt.toml`` in the working
directory, then the default. A setting ``port`` is ``--port``, ``TALKSPURT_PORT`` or ``port = 8080``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent.errors import ConfigError

ENV_PREFIX = "TALKSPURT_"
TOML_FILE = "talkspurt.toml"

DEFAULT_INSTRUCTION = (
    "You are a friendly voice agent on a call. Answer briefly, in spoken language, without lists or markup. "
    "If you did not understand, say so and ask."
)


class Settings(BaseSettings):
    """The settings; see `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        toml_file=TOML_FILE,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        env_ignore_empty=True,
    )

    # where the service listens
    host: str = Field("127.0.0.1", description="Address to listen on. Other than loopback wants a server key.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port of the page and the API; 0 takes any.")
    server_key: SecretStr | None = Field(
        None, min_length=16, description="Bearer token that clients must send; at least 16 characters."
    )
    insecure: bool = Field(False, description="Listen beyond loopback without a server key. Anyone may call.")
    cors_origins: list[str] = Field(
        ["*"], description="Origins whose pages may use the API; * for all. No cookie is ever used."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")

    # the Live session
    google_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("google_api_key", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        description="Gemini API key, from GOOGLE_API_KEY. Without one the local emulator answers.",
    )
    model: str = Field("gemini-3.8-live", min_length=1, description="The Live model.")
    api_version: str = Field(
        "v1beta", pattern=r"^v\d+(alpha|beta)?\d*$", description="Version of the Live API in the URL."
    )
    system_instruction: str = Field(DEFAULT_INSTRUCTION, description="What the agent is told to be.")
    voice: str | None = Field(None, description="Name of a prebuilt voice; the model's own if unset.")
    language: str | None = Field(None, description="BCP 47 code, e.g. en-GB; the model's own choice if unset.")
    input_transcription: bool = Field(True, description="Ask for a transcript of the caller.")
    output_transcription: bool = Field(True, description="Ask for a transcript of the agent.")
    setup_timeout_s: float = Field(
        15.0, gt=0, le=120, description="Seconds within which the Live server must confirm the session."
    )
    ping_interval_s: float = Field(20.0, gt=0, description="Seconds between WebSocket pings to the server.")
    ping_timeout_s: float = Field(
        60.0, gt=0, description="Seconds to wait for a pong; the real service answers as late as 30 s."
    )
    close_timeout_s: float = Field(
        1.0, gt=0, le=10, description="Seconds to wait for the server's close frame when hanging up."
    )

    # the call
    connect_timeout_s: float = Field(
        30.0, gt=0, description="Seconds from the answer until media must flow, or the call ends."
    )
    ice_grace_s: float = Field(
        15.0, gt=0, description="Seconds without any packet from the caller after which the call ends."
    )
    max_calls: int = Field(100, ge=1, description="Calls at once; further offers are answered 503.")
    drain_timeout_s: float = Field(
        5.0, ge=0, description="Seconds that running calls get to end by themselves on SIGTERM."
    )
    video_fps: float = Field(
        1.0,
        ge=0,
        le=5,
        description="Pictures a second of camera and of screen that the model gets at most; 0 turns video off.",
    )
    video_max_px: int = Field(768, ge=64, le=4096, description="Longest side of a picture; larger ones are scaled.")
    video_skip_unchanged: bool = Field(
        True, description="Send a picture only if it looks different from the one sent last."
    )
    ice_servers: list[str] = Field([], description="STUN URLs for callers and service, e.g. stun:host:3478.")

    # telephones
    janus_url: str | None = Field(
        None, pattern=r"^wss?://", description="WebSocket of the Janus gateway; without one no phone is served."
    )
    janus_secret: SecretStr | None = Field(None, description="The gateway's api_secret.")
    sip_user: str = Field(
        "sip:agent@localhost", pattern=r"^sips?:[^@\s]+@[^@\s]+$", description="Address of the agent's phone line."
    )
    sip_password: SecretStr | None = Field(
        None, description="The line's password at the registrar; without one it registers nowhere."
    )
    sip_proxy: str | None = Field(
        None, pattern=r"^sips?:\S+$", description="Registrar and way out of the line, e.g. sip:127.0.0.1:5060."
    )
    sip_lines: int = Field(4, ge=1, le=200, description="Phone calls at once; further callers hear busy.")
    twilio_auth_token: SecretStr | None = Field(
        None, description="Auth token that a carrier signs with; without one /twilio answers nobody."
    )
    twilio_url: str | None = Field(
        None,
        pattern=r"^wss?://",
        description="URL of /twilio as the carrier knows it; else the request's.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then the TOML file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings.

    Args:
        flags: what the command line set, by setting name; None values count as unset.

    Raises:
        ConfigError: a value is not acceptable; the message names the setting, the value's source and the rule.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(item, given) for item in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{TOML_FILE} is not TOML: {error}") from None
    except SettingsError as error:  # its cause says what is wrong with the JSON of a list
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "settings")
        raise ConfigError(f"{_source(name, given)}: expected a JSON list: {error.__cause__}") from None


def _complaint(item: Any, flags: Mapping[str, Any]) -> str:
    name = str(item["loc"][0]) if item["loc"] else "settings"
    secret = any(word in name.lower() for word in ("key", "secret", "password", "token"))
    value = "" if secret or "input" not in item else f" = {item['input']!r}"
    if item["type"] == "extra_forbidden":
        return f"{TOML_FILE}: there is no setting called {name}"
    return f"{_source(name, flags)}{value}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _source(name: str, flags: Mapping[str, Any]) -> str:
    """Say where the offending value of a setting came from."""
    if name in flags:
        return f"flag --{name.replace('_', '-')}"
    wanted = (name.upper(), f"{ENV_PREFIX}{name.upper()}")
    variable = next((found for found in os.environ if found.upper() in wanted), None)
    return f"{TOML_FILE}: {name}" if variable is None else f"environment variable {variable}"
