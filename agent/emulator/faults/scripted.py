"""Makes the faults of a script happen: one ``FaultScript`` for a server, one ``_FaultHooks`` for each session."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import TypeAlias, TypeVar

import numpy as np

from agent.emulator.faults.script import (
    EVERY,
    AudioWithInterrupted,
    CancelTools,
    Close,
    DelayFirstAudio,
    DropTcp,
    DuplicateTurnComplete,
    EmptyTurn,
    Fault,
    FinishedFlags,
    ForgetContext,
    GoAway,
    HandleFault,
    HugeMessage,
    Interrupt,
    InterruptionFault,
    LateChunks,
    Pace,
    PoisonHandle,
    RefuseHandle,
    RefuseNullHandle,
    RefuseResumeWhileOpen,
    RefuseSetup,
    RefuseText,
    RefuseUpgrade,
    SilentSpeech,
    SlowPong,
    Stall,
    TimedFault,
    ToolStorm,
    TurnFault,
    UnknownMessage,
    Usage,
    WithholdHandles,
)
from agent.emulator.handles import History
from agent.emulator.hooks import Hooks, Moment, Refusal, Tempo, Wire
from agent.emulator.model.brain import Call, Reply, Turn
from agent.emulator.model.pcm import SPOKEN_HZ, Pcm
from agent.emulator.model.speech import CHUNK_SAMPLES
from agent.emulator.record import SessionRecord
from agent.emulator.wire import (
    ClientMessage,
    ServerMessage,
    WireError,
    audio,
    go_away,
    transcription_finished,
    words_of,
)
from agent.emulator.wire import message as server_message

log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Fault)
_Act: TypeAlias = Callable[[Wire], Awaitable[None]]

_MODEL_OUTPUT = ("audio", "text", "outputTranscription", "toolCall")
_TONE_AMPLITUDE = 8_000
_LOOK_EVERY_S = 0.05  # a stalled reader does not notice by itself that its client left


class FaultScript:
    """The faults of one server, and how often each happened.

    Args:
        faults: in the script's order, which is the order in which they act.
        sessions: the server's records, ended ones too.
        rng: decides the chances.
    """

    def __init__(self, faults: Sequence[Fault], sessions: Iterable[SessionRecord], rng: random.Random) -> None:
        self._faults = faults
        self._happened = [0] * len(faults)
        self._sessions = sessions
        self._rng = rng

    def hooks(self, inner: Hooks) -> Hooks:
        """One session's hooks; ``inner`` comes after the script."""
        return _FaultHooks(self, inner)

    def happening(
        self, record: SessionRecord, sort: type[_F], holds: Callable[[_F], bool] = lambda fault: True
    ) -> Iterator[_F]:
        """Faults of a sort that happen to a session now; each that is taken from the iterator is counted."""
        for index, fault in enumerate(self._faults):
            if isinstance(fault, sort) and _concerns(fault, record) and holds(fault) and self._count(index):
                self.tell(fault, record)
                yield fault

    def tell(self, fault: Fault, record: SessionRecord) -> None:
        log.info("session %d: fault %s", record.number, fault.kind)
        record.faulted(fault.kind)

    def again(self, fault: Fault) -> bool:
        """Whether a fault that repeats itself may happen once more; then it is counted."""
        return self._count(next(index for index, known in enumerate(self._faults) if known is fault))

    def others_open(self, record: SessionRecord) -> list[SessionRecord]:
        return [other for other in self._sessions if other.open and other is not record]

    def _count(self, index: int) -> bool:
        fault = self._faults[index]
        if fault.times is not None and self._happened[index] >= fault.times:
            return False
        if fault.chance < 1 and self._rng.random() >= fault.chance:
            return False
        self._happened[index] += 1
        return True


def _concerns(fault: Fault, record: SessionRecord) -> bool:
    match fault.session:
        case "every":
            return True
        case "fresh":
            return record.handle is None
        case "resumed":
            return record.handle is not None
        case number:
            return record.number == number


def _is_nth(which: int | str, number: int) -> bool:
    return which in (EVERY, number)


class _FaultHooks(Hooks):
    """One session under the script; ``inner`` are a test's own hooks."""

    def __init__(self, script: FaultScript, inner: Hooks) -> None:
        self._script = script
        self._inner = inner
        self._seen: Counter[Moment] = Counter()
        self._due: asyncio.Queue[tuple[float, _Act]] = asyncio.Queue()
        self._muted = False
        self._held: deque[ServerMessage] | None = None
        self._readable = asyncio.Event()
        self._readable.set()
        self._pong_delay_s: float | None = 0.0
        self._pace: Pace | None = None
        self._turn_faults: list[TurnFault] = []
        self._first_delay_s = 0.0
        self._interruptions = 0
        self._late: list[ServerMessage] = []
        self._marks = _FinishedMarks()

    # --- connecting

    def upgrade(self, record: SessionRecord) -> Refusal | None:
        for fault in self._script.happening(record, RefuseUpgrade, partial(self._is_full, record)):
            return Refusal(fault.status, fault.reason, fault.retry_after_s)
        return self._inner.upgrade(record)

    def _is_full(self, record: SessionRecord, fault: RefuseUpgrade | RefuseSetup) -> bool:
        return fault.beyond is None or len(self._script.others_open(record)) >= fault.beyond

    async def set_up(self, wire: Wire, history: History | None) -> History | None:
        record = wire.record
        for refusal in self._script.happening(record, RefuseSetup, partial(self._is_full, record)):
            raise _refused(refusal)
        self._pace = next(self._script.happening(record, Pace), None)
        if record.handle is None:
            for nothing in self._script.happening(record, RefuseNullHandle, partial(_has_no_handle, record)):
                raise _refused(nothing)
        else:
            history = self._resume(record, history)
        return await self._inner.set_up(wire, history)

    def received(self, record: SessionRecord, message: ClientMessage) -> None:
        words = words_of(message)
        if words:
            for refusal in self._script.happening(record, RefuseText, lambda fault: fault.text in words):
                raise _refused(refusal)
        self._inner.received(record, message)

    def _resume(self, record: SessionRecord, history: History | None) -> History | None:
        def concerned(fault: HandleFault) -> bool:
            return fault.issued_by == EVERY or fault.issued_by in record.lineage[1:]

        def blocked(fault: RefuseResumeWhileOpen) -> bool:
            return concerned(fault) and any(
                other.lineage[-1] == record.lineage[-1] for other in self._script.others_open(record)
            )

        for early in self._script.happening(record, RefuseResumeWhileOpen, blocked):
            raise _refused(early)
        for refusal in self._script.happening(record, RefuseHandle, concerned):
            raise _refused(refusal)
        for poison in self._script.happening(record, PoisonHandle, concerned):
            self._later(poison.after_s, partial(_close, fault=poison))
        for _ in self._script.happening(record, ForgetContext, concerned):
            history = None if history is None else ()
        return history

    # --- moments

    async def at(self, wire: Wire, moment: Moment) -> None:
        self._seen[moment] += 1
        number = self._seen[moment]
        if moment is Moment.TURN_STARTED:
            self._begin_turn(wire.record, number)
        for fault in self._script.happening(
            wire.record, TimedFault, lambda fault: fault.at == moment and _is_nth(fault.nth, number)
        ):
            await self._start(wire, fault)
        if moment is Moment.MESSAGE_RECEIVED and not self._readable.is_set():
            await self._wait_readable(wire)
        await self._inner.at(wire, moment)

    def _begin_turn(self, record: SessionRecord, number: int) -> None:
        self._turn_faults = list(
            self._script.happening(record, TurnFault, lambda fault: _is_nth(fault.turn, number))
        )
        self._first_delay_s = sum(
            fault.delay_s for fault in self._turn_faults if isinstance(fault, DelayFirstAudio)
        )
        self._marks = _FinishedMarks(
            *(fault.when for fault in self._turn_faults if isinstance(fault, FinishedFlags))
        )

    async def _start(self, wire: Wire, fault: TimedFault) -> None:
        """At once if it can be: nothing that the session does next comes before it."""
        if fault.after_s or fault.every_s or isinstance(fault, GoAway | Interrupt | CancelTools):
            self._later(fault.after_s, partial(self._run_fault, fault=fault))
        else:
            await self._act(wire, fault)

    async def _run_fault(self, wire: Wire, fault: TimedFault) -> None:
        await self._act(wire, fault)
        while fault.every_s is not None:
            await asyncio.sleep(fault.every_s)
            if not self._script.again(fault):
                return
            self._script.tell(fault, wire.record)
            await self._act(wire, fault)

    async def _act(self, wire: Wire, fault: TimedFault) -> None:
        match fault:
            case GoAway():
                await self._go_away(wire, fault)
            case Close():
                await _close(wire, fault)
            case DropTcp():
                wire.abort()
            case Stall():
                self._stall(fault)
            case SlowPong(delay_s=delay_s):
                self._pong_delay_s = delay_s
            case UnknownMessage(body=body):
                await wire.send(server_message("unknown", dict(body)))
            case HugeMessage(size_bytes=size):
                await wire.send(server_message("huge", {"serverContent": {"padding": "x" * size}}))
            case Interrupt():
                await wire.interrupt()
            case CancelTools():
                await wire.cancel_calls()

    async def _go_away(self, wire: Wire, fault: GoAway) -> None:
        await wire.send(go_away(fault.time_left_s))
        if fault.then == "silent":
            self._muted = True
        elif fault.then == "close":
            await asyncio.sleep(fault.time_left_s)
            await _close(wire, fault)

    # --- stalls and pings

    def _stall(self, fault: Stall) -> None:
        if fault.what != "send":
            self._readable.clear()
        if fault.what != "read":
            self._muted = fault.for_s is None
            self._held = None if fault.for_s is None else self._held or deque()
        if fault.for_s is not None:
            self._later(fault.for_s, self._end_stall)

    async def _end_stall(self, wire: Wire) -> None:
        self._readable.set()
        while self._held:
            await wire.send(self._held.popleft())
        self._held = None

    async def _wait_readable(self, wire: Wire) -> None:
        while not self._readable.is_set() and not wire.gone:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._readable.wait()

    def pong_delay_s(self) -> float | None:
        return self._pong_delay_s

    # --- what the model says

    def tempo(self, usual: Tempo) -> Tempo:
        usual = self._inner.tempo(usual)
        return usual if self._pace is None else Tempo(self._pace.times_real_time, self._pace.burst_s)

    def reply(self, wire: Wire, turn: Turn, reply: Reply) -> Reply:
        reply = self._inner.reply(wire, turn, reply)
        if turn.results or turn.unanswered:
            return reply  # the turn went on after its calls
        for fault in self._turn_faults:
            if isinstance(fault, ToolStorm):
                reply = _stormy(fault, turn, reply)
            elif isinstance(fault, EmptyTurn):
                reply = ()
        return reply

    async def before_send(self, wire: Wire, message: ServerMessage) -> ServerMessage | None:
        if self._first_delay_s and message.kind in _MODEL_OUTPUT:
            delay_s, self._first_delay_s = self._first_delay_s, 0.0
            await asyncio.sleep(delay_s)
        changed = await self._inner.before_send(wire, message)
        if changed is None or self._withheld(wire.record, changed):
            return None
        *first, last = self._altered(wire.record, changed)
        for extra in first:
            await self._send(wire, extra)
        return last if self._passes(last) else None

    async def _send(self, wire: Wire, message: ServerMessage) -> None:
        if self._passes(message):
            await wire.send(message)

    def _passes(self, message: ServerMessage) -> bool:
        if self._held is not None:
            self._held.append(message)
            return False
        return not self._muted

    def _withheld(self, record: SessionRecord, message: ServerMessage) -> bool:
        return message.kind == "sessionResumptionUpdate" and any(self._script.happening(record, WithholdHandles))

    def _altered(self, record: SessionRecord, message: ServerMessage) -> list[ServerMessage]:
        """What goes out in a message's place, in order."""
        out = [*self._marks.before(message), message]
        if message.kind == "interrupted":
            out = [*out[:-1], *self._around_interrupted(record, message)]
        for fault in self._turn_faults:
            match fault:
                case SilentSpeech(amplitude=amplitude) if message.kind == "audio":
                    out[-1] = _hushed(message, amplitude)
                case EmptyTurn(reason=str(reason)) if message.kind == "turnComplete":
                    body = message.json
                    body["serverContent"]["turnCompleteReason"] = reason
                    out[-1] = server_message("turnComplete", body)
                case Usage() if "usageMetadata" in out[-1].json:
                    out[-1] = _dearer(out[-1], fault)
                case DuplicateTurnComplete(extra=extra) if message.kind == "turnComplete":
                    out += repeat(out[-1], extra)
        if message.kind == "turnComplete":
            out += self._late
            self._late = []
        return out

    def _around_interrupted(self, record: SessionRecord, message: ServerMessage) -> list[ServerMessage]:
        self._interruptions += 1
        number = self._interruptions
        out = [message]
        for fault in self._script.happening(record, InterruptionFault, lambda fault: _is_nth(fault.nth, number)):
            match fault:
                case AudioWithInterrupted():
                    body = _late_audio(fault.tone_hz).json
                    body["serverContent"]["interrupted"] = True
                    out[0] = server_message("interrupted", body)
                case LateChunks(after="interrupted"):
                    out += repeat(_late_audio(fault.tone_hz), fault.chunks)
                case LateChunks():
                    self._late += repeat(_late_audio(fault.tone_hz), fault.chunks)
        return out

    # --- what goes by time

    def _later(self, after_s: float, act: _Act) -> None:
        self._due.put_nowait((asyncio.get_running_loop().time() + after_s, act))

    async def run(self, wire: Wire) -> None:
        """Ends when it is cancelled with the session."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._inner.run(wire), name="emulator inner hooks")
            while True:
                due, act = await self._due.get()
                tasks.create_task(_at_time(wire, due, act), name="emulator fault")


class _FinishedMarks:
    """Says ``finished`` after the transcriptions of one turn, if a fault wants that."""

    def __init__(self, *when: str) -> None:
        self._when = when
        self._open: str | None = None

    def before(self, message: ServerMessage) -> list[ServerMessage]:
        """The mark that belongs before a message, if one does."""
        kind, ended = message.kind, self._open
        if kind in ("inputTranscription", "outputTranscription"):
            self._open = kind
        elif kind in ("generationComplete", "interrupted", "turnComplete"):
            self._open = None
        due = bool(self._when) and (kind != "interrupted" or "always" in self._when)
        return [transcription_finished(ended)] if due and ended is not None and ended != self._open else []


async def _at_time(wire: Wire, due: float, act: _Act) -> None:
    await asyncio.sleep(due - asyncio.get_running_loop().time())
    await act(wire)


async def _close(wire: Wire, fault: Close | GoAway | PoisonHandle) -> None:
    await wire.close(fault.code, fault.reason)


def _refused(
    fault: RefuseSetup | RefuseText | RefuseHandle | RefuseNullHandle | RefuseResumeWhileOpen,
) -> WireError:
    return WireError(fault.code, fault.reason, violation=False)


def _has_no_handle(record: SessionRecord, fault: RefuseNullHandle) -> bool:
    resumption = record.setup.get("sessionResumption")
    return isinstance(resumption, dict) and (fault.missing or "handle" in resumption)


def _stormy(fault: ToolStorm, turn: Turn, reply: Reply) -> Reply:
    name = fault.name if fault.name is not None else next(iter(turn.functions), "undeclared_function")
    call = Call(name, dict(fault.args), alone=not fault.one_message)
    calls = (call,) * fault.calls
    match fault.when:
        case "before_speech":
            return (*calls, *reply)
        case "after_speech":
            return (*reply, *calls)
        case _:
            return calls


def _dearer(message: ServerMessage, fault: Usage) -> ServerMessage:
    """The same message with more tokens in its usage."""
    body = message.json
    told = body["usageMetadata"]
    for direction, more in (("prompt", fault.prompt), ("response", fault.response)):
        told[f"{direction}TokenCount"] += sum(more.values())
        told["totalTokenCount"] += sum(more.values())
        details = told.pop(f"{direction}TokensDetails", [])
        if fault.details:
            details += [{"modality": modality, "tokenCount": tokens} for modality, tokens in more.items()]
            told[f"{direction}TokensDetails"] = details
    return server_message(message.kind, body)


def _hushed(message: ServerMessage, amplitude: int) -> ServerMessage:
    """The same stretch of speech, all but silent."""
    part = message.json["serverContent"]["modelTurn"]["parts"][0]
    samples = len(base64.b64decode(part["inlineData"]["data"])) // 2
    return audio(_tone(samples, 200.0, amplitude).astype("<i2").tobytes())


def _late_audio(tone_hz: float) -> ServerMessage:
    late = audio(_tone(CHUNK_SAMPLES, tone_hz, _TONE_AMPLITUDE).astype("<i2").tobytes())
    return replace(late, kind="lateAudio")


def _tone(samples: int, hz: float, amplitude: int) -> Pcm:
    out: Pcm = (np.sin(np.arange(samples) * (2 * np.pi * hz / SPOKEN_HZ)) * amplitude).astype(np.int16)
    return out
