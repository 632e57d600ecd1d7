"""Chunks: small in speech, large in silence, nothing lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.media.chunker import (
    FRAME_SAMPLES,
    HURRIED_CHUNK_SAMPLES,
    PATIENT_CHUNK_SAMPLES,
    SILENT_CHUNK_SAMPLES,
    Chunker,
)


def frame(value: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(FRAME_SAMPLES, value, np.int16)


def test_silence_travels_in_100_ms() -> None:
    chunker = Chunker()
    chunks = [chunker.push(frame(i), urgent=False) for i in range(10)]
    sizes = [None if chunk is None else len(chunk) for chunk in chunks]
    assert sizes == [None, None, None, None, SILENT_CHUNK_SAMPLES] * 2


def test_the_first_frame_of_speech_never_waits() -> None:
    chunker = Chunker()
    chunker.push(frame(1), urgent=False)
    chunk = chunker.push(frame(2), urgent=True)
    assert chunk is not None
    assert len(chunk) == 2 * FRAME_SAMPLES
    assert chunker.push(frame(3), urgent=True) is not None


def test_speech_travels_in_20_ms_and_in_40_ms_in_a_hurry() -> None:
    chunker = Chunker()
    hurried = [False, False, True, True, True, True, False]
    chunks = [chunker.push(frame(i), urgent=True, hurried=each) for i, each in enumerate(hurried)]
    sizes = [None if chunk is None else len(chunk) for chunk in chunks]
    assert sizes == [FRAME_SAMPLES] * 2 + [None, HURRIED_CHUNK_SAMPLES] * 2 + [FRAME_SAMPLES]


def test_a_hurry_changes_nothing_in_silence() -> None:
    chunker = Chunker()
    chunks = [chunker.push(frame(i), urgent=False, hurried=True) for i in range(5)]
    assert [chunk is None for chunk in chunks] == [True] * 4 + [False]


def sizes_of_silence(chunker: Chunker, frames: int) -> list[int]:
    chunks = [chunker.push(frame(i), urgent=False) for i in range(frames)]
    return [len(chunk) for chunk in chunks if chunk is not None]


def test_a_patient_chunker_collects_more_silence() -> None:
    chunker = Chunker()
    chunker.silent_chunk_samples = PATIENT_CHUNK_SAMPLES
    assert sizes_of_silence(chunker, 50) == [PATIENT_CHUNK_SAMPLES] * 2


def test_speech_does_not_wait_for_a_patient_chunker() -> None:
    chunker = Chunker()
    chunker.silent_chunk_samples = PATIENT_CHUNK_SAMPLES
    assert sizes_of_silence(chunker, 20) == []
    chunk = chunker.push(frame(20), urgent=True)
    assert chunk is not None
    assert len(chunk) == 21 * FRAME_SAMPLES
    assert chunk[-1] == 20


def test_what_a_patient_chunker_held_goes_with_the_next_frame_once_it_is_patient_no_more() -> None:
    chunker = Chunker()
    chunker.silent_chunk_samples = PATIENT_CHUNK_SAMPLES
    sizes_of_silence(chunker, 20)
    chunker.silent_chunk_samples = SILENT_CHUNK_SAMPLES
    assert sizes_of_silence(chunker, 6) == [21 * FRAME_SAMPLES, SILENT_CHUNK_SAMPLES]


@given(
    st.lists(st.tuples(st.integers(0, 700), st.booleans(), st.booleans()), max_size=50),
    st.sampled_from([SILENT_CHUNK_SAMPLES, PATIENT_CHUNK_SAMPLES]),
)
def test_no_sample_is_lost_or_reordered(pieces: list[tuple[int, bool, bool]], silent_chunk_samples: int) -> None:
    chunker = Chunker()
    chunker.silent_chunk_samples = silent_chunk_samples
    sent: list[int] = []
    number = 0
    for size, urgent, hurried in pieces:
        pcm = (np.arange(number, number + size) % 30_000).astype(np.int16)
        chunk = chunker.push(pcm, urgent=urgent, hurried=hurried)
        number += size
        sent += [] if chunk is None else chunk.tolist()
    rest = chunker.take()
    sent += [] if rest is None else rest.tolist()
    assert sent == [i % 30_000 for i in range(number)]
