"""Sends the model's speech at a steady pace, ahead of real time, as the Live API does."""

from __future__ import annotations

import asyncio

from agent.emulator.connection import Connection
from agent.emulator.hooks import SpeechPace
from agent.emulator.model.pcm import Pcm
from agent.emulator.model.speech import CHUNK_S, Speech, SpeechCutter, cut
from agent.emulator.wire import outgoing
from agent.emulator.wire.outgoing import ServerMessage

_WORDS_PER_MESSAGE = 6  # in a TEXT session
_LEAD_S = 0.1  # chunks that are due this soon are sent together, which halves the wake-ups


class SpeechSender:
    """Speaks, or writes, for the model of one session.

    Args:
        connection: where it sends.
        cutter: makes messages of text.
        text_only: the session's modality is TEXT.
        transcribe: the client wants the words of the speech.
        pace: times real time at which speech is sent.
        await_playback: hold back the end of a turn until a client that plays in real time has played all of it.
    """

    def __init__(
        self,
        connection: Connection,
        cutter: SpeechCutter,
        *,
        text_only: bool,
        transcribe: bool,
        pace: float,
        await_playback: bool,
    ) -> None:
        self._connection = connection
        self._cutter = cutter
        self._text_only = text_only
        self._transcribe = transcribe
        self._usual_pace = self._pace = SpeechPace(pace, _LEAD_S)
        self._await_playback = await_playback
        self._began: float | None = None
        self._sent_words: list[ServerMessage] = []
        self.spoken_s = 0.0
        """Speech sent in this turn."""
        self.words = 0
        """Words written in this turn of a TEXT session."""

    def begin_turn(self) -> None:
        self._pace = self._connection.pace(self._usual_pace)
        self._began = None
        self.spoken_s = 0.0
        self.words = 0

    def begin_reply(self) -> None:
        """A turn has several replies if it waits for function calls."""
        self._sent_words.clear()

    def sent_words(self) -> str:
        """The words of this reply that were sent, as speech or as text."""
        return "".join(map(_words_in, self._sent_words)).strip()

    async def say(self, text: str) -> None:
        if self._text_only:
            await self._write(text)
        else:
            await self._speak(await self._cutter.speech(text))

    async def play(self, pcm: Pcm) -> None:
        """Send sound as it is: int16, shape ``(samples,)``, mono, 24 kHz."""
        await self._speak(cut(pcm))

    async def played(self) -> None:
        """Return when a client that plays in real time from the first chunk on has played everything."""
        if self._await_playback and self._began is not None:
            await self._sleep_until(self._began + self.spoken_s)

    async def _write(self, text: str) -> None:
        words = text.split()
        for at in range(0, len(words), _WORDS_PER_MESSAGE):
            piece = " ".join(words[at : at + _WORDS_PER_MESSAGE])
            message = outgoing.text(f" {piece}" if self.words else piece)
            await self._connection.say(message)
            self._sent_words.append(message)
            self.words += len(words[at : at + _WORDS_PER_MESSAGE])

    async def _speak(self, speech: Speech) -> None:
        follows = bool(self.spoken_s)
        for words, sound in speech.steps:
            await self._chunk_due()
            if words is not None:
                if follows:
                    words = outgoing.output_transcription(" " + _words_in(words))
                    follows = False
                if self._transcribe:
                    await self._connection.say(words)
                self._sent_words.append(words)
            await self._connection.say(sound)
            self.spoken_s += CHUNK_S

    async def _chunk_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = now
        due = self._began + self.spoken_s / self._pace.times_real_time
        if due - now > self._pace.lead_s / self._pace.times_real_time:
            await self._sleep_until(due)

    async def _sleep_until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))


def _words_in(message: ServerMessage) -> str:
    """The words in a message of speech's transcription or of a TEXT session."""
    content = message.json["serverContent"]
    words: str = (content.get("outputTranscription") or content["modelTurn"]["parts"][0])["text"]
    return words
