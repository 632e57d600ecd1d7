"""`talkspurt call` without a microphone: it types, shows a file as a camera, and tells how the call went."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.emulator import Emulator
from agent.errors import ConfigError
from signaling.client.call import Outcome, hold_call
from signaling.client.camera import MAX_FPS, MAX_PX, FileCamera
from signaling.client.keyboard import Keyboard
from signaling.client.transcript import TranscriptLine
from tests.support.line import FAST, on_line
from tests.support.pictures import BLUE, GREEN, RED, decoded_jpeg, plain
from tests.support.service import ServiceFactory

SUMS = ["what is one plus one", "what is two plus two"]


@pytest.fixture(autouse=True)
def _short_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signaling.client.call.SILENCE_BEFORE_HANG_UP_S", 1.5)


async def call(url: str, shown: list[TranscriptLine] | None = None, **changes: Any) -> Outcome:
    arguments: dict[str, Any] = {
        "speech": None,
        "record": None,
        "key": None,
        "limit_s": 30,
        "hang_up": asyncio.Event(),
    }
    arguments["show"] = (lambda _line: None) if shown is None else shown.append
    return await hold_call(url, **{**arguments, **changes})


def final(shown: list[TranscriptLine]) -> list[tuple[str, str]]:
    return [(line.speaker, line.text.strip()) for line in shown if line.final]


async def test_texts_are_typed_one_after_the_other() -> None:
    async with on_line(**FAST) as line:
        shown: list[TranscriptLine] = []
        outcome = await call(line.url, shown, keyboard=Keyboard(SUMS))
        assert (outcome.reason, outcome.detail) == ("caller_hung_up", "All was said.")
        assert final(shown) == [
            ("caller", SUMS[0]),
            ("agent", "1 plus 1 is 2."),
            ("caller", SUMS[1]),
            ("agent", "2 plus 2 is 4."),
        ]
        rows = dict(outcome.tally.rows())
        assert rows["answers"].startswith("2, after")
        assert set(rows) == {"answers", "tokens", "cost"}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


async def test_lines_of_a_pipe_are_typed_until_it_ends(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, f"{SUMS[0]}\n\n  {SUMS[1]}".encode())  # an empty line is nothing; the last has no end
    os.close(writing)
    async with on_line(**FAST) as line:
        shown: list[TranscriptLine] = []
        keyboard = Keyboard()
        keyboard.read(reading, hurried=False, holds=True)
        outcome = await call(line.url, shown, keyboard=keyboard)
        assert outcome.detail == "All was said."
        assert [text for speaker, text in final(shown) if speaker == "caller"] == SUMS
        assert ("agent", "2 plus 2 is 4.") in final(shown)


async def test_a_person_who_types_may_interrupt_and_the_call_waits_for_them(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    hang_up = asyncio.Event()
    shown: list[TranscriptLine] = []

    def show(line: TranscriptLine) -> None:
        shown.append(line)
        if line.speaker == "agent" and line.text and len(shown) < 10:
            os.write(writing, f"{SUMS[0]}\n".encode())  # into the story, once it has begun
        if line.text.startswith("1 plus 1"):
            asyncio.get_running_loop().call_later(2.5, hang_up.set)  # longer than a goodbye

    async with on_line(on_turn=None) as line:
        keyboard = Keyboard()
        keyboard.read(reading, hurried=True, holds=True)
        os.write(writing, b"tell me a long story\n")
        outcome = await call(line.url, keyboard=keyboard, hang_up=hang_up, show=show)
    assert outcome.detail == "You hung up."
    assert outcome.tally.interruptions >= 1


async def test_tools_are_told_of(service: ServiceFactory) -> None:
    notices: list[str] = []
    async with service(tool_reports="full") as url:
        outcome = await call(url, keyboard=Keyboard(["what is the weather in paris"]), notice=notices.append)
    assert notices[0].startswith('tool: get_weather {"city": "')
    assert notices[1].startswith("tool: get_weather answered {")
    assert outcome.tally.tools == {"get_weather": 1}


async def test_a_call_without_audio_input_sends_none(service: ServiceFactory, emulator: Emulator) -> None:
    shown: list[TranscriptLine] = []
    async with service() as url:
        outcome = await call(url, shown, keyboard=Keyboard(SUMS[:1]), speaks=False)
    assert not outcome.failed
    assert ("agent", "1 plus 1 is 2.") in final(shown)
    assert emulator.sessions[0].audio_samples_in == 0


def write_video(path: Path, colours: list[tuple[int, int, int]], *, size: tuple[int, int] = (640, 480)) -> Path:
    """Write a video of a second for each colour, at 10 frames a second."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for colour in colours:
            for _ in range(10):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(plain(*size, colour), "rgb24")))
        file.mux(stream.encode(None))
    return path


def write_picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int]) -> Path:
    context = av.CodecContext.create("png", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = *size, "rgb24"
    frame = av.VideoFrame.from_ndarray(plain(*size, colour), "rgb24")
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path


def seen(jpeg: bytes) -> NDArray[np.uint8]:
    """Return the colour in the middle."""
    picture = decoded_jpeg(jpeg)
    middle: NDArray[np.uint8] = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    return middle


def near(colour: NDArray[np.uint8], wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(colour.astype(int) - wanted).max() < 40)


async def test_a_video_is_shown_again_and_again(
    service: ServiceFactory, emulator: Emulator, tmp_path: Path
) -> None:
    camera = FileCamera(write_video(tmp_path / "film.mp4", [RED, BLUE]))
    jpegs: list[bytes] = []
    async with service() as url:
        calling = asyncio.create_task(call(url, camera=camera, limit_s=8))
        await emulator.wait_for(lambda: bool(emulator.sessions) and emulator.sessions[0].picture_count >= 5)
        jpegs = [picture.data for picture in emulator.sessions[0].pictures]
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
    colours = [seen(jpeg) for jpeg in jpegs]
    assert all(near(colour, RED) or near(colour, BLUE) for colour in colours)
    assert {near(colour, RED) for colour in colours} == {True, False}


async def test_the_agent_says_what_a_picture_file_shows(service: ServiceFactory, tmp_path: Path) -> None:
    camera = FileCamera(write_picture(tmp_path / "plan.png", GREEN, (400, 300)))
    shown: list[TranscriptLine] = []
    async with service() as url:
        keyboard = Keyboard(["hello", "what do you see"])
        outcome = await call(url, shown, camera=camera, keyboard=keyboard, speaks=False)
    assert not outcome.failed
    assert any("400 by 300" in text for _speaker, text in final(shown))


async def test_a_file_is_shown_at_its_pace_and_no_faster_than_is_of_use(tmp_path: Path) -> None:
    camera = FileCamera(write_video(tmp_path / "film.mp4", [RED], size=(1920, 1080)))
    loop = asyncio.get_running_loop()
    began = loop.time()
    frames = [await camera.recv() for _ in range(9)]  # beyond the end
    assert loop.time() - began >= 8 / MAX_FPS - 0.05
    assert {(frame.width, frame.height, frame.format.name) for frame in frames} == {(MAX_PX, 720, "yuv420p")}
    steps = {round((b.pts or 0) - (a.pts or 0)) for a, b in pairwise(frames)}
    assert steps == {90_000 // MAX_FPS}


@pytest.mark.parametrize("content", [None, b"", b"no picture", "sound"])
def test_a_file_that_cannot_be_shown_is_named(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    if content == "sound":
        with av.open(str(path), "w") as file:
            stream = file.add_stream("aac", rate=48_000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 48_000
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    elif isinstance(content, bytes):
        path.write_bytes(content)

    async def make() -> None:
        FileCamera(path)

    with pytest.raises(ConfigError, match=f"^flag --camera = '{path}': cannot be read: ."):
        asyncio.run(make())


async def test_the_command_types_what_it_is_given_and_prints_the_figures(service: ServiceFactory) -> None:
    async with service() as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "signaling", "call", url, "--no-audio-input"),
            *("--message", SUMS[0], "--message", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(f"{SUMS[1]}\n".encode()), 60)
    lines = output.decode().splitlines()
    assert process.returncode == 0
    said = [line for line in lines if line.startswith(("caller:", "agent:"))]
    assert said == [f"caller: {SUMS[0]}", "agent: 1 plus 1 is 2.", f"caller: {SUMS[1]}", "agent: 2 plus 2 is 4."]
    figures = {line.split()[0] for line in lines[len(said) :]}
    assert figures == {"answers", "tokens", "cost", "caller_hung_up:"}


def test_a_microphone_without_audio_input_is_refused(tmp_path: Path) -> None:
    arguments = ["call", "http://127.0.0.1:9/", "--no-audio-input", "--microphone", str(tmp_path / "a.wav")]
    done = subprocess.run(
        [sys.executable, "-m", "signaling", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("talkspurt: flag --microphone")
