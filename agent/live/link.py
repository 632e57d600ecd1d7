"""A call's link to the model over as many Live sessions as it takes.

The session is replaced when the server says that it will go away, when it is lost, and when the call asks for it.
Over the replacement the uplink holds what the caller says; the new session is resumed from the newest handle and
told again what was sent since, or begins afresh and is told the history (`agent.live.resumption` says which).
It begins afresh, too, when the newest handle knows nothing of an answer that the caller was given: the model would
give it once more.

After a goAway the session is left at a quiet point: nobody speaks, no tool call is open, and what was sent since
the newest handle can be sent again; or shortly before the time that the server gave is over. While there is plenty
of it, only a handle will do that stands for exactly what was sent before it. The old connection is closed before
the new one is opened: the server refuses to resume a session that is still open.

Tasks, all owned by `LiveLink.run`: the session's, and while a goAway is pending one that waits for the quiet point.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.clock import Clock
from agent.errors import LiveError
from agent.events import RefusedInput
from agent.live import wire
from agent.live.endings import INVALID_PAYLOAD, Ending, How, Step, error_of, row_of
from agent.live.models import rules_of
from agent.live.pulse import Pulse
from agent.live.refusals import Content, Refusals, Told
from agent.live.replay import ReplayRing, Sent
from agent.live.resumption import Move, Recovery, is_forgotten
from agent.live.session import LiveClient, LiveSession, Opening, SessionPorts
from agent.live.uplink import (
    BYTES_PER_S,
    AgentChange,
    Audio,
    Item,
    Note,
    Nudge,
    ToolResult,
    TypedText,
    Uplink,
)
from agent.picture import Picture, Shown
from agent.settings import Settings
from agent.spoken import Spoken

logger = logging.getLogger(__name__)

PLENTY_S = 10.0  # of time until the server closes
POLL_S = 0.02  # between looks for a quiet point
DEFAULT_TIME_LEFT_S = 10.0  # of a goAway that names no time
CLOSING_S = 1.0  # before the server's deadline, to close in order
CLOSING_SHARE = 0.25  # of a shorter time
MAX_ID_CHARS = 200
CHANGE_S = 20.0  # that an agent may still be who it was
AFRESH = Opening()
OUTPUT = (wire.Speech, wire.Text, wire.OutputTranscript, wire.ToolCall, Picture)


@dataclass(frozen=True, slots=True)
class Replaced:
    """A new session took over.

    Attributes:
        resumed: by a handle; else it is a fresh one.
        told_turns: turns of the history that a fresh one was told.
        outage_s: from the end of the old session until the new one was ready.
        replayed_audio_s: the caller's voice that it is sent again.
    """

    resumed: bool
    told_turns: int
    outage_s: float
    replayed_audio_s: float


@dataclass(frozen=True, slots=True)
class LinkPorts:
    """What the link tells the call and asks it; none of the functions may block.

    Attributes:
        on_ready: the first session was set up.
        on_fact: each fact, in order.
        on_picture: each picture once it was sent.
        on_ending: the server will close the session in so many seconds.
        on_ended: a session ended, and these tool results can no longer be sent; None if it was left on purpose.
        on_replaced: the next one is ready.
        on_forgotten: the session that was resumed knows nothing of what was said; a fresh one will be told.
        history: the turns so far, oldest first; with True only those up to the last complete turn of the model.
        is_quiet: nobody speaks and no tool call is open.
        on_refused: the server refused something twice, with its words on it: it is not sent again.
    """

    on_ready: Callable[[], None]
    on_fact: Callable[[wire.Fact], None]
    on_picture: Callable[[Shown], None]
    on_ending: Callable[[float], None]
    on_ended: Callable[[LiveError | None, Sequence[ToolResult]], None]
    on_replaced: Callable[[Replaced], None]
    on_forgotten: Callable[[], None]
    history: Callable[[bool], Sequence[Spoken]]
    is_quiet: Callable[[], bool]
    on_refused: Callable[[RefusedInput, str], None] = lambda _what, _reason: None


NOBODY = LinkPorts(
    on_ready=lambda: None,
    on_fact=lambda _fact: None,
    on_picture=lambda _picture: None,
    on_ending=lambda _time_left_s: None,
    on_ended=lambda _loss, _unsent: None,
    on_replaced=lambda _how: None,
    on_forgotten=lambda: None,
    history=lambda _complete_only: (),
    is_quiet=lambda: True,
)
"The ports of a call that is over."


class LiveLink:
    """The consecutive sessions of one call.

    Args:
        client: from `live_client`.
        settings: the service's settings.
        declarations: the tools to declare, see `connect_config`.
        ports: see `LinkPorts`.
        clock: monotonic seconds.
        rng: for the jitter of attempts.
        opening: how the first session begins.
        instructions: what the agent was told to be in the course of an earlier call; None if nothing.
    """

    def __init__(
        self,
        client: LiveClient,
        settings: Settings,
        declarations: Sequence[Mapping[str, Any]],
        ports: LinkPorts,
        *,
        clock: Clock,
        rng: random.Random,
        opening: Opening = AFRESH,
        instructions: str | None = None,
    ) -> None:
        self.uplink = Uplink()
        self.unreadable_messages = 0
        "Messages that the SDK could not parse; they were passed over."
        self.sessions = 0
        "Sessions that were set up."
        self.session_id: str | None = None
        "What the Live server calls the newest of them, for its logs; None if it gave no id."
        self.outage_s = 0.0
        "How long there was no session although there had been one."
        self.replayed_audio_s = 0.0
        "The caller's voice that was sent again."
        self.pulse = Pulse(clock)
        "When anything of the Live server came last."
        self._client = client
        self._settings = settings
        self._declarations = declarations
        self._ports = ports
        self._clock = clock
        self._recovery = Recovery(settings.recovery_s, rng.uniform)
        self._ring = ReplayRing()
        self._refusals = Refusals()
        self._refused_in_a_row = 0  # sessions closed for an invalid payload, with no turn between them
        self._confirmed = (settings, declarations)  # what the server last took as a set-up, or would take
        if instructions is not None:
            self._settings = settings.model_copy(update={"system_instruction": instructions})
        self._session: LiveSession | None = None
        self._opening = opening
        self._ended_at = 0.0
        self._connecting_at = 0.0
        self._swap: asyncio.Task[None] | None = None
        self._generates = False  # the model, a turn that is not complete
        self._context_tokens = 0  # of the latest turn
        self._context_unsure = False  # no turn has shown yet that the session that was resumed knows its context
        self._recovery.offered(opening.handle)
        self.uplink.hold()

    @property
    def handle(self) -> str | None:
        """What a session can be resumed from; None if there is nothing yet."""
        return self._recovery.handle

    async def run(self) -> None:
        """Hold the link until cancelled, or no session can be had.

        Raises:
            LiveRefused: the server will not have the call; trying again does not help.
            LiveLost: no session could be had within the time that `recovery_s` allows.
        """
        while True:
            ending = await self._hold_session()
            self._ended_at = self._clock()
            loss = error_of(ending)
            move = self._move_on(ending) if loss is None else self._move_after(ending, loss)
            self._ports.on_ended(loss, self.uplink.take_tool_results())
            await asyncio.sleep(move.delay_s)
            within_s = math.inf if loss is None else self._recovery.left_s(self._clock())
            self._opening = replace(self._next_opening(move.step), within_s=within_s)

    def let_go(self) -> None:
        """Forget the call, once `run` has ended."""
        self._ports = NOBODY

    def nudge(self, text: str) -> None:
        """Tell the model that the caller waits.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        self.uplink.drop_nudge()
        self.uplink.put(Nudge(text))

    def replace(self, *, rebuild: bool = False, nudge: str | None = None) -> None:
        """Have another session take over, if one is running: the model does not do what it should.

        Args:
            rebuild: do not resume, begin afresh.
            nudge: what that one is told after all that it is sent again; it is nudged once, whatever waits.
        """
        if self._session is not None:
            self.uplink.drop_nudge()
            if nudge is not None:
                self._ring.nudge(Nudge(nudge))
            self._session.leave("discarded" if rebuild else "left")

    def change_agent(self, instructions: str | None, declarations: Sequence[Mapping[str, Any]] | None) -> None:
        """Change the instructions, the tools, or both; None leaves them.

        A model that takes no change within a session gets another one, resumed with the new set-up at the next
        quiet point, `CHANGE_S` from now at the latest.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        if instructions is not None:
            self._settings = self._settings.model_copy(update={"system_instruction": instructions})
        if declarations is not None:
            self._declarations = declarations
        if rules_of(self._settings.model).agent_change:
            self.uplink.put(AgentChange(instructions, declarations))
        elif self._session is not None and self._swap is None:
            deadline = self._clock() + CHANGE_S
            leaving = self._leave_in_time(self._session, "left", deadline, choosy=False)
            self._swap = asyncio.create_task(leaving, name="live-swap")

    def answer_completed(self) -> None:
        """Note that the model has given a whole answer: no other session is to give it again."""
        self._ring.answer_completed()

    async def _hold_session(self) -> Ending:
        """Run one session; return how it ended."""
        ports = SessionPorts(
            self.uplink,
            self._ring,
            on_ready=self._ready,
            on_fact=self._fact_came,
            on_picture=self._ports.on_picture,
            on_unreadable=self._unreadable_came,
            pulse=self.pulse,
            clock=self._clock,
            refusals=self._refusals,
            on_unsendable=self._unsendable_came,
            on_named=self._session_named,
        )
        session = LiveSession(self._client, self._settings, self._declarations, ports)
        self._session = session
        self._set_up = (self._settings, self._declarations)
        self._refusals.session_began()
        if self._changed:
            self._refusals.sent([AgentChange(None, None)], self._clock())
        self._generates = False
        self._connecting_at = self._clock()
        try:
            return await session.run(self._opening)
        except asyncio.CancelledError as error:
            raise error.with_traceback(None)  # noqa: B904  the frames of the task group hold it, and it them
        finally:
            self._session = None
            self.uplink.hold()
            if self._swap is not None:
                self._swap.cancel()
                self._swap = None

    def _move_on(self, ending: Ending) -> Move:
        """Go on after a session that was left on purpose."""
        delay_s = self._recovery.left(self._clock())
        step = row_of(ending).step
        logger.info("a Live session was left on purpose, next: %s", step)
        if step is Step.REBUILD:
            self._recovery.poison()
        return Move(step, delay_s)

    def _move_after(self, ending: Ending, loss: LiveError) -> Move:
        """Decide how to go on after a loss; raise it if no session will come."""
        now = self._clock()
        took_s = now - self._connecting_at if ending.during_setup else 0.0
        if ending.closed_with(INVALID_PAYLOAD):
            ending = replace(ending, input_refused=self._blame(ending))
        move = self._recovery.lost(ending, now, resumed=self._opening.handle is not None, took_s=took_s)
        if move.step is Step.GIVE_UP:
            raise loss
        logger.info("a Live session ended, next: %s in %.2f s: %s", move.step, move.delay_s, loss.detail)
        return move

    def _blame(self, ending: Ending) -> bool:
        """Find out what the server has refused; return whether it was something that was sent, and no handle."""
        self._refused_in_a_row += not ending.during_setup
        fresh = self._opening.handle is None
        refused = self._refusals.closed()
        whats: set[RefusedInput] = {_what(content) for content in refused}
        if refused:
            self._refuse(refused)
        elif ending.during_setup:
            return fresh and self._changed
        elif fresh and self._refused_in_a_row > 1 and _audio_s(self._opening.replay):
            self._ring.drop(lambda item: isinstance(item, Audio))
            whats = {"speech"}
        for what in sorted(whats):
            logger.warning("the Live server has refused something twice, and is not sent it again: %s", what)
            self._ports.on_refused(what, ending.reason)
        return bool(whats)

    def _refuse(self, contents: Sequence[Content]) -> None:
        """Send this no more."""
        if any(isinstance(content, AgentChange) for content in contents):
            self._settings, self._declarations = self._confirmed
        self._ring.drop(self._is_refused)

    def _is_refused(self, item: Item) -> bool:
        return isinstance(item, TypedText | Note) and self._refusals.is_refused(item)

    def _unsendable_came(self, content: Content, reason: str) -> None:
        logger.warning("a message cannot be sent to the Live server: %s: %s", _what(content), reason)
        self._refusals.refuse(content)
        self._refuse([content])
        self._ports.on_refused(_what(content), reason)

    @property
    def _changed(self) -> bool:
        """Whether the agent was changed since the server last took a set-up."""
        settings, declarations = self._confirmed
        return self._settings is not settings or self._declarations is not declarations

    def _history(self, *, complete_only: bool) -> list[Spoken]:
        return [
            said for said in self._ports.history(complete_only) if not self._refusals.is_refused(Told(said.text))
        ]

    def _next_opening(self, step: Step) -> Opening:
        handle = self._recovery.handle
        if handle is not None and step is not Step.REBUILD and not self._answered():
            return Opening(handle, replay=self._ring.since_handle())
        if self._ring.covers_turn:  # what followed the last complete turn is sent again as it was said
            return Opening(history=self._history(complete_only=True), replay=self._ring.since_turn())
        # Words of the last turn may be told twice then, as text and as sound; that is better than not at all.
        return Opening(history=self._history(complete_only=False), replay=self._ring.since_turn())

    def _answered(self) -> bool:
        """Whether the model of the newest handle would give an answer again that the caller has."""
        history = self._history(complete_only=True) if self._ring.answered and self._ring.covers_turn else []
        return bool(history) and history[-1].speaker == "agent"

    def _session_named(self, session_id: str | None) -> None:
        self.session_id = session_id[:MAX_ID_CHARS] if session_id else None

    def _ready(self) -> None:
        self.uplink.release()
        opening = self._opening
        self._ring.connected(self._clock() - self._connecting_at)
        self._recovery.ready(self._clock(), resumed=opening.handle is not None)
        self._confirmed = self._set_up
        self._refusals.session_began()  # of what was sent, the set-up is taken
        self.sessions += 1
        if self.sessions == 1:
            self._ports.on_ready()
            return
        how = Replaced(
            resumed=opening.handle is not None,
            told_turns=len(opening.history),
            outage_s=self._clock() - self._ended_at,
            replayed_audio_s=_audio_s(opening.replay),
        )
        self.outage_s += how.outage_s
        self.replayed_audio_s += how.replayed_audio_s
        self._context_unsure = how.resumed
        self._ports.on_replaced(how)

    def _fact_came(self, fact: wire.Fact) -> None:
        match fact:
            case wire.Resumable() if self._generates:
                self._ports.on_fact(wire.Resumable(None))  # resumed from here, the rest of the turn would not come
            case wire.Resumable(handle):
                self._recovery.offered(handle)
                if handle is not None and handle == self._recovery.handle:
                    self._ring.handle_came(self._clock())
                self._ports.on_fact(fact)
            case wire.GoAway(time_left_s):
                self._go_away(DEFAULT_TIME_LEFT_S if time_left_s is None else time_left_s)
                self._ports.on_fact(fact)
            case wire.Usage(prompt):
                self._ports.on_fact(fact)
                self._check_context(sum(prompt.values()))
            case wire.TurnComplete():
                if self._generates:  # while a tool runs no handle comes that knows it
                    self._ring.answer_completed()
                else:
                    self._ring.turn_completed()
                self._generates = False
                self._refusals.turn_completed(self._clock())
                self._refused_in_a_row = 0
                self._recovery.progressed()
                self._ports.on_fact(fact)
            case _:
                self._generates = self._generates or isinstance(fact, OUTPUT)
                self._ports.on_fact(fact)

    def _check_context(self, tokens: int) -> None:
        if not tokens:  # not every report tells the context's length
            return
        before, self._context_tokens = self._context_tokens, tokens
        if self._context_unsure and is_forgotten(before, tokens):
            self._ports.on_forgotten()
            self.replace(rebuild=True)
        self._context_unsure = False

    def _unreadable_came(self) -> None:
        self.unreadable_messages += 1

    def _go_away(self, time_left_s: float) -> None:
        if self._swap is not None or self._session is None:
            return
        self._ports.on_ending(time_left_s)
        deadline = self._clock() + time_left_s - min(CLOSING_S, CLOSING_SHARE * time_left_s)
        leaving = self._leave_in_time(self._session, "go_away", deadline, choosy=True)
        self._swap = asyncio.create_task(leaving, name="live-swap")

    async def _leave_in_time(self, session: LiveSession, how: How, deadline: float, *, choosy: bool) -> None:
        """Ends once the session was left: at a quiet point or at the deadline.

        Args:
            session: what is left.
            how: why, as its ending says.
            deadline: by the clock.
            choosy: let go of no silence while there is plenty of time. Over a slow line that takes all of it: no
                handle is exact there, because silence is sent all the time.
        """
        while (left_s := deadline - self._clock()) > 0:
            if self._may_leave(choosy=choosy and left_s > PLENTY_S):
                break
            await asyncio.sleep(POLL_S)
        session.leave(how)

    def _may_leave(self, *, choosy: bool) -> bool:
        ring = self._ring
        known = ring.exact and ring.covers_handle if choosy else ring.covers_words
        return self._recovery.handle is not None and known and not ring.answered and self._ports.is_quiet()


def _what(content: Content) -> RefusedInput:
    match content:
        case TypedText():
            return "text"
        case ToolResult() | Note(result=ToolResult()):
            return "tool_result"
        case Note():
            return "note"
        case Told():
            return "history"
        case AgentChange():
            return "agent_change"


def _audio_s(replay: Sequence[Sent]) -> float:
    return sum(len(sent.item.pcm_bytes) for sent in replay if isinstance(sent.item, Audio)) / BYTES_PER_S
