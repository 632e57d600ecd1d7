"""Speech as messages: 40 ms of sound each, with the words between them. Made once for each phrase."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from agent.emulator.model.pcm import SPOKEN_HZ, Pcm
from agent.emulator.model.voice import Voice
from agent.emulator.wire import outgoing
from agent.emulator.wire.outgoing import ServerMessage

CHUNK_SAMPLES = SPOKEN_HZ // 25
CHUNK_S = CHUNK_SAMPLES / SPOKEN_HZ
_MAX_CACHED_CHUNKS = 4_000  # 160 s of speech, some 10 MB


@dataclass(frozen=True)
class Speech:
    """One phrase, ready to be sent."""

    steps: tuple[tuple[ServerMessage | None, ServerMessage], ...]
    """For each chunk of sound: the words that begin in it, if any, and the sound."""
    seconds: float


class SpeechCutter:
    """Turns phrases into messages; one for all sessions of a server."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._cache: OrderedDict[str, Speech] = OrderedDict()
        self._cached_chunks = 0
        self._making = asyncio.Lock()  # many sessions may ask for one phrase at once; it is made once

    async def speech(self, text: str) -> Speech:
        known = self._known(text)
        if known is not None:
            return known
        async with self._making:
            return self._known(text) or self._keep(text, cut(await self._voice.say(text), text))

    def _known(self, text: str) -> Speech | None:
        known = self._cache.get(text)
        if known is not None:
            self._cache.move_to_end(text)
        return known

    def _keep(self, text: str, made: Speech) -> Speech:
        self._cache[text] = made
        self._cached_chunks += len(made.steps)
        while self._cached_chunks > _MAX_CACHED_CHUNKS:
            _, dropped = self._cache.popitem(last=False)
            self._cached_chunks -= len(dropped.steps)
        return made


def cut(pcm: Pcm, text: str = "") -> Speech:
    """Cut speech into messages: int16, shape ``(samples,)``, mono, 24 kHz."""
    sound = [pcm[at : at + CHUNK_SAMPLES].astype("<i2").tobytes() for at in range(0, pcm.size, CHUNK_SAMPLES)]
    words = _spread_words(text, len(sound))
    return Speech(
        tuple(
            (outgoing.output_transcription(words[n]) if n in words else None, outgoing.audio(chunk))
            for n, chunk in enumerate(sound)
        ),
        pcm.size / SPOKEN_HZ,
    )


def _spread_words(text: str, chunks: int) -> dict[int, str]:
    """Words by the chunk they are spoken in, estimated from their letters; all but the first begin with a space."""
    at: dict[int, str] = {}
    letters = max(1, len(text))
    done = 0
    for number, word in enumerate(text.split()):
        chunk = min(done * chunks // letters, chunks - 1)
        at[chunk] = at.get(chunk, "") + (" " if number else "") + word
        done += len(word) + 1
    return at
