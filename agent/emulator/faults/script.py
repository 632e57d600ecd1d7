"""The fault script: what goes wrong, in which session, and when. Pure; docs/faults-script.md is its manual.

A script is JSON lines, one fault an object a line; ``#`` lines and blank ones are passed over. Each fault is a
class here, so that a test may also write ``[GoAway(after_s=3, time_left_s=2)]``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, cast

from agent.emulator.hooks import Moment
from agent.errors import ConfigError

EVERY = "every"
FRESH = "fresh"
RESUMED = "resumed"
QUOTA = "You exceeded your current quota, please check your plan and billing details."
DEADLINE = "Deadline expired before operation could complete."
INTERNAL = "Internal error encountered."
NOT_FOUND = "BidiGenerateContent session not found."

_MAX_BYTES = 64 << 20
_MAX_COUNT = 10_000
_MAX_TOKENS = 10**9


@dataclass(frozen=True)
class Rule:
    """What a field may hold."""

    allowed: str
    """In words, for messages and for the manual."""
    holds: Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.allowed}, or null", lambda value: value is None or rule.holds(value))


def _one_of(*words: str) -> Rule:
    return Rule("one of " + ", ".join(words), lambda value: isinstance(value, str) and value in words)


def _count_or(*words: str) -> Rule:
    listed = " or ".join(f'"{word}"' for word in words)
    return Rule(f"1 or more, or {listed}", lambda value: _COUNT.holds(value) or value in words)


_COUNT = Rule("1 or more", lambda value: _whole(value, 1, _MAX_COUNT))
_SECONDS = Rule("seconds", lambda value: _number(value) and value >= 0)
_FACTOR = Rule("above 0", lambda value: _number(value) and value > 0)
_SHARE = Rule("0 to 1", lambda value: _number(value) and 0 <= value <= 1)
_TEXT = Rule("text", lambda value: isinstance(value, str))
_OBJECT = Rule("a JSON object", lambda value: isinstance(value, dict))
_FLAG = Rule("true or false", lambda value: isinstance(value, bool))
_STATUS = Rule("400 to 599", lambda value: _whole(value, 400, 599))
_BYTES = Rule("bytes, up to 64 MiB", lambda value: _whole(value, 1, _MAX_BYTES))
_AMPLITUDE = Rule("0 to 32767", lambda value: _whole(value, 0, 32_767))
_HZ = Rule("Hz, 20 to 12000", lambda value: _number(value) and 20 <= value <= 12_000)
_CODE = Rule(
    "1000 to 1003, 1007 to 1014, or 3000 to 4999",  # RFC 6455 section 7.4: the others never go over the wire
    lambda value: _whole(value, 1000, 4999) and (value <= 1003 or 1007 <= value <= 1014 or value >= 3000),
)
_TOKENS = Rule(
    "an object of modalities and tokens",
    lambda value: isinstance(value, dict) and all(name and _whole(n, 0, _MAX_TOKENS) for name, n in value.items()),
)
_MOMENT = _one_of(*Moment)
_WHICH = _count_or(EVERY)


def _field(default: Any, rule: Rule) -> Any:
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"rule": rule})
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What all faults have in common.

    Raises:
        ConfigError: a field holds what it may not.
    """

    kind: ClassVar[str]
    before_setup: ClassVar[bool] = False
    """It happens before anybody can know whether the session is fresh or resumed."""

    session: int | str = _field(EVERY, _count_or(EVERY, FRESH, RESUMED))
    """Which: the nth connection to the server, or each of a sort."""
    times: int | None = _field(None, _or_null(_COUNT))
    """How often it happens at most, over all sessions."""
    chance: float = _field(1.0, _SHARE)
    """How likely it is, each time that it could happen."""

    def __post_init__(self) -> None:
        for name, rule in rules(type(self)).items():
            if not rule.holds(getattr(self, name)):
                raise ConfigError(f"{self.kind}: {name} must be {rule.allowed}, not {_shown(getattr(self, name))}")
        if self.before_setup and self.session in (FRESH, RESUMED):
            raise ConfigError(
                f'{self.kind}: session must be 1 or more, or "{EVERY}", because the setup is not read yet, '
                f"not {_shown(self.session)}"
            )


def rules(kind: type[Fault]) -> dict[str, Rule]:
    """The fields of a sort of fault, in order."""
    return {item.name: item.metadata["rule"] for item in fields(kind)}


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)[:60]


# --- faults that happen at a moment, or some time after it


@dataclass(frozen=True, kw_only=True)
class TimedFault(Fault):
    """Happens ``after_s`` after the ``nth`` time that ``at`` is reached in a session."""

    at: str = _field(Moment.READY, _MOMENT)
    nth: int | str = _field(1, _WHICH)
    after_s: float = _field(0.0, _SECONDS)
    every_s: float | None = _field(None, _or_null(_FACTOR))
    """Happens again and again, so long after the time before."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at == Moment.CONNECTED and self.session in (FRESH, RESUMED):
            raise ConfigError(
                f'{self.kind}: at must not be "{Moment.CONNECTED}" with session {_shown(self.session)}: '
                "the setup is not read yet"
            )


@dataclass(frozen=True, kw_only=True)
class GoAway(TimedFault):
    kind = "go_away"
    time_left_s: float = _field(10.0, _SECONDS)
    then: str = _field("close", _one_of("close", "silent", "stay"))
    """When timeLeft has passed; ``silent``: from now on nothing is sent, not even a close."""
    code: int = _field(1011, _CODE)
    reason: str = _field(DEADLINE, _TEXT)


@dataclass(frozen=True, kw_only=True)
class Close(TimedFault):
    kind = "close"
    code: int = _field(1011, _CODE)
    reason: str = _field(INTERNAL, _TEXT)


@dataclass(frozen=True, kw_only=True)
class DropTcp(TimedFault):
    kind = "drop_tcp"


@dataclass(frozen=True, kw_only=True)
class Stall(TimedFault):
    kind = "stall"
    what: str = _field("both", _one_of("both", "read", "send"))
    for_s: float | None = _field(None, _or_null(_FACTOR))
    """What was to be sent meanwhile is sent afterwards; null stalls for ever and drops it."""


@dataclass(frozen=True, kw_only=True)
class SlowPong(TimedFault):
    kind = "slow_pong"
    delay_s: float | None = _field(30.0, _or_null(_SECONDS))
    """null answers no ping at all."""


@dataclass(frozen=True, kw_only=True)
class UnknownMessage(TimedFault):
    kind = "unknown_message"
    body: Mapping[str, Any] = _field({"brandNewTop": {"a": 1}}, _OBJECT)


@dataclass(frozen=True, kw_only=True)
class HugeMessage(TimedFault):
    kind = "huge_message"
    size_bytes: int = _field(1_200_000, _BYTES)


@dataclass(frozen=True, kw_only=True)
class Interrupt(TimedFault):
    kind = "interrupt"
    at: str = _field(Moment.TURN_STARTED, _MOMENT)


@dataclass(frozen=True, kw_only=True)
class CancelTools(TimedFault):
    kind = "cancel_tools"
    at: str = _field(Moment.TOOL_CALLED, _MOMENT)


# --- faults of a turn


@dataclass(frozen=True, kw_only=True)
class TurnFault(Fault):
    """Happens to the nth turn of a session, or to every one."""

    turn: int | str = _field(EVERY, _WHICH)


@dataclass(frozen=True, kw_only=True)
class DelayFirstAudio(TurnFault):
    kind = "delay_first_audio"
    delay_s: float = _field(3.0, _SECONDS)


@dataclass(frozen=True, kw_only=True)
class EmptyTurn(TurnFault):
    kind = "empty_turn"
    reason: str | None = _field(None, _or_null(_TEXT))
    """turnCompleteReason, e.g. ``RESPONSE_REJECTED``."""


@dataclass(frozen=True, kw_only=True)
class SilentSpeech(TurnFault):
    kind = "silent_speech"
    amplitude: int = _field(0, _AMPLITUDE)
    """0 is digital silence; a few units are near silence."""


@dataclass(frozen=True, kw_only=True)
class DuplicateTurnComplete(TurnFault):
    kind = "duplicate_turn_complete"
    extra: int = _field(1, _COUNT)


@dataclass(frozen=True, kw_only=True)
class FinishedFlags(TurnFault):
    kind = "finished_flags"
    when: str = _field("uninterrupted", _one_of("uninterrupted", "always"))


@dataclass(frozen=True, kw_only=True)
class ToolStorm(TurnFault):
    kind = "tool_storm"
    calls: int = _field(10, _COUNT)
    name: str | None = _field(None, _or_null(_TEXT))
    """null: the first function that the client declared."""
    args: Mapping[str, Any] = _field({}, _OBJECT)
    one_message: bool = _field(True, _FLAG)
    when: str = _field("before_speech", _one_of("before_speech", "after_speech", "instead"))


@dataclass(frozen=True, kw_only=True)
class Usage(TurnFault):
    kind = "usage"
    prompt: Mapping[str, int] = _field({"AUDIO": 10_000}, _TOKENS)
    """Beyond what the turn took anyway."""
    response: Mapping[str, int] = _field({}, _TOKENS)
    details: bool = _field(True, _FLAG)
    """false: the sums only, of all tokens."""


# --- faults of an interruption


@dataclass(frozen=True, kw_only=True)
class InterruptionFault(Fault):
    """Happens to the nth interruption of a session, or to every one."""

    nth: int | str = _field(EVERY, _WHICH)
    tone_hz: float = _field(1000.0, _HZ)
    """The sound that must not be heard is a tone, so that a test finds it."""


@dataclass(frozen=True, kw_only=True)
class AudioWithInterrupted(InterruptionFault):
    kind = "audio_with_interrupted"


@dataclass(frozen=True, kw_only=True)
class LateChunks(InterruptionFault):
    kind = "late_chunks"
    chunks: int = _field(5, _COUNT)
    """40 ms each."""
    after: str = _field("interrupted", _one_of("interrupted", "turn_complete"))


# --- faults of connecting and resuming


@dataclass(frozen=True, kw_only=True)
class RefuseUpgrade(Fault):
    kind = "refuse_upgrade"
    before_setup = True
    status: int = _field(429, _STATUS)
    reason: str = _field(QUOTA, _TEXT)
    retry_after_s: int | None = _field(None, _or_null(_COUNT))
    beyond: int | None = _field(None, _or_null(_COUNT))
    """Only while so many other sessions are open."""


@dataclass(frozen=True, kw_only=True)
class RefuseSetup(Fault):
    kind = "refuse_setup"
    code: int = _field(1011, _CODE)
    reason: str = _field(QUOTA, _TEXT)
    beyond: int | None = _field(None, _or_null(_COUNT))


@dataclass(frozen=True, kw_only=True)
class RefuseText(Fault):
    kind = "refuse_text"
    text: str = _field("poison", _TEXT)
    """Anywhere in what the model would read: in the setup, too."""
    code: int = _field(1007, _CODE)
    reason: str = _field("Request contains an invalid argument.", _TEXT)


@dataclass(frozen=True, kw_only=True)
class HandleFault(Fault):
    """Happens to sessions that are resumed with a handle which descends from session ``issued_by``."""

    issued_by: int | str = _field(EVERY, _WHICH)


@dataclass(frozen=True, kw_only=True)
class RefuseHandle(HandleFault):
    kind = "refuse_handle"
    code: int = _field(1008, _CODE)
    reason: str = _field(NOT_FOUND, _TEXT)


@dataclass(frozen=True, kw_only=True)
class PoisonHandle(HandleFault):
    kind = "poison_handle"
    after_s: float = _field(0.5, _SECONDS)
    code: int = _field(1011, _CODE)
    reason: str = _field(INTERNAL, _TEXT)


@dataclass(frozen=True, kw_only=True)
class ForgetContext(HandleFault):
    kind = "forget_context"


@dataclass(frozen=True, kw_only=True)
class RefuseResumeWhileOpen(HandleFault):
    kind = "refuse_resume_while_open"
    code: int = _field(1011, _CODE)
    reason: str = _field(INTERNAL, _TEXT)


@dataclass(frozen=True, kw_only=True)
class RefuseNullHandle(Fault):
    kind = "refuse_null_handle"
    missing: bool = _field(False, _FLAG)
    """Also refuse a sessionResumption without any handle."""
    code: int = _field(1007, _CODE)
    reason: str = _field("Invalid session_resumption.handle.", _TEXT)


@dataclass(frozen=True, kw_only=True)
class WithholdHandles(Fault):
    kind = "withhold_handles"


@dataclass(frozen=True, kw_only=True)
class Pace(Fault):
    kind = "pace"
    times_real_time: float = _field(1.0, _FACTOR)
    burst_s: float = _field(0.0, _SECONDS)
    """Speech that goes out at once; 0 sends each 40 ms on its own."""


FAULTS: dict[str, type[Fault]] = {
    sort.kind: sort
    for sort in (
        *(GoAway, Close, DropTcp, Stall, SlowPong, UnknownMessage, HugeMessage, Interrupt, CancelTools),
        *(DelayFirstAudio, EmptyTurn, SilentSpeech, DuplicateTurnComplete, FinishedFlags, ToolStorm, Usage),
        *(AudioWithInterrupted, LateChunks, Pace, RefuseUpgrade, RefuseSetup, RefuseText),
        *(RefuseHandle, PoisonHandle, ForgetContext, RefuseResumeWhileOpen, RefuseNullHandle, WithholdHandles),
    )
}
"""Every sort of fault by its name in a script."""

FaultSource: TypeAlias = str | Path | Iterable[Fault]
"""A script's text, a file that holds one, or faults made in Python."""


def load_faults(source: FaultSource) -> tuple[Fault, ...]:
    """The faults of a script.

    Raises:
        ConfigError: the file cannot be read, or a line cannot be understood.
    """
    if isinstance(source, Path):
        try:
            return parse_script(source.read_text(encoding="utf-8"), str(source))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(f"cannot read the fault script {source}: {reason}") from error
    return parse_script(source) if isinstance(source, str) else tuple(source)


def parse_script(text: str, name: str = "fault script") -> tuple[Fault, ...]:
    """Read a script.

    Args:
        text: its lines.
        name: what messages call it.

    Raises:
        ConfigError: names the line, the field and what it may hold.
    """
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                faults.append(_parse_line(line))
            except ConfigError as error:
                raise ConfigError(f"{name}, line {number}: {error}") from None
    return tuple(faults)


def _parse_line(line: str) -> Fault:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}") from None
    if not isinstance(told, dict):
        raise ConfigError(f"must be a JSON object with a field fault, not {_shown(told)}")
    name = told.pop("fault", None)
    sort = FAULTS.get(name) if isinstance(name, str) else None
    if sort is None:
        raise ConfigError(f"fault must be one of {', '.join(FAULTS)}, not {_shown(name)}")
    known = rules(sort)
    for key in told:
        if key not in known:
            raise ConfigError(f"{sort.kind}: there is no field {_shown(key)}; there are {', '.join(known)}")
    return cast("Callable[..., Fault]", sort)(**told)
