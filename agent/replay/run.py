"""Replay a captured call: its packets through the real media path, its Live sessions through the real SDK.

All input is fed in again, in order and at its original time; a `PatientLoop` makes that time pass quickly. The Live
server is the emulator, which says nothing of its own, only what the call's server had said. Tools do not run: they
give the answers that they gave in the call.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiortc.mediastreams import MediaStreamError

from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.capture import Capture, Note
from agent.clock import Clock
from agent.emulator import HookedSession, Hooks, Refusal, ServerMessage, SessionRecord, message, running_emulator
from agent.emulator.wire.incoming import History
from agent.errors import AgentError, MediaError, ToolError
from agent.events import CallEnded
from agent.live.client import live_client
from agent.live.config import LiveEndpoint
from agent.media.fir import Pcm
from agent.media.inbound import InboundAudio, InboundStats, PacketInlet
from agent.media.reorder import ReorderStats
from agent.media.video import picture_of
from agent.picture import Shown, SourceName
from agent.replay.compare import Comparison, compare
from agent.replay.encode import Line, encode, kept_in, made_again, packet_of, price_in, settings_of
from agent.replay.file import Captured
from agent.replay.loop import PatientLoop, StuckError
from agent.tools.declare import Tool

logger = logging.getLogger(__name__)

TICK_S = 1e-6  # time passes only when nothing is left to do, so sleeping this long waits until all work is done
SESSION_S = 15.0  # how long to wait for a Live session that the call had at this point
END_S = 60.0
UNREADABLE = {"serverContent": 5}
ABNORMAL_CLOSURE = 1006


def replay(captured: Captured) -> Comparison:
    """Replay a call in a loop of its own, and compare the result with the capture."""
    if not captured.lines:
        return compare([[0, "event", "CallEnded", {}]], [], ["the capture holds no call"])
    loop = PatientLoop(captured.lines[0][0] - 1)
    player = _Player(captured, loop)
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(player.play())
    except StuckError:
        player.trouble.append(f"the replay came to a stand at {player.place()}")
    return compare(captured.lines, player.lines(), player.trouble)


class _Notes(Capture):
    """The notes of a replay; it keeps all of them, and wakes those who wait for one."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._now = clock
        self.notes: list[Note] = []
        self.counts: Counter[str] = Counter()
        self.changed = asyncio.Event()
        self.on_connecting: Callable[[], None] = lambda: None

    def note(self, kind: str, *what: Any) -> None:
        if self.over:
            return
        self.notes.append((self._now(), kind, what))
        self.counts[kind] += 1
        self.changed.set()
        if kind == "connecting":
            self.on_connecting()


class _Player:
    """One replay.

    Args:
        captured: the captured call.
        loop: the loop that the replay runs in.
    """

    def __init__(self, captured: Captured, loop: PatientLoop) -> None:
        self.trouble: list[str] = []
        self._captured = captured
        self._loop = loop
        self._at = 0  # index into the captured lines
        self._notes: _Notes | None = None
        self._session: HookedSession | None = None
        # A session that waits for its set-up to be confirmed.
        self._wanted: asyncio.Future[ServerMessage | None] | None = None
        self._arrived = asyncio.Event()
        # Tools' outcomes, by what was called.
        self._outcomes: dict[str, deque[Mapping[str, Any]]] = defaultdict(deque)
        self._running: dict[str, deque[asyncio.Future[Mapping[str, Any]]]] = defaultdict(deque)
        self._asked: dict[str, str] = {}  # what was called, keyed by the tool call's id
        self._hold: Any = None

    def lines(self) -> list[Line]:
        """Return the notes of the replay."""
        return [] if self._notes is None else [encode(note) for note in self._notes.notes]

    def place(self) -> str:
        """Describe how far the replay has come."""
        lines = self._captured.lines
        at, kind = lines[min(self._at, len(lines) - 1)][:2]
        return f"{at - lines[0][0]:.3f} s ({kind})"

    async def play(self) -> None:
        """Replay the call to its end."""
        header = self._captured.header
        settings = settings_of(header)
        async with running_emulator(
            hooks=lambda: _ServerHooks(self), on_turn=lambda _turn: (), speech_programs=False, record_s=0
        ) as emulator:
            endpoint = LiveEndpoint("replay", emulator.url, str(emulator.ca_file))
            client = live_client(endpoint, settings)
            self._notes = notes = _Notes(self._loop.time)
            notes.on_connecting = self._hold_time
            price = price_in(header)
            call = Call(
                header["call_id"],
                client=client,
                setup=AgentSetup(
                    settings=settings,
                    instructions=header["instructions"],
                    vad=header["vad"],
                    tools=tuple(self._tool(told["tool"]) for told in header["tools"]),
                    greeting=header["greeting"],
                    announcement=header.get("announcement"),
                ),
                caller=header["caller"],
                offline_demo=header["offline_demo"],
                phase_s=header["phase_s"],
                prices={} if price is None else {settings.model.rpartition("/")[2]: price},
                kept=kept_in(header),
                clock=self._loop.time,
                capture=notes,
            )
            call.voice.use_codec("opus")
            call.voice.paced = False
            call.playout.rewinds = True
            try:
                await self._hold_call(call, notes, settings.video_max_px)
            finally:
                call.let_go()
                await client.aio.aclose()

    async def _hold_call(self, call: Call, notes: _Notes, max_px: int) -> None:
        path = asyncio.Event()
        audio = InboundAudio(_listen, True, InboundStats(), ReorderStats)
        running = asyncio.create_task(call.run(audio, path), name="replayed call")
        inlet: PacketInlet | None = None
        try:
            for number, line in enumerate(self._captured.lines):
                self._at = number
                at, kind, *what = line
                await asyncio.sleep(max(at - self._loop.time(), TICK_S))
                match kind:
                    case "codecs":
                        inlet = PacketInlet({int(number): name for number, name in what[0].items()}, capture=notes)
                    case "rtp" if inlet is not None:
                        _hear(call, inlet.push(packet_of(what[0]), what[1]))
                    case "poll" if inlet is not None:
                        _hear(call, inlet.poll(what[0]))
                    case "rewind":
                        call.playout.confirm(what[0])
                        call.voice.rewind()
                    case "frame":
                        _show(call, notes, max_px, *what)
                    case "pull":
                        with suppress(MediaStreamError):
                            await call.voice.recv()
                    case "ask":
                        self._ask(call, *what)
                    case "event":
                        self._note_tool(*what)
                    case "connecting":
                        path.set()
                        await self._await_session()
                    case "session" | "refused" | "server" | "unreadable" | "lost":
                        await self._serve(kind, what, notes)
            await self._end(call, running)
        finally:
            self._let_time_go()
            running.cancel()
            await asyncio.wait([running])

    async def _end(self, call: Call, running: asyncio.Task[CallEnded]) -> None:
        """Make the call end as it did, even if something outside it had ended it."""
        await asyncio.sleep(TICK_S)
        ended = [line[3] for line in self._captured.lines if line[1:3] == ["event", "CallEnded"]]
        if call.ended is None and ended:
            call.hang_up(ended[0]["reason"], ended[0]["detail"], ended[0]["fault"])
        elif not ended:
            call.hang_up("hung_up", "The capture ends here.", "operator")
        await asyncio.wait([running], timeout=END_S)

    # What the Live server did.

    def _hold_time(self) -> None:
        """Hold time while a session is being opened, so that none passes on its way to the server."""
        if self._hold is None:
            self._arrived.clear()
            self._hold = self._loop.held()
            self._hold.__enter__()

    def _let_time_go(self) -> None:
        if self._hold is not None:
            self._hold.__exit__(None, None, None)
            self._hold = None

    def refusal(self) -> Refusal | None:
        """Return how the server answered instead of opening a WebSocket; None if it opened one."""
        following = (line for line in self._captured.lines[self._at :] if line[1] in ("session", "refused"))
        line = next(following, None)
        if line is None or line[1] == "session" or line[2] != "upgrade_refused":
            return None
        self._let_time_go()
        self._arrived.set()
        return Refusal(line[3])

    async def set_up(self, session: HookedSession) -> ServerMessage | None:
        """Wait for the point at which the call's server had confirmed its session, or failed to."""
        self._session = session
        self._wanted = asyncio.get_running_loop().create_future()
        self._let_time_go()
        self._arrived.set()
        return await self._wanted

    async def _await_session(self) -> None:
        try:
            async with asyncio.timeout(SESSION_S):
                await self._arrived.wait()
        except TimeoutError:
            self.trouble.append(f"the replay opens no Live session at {self.place()}, where the call did")
        self._arrived.clear()

    async def _serve(self, kind: str, what: list[Any], notes: _Notes) -> None:
        """Make the server do what it did, and wait until the session has processed it."""
        if kind == "refused" and what[0] == "upgrade_refused":
            return
        session, wanted, count = self._session, self._wanted, notes.counts[kind]
        begins = kind in ("session", "refused")
        if session is None or wanted is None or session.gone or wanted.done() is begins:
            self.trouble.append(f"the replay has no Live session at {self.place()}, where the call had one")
            return
        with self._loop.held():
            match kind:
                case "session":
                    told = {} if what[0] is None else {"sessionId": what[0]}
                    wanted.set_result(message("setupComplete", {"setupComplete": told}))
                case "refused":
                    await _close(session, what[1], what[2])
                    wanted.set_result(None)
                case "server":
                    await session.send(message("replayed", what[0]))
                case "unreadable":
                    await session.send(message("replayed", UNREADABLE))
                case _:
                    await _close(session, what[0], what[1])
            while notes.counts[kind] == count:
                notes.changed.clear()
                await notes.changed.wait()

    # What was done to the call.

    def _ask(self, call: Call, name: str, args: list[Any], kwargs: Mapping[str, Any]) -> None:
        if (
            name == "hang_up"
        ):  # what still came until the call had ended comes first; then `_end` ends it as it ended
            return
        given = made_again(args, self._tool)
        named = made_again(dict(kwargs), self._tool)
        with suppress(AgentError):  # the original caller got this error, too
            getattr(call, name)(*given, **named)

    def _tool(self, told: Mapping[str, Any]) -> Tool:
        """Make a tool that answers as it did."""
        name = told["name"]

        async def answer(**given: Any) -> Any:
            asked = _asked(name, given)
            if self._outcomes[asked]:
                return _answer(self._outcomes[asked].popleft())
            running = asyncio.get_running_loop().create_future()
            self._running[asked].append(running)
            return _answer(await running)

        return Tool(**{**told, "function": answer, "parse": lambda given: dict(given)})

    def _note_tool(self, kind: str, told: Mapping[str, Any]) -> None:
        """Let a waiting tool end as it did."""
        if kind == "ToolCalled":
            self._asked[told["call_id"]] = _asked(told["name"], told["arguments"])
        elif kind == "ToolFinished" and told["outcome"] in ("result", "error"):
            asked = self._asked.get(told["call_id"], "")
            waiting = self._running[asked]
            if waiting:
                waiting.popleft().set_result(told["result"])
            else:
                self._outcomes[asked].append(told["result"])


class _ServerHooks(Hooks):
    """Make a session of the emulator say what the call's server said, and nothing else."""

    def __init__(self, player: _Player) -> None:
        self._player = player

    def upgrade(self, record: SessionRecord) -> Refusal | None:
        return self._player.refusal()

    async def set_up(self, session: HookedSession, history: History | None) -> History | None:
        return history or ()

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return await self._player.set_up(session) if message.kind == "setupComplete" else None


async def _listen() -> None:
    """Wait until cancelled: the caller's voice comes from the capture."""
    await asyncio.Event().wait()


async def _close(session: HookedSession, code: int | None, reason: str) -> None:
    """End a session as it ended: with a close frame, with an error that has an HTTP status, or abnormally."""
    if code is None or code in (ABNORMAL_CLOSURE, 1005, 1015):
        session.abort()
    elif code < 1000:
        told = {"error": {"code": code, "message": reason, "status": "UNKNOWN"}}
        await session.send(message("replayed", told))
    else:
        await session.close(code, reason)


def _hear(call: Call, frames: list[Pcm]) -> None:
    for pcm in frames:
        call.hear(pcm)


def _show(call: Call, notes: Capture, max_px: int, source: SourceName, codec: str, data: str) -> None:
    """Show the call what the caller showed; a frame that can no longer be decoded is missed in the comparison."""
    with suppress(MediaError):
        picture = picture_of(codec, base64.b64decode(data), max_px)
        notes.note("shown", source, picture.data)
        call.see(Shown(source, picture))


def _asked(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name} {json.dumps(arguments, sort_keys=True, default=str)}"


def _answer(response: Mapping[str, Any]) -> Any:
    """Answer as a tool does, so that the model is told the same."""
    if "error" in response:
        raise ToolError(str(response["error"]))
    return response.get("output")
