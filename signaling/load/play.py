"""Plays a scenario as one real call, step by step, and judges what its caller expects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.clock import monotonic
from agent.errors import ConfigError
from agent.media.fir import Pcm
from signaling.load.judge import Moment, Verdict, judge
from signaling.load.on_call import CannotCallError, OnCall
from signaling.load.outcome import State, StepOutcome, TimelineEntry, Who
from signaling.load.scenario import (
    Act,
    BargeIn,
    Camera,
    ComeBack,
    Expect,
    HangUp,
    Picture,
    Play,
    Press,
    Say,
    Silent,
    Step,
    Tone,
    Type,
    Vanish,
    WaitForReply,
)
from signaling.load.seen import Message
from signaling.load.voices import text_of

MAX_ANSWER_S = 120.0
"A longer answer is not waited for."
LATE_MS = 40.0
"If this machine was later than that, a time that is too long may be its own."
JUDGE_S = 0.02
TIMED = ("reply_within_ms", "interrupted_within_ms")


class Player:
    """Plays steps on a call.

    Args:
        on_call: the caller.
        sounds: of the steps that have one.
        folder: where the files of the steps are.
    """

    def __init__(self, on_call: OnCall, sounds: Mapping[Act, Pcm], folder: Path) -> None:
        self._call = on_call
        self._sounds = sounds
        self._folder = folder
        self._began = monotonic()
        self._acts: list[TimelineEntry] = []

    async def dial(self) -> None:
        """Call for the first time.

        Raises:
            CannotCallError: there is no call.
        """
        await self._call.dial()
        self._note(f"is on the call after {(monotonic() - self._began) * 1000:.0f} ms")

    async def do(self, step: Step) -> list[StepOutcome]:
        """Do one step; return what came of it."""
        if isinstance(step.act, Expect):
            return await self._expect(step, step.act)
        what = _said(step)
        if self._call.over() and not isinstance(step.act, ComeBack | HangUp | Vanish):
            ended = self._call.seen.ended() or {}
            return [self._outcome(step, what, "skipped", f"the call was over: {ended.get('detail', '')}")]
        self._note(what)
        try:
            refusal = await self._act(step.act)
        except (CannotCallError, ConfigError, OSError) as error:
            refusal = str(error)
        return [self._outcome(step, what, "failed" if refusal else "passed", refusal or "")]

    async def leave(self) -> None:
        """Hang up, if the caller is still on the call."""
        if self._call.caller is not None:
            self._note("hangs up")
        await self._call.leave()

    def timeline(self) -> list[TimelineEntry]:
        """Return what has happened, in order."""
        entries = list(self._acts)
        for message in self._call.seen.messages:
            entries += (self._entry(message.at, who, what) for who, what in _told(message))
        for begin, end in self._call.seen.ears.stretches():
            entries.append(self._entry(begin, "agent", f"is heard for {end - begin:.1f} s"))
        return sorted(entries, key=lambda entry: entry.at_s)

    async def _act(self, act: Act) -> str | None:
        """Do what the caller does; return why it was not possible, or None."""
        call = self._call
        match act:
            case Say() | Play() | Tone():
                await call.speak(self._sounds[act], text_of(act))
            case BargeIn():
                return await self._barge_in(act)
            case WaitForReply():
                return await self._wait_for_reply(act.within_s)
            case Type(text=text):
                return call.type(text)
            case Press(keys=keys):
                return None if await call.press(keys) else "the service takes no telephone keys"
            case Picture(file=file, text=text):
                return await call.send_picture(self._folder / file, text)
            case Camera(file=file):
                assert call.camera is not None
                call.camera.show(self._folder / file)
            case Silent(for_s=for_s):
                await call.until(lambda: False, monotonic() + for_s)
            case HangUp() | Vanish():
                await call.leave(vanish=isinstance(act, Vanish))
            case ComeBack(after_s=after_s):
                await asyncio.sleep(after_s)
                await call.dial(back=True)
        return None

    async def _wait_for_reply(self, within_s: float) -> str | None:
        seen = self._call.seen
        if not await self._call.until(lambda: seen.reply_from(monotonic()) is not None, monotonic() + within_s):
            return self._no_reply(within_s)
        if not await self._call.until(lambda: seen.is_over(monotonic()), monotonic() + MAX_ANSWER_S):
            return None if self._call.over() else f"the answer was not over after {MAX_ANSWER_S:g} s"
        return None

    async def _barge_in(self, act: BargeIn) -> str | None:
        seen = self._call.seen
        if not await self._call.until(lambda: seen.reply_from(monotonic()) is not None, monotonic() + act.within_s):
            return self._no_reply(act.within_s)
        due = (seen.reply_from(monotonic()) or monotonic()) + act.after_ms / 1000
        await self._call.until(lambda: False, due)
        if not seen.ears.audible_at(monotonic()):
            return f"the agent was silent {act.after_ms:g} ms after it had begun to answer"
        await self._call.speak(self._sounds[act], act.say)
        return None

    def _no_reply(self, within_s: float) -> str:
        ended = self._call.seen.ended()
        return (
            f"the call was over: {ended.get('detail')}"
            if ended
            else f"the agent was not heard within {within_s:g} s"
        )

    async def _expect(self, step: Step, expect: Expect) -> list[StepOutcome]:
        since = monotonic()
        found = []
        for kind in expect.kinds:
            verdict = await self._judged(kind, expect, since)
            detail = verdict.detail
            late_ms = self._call.microphone.worst_late_s * 1000
            if not verdict.holds and kind in TIMED and late_ms > LATE_MS:
                detail += f"; this machine was late itself, by up to {late_ms:.0f} ms: run fewer calls in parallel"
            what = f"expect {kind}: {_wanted(expect, kind)}"
            found.append(self._outcome(step, what, "passed" if verdict.holds else "failed", detail))
        return found

    async def _judged(self, kind: str, expect: Expect, since: float) -> Verdict:
        """Judge until it is decided, or time is up."""
        deadline = max(since, (self._call.seen.exchange.until or since) + expect.within_s)
        if kind == "silent_s":
            deadline = since + (expect.silent_s or 0.0)
        while True:
            now = monotonic()
            verdict = judge(kind, expect, self._call.seen, Moment(now, since, self._call.over() or now >= deadline))
            if verdict is not None:
                return verdict
            await asyncio.sleep(JUDGE_S)

    def _outcome(self, step: Step, what: str, state: State, detail: str) -> StepOutcome:
        return StepOutcome(step.line, what, state, detail, monotonic() - self._began)

    def _note(self, what: str) -> None:
        self._acts.append(self._entry(monotonic(), "caller", what))

    def _entry(self, at: float, who: Who, what: str) -> TimelineEntry:
        return TimelineEntry(at - self._began, who, what)


def _said(step: Step) -> str:
    fields = step.act.model_dump(exclude_unset=True)
    return f"{step.name.replace('_', ' ')} {', '.join(str(value) for value in fields.values())}".strip()


def _wanted(expect: Expect, kind: str) -> str:
    value = getattr(expect, kind)
    return str(value.model_dump(exclude_unset=True) if hasattr(value, "model_dump") else value)


def _told(message: Message) -> Iterator[tuple[Who, str]]:
    """Yield what a message tells of the call, for the timeline."""
    data = message.data
    match message.kind:
        case "user-transcription" if data.get("final"):
            yield "service", f"understood: {data.get('text', '')}"
        case "bot-output" if data.get("spoken_status") == "completed":
            unheard = f" [unheard: {data['unheard_text']}]" if data.get("unheard_text") else ""
            yield "agent", f"said: {data.get('text', '')}{unheard}"
        case "llm-function-call-in-progress":
            yield "agent", f"calls {data.get('function_name', 'a tool')} {data.get('arguments', '')}".strip()
        case "llm-function-call-stopped":
            yield (
                "service",
                f"{data.get('function_name', 'a tool')}: {data.get('outcome', 'ended')} {data.get('result', '')}",
            )
        case "bot-interrupted":
            yield "service", f"the agent was interrupted, {data.get('dropped_ms')} ms were dropped"
        case "session-lost" | "session-replaced" | "agent-fell-silent" | "limit-near" | "app-event":
            yield "service", f"{message.kind} {dict(data)}"
        case "error" | "error-response":
            yield "service", f"error: {data.get('error', '')}"
        case "call-ended":
            yield "service", f"the call ended: {data.get('reason', '')}: {data.get('detail', '')}"
