"""One call: the caller's voice to the model, the model's voice to the caller, and what happened in between.

This file only routes. What an event means for the conversation is decided in `agent.dialog`, what happens to
samples in `agent.media`, what goes over the wire in `agent.live`.

Tasks, all owned by `Call.run` and ended with it: the Live session, the listener to the caller's track, one watcher
per camera and screen, one for the call's limits, one that notices a silent agent, and one task per tool call
(`agent.call.tool_calls`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from agent import events
from agent.bucket import Bucket
from agent.call.briefing import Briefing
from agent.call.drawn import Drawn
from agent.call.kept import MAX_TURN_CHARS, KeptCall, newest
from agent.call.limits import NO_PURSE, CallLimits
from agent.call.stats import CallCounts
from agent.call.tool_calls import Asides, ToolCalls
from agent.clock import Clock, monotonic, unix
from agent.dialog.asides import Role, greeting_request, say_request
from agent.dialog.budget import Meter
from agent.dialog.daily import Purse
from agent.dialog.floor import Floor
from agent.dialog.held import Held
from agent.dialog.held import State as HeldState
from agent.dialog.keypad import ENTRY_PAUSE_S, Keypad, entry_text
from agent.dialog.prices import KNOWN, Prices, price_of
from agent.dialog.response import ResponseTimer
from agent.dialog.transcript import Transcribed, Transcript
from agent.dialog.turns import Turns
from agent.dialog.watchdog import Alarm, Watchdog
from agent.errors import LiveError, LiveRefused, MediaError
from agent.isolate import isolated
from agent.live import wire
from agent.live.config import vad_silence_s
from agent.live.link import LiveLink
from agent.live.models import answer_timeout_s, ignores_speech, rules_of
from agent.live.ports import LinkPorts, Replaced
from agent.live.session import LiveClient, Opening
from agent.live.uplink import ActivityMark, Audio, Note, ToolResult, TypedText
from agent.media.chunker import PATIENT_CHUNK_SAMPLES, SILENT_CHUNK_SAMPLES, Chunker
from agent.media.downlink import VoiceReader
from agent.media.fir import Pcm
from agent.media.inbound import Ear
from agent.media.level import HANGOVER_S, SpeechLevel, is_audible
from agent.media.playout import Playout
from agent.media.preroll import Preroll
from agent.media.track import AgentVoiceTrack
from agent.media.video import Eye
from agent.picture import Picture, Shown
from agent.settings import Settings
from agent.spoken import Spoken
from agent.tools.declare import Tool
from agent.unicode import valid_json, valid_text

logger = logging.getLogger(__name__)

STALE_TEXT_S = 1.5
WATCH_STEP_S = 0.5
MODEL_BEGINS_S = 1.0  # after the caller's turn, to answer
DEAD_S = 7.0  # that nothing at all may come while the caller speaks
PONG_S = 2.0  # after a ping was sent
LOGGED_OBSERVER_ERRORS = 10  # of one call; all are counted
NUDGE = "(The caller is waiting for your answer and has heard nothing. Answer now, aloud.)"
NUDGE_TO_WRITE = "(The caller is waiting for your answer and has got none. Answer now.)"
GENTLE_NUDGE = (
    "(The caller has said something and has heard nothing from you. If it was meant for you, answer now, aloud; "
    "if not, stay silent.)"
)
KEYS_PER_S = 15.0  # a dialler presses ten
MAX_KEYS_AT_ONCE = 60
FAREWELL_S = 15.0  # that an agent who hangs up may still take to say goodbye

T = TypeVar("T")
Observer = Callable[[events.Event], None]


class Call:
    """Caller + agent until hang-up.

    Args:
        call_id: names the call in logs and URLs.
        client: the Live API's client.
        settings: the service's settings.
        tools: what the model may call.
        greeting: what the agent says first; None lets the caller begin.
        caller: who calls, as far as that is known: untrusted.
        offline_demo: the Live server is the local emulator.
        phase_s: see `AgentVoiceTrack`.
        prices: what the model's tokens cost.
        hurried: says whether the process is short of time, see `Chunker`.
        kept: an earlier call that this one goes on from; then nothing is greeted or begun anew.
        purse: what it is charged to besides its own budget.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        call_id: str,
        *,
        client: LiveClient,
        settings: Settings,
        tools: Sequence[Tool] = (),
        greeting: str | None = None,
        caller: str | None = None,
        offline_demo: bool = False,
        phase_s: float = 0.0,
        prices: Prices = KNOWN,
        hurried: Callable[[], bool] = lambda: False,
        kept: KeptCall | None = None,
        purse: Purse = NO_PURSE,
        clock: Clock = monotonic,
    ) -> None:
        self.call_id = call_id
        self.caller = caller
        self.caller_spoke_at = -math.inf
        "When the caller last began to say or typed something."
        self.asides = Asides()
        "What its tools and hooks may still tell beside their answers."
        self.playout = Playout()
        self.voice = AgentVoiceTrack(
            self.playout, phase_s=phase_s, on_speaking=self._voice_changed, on_heard=self._agent_heard
        )
        self.response = ResponseTimer()
        "How long the caller waits for answers."
        self.transcript = Transcript()
        for turn in kept.turns if kept is not None else ():
            self.transcript.restore(turn)
        self.ready: events.AgentReady | None = None
        "Set once the Live session is set up."
        self.ended: events.CallEnded | None = None
        "Set once the call is over."
        self.live = LiveLink(
            client,
            settings,
            [tool.declaration() for tool in tools],
            LinkPorts(
                on_ready=self._live_ready,
                on_fact=self._route,
                on_picture=self._picture_sent,
                on_ending=self._session_ending,
                on_ended=self._session_ended,
                on_replaced=self._session_replaced,
                on_forgotten=lambda: self._emit(events.ContextLost()),
                history=self._history,
                is_quiet=self._is_quiet,
                on_refused=self._input_refused,
            ),
            clock=clock,
            rng=random.Random(call_id),  # noqa: S311  jitter of attempts
            opening=self._opening(kept, settings.model),
            instructions=None if kept is None else kept.instructions,
        )
        self.keypad = Keypad()
        self.keys_dropped = 0
        "Keys that came faster than anybody or any telephone presses them."
        self._keys = Bucket(KEYS_PER_S, MAX_KEYS_AT_ONCE)
        self.eyes: list[Eye] = []
        "Where the caller is seen; to be filled before `run`."
        self.meter = Meter(price_of(prices, settings.model), None if kept is None else kept.spent())
        "What the call has used and cost so far."
        self.drawn = Drawn()
        "The newest pictures of the model."
        self.counts = CallCounts()
        "How often what happened."
        self.model = settings.model
        self._began = clock()
        self._offline_demo = offline_demo
        self._hurried = hurried
        self._clock = clock
        self._observers: list[Observer] = []
        self._told_state: events.AgentState = "connecting"
        self.observer_errors = 0
        "How often an observer failed; the others were told all the same."
        self._turns = Turns()
        self._reader = VoiceReader()
        self._arrived_samples: dict[int, int] = {}  # of the voice, by generation with an open turn
        self._caller_text_at = 0.0
        self._entry_timer: asyncio.TimerHandle | None = None
        self._level = SpeechLevel()
        self._chunker = Chunker()
        self._floor = Floor(marked=settings.vad == "off")
        self._hears_all = not self._floor.marked or settings.turn_coverage == "all_input"
        self._barge_in = settings.barge_in
        self._writes = not settings.audio_output
        self._wants_thoughts = settings.include_thoughts
        self._preroll = Preroll()
        self._watchdog = _watchdog(settings, marked=self._floor.marked)
        self._held: Held[tuple[Note, bool]] = Held()  # notes, and whether the caller is owed what follows
        self._told_turns = self.transcript.count  # of the transcript, when the model last completed a turn
        self._turn_reason: str | None = None
        self._end: asyncio.Future[events.CallEnded] = asyncio.get_running_loop().create_future()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.tools = ToolCalls(
            tools,
            self,
            tell=self._tell_of_tool,
            emit=self._emit,
            report=events.ToolReport(settings.tool_reports, frozenset(settings.tool_masked_fields)),
            transcribed=settings.input_transcription,
            clock=clock,
            scheduled=rules_of(settings.model).scheduling,
        )
        "What the model has called."
        self.briefing = Briefing(self.live, self.transcript, self.tools, self.eyes, clock=clock)
        "What the model is told beside what is said."
        self.client_may_instruct = settings.client_may_instruct
        self._initial_message = None if kept is not None else settings.initial_message  # None once it is under way
        self._initial_message_delay_s = settings.initial_message_delay_s
        self._rules = rules_of(settings.model)
        self._typed_sees = (settings.turn_coverage or self._rules.turn_coverage) != "activity"
        self._greeting = greeting if kept is None else None  # None once the model was asked to say it
        self._media_flows = False
        self._leaving = False
        self._limits = CallLimits(
            settings, self.meter, tell=self._send, emit=self._emit, hang_up=self.hang_up, clock=clock, purse=purse
        )
        self.observe(self._limits.note)
        self.observe(self.counts.note)
        self.observe(self._note_for_watchdog)
        self._farewell_complete = False
        if kept is not None:
            cut_off = self.briefing.restore(kept)
            if cut_off is not None:
                self._tell(cut_off)

    # what a call is at a moment

    @property
    def duration_s(self) -> float:
        """How long the call has lasted."""
        return self._clock() - self._began

    @property
    def state(self) -> events.AgentState:
        """What the agent does: it thinks from the caller's question until it is heard, and while a tool runs."""
        if self.ready is None:
            return "connecting"
        if self.voice.speaking:
            return "speaking"
        thinks = self._turns.generating or self.tools.open or self._watchdog.owed
        return "thinking" if thinks and not self._floor.taken else "listening"

    @property
    def unanswered(self) -> int:
        """How often the model meant to say nothing to what the caller said."""
        return self._watchdog.unanswered

    def keep(self) -> KeptCall:
        """Return what another call needs to go on from here: `Call(kept=...)`."""
        spent = self.meter.total()
        return KeptCall(
            kept_at=unix(),
            model=self.model,
            turns=newest(
                [replace(turn.said, text=turn.said.text[:MAX_TURN_CHARS]) for turn in self.transcript.in_order()]
            ),
            instructions=self.briefing.instructions,
            open_tools=tuple(self.tools.running[:100]),
            tokens=spent.by_direction(),
            cost_usd=None if spent.cost_usd is None else float(spent.cost_usd),
            handle=self.live.handle,
        )

    # the call's life

    def observe(self, observer: Observer) -> None:
        """Have every event from now on handed to ``observer``, in order; it must not block."""
        if self.ended is None:  # nothing follows the end
            self._observers.append(observer)

    async def run(self, ear: Ear | None, path: asyncio.Event | None = None) -> events.CallEnded:
        """Hold the call until somebody ends it.

        Args:
            ear: hands the caller's voice to `hear`; None if the caller only listens.
            path: set once the caller is known to be there: only then is a Live session opened. None if so from the
                start.

        Returns:
            How it ended, after the observers were told.
        """
        try:
            async with asyncio.TaskGroup() as self._group:
                self._start(self._hold_live(path), "live")
                self._start(self._watch_silence(), "silence")
                self._start(self._limits.keep(), "limits")
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
            await self.tools.end()
        self._tell_end(ended)
        return ended

    def hang_up(self, reason: str, detail: str, fault: events.Fault) -> None:
        """End the call; the first reason counts. See `events.CallEnded`."""
        if not self._end.done():
            self._end.set_result(events.CallEnded(reason, detail, fault))

    def let_go(self) -> None:
        """Break the ties of the call's parts to it, so that its memory goes with the last reference to it.

        To be called once it is over, or will never run: nobody is told anything any more.
        """
        self._observers.clear()
        self.eyes.clear()
        if self._entry_timer is not None:
            self._entry_timer.cancel()
        self.voice.let_go()
        self.live.let_go()
        self.tools.let_go()
        self._limits.let_go()

    def type_text(self, text: str, *, run_immediately: bool = True, pictures: Sequence[Picture] = ()) -> None:
        """Pass on what the caller typed.

        Args:
            text: what was typed.
            run_immediately: cut off what the agent is saying; text with pictures always does.
            pictures: what it is about. Without any, what the caller shows at the moment is taken, if the model
                would not count it to a typed turn (`turn_coverage` is ``activity``).

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        text = valid_text(text)
        images = list(pictures)
        if run_immediately and not images and not self._typed_sees:
            images = [shown.picture for shown in self.briefing.pictures()]
        self.live.uplink.put(TypedText(text, tuple(images)))
        self.caller_spoke_at = self._clock()
        for revision in self.transcript.typed(text):
            self._emit_revision(revision)
        if run_immediately or images:
            self._interrupt()
        self.response.caller_typed(self.caller_spoke_at)
        self._watchdog.caller_asked(self._clock())
        self._tell_state()

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
        self._hand_out(event)
        self._tell_state()

    def _tell_state(self) -> None:
        state = self.state
        if state != self._told_state and not self._end.done():
            self._told_state = state
            self._hand_out(events.AgentStateChanged(state))

    def _hand_out(self, event: events.Event) -> None:
        for observer in self._observers:
            what = f"call {self.call_id}: an observer of {type(event).__name__}"
            level = logging.WARNING if self.observer_errors < LOGGED_OBSERVER_ERRORS else logging.DEBUG
            if not isolated(what, partial(observer, event), level):
                self.observer_errors += 1

    # caller to model

    async def _listen(self, ear: Ear) -> None:
        """Ends with the call, or when the caller's track does."""
        try:
            await ear.listen()
        except MediaError as error:
            self.hang_up("media_error", f"The caller's audio cannot be used: {error}.", "caller")

    def hear(self, pcm: Pcm) -> None:
        """Take the caller's next audio: int16, shape ``(samples,)``, mono, 16 kHz."""
        loud = self._level.push(pcm)
        if self._floor.level(self._level.speaking):
            self._floor_changed()
        if loud and self._floor.taken:
            self.response.caller_spoke(self._clock())
        if not (self._hears_all or self._floor.taken):
            self._preroll.push(pcm, speaking=self._level.speaking)
            return
        speech = self._level.speaking or loud
        self._pass_on(self._chunker.push(pcm, urgent=speech, hurried=self._hurried()), speech=speech)

    def _pass_on(self, chunk: Pcm | None, *, speech: bool) -> None:
        if chunk is not None:
            self.live.uplink.put(Audio(chunk.tobytes(), speech))

    def _floor_changed(self) -> None:
        if self._floor.taken:
            self._finish_stale_caller_turn()
            self._watchdog.caller_started(self._clock())
            self.caller_spoke_at = self._clock()
            self._emit(events.CallerStartedSpeaking())
        else:
            self._watchdog.caller_stopped(self._clock())
            self._emit(events.CallerStoppedSpeaking())

    def start_activity(self) -> bool:
        """Note that the caller begins to speak; it cuts off what the agent is saying, unless `barge_in` is off.

        Returns:
            False if nobody wants to know, because the Live server finds the caller's turns itself.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        return self._mark(starts=True)

    def end_activity(self) -> bool:
        """Note that the caller has finished and waits for the answer; as `start_activity`."""
        return self._mark(starts=False)

    def _mark(self, *, starts: bool) -> bool:
        if not self._floor.marked or self._floor.taken == starts:
            return self._floor.marked
        self._pass_on(self._chunker.take(), speech=self._level.speaking)
        self.live.uplink.put(ActivityMark(starts))
        for frame in self._preroll.take():
            self._pass_on(frame, speech=True)
        self._floor.mark(starts)
        self.response.turn_marked(self._clock(), starts=starts)
        self._floor_changed()
        if starts and self._barge_in:
            self._interrupt()
        return True

    def press(self, key: str) -> None:
        """Take a key of the caller's telephone: one of ``0123456789*#ABCD``."""
        if not self._keys.take(1, self._clock()):
            self.keys_dropped += 1
            return
        logger.debug("call %s: a key was pressed: dtmf=%s", self.call_id, key, extra={"dtmf": key})
        self.response.caller_typed(self._clock())
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

    def see(self, shown: Shown) -> None:
        """Take what the caller shows now."""
        self.briefing.saw(shown)
        self.live.uplink.put(shown)

    def _picture_sent(self, shown: Shown) -> None:
        picture = shown.picture
        self._emit(events.PictureSent(shown.source, picture.width, picture.height, len(picture.data)))

    # model to caller

    async def _hold_live(self, path: asyncio.Event | None) -> None:
        """Ends the call when the Live session is refused or lost."""
        if path is not None:
            await path.wait()
        try:
            await self.live.run()
        except LiveError as error:
            self._lose_live(error)

    def _lose_live(self, error: LiveError) -> None:
        reason = "live_refused" if isinstance(error, LiveRefused) else "live_lost"
        self.hang_up(reason, f"{error.detail[0].upper()}{error.detail[1:]}.", error.fault)

    def _live_ready(self) -> None:
        self.briefing.change_confirmed()
        self._watchdog.proceed("session", self._clock())
        logger.info("call %s: Live session %r", self.call_id, self.live.session_id)
        self.ready = events.AgentReady(self.model, self._offline_demo, self._floor.marked, self.live.session_id)
        self._emit(self.ready)
        self._greet()

    def _session_ending(self, time_left_s: float) -> None:
        self._chunker.silent_chunk_samples = PATIENT_CHUNK_SAMPLES
        self._emit(events.SessionEnding(time_left_s))

    def _session_ended(self, loss: LiveError | None, unsent: Sequence[ToolResult]) -> None:
        """What is queued of the agent's voice plays on; what is owed to the caller is owed still."""
        self._chunker.silent_chunk_samples = SILENT_CHUNK_SAMPLES
        self._watchdog.pause("session", self._clock())
        self._held.session_ended()
        if loss is not None:
            self._emit(events.SessionLost(loss.detail, loss.fault))
        self.tools.session_replaced(unsent)
        self.transcript.expect_again()
        if self._turns.session_ended():
            if self.voice.generating:
                self._complete_generation()
            self._finish_heard_turns()
            self._emit(events.TurnCompleted(self._turns.generation, "session_ended"))

    def _input_refused(self, what: events.RefusedInput, reason: str) -> None:
        if what == "agent_change":
            self.briefing.undo_change()
        self._emit(events.InputRefused(what, reason))

    def _session_replaced(self, how: Replaced) -> None:
        self.briefing.change_confirmed()
        self._watchdog.proceed("session", self._clock())
        for eye in self.eyes:
            eye.forget()
        outage_ms, replayed_ms = round(how.outage_s * 1000), round(how.replayed_audio_s * 1000)
        logger.info("call %s: Live session %r", self.call_id, self.live.session_id)
        self._emit(events.SessionReplaced(how.resumed, outage_ms, replayed_ms, self.live.session_id))
        if how.told_turns:
            self._emit(events.ContextRebuilt(how.told_turns))
        elif not how.resumed and self._turns.generation:
            self._emit(events.ContextLost())

    def _opening(self, kept: KeptCall | None, model: str) -> Opening:
        """Begin from where an earlier call was: by its handle, else by what was said in it."""
        handle = None if kept is None else kept.fresh_handle(model, unix())
        return Opening(handle) if handle is not None else Opening(history=self._history(complete_only=False))

    def _history(self, complete_only: bool) -> list[Spoken]:
        return self.transcript.history(self._told_turns if complete_only else None)

    def _is_quiet(self) -> bool:
        busy = self._turns.open or self.tools.open or self._floor.taken or self._watchdog.owed
        return not busy

    async def _watch_silence(self) -> None:
        """Ends with the call."""
        pulse = self.live.pulse
        while True:
            await asyncio.sleep(WATCH_STEP_S)
            self._watchdog.life_came(pulse.felt_at, pulse.slowest_pong_s)
            self._act(self._watchdog.tick(self._clock()))
            self._tell_held()

    def _act(self, alarm: Alarm | None) -> None:
        """Do something about an agent that does not answer."""
        if alarm is None:
            return
        logger.warning("call %s: the agent is silent (%s), next: %s", self.call_id, alarm.cause, alarm.step)
        self._emit(events.AgentFellSilent(alarm.cause, alarm.step, self._turn_reason))
        nudge = GENTLE_NUDGE if alarm.gentle else NUDGE_TO_WRITE if self._writes else NUDGE
        if alarm.step in ("resume", "rebuild"):
            self.live.replace(rebuild=alarm.step == "rebuild", nudge=nudge if alarm.nudge else None)
        elif alarm.nudge:
            self._attempt(self.live.nudge, nudge)

    def _route(self, fact: wire.Fact) -> None:
        self._watchdog.message_came(self._clock())
        match fact:
            case wire.Speech(pcm_bytes, rate_hz):
                self._speak(pcm_bytes, rate_hz)
            case wire.OutputTranscript(text):
                self._caption(text)
            case wire.InputTranscript():
                self._words_came(fact)
            case wire.Text(text):
                self._watchdog.agent_wrote(self._clock(), text)
                self._caption(text)
            case wire.Interrupted():
                self._watchdog.turn_cut()
                self._interrupt()
            case wire.GenerationComplete():
                self._note_answer()
                self._complete_generation()
            case wire.TurnComplete(reason):
                self._complete_turn(reason)
            case wire.ToolCall(call_id, name, arguments):
                self.tools.call(call_id, name, arguments)
            case wire.ToolCallsCancelled(call_ids):
                self.tools.cancel(call_ids)
            case wire.Resumable(handle=str()):  # to what else it says, and to goAway, the link sees
                self.tools.handle_came()
            case wire.Usage():
                self._limits.bill(fact)
            case Picture():
                self._picture_made(fact)
            case events.AgentThought() | events.SourcesFound() | events.CodeWritten() | events.CodeRan():
                self._tell_aside(fact)

    def _tell_aside(self, fact: wire.Told) -> None:
        if self._wants_thoughts or not isinstance(fact, events.AgentThought):
            self._emit(fact)

    def _picture_made(self, made: Picture) -> None:
        self._output_arrived()
        picture = self.drawn.take(made)
        if picture is None:
            size = len(made.data)
            logger.warning("call %s: dropped a picture: %d bytes of %.40r", self.call_id, size, made.mime_type)
        else:
            self._watchdog.agent_spoke(self._clock(), audible=True)  # it is an answer
            self._emit(picture)

    def _words_came(self, heard: wire.InputTranscript) -> None:
        self._caller_text_at = self._clock()
        self._watchdog.words_came(self._clock())
        self._emit_revision(self.transcript.add("caller", heard.text))
        if heard.words:
            self._emit(events.CallerWordsTimed(heard.words))
        if heard.finished:
            self._emit_revision(self.transcript.finish("caller"))

    def _speak(self, pcm_bytes: bytes, rate_hz: int) -> None:
        generation = self._output_arrived()
        try:
            pcm = self._reader.read(pcm_bytes, rate_hz)
        except MediaError as error:
            logger.warning("call %s: dropped audio of the model: %s", self.call_id, error)
            return
        self._watchdog.agent_spoke(self._clock(), audible=is_audible(pcm))
        self._arrived_samples[generation] = self._arrived_samples.get(generation, 0) + len(pcm)
        self.voice.push(pcm, generation=generation)

    def _caption(self, text: str) -> None:
        generation = self._output_arrived()
        if self._turns.generating:  # words of a generation that was cut are not heard
            arrived = self._arrived_samples.get(generation, 0)
            self._emit_revision(self.transcript.add("agent", text, generation=generation, arrived_samples=arrived))
            if self._writes:
                self._agent_heard(generation)

    def _output_arrived(self) -> int:
        before = self._turns.generation
        generation = self._turns.output_arrived(self._clock())
        if generation != before:
            self._finish_heard_turns()
            self._reader.reset()
            self.voice.generating = True
            self.response.generation_started(generation, self._clock())
            self._emit(events.GenerationStarted(generation))
        return generation

    def interrupt(self) -> bool:
        """Have the agent fall silent at once; the model is told nothing, so that it answers nothing.

        Returns:
            False if it was silent already.
        """
        speaks = self._turns.generating or self.playout.queued_samples > 0
        if speaks:
            self._interrupt(told=False)
            self.response.forget()
            self._tell_state()
        return speaks

    def _interrupt(self, *, told: bool = True) -> None:
        self._watchdog.agent_interrupted(self._clock())
        self.response.generations_cut()
        cuts_something = self._turns.generating or self.playout.queued_samples > 0
        generation = self._turns.cut(self._clock(), told=told)
        for cut in self.voice.flush(generation):
            if cuts_something:
                self._emit(events.AgentInterrupted(cut.generation, cut.heard_samples, cut.dropped_samples))
            arrived = self._arrived_samples.pop(cut.generation, 0)
            self._emit_revision(
                self.transcript.interrupt(cut.generation, cut.heard_samples, arrived, written=self._writes)
            )

    def _note_answer(self) -> None:
        """It is whole, if nothing else is going on: should the session be lost now, it is not asked for again."""
        generation = self._turns.generation
        wrote = self._writes and generation in self.transcript.open_generations()
        arrived = self._turns.generating and (wrote or self._arrived_samples.get(generation))
        if arrived and not self._level.speaking and not self.tools.open:
            self._told_turns = self.transcript.count
            self.live.answer_completed()

    def _complete_generation(self) -> None:
        self.voice.generating = False
        self._turns.generation_completed()
        if self._turns.generating:
            self._emit_revision(self.transcript.finish("caller"))
        self._emit(events.GenerationCompleted(self._turns.generation))

    def _complete_turn(self, reason: str | None) -> None:
        if self._turns.generating:
            self._emit_revision(self.transcript.finish("caller"))
        generation = self._turns.turn_completed()
        self._told_turns = self.transcript.count
        self.tools.turn_completed()
        self._held.turn_completed(self._clock())
        self._turn_reason = reason
        self.voice.generating = False
        self._finish_heard_turns()
        self._emit(events.TurnCompleted(generation, reason))
        self._act(self._watchdog.turn_completed(self._clock(), reason))
        self._tell_held()
        self._farewell_complete = self._leaving
        self._leave_if_silent()

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
        self._leave_if_silent()

    def _agent_heard(self, generation: int) -> None:
        response = self.response.heard(generation, self._clock())
        if response is not None:
            self._emit(events.AgentResponded(generation, round(response.seconds * 1000), response.typed))

    def _emit_revision(self, revision: Transcribed | None) -> None:
        if revision is not None:
            self._emit(revision)

    # the agent's own doing

    def media_flows(self) -> None:
        """Note that the caller can hear the agent from now on."""
        self._media_flows = True
        self._greet()

    def say(self, text: str) -> None:
        """Have the agent say something: now, or as soon as that takes back no tool call (`Held`)."""
        self._tell(Note(say_request(valid_text(text)), wants_reply=True))

    def send_event(self, name: str, data: Any) -> None:
        """Send something to the caller's page or app: what JSON can hold."""
        self._emit(events.AppEventSent(valid_text(name), valid_json(data)))

    def end_call(self) -> None:
        """Hang up after the agent's current or next turn, `FAREWELL_S` from now at the latest."""
        if not self._leaving and not self._end.done():
            self._leaving = True
            self._start(self._leave_late(), "leave")

    def spoken(self) -> tuple[Spoken, ...]:
        """Return what was said so far, as tools see it."""
        return tuple(turn.said for turn in self.transcript.turns if not turn.said.noted)

    def caller_turns(self) -> list[tuple[str, str]]:
        """Return what the caller said and typed so far: the id and the words of each turn, open ones too."""
        turns = self.transcript.in_order()
        return [
            (turn.turn_id, turn.said.text)
            for turn in turns
            if turn.said.speaker == "caller" and not turn.said.noted
        ]

    def add_to_context(self, text: str, role: Role, *, run_immediately: bool) -> None:
        """Have the model know something that is not part of the transcript; see `Briefing.note`, and `say`."""
        self._tell(self.briefing.note(text, role, run_immediately=run_immediately), owed=run_immediately)

    def change_agent(self, instructions: str | None, tools: Sequence[Tool] | None) -> None:
        """Have another agent take over; see `Briefing.change_agent`."""
        try:
            self.briefing.change_agent(instructions, tools)
        except LiveError as error:
            self._lose_live(error)

    def picture(self, source: str | None) -> bytes | None:
        """Return the JPEG of what the caller shows now, from that source or from any."""
        return next((shown.picture.data for shown in self.briefing.pictures(source)), None)

    def _greet(self) -> None:
        """Once per call, whatever becomes of the Live session."""
        if not self._media_flows or self.ready is None:
            return
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            self._tell(Note(greeting_request(valid_text(greeting)), wants_reply=True))
        if self._initial_message is not None:
            message, self._initial_message = self._initial_message, None
            self._start(self._begin_with(message), "initial-message")

    async def _begin_with(self, message: str) -> None:
        """Say something in the caller's place, unless the caller was first; ends then."""
        await asyncio.sleep(self._initial_message_delay_s)
        if self.caller_spoke_at == -math.inf:
            self.add_to_context(message, "user", run_immediately=True)

    async def _leave_late(self) -> None:
        """Ends the call, or with it."""
        await asyncio.sleep(FAREWELL_S)
        self._leave()

    def _leave_if_silent(self) -> None:
        heard = not self.playout.queued_samples and not self.voice.speaking
        if self._farewell_complete and not self._turns.open and heard:
            self._leave()

    def _leave(self) -> None:
        self.hang_up("hung_up", "The agent hung up.", "agent")

    def _tell(self, note: Note, *, owed: bool = False) -> None:
        """Tell the model something, or have it wait (`Held`).

        Args:
            note: what it is told.
            owed: the caller waits for what follows.
        """
        now = self._clock()
        if not self._held.must_wait(self._for_held(), now):
            self._send(note, owed=owed)
        elif not self._held.put((note, owed), now, wants_reply=note.wants_reply):
            logger.warning("call %s: a note to the model is dropped: too many wait for a tool to end", self.call_id)

    def _tell_held(self) -> None:
        for note, owed in self._held.take(self._for_held(), self._clock()) if self._held.waiting else ():
            self._send(note, owed=owed)

    def _for_held(self) -> HeldState:
        return HeldState(
            awaits_tool=self.tools.awaited,
            tool_runs=self.tools.open,
            turn_open=self._turns.open,
            caller_first=self._floor.taken or (self._watchdog.owed and not self.tools.open),
        )

    def _tell_of_tool(self, item: ToolResult | Note) -> None:
        """Tell the model how a tool ended, or how far it is."""
        if isinstance(item, Note):
            self._watchdog.tool_answered(silent=not item.wants_reply)
            self._tell(item)
            return
        if not item.will_continue:
            silent, awaited = item.scheduling == "SILENT", self.tools.waited_for(item.name)
            if awaited is None and not self._rules.non_blocking_default:
                awaited = True
            self._watchdog.tool_answered(silent=silent)
            self._held.tool_answered(self._clock(), silent=silent, awaited=awaited, turn_open=self._turns.open)
        self._send(item)

    def _send(self, item: ToolResult | Note, *, owed: bool = False) -> None:
        self._attempt(self.live.uplink.put, item)
        if owed:
            self._watchdog.caller_asked(self._clock())
            self._tell_state()

    def _attempt(self, put: Callable[[T], None], item: T) -> None:
        """Queue something for the model; the call ends if its server has stopped reading."""
        try:
            put(item)
        except LiveError as error:
            self._lose_live(error)

    def _note_for_watchdog(self, event: events.Event) -> None:
        """While a tool runs the model need not speak."""
        match event:
            case events.ToolCalled():
                self._watchdog.pause("tools", self._clock())
                self._held.tool_called()
            case events.ToolFinished() if not self.tools.open:
                self._watchdog.proceed("tools", self._clock())


def _watchdog(settings: Settings, *, marked: bool) -> Watchdog:
    """Make the watchdog that suits the model and the settings.

    Args:
        settings: the service's.
        marked: the caller marks their turns, so that no silence has to be waited for.
    """
    return Watchdog(
        answer_timeout_s(settings),
        transcribed=settings.input_transcription and not marked,
        ignores_speech=ignores_speech(settings),
        writes=not settings.audio_output,
        answerable_pause_s=MODEL_BEGINS_S + (0.0 if marked else vad_silence_s(settings)),
        hangover_s=0.0 if marked else HANGOVER_S,
        dead_after_s=max(DEAD_S, settings.ping_interval_s + PONG_S),
    )
