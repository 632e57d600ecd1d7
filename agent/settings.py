"""All settings of the service; this is the only place that reads them.

Precedence: command-line flags, then environment variables, then a secret's own file, then ``talkspurt.toml`` in the
working directory, then the default. The setting ``port`` is ``--port``, ``TALKSPURT_PORT`` or ``port = 8080``.
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
    "host": "Listening and access",
    "google_api_key": "Model and credentials",
    "system_instruction": "The agent",
    "temperature": "Generation",
    "vad": "Turn detection",
    "input_transcription": "Transcripts",
    "compression_trigger_tokens": "The Live session",
    "connect_timeout_s": "Calls",
    "record": "Recording",
    "budget_usd": "Cost and time limits",
    "summary_model": "After the call",
    "capture_folder": "Captures",
    "janus_url": "Telephones",
    "history_url": "History, recordings and webhooks",
    "otlp_endpoint": "Traces",
}
"The headings in `talkspurt serve --help` and docs/settings.md, keyed by the first setting under each."


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

    # listening and access
    host: str = Field(
        "127.0.0.1", description="Address to listen on. Any other than loopback requires a server key."
    )
    port: int = Field(8080, ge=0, le=65535, description="TCP port of the page and the API; 0 picks a free one.")
    server_key: SecretStr | None = Field(
        None, min_length=16, description="Bearer token that clients must send; at least 16 characters."
    )
    insecure: bool = Field(False, description="Listen beyond loopback without a server key. Anyone may call.")
    cors_origins: list[str] = Field(
        [], description="Origins of other sites whose pages may use the API, e.g. https://shop.example; * for all."
    )
    allowed_hosts: list[str] = Field(
        [], description="Host names that requests may use, e.g. agent.example; * for any. See the docs."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level to log.")
    log_format: Literal["text", "json"] = Field("text", description="Plain text, or one JSON object per line.")
    audit_file: str | None = Field(
        None, min_length=1, description="File that records calls, dialling and refused requests; the log if unset."
    )
    max_connections: int = Field(
        1000, ge=10, description="HTTP connections at once; beyond that, idle ones are closed to make room."
    )

    # model and credentials
    google_api_key: SecretStr | None = Field(
        None,
        min_length=1,
        validation_alias=AliasChoices("google_api_key", "GOOGLE_API_KEY", "GEMINI_API_KEY"),
        description="Gemini API key, from GOOGLE_API_KEY. With no credentials at all, the local emulator answers.",
    )
    vertex_project: str | None = Field(
        None, min_length=1, description="Google Cloud project; Vertex AI then answers instead of the Gemini API."
    )
    vertex_location: str = Field("us-central1", min_length=1, description="Vertex AI region.")
    vertex_credentials_file: str | None = Field(
        None,
        min_length=1,
        description="JSON key file of a service account; if unset, Google's application default credentials.",
    )
    vertex_api_key: SecretStr | None = Field(
        None, min_length=1, description="Vertex AI API key (express mode), instead of a project."
    )
    model: str = Field("gemini-3.8-live", min_length=1, description="The Live model.")
    api_version: str | None = Field(
        None,
        pattern=r"^v\d+(alpha|beta)?\d*$",
        description="Live API version in the URL; if unset, v1beta, or v1beta1 for Vertex AI.",
    )

    # the agent
    system_instruction: str = Field(DEFAULT_INSTRUCTION, description="The agent's system instruction.")
    audio_output: bool = Field(True, description="The agent speaks; if off, it writes, which few models support.")
    voice: str | None = Field(
        None, min_length=1, description="Name of a prebuilt voice; the model's default if unset."
    )
    language: str | None = Field(
        None, min_length=2, description="BCP 47 code, e.g. en-GB; if unset, the model chooses."
    )
    search: bool = Field(False, description="Let the model search with Google.")
    code_execution: bool = Field(False, description="Let the model run code on Google's servers.")
    proactive_audio: bool | None = Field(
        None, description="Let the model stay silent when it is not spoken to; the model's default if unset."
    )
    affective_dialog: bool = Field(False, description="Let the model respond to the caller's tone of voice.")

    # generation; the model's own default applies to whatever is unset
    temperature: float | None = Field(None, ge=0, le=2, description="Randomness of the model's choice of words.")
    top_p: float | None = Field(
        None, ge=0, le=1, description="Choose among the likeliest tokens that together have this probability."
    )
    top_k: int | None = Field(
        None, ge=1, le=1000, description="Choose among this many of the likeliest tokens only."
    )
    max_output_tokens: int | None = Field(None, ge=1, le=65_536, description="Maximum length of an answer.")
    presence_penalty: float | None = Field(
        None, ge=-2, le=2, description="Above 0, words that were used before become less likely."
    )
    frequency_penalty: float | None = Field(
        None, ge=-2, le=2, description="Above 0, words become less likely the more often they were used."
    )
    candidate_count: int | None = Field(None, ge=1, le=8, description="Number of answers that the model drafts.")
    seed: int | None = Field(
        None, ge=-(2**31), le=2**31 - 1, description="Random seed; the same seed gives similar answers."
    )
    thinking_level: Literal["minimal", "low", "medium", "high"] | None = Field(
        None, description="How much the model thinks before it answers, for models with thinking levels."
    )
    thinking_budget: int | None = Field(
        None,
        ge=-1,
        le=32_768,
        description="Tokens to think with, for models with a thinking budget; 0 is off, -1 lets the model decide.",
    )
    include_thoughts: bool = Field(False, description="Ask the model for summaries of its thoughts too.")

    # turn detection; the Live server's own default applies to whatever is unset
    vad: Literal["high", "medium", "low", "phone", "off"] | None = Field(
        None, description="Preset of the speech detector's sensitivity and times; phone suits noisy lines."
    )
    vad_start_sensitivity: Sensitivity | None = Field(None, description="How readily sound is taken for speech.")
    vad_end_sensitivity: Sensitivity | None = Field(None, description="How readily speech is taken to be over.")
    vad_prefix_ms: int | None = Field(None, ge=0, le=10_000, description="How much speech begins a turn.")
    vad_silence_ms: int | None = Field(None, ge=0, le=10_000, description="How much silence ends a turn.")
    barge_in: bool = Field(True, description="Let the caller interrupt the agent by speaking.")
    turn_coverage: Literal["activity", "all_input", "activity_and_video"] | None = Field(
        None, description="Which input belongs to the caller's turn."
    )

    # transcripts
    input_transcription: bool = Field(True, description="Ask for a transcript of the caller.")
    output_transcription: bool = Field(True, description="Ask for a transcript of the agent.")
    transcription_languages: list[str] = Field(
        [], description="BCP 47 codes of the languages the caller may speak; detected if empty."
    )
    transcription_vocabulary: list[str] = Field([], description="Names and terms that the caller may use.")
    transcription_timestamps: bool = Field(False, description="Ask for the time of each of the caller's words.")

    # the Live session
    compression_trigger_tokens: int = Field(
        25_600, ge=5_000, le=128_000, description="Context size at which the oldest part is dropped."
    )
    compression_target_tokens: int | None = Field(
        None, ge=1, le=128_000, description="Context size after that; half of the trigger if unset."
    )
    media_resolution: Literal["low", "medium", "high"] | None = Field(
        None, description="Detail in which the model sees pictures; more detail costs more tokens."
    )
    answer_timeout_s: float = Field(
        6.0,
        ge=0,
        description="Seconds that a caller waits for an answer before the service steps in; 0 for never. "
        "12 for models that think, unless you set it.",
    )
    recovery_s: float = Field(
        30.0, ge=0, description="Seconds to get a lost Live session running again before the call ends."
    )
    setup_timeout_s: float = Field(
        4.5, gt=0, le=120, description="Seconds that each attempt to set up the Live session may take."
    )
    ping_interval_s: float = Field(5.0, gt=0, description="Seconds between WebSocket pings to the Live server.")
    ping_timeout_s: float = Field(
        60.0, gt=0, description="Seconds to wait for a pong; the real service may take up to 30 s."
    )
    close_timeout_s: float = Field(
        1.0, gt=0, le=10, description="Seconds to wait for the server's close frame when hanging up."
    )

    # calls
    connect_timeout_s: float = Field(
        30.0, gt=0, description="Seconds from the SDP answer within which media must flow, or the call ends."
    )
    ice_grace_s: float = Field(
        15.0, gt=0, description="Seconds without a packet from the caller after which the call ends."
    )
    max_calls: int | None = Field(
        None, ge=1, description="Calls at once; further offers are answered 503. If unset, what the machine allows."
    )
    max_pending_calls: int | None = Field(
        None, ge=1, description="How many of them may not be connected yet; if unset, half, but at least 10."
    )
    overload_lag_ms: float = Field(
        40.0,
        gt=0,
        description="Event-loop lag, averaged over about 2 s, above which further offers are answered 503.",
    )
    drain_timeout_s: float = Field(
        5.0, ge=0, description="Seconds that running calls get to end on their own after SIGTERM."
    )
    initial_message: str | None = Field(
        None, min_length=1, description="Sent to the model as the caller's first words, so that it speaks first."
    )
    initial_message_delay_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Seconds from the first media until it is sent; it is not sent if the caller is first.",
    )
    client_may_instruct: bool = Field(
        False,
        description="Let the caller's page change the instructions and tell the model things that nobody said.",
    )
    tool_reports: Literal["none", "name", "full"] = Field(
        "name", description="What callers are told of a tool call: only that it runs, which tool it is, or all."
    )
    tool_masked_fields: list[str] = Field(
        [], description="Names of argument and result fields whose values callers are never told."
    )
    video_fps: float = Field(
        1.0,
        ge=0,
        le=5,
        description="Maximum pictures per second from camera and screen each; 0 turns video off.",
    )
    video_max_px: int = Field(
        768, ge=64, le=4096, description="Longest side of a picture; larger ones are scaled down."
    )
    video_skip_unchanged: bool = Field(True, description="Skip a picture that looks like the last one sent.")
    ice_servers: list[str] = Field([], description="STUN URLs for callers and service, e.g. stun:host:3478.")
    media_addresses: list[str] = Field(
        [], description="Addresses of this machine on which to receive media; all but loopback if empty."
    )
    candidate_networks: list[str] = Field(
        [],
        description="Private networks of callers that may be sent ICE checks, e.g. 10.0.0.0/8. See the docs.",
    )

    # recording
    record: bool = Field(False, description="Record calls: both sides, each on a track of its own.")
    record_folder: str = Field("recordings", min_length=1, description="Folder in which recordings are kept.")
    record_announcement: str | None = Field(
        None, min_length=1, description="What the agent says first in a call that is recorded."
    )

    # cost and time limits
    budget_usd: float | None = Field(
        None,
        gt=0,
        description="Maximum cost of one call in US dollars; the agent then says goodbye. No limit if unset.",
    )
    price_file: str | None = Field(None, description="TOML file with your own prices; see docs/usage.md.")
    idle_timeout_s: float = Field(
        600.0, ge=0, description="Seconds without anyone speaking or typing after which the call ends; 0 for never."
    )
    max_duration_s: float = Field(
        3600.0, ge=0, description="Maximum seconds of a call; the agent then says goodbye. 0 for no limit."
    )
    daily_budget_usd: float | None = Field(
        None, gt=0, description="Maximum cost of all calls within 24 hours in US dollars. No limit if unset."
    )
    daily_minutes: float | None = Field(
        None, gt=0, description="Maximum minutes of all calls together within 24 hours. No limit if unset."
    )
    key_daily_budget_usd: float | None = Field(
        None, gt=0, description="Like daily_budget_usd, for calls made with the server key."
    )
    key_daily_minutes: float | None = Field(
        None, gt=0, description="Like daily_minutes, for calls made with the server key."
    )

    # after the call
    summary_model: str = Field(
        "gemini-3.8-flash",
        min_length=1,
        description="The model that sums up calls, if the agent's file asks for it.",
    )

    # what happened
    capture_folder: str | None = Field(
        None,
        min_length=1,
        description="Folder for captures of all calls, words and sound, to replay; off if unset.",
    )

    # telephones
    janus_url: str | None = Field(
        None, pattern=r"^wss?://", description="WebSocket URL of the Janus gateway; if unset, SIP is off."
    )
    janus_secret: SecretStr | None = Field(None, min_length=1, description="The gateway's api_secret.")
    sip_user: str = Field(
        "sip:agent@localhost",
        pattern=r"^sips?:[^@:\s]+@[^@\s]+$",
        description="SIP address of the agent's phone line.",
    )
    sip_password: SecretStr | None = Field(
        None, min_length=1, description="The line's password at the registrar; if unset, it does not register."
    )
    sip_proxy: str | None = Field(
        None,
        pattern=r"^sips?:\S+$",
        description="The line's registrar and outbound proxy, e.g. sip:127.0.0.1:5060.",
    )
    sip_lines: int = Field(4, ge=1, le=200, description="Phone calls at once; further callers get a busy signal.")
    dial: bool = Field(False, description="Let clients with the server key make the agent call telephones.")
    dial_allowed: list[str] = Field(
        [], description="Numbers (+4930*) and addresses (sip:*@pbx.example) that it may call; * for all."
    )
    transfer: bool = Field(False, description="Let the agent transfer telephone callers to other telephones.")
    transfer_allowed: list[str] = Field([], description="Where it may transfer them, as in dial_allowed.")
    send_dtmf: bool = Field(False, description="Let the agent press keys in telephone calls.")
    twilio_auth_token: SecretStr | None = Field(
        None, min_length=1, description="Token that the carrier signs with; if unset, /twilio refuses all requests."
    )
    twilio_url: str | None = Field(
        None,
        pattern=r"^wss?://",
        description="URL of /twilio as the carrier knows it; if unset, made from the request's host.",
    )

    # what is kept of calls, and who is told of them
    history_url: str | None = Field(
        None,
        pattern=r"^(sqlite|postgres)",
        description="Database of calls: sqlite:///history.db, postgresql://user@host/name. Unset keeps nothing.",
    )
    retention_days: float | None = Field(
        None, gt=0, description="Days after which a call and its recording are deleted; if unset, never."
    )
    record_store: str | None = Field(
        None, min_length=1, description="Where recordings are kept: a folder, or e.g. s3://bucket/folder."
    )
    webhook_url: str | None = Field(
        None, pattern=r"^https?://", description="URL that is told when calls start and end; if unset, none is."
    )
    webhook_secret: SecretStr | None = Field(
        None, description="What messages to it are signed with: whsec_...; several are separated by spaces."
    )
    webhook_allow_private: bool = Field(
        False, description="Let webhook_url lead into a private network, and begin with http://."
    )

    # traces
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Collector to which traces of calls are sent, e.g. http://127.0.0.1:4318; if unset, none are.",
    )
    trace_content: bool = Field(False, description="Tell the collector what is said, and what tools are given.")

    @field_validator("system_instruction", "initial_message", "transcription_vocabulary", mode="before")
    @classmethod
    def _valid_unicode(cls, told: Any) -> Any:
        """Make what the model is told valid Unicode. Names are not mended: a bad one is refused."""
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

    _flags: Mapping[str, str] = PrivateAttr({})  # flags as typed, keyed by the setting they set
    _agents: frozenset[str] = PrivateAttr(frozenset())  # settings that the agent's file set

    def most_pending(self, most_calls: int) -> int:
        """Return how many calls may be waiting to connect.

        Args:
            most_calls: how many calls there may be at once.
        """
        if self.max_pending_calls is not None:
            return min(self.max_pending_calls, most_calls)
        return min(max(most_calls // 2, 10), most_calls)

    def source(self, name: str) -> str:
        """Return where a setting's value came from, for the beginning of an error message."""
        if name in self._agents:
            return f"the agent's {name}"
        return _source(name, self._flags) if name in self.model_fields_set else f"default of {name}"

    def stated(self, name: str) -> str:
        """Return a setting's source and its value as it was written there: ``flag --vad = 'off'``."""
        value = getattr(self, name)
        if not isinstance(value, bool):
            return f"{self.source(name)} = {_shown(name, value)}"
        if name in self._flags:
            return self.source(name)  # the flag itself tells the value: --barge-in or --no-barge-in
        return f"{self.source(name)} = {str(value).lower()}"

    def of_agent(self, own: Mapping[str, Any]) -> Settings:
        """Return a copy in which the settings of an agent's file replace these."""
        settings = self.model_copy(update=own)
        settings._agents = self._agents | frozenset(own)
        return settings

    @property
    def at_vertex(self) -> bool:
        """True if Vertex AI answers, not the Gemini API or the local emulator."""
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
        """Return the sources in order of precedence: flags, environment, files of single secrets, TOML file."""
        return init_settings, env_settings, SecretFiles(settings_cls), TomlConfigSettingsSource(settings_cls)


def _stun_url(url: str) -> str:
    """Return a STUN URL (RFC 7064) with its scheme in lower case."""
    scheme, _, rest = url.partition(":")
    match = _STUN_REST.fullmatch(rest)
    if scheme.lower() in ("turn", "turns"):
        why = "TURN needs credentials, for which there is no setting; use STUN servers only"
    elif scheme.lower() not in ("stun", "stuns"):
        why = "it does not begin with stun: or stuns:"
    elif rest.startswith("//"):
        why = "STUN URLs have no slashes"
    elif "?" in rest:
        why = "STUN URLs have no ?transport"
    elif match is None:
        why = "write stun:HOST or stun:HOST:PORT"
    elif match["port"] and not 0 < int(match["port"]) < 1 << 16:
        why = "the port must be 1 to 65535"
    elif match["ipv6"] and not _is_ipv6(match["ipv6"]):
        why = "the part in brackets is not an IPv6 address"
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
    """Secrets in files of their own, as containers and systemd provide them; see `secret_file`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return a setting's secret and name, and False because it is not JSON."""
        path = secret_file(field_name)
        if path is None:
            return None, field_name, False
        try:
            return path.read_text(encoding="utf-8").strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{_source(field_name, {})}: {path} cannot be read: {reason}") from None

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that are in files, keyed by setting."""
        found = {name: self.get_field_value(Settings.model_fields[name], name)[0] for name in secret_settings()}
        return {name: value for name, value in found.items() if value is not None}


def secret_settings() -> list[str]:
    """Return the names of the settings that hold secrets."""
    return [name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)]


def secret_file(name: str) -> Path | None:
    """Return the file that holds a secret, or None.

    For ``server_key`` this is the file that ``TALKSPURT_SERVER_KEY_FILE`` names, or else ``server_key`` in the
    unit's credentials directory (systemd.exec(5), LoadCredential).
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
        flags: values from the command line, keyed by setting; None counts as unset.
        typed: the flags as they were typed, keyed by setting, for error messages; defaults to the setting's own
            flag.

    Raises:
        ConfigError: a value is not allowed; the message names the setting, the value's source and what is allowed.
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
    except SettingsError as error:  # a list that is not JSON; the cause says what is wrong with it
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "settings")
        raise ConfigError(f"{_source(name, named)}: expected a JSON list: {error.__cause__}") from None
    except ValueError as error:  # for example a number with thousands of digits
        raise ConfigError(f"{TOML_FILE} cannot be used: {error}") from None
    settings._flags = named
    _check_together(settings)
    return settings


def flag_of(name: str, value: object = None) -> str:
    """Return the flag that gives a setting its value."""
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"


def allowed(name: str) -> str:
    """Return a description of the values that a setting may have; "" if its type says enough."""
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
    """Return the strings of a Literal; empty for any other type."""
    return tuple(word for word in get_args(kind) if isinstance(word, str))


def _refuse_empty_keys(given: Mapping[str, Any]) -> None:
    """Refuse empty variables for secrets that authenticate strangers; any other empty variable counts as unset.

    ``TALKSPURT_SERVER_KEY=$KEY`` with KEY unset would otherwise let everybody in, or nobody.
    """
    for name in ("server_key", "twilio_auth_token"):
        for variable in _variables(name):
            if os.environ.get(variable) == "" and name not in given:
                raise ConfigError(f"environment variable {variable}: it is empty; unset it or give it a value")


def _check_together(settings: Settings) -> None:
    """Refuse settings that contradict each other; the messages say where each came from."""
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
    for one, needed in (
        ("retention_days", "history_url"),
        ("record_store", "history_url"),
        ("webhook_url", "history_url"),
        ("webhook_url", "webhook_secret"),
        ("webhook_secret", "webhook_url"),
    ):
        if getattr(settings, one) is not None and getattr(settings, needed) is None:
            raise ConfigError(f"{settings.source(one)}: has no effect without {needed}; set that too")
    if settings.trace_content and settings.otlp_endpoint is None:
        raise ConfigError(f"{settings.source('trace_content')}: has no effect without otlp_endpoint; set that too")
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
    """Return a value in printable form, without the secrets that addresses may contain."""
    name = next((each for each in Settings.model_fields if name in (each, *_variables(each))), name)
    is_address = name.endswith(("_url", "_user", "_proxy", "_servers", "_origins"))
    if not is_address:
        return repr(value)
    return repr([shown_url(str(each)) for each in value] if isinstance(value, list) else shown_url(str(value)))


def unknown_variables() -> list[str]:
    """Return a sentence for the log about each variable that looks like a setting but is not one.

    They are not refused because Kubernetes, for example, sets variables that begin with the name of a service.
    """
    known = {variable for name in Settings.model_fields for variable in _variables(name)}
    known |= {f"{variable}_FILE" for name in secret_settings() for variable in _variables(name)}
    return [
        f"environment variable {variable}: {_no_such(variable[len(ENV_PREFIX) :].lower())}"
        for variable in sorted(os.environ)
        if variable.upper().startswith(ENV_PREFIX) and variable.upper() not in known
    ]


def _no_such(name: str) -> str:
    if name == "text_output":  # there is a flag of this name
        return "there is no setting called text_output; set audio_output to false"
    close = get_close_matches(name, Settings.model_fields, n=1, cutoff=0.7)
    return f"there is no setting called {name}" + (f"; did you mean {close[0]}?" if close else "")


def _range(name: str, item: Any) -> str:
    """Return the allowed values in parentheses; "" if pydantic's own message lists them."""
    name = next((each for each in Settings.model_fields if name in (each, *_variables(each))), "")
    values = allowed(name) if name and item["type"] != "literal_error" else ""
    return f" (allowed: {values})" if values else ""


def _source(name: str, flags: Mapping[str, str]) -> str:
    """Return where the value of a setting came from."""
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
    """Return the environment variables that can set a setting."""
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field is not None else None
    if isinstance(alias, AliasChoices):
        return tuple(choice for choice in alias.choices if isinstance(choice, str) and choice.isupper())
    return (f"{ENV_PREFIX}{name.upper()}",)
