"""A call's link to the model, across as many Live sessions as are needed.

The session is replaced when the server announces that it will close it, when it is lost, and when the call asks
for another one. In the meantime the uplink holds what the caller says. The new session is either resumed from the
newest handle, and what was sent since then is sent again, or it starts afresh and is told the history
(`agent.live.endings` says which). It also starts afresh if the newest handle is older than an answer that the
caller was given, because the model would give that answer again. The old connection is closed before the new one is
opened, because the server refuses to resume a session that is still open.

Tasks, all owned by `LiveLink.run`: the session's, and one that waits for the moment to leave it (`Departure`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import replace

from agent.capture import Capture
from agent.clock import Clock
from agent.errors import LiveError
from agent.events import RefusedInput, SessionReplaced
from agent.live import wire
from agent.live.config import SessionSetup
from agent.live.departure import Departure
from agent.live.endings import INVALID_PAYLOAD, Ending, Step, error_of, row_of
from agent.live.models import rules_of
from agent.live.ports import NOBODY, LinkPorts
from agent.live.pulse import Pulse
from agent.live.refusals import Content, Refusals, Told
from agent.live.replay import ReplayRing, Sent
from agent.live.resumption import Move, Recovery, is_forgotten
from agent.live.session import LiveClient, LiveSession, Opening, SessionPorts
from agent.live.uplink import BYTES_PER_S, AgentChange, Audio, Item, Note, Nudge, ToolResult, TypedText, Uplink
from agent.picture import Picture
from agent.spoken import Spoken

logger = logging.getLogger(__name__)

DEFAULT_TIME_LEFT_S = 10.0  # if a goAway states no time
MAX_ID_CHARS = 200
FRESH = Opening()
OUTPUT = (wire.Speech, wire.Text, wire.OutputTranscript, wire.ToolCall, Picture)


class LiveLink:
    """The consecutive sessions of one call.

    Args:
        client: made by `live_client`.
        setup: the set-up of the sessions, until `change_agent`.
        ports: see `LinkPorts`.
        uplink: the queue of what is to be sent.
        clock: monotonic seconds.
        rng: random numbers for the jitter of the back-off.
        opening: how the first session begins.
        confirmed: a set-up to fall back to if the server refuses ``setup``; None for ``setup`` itself.
        capture: records both directions for a replay; None if no capture was requested.
    """

    def __init__(
        self,
        client: LiveClient,
        setup: SessionSetup,
        ports: LinkPorts,
        *,
        uplink: Uplink,
        clock: Clock,
        rng: random.Random,
        opening: Opening = FRESH,
        confirmed: SessionSetup | None = None,
        capture: Capture | None = None,
    ) -> None:
        self.uplink = uplink
        self.unreadable_messages = 0
        "Messages that the SDK could not parse; they were skipped."
        self.sessions = 0
        "How many sessions were set up."
        self.session_id: str | None = None
        "The Live server's id of the newest session; None if it gave none."
        self.outage_s = 0.0
        "How long the call was without a session after its first one."
        self.replayed_audio_s = 0.0
        "How much of the caller's voice was sent again."
        self.pulse = Pulse(clock)
        "Knows when anything last came from the Live server."
        self._client = client
        self.setup = setup
        "The set-up of the sessions from now on."
        self._capture = capture
        self._ports = ports
        self._clock = clock
        self._recovery = Recovery(setup.settings.recovery_s, rng.uniform)
        self._ring = ReplayRing()
        self._departure = Departure(self._recovery, self._ring, clock)
        self._refusals = Refusals()
        self._refused_in_a_row = 0  # consecutive sessions closed for an invalid payload, without a turn
        self._confirmed = confirmed or setup  # the set-up that the server last accepted, or is known to accept
        self._set_up = setup  # what the newest session was set up with
        self._session: LiveSession | None = None
        self._opening = opening
        self._ended_at = 0.0
        self._connecting_at = 0.0
        self._generates = False  # the model has begun a turn and not completed it
        self._context_tokens = 0  # the length of the context at the latest turn
        self._context_unsure = False  # a session was resumed, and no turn has shown yet that it knows its context
        self._recovery.offered(opening.handle)
        self.uplink.hold()

    @property
    def handle(self) -> str | None:
        """The handle that a session can be resumed from; None if there is none."""
        return self._recovery.handle

    async def run(self) -> None:
        """Keep the link up until this is cancelled or no session is possible.

        Raises:
            LiveRefused: the server refuses the call; trying again does not help.
            LiveLost: no session could be set up within the time that `recovery_s` allows.
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
        """Drop the references to the call and its agent, once `run` has ended."""
        self._ports = NOBODY
        self.setup = self._confirmed = self._set_up = replace(self.setup, agent=None)

    def nudge(self, text: str) -> None:
        """Tell the model that the caller is waiting.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        self.uplink.drop_nudge()
        self.uplink.put(Nudge(text))

    def replace(self, *, rebuild: bool = False, nudge: str | None = None) -> None:
        """Have another session take over from the current one, if any, because the model misbehaves.

        Args:
            rebuild: whether to start a fresh session instead of resuming.
            nudge: a reminder that the new session is told last, in place of any that is still queued.
        """
        if self._session is not None:
            self.uplink.drop_nudge()
            if nudge is not None:
                self._ring.nudge(Nudge(nudge))
            self._session.leave("discarded" if rebuild else "left")

    def change_agent(self, setup: SessionSetup, change: AgentChange) -> None:
        """Change the instructions, the tools, or both.

        If the server refuses the change, `setup` returns to what the server last accepted, and `on_refused` is
        called.

        If the model accepts no change within a session, another session is resumed with the new set-up at the next
        quiet point (`Departure`).

        Args:
            setup: the set-up of the sessions from now on.
            change: the part of it that is new.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        self.setup = setup
        if rules_of(setup.settings.model).agent_change:
            self.uplink.put(change)
        elif self._session is not None and not self._departure.planned:
            self._departure.for_change(self._session, self._ports.is_quiet)

    def answer_completed(self) -> None:
        """Note that the model has given a whole answer, which no other session must repeat."""
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
            capture=self._capture,
        )
        session = LiveSession(self._client, self.setup, ports)
        self._session = session
        self._set_up = self.setup
        self._refusals.session_began()
        if self._changed:
            self._refusals.sent([AgentChange(None, None)], self._clock())
        self._generates = False
        self._connecting_at = self._clock()
        try:
            return await session.run(self._opening)
        except asyncio.CancelledError as error:
            raise error.with_traceback(None)  # noqa: B904  breaks its cycle with the task group's frames
        finally:
            self._session = None
            self.uplink.hold()
            self._departure.cancel()

    def _move_on(self, ending: Ending) -> Move:
        """Decide how to continue after a session that was left on purpose."""
        delay_s = self._recovery.left(self._clock())
        step = row_of(ending).step
        logger.info("a Live session was left on purpose, next: %s", step)
        if step is Step.REBUILD:
            self._recovery.poison()
        return Move(step, delay_s)

    def _move_after(self, ending: Ending, loss: LiveError) -> Move:
        """Decide how to continue after a loss; raise the loss if no further session is possible."""
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
        """Find out what the server refused; return True if it was something that was sent and not the handle."""
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
        """Make sure that this is not sent again."""
        if any(isinstance(content, AgentChange) for content in contents):
            self.setup = self._confirmed
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
        """Whether the agent was changed since the server last accepted a set-up."""
        return self.setup != self._confirmed

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
        # The words of the last turn may then be sent twice, as text and as sound, which is better than not at all.
        return Opening(history=self._history(complete_only=False), replay=self._ring.since_turn())

    def _answered(self) -> bool:
        """Return whether a model resumed from the newest handle would repeat an answer that the caller heard."""
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
        self._refusals.session_began()  # the set-up is not a suspect, since it was accepted
        self.sessions += 1
        if self.sessions == 1:
            self._ports.on_ready()
            return
        resumed = opening.handle is not None
        outage_s, replayed_s = self._clock() - self._ended_at, _audio_s(opening.replay)
        self.outage_s += outage_s
        self.replayed_audio_s += replayed_s
        self._context_unsure = resumed
        how = SessionReplaced(resumed, round(outage_s * 1000), round(replayed_s * 1000), self.session_id)
        self._ports.on_replaced(how, len(opening.history))

    def _fact_came(self, fact: wire.Fact) -> None:
        match fact:
            case wire.Resumable() if self._generates:  # a session resumed from here would never complete the turn
                self._ports.on_fact(wire.Resumable(None))
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
                if self._generates:  # handles that come while a tool runs do not cover the answer
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
        if not tokens:  # not every report states the length of the context
            return
        before, self._context_tokens = self._context_tokens, tokens
        if self._context_unsure and is_forgotten(before, tokens):
            self._ports.on_forgotten()
            self.replace(rebuild=True)
        self._context_unsure = False

    def _unreadable_came(self) -> None:
        self.unreadable_messages += 1

    def _go_away(self, time_left_s: float) -> None:
        if self._session is not None and not self._departure.planned:
            self._ports.on_ending(time_left_s)
            self._departure.before_go_away(self._session, self._ports.is_quiet, time_left_s)


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
