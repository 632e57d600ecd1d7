"""Sends the model's speech at a steady pace, ahead of real time, as the Live API does."""

from __future__ import annotations

import asyncio

from agent.emulator import wire
from agent.emulator.hooks import Tempo
from agent.emulator.line import Line
from agent.emulator.model.pcm import Pcm
from agent.emulator.model.speech import CHUNK_S, Speech, SpeechCutter, cut

_TEXT_WORDS = 6  # words in a message of a TEXT session
_LEAD_S = 0.1  # chunks that are due this soon go out together: it halves the wake-ups


class Mouth:
    """One session's voice.

    Args:
        line: where it speaks.
        cutter: makes messages of text.
        text_only: the session's modality is TEXT.
        transcribe: the client wants the words of the speech.
        pace: times real time at which speech is sent.
        await_playback: hold the turn's end back until a client that plays in real time has heard it all.
    """

    def __init__(
        self,
        line: Line,
        cutter: SpeechCutter,
        *,
        text_only: bool,
        transcribe: bool,
        pace: float,
        await_playback: bool,
    ) -> None:
        self._line = line
        self._cutter = cutter
        self._text_only = text_only
        self._transcribe = transcribe
        self._usual = self._tempo = Tempo(pace, _LEAD_S)
        self._await_playback = await_playback
        self._began: float | None = None
        self.spoken_s = 0.0
        """Speech sent in this turn."""
        self.words = 0
        """Words sent in this turn of a TEXT session."""

    def begin_turn(self) -> None:
        self._tempo = self._line.tempo(self._usual)
        self._began = None
        self.spoken_s = 0.0
        self.words = 0

    async def say(self, text: str) -> None:
        if self._text_only:
            await self._write(text)
        else:
            await self._speak(await self._cutter.speech(text))

    async def play(self, pcm: Pcm) -> None:
        """Send sound as it is: int16, shape ``(samples,)``, mono, 24 kHz."""
        await self._speak(cut(pcm))

    async def played(self) -> None:
        """Ends when a client that plays from the first chunk on, in real time, has played everything."""
        if self._await_playback and self._began is not None:
            await self._until(self._began + self.spoken_s)

    async def _write(self, text: str) -> None:
        words = text.split()
        for at in range(0, len(words), _TEXT_WORDS):
            piece = " ".join(words[at : at + _TEXT_WORDS])
            await self._line.say(wire.text(f" {piece}" if self.words else piece))
            self.words += len(words[at : at + _TEXT_WORDS])

    async def _speak(self, speech: Speech) -> None:
        space = " " if self.spoken_s else ""
        for words, sound in speech.steps:
            await self._chunk_due()
            if words is not None and self._transcribe:
                await self._line.say(_after_space(words) if space else words)
                space = ""
            await self._line.say(sound)
            self.spoken_s += CHUNK_S

    async def _chunk_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        due = self._began + self.spoken_s / self._tempo.times_real_time
        if due - now > self._tempo.lead_s / self._tempo.times_real_time:
            await self._until(due)

    async def _until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))


def _after_space(words: wire.ServerMessage) -> wire.ServerMessage:
    """The first word of a phrase that follows another one."""
    return wire.output_transcription(" " + words.json["serverContent"]["outputTranscription"]["text"])
