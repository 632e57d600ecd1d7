"""Plays one scenario as one call and keeps its record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from agent.clock import monotonic
from agent.errors import MediaError, OfferError
from signaling.load.clips import Clip
from signaling.load.expectations import Scene, holds
from signaling.load.light import LightCaller
from signaling.load.record import COMPLETED, STOPPED, CallRecord, Turn
from signaling.load.scenario import (
    BargeIn,
    ComeBack,
    Expect,
    HangUp,
    Picture,
    Play,
    Say,
    Scenario,
    Silent,
    Tone,
    Type,
    Vanish,
    WaitForReply,
)
from signaling.load.wheel import Wheel
from signaling.load.words import missing_words, transcript, words_of

QUIET_S = 0.7  # so long the agent says nothing before the caller takes its answer for complete
READY_TIMEOUT_S = 20.0
SILENT_SERVICE_S = 3.0  # a service without RTVI says nothing when it is ready; its first packet must do
MAX_REPLY_S = 120.0


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario that is ready to be played.

    Attributes:
        scenario: what is done.
        clips: for each step that is heard, what is sent.
        quiet: what is sent meanwhile.
    """

    scenario: Scenario
    clips: Mapping[int, Clip]
    quiet: tuple[bytes, ...]


class Player:
    """One call; see `play`.

    Args:
        script: what the caller does.
        http: the client, shared by all callers.
        url: the service's address.
        wheel: who ticks the caller.
        number: of the call in the test.
        seed: of what is random in the call.
    """

    def __init__(
        self, script: Script, http: aiohttp.ClientSession, url: str, wheel: Wheel, *, number: int, seed: int
    ) -> None:
        self.record = CallRecord(number, script.scenario.name, monotonic())
        self._script = script
        self._http = http
        self._url = url
        self._wheel = wheel
        self._rng = random.Random(f"{seed}-{script.scenario.seed}-{number}")  # noqa: S311 - repeatable
        self._stopped = False
        self._caller: LightCaller | None = None
        self._since = 0
        self._said: list[str] = []

    def stop(self) -> None:
        """End the call soon; what is known of it stays."""
        self._stopped = True
        if self._caller is not None:
            self._caller.ended = self._caller.ended or STOPPED

    async def play(self) -> CallRecord:
        """Make the call; ends with it. Raises nothing that a service or a network can cause."""
        record = self.record
        goodbye = True
        try:
            await self._connect(None)
            async with asyncio.timeout(self._script.scenario.max_s):
                goodbye = await self._steps()
            ended = None if self._caller is None else self._caller.ended
            record.outcome = record.outcome or self._outcome(ended)
        except OfferError as error:
            record.outcome, record.detail = f"refused {error.status}", error.detail
        except MediaError as error:
            record.outcome, record.detail = "no media", str(error)
        except TimeoutError:
            record.outcome = "no answer" if record.answered_at is None else "took too long"
        except (aiohttp.ClientError, OSError) as error:
            record.outcome, record.detail = "unreachable", type(error).__name__
        except asyncio.CancelledError:
            record.outcome = STOPPED
            raise
        finally:
            if self._stopped and not record.set_up:
                record.outcome = STOPPED
            await self._leave(goodbye=goodbye)
        return record

    def _outcome(self, ended: str | None) -> str:
        if self._stopped or ended == STOPPED:
            return STOPPED
        return COMPLETED if ended is None else ended

    async def _connect(self, state: str | None) -> None:
        caller = LightCaller(self._http, self._url, self._script.quiet, self._script.scenario.network, self._rng)
        self._caller = caller
        caller.on_message = self._note
        try:
            await caller.connect(state)
        finally:
            record = self.record
            if record.answered_at is None:
                record.offered_at = caller.offered_at or record.offered_at
                record.answered_at, record.connected_at = caller.answered_at, caller.connected_at
        if self._stopped:
            caller.ended = STOPPED
        self._wheel.join(caller)
        connected_at = monotonic()

        def ready(now: float) -> bool:
            if any(message["type"] == "bot-ready" for message in caller.messages):
                return caller.ear.first_at is not None
            return caller.ear.first_at is not None and now - connected_at > SILENT_SERVICE_S

        if not await caller.until(ready, READY_TIMEOUT_S) and caller.ended is None:
            raise MediaError("the agent was not ready in time")

    async def _steps(self) -> bool:
        """Play all steps; return whether the caller says goodbye at the end."""
        assert self._caller is not None
        for index, step in enumerate(self._script.scenario.steps):
            caller = self._caller
            if caller.ended is not None and not isinstance(step.act, Expect | ComeBack):
                return True
            if not isinstance(step.act, Expect | WaitForReply | BargeIn):
                self._since = len(caller.messages)
            match step.act:
                case Say(text=text):
                    await self._say(index, text)
                case Play() | Tone():
                    await self._say(index, "")
                case WaitForReply(within_s=within_s):
                    await self._reply(within_s)
                    await self._quiet()
                case BargeIn(after_ms=after_ms, say=text, within_s=within_s):
                    await self._barge_in(index, after_ms, text, within_s)
                case Type(text=text):
                    now = monotonic()
                    self.record.turns.append(Turn(now, now))
                    caller.send("send-text", {"content": text})
                case Picture(file=file, text=text):
                    await self._show(Path(self._script.scenario.folder, file), text)
                case Silent(for_s=for_s):
                    await caller.until(lambda _now: False, for_s)
                case HangUp() | Vanish():
                    if not isinstance(self._following(index), ComeBack):
                        return isinstance(step.act, HangUp)
                    await self._come_back(self._following(index), goodbye=isinstance(step.act, HangUp))
                case Expect() as expected:
                    await self._expect(expected, step.line)
        return True

    def _following(self, index: int) -> Any:
        steps = self._script.scenario.steps
        return steps[index + 1].act if index + 1 < len(steps) else None

    async def _say(self, index: int, text: str, *, barges_in: bool = False) -> None:
        caller = self._caller
        assert caller is not None
        clip = self._script.clips[index]
        caller.say(clip)
        if not await caller.until(lambda _now: not caller.speaking, clip.seconds + 10.0):
            return  # cut off: what was not said to its end is owed no answer
        self.record.turns.append(Turn(caller.first_loud_at, caller.last_loud_at, barges_in=barges_in, text=text))
        if text:
            self._said.append(text)

    async def _reply(self, within_s: float) -> bool:
        """Wait for the answer to the caller's last turn, or for the greeting; return whether it came."""
        caller, turns = self._caller, self.record.turns
        assert caller is not None
        after, left_s = 0.0, within_s
        if turns:
            turns[-1].wants_reply, turns[-1].within_s = True, within_s
            after = turns[-1].ended_at
            left_s = max(0.0, after + within_s - monotonic())
        came = await caller.until(lambda _now: caller.ear.newest_talk_at > after, left_s)
        if not came and caller.ended is None:
            self.record.greeting_missing |= not turns
            self.record.marks.append((monotonic(), "no answer" if turns else "no greeting"))
        return came

    async def _quiet(self) -> None:
        caller = self._caller
        assert caller is not None
        await caller.until(lambda now: now - caller.ear.audible_at >= QUIET_S, MAX_REPLY_S)

    async def _barge_in(self, index: int, after_ms: float, text: str, within_s: float) -> None:
        caller = self._caller
        assert caller is not None
        if not await self._reply(within_s):
            return
        began = caller.ear.newest_talk_at
        await caller.until(lambda now: now - began >= after_ms / 1000, after_ms / 1000 + 1.0)
        self._since = len(caller.messages)
        await self._say(index, text, barges_in=True)

    async def _show(self, picture: Path, text: str) -> None:
        caller = self._caller
        assert caller is not None
        now = monotonic()
        self.record.turns.append(Turn(now, now))
        form = aiohttp.FormData({"content": text})
        form.add_field("pictures", await asyncio.to_thread(picture.read_bytes), filename=picture.name)
        async with self._http.post(f"{caller.location}/pictures", data=form) as response:
            if response.status != 200:
                self.record.marks.append((now, f"picture refused: {response.status}"))

    async def _come_back(self, act: ComeBack, *, goodbye: bool) -> None:
        assert self._caller is not None
        state = await self._caller.state()
        await self._leave(goodbye=goodbye)
        self.record.marks.append((monotonic(), "left"))
        await asyncio.sleep(act.after_s)
        await self._connect(state)
        self.record.marks.append((monotonic(), "came back"))

    async def _expect(self, expected: Expect, line: int) -> None:
        caller = self._caller
        assert caller is not None

        def scene() -> Scene:
            turn = self.record.turns[-1] if self.record.turns else None
            return Scene(
                caller.ear,
                caller.messages,
                caller.messages[self._since :],
                turn,
                " ".join(self._said),
                caller.ended,
            )

        for kind in expected.kinds:
            if kind == "silent_s":
                before = caller.ear.audible_at
                await caller.until(lambda _now: False, expected.silent_s or 0.0)
                held = caller.ear.audible_at == before
            elif kind == "not_called":
                held = holds(kind, expected, scene())
            else:
                held = holds(kind, expected, scene()) or await caller.until(
                    lambda _now, kind=kind: holds(kind, expected, scene()),  # type: ignore[misc]
                    expected.within_s,
                )
                held = held or holds(kind, expected, scene())
            if not held:
                self.record.unmet.append(f"line {line}: {kind} {getattr(expected, kind)}")

    def _note(self, message: Mapping[str, Any], at: float) -> None:
        """Keep of a message what the record has a place for."""
        kind, data = message["type"], message["data"]
        if kind in ("bot-interrupted", "error") or (kind == "server-message" and data.get("type") in _MARKED):
            self.record.marks.append((at, str(data.get("type") or kind)))
        if self._script.scenario.noise is not None:
            return  # in noise the service hears the caller's words end later than they do
        if kind == "server-message" and data.get("type") == "agent-responded" and self.record.turns:
            stages = data.get("stages")
            if isinstance(stages, dict):
                given = [stages.get(f"{name}_ms") for name in ("model", "tools", "voice")]
                known = [float(each) for each in given if isinstance(each, int | float)]
                if len(known) == len(given):
                    self.record.stages.append((len(self.record.turns) - 1, sum(known)))

    async def _leave(self, *, goodbye: bool) -> None:
        """Hang up and add what this connection heard to the record."""
        caller = self._caller
        if caller is None:
            return
        self._wheel.leave(caller)
        record, ear, way = self.record, caller.ear, self._script.scenario.network
        await caller.hang_up(goodbye=goodbye)
        record.ended_at = monotonic()
        record.first_packet_at = record.first_packet_at or ear.first_at
        record.received += ear.received
        record.lost += ear.lost
        record.bursts += ear.bursts
        record.late += ear.late
        record.jitter_ms = max(record.jitter_ms, 1e3 * ear.jitter_s)
        record.network_ms = way.up.delay_ms + way.down.delay_ms + (way.up.jitter_ms + way.down.jitter_ms) / 2
        record.talks += ear.talks
        record.gaps += ear.gaps
        understood, said = transcript(caller.messages), " ".join(self._said)
        if understood:
            record.words += len(words_of(said))
            record.words_missing += len(missing_words(said, understood))
        self._said.clear()
        self._caller = None


_MARKED = ("session-lost", "session-replaced", "agent-fell-silent", "limit-near", "call-ended")
