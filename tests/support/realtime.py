"""A caller who speaks OpenAI's Realtime API over WebRTC, with what `@openai/agents-realtime` puts on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from signaling.client.caller import Microphone
from signaling.webrtc.peer import close_peer

SESSION = {  # what the client sends by default, without an agent's own
    "type": "realtime",
    "instructions": "",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
    },
}
Json = dict[str, Any]


class RealtimeCaller:
    """One call as such a client sees it; see `call_realtime`."""

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.pc = pc
        self.microphone = Microphone()
        self.events: list[Json] = []
        "The server events received, in order."
        self.location = ""
        self._changed = asyncio.Event()
        self.opened = asyncio.Event()
        self._channel = pc.createDataChannel("oai-events")
        self._channel.on("message", self._message_came)
        self._channel.on("open", self.opened.set)

    def send(self, kind: str, **fields: Any) -> None:
        """Send a client event."""
        self._channel.send(json.dumps({"type": kind, **fields}))

    def send_text(self, text: str) -> None:
        """Send a text as it is."""
        self._channel.send(text)

    def type(self, text: str) -> None:
        """Type to the agent, as `sendMessage` does."""
        content = [{"type": "input_text", "text": text}]
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        self.send("response.create", event_id="create_1")

    def update(self, **changes: Any) -> None:
        """Send the session, as the client does, with changes."""
        self.send("session.update", session={**SESSION, **changes})

    def kinds(self) -> list[str]:
        """Return the types of the events so far."""
        return [event["type"] for event in self.events]

    def all(self, kind: str) -> list[Json]:
        """Return all events of a type so far."""
        return [event for event in self.events if event["type"] == kind]

    async def event(
        self,
        kind: str,
        matches: Callable[[Json], bool] = lambda _event: True,
        *,
        after: int = 0,
        timeout_s: float = 15.0,
    ) -> Json:
        """Wait for an event of a type that matches.

        Args:
            kind: its type.
            matches: returns whether it is the one that is wanted.
            after: the index into `events` at which to begin.
            timeout_s: how long to wait.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events[after:]:
                    if event["type"] == kind and matches(event):
                        return event
                self._changed.clear()
                await self._changed.wait()

    async def refused(self, code: str, *, after: int = 0) -> Json:
        """Wait for an error with this code; return what it says."""
        error: Json = (await self.event("error", lambda event: event["error"]["code"] == code, after=after))[
            "error"
        ]
        return error

    async def refused_for(self, event_id: str) -> Json:
        """Wait for an error that the client event with this id caused; return what it says."""
        found = await self.event("error", lambda event: event["error"]["event_id"] == event_id)
        error: Json = found["error"]
        return error

    async def hears(self, words: str) -> None:
        """Wait until the agent has begun to say these words; the deltas of what it says are put together."""
        kind = "response.output_audio_transcript.delta"
        await self.event(kind, lambda _event: words in "".join(event["delta"] for event in self.all(kind)))

    async def said(self, words: str) -> Json:
        """Wait for an answer of the agent that has these words; return the response that it was."""

        def has_them(event: Json) -> bool:
            return words in json.dumps(event["response"]["output"])

        response: Json = (await self.event("response.done", has_them))["response"]
        return response

    def _message_came(self, text: str | bytes) -> None:
        self.events.append(json.loads(text))
        self._changed.set()


@asynccontextmanager
async def call_realtime(
    url: str,
    *,
    key: str | None = None,
    session: Json | None = None,
    updates: bool = True,
    hang_up: bool = True,
    rejoins: str | None = None,
    **changes: Any,
) -> AsyncIterator[RealtimeCaller]:
    """Call a service at `/v1/realtime/calls`; yield once the session was updated.

    Args:
        url: the service's address.
        key: the bearer token.
        session: sent with the offer, in a form; None sends the offer alone.
        updates: send `session.update`, as the client does, and wait for `session.updated`.
        hang_up: if False, leave without a DELETE.
        rejoins: the address of a call that is connected anew; None for a new call.
        changes: to the session that is sent.

    Raises:
        aiohttp.ClientResponseError: the offer was refused.
    """
    pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
    caller = RealtimeCaller(pc)
    pc.addTrack(caller.microphone)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    try:
        async with aiohttp.ClientSession(headers=headers) as http:
            await pc.setLocalDescription(await pc.createOffer())
            caller.location, answer = await _offer(
                http, rejoins or urljoin(url, "/v1/realtime/calls"), pc.localDescription.sdp, session
            )
            await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            async with asyncio.timeout(15):
                await caller.opened.wait()
            if updates:
                caller.update(**changes)
                await caller.event("session.updated")
            yield caller
            if hang_up:
                async with http.delete(caller.location):
                    pass
    finally:
        caller.microphone.stop()
        await close_peer(pc)


async def _offer(http: aiohttp.ClientSession, endpoint: str, offer: str, session: Json | None) -> tuple[str, str]:
    if session is None:
        asked = http.post(endpoint, data=offer, headers={"Content-Type": "application/sdp"})
    else:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("sdp", offer, content_type="application/sdp")
        form.add_field("session", json.dumps(session), content_type="application/json")
        asked = http.post(endpoint, data=form)
    async with asked as response:
        body = await response.text()
        if response.status != 201:
            raise aiohttp.ClientResponseError(
                response.request_info, response.history, status=response.status, message=body
            )
        return urljoin(endpoint, response.headers["Location"]), body
