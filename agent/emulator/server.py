"""The emulator as a server: loopback only, TLS, one coroutine per session."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import re
import ssl
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from aiohttp import web

from agent.emulator import tls
from agent.emulator.connection import Connection
from agent.emulator.faults.hooks import FaultHooks
from agent.emulator.faults.schedule import FaultSchedule
from agent.emulator.faults.script import FaultSource, load_faults
from agent.emulator.generate import GenerateRecord, Generator, OnGenerate
from agent.emulator.handles import Handles
from agent.emulator.hooks import Hooks, Refusal
from agent.emulator.model.pcm import Pcm
from agent.emulator.model.recogniser import Recogniser
from agent.emulator.model.speech import SpeechCutter
from agent.emulator.model.transcribe import Transcriber, recognition_installed
from agent.emulator.model.turn import OnTurn
from agent.emulator.model.voice import Voice
from agent.emulator.record import SessionRecord
from agent.emulator.session import Session
from agent.emulator.shared import Shared
from agent.emulator.wire.generate import PATH as GENERATE_PATH
from agent.emulator.wire.generate import error as generate_error
from agent.emulator.wire.parse import REFUSED, WireError
from agent.errors import ConfigError

logger = logging.getLogger(__name__)

_PATH = re.compile(
    r"/ws/google\.(?:ai\.generativelanguage|cloud\.aiplatform)\.v\w+\."
    r"(?:GenerativeService\.|LlmBidiService/)BidiGenerateContent(?:Constrained)?"
)
_MAX_FRAME_BYTES = 16 << 20
_MAX_SESSIONS = 512
_MAX_RECORDS = 512
_CLOSE_DEADLINE_S = 2.0
_GOING_AWAY = 1001

DEFAULT_PACE = 2.0


class Emulator:
    """A running server, made by ``running_emulator``."""

    def __init__(
        self,
        shared: Shared,
        folder: Path,
        *,
        hooks: Callable[[], Hooks] | None,
        record_s: float,
        on_generate: OnGenerate | None = None,
    ) -> None:
        self.url = ""
        """``https://HOST:PORT``, for the SDK's ``base_url``."""
        self.ca_file = folder / "cert.pem"
        """The certificate to trust."""
        self.sessions: deque[SessionRecord] = deque(maxlen=_MAX_RECORDS)
        """The newest sessions, oldest first, including ended and refused ones."""
        self.generated: deque[GenerateRecord] = deque(maxlen=_MAX_RECORDS)
        """The newest requests for generateContent, oldest first."""
        self._on_generate = on_generate
        self._generate_count = 0
        self._schedules: list[FaultSchedule] = []
        self._shared = shared
        self._folder = folder
        self._hooks = hooks
        self._record_s = record_s
        self._count = 0
        self._open: set[Connection] = set()
        self._changed: set[asyncio.Future[None]] = set()

    def play(self, schedule: FaultSchedule) -> None:
        """Let a fault script act on the sessions to come; the hooks that were given act after it."""
        self._schedules.append(schedule)
        inner = self._hooks
        self._hooks = lambda: FaultHooks(schedule, inner() if inner is not None else Hooks())

    def prepare(self) -> None:
        """Load now what the first caller would otherwise wait for."""
        if self._shared.transcriber is not None:
            self._shared.transcriber.prepare()

    def ssl_context(self) -> ssl.SSLContext:
        """A client context that trusts this server."""
        return tls.client_context(self.ca_file)

    async def wait_for(self, holds: Callable[[], bool], *, timeout_s: float = 10.0) -> None:
        """Return as soon as ``holds()`` is true; it is called after each change of a session's record.

        Raises:
            TimeoutError: it did not become true in time.
        """
        async with asyncio.timeout(timeout_s):
            while not holds():
                future = asyncio.get_running_loop().create_future()
                self._changed.add(future)
                try:
                    await future
                finally:
                    self._changed.discard(future)

    def chain(self, record: SessionRecord) -> tuple[SessionRecord, ...]:
        """The sessions that a dialogue went through up to ``record``, oldest first, as far as they are kept."""
        kept = {session.number: session for session in self.sessions}
        return tuple(kept[number] for number in reversed(record.lineage) if number in kept)

    def caller_audio(self, record: SessionRecord) -> Pcm:
        """What all sessions in ``record``'s chain received: int16, shape ``(samples,)``, mono, at its own rate."""
        return np.concatenate([session.audio for session in self.chain(record)])

    def model_audio(self, record: SessionRecord) -> Pcm:
        """What the model remembers of it: a handle stands for what had arrived when it was issued."""
        chain = self.chain(record)
        pieces = [
            session.audio[: max(0, session.handles[later.handle] - session.audio_starts_at)]
            for session, later in pairwise(chain)
            if later.handle is not None and later.handle in session.handles
        ]
        return np.concatenate([*pieces, record.audio])

    def _notify(self) -> None:
        for future in self._changed:
            if not future.done():
                future.set_result(None)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = re.sub(r"/{2,}", "/", request.path).rstrip("/")
        if request.method == "POST" and GENERATE_PATH.fullmatch(path):
            return await self._generate(path, request)
        if request.method != "GET" or not _PATH.fullmatch(path):
            raise web.HTTPNotFound(
                text="This is a Live API emulator; it serves BidiGenerateContent and generateContent."
            )
        record = self._record(path)
        hooks = self._hooks() if self._hooks is not None else None
        refusal = hooks.upgrade(record) if hooks is not None else None
        if len(self._open) >= _MAX_SESSIONS:
            refusal = Refusal(503, "Too many sessions.", retry_after_s=5)
        if refusal is not None:
            record.refused(refusal.status)
            return _refuse(refusal)
        socket = web.WebSocketResponse(
            max_msg_size=_MAX_FRAME_BYTES,
            compress=False,
            timeout=_CLOSE_DEADLINE_S,
            decode_text=True,
            autoping=hooks is None,
        )
        transport = cast("asyncio.WriteTransport | None", request.transport)
        connection = Connection(socket, transport, hooks=hooks, record=record)
        try:
            await socket.prepare(request)
            self._open.add(connection)
            await self._serve_session(request, connection)
        finally:
            self._open.discard(connection)
            record.ended()
        return socket

    async def _generate(self, path: str, request: web.Request) -> web.Response:
        self._generate_count += 1
        record = GenerateRecord(self._generate_count, path)
        self.generated.append(record)
        self._notify()
        try:
            if not _has_key(request):
                record.status = 403
                words = "Method doesn't allow unregistered callers (callers without established identity)."
                return web.json_response(generate_error(403, words), status=403)
            return await Generator(record, self._schedules, self._on_generate).answer(request)
        finally:
            self._notify()

    def _record(self, path: str) -> SessionRecord:
        self._count += 1
        clock = asyncio.get_running_loop().time
        record = SessionRecord(self._count, path, keep_audio_s=self._record_s, on_change=self._notify, clock=clock)
        self.sessions.append(record)
        return record

    async def _serve_session(self, request: web.Request, connection: Connection) -> None:
        try:
            if not _has_key(request):
                raise WireError(REFUSED, "API key not valid. Please pass a valid API key.")  # noqa: TRY301
            await Session(connection, self._shared).run()
        except WireError as error:
            number = connection.record.number
            if error.violation:
                logger.warning("session %d: the client broke the protocol: %d %s", number, error.code, error.reason)
                connection.record.violated(f"{error.code} {error.reason}")
            else:
                logger.info("session %d: refused: %d %s", number, error.code, error.reason)
            await connection.close(error.code, error.reason)
        except ConnectionError:
            logger.debug("the client left")

    async def _close_sessions(self) -> None:
        async with asyncio.TaskGroup() as closing:
            for connection in tuple(self._open):
                closing.create_task(connection.close(_GOING_AWAY, "The emulator stops."))

    async def _listen(self, host: str, port: int) -> web.AppRunner:
        app = web.Application(client_max_size=_MAX_FRAME_BYTES)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_DEADLINE_S)
        await runner.setup()
        site = web.TCPSite(runner, host, port, ssl_context=tls.server_context(self._folder))
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
        bound = runner.addresses[0]
        self.url = f"https://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"https://{bound[0]}:{bound[1]}"
        return runner


@asynccontextmanager
async def running_emulator(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    pace: float = DEFAULT_PACE,
    await_playback: bool = True,
    speech_recognition: bool = False,
    recogniser: Recogniser | None = None,
    speech_programs: bool = True,
    on_turn: OnTurn | None = None,
    on_generate: OnGenerate | None = None,
    hooks: Callable[[], Hooks] | None = None,
    faults: FaultSource = (),
    record_s: float = 120.0,
    wall: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    seed: int | None = None,
) -> AsyncIterator[Emulator]:
    """A server for as long as the context lasts.

    Args:
        host: a loopback address.
        port: 0 takes any free one.
        pace: times real time at which speech is sent.
        await_playback: send turnComplete when a client that plays in real time has played everything, as the Live
            API does; False sends it at once.
        speech_recognition: listen with pocketsphinx, if it is installed.
        recogniser: listens in place of pocketsphinx.
        speech_programs: let flite or espeak-ng say what the speech pack cannot.
        on_turn: a script that is asked before the demo model.
        on_generate: a script that is asked what generateContent answers, before the demo does.
        hooks: makes each session's hooks, for what a fault script cannot express.
        faults: a fault script as text, a file, or faults made in Python; see docs/faults-script.md.
        record_s: how many seconds of received sound each session's record keeps.
        wall: the time of day.
        seed: makes dice and the chances of faults repeatable.

    Raises:
        ConfigError: the host is not loopback, the pace is not positive, the port is taken, or the fault script
            cannot be read.
    """
    _check(host, pace)
    script = load_faults(faults)
    transcriber = recogniser
    if transcriber is None and speech_recognition and recognition_installed():
        transcriber = Transcriber()
    shared = Shared(
        cutter=SpeechCutter(Voice(programs=speech_programs)),
        handles=Handles(),
        transcriber=transcriber,
        pace=pace,
        await_playback=await_playback,
        on_turn=on_turn,
        wall=wall,
        rng=random.Random(seed),  # noqa: S311 - dice of a demo
    )
    with tempfile.TemporaryDirectory(prefix="talkspurt-emulator-") as name:
        tls.write_certificate(Path(name))
        emulator = Emulator(shared, Path(name), hooks=hooks, record_s=record_s, on_generate=on_generate)
        if script:
            emulator.play(FaultSchedule(script, emulator.sessions, random.Random(seed)))  # noqa: S311 - as above
        runner = await emulator._listen(host, port)
        try:
            yield emulator
        finally:
            await emulator._close_sessions()
            await runner.cleanup()
            if transcriber is not None:
                transcriber.close()


def _check(host: str, pace: float) -> None:
    if host != "localhost":
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ConfigError(f"--host {host}: the emulator has no access control and listens on loopback only")
    if not 0 < pace < float("inf"):
        raise ConfigError(f"--pace {pace}: must be a positive number")


def _refuse(refusal: Refusal) -> web.Response:
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s is not None else None
    return web.Response(status=refusal.status, text=refusal.reason, headers=headers)


def _has_key(request: web.Request) -> bool:
    """Any key will do; a client without one is refused, as by Google."""
    headers = request.headers
    return bool(headers.get("x-goog-api-key") or headers.get("Authorization") or request.query.get("key"))
