"""Passes on to the model what the caller says, marks, types and presses.

Usually the Live server detects the caller's turns itself and is sent everything. If only the caller's marks say
where a turn begins (push-to-talk), the audio between the marks is sent, with a little from before the first one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent import events
from agent.bucket import Bucket
from agent.call.conversation import Conversation
from agent.call.ports import CallPorts
from agent.call.setup import AgentSetup
from agent.call.sight import Sight
from agent.call.timeline import Timeline
from agent.dialog.asides import keys_entered
from agent.dialog.keypad import ENTRY_PAUSE_S, Keypad
from agent.errors import MediaError
from agent.live.models import rules_of
from agent.live.uplink import ActivityMark, Audio, TypedText, Uplink
from agent.media.chunker import PATIENT_CHUNK_SAMPLES, SILENT_CHUNK_SAMPLES, Chunker
from agent.media.fir import Pcm
from agent.media.inbound import InboundAudio
from agent.media.level import SpeechLevel
from agent.media.preroll import Preroll
from agent.picture import Picture
from agent.unicode import valid_text

logger = logging.getLogger(__name__)

KEYS_PER_S = 15.0  # an automatic dialler presses ten
MAX_KEYS_AT_ONCE = 60


class Hearing:
    """Hears one caller.

    Args:
        ports: the way back to the call.
        setup: how the agent is set up.
        conversation: is told what the caller does.
        uplink: sends it to the model.
        sight: knows what the caller shows.
        timeline: records when the caller is first heard.
        hurried: tells whether the process is falling behind, see `Chunker`.
    """

    def __init__(
        self,
        ports: CallPorts,
        setup: AgentSetup,
        conversation: Conversation,
        uplink: Uplink,
        sight: Sight,
        timeline: Timeline,
        *,
        hurried: Callable[[], bool],
    ) -> None:
        self.keypad = Keypad()
        self.keys_dropped = 0
        "Keys that came faster than any person or dialler presses them."
        self._ports = ports
        self._capture = ports.capture
        self._clock = ports.clock
        self._conversation = conversation
        self._floor = conversation.floor
        self._response = conversation.response
        self._uplink = uplink
        self._sight = sight
        self._timeline = timeline
        self._hears = False  # some audio has arrived
        self._loud_held = False  # the caller's newest loud frame waits in the chunker
        self._hurried = hurried
        settings = setup.settings
        self._hears_all = not self._floor.marked or settings.turn_coverage == "all_input"
        self._barge_in = settings.barge_in
        self._typed_sees = (settings.turn_coverage or rules_of(settings.model).turn_coverage) != "activity"
        self._level = SpeechLevel()
        self._chunker = Chunker()
        self._preroll = Preroll()
        self._keys = Bucket(KEYS_PER_S, MAX_KEYS_AT_ONCE)
        self._entry_timer: asyncio.TimerHandle | None = None

    @property
    def caller_speaks(self) -> bool:
        """True while the caller is speaking, by the level of their voice."""
        return self._level.speaking

    async def listen(self, audio: InboundAudio) -> None:
        """Read the caller's track, which passes its audio to `hear`; return when the track ends."""
        try:
            await audio.listen()
        except MediaError as error:
            self._ports.hang_up("media_error", f"The caller's audio cannot be used: {error}.", "caller")

    def hear(self, pcm: Pcm) -> None:
        """Take the caller's next audio: int16, shape ``(samples,)``, mono, 16 kHz."""
        if self._capture is not None:
            self._capture.note("pcm", pcm)
        if not self._hears:
            self._hears = True
            self._timeline.reach("first_rtp", self._clock())
        loud = self._level.push(pcm)
        if self._floor.level(self._level.speaking):
            self._ports.act(self._conversation.floor_changed(self._clock()))
        if loud and self._floor.taken:
            self._loud_held = True
            self._response.caller_spoke(self._clock())
        if not (self._hears_all or self._floor.taken):
            self._preroll.push(pcm, speaking=self._level.speaking)
            return
        speech = self._level.speaking or loud
        self._pass_on(self._chunker.push(pcm, urgent=speech, hurried=self._hurried()), speech=speech)

    def be_patient(self, *, patient: bool) -> None:
        """Send silence in longer chunks while a session is about to be left, so that fewer cross its handle."""
        self._chunker.silent_chunk_samples = PATIENT_CHUNK_SAMPLES if patient else SILENT_CHUNK_SAMPLES

    def start_activity(self) -> bool:
        """Note that the caller begins to speak; this cuts off what the agent is saying, unless `barge_in` is off.

        Returns:
            False if marks are ignored, because the Live server detects the caller's turns itself.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        if self._mark(starts=True) and self._barge_in:
            self._ports.act(self._conversation.interrupt(self._clock()))
        return self._floor.marked

    def end_activity(self) -> bool:
        """Note that the caller has finished and waits for the answer; otherwise like `start_activity`."""
        self._mark(starts=False)
        return self._floor.marked

    def type_text(self, text: str, *, run_immediately: bool = True, pictures: Sequence[Picture] = ()) -> None:
        """Pass on what the caller typed.

        Args:
            text: what was typed.
            run_immediately: cut off what the agent is saying; text with pictures always does.
            pictures: what the text is about. If there are none, and the model would not count what the caller shows
                as part of a typed turn (`turn_coverage` is ``activity``), what is being shown now is sent along.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        text = valid_text(text)
        if run_immediately and not pictures and not self._typed_sees:
            pictures = [shown.picture for shown in self._sight.pictures()]
        self._uplink.put_question(TypedText(text, tuple(pictures)))
        self._ports.act(self._conversation.typed(text, self._clock(), cuts=run_immediately or bool(pictures)))

    def interrupt(self) -> bool:
        """Silence the agent at once, without telling the model, so that it does not answer the interruption.

        Returns:
            False if the agent was already silent.
        """
        outcomes = self._conversation.hush(self._clock())
        self._ports.act(outcomes)
        return bool(outcomes)

    def press(self, key: str) -> None:
        """Take a key that the caller pressed on a telephone: one of ``0123456789*#ABCD``."""
        if not self._keys.take(1, self._clock()):
            self.keys_dropped += 1
            return
        logger.debug("call %s: a key was pressed: dtmf=%s", self._ports.call_id, key, extra={"dtmf": key})
        self._response.caller_typed(self._clock())
        self._ports.act([events.KeyPressed(key)])
        if self._entry_timer is not None:
            self._entry_timer.cancel()
        self._entry_timer = asyncio.get_running_loop().call_later(ENTRY_PAUSE_S, self._end_entry)
        self._tell_entry(self.keypad.press(key))

    def let_go(self) -> None:
        """Cancel the pending entry, because the call is over."""
        if self._entry_timer is not None:
            self._entry_timer.cancel()

    def _mark(self, *, starts: bool) -> bool:
        """Take the caller's mark; return False if it changes nothing or marks are ignored."""
        if not self._floor.marked or self._floor.taken == starts:
            return False
        self._pass_on(self._chunker.take(), speech=self._level.speaking)
        put = self._uplink.put if starts else self._uplink.put_question
        put(ActivityMark(starts))
        for frame in self._preroll.take():
            self._pass_on(frame, speech=True)
        self._floor.mark(starts)
        self._response.turn_marked(self._clock(), starts=starts)
        self._ports.act(self._conversation.floor_changed(self._clock()))
        return True

    def _pass_on(self, chunk: Pcm | None, *, speech: bool) -> None:
        if chunk is None:
            return
        put = self._uplink.put_question if self._loud_held else self._uplink.put
        self._loud_held = False
        put(Audio(chunk.tobytes(), speech))

    def _end_entry(self) -> None:
        self._tell_entry(self.keypad.pause())

    def _tell_entry(self, entry: str | None) -> None:
        if entry is not None:
            self._uplink.question_end = told = TypedText(keys_entered(entry))
            self._ports.send(told)
