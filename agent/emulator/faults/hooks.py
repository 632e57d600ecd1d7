"""Makes the faults of a script happen in one session."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from agent.emulator.faults.fields import EVERY
from agent.emulator.faults.kinds import (
    CancelTools,
    ChangedPace,
    Close,
    DropTcp,
    ForgetContext,
    GoAway,
    HandleFault,
    HugeMessage,
    Interrupt,
    InterruptionFault,
    PoisonHandle,
    RefuseHandle,
    RefuseNullHandle,
    RefuseResumeWhileOpen,
    RefuseSetup,
    RefuseText,
    RefuseUpgrade,
    SlowPong,
    Stall,
    TimedFault,
    TurnFault,
    UnknownMessage,
    WithholdHandles,
)
from agent.emulator.faults.schedule import FaultSchedule, is_nth
from agent.emulator.faults.spoiled import SpoiledTurn, around_interrupted
from agent.emulator.hooks import HookedSession, Hooks, Refusal, SpeechPace
from agent.emulator.model.turn import Reply, Turn
from agent.emulator.moments import Moment
from agent.emulator.record import SessionRecord
from agent.emulator.wire.incoming import ClientMessage, History
from agent.emulator.wire.outgoing import ServerMessage, go_away
from agent.emulator.wire.outgoing import message as server_message
from agent.emulator.wire.parse import WireError, words_of

_Act: TypeAlias = Callable[[HookedSession], Awaitable[None]]

_CLIENT_LEFT_CHECK_S = 0.05  # while reading is stalled, only polling shows that the client has left


class FaultHooks(Hooks):
    """One session under a script.

    Args:
        schedule: the server's.
        inner: a test's own hooks, which act after the script.
    """

    def __init__(self, schedule: FaultSchedule, inner: Hooks) -> None:
        self._schedule = schedule
        self._inner = inner
        self._seen: Counter[Moment] = Counter()
        self._due: asyncio.Queue[tuple[float, _Act]] = asyncio.Queue()
        self._muted = False
        self._held: deque[ServerMessage] | None = None
        self._readable = asyncio.Event()
        self._readable.set()
        self._pong_delay_s: float | None = 0.0
        self._changed_pace: ChangedPace | None = None
        self._turn = SpoiledTurn()
        self._interruptions = 0
        self._after_turn: list[ServerMessage] = []

    # connecting

    def upgrade(self, record: SessionRecord) -> Refusal | None:
        for fault in self._schedule.happening(record, RefuseUpgrade, partial(self._is_full, record)):
            return Refusal(fault.status, fault.reason, fault.retry_after_s)
        return self._inner.upgrade(record)

    def _is_full(self, record: SessionRecord, fault: RefuseUpgrade | RefuseSetup) -> bool:
        return fault.beyond is None or len(self._schedule.others_open(record)) >= fault.beyond

    async def set_up(self, session: HookedSession, history: History | None) -> History | None:
        record = session.record
        for refusal in self._schedule.happening(record, RefuseSetup, partial(self._is_full, record)):
            raise _refused(refusal)
        self._changed_pace = next(self._schedule.happening(record, ChangedPace), None)
        if record.handle is None:
            for no_handle in self._schedule.happening(record, RefuseNullHandle, partial(_has_no_handle, record)):
                raise _refused(no_handle)
        else:
            history = self._resume(record, history)
        return await self._inner.set_up(session, history)

    def received(self, record: SessionRecord, message: ClientMessage) -> None:
        words = words_of(message)
        if words:
            for refusal in self._schedule.happening(record, RefuseText, lambda fault: fault.text in words):
                raise _refused(refusal)
        self._inner.received(record, message)

    def _resume(self, record: SessionRecord, history: History | None) -> History | None:
        def concerned(fault: HandleFault) -> bool:
            return fault.issued_by == EVERY or fault.issued_by in record.lineage[1:]

        def too_early(fault: RefuseResumeWhileOpen) -> bool:
            return concerned(fault) and any(
                other.lineage[-1] == record.lineage[-1] for other in self._schedule.others_open(record)
            )

        for early in self._schedule.happening(record, RefuseResumeWhileOpen, too_early):
            raise _refused(early)
        for refusal in self._schedule.happening(record, RefuseHandle, concerned):
            raise _refused(refusal)
        for poison in self._schedule.happening(record, PoisonHandle, concerned):
            self._act_after(poison.after_s, partial(_close, fault=poison))
        for _ in self._schedule.happening(record, ForgetContext, concerned):
            history = None if history is None else ()
        return history

    # moments

    async def at(self, session: HookedSession, moment: Moment) -> None:
        self._seen[moment] += 1
        number = self._seen[moment]
        if moment is Moment.TURN_STARTED:
            faults = self._schedule.happening(session.record, TurnFault, lambda fault: is_nth(fault.turn, number))
            self._turn = SpoiledTurn(tuple(faults))
        for fault in self._schedule.happening(
            session.record, TimedFault, lambda fault: fault.at == moment and is_nth(fault.nth, number)
        ):
            await self._start(session, fault)
        if moment is Moment.MESSAGE_RECEIVED and not self._readable.is_set():
            await self._wait_readable(session)
        await self._inner.at(session, moment)

    async def _start(self, session: HookedSession, fault: TimedFault) -> None:
        """Act at once where possible, so that it comes before anything else that the session does."""
        if fault.after_s or fault.every_s or isinstance(fault, GoAway | Interrupt | CancelTools):
            self._act_after(fault.after_s, partial(self._run_fault, fault=fault))
        else:
            await self._act(session, fault)

    async def _run_fault(self, session: HookedSession, fault: TimedFault) -> None:
        await self._act(session, fault)
        while fault.every_s is not None:
            await asyncio.sleep(fault.every_s)
            if not self._schedule.again(fault):
                return
            self._schedule.report(fault, session.record)
            await self._act(session, fault)

    async def _act(self, session: HookedSession, fault: TimedFault) -> None:
        match fault:
            case GoAway():
                await self._go_away(session, fault)
            case Close():
                await _close(session, fault)
            case DropTcp():
                session.abort()
            case Stall():
                self._stall(fault)
            case SlowPong(delay_s=delay_s):
                self._pong_delay_s = delay_s
            case UnknownMessage(body=body):
                await session.send(server_message("unknown", dict(body)))
            case HugeMessage(size_bytes=size):
                await session.send(server_message("huge", {"serverContent": {"padding": "x" * size}}))
            case Interrupt():
                await session.interrupt()
            case CancelTools():
                await session.cancel_calls()

    async def _go_away(self, session: HookedSession, fault: GoAway) -> None:
        await session.send(go_away(fault.time_left_s))
        if fault.then == "silent":
            self._muted = True
        elif fault.then == "close":
            await asyncio.sleep(fault.time_left_s)
            await _close(session, fault)

    # stalls and pings

    def _stall(self, fault: Stall) -> None:
        if fault.what != "send":
            self._readable.clear()
        if fault.what != "read":
            self._muted = fault.for_s is None
            self._held = None if fault.for_s is None else self._held or deque()
        if fault.for_s is not None:
            self._act_after(fault.for_s, self._end_stall)

    async def _end_stall(self, session: HookedSession) -> None:
        self._readable.set()
        while self._held:
            await session.send(self._held.popleft())
        self._held = None

    async def _wait_readable(self, session: HookedSession) -> None:
        while not self._readable.is_set() and not session.gone:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLIENT_LEFT_CHECK_S):
                    await self._readable.wait()

    def pong_delay_s(self) -> float | None:
        return self._pong_delay_s

    # what the model says

    def pace(self, usual: SpeechPace) -> SpeechPace:
        usual = self._inner.pace(usual)
        changed = self._changed_pace
        return usual if changed is None else SpeechPace(changed.times_real_time, changed.burst_s)

    def reply(self, session: HookedSession, turn: Turn, reply: Reply) -> Reply:
        return self._turn.reply(turn, self._inner.reply(session, turn, reply))

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        delay_s = self._turn.take_delay_s(message)
        if delay_s:
            await asyncio.sleep(delay_s)
        changed = await self._inner.before_send(session, message)
        if changed is None or self._withheld(session.record, changed):
            return None
        *first, last = self._spoiled(session.record, changed)
        for extra in first:
            if self._passes(extra):
                await session.send(extra)
        return last if self._passes(last) else None

    def _passes(self, message: ServerMessage) -> bool:
        if self._held is not None:
            self._held.append(message)
            return False
        return not self._muted

    def _withheld(self, record: SessionRecord, message: ServerMessage) -> bool:
        return message.kind == "sessionResumptionUpdate" and any(self._schedule.happening(record, WithholdHandles))

    def _spoiled(self, record: SessionRecord, message: ServerMessage) -> list[ServerMessage]:
        """What is sent in place of a message, in order."""
        out = self._turn.marks_before(message)
        if message.kind == "interrupted":
            out += self._interrupted(record, message)
        else:
            out += self._turn.messages(message)
        if message.kind == "turnComplete":
            out += self._after_turn
            self._after_turn = []
        return out

    def _interrupted(self, record: SessionRecord, message: ServerMessage) -> list[ServerMessage]:
        self._interruptions += 1
        number = self._interruptions
        faults = self._schedule.happening(record, InterruptionFault, lambda fault: is_nth(fault.nth, number))
        now, after_turn = around_interrupted(message, faults)
        self._after_turn += after_turn
        return now

    # what depends on time

    def _act_after(self, after_s: float, act: _Act) -> None:
        self._due.put_nowait((asyncio.get_running_loop().time() + after_s, act))

    async def run(self, session: HookedSession) -> None:
        """Ends when it is cancelled with the session."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._inner.run(session), name="emulator inner hooks")
            while True:
                due, act = await self._due.get()
                tasks.create_task(_act_at(due, act, session), name="emulator fault")


async def _act_at(due: float, act: _Act, session: HookedSession) -> None:
    await asyncio.sleep(due - asyncio.get_running_loop().time())
    await act(session)


async def _close(session: HookedSession, fault: Close | GoAway | PoisonHandle) -> None:
    await session.close(fault.code, fault.reason)


def _refused(
    fault: RefuseSetup | RefuseText | RefuseHandle | RefuseNullHandle | RefuseResumeWhileOpen,
) -> WireError:
    return WireError(fault.code, fault.reason, violation=False)


def _has_no_handle(record: SessionRecord, fault: RefuseNullHandle) -> bool:
    resumption = record.setup.get("sessionResumption")
    return isinstance(resumption, dict) and (fault.missing or "handle" in resumption)
