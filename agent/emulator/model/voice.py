"""The demo model's voice: a pre-rendered pack, pieces of it joined, or a speech program on PATH.

All speech here is int16, shape ``(samples,)``, mono, 24 kHz.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import subprocess
import tempfile
import wave
from collections import OrderedDict
from functools import cache
from pathlib import Path

import av
import numpy as np

from agent.emulator.model.pcm import SPOKEN_HZ, Pcm, level_speech, resample_whole, trim_silence
from agent.emulator.model.phrases import NOT_ALOUD
from agent.emulator.model.sums import number_words

logger = logging.getLogger(__name__)

PACK_AUDIO = Path(__file__).with_name("voice_pack.ogg")
PACK_INDEX = Path(__file__).with_name("voice_pack.json")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CLOCK = re.compile(r"\b(\d{1,2}):(\d{2})\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PAUSE = np.zeros(SPOKEN_HZ // 5, dtype=np.int16)  # between sentences
_BREATH = np.zeros(SPOKEN_HZ // 50, dtype=np.int16)  # between joined pieces
_RENDER_DEADLINE_S = 5.0
_MAX_RENDERED_CHARS = 400
_MAX_SAID_CHARS = 2_000
_MAX_CACHED = 64


def key_of(text: str) -> str:
    """The words alone, in lower case; the pack is indexed by them."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def spoken_words(text: str) -> str:
    """``10:05`` and ``42`` written out, for a voice that has only words."""

    def clock(match: re.Match[str]) -> str:
        hour, minute = int(match[1]), int(match[2])
        if minute == 0:
            return f"{number_words(hour)} o'clock"
        return f"{number_words(hour)} {'oh ' if minute < 10 else ''}{number_words(minute)}"

    text = re.sub(r"-(?=\d)", "minus ", _CLOCK.sub(clock, text))
    return _NUMBER.sub(lambda match: number_words(match[0]), text)


class Pack:
    """The pre-rendered phrases, decoded once per process."""

    def __init__(self) -> None:
        index = json.loads(PACK_INDEX.read_text(encoding="utf-8"))
        audio = _decode(PACK_AUDIO)
        self._agent = {key: audio[at : at + size] for key, (at, size) in index["agent"].items()}
        self._caller = {key: audio[at : at + size] for key, (at, size) in index["caller"].items()}

    def phrase(self, text: str) -> Pcm | None:
        return self._agent.get(key_of(text))

    def caller_phrase(self, text: str) -> Pcm:
        """What a caller may say, in the pack's second voice.

        Raises:
            KeyError: the pack does not have it.
        """
        return self._caller[key_of(text)]

    def join(self, sentence: str) -> Pcm | None:
        """The sentence, made of the longest pieces that fit; None if a word is missing."""
        words = key_of(spoken_words(sentence)).split()
        parts: list[Pcm] = []
        while words:
            for size in range(len(words), 0, -1):
                piece = self._agent.get(" ".join(words[:size]))
                if piece is not None:
                    parts += [piece, _BREATH]
                    del words[:size]
                    break
            else:
                return None
        return np.concatenate(parts) if parts else None


@cache
def speech_pack() -> Pack:
    """The pack; decoding it takes about 0.2 s the first time."""
    return Pack()


def _decode(path: Path) -> Pcm:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SPOKEN_HZ)
    parts: list[Pcm] = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            parts += [_samples(out) for out in resampler.resample(frame)]
        parts += [_samples(out) for out in resampler.resample(None)]
    return np.concatenate(parts)


def _samples(frame: av.AudioFrame) -> Pcm:
    return frame.to_ndarray().reshape(-1).astype(np.int16)


class Voice:
    """Says any text, and remembers what a program rendered.

    Args:
        programs: let flite or espeak-ng, if installed, say what the pack cannot.
        caller: speak with the second voice, which callers have; it has fewer phrases of its own.
    """

    def __init__(self, *, programs: bool = True, caller: bool = False) -> None:
        self._pack = speech_pack()
        self._program = next(filter(None, map(shutil.which, ("flite", "espeak-ng"))), None) if programs else None
        self._rendered: OrderedDict[str, Pcm] = OrderedDict()
        self._flite_voice = "rms" if caller else "slt"

    async def say_as_caller(self, text: str) -> Pcm | None:
        """The text in a caller's voice; None if nothing can say it."""
        try:
            return self._pack.caller_phrase(text)
        except KeyError:
            return await self._render(text[:_MAX_SAID_CHARS]) if self._program is not None else None

    async def say(self, text: str) -> Pcm:
        """The text as speech; if nothing can say it, a sentence that says so."""
        whole = self._pack.phrase(text)
        if whole is not None:
            return whole
        parts: list[Pcm] = []
        for sentence in _SENTENCE.split(text.strip()):
            pcm = await self._sentence(sentence)
            if pcm is None:
                return self._pack.phrase(NOT_ALOUD)  # type: ignore[return-value]
            parts += [pcm, _PAUSE]
        return np.concatenate(parts)

    async def _sentence(self, sentence: str) -> Pcm | None:
        pcm = self._pack.phrase(sentence)
        if pcm is None:
            pcm = self._pack.join(sentence)
        if pcm is None and self._program is not None:
            pcm = await self._render(sentence[:_MAX_RENDERED_CHARS])
        return pcm

    async def _render(self, sentence: str) -> Pcm | None:
        known = self._rendered.get(sentence)
        if known is not None:
            self._rendered.move_to_end(sentence)
            return known
        assert self._program is not None
        try:
            pcm = await asyncio.to_thread(_run_program, self._program, sentence, self._flite_voice)
        except (OSError, subprocess.SubprocessError, wave.Error, EOFError) as error:
            logger.warning("speech program failed: %s", type(error).__name__)
            return None
        if not pcm.size:
            return None
        self._rendered[sentence] = pcm
        if len(self._rendered) > _MAX_CACHED:
            self._rendered.popitem(last=False)
        return pcm


def _run_program(program: str, sentence: str, flite_voice: str) -> Pcm:
    """Render a sentence. It is passed in a file, because everyone on the machine can read command lines."""
    with tempfile.TemporaryDirectory(prefix="talkspurt-voice-") as folder:
        words, out = Path(folder, "words.txt"), Path(folder, "out.wav")
        words.write_text(sentence + "\n", encoding="utf-8")
        options = ["-voice", flite_voice, "-f", str(words), "-o", str(out)]
        if Path(program).name == "espeak-ng":
            options = ["-f", str(words), "-w", str(out)]
        quiet = subprocess.DEVNULL
        subprocess.run(  # noqa: S603 - our choice of program, and no caller's words
            [program, *options], stdin=quiet, stdout=quiet, stderr=quiet, timeout=_RENDER_DEADLINE_S, check=True
        )
        with wave.open(str(out), "rb") as recording:
            pcm = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
            rate_hz = recording.getframerate()
    return level_speech(resample_whole(trim_silence(pcm, rate_hz), rate_hz, SPOKEN_HZ))
