"""What the caller receives from the agent: queues, sends and cuts off its voice, and keeps its pictures."""

from __future__ import annotations

import logging
from typing import Any

from agent import events
from agent.call.conversation import Conversation
from agent.call.drawn import Drawn
from agent.call.ports import CallPorts
from agent.call.timeline import Timeline
from agent.errors import MediaError
from agent.live import wire
from agent.media.downlink import VoiceReader
from agent.media.level import is_audible
from agent.media.playout import Playout
from agent.media.track import AgentVoiceTrack
from agent.picture import Picture
from agent.unicode import valid_json, valid_text

logger = logging.getLogger(__name__)


class Speaking:
    """Speaks to one caller.

    Args:
        ports: the way back to the call.
        conversation: is told which speech arrived and which was heard.
        playout: queues the speech.
        timeline: records when the speech is sent.
        phase_s: see `AgentVoiceTrack`.
    """

    def __init__(
        self,
        ports: CallPorts,
        conversation: Conversation,
        playout: Playout,
        timeline: Timeline,
        *,
        phase_s: float,
    ) -> None:
        self.voice = AgentVoiceTrack(
            playout,
            phase_s=phase_s,
            on_speaking=self._changed,
            on_begun=self._begun,
            on_heard=self._heard,
            on_faded=self._faded,
        )
        self.voice.capture = ports.capture
        self._ports = ports
        self._conversation = conversation
        self._timeline = timeline
        self.playout = playout
        self.drawn = Drawn()
        "The newest pictures that the model made."
        self._reader = VoiceReader()
        self._reads = 0  # the generation that the reader has begun to read

    def speak(self, speech: wire.Speech) -> None:
        """Queue speech of the agent that arrived."""
        now, conversation = self._ports.clock(), self._conversation
        self._ports.act(conversation.output_arrived(now))
        if self._reads != conversation.generation:
            self._reads = conversation.generation
            self._reader.reset()
        try:
            pcm = self._reader.read(speech.pcm_bytes, speech.rate_hz)
        except MediaError as error:
            logger.warning("call %s: dropped audio of the model: %s", self._ports.call_id, error)
            return
        conversation.voice_arrived(len(pcm), now, audible=is_audible(pcm))
        self.voice.push(pcm, generation=conversation.generation)

    def show(self, made: Picture) -> None:
        """Take a picture that the model made."""
        now = self._ports.clock()
        self._ports.act(self._conversation.output_arrived(now))
        picture = self.drawn.take(made)
        if picture is None:
            size = len(made.data)
            logger.warning(
                "call %s: dropped a picture: %d bytes of %.40r", self._ports.call_id, size, made.mime_type
            )
            return
        self._conversation.picture_arrived(now)
        self._ports.act([picture])

    def send_event(self, name: str, data: Any) -> None:
        """Send an event with JSON data to the caller's page or app."""
        self._ports.act([events.AppEventSent(valid_text(name), valid_json(data))])

    def flush(self, generation: int) -> None:
        """Discard the queued speech, and any speech of that generation that arrives later."""
        self._ports.act(self._conversation.flushed(self.voice.flush(generation)))

    def _changed(self, speaking: bool) -> None:
        self._ports.act(self._conversation.speaking_changed(speaking, self.playout.generation))

    def _begun(self, generation: int) -> None:
        self._timeline.packet_sent(generation, self._ports.clock())

    def _faded(self) -> None:
        took_s = self._timeline.faded(self._ports.clock())
        if took_s is not None:
            self._ports.act([events.VoiceFlushed(round(took_s * 1000, 1))])

    def _heard(self, generation: int) -> None:
        self._ports.act(self._conversation.heard(generation, self._ports.clock()))
