"""One Gemini Live session over google-genai's public API: connect, send what is queued, hand on what comes.

Tasks: a sender and a receiver, both owned by `LiveSession.run`; they end with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from agent.clock import monotonic
from agent.errors import LiveLost, LiveRefused
from agent.live import wire
from agent.live.config import LiveEndpoint, connect_config, http_options
from agent.live.uplink import Audio, Item, Picture, ToolResult, TypedText, Uplink
from agent.settings import Settings

logger = logging.getLogger(__name__)

UPLINK_MIME = "audio/pcm;rate=16000"
PICTURE_MIME = "image/jpeg"
SEND_TIMEOUT_S = 10.0  # a server that takes nothing for so long is lost
MAX_UNREADABLE_IN_A_ROW = 20
REFUSING_STATUS = (400, 401, 403, 404)  # of the WebSocket upgrade; others (429, 5xx) may pass
REFUSING_CODES = (1007, 1008)  # close codes before the set-up was confirmed: it is at fault


LiveClient = genai.Client


def live_client(endpoint: LiveEndpoint, settings: Settings) -> LiveClient:
    """Make the SDK's client; one serves all sessions of the process."""
    return genai.Client(api_key=endpoint.api_key, http_options=http_options(endpoint, settings))


class LiveSession:
    """A session from connect to close.

    Args:
        client: from `live_client`.
        settings: the service's settings.
        declarations: the tools to declare, see `connect_config`.
        on_ready: called once the server has confirmed the set-up.
        on_fact: called with each fact, in order; must not block.
        on_picture: called with each picture once it was sent; must not block.
    """

    def __init__(
        self,
        client: LiveClient,
        settings: Settings,
        *,
        declarations: Sequence[Mapping[str, Any]] = (),
        on_ready: Callable[[], None],
        on_fact: Callable[[wire.Fact], None],
        on_picture: Callable[[Picture], None] = lambda _picture: None,
    ) -> None:
        self.uplink = Uplink()
        self.unreadable_messages = 0
        "Messages that the SDK could not parse; they were passed over."
        self._client = client
        self._settings = settings
        self._declarations = declarations
        self._on_ready = on_ready
        self._on_fact = on_fact
        self._on_picture = on_picture

    async def run(self) -> None:
        """Hold the session until cancelled or lost.

        Raises:
            LiveRefused: the server will not have this session; trying again does not help.
            LiveLost: it went away, or could not be reached in time.
        """
        async with self._connected() as session:
            self._on_ready()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send(session), name="live-send")
                    tasks.create_task(self._receive(session), name="live-receive")
            except* (LiveLost, LiveRefused) as group:
                raise group.exceptions[0] from None

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncSession]:
        model = self._settings.model
        limit_s = self._settings.setup_timeout_s
        connecting = self._client.aio.live.connect(
            model=model, config=connect_config(self._settings, self._declarations)
        )
        try:
            async with asyncio.timeout(limit_s):
                session = await connecting.__aenter__()
        except TimeoutError:
            raise LiveLost(
                f"the Live server did not confirm the session within {limit_s:g} s", fault="live"
            ) from None
        except InvalidStatus as error:
            raise _refused_upgrade(error.response.status_code) from None
        except errors.APIError as error:
            raise _closed(error.code, error.details, during_setup=True) from None
        except ConnectionClosed as error:  # closed before the SDK could send the set-up
            code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
            raise _closed(code, reason, during_setup=True) from None
        except (OSError, InvalidHandshake) as error:
            raise LiveLost(f"the Live server cannot be reached: {_brief(error)}", fault="network") from None
        except (WebSocketException, ImportError) as error:  # an address or proxy that cannot be used at all
            raise LiveRefused(
                f"the Live server's address or proxy cannot be used: {_brief(error)}", fault="operator"
            ) from None
        except ValueError as error:  # the SDK's own word on a setting that this API does not have
            raise LiveRefused(f"the Live session cannot be set up: {_brief(error)}", fault="operator") from None
        try:
            if session.setup_complete is None:
                raise LiveRefused("the Live server's first message was not setupComplete", fault="live")
            yield session
        finally:
            await connecting.__aexit__(None, None, None)

    async def _send(self, session: AsyncSession) -> None:
        """Send what is queued; ends when the connection does, of which the receiver tells the reason."""
        try:
            async with _patience(SEND_TIMEOUT_S) as sending:
                while True:
                    item = await self.uplink.get()
                    sending.since = monotonic()
                    await _send_item(session, item)
                    sending.since = None
                    if isinstance(item, Picture):
                        self._on_picture(item)
        except ConnectionClosed:
            return
        except TimeoutError:
            raise LiveLost("the Live server has stopped reading", fault="live") from None

    async def _receive(self, session: AsyncSession) -> None:
        async with aclosing(self._messages(session)) as messages:
            async for message in messages:
                for fact in wire.facts(message):
                    self._on_fact(fact)

    async def _messages(self, session: AsyncSession) -> AsyncGenerator[types.LiveServerMessage, None]:
        """Yield messages over all interactions; `AsyncSession.receive` ends with each one."""
        unreadable_in_a_row = 0
        while True:
            stream = session.receive()
            while True:
                try:
                    message = await anext(stream)
                except StopAsyncIteration:
                    break
                except errors.APIError as error:
                    raise _closed(error.code, error.details, during_setup=False) from None
                except ConnectionClosed as error:
                    raise LiveLost(f"the Live session was lost: {_brief(error)}", fault="network") from None
                except (TypeError, ValueError) as error:
                    # A message that this SDK does not know; the socket is fine and the next one is read.
                    self.unreadable_messages += 1
                    unreadable_in_a_row += 1
                    logger.warning("skipped a message of the Live server: %s", type(error).__name__)
                    if unreadable_in_a_row >= MAX_UNREADABLE_IN_A_ROW:
                        raise LiveLost("the Live server's messages cannot be read", fault="live") from None
                    break
                unreadable_in_a_row = 0
                yield message


@dataclass(slots=True)
class _Effort:
    since: float | None = None


@asynccontextmanager
async def _patience(limit_s: float) -> AsyncIterator[_Effort]:
    """Raise TimeoutError once a single effort inside takes longer than ``limit_s``, or a quarter more.

    One timer looks after all messages: a timeout for each costs a sixth of what sending it does.

    Yields:
        Where each effort notes its beginning, monotonic seconds, and None after its end.
    """
    loop = asyncio.get_running_loop()
    effort = _Effort()
    timer: asyncio.TimerHandle

    def look() -> None:
        nonlocal timer
        if effort.since is not None and monotonic() - effort.since > limit_s:
            deadline.reschedule(loop.time())
        else:
            timer = loop.call_later(limit_s / 4, look)

    async with asyncio.timeout(None) as deadline:
        timer = loop.call_later(limit_s / 4, look)
        try:
            yield effort
        finally:
            timer.cancel()


async def _send_item(session: AsyncSession, item: Item) -> None:
    match item:
        case Audio(pcm_bytes):
            await session.send_realtime_input(audio={"data": pcm_bytes, "mime_type": UPLINK_MIME})
        case Picture(jpeg_bytes=data):
            await session.send_realtime_input(video=types.Blob(data=data, mime_type=PICTURE_MIME))
        case TypedText(text):
            await session.send_realtime_input(text=text)
        case ToolResult(call_id, name, response):
            await session.send_tool_response(
                function_responses=[types.FunctionResponse(id=call_id, name=name, response=response)]
            )


def _refused_upgrade(status: int) -> LiveRefused | LiveLost:
    if status in (401, 403):
        return LiveRefused(
            f"the Live server refused the API key (HTTP {status}): check GOOGLE_API_KEY",
            fault="operator",
            code=status,
        )
    if status in REFUSING_STATUS:
        return LiveRefused(
            f"the Live server refused the session (HTTP {status}): check the model, TALKSPURT_API_VERSION "
            "and GOOGLE_GEMINI_BASE_URL",
            fault="operator",
            code=status,
        )
    if status == 429:
        return LiveLost("the Live server's quota is used up (HTTP 429)", fault="operator", code=status)
    return LiveLost(f"the Live server is not available (HTTP {status})", fault="live", code=status)


def _closed(code: int, details: object, *, during_setup: bool) -> LiveRefused | LiveLost:
    """Read a close of the WebSocket; the SDK gives its code, and its reason as ``details``."""
    reason = f": {str(details).rstrip('. ')[:200]}" if details else ""
    if during_setup and code in REFUSING_CODES:
        return LiveRefused(f"the Live server refused the session ({code}){reason}", fault="operator", code=code)
    return LiveLost(
        f"the Live session was lost ({code}){reason}", fault="network" if code == 1006 else "live", code=code
    )


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(". ")[:200]
