"""One Gemini Live session over google-genai's public API: connect, send what is queued, hand on what comes.

Tasks: a sender and a receiver, both owned by `LiveSession.run`; they end with it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from google import genai
from google.auth.exceptions import GoogleAuthError
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from agent.clock import Clock, monotonic
from agent.errors import LiveError, LiveLost, LiveRefused
from agent.live import wire
from agent.live.client import no_token
from agent.live.config import SessionSetup, connect_config, tools_of
from agent.live.models import rules_of
from agent.live.pulse import Pulse
from agent.live.refusals import PAUSE_S, Message, Refusals, Told
from agent.live.replay import ReplayRing, Sent
from agent.live.resumption import speaks_of_quota
from agent.live.uplink import (
    ActivityMark,
    AgentChange,
    Audio,
    Image,
    Item,
    Note,
    Nudge,
    Picture,
    ToolResult,
    TypedText,
    Uplink,
)
from agent.settings import Settings

logger = logging.getLogger(__name__)

UPLINK_MIME = "audio/pcm;rate=16000"
PICTURE_MIME = "image/jpeg"
SEND_TIMEOUT_S = 6.0  # a server that takes nothing for so long is lost, a quarter later at most
CLOSING_S = 0.5  # beyond what the server is given to answer a close frame
MAX_UNREADABLE_IN_A_ROW = 20
UNREADABLE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)
"""What the SDK raises over a message that is not as it knows them: a number for one of its words, for instance."""
NO_PICTURES = "You cannot be shown the pictures of a tool: say so, and do not guess what is in them."
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
REFUSING_STATUS = (400, 401, 403, 404)  # of the WebSocket upgrade; others (429, 5xx) may pass
REFUSING_CODES = (1007, 1008)  # close codes before the set-up was confirmed: it is at fault


LiveClient = genai.Client


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a call's history, as the model is told of it."""

    speaker: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session begins.

    Attributes:
        handle: what it is resumed from; None for a fresh session.
        history: what a fresh session is told of the call so far.
        replay: what was sent to an earlier session and is sent again first.
        within_s: the server must confirm the session sooner than that, whatever `setup_timeout_s` says.
    """

    handle: str | None = None
    history: Sequence[Said] = ()
    replay: Sequence[Sent] = ()
    within_s: float = math.inf


@dataclass(frozen=True, slots=True)
class SessionPorts:
    """Where a session takes what it sends, and what it tells; none of the functions may block.

    Attributes:
        uplink: what waits to be sent.
        ring: notes what was sent.
        on_ready: called once the server has confirmed the set-up.
        on_fact: called with each fact, in order.
        on_picture: called with each picture once it was sent.
        on_unreadable: called for each message that the SDK could not parse; it is passed over.
        pulse: is told when anything comes.
        clock: monotonic seconds.
        refusals: notes what may be refused, and says what is not sent.
        on_unsendable: called with each message that the SDK does not take, and why; it is passed over.
        on_named: called before that with the session's id, if the server gave one.
    """

    uplink: Uplink
    ring: ReplayRing
    on_ready: Callable[[], None]
    on_fact: Callable[[wire.Fact], None]
    on_picture: Callable[[Picture], None]
    on_unreadable: Callable[[], None]
    pulse: Pulse
    clock: Clock
    refusals: Refusals = field(default_factory=Refusals)
    on_unsendable: Callable[[Message, str], None] = lambda _message, _reason: None
    on_named: Callable[[str | None], None] = lambda _session_id: None


class LiveSession:
    """A session from connect to close.

    Args:
        client: from `agent.live.client.live_client`.
        setup: what it is set up with.
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
        self._settings = settings = setup.settings
        self._ports = ports
        self._left = asyncio.Event()
        self._loss: LiveError | None = None
        rules = rules_of(settings.model)
        self._tells_apart = rules.client_content == "always"
        self._tool_pictures = rules.tool_pictures

    async def run(self, opening: Opening) -> None:
        """Hold the session until it is left, lost, or this is cancelled; it is closed then.

        Raises:
            LiveRefused: the server will not have this session.
            LiveLost: it went away, or could not be reached in time.
        """
        async with self._connected(opening) as session:
            assert session.setup_complete is not None  # see `_connected`
            self._ports.on_named(session.setup_complete.session_id)
            self._ports.on_ready()
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._until_lost(self._send(session, opening)), name="live-send")
                receiver = tasks.create_task(self._until_lost(self._receive(session)), name="live-receive")
                await self._left.wait()
                sender.cancel()
                receiver.cancel()
            if self._loss is not None:
                raise self._loss

    def leave(self) -> None:
        """Have `run` close the session and return."""
        self._left.set()

    async def _until_lost(self, work: Coroutine[Any, Any, None]) -> None:
        """Note a loss instead of raising it: an exception group holds itself, and the connection's memory."""
        try:
            await work
        except LiveError as error:
            self._loss = self._loss or error
            self._left.set()

    @asynccontextmanager
    async def _connected(self, opening: Opening) -> AsyncIterator[AsyncSession]:
        model = self._settings.model
        limit_s = min(self._settings.setup_timeout_s, opening.within_s)
        config = connect_config(self._setup, handle=opening.handle, seeded=bool(opening.history))
        connecting = self._client.aio.live.connect(model=model, config=config)
        self._ports.pulse.watch()
        try:
            async with asyncio.timeout(limit_s):
                session = await connecting.__aenter__()
        except TimeoutError:
            raise LiveLost(
                f"the Live server did not confirm the session within {limit_s:.3g} s",
                fault="live",
                during_setup=True,
            ) from None
        except InvalidStatus as error:
            raise _refused_upgrade(error.response.status_code) from None
        except errors.APIError as error:
            raise _closed(error.code, error.details, during_setup=True) from None
        except ConnectionClosed as error:  # closed before the SDK could send the set-up
            code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
            raise _closed(code, reason, during_setup=True) from None
        except GoogleAuthError as error:
            raise no_token(error) from None
        except ssl.SSLCertVerificationError as error:  # an OSError, but one that will not pass
            raise LiveRefused(
                f"the Live server's certificate is not trusted: {_brief(error)}",
                fault="operator",
                during_setup=True,
            ) from None
        except (OSError, InvalidHandshake) as error:
            raise LiveLost(
                f"the Live server cannot be reached: {_brief(error)}", fault="network", during_setup=True
            ) from None
        except (WebSocketException, ImportError) as error:  # an address or proxy that cannot be used at all
            raise LiveRefused(
                f"the Live server's address or proxy cannot be used: {_brief(error)}", fault="operator"
            ) from None
        except ValueError as error:  # the SDK's own word on a setting that this API does not have
            raise LiveRefused(f"the Live session cannot be set up: {_brief(error)}", fault="operator") from None
        except UNREADABLE as error:
            raise LiveLost(
                f"the Live server's first message cannot be read: {type(error).__name__}",
                fault="live",
                during_setup=True,
            ) from None
        try:
            if session.setup_complete is None:
                raise LiveRefused("the Live server's first message was not setupComplete", fault="live")
            yield session
        finally:
            # In a task of its own: before Python 3.11.4 no timeout works in one that is being cancelled.
            closing = connecting.__aexit__(None, None, None)
            with suppress(TimeoutError):  # a server that has stopped reading does not take the close frame either
                await asyncio.wait_for(closing, self._settings.close_timeout_s + CLOSING_S)

    async def _send(self, session: AsyncSession, opening: Opening) -> None:
        """Send what is queued; ends when the connection does, of which the receiver tells the reason."""
        ports = self._ports
        try:
            async with _patience(SEND_TIMEOUT_S) as sending:
                sending.since = ports.clock()
                await self._tell_history(session, opening.history)
                for again in opening.replay:
                    again.at = sending.since = ports.clock()
                    await self._send_admitted(session, again.item)
                while True:
                    sending.since = None
                    item = await ports.uplink.get()
                    sending.since = ports.clock()
                    ports.ring.sent(item, sending.since)  # before it goes: what is cut off on its way goes again
                    await self._send_admitted(session, item)
                    if isinstance(item, Picture):
                        ports.on_picture(item)
        except ConnectionClosed:
            return
        except TimeoutError:
            raise LiveLost("the Live server has stopped reading", fault="live") from None

    async def _tell_history(self, session: AsyncSession, history: Sequence[Said]) -> None:
        """Tell a fresh session what was said; with `initial_history_in_client_content` it does not answer to it."""
        refusals = self._ports.refusals
        for part in refusals.in_parts(history, [Told(said.text) for said in history]):
            told = [Told(said.text) for said in part]
            refusals.sent(told, self._ports.clock())
            turns: list[types.Content | types.ContentDict] = [
                types.Content(
                    role="user" if said.speaker == "caller" else "model", parts=[types.Part(text=said.text)]
                )
                for said in part
            ]
            await session.send_client_content(turns=turns, turn_complete=part[-1] is history[-1])
            if refusals.is_suspect(told):
                await asyncio.sleep(PAUSE_S)

    async def _send_admitted(self, session: AsyncSession, item: Item) -> None:
        """Send an item, or what is to be sent in its place, and note what the server may refuse of it."""
        if isinstance(item, Audio | Picture | ActivityMark | Nudge):
            await self._send_item(session, item)
            return
        refusals = self._ports.refusals
        admitted = refusals.admit(item)
        if admitted is None:
            return
        refusals.sent([admitted], self._ports.clock())
        try:
            await self._send_item(session, admitted)
        except (TypeError, ValueError) as error:  # it cannot be put into the SDK's types
            self._ports.on_unsendable(admitted, type(error).__name__)
        if refusals.is_suspect([admitted]):
            await asyncio.sleep(PAUSE_S)

    async def _send_item(self, session: AsyncSession, item: Item) -> None:
        match item:
            case Audio(pcm_bytes):
                await session.send_realtime_input(audio={"data": pcm_bytes, "mime_type": UPLINK_MIME})
            case Picture(jpeg_bytes=data):
                await session.send_realtime_input(video=types.Blob(data=data, mime_type=PICTURE_MIME))
            case TypedText(text, images) | Note(text, images=images) if images:
                await self._send_images(session, text, images, asks=not isinstance(item, Note) or item.wants_reply)
            case Note(text, wants_reply=False) if self._tells_apart:  # realtime text would be answered
                content = types.Content(role="user", parts=[types.Part(text=text)])
                await session.send_client_content(turns=content, turn_complete=False)
            case TypedText(text) | Note(text) | Nudge(text):
                await session.send_realtime_input(text=text)
            case ActivityMark(starts=True):
                await session.send_realtime_input(activity_start=types.ActivityStart())
            case ActivityMark():
                await session.send_realtime_input(activity_end=types.ActivityEnd())
            case AgentChange(instructions, declarations):
                tools: types.ToolListUnion | None = None
                if declarations is not None:
                    tools = [*tools_of(self._settings, declarations)]
                await session.send_context_update(system_instruction=instructions, tools=tools)
            case ToolResult():
                response = _function_response(item, pictures=self._tool_pictures)
                await session.send_tool_response(function_responses=[response])

    async def _send_images(self, session: AsyncSession, text: str, images: Sequence[Image], *, asks: bool) -> None:
        """Send a text about pictures: in one turn where the model takes one, else as if shown and then typed."""
        if not self._tells_apart:
            for image in images:
                await session.send_realtime_input(video=types.Blob(data=image.data, mime_type=image.mime_type))
            await session.send_realtime_input(text=text)
            return
        parts = [types.Part.from_bytes(data=image.data, mime_type=image.mime_type) for image in images]
        content = types.Content(role="user", parts=[*parts, types.Part(text=text)])
        await session.send_client_content(turns=content, turn_complete=asks)

    async def _receive(self, session: AsyncSession) -> None:
        async with aclosing(self._messages(session)) as messages:
            async for facts in messages:
                for fact in facts:
                    self._ports.on_fact(fact)

    async def _messages(self, session: AsyncSession) -> AsyncGenerator[tuple[wire.Fact, ...], None]:
        """Yield each message's facts over all interactions; `AsyncSession.receive` ends with each one."""
        unreadable_in_a_row = 0
        while True:
            stream = session.receive()
            while True:
                try:
                    facts = tuple(wire.facts(await anext(stream)))
                except StopAsyncIteration:
                    break
                except errors.APIError as error:
                    raise _closed(error.code, error.details, during_setup=False) from None
                except ConnectionClosed as error:
                    raise LiveLost(f"the Live session was lost: {_brief(error)}", fault="network") from None
                except UNREADABLE as error:
                    # A message that this SDK does not know; the socket is fine and the next one is read.
                    self._ports.on_unreadable()
                    unreadable_in_a_row += 1
                    logger.warning("skipped a message of the Live server: %s", type(error).__name__)
                    if unreadable_in_a_row >= MAX_UNREADABLE_IN_A_ROW:
                        raise LiveLost("the Live server's messages cannot be read", fault="live") from None
                    break
                unreadable_in_a_row = 0
                yield facts


async def try_session(client: LiveClient, settings: Settings) -> None:
    """Set up a session and close it again.

    Raises:
        LiveRefused: the server will not have it.
        LiveLost: it cannot be reached.
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
    await session.run(Opening())


@dataclass(slots=True)
class _Effort:
    since: float | None = None
    timer: asyncio.TimerHandle | None = None


@asynccontextmanager
async def _patience(limit_s: float) -> AsyncIterator[_Effort]:
    """Raise TimeoutError once a single effort inside takes longer than ``limit_s``, or a quarter more.

    One timer looks after all messages: a timeout for each costs a sixth of what sending it does.

    Yields:
        Where each effort notes its beginning, monotonic seconds, and None after its end.
    """
    effort = _Effort()
    async with asyncio.timeout(None) as deadline:
        _look(effort, deadline, limit_s)
        try:
            yield effort
        finally:
            if effort.timer is not None:
                effort.timer.cancel()


def _look(effort: _Effort, deadline: asyncio.Timeout, limit_s: float) -> None:
    """No closure, which would hold itself: with its task, and all the memory of the connection."""
    loop = asyncio.get_running_loop()
    if effort.since is not None and monotonic() - effort.since > limit_s:
        deadline.reschedule(loop.time())
    else:
        effort.timer = loop.call_later(limit_s / 4, _look, effort, deadline, limit_s)


def _function_response(result: ToolResult, *, pictures: bool) -> types.FunctionResponse:
    """Return it for a model that takes pictures in it, or is told that there were some."""
    response = result.response
    if result.images and not pictures:
        logger.warning("the tool %s has pictures for a model that takes none from tools", result.name)
        response = {**response, "pictures": NO_PICTURES}
    blobs = [
        types.FunctionResponseBlob(data=image.data, mime_type=image.mime_type)
        for image in (result.images if pictures else ())
    ]
    return types.FunctionResponse(
        id=result.call_id,
        name=result.name,
        response=response,
        parts=[types.FunctionResponsePart(inline_data=blob) for blob in blobs] or None,
        scheduling=types.FunctionResponseScheduling(result.scheduling) if result.scheduling else None,
        will_continue=True if result.will_continue else None,  # Vertex does not know the field
    )


def _refused_upgrade(status: int) -> LiveRefused | LiveLost:
    if status in (401, 403):
        return LiveRefused(
            f"the Live server refused the API key (HTTP {status}): check GOOGLE_API_KEY",
            fault="operator",
            code=status,
            during_setup=True,
        )
    if status in REFUSING_STATUS:
        return LiveRefused(
            f"the Live server refused the session (HTTP {status}): check the model, TALKSPURT_API_VERSION "
            "and GOOGLE_GEMINI_BASE_URL",
            fault="operator",
            code=status,
            during_setup=True,
        )
    if status == 429:
        return LiveLost(
            "the Live server's quota is used up (HTTP 429)", fault="operator", code=status, during_setup=True
        )
    return LiveLost(
        f"the Live server is not available (HTTP {status})", fault="live", code=status, during_setup=True
    )


def _closed(code: int, details: object, *, during_setup: bool) -> LiveRefused | LiveLost:
    """Read a close of the WebSocket; the SDK gives its code, and its reason as ``details``."""
    reason = str(details).rstrip(". ")[:200] if details else ""
    why = f": {reason}" if reason else ""
    if during_setup and code in REFUSING_CODES:
        return LiveRefused(
            f"the Live server refused the session ({code}){why}",
            fault="operator",
            code=code,
            reason=reason,
            during_setup=True,
        )
    if speaks_of_quota(reason):
        return LiveLost(
            f"the Live server's quota is used up ({code}){why}",
            fault="operator",
            code=code,
            reason=reason,
            during_setup=during_setup,
        )
    return LiveLost(
        f"the Live session was lost ({code}){why}",
        fault="network" if code == 1006 else "live",
        code=code,
        reason=reason,
        during_setup=during_setup,
    )


def _brief(error: Exception) -> str:
    """Return an error's words for the log and the caller; an address may have a password in it."""
    words = _CREDENTIALS.sub("//...@", str(error)) or type(error).__name__
    return words.rstrip(". ")[:200]
