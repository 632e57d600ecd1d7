"""The faults of a script: what goes wrong, in which session, and when. Pure; docs/faults-script.md is the manual.

Each fault is a class here, so a test may also write ``[GoAway(after_s=3, time_left_s=2)]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from agent.emulator.faults.fields import (
    AMPLITUDE,
    BYTES,
    CODE,
    COUNT,
    EVERY,
    FACTOR,
    FLAG,
    FRESH,
    HZ,
    MOMENT,
    OBJECT,
    RESUMED,
    SECONDS,
    SHARE,
    STATUS,
    TEXT,
    TOKENS,
    WHICH,
    Rule,
    count_or,
    fault_field,
    one_of,
    or_null,
    shown,
)
from agent.emulator.moments import Moment
from agent.errors import ConfigError

QUOTA = "You exceeded your current quota, please check your plan and billing details."
DEADLINE = "Deadline expired before operation could complete."
INTERNAL = "Internal error encountered."
NOT_FOUND = "BidiGenerateContent session not found."


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What all faults have in common.

    Raises:
        ConfigError: a field holds something that its rule does not allow.
    """

    kind: ClassVar[str]
    before_setup: ClassVar[bool] = False
    """It happens before the setup shows whether the session is fresh or resumed."""

    session: int | str = fault_field(EVERY, count_or(EVERY, FRESH, RESUMED))
    """Which session: the nth connection to the server, every one, or all fresh or all resumed ones."""
    times: int | None = fault_field(None, or_null(COUNT))
    """At most how often it happens, over all sessions."""
    chance: float = fault_field(1.0, SHARE)
    """How likely it is each time that it could happen."""

    def __post_init__(self) -> None:
        for name, rule in rules(type(self)).items():
            if not rule.holds(getattr(self, name)):
                raise ConfigError(f"{self.kind}: {name} must be {rule.allowed}, not {shown(getattr(self, name))}")
        if self.before_setup and self.session in (FRESH, RESUMED):
            raise ConfigError(
                f'{self.kind}: session must be 1 or more, or "{EVERY}", because the setup has not been read yet, '
                f"not {shown(self.session)}"
            )


def rules(kind: type[Fault]) -> dict[str, Rule]:
    """The fields of a fault and what they may hold, in order."""
    return {item.name: item.metadata["rule"] for item in fields(kind)}


@dataclass(frozen=True, kw_only=True)
class TimedFault(Fault):
    """Happens ``after_s`` after a session reaches ``at`` for the ``nth`` time."""

    at: str = fault_field(Moment.READY, MOMENT)
    nth: int | str = fault_field(1, WHICH)
    after_s: float = fault_field(0.0, SECONDS)
    every_s: float | None = fault_field(None, or_null(FACTOR))
    """Happens again at this interval."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at == Moment.CONNECTED and self.session in (FRESH, RESUMED):
            raise ConfigError(
                f'{self.kind}: at must not be "{Moment.CONNECTED}" with session {shown(self.session)}: '
                "the setup has not been read yet"
            )


@dataclass(frozen=True, kw_only=True)
class GoAway(TimedFault):
    kind = "go_away"
    time_left_s: float = fault_field(10.0, SECONDS)
    then: str = fault_field("close", one_of("close", "silent", "stay"))
    """``close`` closes when timeLeft has passed; ``silent`` sends nothing from now on, not even a close."""
    code: int = fault_field(1011, CODE)
    reason: str = fault_field(DEADLINE, TEXT)


@dataclass(frozen=True, kw_only=True)
class Close(TimedFault):
    kind = "close"
    code: int = fault_field(1011, CODE)
    reason: str = fault_field(INTERNAL, TEXT)


@dataclass(frozen=True, kw_only=True)
class DropTcp(TimedFault):
    kind = "drop_tcp"


@dataclass(frozen=True, kw_only=True)
class Stall(TimedFault):
    kind = "stall"
    what: str = fault_field("both", one_of("both", "read", "send"))
    for_s: float | None = fault_field(None, or_null(FACTOR))
    """What should have been sent meanwhile is sent afterwards; null stalls for ever and drops it."""


@dataclass(frozen=True, kw_only=True)
class SlowPong(TimedFault):
    kind = "slow_pong"
    delay_s: float | None = fault_field(30.0, or_null(SECONDS))
    """null leaves pings unanswered."""


@dataclass(frozen=True, kw_only=True)
class UnknownMessage(TimedFault):
    kind = "unknown_message"
    body: Mapping[str, Any] = fault_field({"brandNewTop": {"a": 1}}, OBJECT)


@dataclass(frozen=True, kw_only=True)
class HugeMessage(TimedFault):
    kind = "huge_message"
    size_bytes: int = fault_field(1_200_000, BYTES)


@dataclass(frozen=True, kw_only=True)
class Interrupt(TimedFault):
    kind = "interrupt"
    at: str = fault_field(Moment.TURN_STARTED, MOMENT)


@dataclass(frozen=True, kw_only=True)
class CancelTools(TimedFault):
    kind = "cancel_tools"
    at: str = fault_field(Moment.TOOL_CALLED, MOMENT)


@dataclass(frozen=True, kw_only=True)
class TurnFault(Fault):
    """Happens in the nth turn of a session, or in every turn."""

    turn: int | str = fault_field(EVERY, WHICH)


@dataclass(frozen=True, kw_only=True)
class DelayFirstAudio(TurnFault):
    kind = "delay_first_audio"
    delay_s: float = fault_field(3.0, SECONDS)


@dataclass(frozen=True, kw_only=True)
class EmptyTurn(TurnFault):
    kind = "empty_turn"
    reason: str | None = fault_field(None, or_null(TEXT))
    """The turnCompleteReason, e.g. ``RESPONSE_REJECTED``."""


@dataclass(frozen=True, kw_only=True)
class SilentSpeech(TurnFault):
    kind = "silent_speech"
    amplitude: int = fault_field(0, AMPLITUDE)
    """0 is digital silence, a few units are near silence."""


@dataclass(frozen=True, kw_only=True)
class DuplicateTurnComplete(TurnFault):
    kind = "duplicate_turn_complete"
    extra: int = fault_field(1, COUNT)


@dataclass(frozen=True, kw_only=True)
class FinishedFlags(TurnFault):
    kind = "finished_flags"
    when: str = fault_field("uninterrupted", one_of("uninterrupted", "always"))


@dataclass(frozen=True, kw_only=True)
class ToolStorm(TurnFault):
    kind = "tool_storm"
    calls: int = fault_field(10, COUNT)
    name: str | None = fault_field(None, or_null(TEXT))
    """null: the first function that the client declared."""
    args: Mapping[str, Any] = fault_field({}, OBJECT)
    one_message: bool = fault_field(True, FLAG)
    when: str = fault_field("before_speech", one_of("before_speech", "after_speech", "instead"))


@dataclass(frozen=True, kw_only=True)
class ExtraUsage(TurnFault):
    kind = "usage"
    prompt: Mapping[str, int] = fault_field({"AUDIO": 10_000}, TOKENS)
    """Tokens on top of those that the turn took."""
    response: Mapping[str, int] = fault_field({}, TOKENS)
    details: bool = fault_field(True, FLAG)
    """false reports only the sums over all modalities."""


@dataclass(frozen=True, kw_only=True)
class InterruptionFault(Fault):
    """Happens at the nth interruption of a session, or at every one."""

    nth: int | str = fault_field(EVERY, WHICH)
    tone_hz: float = fault_field(1000.0, HZ)
    """The sound that must not be heard is a tone, so that a test can find it."""


@dataclass(frozen=True, kw_only=True)
class AudioWithInterrupted(InterruptionFault):
    kind = "audio_with_interrupted"


@dataclass(frozen=True, kw_only=True)
class LateChunks(InterruptionFault):
    kind = "late_chunks"
    chunks: int = fault_field(5, COUNT)
    """40 ms each."""
    after: str = fault_field("interrupted", one_of("interrupted", "turn_complete"))


@dataclass(frozen=True, kw_only=True)
class RefuseUpgrade(Fault):
    kind = "refuse_upgrade"
    before_setup = True
    status: int = fault_field(429, STATUS)
    reason: str = fault_field(QUOTA, TEXT)
    retry_after_s: int | None = fault_field(None, or_null(COUNT))
    beyond: int | None = fault_field(None, or_null(COUNT))
    """Only while at least this many other sessions are open."""


@dataclass(frozen=True, kw_only=True)
class RefuseSetup(Fault):
    kind = "refuse_setup"
    code: int = fault_field(1011, CODE)
    reason: str = fault_field(QUOTA, TEXT)
    beyond: int | None = fault_field(None, or_null(COUNT))


@dataclass(frozen=True, kw_only=True)
class RefuseText(Fault):
    kind = "refuse_text"
    text: str = fault_field("poison", TEXT)
    """Refused anywhere in what the model would read, including the setup."""
    code: int = fault_field(1007, CODE)
    reason: str = fault_field("Request contains an invalid argument.", TEXT)


@dataclass(frozen=True, kw_only=True)
class HandleFault(Fault):
    """Happens to sessions that are resumed with a handle that descends from session ``issued_by``."""

    issued_by: int | str = fault_field(EVERY, WHICH)


@dataclass(frozen=True, kw_only=True)
class RefuseHandle(HandleFault):
    kind = "refuse_handle"
    code: int = fault_field(1008, CODE)
    reason: str = fault_field(NOT_FOUND, TEXT)


@dataclass(frozen=True, kw_only=True)
class PoisonHandle(HandleFault):
    kind = "poison_handle"
    after_s: float = fault_field(0.5, SECONDS)
    code: int = fault_field(1011, CODE)
    reason: str = fault_field(INTERNAL, TEXT)


@dataclass(frozen=True, kw_only=True)
class ForgetContext(HandleFault):
    kind = "forget_context"


@dataclass(frozen=True, kw_only=True)
class RefuseResumeWhileOpen(HandleFault):
    kind = "refuse_resume_while_open"
    code: int = fault_field(1011, CODE)
    reason: str = fault_field(INTERNAL, TEXT)


@dataclass(frozen=True, kw_only=True)
class RefuseNullHandle(Fault):
    kind = "refuse_null_handle"
    missing: bool = fault_field(False, FLAG)
    """Also refuse a sessionResumption that has no handle at all."""
    code: int = fault_field(1007, CODE)
    reason: str = fault_field("Invalid session_resumption.handle.", TEXT)


@dataclass(frozen=True, kw_only=True)
class WithholdHandles(Fault):
    kind = "withhold_handles"


@dataclass(frozen=True, kw_only=True)
class ChangedPace(Fault):
    kind = "pace"
    times_real_time: float = fault_field(1.0, FACTOR)
    burst_s: float = fault_field(0.0, SECONDS)
    """Seconds of speech that are sent at once; 0 sends each 40 ms on its own."""


@dataclass(frozen=True, kw_only=True)
class GenerateFault(Fault):
    """Happens to the nth request for generateContent, which belongs to no session."""

    nth: int | str = fault_field(EVERY, WHICH)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.session != EVERY:
            raise ConfigError(
                f'{self.kind}: session must be "{EVERY}", because generateContent belongs to none, '
                f"not {shown(self.session)}; nth says which request"
            )


@dataclass(frozen=True, kw_only=True)
class RefuseGenerate(GenerateFault):
    kind = "refuse_generate"
    status: int = fault_field(429, STATUS)
    reason: str = fault_field(QUOTA, TEXT)
    retry_after_s: float | None = fault_field(None, or_null(SECONDS))


@dataclass(frozen=True, kw_only=True)
class BadAnswer(GenerateFault):
    kind = "bad_answer"
    what: str = fault_field(
        "not_json", one_of("not_json", "unfit", "cut_off", "safety", "blocked", "empty", "dropped")
    )


@dataclass(frozen=True, kw_only=True)
class SlowAnswer(GenerateFault):
    kind = "slow_answer"
    delay_s: float = fault_field(30.0, SECONDS)


FAULTS: dict[str, type[Fault]] = {
    fault.kind: fault
    for fault in (
        *(GoAway, Close, DropTcp, Stall, SlowPong, UnknownMessage, HugeMessage, Interrupt, CancelTools),
        *(DelayFirstAudio, EmptyTurn, SilentSpeech, DuplicateTurnComplete, FinishedFlags, ToolStorm, ExtraUsage),
        *(AudioWithInterrupted, LateChunks, ChangedPace, RefuseUpgrade, RefuseSetup, RefuseText),
        *(RefuseHandle, PoisonHandle, ForgetContext, RefuseResumeWhileOpen, RefuseNullHandle, WithholdHandles),
        *(RefuseGenerate, BadAnswer, SlowAnswer),
    )
}
"""Every fault class by its name in a script."""
