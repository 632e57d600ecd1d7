"""One Live API session, from setup to close.

Rules:
* The first message is the setup; there is exactly one.
* The reader is the session's own coroutine. At most one turn runs, as a task of the session's group: it ends with
  turnComplete, or is cancelled by an interruption or with the session.
* A turn that is interrupted ends with interrupted, turnComplete; one that is not, with generationComplete,
  turnComplete. A voice turn that the caller continues before the model began to answer is joined with what follows.
* With historyConfig the first client_content, up to its turnComplete, is the history and asks nothing.
* A handle is issued after each turnComplete, if the client asked for handles, but not while a background call is
  open; while the model answers, the session is said not to be resumable.
* The client is audited: what the Live API closes a session for closes it here; the rest is recorded and logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import numpy as np

from agent.emulator import wire
from agent.emulator.calls import Answer, OpenCalls
from agent.emulator.handles import Handles, History
from agent.emulator.hooks import Moment
from agent.emulator.line import Line
from agent.emulator.model.brain import Brain, Call, OnTurn, Play, Raw, Reply, Say, Turn
from agent.emulator.model.hearing import (
    Hearing,
    HearingFact,
    MarkedHearing,
    SpeechEnded,
    SpeechHeard,
    SpeechPaused,
    SpeechStarted,
)
from agent.emulator.model.mouth import Mouth
from agent.emulator.model.pcm import HEARD_HZ, resample_chunk
from agent.emulator.model.picture import picture_size
from agent.emulator.model.speech import SpeechCutter
from agent.emulator.model.transcribe import Transcriber, Utterance
from agent.emulator.record import SessionRecord
from agent.emulator.wire import FunctionResult, WireError

log = logging.getLogger(__name__)

_MIN_VOICE_S = 0.12  # shorter is a click, not a turn
_MAX_WAITING = 8
_TOKENS_PER_AUDIO_S = 25
_TOKENS_PER_PICTURE = 258

Read: TypeAlias = Callable[[], Awaitable[str | bytes | None]]
"""The next frame of the client; None at the end."""


@dataclass(frozen=True)
class Demo:
    """What all sessions of a server share."""

    cutter: SpeechCutter
    handles: Handles
    transcriber: Transcriber | None
    pace: float
    await_playback: bool
    on_turn: OnTurn | None
    wall: Callable[[], datetime]
    rng: random.Random
    setup_timeout_s: float = 30.0
    tool_timeout_s: float = 60.0


@dataclass(frozen=True)
class Spoken:
    """The caller said something."""

    start_samples: int
    end_samples: int
    utterance: Utterance | None
    """Its sound; None if nobody can recognise words."""

    @property
    def voice_s(self) -> float:
        return (self.end_samples - self.start_samples) / HEARD_HZ


Prompt: TypeAlias = str | Spoken | FunctionResult
"""What makes the model speak."""


class Session:
    """Made when the client is connected; ``run`` is its whole life."""

    def __init__(self, line: Line, record: SessionRecord, demo: Demo) -> None:
        self._line = line
        line.control = self
        self._record = record
        self._demo = demo
        self._brain = Brain(demo.rng)
        self._calls = OpenCalls()
        self._turn: asyncio.Task[None] | None = None
        self._waiting: deque[Prompt] = deque(maxlen=_MAX_WAITING)
        self._current: Prompt | None = None
        self._answering = False
        self._completing = False
        self._paused: Spoken | None = None
        self._utterance: Utterance | None = None
        self._pictures = 0
        self._picture_size: tuple[int, int] | None = None
        self._prompt_tokens = {"TEXT": 0, "AUDIO": 0, "IMAGE": 0}
        self._audio_in_s = 0.0
        self._rate_hz: int | None = None
        self._interrupting = asyncio.Lock()

    async def run(self, read: Read) -> None:
        """Serve until the client leaves, or breaks the protocol.

        Raises:
            WireError: the session is to be closed with its code.
            ConnectionError: the client is gone.
        """
        await self._line.at(Moment.CONNECTED)
        await self._begin_session(await self._first(read))
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as self._tasks:
                hooks = self._tasks.create_task(self._line.run_hooks(), name="emulator hooks")
                try:
                    await self._read_all(read)
                    self._audit_end()
                finally:
                    hooks.cancel()
                    self._cancel_work()
        except* (WireError, ConnectionError) as group:
            failure = _first_of(group)
        if failure is not None:  # raised up there, Python before 3.11.4 would wrap it into a group again
            raise failure

    def _cancel_work(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        if self._utterance is not None:
            self._utterance.forget()

    def _audit_end(self) -> None:
        """The client ended the session: what does it still owe?"""
        ended_by_us = (
            self._record.close_code is not None or self._record.dropped or self._record.sent_kinds["goAway"]
        )
        if not ended_by_us:
            for call_id in self._calls.open_ids:
                self._violated(f"function call {call_id} was never answered")

    def _violated(self, what: str) -> None:
        log.warning("session %d: the client broke the protocol: %s", self._record.number, what)
        self._record.violated(what)

    # --- setup

    async def _first(self, read: Read) -> wire.Setup:
        try:
            async with asyncio.timeout(self._demo.setup_timeout_s):
                frame = await read()
        except TimeoutError as error:
            raise WireError(wire.REFUSED, "No setup was received in time.") from error
        if frame is None:
            raise ConnectionResetError("the client left before its setup")
        messages = wire.parse(frame)
        if not messages or not isinstance(messages[0], wire.Setup):
            raise WireError(wire.INVALID, "setup must be the first message and only the first.")
        self._line.received(messages[0])
        return messages[0]

    async def _begin_session(self, setup: wire.Setup) -> None:
        self._setup = setup
        self._history_due = setup.begins_with_history
        if setup.handle is not None and setup.begins_with_history:
            raise WireError(
                wire.INVALID, "A resumed session has its history; historyConfig must not bring another."
            )
        self._functions = dict(setup.functions)
        self._brain.remember(await self._restore(setup.handle))
        keep = self._demo.transcriber is not None
        if self._demo.transcriber is not None:
            self._demo.transcriber.prepare()
        self._hearing = (
            MarkedHearing(keep_audio=keep) if setup.manual_activity else Hearing(setup.detection, keep_audio=keep)
        )
        self._mouth = Mouth(
            self._line,
            self._demo.cutter,
            text_only=setup.modality == "TEXT",
            transcribe=setup.transcribe_output,
            pace=self._demo.pace,
            await_playback=self._demo.await_playback,
        )
        await self._line.at(Moment.SETUP_RECEIVED)
        await self._line.say(wire.setup_complete(f"emulator-{self._record.number}"))
        await self._line.at(Moment.READY)

    async def _restore(self, handle: str | None) -> History:
        """The dialogue that goes on here; empty without a handle."""
        if handle is None:
            return await self._line.set_up(()) or ()
        ticket = self._demo.handles.find(handle)
        if ticket is not None:
            self._record.resumed(ticket.lineage, ticket.history)
        history = await self._line.set_up(ticket.history if ticket is not None else None)
        if history is None:
            raise WireError(wire.REFUSED, "BidiGenerateContent session not found.", violation=False)
        self._record.restored = history
        if ticket is not None and bool(history) == bool(ticket.history):  # else the context is forgotten
            self._prompt_tokens = dict(ticket.tokens)
        return history

    # --- reading

    async def _read_all(self, read: Read) -> None:
        while (frame := await read()) is not None:
            for message in wire.parse(frame):
                self._line.received(message)
                await self._take(message)
            await self._line.at(Moment.MESSAGE_RECEIVED)

    async def _take(self, message: wire.ClientMessage) -> None:
        match message:
            case wire.Audio():
                await self._take_audio(message)
            case wire.Picture():
                self._take_picture(message)
            case wire.Text(text):
                await self._take_text(text)
            case wire.ActivityStarted() | wire.ActivityEnded():
                await self._take_mark(started=isinstance(message, wire.ActivityStarted))
            case wire.AudioStreamEnded():
                await self._heard(self._hearing.end())
            case wire.Content():
                await self._take_content(message)
            case wire.ToolResponse(results):
                for result in results:
                    await self._take_result(result)
            case wire.ContextUpdate(functions):
                self._functions = self._functions if functions is None else dict(functions)
            case wire.Setup():
                raise WireError(wire.INVALID, "setup must be the first message and only the first.")

    async def _take_audio(self, message: wire.Audio) -> None:
        if self._rate_hz not in (None, message.rate_hz):
            raise WireError(
                wire.INVALID, f"The audio's sample rate changed from {self._rate_hz} to {message.rate_hz} Hz."
            )
        self._rate_hz = message.rate_hz
        pcm = np.frombuffer(message.pcm, dtype="<i2")
        self._audio_in_s += pcm.size / message.rate_hz
        facts = self._hearing.feed(resample_chunk(pcm, message.rate_hz))
        if facts:
            await self._heard(facts)

    def _take_picture(self, message: wire.Picture) -> None:
        self._pictures += 1
        self._picture_size = picture_size(message.data)
        self._prompt_tokens["IMAGE"] += _TOKENS_PER_PICTURE

    async def _take_text(self, text: str) -> None:
        if text.strip():
            if self._setup.barge_in:
                await self._interrupt()
            self._begin(text)

    async def _take_mark(self, *, started: bool) -> None:
        if not isinstance(self._hearing, MarkedHearing):
            raise WireError(wire.INVALID, "Activity marks need automatic activity detection to be disabled.")
        await self._heard(self._hearing.start() if started else self._hearing.end())

    async def _take_content(self, message: wire.Content) -> None:
        for picture in message.pictures:
            self._take_picture(picture)
        turns = message.turns
        if self._history_due:
            self._brain.remember(turns)
            self._prompt_tokens["TEXT"] += sum(1 + len(text) // 4 for _role, text in turns)
            self._history_due = not message.turn_complete
            return
        if self._setup.handle is not None and any(role == "model" for role, _ in turns):
            raise WireError(
                wire.INVALID, "A resumed session has its history; client_content must not bring another."
            )
        if not message.turn_complete:
            self._brain.remember(turns)
            return
        await self._interrupt()
        self._brain.remember(turns)
        if turns and turns[-1][0] == "model":
            return  # a history that ends with the model's own words asks nothing
        self._begin(self._brain.take_question() or "hello")

    async def _take_result(self, result: FunctionResult) -> None:
        answer = self._calls.answer(result)
        if answer is Answer.STRANGE:
            self._violated(f"an answer to function call {result.id[:40]!r}, which this session did not make")
        if answer in (Answer.AWAITED, Answer.NEWS):
            for picture in result.pictures:
                self._take_picture(picture)
        if answer is not Answer.NEWS:
            return
        if result.scheduling == "SILENT":
            await self._say_resumable()
            return
        if result.scheduling == "INTERRUPT" and not self._hearing.speaking:
            await self._interrupt()
        if self._hearing.speaking:
            self._waiting.append(result)
        else:
            self._begin(result)

    async def _heard(self, facts: Sequence[HearingFact]) -> None:
        for fact in facts:
            match fact:
                case SpeechStarted():
                    await self._line.at(Moment.SPEECH_STARTED)
                    if self._setup.barge_in:
                        await self._interrupt(by_voice=True)
                    self._begin_utterance()
                case SpeechHeard(pcm) if self._utterance is not None:
                    self._utterance.add(pcm)
                case SpeechPaused() if self._utterance is not None:
                    self._utterance.paused()
                case SpeechEnded():
                    await self._line.at(Moment.SPEECH_ENDED)
                    self._end_of_speech(fact)

    def _begin_utterance(self) -> None:
        """What a caller says after a pause in the middle of a sentence goes on with what was said before it."""
        if self._paused is not None:
            self._utterance = self._paused.utterance
        elif self._demo.transcriber is not None:
            self._utterance = self._demo.transcriber.begin()

    def _end_of_speech(self, fact: SpeechEnded) -> None:
        began = fact.start_samples if self._paused is None else self._paused.start_samples
        spoken = Spoken(began, fact.end_samples, self._utterance)
        self._paused = self._utterance = None
        if spoken.voice_s >= _MIN_VOICE_S:
            self._begin(spoken)
            return
        if spoken.utterance is not None:
            spoken.utterance.forget()
        if self._waiting:
            self._begin(self._waiting.popleft())

    # --- turns

    def _begin(self, prompt: Prompt) -> None:
        """Answer now, or after the turn that is running."""
        if self._turn is not None and not self._turn.done():
            self._waiting.append(prompt)
        else:
            self._turn = self._tasks.create_task(self._answer_all(prompt), name="emulator turn")

    async def _interrupt(self, *, by_voice: bool = False) -> None:
        """Cut the running turn, if there is one; a voice that goes on takes back what it had asked."""
        async with self._interrupting:
            await self._cut_turn(by_voice=by_voice)

    async def interrupt(self) -> None:
        """Cut the running turn for the hooks; what waited for its end begins."""
        if self._interrupting.locked():
            return  # it is being cut already
        await self._interrupt()
        if self._waiting and (self._turn is None or self._turn.done()):
            self._begin(self._waiting.popleft())

    async def cancel_calls(self) -> None:
        """Take back the open function calls for the hooks."""
        cancelled = self._calls.cancel()
        if cancelled:
            await self._line.say(wire.tool_call_cancellation(cancelled))

    async def _cut_turn(self, *, by_voice: bool) -> None:
        turn = self._turn
        if turn is None or turn.done():
            return
        if not self._completing:
            turn.cancel()
        await asyncio.wait([turn])
        if not turn.cancelled():
            return
        if by_voice and not self._answering and isinstance(self._current, Spoken):
            self._paused = self._current
            return
        if by_voice and not self._answering and isinstance(self._current, str):
            self._waiting.appendleft(self._current)  # typed, and not answered yet: a cough does not take it back
            return
        await self._line.at(Moment.INTERRUPTED)
        abandoned = self._calls.forget()
        if abandoned:
            await self._line.say(wire.tool_call_cancellation(abandoned))
        await self._line.say(wire.interrupted())
        await self._end_turn()

    async def _answer_all(self, prompt: Prompt) -> None:
        """One turn, and then those that waited for its end; cancelled by an interruption and with the session."""
        while True:
            self._current = prompt
            await self._answer(prompt)
            if not self._waiting:
                return
            prompt = self._waiting.popleft()

    async def _answer(self, prompt: Prompt) -> None:
        self._answering = self._completing = False
        self._mouth.begin_turn()
        turn = await self._turn_of(prompt)
        await self._line.at(Moment.TURN_STARTED)
        self._answering = True
        if isinstance(prompt, Spoken) and prompt.utterance is not None:
            prompt.utterance.forget()
        if self._setup.resumable:
            await self._line.say(wire.resumption_update(None))
        if isinstance(prompt, Spoken) and turn.text and self._setup.transcribe_input:
            await self._echo_words(turn.text)
        while awaited := await self._deliver(self._reply(turn)):
            results = await self._calls.wait(awaited, self._demo.tool_timeout_s)
            turn = replace(self._bare_turn(), results=results, unanswered=not results)
        await self._line.say(wire.generation_complete())
        await self._mouth.played()
        self._completing = True
        await self._end_turn()

    async def _end_turn(self) -> None:
        await self._line.say(wire.turn_complete(self._usage()))
        await self._say_resumable()
        await self._line.at(Moment.TURN_COMPLETED)

    async def _say_resumable(self) -> None:
        """Issue a handle, if this is a state to come back to."""
        if self._setup.resumable and not self._calls.in_background:
            handle = self._demo.handles.issue(self._brain.history, self._record.lineage, self._context_tokens())
            self._record.issued(handle)
            await self._line.say(wire.resumption_update(handle))

    async def _turn_of(self, prompt: Prompt) -> Turn:
        match prompt:
            case str():
                self._prompt_tokens["TEXT"] += 1 + len(prompt) // 4
                return replace(self._bare_turn(), text=prompt)
            case FunctionResult():
                return replace(self._bare_turn(), results=(prompt,))
            case Spoken(utterance=utterance):
                words = await utterance.words() if utterance is not None else None
                return replace(self._bare_turn(), text=words, voice_s=prompt.voice_s)

    def _bare_turn(self) -> Turn:
        return Turn(
            wall=self._demo.wall(),
            functions=self._functions,
            pictures=self._pictures,
            picture_size=self._picture_size,
        )

    async def _echo_words(self, text: str) -> None:
        for number, word in enumerate(text.split()):
            await self._line.say(wire.input_transcription(f" {word}" if number else word))

    def _reply(self, turn: Turn) -> Reply:
        scripted = self._demo.on_turn(turn) if self._demo.on_turn is not None else None
        return self._line.reply(turn, self._brain.reply(turn) if scripted is None else scripted)

    async def _deliver(self, reply: Reply) -> tuple[str, ...]:
        """Send a reply; returns the calls that the turn waits for."""
        awaited: list[str] = []
        calls: list[Call] = []
        for part in (*reply, None):
            if isinstance(part, Call):
                calls.append(part)
                if not part.alone:
                    continue
            if calls:
                awaited += await self._ask(calls)
                calls = []
            match part:
                case Say(text):
                    await self._mouth.say(text)
                case Play(pcm):
                    await self._mouth.play(pcm)
                case Raw(message):
                    await self._line.say(message)
        return tuple(awaited)

    async def _ask(self, calls: Sequence[Call]) -> list[str]:
        """Call functions side by side, in one message."""
        background = [bool(self._functions.get(call.name)) for call in calls]
        ids = [self._calls.open(background=behind) for behind in background]
        await self._line.say(
            wire.tool_call([(call_id, call.name, call.args) for call_id, call in zip(ids, calls, strict=True)])
        )
        await self._line.at(Moment.TOOL_CALLED)
        return [call_id for call_id, behind in zip(ids, background, strict=True) if not behind]

    def _context_tokens(self) -> dict[str, int]:
        audio = self._prompt_tokens["AUDIO"] + round(self._audio_in_s * _TOKENS_PER_AUDIO_S)
        return self._prompt_tokens | {"AUDIO": audio}

    def _usage(self) -> wire.Json:
        """Estimates, as every count here is: nobody is billed."""
        prompt = self._context_tokens()
        spoken = round(self._mouth.spoken_s * _TOKENS_PER_AUDIO_S)
        return wire.usage(prompt, {"AUDIO": spoken, "TEXT": self._mouth.words})


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a session; what follows from it is of no interest."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
