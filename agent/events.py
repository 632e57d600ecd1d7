"""What happened in a call, as frozen facts in the past tense.

A call hands each event to its observers (the client's dialect, the log, the record) in the order in
which it happened. Samples are those of the agent's voice: mono, 24 kHz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal["caller", "agent", "operator", "live", "network"]
"""Who ended the call; ``operator`` stands for a setting, a key or a shutdown, ``live`` for the Live server."""

AgentState = Literal["connecting", "listening", "thinking", "speaking"]
"""What the agent does: it thinks from the caller's question until it is heard, and while a tool runs."""

LimitKind = Literal["budget", "idle", "max_duration", "daily_budget", "daily_minutes"]
"""The limits that can end a call; see `agent.dialog.limits`."""


ENDS_BY_LIMIT = ("budget_spent", "idle", "max_duration", "daily_budget_spent", "daily_minutes_used")
"""The reasons of `CallEnded` that are limits set by the operator."""

RefusedInput = Literal["text", "note", "tool_result", "history", "agent_change", "speech"]
"""What the Live server may refuse: a typed text, a note to the model, a tool's result, the history that a fresh
session is told, a change of the agent, or the caller's voice."""


@dataclass(frozen=True, slots=True)
class AgentReady:
    """The Live session was set up; what the caller says from now on is heard at once."""

    model: str
    "The model's name."
    offline_demo: bool
    "True if the model is the local emulator."
    marked_turns: bool = False
    "True if the client must mark where the caller begins and stops speaking: nothing else detects it."
    session_id: str | None = None
    "The Live server's own name for the session; None if it gave none."


@dataclass(frozen=True, slots=True)
class AgentStateChanged:
    """The agent does something else from now on; before the first of these it is ``connecting``."""

    state: AgentState
    "What it does."


@dataclass(frozen=True, slots=True)
class CallerStartedSpeaking:
    """The caller's voice rose above the noise (by level; nothing depends on it)."""


@dataclass(frozen=True, slots=True)
class CallerStoppedSpeaking:
    """The caller has been quiet for the level meter's hangover."""


@dataclass(frozen=True, slots=True)
class CallerTranscribed:
    """Words of the caller were recognised, or typed."""

    turn_id: str
    "Stable over all revisions of one turn."
    revision: int
    "Counts up from 1 within the turn."
    text: str
    "The turn's whole text so far; replaces the earlier revision."
    final: bool
    "True once per turn: no revision follows."
    typed: bool = False
    "True if the caller typed it."


@dataclass(frozen=True, slots=True)
class AgentTranscribed:
    """Words of the agent arrived; they may not have been heard yet."""

    turn_id: str
    "Stable over all revisions of one turn."
    revision: int
    "Counts up from 1 within the turn."
    text: str
    "The turn's whole text so far; after an interruption, what was heard of it."
    final: bool
    "True once per turn: no revision follows."
    interrupted: bool = False
    "True on the final revision of a turn that the caller interrupted."
    unheard_text: str = ""
    "What was generated in an interrupted turn but not heard."
    estimated: bool = False
    "True if the place where the text was cut is an estimate; the samples that were heard are always exact."


@dataclass(frozen=True, slots=True)
class AgentStartedSpeaking:
    """The first sample of a talkspurt of the agent was sent to the caller."""

    generation: int
    "The generation it belongs to."


@dataclass(frozen=True, slots=True)
class SetUpStages:
    """How the time from a caller's offer until the agent is heard divides, see `agent.call.timeline`."""

    answer_ms: float | None = None
    "Until the offer was answered; None until it was, as with the others."
    media_ms: float | None = None
    "Then, until the media connection was up."
    agent_ms: float | None = None
    "Then, until the Live session was set up; 0 if it was there by then."
    first_audio_ms: float | None = None
    "Then, until the agent was heard; None too if the caller was heard first."


@dataclass(frozen=True, slots=True)
class CallSetUp:
    """Caller and agent can hear each other."""

    stages: SetUpStages
    "How long that took; without the last stage, which is still to come."


@dataclass(frozen=True, slots=True)
class AgentFirstHeard:
    """The agent, which begins the call, is heard for the first time."""

    after_ms: float
    "Since caller and agent could hear each other."


@dataclass(frozen=True, slots=True)
class Stages:
    """How a response time divides; the stages add up to it. See `agent.call.timeline`."""

    uplink_ms: float
    "The caller's last words were sent to the Live server."
    model_ms: float
    "The Live server waited for the end of the words, and the model began its answer."
    tools_ms: float
    "Tools ran meanwhile."
    voice_ms: float
    "The model's first sound followed its first output, and silence came before what can be heard."
    downlink_ms: float
    "The sound was sent to the caller."


@dataclass(frozen=True, slots=True)
class AgentResponded:
    """The agent is heard to answer: the first audible sample of the answer was sent."""

    generation: int
    "The generation that is the answer."
    response_ms: int
    "Since the caller's last loud frame or typed text arrived; see `agent.dialog.response`."
    typed: bool
    "True if the caller had typed."
    stages: Stages | None = None
    "What the time was spent on."


@dataclass(frozen=True, slots=True)
class AgentStoppedSpeaking:
    """The last queued sample of the agent was sent, or the queue was flushed."""

    generation: int
    "The generation it belongs to."


@dataclass(frozen=True, slots=True)
class AgentInterrupted:
    """The agent's generation was cut off; its queued speech was flushed."""

    generation: int
    "The generation that was cut off."
    heard_samples: int
    "Samples of it that were sent."
    dropped_samples: int
    "Samples of it that were flushed or refused so far."


@dataclass(frozen=True, slots=True)
class VoiceFlushed:
    """The last packet of what was cut off was sent: the agent is silent."""

    flush_ms: float
    "Since it was cut off."


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The model's first output of a generation arrived."""

    generation: int
    "Its number, counting up from 1."


@dataclass(frozen=True, slots=True)
class GenerationCompleted:
    """The model finished generating; the voice may still be playing."""

    generation: int
    "The generation that is complete."


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """The model's turn ended and it waits for the caller."""

    generation: int
    "The generation that made up the turn."
    reason: str | None
    "The server's ``turnCompleteReason``, if it gave one; ``session_ended`` if the rest of the turn will not come."


ReportLevel = Literal["none", "name", "full"]
"""What the caller is told of a tool call: nothing, which tool it is, or the arguments and the result too."""


@dataclass(frozen=True, slots=True)
class ToolReport:
    """What the caller is told of a tool call; the agent's own file is told everything."""

    level: ReportLevel = "name"
    "See `ReportLevel`."
    masked: frozenset[str] = frozenset()
    "Names of the fields whose values the caller never sees, in arguments and results, at any depth."


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The model called a tool."""

    call_id: str
    "Begins with the model's id, and is unique in the call."
    name: str
    "The tool's name."
    arguments: Mapping[str, Any] = field(repr=False)
    "As the model gave them: untrusted."
    report: ToolReport = ToolReport()
    "How much of this the caller is told."


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call was answered or cancelled."""

    call_id: str
    "As in `ToolCalled`."
    name: str
    "The tool's name."
    outcome: Literal["result", "error", "timeout", "unconfirmed", "cancelled"]
    "How it ended; ``unconfirmed``: it did not run, because the model must ask the caller first."
    result: Any = field(default=None, repr=False)
    "What the model was told."
    report: ToolReport = ToolReport()
    "As in `ToolCalled`."


@dataclass(frozen=True, slots=True)
class PictureSent:
    """A picture of what the caller shows was sent to the model."""

    source: str
    "``camera`` or ``screen``."
    width: int
    "In pixels, as sent."
    height: int
    "In pixels, as sent."
    bytes: int
    "Length of the JPEG."


@dataclass(frozen=True, slots=True)
class AgentShowedPicture:
    """The model made a picture; `agent.call.drawn` keeps the newest ones."""

    number: int
    "Counts up from 1 within the call."
    mime_type: str
    "``image/png``, ``image/jpeg``, ``image/webp`` or ``image/gif``."
    data: bytes = field(repr=False)
    "The picture, as the model made it: untrusted."


@dataclass(frozen=True, slots=True)
class SessionEnding:
    """The Live server announced that it will close the session; another one will take over in time."""

    time_left_s: float
    "Seconds that the server gave."


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The Live session ended unexpectedly; another one is being sought."""

    detail: str
    "What happened, for a person."
    fault: Fault
    "Whose fault it was."


@dataclass(frozen=True, slots=True)
class SessionReplaced:
    """Another Live session took over."""

    resumed: bool
    "True if the server restored the session's state; False if it is a fresh one."
    outage_ms: int
    "How long there was no session. What the caller said meanwhile was kept."
    replayed_ms: int
    "How much of the caller's voice was sent again."
    session_id: str | None = None
    "The Live server's own name for the session; None if it gave none."


@dataclass(frozen=True, slots=True)
class ContextRebuilt:
    """A fresh session was told what was said so far, as it was heard; the model knows only the words."""

    turns: int
    "How many turns it was told."


@dataclass(frozen=True, slots=True)
class ContextLost:
    """The session knows nothing of what was said.

    Either there is no transcript to tell it; or it was resumed and has forgotten everything. In the latter case a
    fresh session takes over, and `ContextRebuilt` follows.
    """


@dataclass(frozen=True, slots=True)
class InputRefused:
    """The Live server refused something twice (close code 1007); it is not sent again, and the call goes on."""

    what: RefusedInput
    "What it was."
    reason: str
    "The server's words."


@dataclass(frozen=True, slots=True)
class AgentFellSilent:
    """The caller waits for an answer that does not come; something is done about it."""

    cause: Literal["no_answer", "empty_turn", "inaudible", "no_message"]
    "What was noticed."
    step: Literal["nudge", "resume", "rebuild", "apologise"]
    "What is done: ask the model, resume the session, build a fresh one, or only apologise."
    reason: str | None
    "The server's ``turnCompleteReason`` of the latest turn, if it gave one."


@dataclass(frozen=True, slots=True)
class QualityEstimated:
    """How well caller and agent heard each other in the last ten seconds; see `agent.call.quality`."""

    mos_in: float | None
    "An estimate of the mean opinion score, 1 to 4.5, of what came from the caller; None if nothing did."
    mos_out: float | None
    "The same of what the caller got; None if the caller does not report it."
    loss_in_percent: float | None
    "How much of it did not come in time."
    loss_out_percent: float | None
    "The same of what the caller got."
    jitter_in_ms: float
    "How unevenly it came (RFC 3550)."
    jitter_out_ms: float | None
    "The same at the caller's end."
    rtt_ms: float | None
    "The round-trip time."


@dataclass(frozen=True, slots=True)
class UsageReported:
    """The Live server reported what a turn cost; the figures are those of the whole call so far."""

    tokens: Mapping[str, Mapping[str, int]]
    "By direction (``prompt``, ``response``) and modality (``TEXT``, ``AUDIO`` and so on; see docs/usage.md)."
    cost_usd: float | None
    "What they cost by the price list; None if the price of the model is not known."


@dataclass(frozen=True, slots=True)
class LimitNear:
    """Most of a limit is used up; when it is reached, the agent says goodbye and the call ends."""

    kind: LimitKind
    "Which limit; never a daily one, which does not concern the caller."
    used: float
    "How much of it is used: US dollars for ``budget``, seconds for the others."
    limit: float
    "The limit, in the same unit."


@dataclass(frozen=True, slots=True)
class AgentThought:
    """The model summed up what it thinks, which the agent does not say."""

    text: str = field(repr=False)
    "A piece of the summary."


@dataclass(frozen=True, slots=True)
class Source:
    """A web page that an answer rests on: untrusted."""

    title: str
    "As the search named it."
    uri: str
    "Begins with http:// or https://."


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """The model has searched the web for its answer."""

    queries: tuple[str, ...] = field(repr=False)
    "What it searched for."
    sources: tuple[Source, ...] = field(repr=False)
    "What it found, each address once."


@dataclass(frozen=True, slots=True)
class CodeWritten:
    """The model wrote a program, which the Live server runs."""

    language: str
    "In lower case, such as ``python``."
    code: str = field(repr=False)
    "The program."


@dataclass(frozen=True, slots=True)
class CodeRan:
    """The program of `CodeWritten` was run."""

    outcome: str
    "``ok``, ``failed`` or ``deadline_exceeded``."
    output: str = field(repr=False)
    "What it wrote, or why it failed."


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word of the caller."""

    text: str = field(repr=False)
    "The word."
    start_s: float | None
    "When it began, by the Live server's count; None if the server did not say."
    end_s: float | None
    "When it ended."


@dataclass(frozen=True, slots=True)
class CallerWordsTimed:
    """The times of the words that were transcribed just now."""

    words: tuple[TimedWord, ...] = field(repr=False)
    "In order."


@dataclass(frozen=True, slots=True)
class AppEventSent:
    """A tool sent something to the caller's page or app."""

    name: str
    "What kind of event it is."
    data: Any = field(repr=False)
    "Anything that JSON can hold."


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The caller pressed a key of the telephone. It may be part of a PIN: do not log it."""

    key: str = field(repr=False)
    "One of ``0123456789*#ABCD``."


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """Both sides of the call are being recorded from its first packet on."""

    key: str
    "Names the recording: its path below the setting `record_folder`."


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    """From now on nothing that is said is recorded, only that time passes."""


@dataclass(frozen=True, slots=True)
class RecordingResumed:
    """What is said is recorded again."""


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """The rest of the call is not recorded, because the disk is full, too slow or broken; the call goes on."""

    key: str
    "As in `RecordingStarted`; what was written until then is kept."
    detail: str
    "What happened, for a person."


@dataclass(frozen=True, slots=True)
class RecordingStored:
    """The recording is complete."""

    key: str
    "As in `RecordingStarted`."
    bytes: int
    "Length of the file."
    duration_ms: int
    "Length of the recording."
    lost_ms: int
    "How much of what was said is missing in it, both sides added up."


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over; nothing follows."""

    reason: str
    "A short word such as ``hung_up``, ``ice_lost``, ``live_refused``, ``budget_spent`` or ``shutdown``."
    detail: str
    "One sentence for a person."
    fault: Fault
    "Whose fault it was."

    @property
    def is_error(self) -> bool:
        """True unless somebody simply hung up, or the call reached a limit."""
        return self.reason not in ("hung_up", "caller_left", *ENDS_BY_LIMIT)


Event = (
    AgentReady
    | CallSetUp
    | AgentFirstHeard
    | AgentStateChanged
    | CallerStartedSpeaking
    | CallerStoppedSpeaking
    | CallerTranscribed
    | AgentTranscribed
    | AgentStartedSpeaking
    | AgentResponded
    | AgentStoppedSpeaking
    | AgentInterrupted
    | VoiceFlushed
    | GenerationStarted
    | GenerationCompleted
    | TurnCompleted
    | ToolCalled
    | ToolFinished
    | PictureSent
    | AgentShowedPicture
    | SessionEnding
    | SessionLost
    | SessionReplaced
    | ContextRebuilt
    | ContextLost
    | InputRefused
    | AgentFellSilent
    | QualityEstimated
    | UsageReported
    | LimitNear
    | AgentThought
    | SourcesFound
    | CodeWritten
    | CodeRan
    | CallerWordsTimed
    | AppEventSent
    | KeyPressed
    | RecordingStarted
    | RecordingPaused
    | RecordingResumed
    | RecordingFailed
    | RecordingStored
    | CallEnded
)
