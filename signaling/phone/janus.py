"""A client of the Janus gateway, with one WebSocket, one session, and one handle per concurrent call.

Source: the Janus API (WebSocket subprotocol ``janus-protocol``), verified against Janus 1.1.2. A request to a
plugin is answered twice: by an ``ack``, then by an event with the same transaction. Later events carry no
transaction, or an old one; their handle says which call they belong to.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from agent.errors import GatewayError
from agent.redact import shown_url, without_secrets
from agent.unicode import read_json

logger = logging.getLogger(__name__)

SUBPROTOCOL = "janus-protocol"
CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 5.0
KEEPALIVE_INTERVAL_S = 25.0  # Janus gives up a session after 60 s
CLOSE_TIMEOUT_S = 1.0
MAX_MESSAGE_BYTES = 1 << 20

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notice:
    """What the gateway says about a handle.

    Attributes:
        kind: Janus's own name for it: ``event`` comes from the plugin; ``webrtcup``, ``hangup`` and ``detached``
            come from the handle.
        result: the result in the plugin's event; empty if there is none.
        code: the plugin's error code; None if it is not an error.
        error: the plugin's error text.
        sdp: the description that came with it; None if there is none.
    """

    kind: str
    result: Mapping[str, Any] = field(default_factory=dict)
    code: int | None = None
    error: str = ""
    sdp: str | None = None


Listener = Callable[[Notice], None]


class Janus:
    """One session with the gateway; see `janus_session`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, secret: str | None) -> None:
        self.lost = asyncio.Event()
        "Set once the gateway will send nothing more."
        self._socket = socket
        self._secret = secret
        self._session_id: int | None = None
        self._answers: dict[str, asyncio.Future[Message]] = {}  # keyed by transaction
        self._acknowledged: set[asyncio.Future[Message]] = set()  # requests that an ack answers
        self._listeners: dict[int, Listener] = {}

    async def attach(self, plugin: str, listener: Listener) -> Handle:
        """Attach a handle to a plugin.

        Args:
            plugin: the plugin's package name.
            listener: takes the notices about the handle, in order; it must not block or raise.

        Raises:
            GatewayError: the gateway refused, did not answer, or is lost.
        """
        handle_id = _given_id(await self.request({"janus": "attach", "plugin": plugin}))
        self._listeners[handle_id] = listener
        return Handle(self, handle_id)

    async def request(self, message: Message) -> Message:
        """Send a message and return its answer.

        Raises:
            GatewayError: the gateway refused, did not answer in time, or is lost.
        """
        if self.lost.is_set():
            raise GatewayError("the gateway's connection is lost")
        transaction = secrets.token_hex(8)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[transaction] = answer
        if message["janus"] == "keepalive":
            self._acknowledged.add(answer)
        sent = {**message, "transaction": transaction}
        if self._secret is not None:
            sent["apisecret"] = self._secret
        if self._session_id is not None:
            sent["session_id"] = self._session_id
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._socket.send_json(sent)
                reply = await answer
        except TimeoutError:
            raise GatewayError(f"the gateway did not answer {message['janus']} in time") from None
        except (ConnectionError, aiohttp.ClientError) as error:
            raise GatewayError(f"the gateway's connection is lost: {without_secrets(str(error))}") from None
        finally:
            del self._answers[transaction]
            self._acknowledged.discard(answer)
        if reply.get("janus") == "error":
            refused = reply.get("error")
            refused = refused if isinstance(refused, dict) else {"reason": refused}
            code = refused.get("code")
            raise GatewayError(
                f"the gateway refused: {refused.get('reason')}", code=code if isinstance(code, int) else None
            )
        return reply

    async def begin(self) -> None:
        """Create the session.

        Raises:
            GatewayError: the gateway refused (403: the secret is wrong), did not answer, or is lost.
        """
        self._session_id = _given_id(await self.request({"janus": "create"}))

    async def keep_alive(self) -> None:
        """Keep the session alive; return when the gateway does not answer."""
        with suppress(GatewayError):
            while True:
                await asyncio.sleep(KEEPALIVE_INTERVAL_S)
                await self.request({"janus": "keepalive"})
        self.lost.set()

    async def read(self) -> None:
        """Read messages until the connection ends."""
        try:
            async for frame in self._socket:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._take(frame.data)
        finally:
            self.lost.set()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(GatewayError("the gateway's connection is lost"))

    def _take(self, text: str) -> None:
        try:
            message = read_json(text)
            said, sender, transaction = _notice(message), message.get("sender"), message.get("transaction")
            answer, listener = self._answers.get(transaction), self._listeners.get(sender)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            logger.warning("the gateway sent something that is not a message of Janus")
            return
        if said.kind == "timeout":
            logger.warning("the gateway gave up our session")
            self.lost.set()
        if answer is not None and not answer.done() and (said.kind != "ack" or answer in self._acknowledged):
            answer.set_result(message)
        if listener is not None and said.kind not in ("ack", "success", "error"):
            listener(said)


@dataclass(frozen=True, slots=True)
class Handle:
    """One handle of a session.

    Attributes:
        janus: the session.
        handle_id: the handle's id in the session.
    """

    janus: Janus
    handle_id: int

    async def ask(self, body: Message, *, sdp_type: str = "", sdp: str | None = None) -> Notice:
        """Send a request to the plugin and return the event that answers it.

        Args:
            body: the request to the plugin.
            sdp_type: ``offer`` or ``answer``, if a description is sent with it.
            sdp: the description, with all candidates.

        Raises:
            GatewayError: the gateway refused, did not answer, or is lost.
        """
        message: dict[str, Any] = {"janus": "message", "handle_id": self.handle_id, "body": body}
        if sdp is not None:
            message["jsep"] = {"type": sdp_type, "sdp": sdp, "trickle": False}
        reply = _notice(await self.janus.request(message))
        if reply.code is not None:
            raise GatewayError(f"the gateway refused {body.get('request')}: {reply.error}", code=reply.code)
        return reply


def _given_id(reply: Message) -> int:
    data = reply.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("id"), int):
        raise GatewayError("the gateway sent no id: is it Janus?")
    return int(data["id"])


def _notice(message: Message) -> Notice:
    plugin = message.get("plugindata", {}).get("data", {})
    result, code, sdp = plugin.get("result"), plugin.get("error_code"), message.get("jsep", {}).get("sdp")
    return Notice(
        str(message["janus"]),
        result if isinstance(result, dict) else {},
        code if isinstance(code, int) else None,
        str(plugin.get("error") or message.get("reason") or ""),
        sdp if isinstance(sdp, str) else None,
    )


@asynccontextmanager
async def janus_session(url: str, secret: str | None) -> AsyncIterator[Janus]:
    """Connect to a gateway and open a session; both end with the context.

    Args:
        url: the gateway's WebSocket address, such as ``ws://127.0.0.1:8188``.
        secret: the gateway's ``api_secret``, if it has one.

    Raises:
        GatewayError: the gateway cannot be reached, or refuses.
    """
    async with aiohttp.ClientSession() as http:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await http.ws_connect(
                    url,
                    protocols=(SUBPROTOCOL,),
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                )
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = without_secrets(str(error), url) or "no answer"
            raise GatewayError(f"the gateway cannot be reached at {shown_url(url)}: {reason}") from None
        janus = Janus(socket, secret)
        tasks = [asyncio.create_task(janus.read(), name="janus-read")]
        try:
            await janus.begin()
            tasks.append(asyncio.create_task(janus.keep_alive(), name="janus-keepalive"))
            yield janus
        finally:
            with suppress(
                TimeoutError
            ):  # close() limits itself with asyncio.timeout, which is not enough: see Calls._close
                await asyncio.wait_for(socket.close(), 2 * CLOSE_TIMEOUT_S)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
