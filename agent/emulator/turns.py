"""The model's turns in one session: at most one runs, others wait for its end.

Rules:
* A turn is a task of the session's group. It ends with turnComplete, or is cancelled by an interruption or with the
  session.
* A turn that is interrupted ends with interrupted, turnComplete; any other with generationComplete, turnComplete.
* If the caller speaks on before the model has begun to answer, the question is taken back and joined with what
  follows.
* If the client asked for handles, one is issued after each turnComplete, but not while a background call is open.
  While the model answers, the session is said not to be resumable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from agent.emulator.connection import Connection
from agent.emulator.context import TOKENS_PER_AUDIO_S, Context
from agent.emulator.function_calls import OpenFunctionCalls
from agent.emulator.model.answers import DemoModel
from agent.emulator.model.pcm import HEARD_HZ
from agent.emulator.model.recogniser import Listening
from agent.emulator.model.turn import CallFunction, Play, Raw, Reply, Say, Turn
from agent.emulator.moments import Moment
from agent.emulator.shared import Shared
from agent.emulator.speech_sender import SpeechSender
from agent.emulator.wire import outgoing
from agent.emulator.wire.incoming import FunctionResult, Json, Setup

logger = logging.getLogger(__name__)

_MAX_WAITING = 8


@dataclass(frozen=True)
class VoicePrompt:
    """The caller said something."""

    start_samples: int
    end_samples: int
    utterance: Listening | None
    """Its sound; None without speech recognition."""

    @property
    def voice_s(self) -> float:
        return (self.end_samples - self.start_samples) / HEARD_HZ


Prompt: TypeAlias = str | VoicePrompt | FunctionResult
"""What the model answers: typed text, speech, or the result of a background call."""


class Turns:
    """Runs the model's turns.

    Args:
        connection: where the answers go.
        setup: how the session was configured.
        shared: what all sessions share.
        model: the dialogue.
        context: what the model has taken in.
        tasks: owns the running turn.
    """

    def __init__(
        self,
        connection: Connection,
        setup: Setup,
        shared: Shared,
        model: DemoModel,
        context: Context,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._connection = connection
        self._setup = setup
        self._shared = shared
        self._model = model
        self._context = context
        self._tasks = tasks
        self._sender = SpeechSender(
            connection,
            shared.cutter,
            text_only=setup.modality == "TEXT",
            transcribe=setup.transcribe_output,
            pace=shared.pace,
            await_playback=shared.await_playback,
        )
        self._turn: asyncio.Task[None] | None = None
        self._prompt: Prompt | None = None
        self._waiting: deque[Prompt] = deque()
        self._answering = False
        self._completing = False
        self._own_reply: Reply = ()
        self._interrupting = asyncio.Lock()
        self.calls = OpenFunctionCalls()
        self.taken_back: VoicePrompt | None = None
        """The question that was taken back because the caller speaks on; whoever joins the two resets it."""

    @property
    def _running(self) -> bool:
        return self._turn is not None and not self._turn.done()

    def begin(self, prompt: Prompt) -> None:
        """Answer now, or after the turn that is running."""
        if self._running:
            self.add_waiting(prompt)
        else:
            self._turn = self._tasks.create_task(self._answer_all(prompt), name="emulator turn")

    def add_waiting(self, prompt: Prompt) -> None:
        """Answer after the turn that is running, or at ``begin_waiting``; of too many the oldest one is dropped."""
        self._waiting.append(prompt)
        if len(self._waiting) > _MAX_WAITING:
            dropped = self._waiting.popleft()
            logger.warning("session %d: more than %d prompts wait, one is dropped", self._number, _MAX_WAITING)
            if isinstance(dropped, VoicePrompt) and dropped.utterance is not None:
                dropped.utterance.forget()

    def begin_waiting(self) -> None:
        """Answer what has been waiting, unless a turn is running: it is answered after that anyway."""
        if self._waiting and not self._running:
            self.begin(self._waiting.popleft())

    async def cut(self, *, by_voice: bool = False) -> None:
        """Cut the running turn, if there is one."""
        async with self._interrupting:
            await self._cut(by_voice=by_voice)

    async def interrupt(self) -> None:
        """Cut the running turn on behalf of the hooks, then begin what was waiting for its end."""
        if self._interrupting.locked():
            return  # it is being cut already
        await self.cut()
        self.begin_waiting()

    async def cancel_calls(self) -> None:
        """Take back the open function calls on behalf of the hooks."""
        cancelled = self.calls.cancel()
        if cancelled:
            await self._connection.say(outgoing.tool_call_cancellation(cancelled))

    async def say_resumable(self) -> None:
        """Issue a handle, if the session can be resumed from here."""
        if self._setup.resumable and not self.calls.in_background:
            record = self._connection.record
            handle = self._shared.handles.issue(self._model.history, record.lineage, self._context.tokens)
            record.issued(handle)
            await self._connection.say(outgoing.resumption_update(handle))

    def cancel(self) -> None:
        """The session has ended."""
        if self._turn is not None:
            self._turn.cancel()

    @property
    def _number(self) -> int:
        return self._connection.record.number

    async def _cut(self, *, by_voice: bool) -> None:
        turn = self._turn
        if turn is None or turn.done():
            return
        if not self._completing:
            turn.cancel()
        await asyncio.wait([turn])
        if not turn.cancelled():
            return
        if by_voice and not self._answering and isinstance(self._prompt, VoicePrompt):
            self.taken_back = self._prompt
            return
        if by_voice and not self._answering and isinstance(self._prompt, str):
            self._waiting.appendleft(self._prompt)  # a cough does not take back what was typed
            return
        self._model.interrupted(self._own_reply, self._sender.sent_words())
        await self._connection.at(Moment.INTERRUPTED)
        abandoned = self.calls.forget()
        if abandoned:
            await self._connection.say(outgoing.tool_call_cancellation(abandoned))
        await self._connection.say(outgoing.interrupted())
        await self._end_turn()

    async def _answer_all(self, prompt: Prompt) -> None:
        """One turn, then those that were waiting; cancelled by an interruption and with the session."""
        while True:
            self._prompt = prompt
            await self._answer(prompt)
            if not self._waiting:
                return
            prompt = self._waiting.popleft()

    async def _answer(self, prompt: Prompt) -> None:
        self._answering = self._completing = False
        self._own_reply = ()
        self._sender.begin_turn()
        turn = await self._turn_of(prompt)
        await self._connection.at(Moment.TURN_STARTED)
        self._answering = True
        if isinstance(prompt, VoicePrompt) and prompt.utterance is not None:
            prompt.utterance.forget()
        if self._setup.resumable:
            await self._connection.say(outgoing.resumption_update(None))
        if isinstance(prompt, VoicePrompt) and turn.text and self._setup.transcribe_input:
            await self._transcribe(turn.text)
        while awaited := await self._deliver(self._reply(turn)):
            results = await self.calls.wait(awaited, self._shared.tool_timeout_s)
            turn = replace(self._empty_turn(), results=results, unanswered=not results)
        await self._connection.say(outgoing.generation_complete())
        await self._sender.played()
        self._completing = True
        await self._end_turn()

    async def _end_turn(self) -> None:
        await self._connection.say(outgoing.turn_complete(self._usage()))
        await self.say_resumable()
        await self._connection.at(Moment.TURN_COMPLETED)

    async def _turn_of(self, prompt: Prompt) -> Turn:
        match prompt:
            case str():
                self._context.add_text(prompt)
                return replace(self._empty_turn(), text=prompt)
            case FunctionResult():
                return replace(self._empty_turn(), results=(prompt,))
            case VoicePrompt(utterance=utterance):
                words = await utterance.words() if utterance is not None else None
                return replace(self._empty_turn(), text=words, voice_s=prompt.voice_s)

    def _empty_turn(self) -> Turn:
        return Turn(
            wall=self._shared.wall(),
            functions=self._context.functions,
            pictures=self._context.pictures,
            picture_size=self._context.picture_size,
        )

    async def _transcribe(self, text: str) -> None:
        for number, word in enumerate(text.split()):
            await self._connection.say(outgoing.input_transcription(f" {word}" if number else word))

    def _reply(self, turn: Turn) -> Reply:
        scripted = self._shared.on_turn(turn) if self._shared.on_turn is not None else None
        self._own_reply = self._model.reply(turn) if scripted is None else ()
        return self._connection.reply(turn, self._own_reply if scripted is None else scripted)

    async def _deliver(self, reply: Reply) -> tuple[str, ...]:
        """Send a reply; return the calls that the turn waits for."""
        self._sender.begin_reply()
        awaited: list[str] = []
        calls: list[CallFunction] = []
        for part in (*reply, None):
            if isinstance(part, CallFunction):
                calls.append(part)
                if not part.alone:
                    continue
            if calls:
                awaited += await self._call(calls)
                calls = []
            match part:
                case Say(text):
                    await self._sender.say(text)
                case Play(pcm):
                    await self._sender.play(pcm)
                case Raw(message):
                    await self._connection.say(message)
        return tuple(awaited)

    async def _call(self, calls: Sequence[CallFunction]) -> list[str]:
        """Call functions in parallel, in one message; return the calls that the turn waits for."""
        background = [bool(self._context.functions.get(call.name)) for call in calls]
        ids = [self.calls.open(background=behind) for behind in background]
        await self._connection.say(
            outgoing.tool_call([(call_id, call.name, call.args) for call_id, call in zip(ids, calls, strict=True)])
        )
        await self._connection.at(Moment.TOOL_CALLED)
        return [call_id for call_id, behind in zip(ids, background, strict=True) if not behind]

    def _usage(self) -> Json:
        spoken = round(self._sender.spoken_s * TOKENS_PER_AUDIO_S)
        said = {"AUDIO": spoken, "TEXT": self._sender.words}
        return outgoing.usage(self._context.tokens, said, vertex="aiplatform" in self._connection.record.path)
