"""What a scenario says: what a caller does and expects on one call, on which network. Pure.

Its manual is docs/scenarios.md.

Every model is frozen, refuses fields that it does not know, and bounds what it holds. A field that may be written
alone (``say: hello`` for ``say: {text: hello}``) is named by ``short``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_STEPS = 500
MAX_RULES = 100
MAX_SCENARIO_S = 3600.0

Seconds = Annotated[float, Field(ge=0, le=MAX_SCENARIO_S)]
Milliseconds = Annotated[float, Field(ge=0, le=60_000)]
Percent = Annotated[float, Field(ge=0, le=100)]
Words = Annotated[str, Field(min_length=1, max_length=2000)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
File = Annotated[str, Field(min_length=1, max_length=1000)]
"A path; one that is relative begins at the scenario's own folder."


def _pattern(text: str) -> str:
    try:
        re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return text


Pattern = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_pattern)]
"A regular expression, searched for without regard to case."


class Part(BaseModel):
    """A part of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    short: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _written_alone(cls, value: Any) -> Any:
        if value is None:
            return {}
        if cls.short is not None and not isinstance(value, dict | BaseModel):
            return {cls.short: value}
        return value


# ---- what the caller does --------------------------------------------------------------------------------------


class Say(Part):
    """The caller says a text; the step ends with its last word."""

    short: ClassVar = "text"
    text: Words


class Play(Part):
    """The caller plays a sound file, in any format that FFmpeg knows."""

    short: ClassVar = "file"
    file: File
    text: Words | None = None
    "What is said in it, for the offline model and for `no_word_lost`."


class Tone(Part):
    """The caller sends a tone."""

    hz: float = Field(ge=50, le=7000)
    for_ms: float = Field(ge=20, le=60_000)


class WaitForReply(Part):
    """Wait until the agent has answered and is quiet again; fails if it does not."""

    within_s: Seconds = 15.0
    "Until the answer must have begun."


class BargeIn(Part):
    """The caller speaks into an answer, so long after it became audible; fails if there is none."""

    after_ms: Milliseconds
    say: Words
    within_s: Seconds = 15.0
    "Until the answer must have begun."


class Type(Part):
    """The caller types."""

    short: ClassVar = "text"
    text: Words


class Press(Part):
    """The caller presses keys of a telephone, one every 160 ms."""

    short: ClassVar = "keys"
    keys: str = Field(pattern=r"^[0-9*#A-D]{1,60}$")


class Picture(Part):
    """The caller sends a picture with a question."""

    short: ClassVar = "file"
    file: File
    text: Words = "What is in this picture?"


class Camera(Part):
    """From now on the caller's camera shows a file, a picture or a video."""

    short: ClassVar = "file"
    file: File


class Silent(Part):
    """The caller says nothing for a while."""

    short: ClassVar = "for_s"
    for_s: Seconds


class HangUp(Part):
    """The caller ends the call."""


class Vanish(Part):
    """The caller is gone without a goodbye: nothing more is sent, on any layer."""


class ComeBack(Part):
    """The caller calls again and goes on with the same conversation."""

    short: ClassVar = "after_s"
    after_s: Seconds = 0.0


# ---- what the caller expects -----------------------------------------------------------------------------------


class ToolCall(Part):
    """A tool was called, and ended."""

    short: ClassVar = "name"
    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=50)
    "Those that matter; a text is compared without regard to case."
    outcome: Literal["result", "error", "timeout", "unconfirmed", "cancelled", "any"] = "result"
    "How the call ended; `any` does not even wait for its end."


class Turns(Part):
    """How many turns there were in the whole call."""

    short: ClassVar = "agent"
    agent: int | None = Field(None, ge=0, le=10_000)
    caller: int | None = Field(None, ge=0, le=10_000)


class SeenEvent(Part):
    """A message came over the data channel; docs/events.md lists them."""

    short: ClassVar = "type"
    type: Name
    "Of a server-message its own type."
    data: dict[str, Any] = Field(default_factory=dict, max_length=50)
    "Those fields that matter."


class Ended(Part):
    """The service ended the call."""

    short: ClassVar = "reason"
    reason: Pattern


class Expect(Part):
    """What has to hold; each field that is given is judged by itself.

    Unless it says otherwise, an expectation is about what has happened since the caller last said or did something.
    """

    reply_within_ms: Milliseconds | None = None
    "From the end of the caller's speech to the first audible sample of the answer."
    heard: Pattern | None = None
    "The agent said it, audibly."
    transcribed: Pattern | None = None
    "It is in the transcript of the caller."
    tool: ToolCall | None = None
    not_called: Name | None = None
    "A tool that is not called by the end of the answer."
    turns: Turns | None = None
    silent_s: Seconds | None = None
    "The agent says nothing for so long, from now on."
    event: SeenEvent | None = None
    interrupted_within_ms: Milliseconds | None = None
    "From the beginning of the caller's speech to the last audible sample of the answer that it cut off."
    ended: Ended | None = None
    cost_below_usd: float | None = Field(None, ge=0, le=1000)
    "The whole call so far."
    no_word_lost: Literal[True] | None = None
    "Every word that the caller said in the whole call so far is in the caller's transcript."
    within_s: Seconds = 10.0
    "How long to wait for what has not happened yet."

    @model_validator(mode="after")
    def _says_something(self) -> Expect:
        if not self.kinds:
            raise ValueError("it says nothing that has to hold")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The fields that are given, in the order in which they are judged."""
        names = type(self).model_fields
        return tuple(name for name in names if name != "within_s" and getattr(self, name) is not None)


Act: TypeAlias = (
    Say
    | Play
    | Tone
    | WaitForReply
    | BargeIn
    | Type
    | Press
    | Picture
    | Camera
    | Silent
    | HangUp
    | Vanish
    | ComeBack
    | Expect
)
ACTS: dict[str, type[Act]] = {
    "say": Say,
    "play": Play,
    "tone": Tone,
    "wait_for_reply": WaitForReply,
    "barge_in": BargeIn,
    "type": Type,
    "press": Press,
    "picture": Picture,
    "camera": Camera,
    "silent": Silent,
    "hang_up": HangUp,
    "vanish": Vanish,
    "come_back": ComeBack,
    "expect": Expect,
}
"By the name that a scenario calls them."


class Step(BaseModel):
    """One step of a scenario."""

    model_config = ConfigDict(frozen=True)
    name: str
    "A key of `ACTS`."
    act: Act
    line: int
    "Where it stands in the file, from 1."


# ---- network and noise -----------------------------------------------------------------------------------------


class Outage(Part):
    """Nothing gets through for a while."""

    at_s: Seconds
    "Since the media connection was up."
    for_s: Seconds


class Way(Part):
    """What the network does to the packets of one direction."""

    loss_percent: Percent = 0.0
    "How many packets are lost on average."
    burst_packets: float = Field(1.0, ge=1, le=500)
    "How many packets in a row a loss takes on average; with 1 each is lost by itself."
    delay_ms: Milliseconds = 0.0
    jitter_ms: Milliseconds = 0.0
    "Each packet is up to so much later, evenly distributed; packets may overtake each other."
    outages: tuple[Outage, ...] = Field((), max_length=100)


class Network(Part):
    """The network between caller and service."""

    up: Way = Way()
    "From the caller to the service."
    down: Way = Way()


class Noise(Part):
    """Noise in the caller's microphone, all the time."""

    short: ClassVar = "snr_db"
    snr_db: float = Field(ge=-20, le=80)
    "How far it lies below the caller's voice."


# ---- what the emulator does ------------------------------------------------------------------------------------


class CallTool(Part):
    """The model calls a tool."""

    short: ClassVar = "name"
    name: Name
    arguments: dict[str, Any] = Field(default_factory=dict, max_length=50)


class Rule(Part):
    """What the offline model answers, and to what; the first rule that fits is taken."""

    when: Pattern | None = None
    "The caller's words."
    when_tool: Name | None = None
    "The name of the tool whose result has come."
    times: int | None = Field(None, ge=1, le=10_000)
    "At most how often the rule is taken."
    say: Words | None = None
    "Of a tool's result, {name} stands for its field of that name."
    call: CallTool | None = None
    "After what is said."
    silent: Literal[True] | None = None
    "The model does not answer at all."

    @model_validator(mode="after")
    def _is_possible(self) -> Rule:
        if self.when is not None and self.when_tool is not None:
            raise ValueError("when and when_tool exclude each other")
        if bool(self.silent) == bool(self.say or self.call):
            raise ValueError("it must say something, call a tool, or be silent")
        return self


class Scenario(BaseModel):
    """One call, as its caller does and expects it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: Name
    description: Annotated[str, Field(max_length=2000)] = ""
    seed: int = Field(0, ge=0, le=2**32 - 1)
    "Of the network and the noise."
    max_s: float = Field(120.0, gt=0, le=MAX_SCENARIO_S)
    "A call that takes longer has failed."
    network: Network = Network()
    noise: Noise | None = None
    model: tuple[Rule, ...] = Field((), max_length=MAX_RULES)
    faults: tuple[dict[str, Any], ...] = Field((), max_length=MAX_RULES)
    "Faults of the emulator's fault script, docs/faults-script.md."
    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS)
    folder: str = "."
    "Where the scenario's files are."

    @model_validator(mode="after")
    def _can_be_played(self) -> Scenario:
        wrong = next(impossible(self.steps), None)
        if wrong is not None:
            raise ValueError(f"line {wrong[0]}: {wrong[1]}")
        return self


def impossible(steps: Iterable[Step]) -> Iterator[tuple[int, str]]:
    """Yield line and reason for each step that a caller cannot do where it stands."""
    away = False
    for step in steps:
        if isinstance(step.act, Expect):
            continue
        if isinstance(step.act, ComeBack) != away:
            where = "is not on a call here" if away else "is still on the call here"
            yield step.line, f"{step.name}: the caller {where}"
        away = isinstance(step.act, HangUp | Vanish) or (away and not isinstance(step.act, ComeBack))


def without_lists(value: Any) -> Any:
    """Return what was written with tuples in place of lists, as frozen models hold them; JSON stays as it is."""
    if isinstance(value, list):
        return tuple(map(without_lists, value))
    if isinstance(value, dict):
        return {key: item if key in ("arguments", "data") else without_lists(item) for key, item in value.items()}
    return value
