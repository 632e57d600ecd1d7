"""Speech recognition by pocketsphinx, if it is installed: two decoders in one worker thread.

Speech is decoded while the caller speaks, so that little is left to do at the end. One decoder takes dictation; the
other knows only the phrases of the demo and is faster. At a pause the first reports its words so far and continues,
while the second decides, and starts again if the caller goes on. Only one caller is followed at a time; what others
say is decoded when they finish.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import tempfile
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from agent.emulator.model.grammar import demo_grammar
from agent.emulator.model.pcm import HEARD_HZ, Pcm
from agent.emulator.model.speech_detector import PIECE_SAMPLES

logger = logging.getLogger(__name__)

_MAX_WAITING = 8
_MAX_SAMPLES = 30 * HEARD_HZ
_MAX_PENDING_PIECES = 2 * _MAX_SAMPLES // PIECE_SAMPLES
_DEADLINE_S = 15.0
# A phrase of the demo must score at least as well as the dictation and have about as many words. Of 80 phrases in
# four synthetic voices all did, of 90 other sentences 2 did.
_EXPECTED_RATIO = 1.0
_MAX_WORDS_APART = 2
_STEP_SAMPLES = HEARD_HZ // 20  # a decoder holds the GIL; small steps let the event loop run between them
_FASTER = {"maxhmmpf": 3000, "maxwpf": 10}  # a fifth less work with the same accuracy


def recognition_installed() -> bool:
    return importlib.util.find_spec("pocketsphinx") is not None


class Utterance:
    """One stretch of a caller's speech, from `Transcriber.begin`. The last 30 s are kept."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber
        self._hearing: Future[Any] | None = None
        self.added = 0
        """How many pieces have come."""
        self.unheard: deque[Pcm] = deque(maxlen=_MAX_PENDING_PIECES)
        """The pieces that the worker has not taken yet."""
        # only the worker uses what follows
        self.pieces: deque[Pcm] = deque()
        self.first = 0  # the number of the first piece
        self.samples = 0
        self.expected: str | None = None  # the demo's phrase, "" if it is none; None before the decision
        self.dictation: str | None = None  # the words if it is no phrase of the demo

    def add(self, pcm: Pcm) -> None:
        """Take what is said: int16, shape ``(samples,)``, mono, 16 kHz."""
        self.added += 1
        self.unheard.append(pcm)
        if self._hearing is None or self._hearing.done():  # otherwise the running job takes it
            self._hearing = self._transcriber.submit(self._transcriber.hear, self)

    def paused(self) -> None:
        """Decide about what has come, because the caller may have finished."""
        self._transcriber.submit(self._transcriber.guess, self, self.added)

    async def words(self) -> str | None:
        """The words, in lower case without punctuation; empty if there are none, None if too many callers wait."""
        return await self._transcriber.ask(self)

    def forget(self) -> None:
        """Drop the speech: nobody will ask for its words."""
        self._transcriber.submit(self._transcriber.leave, self)

    def take(self) -> None:
        """Take the pieces that have come; runs in the worker."""
        while self.unheard:
            piece = self.unheard.popleft()
            self.pieces.append(piece)
            self.samples += piece.size
            self.expected = self.dictation = None
        while self.samples > _MAX_SAMPLES and len(self.pieces) > 1:
            self.samples -= self.pieces.popleft().size
            self.first += 1


class Transcriber:
    """Turns utterances into words.

    A decoder is not re-entrant, and the two take some 120 MB, so a server has one pair, loaded at first use.
    """

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="transcribe")
        self._asked: list[Future[str]] = []
        self._dictating: _Decoder | None = None
        self._expecting: _Decoder | None = None
        self._ahead: Utterance | None = None  # the one that the decoders follow while it is spoken
        self.refused = 0
        """How many utterances were not transcribed because too many were waiting."""

    def prepare(self) -> None:
        """Load the models in the worker now, so that the first utterance does not wait for it."""
        if self._dictating is None:
            self.submit(self._decoders)

    def begin(self) -> Utterance:
        """A caller begins to speak."""
        return Utterance(self)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[..., object], *arguments: Any) -> Future[Any]:
        """Queue work for the worker."""
        job = self._worker.submit(work, *arguments)
        job.add_done_callback(_report)
        return job

    async def ask(self, utterance: Utterance) -> str | None:
        """See `Utterance.words`."""
        self._asked = [job for job in self._asked if not job.done()]
        if len(self._asked) >= _MAX_WAITING:
            self.refused += 1
            return None
        job = self._worker.submit(self.decide, utterance)
        self._asked.append(job)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                return await asyncio.wrap_future(job)
        except TimeoutError:
            self.refused += 1
            return None

    # What follows runs in the worker.

    def hear(self, utterance: Utterance) -> None:
        """Take what has come, and decode it if no other caller is being followed."""
        utterance.take()
        if self._ahead is None:
            self._ahead = utterance
        if self._ahead is utterance:
            for decoder in self._decoders():
                decoder.follow(utterance)

    def guess(self, utterance: Utterance, added: int) -> None:
        """Try the demo's phrases, unless the caller has gone on speaking."""
        utterance.take()
        self._let_go(utterance)
        if utterance.added == added:
            self._expect(utterance)

    def decide(self, utterance: Utterance) -> str:
        """Decide on the words."""
        utterance.take()
        self._let_go(utterance)
        if expected := self._expect(utterance):
            return expected
        if utterance.dictation is None:
            dictating, _ = self._decoders()
            dictating.follow(utterance)
            utterance.dictation = dictating.end()
        return utterance.dictation

    def leave(self, utterance: Utterance) -> None:
        """Make the decoders free for the next caller."""
        self._let_go(utterance)
        for decoder in self._decoders():
            if decoder.utterance is utterance:
                decoder.end()

    def _let_go(self, utterance: Utterance) -> None:
        if self._ahead is utterance:
            self._ahead = None

    def _expect(self, utterance: Utterance) -> str:
        """The demo's phrase if the utterance fits one better than anything else; otherwise empty."""
        if utterance.expected is None:
            dictating, expecting = self._decoders()
            dictating.follow(utterance)
            expecting.follow(utterance)
            expected = expecting.end()
            fits = expecting.score() >= _EXPECTED_RATIO * dictating.score()
            apart = abs(len(expected.split()) - len(dictating.words().split()))
            utterance.expected = expected if fits and apart <= _MAX_WORDS_APART else ""
        return utterance.expected

    def _decoders(self) -> tuple[_Decoder, _Decoder]:
        """The decoder for dictation and the one for the demo's phrases."""
        if self._dictating is None or self._expecting is None:
            import pocketsphinx

            with tempfile.NamedTemporaryFile("w", suffix=".jsgf") as grammar:
                grammar.write(demo_grammar())
                grammar.flush()
                self._expecting = _Decoder(
                    # A second search over the utterance would level the scores of phrases and of other words.
                    pocketsphinx.Decoder(
                        loglevel="FATAL", samprate=HEARD_HZ, jsgf=grammar.name, bestpath=False, fwdflat=False
                    )
                )
            self._dictating = _Decoder(pocketsphinx.Decoder(loglevel="FATAL", samprate=HEARD_HZ, **_FASTER))
        return self._dictating, self._expecting


class _Decoder:
    """A decoder of pocketsphinx, the utterance that it follows, and how far it has come; used by the worker."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._next = 0  # the number of the next piece to decode
        self.utterance: Utterance | None = None

    def follow(self, utterance: Utterance) -> None:
        """Decode what was added since the last call; everything, if another utterance came in between."""
        if self.utterance is not utterance:
            self.end()
            self._decoder.start_utt()
            self.utterance, self._next = utterance, utterance.first
        for piece in islice(utterance.pieces, max(0, self._next - utterance.first), None):
            for at in range(0, piece.size, _STEP_SAMPLES):
                step = piece[at : at + _STEP_SAMPLES].tobytes()
                self._decoder.process_raw(step, no_search=False, full_utt=False)
        self._next = utterance.first + len(utterance.pieces)

    def end(self) -> str:
        """Finish the utterance; return the words."""
        if self.utterance is not None:
            self._decoder.end_utt()
            self.utterance = None
        return self.words()

    def words(self) -> str:
        """The best words so far; empty if there are none."""
        hypothesis = self._decoder.hyp()
        return "" if hypothesis is None else str(hypothesis.hypstr).strip()

    def score(self) -> float:
        """How well the words fit; higher is better."""
        hypothesis = self._decoder.hyp()
        return 0.0 if hypothesis is None else float(hypothesis.score)


def _report(job: Future[Any]) -> None:
    """Log a failure; it is raised when the words are asked for."""
    if not job.cancelled() and (error := job.exception()) is not None:
        logger.warning("speech recognition failed: %s", type(error).__name__)
