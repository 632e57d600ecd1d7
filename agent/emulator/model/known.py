"""Recognises what is known to be said: it looks for the sound of each word, so a word that was lost is not heard.

A test that plays a caller knows every sentence and its sound. Each word is sought where it has to be in what
arrived; it was heard if the two correlate. A codec, concealed packets and noise as loud as the voice leave enough.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.emulator.model.pcm import HEARD_HZ, Pcm

_MAX_PHRASES = 1_000
_MAX_FOUND = 50
_MAX_PIECES = 600  # of at least 0.1 s
_SLACK_SAMPLES = HEARD_HZ // 10  # by which a word may be earlier or later than the sentence says
_MOVED_SAMPLES = HEARD_HZ // 2  # by which parts of a sentence may be moved against each other
# How alike a word and what was heard are, from 0 to 1. Other words of the same voice reach 0.6, noise 0.2. So one
# word has to be surely there; where it is, the others are expected, and may be half hidden in noise.
_SURE = 0.65
_LIKELY = 0.35
_MIN_ENERGY = 1e4
_COARSE = 4


@dataclass(frozen=True)
class _Phrase:
    text: str
    pcm: NDArray[np.float64]
    words: tuple[tuple[str, int, int], ...]
    """Each word with the samples between which it is spoken, estimated from its letters."""


@dataclass
class _Found:
    phrase: _Phrase
    at: int
    """Where it begins, in samples."""
    words: set[int]

    @property
    def text(self) -> str:
        return " ".join(self.phrase.words[index][0] for index in sorted(self.words))

    def is_near(self, phrase: _Phrase, at: int) -> bool:
        return self.phrase is phrase and abs(self.at - at) < _MOVED_SAMPLES


class KnownPhrases:
    """A recogniser of what it was told beforehand."""

    def __init__(self) -> None:
        self._phrases: dict[str, _Phrase] = {}

    def add(self, text: str, pcm: Pcm) -> None:
        """Know a sentence by its sound: int16, shape ``(samples,)``, mono, 16 kHz; a thousand at most."""
        if len(self._phrases) < _MAX_PHRASES and text.split() and pcm.size:
            self._phrases[text] = _Phrase(text, pcm.astype(np.float64), tuple(_words(text, pcm.size)))

    def prepare(self) -> None:
        """Nothing has to be loaded."""

    def begin(self) -> KnownSpeech:
        return KnownSpeech(self)

    def close(self) -> None:
        """Nothing is kept open."""

    def words_in(self, pcm: Pcm) -> str:
        """The known words in what was heard, in their order: int16, shape ``(samples,)``, mono, 16 kHz."""
        heard = pcm.astype(np.float64)
        found: list[_Found] = []
        for _ in range(_MAX_FOUND if self._phrases else 0):
            places = ((phrase, *_place(heard, phrase.pcm)) for phrase in self._phrases.values())
            phrase, at, _ = max(places, key=lambda place: place[2])
            alike = [_likeness(heard, phrase.pcm[start:end], at + start) for _, start, end in phrase.words]
            if max(alike) < _SURE:
                break
            words = {index for index, each in enumerate(alike) if each >= _LIKELY}
            same = next((each for each in found if each.is_near(phrase, at)), None)
            if same is not None:
                same.words |= words  # the network has moved one part of it against the other
            else:
                found.append(_Found(phrase, at, words))
            for _, start, end in (phrase.words[index] for index in words):
                heard[max(0, at + start) : max(0, at + end)] = 0
        return " ".join(each.text for each in sorted(found, key=lambda each: each.at))


class KnownSpeech:
    """One stretch of a caller's speech; the last minute is kept."""

    def __init__(self, phrases: KnownPhrases) -> None:
        self._phrases = phrases
        self._pieces: deque[Pcm] = deque(maxlen=_MAX_PIECES)

    def add(self, pcm: Pcm) -> None:
        self._pieces.append(pcm)

    def paused(self) -> None:
        """Nothing is decided early."""

    async def words(self) -> str | None:
        if not self._pieces:
            return ""
        return await asyncio.to_thread(self._phrases.words_in, np.concatenate(self._pieces))

    def forget(self) -> None:
        """It is dropped with this object; a question that is taken back may be asked again."""


def _words(text: str, size: int) -> list[tuple[str, int, int]]:
    words = text.split()
    ends = np.cumsum([len(word) + 1 for word in words]) / sum(len(word) + 1 for word in words) * size
    starts = [0, *ends[:-1]]
    return [(word, int(start), int(end)) for word, start, end in zip(words, starts, ends, strict=True)]


def _place(heard: NDArray[np.float64], phrase: NDArray[np.float64]) -> tuple[int, float]:
    """Where a phrase fits best, which may be before the beginning, and how much of the energy it explains there."""
    match = _correlation(_coarse(heard), coarse := _coarse(phrase))
    at = int(np.argmax(match))
    explained = max(float(match[at]), 0.0) ** 2 / (float(coarse @ coarse) + 1.0)
    return (at if at < heard.size // _COARSE + 1 else at - match.size) * _COARSE, explained


def _coarse(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower octaves, which are enough to find a place and take a quarter of the time."""
    found: NDArray[np.float64] = pcm[: pcm.size // _COARSE * _COARSE].reshape(-1, _COARSE).mean(axis=1)
    return found


def _correlation(heard: NDArray[np.float64], sought: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each place how much is alike; what begins before the beginning is at the end."""
    size = 1 << (heard.size + sought.size).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sought, size))
    found: NDArray[np.float64] = np.fft.irfft(spectrum, size)
    return found


def _likeness(heard: NDArray[np.float64], word: NDArray[np.float64], at: int) -> float:
    """How much what was heard near a place is like a word, from 0 to 1."""
    start, end = at - _SLACK_SAMPLES, at + word.size + _SLACK_SAMPLES
    if end <= 0 or start >= heard.size:
        return 0.0
    before, behind = max(0, -start), max(0, end - heard.size)  # what is outside was not heard
    window = np.pad(heard[max(0, start) : end], (before, behind))
    energy = float(word @ word)
    match = _correlation(window, word)[: window.size - word.size + 1]
    sums = np.concatenate(([0.0], np.cumsum(window**2)))
    energies = sums[word.size :] - sums[: -word.size]
    return float((match / np.sqrt(max(energy, _MIN_ENERGY) * np.maximum(energies, _MIN_ENERGY))).max())
