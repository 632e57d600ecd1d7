"""Every setting of the service, read in this one place.

Order: command-line flags (those that there are), then the environment, then a secret's own file, then
``talkspurt.toml`` in the working directory, then the default. A setting ``port`` is ``--port``, ``TALKSPURT_PORT``
or ``port = 8080``.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, LiteralString, get_args

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import AliasChoices, Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent.errors import ConfigError
from agent.redact import shown_url
from agent.unicode import valid_json

ENV_PREFIX = "TALKSPURT_"
TOML_FILE = "talkspurt.toml"

DEFAULT_INSTRUCTION = (
    "You are a friendly voice agent on a call. Answer briefly, in spoken language, without lists or markup. "
    "If you did not understand, say so and ask."
)

_STUN_REST = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|[\w-]+(?:\.[\w-]+)*\.?)(?::(?P<port>\d{1,9}))?", re.ASCII)

Sensitivity = Literal["high", "low"]

GROUPS = {
    "host": "Where the service listens",
    "google_api_key": "Who answers",
    "system_instruction": "What the agent is and may do",
    "temperature": "How it generates",
    "vad": "When the caller's turn begins and ends",
    "input_transcription": "Transcripts",
    "compression_trigger_tokens": "The Live session",
    "connect_timeout_s": "The call",
    "budget_usd": "What a call may cost and how long it may last",
    "janus_url": "Telephones",
}
"The headings of `talkspurt serve --help` and of docs/settings.md, by the first setting below each."


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
        [], description="Origins of other sites whose pages may use the API, e.g. https://shop.example; * for all."
    )
    allowed_hosts: list[str] = Field(
        [], description="Names under which the service may be asked, e.g. agent.example; * for any. See the docs."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    log_format: Literal["text", "json"] = Field("text", description="Lines of text, or one JSON object a line.")
    audit_file: str | None = Field(
        None, min_length=1, description="File to write who called, dialled and was refused to; else it is logged."
    )
    max_connections: int = Field(
        1000, ge=10, description="HTTP connections at once; beyond it those that are idle make room."
    )

    # who answers
    google_api_key: SecretStr | None = Field(
        None,
        min_length=1,
        validation_alias=AliasChoices("google_api_key", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        description="Gemini API key, from GOOGLE_API_KEY. Without any credentials the local emulator answers.",
    )
    vertex_project: str | None = Field(
        None, min_length=1, description="Google Cloud project whose Vertex AI answers, instead of the Gemini API."
    )
    vertex_location: str = Field("us-central1", min_length=1, description="Region of Vertex AI.")
    vertex_credentials_file: str | None = Field(
        None, min_length=1, description="JSON file of a service account; without one, Google's default credentials."
    )
    vertex_api_key: SecretStr | None = Field(
        None, min_length=1, description="Key of Vertex AI in express mode, in place of a project."
    )
    model: str = Field("gemini-3.8-live", min_length=1, description="The Live model.")
    api_version: str | None = Field(
        None,
        pattern=r"^v\d+(alpha|beta)?\d*$",
        description="Version of the Live API in the URL; v1beta if unset, v1beta1 at Vertex AI.",
    )

    # what the agent is and may do
    system_instruction: str = Field(DEFAULT_INSTRUCTION, description="What the agent is told to be.")
    audio_output: bool = Field(True, description="The agent speaks; otherwise it writes, which few models do.")
    voice: str | None = Field(None, min_length=1, description="Name of a prebuilt voice; the model's own if unset.")
    language: str | None = Field(
        None, min_length=2, description="BCP 47 code, e.g. en-GB; the model's own choice if unset."
    )
    search: bool = Field(False, description="Let the model search with Google.")
    code_execution: bool = Field(False, description="Let the model run code at Google's.")
    proactive_audio: bool | None = Field(
        None, description="Let the model stay silent when it was not spoken to; the model's own way if unset."
    )
    affective_dialog: bool = Field(False, description="Let the model answer the caller's tone of voice.")

    # how it generates; what is unset is the model's own choice
    temperature: float | None = Field(None, ge=0, le=2, description="Randomness of the choice of words.")
    top_p: float | None = Field(None, ge=0, le=1, description="Probability of all tokens that are chosen among.")
    top_k: int | None = Field(None, ge=1, le=1000, description="How many tokens are chosen among.")
    max_output_tokens: int | None = Field(None, ge=1, le=65_536, description="Longest answer.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Above 0: fewer words that came before.")
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Above 0: fewer words that came often before."
    )
    candidate_count: int | None = Field(None, ge=1, le=8, description="Answers that the model drafts.")
    seed: int | None = Field(
        None, ge=-(2**31), le=2**31 - 1, description="Start of the random numbers, to get similar answers again."
    )
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = Field(
        None, description="How much the model thinks first, where it has levels."
    )
    thinking_budget: int | None = Field(
        None,
        ge=-1,
        le=32_768,
        description="How long the model thinks first, where it has a budget; 0 is off, -1 its own choice.",
    )
    include_thoughts: bool = Field(False, description="Ask the model to send summaries of its thoughts too.")

    # when the caller's turn begins and ends; what is unset is the Live server's own choice
    vad: Literal["high", "medium", "low", "phone", "off"] | None = Field(
        None, description="How readily speech is found and called finished; phone suits noisy lines."
    )
    vad_start_sensitivity: Sensitivity | None = Field(None, description="How readily sound is called speech.")
    vad_end_sensitivity: Sensitivity | None = Field(None, description="How readily speech is called finished.")
    vad_prefix_ms: int | None = Field(None, ge=0, le=10_000, description="Speech that it takes to begin a turn.")
    vad_silence_ms: int | None = Field(None, ge=0, le=10_000, description="Silence that ends a turn.")
    barge_in: bool = Field(True, description="Speaking interrupts the agent.")
    turn_coverage: Literal["activity", "all_input", "activity_and_video"] | None = Field(
        None, description="Which input is part of the caller's turn."
    )

    # transcripts
    input_transcription: bool = Field(True, description="Ask for a transcript of the caller.")
    output_transcription: bool = Field(True, description="Ask for a transcript of the agent.")
    transcription_languages: list[str] = Field(
        [], description="BCP 47 codes of what the caller may speak; found out by itself if empty."
    )
    transcription_vocabulary: list[str] = Field([], description="Names and terms that the caller may use.")
    transcription_timestamps: bool = Field(False, description="Ask for the time of each word of the caller.")

    # the Live session
    compression_trigger_tokens: int = Field(
        25_600, ge=5_000, le=128_000, description="Context size at which its oldest part is dropped."
    )
    compression_target_tokens: int | None = Field(
        None, ge=1, le=128_000, description="Context size to drop it to; half of the trigger if unset."
    )
    media_resolution: Literal["low", "medium", "high"] | None = Field(
        None, description="How finely the model looks at pictures; finer ones cost more tokens."
    )
    answer_timeout_s: float = Field(
        6.0,
        ge=0,
        description="Seconds after which a caller who got no answer is taken care of; 0 never does. "
        "12 for models that think, unless it is set.",
    )
    recovery_s: float = Field(
        30.0, ge=0, description="Seconds within which a lost Live session must be running again, or the call ends."
    )
    setup_timeout_s: float = Field(
        4.5, gt=0, le=120, description="Seconds that each attempt to set the Live session up may take."
    )
    ping_interval_s: float = Field(5.0, gt=0, description="Seconds between WebSocket pings to the server.")
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
    max_pending_calls: int | None = Field(
        None, ge=1, description="Of them those that are not connected yet; half of max_calls, or 10, if unset."
    )
    overload_lag_ms: float = Field(
        40.0,
        gt=0,
        description="Lag of the event loop, over about 2 s, above which further offers are answered 503.",
    )
    drain_timeout_s: float = Field(
        5.0, ge=0, description="Seconds that running calls get to end by themselves on SIGTERM."
    )
    initial_message: str | None = Field(
        None, min_length=1, description="Said to the model as the caller's first words, so that it speaks first."
    )
    initial_message_delay_s: float = Field(
        0.0, ge=0, le=60, description="Seconds from the first media until then; not at all if the caller was first."
    )
    client_may_instruct: bool = Field(
        False,
        description="The caller's page may change what the agent is told to be, and tell it what nobody said.",
    )
    tool_reports: Literal["none", "name", "full"] = Field(
        "name", description="What callers are told of tool calls: nothing but that, the tool, or all it was asked."
    )
    tool_masked_fields: list[str] = Field(
        [], description="Names of arguments and of fields in results that callers are never told."
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
    media_addresses: list[str] = Field(
        [], description="This machine's addresses on which media is waited for; all but loopback if empty."
    )
    candidate_networks: list[str] = Field(
        [], description="Private networks of callers to which checks may be sent, e.g. 10.0.0.0/8. See the docs."
    )

    # what a call may cost and how long it may last
    budget_usd: float | None = Field(
        None, gt=0, description="US dollars that one call may cost; the agent then says goodbye. No limit if unset."
    )
    price_file: str | None = Field(None, description="TOML file with prices of your own; see docs/usage.md.")
    idle_timeout_s: float = Field(
        600.0, ge=0, description="Seconds for which nobody speaks or types, after which the call ends; 0 for never."
    )
    max_duration_s: float = Field(
        3600.0, ge=0, description="Seconds that a call may last; the agent then says goodbye. 0 for any length."
    )
    daily_budget_usd: float | None = Field(
        None, gt=0, description="US dollars that all calls of the last 24 hours may cost. No limit if unset."
    )
    daily_minutes: float | None = Field(
        None, gt=0, description="Minutes that all calls of the last 24 hours may last, together."
    )
    key_daily_budget_usd: float | None = Field(
        None, gt=0, description="As daily_budget_usd, for the calls that came with the server key."
    )
    key_daily_minutes: float | None = Field(
        None, gt=0, description="As daily_minutes, for the calls that came with the server key."
    )

    # telephones
    janus_url: str | None = Field(
        None, pattern=r"^wss?://", description="WebSocket of the Janus gateway; without one no phone is served."
    )
    janus_secret: SecretStr | None = Field(None, min_length=1, description="The gateway's api_secret.")
    sip_user: str = Field(
        "sip:agent@localhost", pattern=r"^sips?:[^@:\s]+@[^@\s]+$", description="Address of the agent's phone line."
    )
    sip_password: SecretStr | None = Field(
        None, min_length=1, description="The line's password at the registrar; without one it registers nowhere."
    )
    sip_proxy: str | None = Field(
        None, pattern=r"^sips?:\S+$", description="Registrar and way out of the line, e.g. sip:127.0.0.1:5060."
    )
    sip_lines: int = Field(4, ge=1, le=200, description="Phone calls at once; further callers hear busy.")
    dial: bool = Field(False, description="Let clients with the server key have the agent call telephones.")
    dial_allowed: list[str] = Field(
        [], description="What it may call: numbers such as +4930*, addresses such as sip:*@pbx.example; * for all."
    )
    transfer: bool = Field(False, description="Let the agent hand telephone callers over to other telephones.")
    transfer_allowed: list[str] = Field([], description="Where to: as for dial_allowed.")
    send_dtmf: bool = Field(False, description="Let the agent press keys on telephone calls.")
    twilio_auth_token: SecretStr | None = Field(
        None, min_length=1, description="Auth token that a carrier signs with; without one /twilio answers nobody."
    )
    twilio_url: str | None = Field(
        None,
        pattern=r"^wss?://",
        description="URL of /twilio as the carrier knows it; else the request's.",
    )

    @field_validator("system_instruction", "initial_message", "transcription_vocabulary", mode="before")
    @classmethod
    def _valid_unicode(cls, told: Any) -> Any:
        """What the model is told; a name that is no valid text is refused instead."""
        return valid_json(told)

    @field_validator("ice_servers")
    @classmethod
    def _stun_urls(cls, urls: list[str]) -> list[str]:
        return [_stun_url(url) for url in urls]

    @field_validator("media_addresses")
    @classmethod
    def _addresses(cls, addresses: list[str]) -> list[str]:
        return [_read(ipaddress.ip_address, address, "an IP address") for address in addresses]

    @field_validator("candidate_networks")
    @classmethod
    def _networks(cls, networks: list[str]) -> list[str]:
        return [_read(ipaddress.ip_network, network, "a network such as 10.0.0.0/8") for network in networks]

    @field_validator("*")
    @classmethod
    def _no_blank_secret(cls, value: Any) -> Any:
        if isinstance(value, SecretStr) and not value.get_secret_value().strip():
            raise ValueError("must not be blank")
        return value

    _flags: Mapping[str, str] = PrivateAttr({})  # the flags that were typed, by the name of the setting they set
    _agents: frozenset[str] = PrivateAttr(frozenset())  # names of the settings that the agent's file set

    @property
    def most_pending(self) -> int:
        """How many calls may be not connected yet."""
        if self.max_pending_calls is not None:
            return min(self.max_pending_calls, self.max_calls)
        return min(max(self.max_calls // 2, 10), self.max_calls)

    def source(self, name: str) -> str:
        """Say where the value of a setting came from, to begin a complaint about it with."""
        if name in self._agents:
            return f"the agent's {name}"
        return _source(name, self._flags) if name in self.model_fields_set else f"default of {name}"

    def stated(self, name: str) -> str:
        """Say where a setting got which value, as it was written there: ``flag --vad = 'off'``."""
        value = getattr(self, name)
        if not isinstance(value, bool):
            return f"{self.source(name)} = {_shown(name, value)}"
        if name in self._flags:
            return self.source(name)  # the flag says it: --barge-in or --no-barge-in
        return f"{self.source(name)} = {str(value).lower()}"

    def of_agent(self, own: Mapping[str, Any]) -> Settings:
        """Return these settings with those that an agent's file sets in their place."""
        settings = self.model_copy(update=own)
        settings._agents = self._agents | frozenset(own)
        return settings

    @property
    def at_vertex(self) -> bool:
        """True if Vertex AI answers, and not the Gemini API or the local emulator."""
        return bool(self.vertex_project or self.vertex_credentials_file or self.vertex_api_key)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then environment, then secrets in files of their own, then the TOML file."""
        return init_settings, env_settings, SecretFiles(settings_cls), TomlConfigSettingsSource(settings_cls)


def _stun_url(url: str) -> str:
    """Return a STUN URL (RFC 7064) with its scheme in lower case."""
    scheme, _, rest = url.partition(":")
    match = _STUN_REST.fullmatch(rest)
    if scheme.lower() in ("turn", "turns"):
        why = "TURN needs credentials, for which there is no setting; name STUN servers only"
    elif scheme.lower() not in ("stun", "stuns"):
        why = "it does not begin with stun: or stuns:"
    elif rest.startswith("//"):
        why = "there are no slashes in it"
    elif "?" in rest:
        why = "it has no ?transport"
    elif match is None:
        why = "write stun:HOST or stun:HOST:PORT"
    elif match["port"] and not 0 < int(match["port"]) < 1 << 16:
        why = "the port must be 1 to 65535"
    elif match["ipv6"] and not _is_ipv6(match["ipv6"]):
        why = "what stands in brackets is no IPv6 address"
    else:
        return f"{scheme.lower()}:{rest}"
    raise _wrong("{url} is not the URL of a STUN server: {why}", url=repr(url), why=why)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _read(kind: Callable[[str], object], text: str, wanted: str) -> str:
    try:
        return str(kind(text))
    except ValueError as error:
        raise _wrong("{text} is not {wanted}: {why}", text=repr(text), wanted=wanted, why=str(error)) from None


def _wrong(message: LiteralString, **parts: str) -> PydanticCustomError:
    return PydanticCustomError("unusable", message, parts)


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets in files of their own, as containers and systemd hand them over; see `secret_file`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret of a setting, its name, and that it is not JSON."""
        path = secret_file(field_name)
        if path is None:
            return None, field_name, False
        try:
            return path.read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{_source(field_name, {})}: {path} cannot be read: {reason}") from None

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that lie in files, by setting."""
        found = {name: self.get_field_value(Settings.model_fields[name], name)[0] for name in secret_settings()}
        return {name: value for name, value in found.items() if value is not None}


def secret_settings() -> list[str]:
    """Return the names of the settings that nobody may see."""
    return [name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)]


def secret_file(name: str) -> Path | None:
    """Return the file that holds a secret, or None.

    For ``server_key`` that is the one that ``TALKSPURT_SERVER_KEY_FILE`` names, else ``server_key`` in the unit's
    credentials directory (systemd.exec(5), LoadCredential).
    """
    for variable in _variables(name):
        if path := os.environ.get(f"{variable}_FILE"):
            return Path(path)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path_of_unit = Path(folder) / name if folder else None
    return path_of_unit if path_of_unit is not None and path_of_unit.is_file() else None


def load_settings(flags: Mapping[str, Any] | None = None, typed: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    Args:
        flags: what the command line set, by setting name; None values count as unset.
        typed: the flags that set them as they were typed, by setting name, for complaints; where it is missing the
            setting's own flag is named.

    Raises:
        ConfigError: a value is not acceptable; the message names the setting, the value's source and the rule.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    named = {name: flag_of(name, value) for name, value in given.items()} | dict(typed or {})
    _refuse_empty_keys(given)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise ConfigError("; ".join(_complaint(item, named) for item in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{TOML_FILE} is not TOML: {error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{TOML_FILE} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{TOML_FILE} cannot be read: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"a list in {TOML_FILE} or in the environment is nested too deeply") from None
    except SettingsError as error:  # its cause says what is wrong with the JSON of a list
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "settings")
        raise ConfigError(f"{_source(name, named)}: expected a JSON list: {error.__cause__}") from None
    except ValueError as error:  # a number of thousands of digits, for one
        raise ConfigError(f"{TOML_FILE} cannot be used: {error}") from None
    settings._flags = named
    _check_together(settings)
    return settings


def flag_of(name: str, value: object = None) -> str:
    """Return the flag that gives a setting its value."""
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def allowed(name: str) -> str:
    """Say which values a setting may have; "" if its type says it all."""
    field = Settings.model_fields[name]
    choices = [word for kind in (field.annotation, *get_args(field.annotation)) for word in _words(kind)]
    if choices:
        return ", ".join(choices)
    low = high = ""
    for rule in field.metadata:
        match rule:
            case Ge(bound):
                low = f"{bound:,}"
            case Gt(bound):
                low = f"above {bound:,}"
            case Le(bound):
                high = f"{bound:,}"
            case MinLen(bound) if bound > 1:
                low = f"{bound} characters"
    if not high:
        return low if not low or low.startswith("above") else f"{low} or more"
    return f"{low}, up to {high}" if low.startswith("above") else f"{low} to {high}"


def _words(kind: object) -> tuple[str, ...]:
    """Return the words of a Literal; none for any other type."""
    return tuple(word for word in get_args(kind) if isinstance(word, str))


def _refuse_empty_keys(given: Mapping[str, Any]) -> None:
    """Refuse an empty variable for what strangers are held against; elsewhere an empty one counts as unset.

    ``TALKSPURT_SERVER_KEY=$KEY`` without a KEY would leave a door open, or shut, that was meant to be locked.
    """
    for name in ("server_key", "twilio_auth_token"):
        for variable in _variables(name):
            if os.environ.get(variable) == "" and name not in given:
                raise ConfigError(f"environment variable {variable}: it is empty; unset it or give it a value")


def _check_together(settings: Settings) -> None:
    """Refuse settings that contradict each other, each with where it came from."""
    trigger, target = settings.compression_trigger_tokens, settings.compression_target_tokens
    if trigger is not None and target is not None and target >= trigger:
        too_high = settings.stated("compression_target_tokens")
        raise ConfigError(f"{too_high}: must be less than compression_trigger_tokens ({trigger})")
    for one, other in (
        ("vertex_api_key", "vertex_project"),
        ("vertex_api_key", "vertex_credentials_file"),
        ("thinking_budget", "thinking_level"),
    ):
        if getattr(settings, one) is not None and getattr(settings, other) is not None:
            raise ConfigError(f"{settings.source(one)}: cannot be set together with {settings.source(other)}")
    for name in ("vad_start_sensitivity", "vad_end_sensitivity", "vad_prefix_ms", "vad_silence_ms"):
        if settings.vad == "off" and getattr(settings, name) is not None:
            raise ConfigError(f"{settings.source(name)}: has no effect while {settings.source('vad')} is off")


def _complaint(item: Any, flags: Mapping[str, str]) -> str:
    name = str(item["loc"][0]) if item["loc"] else "settings"
    secret = any(word in name.lower() for word in ("key", "secret", "password", "token"))
    value = "" if secret or "input" not in item else f" = {_shown(name, item['input'])}"
    if item["type"] == "extra_forbidden":
        return f"{TOML_FILE}: {_no_such(name)}"
    return f"{_source(name, flags)}{value}: {item['msg'][0].lower()}{item['msg'][1:]}{_range(name, item)}"


def _shown(name: str, value: object) -> str:
    """Return a value as it may be printed: addresses without the secrets that they may hold."""
    name = next((each for each in Settings.model_fields if name in (each, *_variables(each))), name)
    is_address = name.endswith(("_url", "_user", "_proxy", "_servers", "_origins"))
    if not is_address:
        return repr(value)
    return repr([shown_url(str(each)) for each in value] if isinstance(value, list) else shown_url(str(value)))


def unknown_variables() -> list[str]:
    """Say which variables look like settings and are none; one sentence each, for the log.

    They are not refused: Kubernetes, for one, puts variables of its own under the name of a service.
    """
    known = {variable for name in Settings.model_fields for variable in _variables(name)}
    known |= {f"{variable}_FILE" for name in secret_settings() for variable in _variables(name)}
    return [
        f"environment variable {variable}: {_no_such(variable[len(ENV_PREFIX) :].lower())}"
        for variable in sorted(os.environ)
        if variable.upper().startswith(ENV_PREFIX) and variable.upper() not in known
    ]


def _no_such(name: str) -> str:
    if name == "text_output":  # it has a flag of this name
        return "there is no setting called text_output; set audio_output to false"
    close = get_close_matches(name, Settings.model_fields, n=1, cutoff=0.7)
    return f"there is no setting called {name}" + (f"; did you mean {close[0]}?" if close else "")


def _range(name: str, item: Any) -> str:
    """Return the allowed values, unless pydantic's own message lists them."""
    name = next((each for each in Settings.model_fields if name in (each, *_variables(each))), "")
    values = allowed(name) if name and item["type"] != "literal_error" else ""
    return f" (allowed: {values})" if values else ""


def _source(name: str, flags: Mapping[str, str]) -> str:
    """Say where the value of a setting came from."""
    if name in flags:
        return f"flag {flags[name]}"
    wanted = _variables(name) if name in Settings.model_fields else (name.upper(),)
    given = (found for each in wanted for found in os.environ if found.upper() == each and os.environ[found])
    variable = next(given, None)
    if variable is not None:
        return f"environment variable {variable}"
    path = secret_file(name) if name in secret_settings() else None
    return f"{TOML_FILE}: {name}" if path is None else f"file {path}: {name}"


def _variables(name: str) -> tuple[str, ...]:
    """Return the environment variables that can hold a setting."""
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field is not None else None
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str) and choice.isupper())
    return (f"{ENV_PREFIX}{name.upper()}",)
