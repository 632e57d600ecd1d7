"""A Live API server that does nothing but measure: it costs the harness little and says exactly when what came.

It is not the emulator: it has no voice, no turns and no opinion of the client. Messages to the client are encoded
before they are needed.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from time import monotonic

import numpy as np
from aiohttp import WSMsgType, web

from agent.emulator.tls import server_context, write_certificate
from agent.media.fir import Pcm
from agent.media.playout import VOICE_RATE_HZ
from tests.bench.markers import Detector, chatter, marker_tone

CHUNK_S = 0.04  # as the Live API sends
SETUP_COMPLETE = '{"setupComplete": {}}'
INTERRUPTED = '{"serverContent": {"interrupted": true}}'
GENERATION_COMPLETE = '{"serverContent": {"generationComplete": true}}'
TURN_COMPLETE = '{"serverContent": {"turnComplete": true}}'


def audio_messages(pcm: Pcm) -> list[str]:
    """Encode audio of the model, int16 mono 24 kHz, as the messages that carry it."""
    step = int(VOICE_RATE_HZ * CHUNK_S)
    return [_audio_message(pcm[start : start + step]) for start in range(0, len(pcm), step)]


def _audio_message(pcm: Pcm) -> str:
    blob = {"mimeType": f"audio/pcm;rate={VOICE_RATE_HZ}", "data": base64.b64encode(pcm.tobytes()).decode()}
    return json.dumps({"serverContent": {"modelTurn": {"role": "model", "parts": [{"inlineData": blob}]}}})


@lru_cache(maxsize=8)
def marker_messages(seconds: float) -> list[str]:
    """Return the messages of a tone of that length."""
    return audio_messages(marker_tone(VOICE_RATE_HZ, seconds))


@lru_cache(maxsize=1)
def chatter_messages() -> list[str]:
    """Return the messages of 2 s of something like speech."""
    return audio_messages(chatter(VOICE_RATE_HZ, 2.0, seed=7))


class Session:
    """One session as the server sees it.

    Args:
        socket: the client's.
        listens: decode the audio and look for markers; otherwise it is only counted.
    """

    def __init__(self, socket: web.WebSocketResponse, *, listens: bool) -> None:
        self.voice = Detector()
        self.audio_samples = 0
        self.audio_messages = 0
        self.pictures = 0
        self._socket = socket
        self._listens = listens

    async def run(self) -> None:
        """Take what the client sends; ends when it closes."""
        async for message in self._socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._take(message.data, monotonic())

    async def send(self, message: str) -> float:
        """Send a message; returns when that was, monotonic seconds."""
        at = monotonic()
        if not self._socket.closed:
            await self._socket.send_str(message)
        return at

    async def play(self, messages: list[str], *, pace: float) -> None:
        """Send messages of 40 ms each, so many times as fast as they are heard; ends after the last."""
        started = monotonic()
        for index, message in enumerate(messages):
            await asyncio.sleep(max(0.0, started + index * CHUNK_S / pace - monotonic()))
            await self.send(message)

    async def chatter(self, lead_s: float, delay_s: float) -> None:
        """Speak for ever in real time, ``lead_s`` ahead, beginning after ``delay_s``."""
        await asyncio.sleep(delay_s)
        started = monotonic() - lead_s
        for index, message in _endless(chatter_messages()):
            await asyncio.sleep(max(0.0, started + index * CHUNK_S - monotonic()))
            await self.send(message)

    def _take(self, text: str | bytes, at: float) -> None:
        given = json.loads(text)
        realtime = given.get("realtime_input") or given.get("realtimeInput") or {}
        audio = realtime.get("audio")
        if audio is None:
            self.pictures += "video" in realtime
            return
        data: str = audio["data"]
        self.audio_messages += 1
        if self._listens:
            pcm = np.frombuffer(binascii.a2b_base64(data.translate(_URL_SAFE)), "<i2")
            self.audio_samples += len(pcm)
            self.voice.feed(pcm, at)
        else:
            self.audio_samples += (len(data.rstrip("=")) * 3 // 4) // 2


_URL_SAFE = str.maketrans("-_", "+/")  # the SDK writes URL-safe base64


def _endless(messages: list[str]) -> Iterator[tuple[int, str]]:
    index = 0
    while True:
        yield index, messages[index % len(messages)]
        index += 1


class LiveServer:
    """Accept sessions; see `running_live_server`."""

    def __init__(self, *, listens: bool) -> None:
        self.url = ""
        self.ca_file = Path()
        self.sessions: list[Session] = []
        self._listens = listens
        self._set_up: asyncio.Queue[Session] = asyncio.Queue()

    async def next_session(self) -> Session:
        """Wait for the next session whose set-up was confirmed; calls that are dialled one by one are paired so."""
        async with asyncio.timeout(20):
            return await self._set_up.get()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Hold one session from its set-up to its close."""
        # No compression: what Google negotiates is not known, and it would cost the plain service more than ours.
        socket = web.WebSocketResponse(max_msg_size=16 << 20, compress=False)
        await socket.prepare(request)
        first = await socket.receive()
        if first.type not in (WSMsgType.TEXT, WSMsgType.BINARY):  # the client has given up
            return socket
        if "setup" not in json.loads(first.data):
            await socket.close(code=1007)
            return socket
        session = Session(socket, listens=self._listens)
        await session.send(SETUP_COMPLETE)
        self.sessions.append(session)
        self._set_up.put_nowait(session)
        await session.run()
        return socket


@asynccontextmanager
async def running_live_server(folder: Path, *, listens: bool = True) -> AsyncIterator[LiveServer]:
    """Run the server on a free port of loopback.

    Args:
        folder: where its certificate may be written.
        listens: see `Session`.
    """
    server = LiveServer(listens=listens)
    server.ca_file = write_certificate(folder)
    app = web.Application()
    app.router.add_get("/{path:.*}", server.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(folder))
        await site.start()
        server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
