"""One Live API session, from setup to close: what the client sends, and who takes it.

Rules:
* The first message is the setup, and only the first.
* The session's own coroutine reads; what the model says is the task of `Turns`.
* With historyConfig the first client_content, up to its turnComplete, is the history and asks nothing.
* The client is audited: what makes the Live API close a session closes it here; the rest is recorded and logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import numpy as np

from agent.emulator.connection import Connection
from agent.emulator.context import Context
from agent.emulator.function_calls import Outcome
from agent.emulator.model.answers import DemoModel
from agent.emulator.model.pcm import resample_chunk
from agent.emulator.model.recogniser import Listening
from agent.emulator.model.speech_detector import (
    MarkedSpeech,
    SpeechDetector,
    SpeechEnded,
    SpeechFact,
    SpeechHeard,
    SpeechPaused,
    SpeechStarted,
)
from agent.emulator.moments import Moment
from agent.emulator.shared import Shared
from agent.emulator.turns import Turns, VoicePrompt
from agent.emulator.wire import incoming, outgoing
from agent.emulator.wire.parse import INVALID, REFUSED, WireError, parse

logger = logging.getLogger(__name__)

_MIN_VOICE_S = 0.12  # anything shorter is a click, not a turn
_NOT_THE_FIRST = "setup must be the first message and only the first."


class Session:
    """Made when the client is connected; ``run`` is its whole life."""

    def __init__(self, connection: Connection, shared: Shared) -> None:
        self._connection = connection
        self._record = connection.record
        self._shared = shared
        self._model = DemoModel(shared.rng)
        self._utterance: Listening | None = None
        self._rate_hz: int | None = None

    async def run(self) -> None:
        """Serve until the client leaves, or breaks the protocol.

        Raises:
            WireError: the session must be closed with its code.
            ConnectionError: the client is gone.
        """
        await self._connection.at(Moment.CONNECTED)
        await self._begin(await self._read_setup())
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                self._turns = Turns(self._connection, self._setup, self._shared, self._model, self._context, tasks)
                self._connection.turn_control = self._turns
                hooks = tasks.create_task(self._connection.run_hooks(), name="emulator hooks")
                try:
                    await self._read_all()
                    self._audit_end()
                finally:
                    hooks.cancel()
                    self._turns.cancel()
                    if self._utterance is not None:
                        self._utterance.forget()
        except* (WireError, ConnectionError) as group:
            failure = _first_of(group)
        if failure is not None:  # raised up there, Python before 3.11.4 would wrap it into a group again
            raise failure

    async def _read_setup(self) -> incoming.Setup:
        try:
            async with asyncio.timeout(self._shared.setup_timeout_s):
                frame = await self._connection.read()
        except TimeoutError as error:
            raise WireError(REFUSED, "No setup was received in time.") from error
        if frame is None:
            raise ConnectionResetError("the client left before its setup")
        messages = parse(frame)
        if not messages or not isinstance(messages[0], incoming.Setup):
            raise WireError(INVALID, _NOT_THE_FIRST)
        self._connection.received(messages[0])
        return messages[0]

    async def _begin(self, setup: incoming.Setup) -> None:
        self._setup = setup
        self._history_due = setup.begins_with_history
        if setup.handle is not None and setup.begins_with_history:
            raise WireError(INVALID, "A resumed session has its history; historyConfig must not bring another.")
        self._context = Context(setup.functions)
        self._model.remember(await self._restore(setup.handle))
        keep_audio = self._shared.transcriber is not None
        if self._shared.transcriber is not None:
            self._shared.transcriber.prepare()
        self._detector: SpeechDetector | MarkedSpeech = (
            MarkedSpeech(keep_audio=keep_audio)
            if setup.manual_activity
            else SpeechDetector(setup.detection, keep_audio=keep_audio)
        )
        await self._connection.at(Moment.SETUP_RECEIVED)
        await self._connection.say(outgoing.setup_complete(f"emulator-{self._record.number}"))
        await self._connection.at(Moment.READY)

    async def _restore(self, handle: str | None) -> incoming.History:
        """The dialogue that goes on here; empty without a handle."""
        if handle is None:
            return await self._connection.set_up(()) or ()
        checkpoint = self._shared.handles.find(handle)
        if checkpoint is not None:
            self._record.resumed(checkpoint.lineage, checkpoint.history)
        history = await self._connection.set_up(checkpoint.history if checkpoint is not None else None)
        if history is None:
            raise WireError(REFUSED, "BidiGenerateContent session not found.", violation=False)
        self._record.restored = history
        if checkpoint is not None and bool(history) == bool(checkpoint.history):  # else the context is forgotten
            self._context.restore(checkpoint.tokens)
        return history

    async def _read_all(self) -> None:
        while (frame := await self._connection.read()) is not None:
            for message in parse(frame):
                self._connection.received(message)
                await self._take(message)
            await self._connection.at(Moment.MESSAGE_RECEIVED)

    def _audit_end(self) -> None:
        """The client ended the session: what does it still owe?"""
        record = self._record
        if record.close_code is None and not record.dropped and not record.sent_kinds["goAway"]:
            for call_id in self._turns.calls.open_ids:
                self._violated(f"function call {call_id} was never answered")

    def _violated(self, what: str) -> None:
        logger.warning("session %d: the client broke the protocol: %s", self._record.number, what)
        self._record.violated(what)

    async def _take(self, message: incoming.ClientMessage) -> None:
        match message:
            case incoming.Audio():
                await self._take_audio(message)
            case incoming.Picture():
                self._context.add_picture(message)
            case incoming.Text(text):
                await self._take_text(text)
            case incoming.ActivityStarted() | incoming.ActivityEnded():
                await self._take_mark(started=isinstance(message, incoming.ActivityStarted))
            case incoming.AudioStreamEnded():
                await self._end_audio_stream()
            case incoming.Content():
                await self._take_content(message)
            case incoming.ToolResponse(results):
                for result in results:
                    await self._take_result(result)
            case incoming.ContextUpdate(functions):
                if functions is not None:
                    self._context.functions = functions
            case incoming.Setup():
                raise WireError(INVALID, _NOT_THE_FIRST)

    async def _take_audio(self, message: incoming.Audio) -> None:
        if self._rate_hz not in (None, message.rate_hz):
            raise WireError(
                INVALID, f"The audio's sample rate changed from {self._rate_hz} to {message.rate_hz} Hz."
            )
        self._rate_hz = message.rate_hz
        pcm = np.frombuffer(message.pcm, dtype="<i2")
        self._context.add_audio(pcm.size / message.rate_hz)
        facts = self._detector.feed(resample_chunk(pcm, message.rate_hz))
        if facts:
            await self._heard(facts)

    async def _take_text(self, text: str) -> None:
        if text.strip():
            if self._setup.barge_in:
                await self._turns.cut()
            self._turns.begin(text)

    async def _take_mark(self, *, started: bool) -> None:
        if not isinstance(self._detector, MarkedSpeech):
            raise WireError(INVALID, "Activity marks need automatic activity detection to be disabled.")
        await self._heard(self._detector.start() if started else self._detector.end())

    async def _end_audio_stream(self) -> None:
        """The API has audioStreamEnd for its own detector only; it does not take the place of activityEnd."""
        if isinstance(self._detector, MarkedSpeech):
            self._violated("audioStreamEnd while automatic activity detection is disabled")
        else:
            await self._heard(self._detector.end())

    async def _take_content(self, message: incoming.Content) -> None:
        for picture in message.pictures:
            self._context.add_picture(picture)
        turns = message.turns
        if self._history_due:
            self._model.remember(turns)
            for _role, text in turns:
                self._context.add_text(text)
            self._history_due = not message.turn_complete
            return
        if self._setup.handle is not None and any(role == "model" for role, _ in turns):
            raise WireError(INVALID, "A resumed session has its history; client_content must not bring another.")
        if not message.turn_complete:
            self._model.remember(turns)
            return
        await self._turns.cut()
        self._model.remember(turns)
        if turns and turns[-1][0] == "model":
            return  # a history that ends with the model's own words asks nothing
        self._turns.begin(self._model.take_question() or "hello")

    async def _take_result(self, result: incoming.FunctionResult) -> None:
        outcome = self._turns.calls.answer(result)
        if outcome is Outcome.UNKNOWN:
            self._violated(f"an answer to function call {result.id[:40]!r}, which this session did not make")
        if outcome in (Outcome.AWAITED, Outcome.NEWS):
            for picture in result.pictures:
                self._context.add_picture(picture)
        if outcome is not Outcome.NEWS:
            return
        if result.scheduling == "SILENT":
            await self._turns.say_resumable()
            return
        if result.scheduling == "INTERRUPT" and not self._detector.speaking:
            await self._turns.cut()
        if self._detector.speaking:
            self._turns.add_waiting(result)
        else:
            self._turns.begin(result)

    async def _heard(self, facts: Sequence[SpeechFact]) -> None:
        for fact in facts:
            match fact:
                case SpeechStarted():
                    await self._connection.at(Moment.SPEECH_STARTED)
                    if self._setup.barge_in:
                        await self._turns.cut(by_voice=True)
                    self._begin_utterance()
                case SpeechHeard(pcm) if self._utterance is not None:
                    self._utterance.add(pcm)
                case SpeechPaused() if self._utterance is not None:
                    self._utterance.paused()
                case SpeechEnded():
                    await self._connection.at(Moment.SPEECH_ENDED)
                    self._end_of_speech(fact)

    def _begin_utterance(self) -> None:
        """Speech after a pause in the middle of a sentence goes on with what was said before the pause."""
        if self._turns.taken_back is not None:
            self._utterance = self._turns.taken_back.utterance
        elif self._shared.transcriber is not None:
            self._utterance = self._shared.transcriber.begin()

    def _end_of_speech(self, fact: SpeechEnded) -> None:
        before, self._turns.taken_back = self._turns.taken_back, None
        start_samples = fact.start_samples if before is None else before.start_samples
        spoken = VoicePrompt(start_samples, fact.end_samples, self._utterance)
        self._utterance = None
        if spoken.voice_s >= _MIN_VOICE_S:
            self._turns.begin(spoken)
            return
        if spoken.utterance is not None:
            spoken.utterance.forget()
        self._turns.begin_waiting()


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a session; the others follow from it."""
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
