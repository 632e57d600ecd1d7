"""One call: the caller's voice to the model, the model's voice to the caller, and what happened in between.

This file only routes. What an event means for the conversation is decided in `agent.dialog`, what happens to
samples in `agent.media`, what goes over the wire in `agent.live`.

Tasks, all owned by `Call.run` and ended with it: the Live session, the listener to the caller's track, one watcher
per camera and screen, and one task per tool call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from agent import events
from agent.clock import Clock, monotonic
from agent.dialog.keypad import ENTRY_PAUSE_S, Keypad, entry_text
from agent.dialog.transcript import Revision, Transcript
from agent.dialog.turns import Turns
from agent.errors import LiveError, LiveRefused, MediaError
from agent.live import wire
from agent.live.session import LiveClient, LiveSession
from agent.live.uplink import Audio, Picture, ToolResult, TypedText
from agent.media.chunker import Chunker
from agent.media.downlink import VoiceReader
from agent.media.fir import Pcm
from agent.media.inbound import Ear
from agent.media.level import SpeechLevel
from agent.media.playout import Playout
from agent.media.track import AgentVoiceTrack
from agent.media.video import Eye, Jpeg
from agent.settings import Settings
from agent.tools.declare import Tool
from agent.tools.runner import ToolAnswer, run_tool

logger = logging.getLogger(__name__)

STALE_TEXT_S = 1.5
MAX_OPEN_TOOL_CALLS = 16
TOOLS_END_S = 2.0  # a cancelled tool that has not ended by then is left to itself

Observer = Callable[[events.Event], None]


class Call:
    """Caller + agent until hang-up.

    Args:
        call_id: names the call in logs and URLs.
        client: the Live API's client.
        settings: the service's settings.
        tools: what the model may call.
        offline_demo: the Live server is the local emulator.
        phase_s: see `AgentVoiceTrack`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        call_id: str,
        *,
        client: LiveClient,
        settings: Settings,
        tools: Sequence[Tool] = (),
        offline_demo: bool = False,
        phase_s: float = 0.0,
        clock: Clock = monotonic,
    ) -> None:
        self.call_id = call_id
        self.playout = Playout()
        self.voice = AgentVoiceTrack(self.playout, phase_s=phase_s, on_speaking=self._voice_changed)
        self.transcript = Transcript()
        self.ready: events.AgentReady | None = None
        "Set once the Live session is set up."
        self.ended: events.CallEnded | None = None
        "Set once the call is over."
        self.live = LiveSession(
            client,
            settings,
            declarations=[tool.declaration() for tool in tools],
            on_ready=self._live_ready,
            on_fact=self._route,
            on_picture=self._picture_sent,
        )
        self.keypad = Keypad()
        self.eyes: list[Eye] = []
        "Where the caller is seen; to be filled before `run`."
        self._model = settings.model
        self._tools = tools
        self._offline_demo = offline_demo
        self._clock = clock
        self._observers: list[Observer] = []
        self._turns = Turns()
        self._reader = VoiceReader()
        self._arrived_samples: dict[int, int] = {}  # of the voice, by generation with an open turn
        self._caller_text_at = 0.0
        self._entry_timer: asyncio.TimerHandle | None = None
        self._level = SpeechLevel()
        self._chunker = Chunker()
        self._end: asyncio.Future[events.CallEnded] = asyncio.get_running_loop().create_future()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tool_tasks: dict[str, asyncio.Task[ToolAnswer]] = {}

    # the call's life

    def observe(self, observer: Observer) -> None:
        """Have every event from now on handed to ``observer``, in order; it must not block or raise."""
        self._observers.append(observer)

    async def run(self, ear: Ear | None) -> events.CallEnded:
        """Hold the call until somebody ends it.

        Args:
            ear: hands the caller's voice to `hear`; None if the caller only listens.

        Returns:
            How it ended, after the observers were told.
        """
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start(self._hold_live(), "live")
                if ear is not None:
                    self._start(self._listen(ear), "listen")
                for eye in self.eyes:
                    self._start(eye.watch(), eye.name)
                ended = await self._end
                for task in self._tasks:
                    task.cancel()
        except BaseException:
            self._tell_end(events.CallEnded("internal_error", "The service failed.", "agent"))
            raise
        finally:
            self.voice.stop()
            await self._end_tools()
        self._tell_end(ended)
        return ended

    def hang_up(self, reason: str, detail: str, fault: events.Fault) -> None:
        """End the call; the first reason counts. See `events.CallEnded`."""
        if not self._end.done():
            self._end.set_result(events.CallEnded(reason, detail, fault))

    def type_text(self, text: str, *, run_immediately: bool = True) -> None:
        """Pass on what the caller typed.

        Args:
            text: what was typed.
            run_immediately: cut off what the agent is saying.
        """
        for revision in self.transcript.typed(text):
            self._emit_revision(revision)
        if run_immediately:
            self._interrupt()
        self.live.uplink.put(TypedText(text))

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None
        task = self._group.create_task(work, name=f"call-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _tell_end(self, ended: events.CallEnded) -> None:
        self._emit_revision(self.transcript.finish("caller"))
        for generation in self.transcript.open_generations():
            self._emit_revision(self.transcript.finish("agent", generation))
        self._emit(ended)
        self.ended = ended

    def _emit(self, event: events.Event) -> None:
        if self.ended is not None:  # nothing follows the end
            return
        for observer in self._observers:
            observer(event)

    # caller to model

    async def _listen(self, ear: Ear) -> None:
        """Ends with the call, or when the caller's track does."""
        try:
            await ear.listen()
        except MediaError as error:
            self.hang_up("media_error", f"The caller's audio cannot be used: {error}.", "caller")

    def hear(self, pcm: Pcm) -> None:
        """Take the caller's next audio: int16, shape ``(samples,)``, mono, 16 kHz."""
        was_speaking = self._level.speaking
        loud = self._level.push(pcm)
        speaking = self._level.speaking
        if speaking and not was_speaking:
            self._finish_stale_caller_turn()
            self._emit(events.CallerStartedSpeaking())
        elif was_speaking and not speaking:
            self._emit(events.CallerStoppedSpeaking())
        chunk = self._chunker.push(pcm, urgent=speaking or loud)
        if chunk is not None:
            self.live.uplink.put(Audio(chunk.tobytes()))

    def press(self, key: str) -> None:
        """Take a key of the caller's telephone: one of ``0123456789*#ABCD``."""
        logger.debug("call %s: a key was pressed: dtmf=%s", self.call_id, key, extra={"dtmf": key})
        self._emit(events.KeyPressed(key))
        if self._entry_timer is not None:
            self._entry_timer.cancel()
        self._entry_timer = asyncio.get_running_loop().call_later(
            ENTRY_PAUSE_S, lambda: self._tell_entry(self.keypad.pause())
        )
        self._tell_entry(self.keypad.press(key))

    def _tell_entry(self, entry: str | None) -> None:
        if entry is None or self.ended is not None:
            return
        try:
            self.live.uplink.put(TypedText(entry_text(entry)))
        except LiveError as error:
            self._lose_live(error)

    def see(self, jpeg: Jpeg) -> None:
        """Take what the caller shows now."""
        self.live.uplink.put(Picture(jpeg.source, jpeg.width, jpeg.height, jpeg.data))

    def _picture_sent(self, picture: Picture) -> None:
        self._emit(events.PictureSent(picture.source, picture.width, picture.height, len(picture.jpeg_bytes)))

    # model to caller

    async def _hold_live(self) -> None:
        """Ends the call when the Live session is refused or lost."""
        try:
            await self.live.run()
        except LiveError as error:
            self._lose_live(error)

    def _lose_live(self, error: LiveError) -> None:
        reason = "live_refused" if isinstance(error, LiveRefused) else "live_lost"
        self.hang_up(reason, f"{error.detail[0].upper()}{error.detail[1:]}.", error.fault)

    def _live_ready(self) -> None:
        self.ready = events.AgentReady(self._model, self._offline_demo)
        self._emit(self.ready)

    def _route(self, fact: wire.Fact) -> None:
        match fact:
            case wire.Speech(pcm_bytes, rate_hz):
                self._speak(pcm_bytes, rate_hz)
            case wire.OutputTranscript(text):
                self._caption(text)
            case wire.InputTranscript(text, finished):
                self._caller_text_at = self._clock()
                self._emit_revision(self.transcript.add("caller", text))
                if finished:
                    self._emit_revision(self.transcript.finish("caller"))
            case wire.Text(text):
                self._caption(text)
            case wire.Interrupted():
                self._interrupt()
            case wire.GenerationComplete():
                self._complete_generation()
            case wire.TurnComplete(reason):
                self._complete_turn(reason)
            case wire.ToolCall(call_id, name, arguments):
                self._call_tool(call_id, name, arguments)
            case wire.ToolCallsCancelled(call_ids):
                for call_id in call_ids:
                    self._cancel_tool(call_id)
            case wire.GoAway(time_left_s):
                logger.info("call %s: the Live server will close in %s s", self.call_id, time_left_s)

    def _speak(self, pcm_bytes: bytes, rate_hz: int) -> None:
        generation = self._output_arrived()
        try:
            pcm = self._reader.read(pcm_bytes, rate_hz)
        except MediaError as error:
            logger.warning("call %s: dropped audio of the model: %s", self.call_id, error)
            return
        self._arrived_samples[generation] = self._arrived_samples.get(generation, 0) + len(pcm)
        self.voice.push(pcm, generation=generation)

    def _caption(self, text: str) -> None:
        generation = self._output_arrived()
        if self._turns.generating:  # words of a generation that was cut are not heard
            arrived = self._arrived_samples.get(generation, 0)
            self._emit_revision(self.transcript.add("agent", text, generation=generation, arrived_samples=arrived))

    def _output_arrived(self) -> int:
        before = self._turns.generation
        generation = self._turns.output_arrived(self._clock())
        if generation != before:
            self._finish_heard_turns()
            self._reader.reset()
            self.voice.generating = True
            self._emit(events.GenerationStarted(generation))
        return generation

    def _interrupt(self) -> None:
        cuts_something = self._turns.generating or self.playout.queued_samples > 0
        generation = self._turns.cut(self._clock())
        for cut in self.voice.flush(generation):
            if cuts_something:
                self._emit(events.AgentInterrupted(cut.generation, cut.heard_samples, cut.dropped_samples))
            arrived = self._arrived_samples.pop(cut.generation, 0)
            self._emit_revision(self.transcript.interrupt(cut.generation, cut.heard_samples, arrived))

    def _complete_generation(self) -> None:
        self.voice.generating = False
        if self._turns.generating:
            self._emit_revision(self.transcript.finish("caller"))
        self._emit(events.GenerationCompleted(self._turns.generation))

    def _complete_turn(self, reason: str | None) -> None:
        if self._turns.generating:
            self._emit_revision(self.transcript.finish("caller"))
        generation = self._turns.turn_completed()
        self.voice.generating = False
        self._finish_heard_turns()
        self._emit(events.TurnCompleted(generation, reason))

    def _finish_heard_turns(self) -> None:
        """End the agent's turns that are complete and were heard to their end."""
        for generation in self.transcript.open_generations():
            complete = generation < self._turns.generation or not self._turns.open
            if complete and not self.playout.queued_in(generation):
                self._arrived_samples.pop(generation, None)
                self._emit_revision(self.transcript.finish("agent", generation))

    def _finish_stale_caller_turn(self) -> None:
        """End a turn of words that came in late, after the model's turn: what is said now is another one."""
        if self._clock() - self._caller_text_at > STALE_TEXT_S:
            self._emit_revision(self.transcript.finish("caller"))

    def _voice_changed(self, speaking: bool) -> None:
        generation = self.playout.generation
        if speaking:
            self._emit(events.AgentStartedSpeaking(generation))
            return
        self._finish_heard_turns()
        self._emit(events.AgentStoppedSpeaking(generation))

    def _emit_revision(self, revision: Revision | None) -> None:
        match revision:
            case None:
                pass
            case Revision(speaker="caller"):
                self._emit(
                    events.CallerTranscribed(
                        revision.turn_id, revision.revision, revision.text, revision.final, revision.typed
                    )
                )
            case Revision():
                self._emit(
                    events.AgentTranscribed(
                        revision.turn_id,
                        revision.revision,
                        revision.text,
                        revision.final,
                        revision.interrupted,
                        revision.unheard_text,
                    )
                )

    # tools

    def _call_tool(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        if call_id in self._tool_tasks or len(self._tool_tasks) >= MAX_OPEN_TOOL_CALLS:
            logger.warning("call %s: a tool call is ignored: its id is in use, or too many are open", self.call_id)
            return
        self._emit(events.ToolCalled(call_id, name, arguments))
        task = asyncio.create_task(run_tool(self._tools, name, arguments), name="call-tool")
        self._tool_tasks[call_id] = task
        task.add_done_callback(partial(self._tool_ended, call_id, name))

    def _tool_ended(self, call_id: str, name: str, task: asyncio.Task[ToolAnswer]) -> None:
        del self._tool_tasks[call_id]
        if task.cancelled():
            self._emit(events.ToolFinished(call_id, name, "cancelled"))
            return
        answer = task.result()
        try:
            self.live.uplink.put(ToolResult(call_id, name, answer.response))
        except LiveError as error:
            self._lose_live(error)
        self._emit(events.ToolFinished(call_id, name, answer.outcome, answer.response))

    def _cancel_tool(self, call_id: str) -> None:
        task = self._tool_tasks.get(call_id)
        if task is not None:
            task.cancel()

    async def _end_tools(self) -> None:
        tasks = list(self._tool_tasks.values())
        for task in tasks:
            task.cancel()
        if tasks and (await asyncio.wait(tasks, timeout=TOOLS_END_S))[1]:
            logger.warning("call %s: a tool does not end although it was cancelled", self.call_id)
