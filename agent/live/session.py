"""One Gemini Live session over google-genai's public API: connects, sends what is queued, passes on what comes.

Tasks: a sender and a receiver, both owned by `LiveSession.run`, which ends them.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google import genai
from google.genai import errors
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed

from agent.capture import Capture
from agent.clock import Clock, monotonic
from agent.live import wire
from agent.live.config import SessionSetup, connect_config
from agent.live.connect import UNREADABLE, brief, close, connect
from agent.live.endings import Ending, How, closed, error_of
from agent.live.pulse import Pulse
from agent.live.refusals import PAUSE_S, Message, Refusals, Told
from agent.live.replay import ReplayRing, Sent
from agent.live.sender import Sender
from agent.live.uplink import ActivityMark, Audio, Item, Nudge, Uplink
from agent.picture import Shown
from agent.settings import Settings
from agent.spoken import Spoken

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 6.0  # per message; may be noticed up to a quarter later
MAX_UNREADABLE_IN_A_ROW = 20

LiveClient = genai.Client


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session begins.

    Attributes:
        handle: the handle that it is resumed from; None for a fresh session.
        history: the turns of the call so far, which a fresh session is told.
        replay: what was sent to an earlier session and is sent again first.
        within_s: a limit on the time to confirm the session, in addition to `setup_timeout_s`.
    """

    handle: str | None = None
    history: Sequence[Spoken] = ()
    replay: Sequence[Sent] = ()
    within_s: float = math.inf


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """What a session is connected to; none of the functions may block.

    Attributes:
        uplink: the queue of what is to be sent.
        ring: remembers what was sent.
        on_ready: called once the server has confirmed the set-up.
        on_fact: called with each fact, in order.
        on_picture: called with each picture once it has been sent.
        on_unreadable: called for each message that the SDK could not parse, which is skipped.
        pulse: is told when anything comes.
        clock: monotonic seconds.
        refusals: records what the server may refuse, and says what must not be sent.
        on_unsendable: called with each message that the SDK does not accept, which is skipped, and the reason.
        on_named: called before `on_ready` with the session's id; None if the server gave none.
        capture: records both directions for a replay; None if no capture was requested.
    """

    uplink: Uplink
    ring: ReplayRing
    on_ready: Callable[[], None]
    on_fact: Callable[[wire.Fact], None]
    on_picture: Callable[[Shown], None]
    on_unreadable: Callable[[], None]
    pulse: Pulse
    clock: Clock
    refusals: Refusals = field(default_factory=Refusals)
    on_unsendable: Callable[[Message, str], None] = lambda _message, _reason: None
    on_named: Callable[[str | None], None] = lambda _session_id: None
    capture: Capture | None = None


class LiveSession:
    """A session from connect to close.

    Args:
        client: made by `agent.live.client.live_client`.
        setup: how the session is set up.
        ports: see `SessionPorts`.
    """

    def __init__(
        self,
        client: LiveClient,
        setup: SessionSetup,
        ports: SessionPorts,
    ) -> None:
        self._client = client
        self._setup = setup
        self._settings = setup.settings
        self._ports = ports
        self._ended = asyncio.Event()
        self._loss: Ending | None = None
        self._leave = Ending("left")

    async def run(self, opening: Opening) -> Ending:
        """Keep the session up until it is left or lost, or this is cancelled; then close it.

        Returns:
            How it ended, or why none began.
        """
        config = connect_config(self._setup, handle=opening.handle, seeded=bool(opening.history))
        connecting = self._client.aio.live.connect(model=self._settings.model, config=config)
        self._ports.pulse.watch()
        self._note("connecting")
        session = await connect(connecting, min(self._settings.setup_timeout_s, opening.within_s))
        if isinstance(session, Ending):
            self._note("refused", session.how, session.code, session.reason)
            return session
        try:
            return await self._hold(session, opening)
        finally:
            await close(connecting, self._settings.close_timeout_s)

    def leave(self, how: How = "left") -> None:
        """Have `run` close the session and return; ``discarded`` overrides other reasons."""
        if self._leave.how != "discarded":
            self._leave = Ending(how)
        self._ended.set()

    async def _hold(self, session: AsyncSession, opening: Opening) -> Ending:
        if session.setup_complete is None:
            return Ending("no_setup_complete", during_setup=True)
        self._note("session", session.setup_complete.session_id)
        self._ports.on_named(session.setup_complete.session_id)
        self._ports.on_ready()
        async with asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(self._until_lost(partial(self._send, session, opening)), name="live-send")
            receiver = tasks.create_task(self._until_lost(partial(self._receive, session)), name="live-receive")
            await self._ended.wait()
            sender.cancel()
            receiver.cancel()
        return self._loss or self._leave

    async def _until_lost(self, work: Callable[[], Coroutine[Any, Any, Ending | None]]) -> None:
        loss = await work()
        if loss is not None:
            self._loss = self._loss or loss
            self._ended.set()

    async def _send(self, session: AsyncSession, opening: Opening) -> Ending | None:
        """Send what is queued; return None when the connection ends, because the receiver learns the reason."""
        ports, sender, capture = self._ports, Sender(session, self._settings), self._ports.capture
        try:
            async with _patience(SEND_TIMEOUT_S, ports.clock) as sending:
                sending.since = ports.clock()
                await self._tell_history(sender, opening.history)
                for again in opening.replay:
                    again.at = sending.since = ports.clock()
                    await self._send_admitted(sender, again.item)
                    if again.item is ports.uplink.question_end:
                        ports.uplink.question_sent(ports.clock())
                while True:
                    sending.since = None
                    item = await ports.uplink.get()
                    sending.since = ports.clock()
                    if capture is not None:
                        capture.note("sent", item)
                    ports.ring.sent(item, sending.since)  # noted first: an item cut off on its way is sent again
                    await self._send_admitted(sender, item)
                    if item is ports.uplink.question_end:
                        ports.uplink.question_sent(ports.clock())
                    elif isinstance(item, Shown):
                        ports.on_picture(item)
        except ConnectionClosed:
            return None
        except TimeoutError:
            return Ending("stalled")

    async def _tell_history(self, sender: Sender, history: Sequence[Spoken]) -> None:
        """Tell a fresh session what was said; with `initial_history_in_client_content` it does not answer that."""
        refusals = self._ports.refusals
        for part in refusals.in_parts(history, [Told(said.text) for said in history]):
            told = [Told(said.text) for said in part]
            refusals.sent(told, self._ports.clock())
            await sender.send_history(part, complete=part[-1] is history[-1])
            if refusals.is_suspect(told):
                await asyncio.sleep(PAUSE_S)

    async def _send_admitted(self, sender: Sender, item: Item) -> None:
        """Send an item, or what replaces it, and note the contents that the server may refuse."""
        if isinstance(item, Audio | Shown | ActivityMark | Nudge):
            await sender.send(item)
            return
        refusals = self._ports.refusals
        admitted = refusals.admit(item)
        if admitted is None:
            return
        refusals.sent([admitted], self._ports.clock())
        try:
            await sender.send(admitted)
        except (TypeError, ValueError) as error:  # it does not fit the SDK's types
            self._ports.on_unsendable(admitted, type(error).__name__)
        if refusals.is_suspect([admitted]):
            await asyncio.sleep(PAUSE_S)

    async def _receive(self, session: AsyncSession) -> Ending:
        """Pass on the facts of all messages, over all turns: `AsyncSession.receive` ends with each turn."""
        unreadable_in_a_row, capture = 0, self._ports.capture
        while True:
            stream = session.receive()
            while True:
                try:
                    message = await anext(stream)
                    if capture is not None:
                        capture.note("server", message)
                    facts = tuple(wire.facts(message))
                except StopAsyncIteration:
                    break
                except errors.APIError as error:
                    self._note("lost", error.code, str(error.details or ""))
                    return closed(error.code, error.details, during_setup=False)
                except ConnectionClosed as error:
                    self._note("lost", None, "")
                    return Ending("dropped", reason=brief(error))
                except UNREADABLE as error:
                    # This SDK does not know the message; the socket is still usable, so read the next one.
                    self._note("unreadable")
                    self._ports.on_unreadable()
                    unreadable_in_a_row += 1
                    logger.warning("skipped a message of the Live server: %s", type(error).__name__)
                    if unreadable_in_a_row >= MAX_UNREADABLE_IN_A_ROW:
                        return Ending("unreadable")
                    break
                unreadable_in_a_row = 0
                for fact in facts:
                    self._ports.on_fact(fact)

    def _note(self, kind: str, *what: Any) -> None:
        if self._ports.capture is not None:
            self._ports.capture.note(kind, *what)


async def try_session(client: LiveClient, settings: Settings) -> None:
    """Set up a session and close it again, to test whether the server accepts it.

    Raises:
        LiveRefused: the server refused the session.
        LiveLost: the server could not be reached.
    """
    ports = SessionPorts(
        Uplink(),
        ReplayRing(),
        on_ready=lambda: session.leave(),
        on_fact=lambda _fact: None,
        on_picture=lambda _picture: None,
        on_unreadable=lambda: None,
        pulse=Pulse(monotonic),
        clock=monotonic,
    )
    session = LiveSession(client, SessionSetup.of(settings), ports)
    error = error_of(await session.run(Opening()))
    if error is not None:
        raise error


@dataclass(slots=True)
class _Effort:
    since: float | None = None
    timer: asyncio.TimerHandle | None = None


@asynccontextmanager
async def _patience(limit_s: float, clock: Clock) -> AsyncIterator[_Effort]:
    """Raise TimeoutError if a single effort inside takes longer than ``limit_s``, at the latest a quarter later.

    One timer serves all messages: a timeout per message would make sending noticeably slower.

    Yields:
        The effort, in which the sender notes when it begins (monotonic seconds), and None once it has ended.
    """
    effort = _Effort()
    async with asyncio.timeout(None) as deadline:
        _look(effort, deadline, limit_s, clock)
        try:
            yield effort
        finally:
            if effort.timer is not None:
                effort.timer.cancel()


def _look(effort: _Effort, deadline: asyncio.Timeout, limit_s: float, clock: Clock) -> None:
    """End an effort that takes too long, or check again later.

    This is not a closure, because a closure would refer to itself and so keep the task and all of the connection's
    memory alive.
    """
    loop = asyncio.get_running_loop()
    if effort.since is not None and clock() - effort.since > limit_s:
        deadline.reschedule(loop.time())
    else:
        effort.timer = loop.call_later(limit_s / 4, _look, effort, deadline, limit_s, clock)
