"""Speech recognition by pocketsphinx, if it is installed: one decoder in one worker thread."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from agent.emulator.grammar import demo_grammar
from agent.emulator.pcm import Pcm

log = logging.getLogger(__name__)

_MAX_WAITING = 8
_DEADLINE_S = 15.0
_GRAMMAR = "expected"
# Of 52 commands in four synthetic voices 51 scored above it, of 40 other sentences 35 below.
_EXPECTED_RATIO = 0.98
_PIECE_SAMPLES = 1_600  # the decoder keeps the interpreter to itself: small pieces let the loop in between


def recognition_installed() -> bool:
    return importlib.util.find_spec("pocketsphinx") is not None


class Transcriber:
    """Turns utterances into words, one after the other.

    The decoder is not re-entrant and its model weighs some 200 MB: one per server, loaded with the first use.
    """

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="transcribe")
        self._decoder: Any = None
        self._dictation = ""
        self._jobs: list[Future[str]] = []
        self.refused = 0
        """Utterances that were not transcribed because too many were waiting."""

    async def words(self, pcm: Pcm) -> str | None:
        """What was said, in lower case without punctuation; empty if no word was found, None if it was not tried.

        Args:
            pcm: int16, shape ``(samples,)``, mono, 16 kHz.
        """
        self._jobs = [job for job in self._jobs if not job.done()]
        if len(self._jobs) >= _MAX_WAITING:
            self.refused += 1
            return None
        job = self._worker.submit(self._decode, pcm)
        self._jobs.append(job)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            self.refused += 1
            return None

    def prepare(self) -> None:
        """Load the model in the worker now, so that the first utterance does not wait for it."""
        if self._decoder is None:
            self._worker.submit(self._load)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _load(self) -> Any:
        if self._decoder is None:
            import pocketsphinx

            self._decoder = pocketsphinx.Decoder(loglevel="FATAL", samprate=16_000)
            self._decoder.add_jsgf_string(_GRAMMAR, demo_grammar())
            self._dictation = self._decoder.current_search()
        return self._decoder

    def _decode(self, pcm: Pcm) -> str:
        self._load()
        dictated, dictated_score = self._search(self._dictation, pcm)
        expected, expected_score = self._search(_GRAMMAR, pcm)
        if expected and expected_score >= _EXPECTED_RATIO * dictated_score:
            return expected
        return dictated

    def _search(self, search: str, pcm: Pcm) -> tuple[str, float]:
        """The best words under one model, and how well they fit."""
        decoder = self._decoder
        decoder.activate_search(search)
        decoder.start_utt()
        for at in range(0, pcm.size, _PIECE_SAMPLES):
            decoder.process_raw(pcm[at : at + _PIECE_SAMPLES].tobytes(), no_search=False, full_utt=False)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        return (str(hypothesis.hypstr).strip(), float(hypothesis.score)) if hypothesis is not None else ("", 0.0)
