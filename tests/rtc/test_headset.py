"""`talkspurt call`: a whole call without a browser, against the service and the emulator."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agent.emulator.model.voice import speech_pack
from agent.errors import ConfigError
from agent.media.fir import Pcm
from signaling.client.call import Outcome, hold_call
from signaling.client.caller import call_service
from signaling.client.files import read_sound, write_sound
from signaling.client.transcript import TranscriptLine, TranscriptView
from tests.support.service import ServiceFactory


async def call(url: str, shown: list[TranscriptLine], **changes: Any) -> Outcome:
    arguments = {"speech": None, "record": None, "key": None, "limit_s": None, "hang_up": asyncio.Event()}
    return await hold_call(url, show=shown.append, **{**arguments, **changes})


async def test_a_sound_file_is_spoken_and_the_answer_recorded(
    service: ServiceFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.client.call.SILENCE_BEFORE_HANG_UP_S", 2.0)
    spoken, record, shown = tmp_path / "in.wav", tmp_path / "out.wav", list[TranscriptLine]()
    write_sound(spoken, speech_pack().caller_phrase("what time is it"), 24_000)
    async with service() as url:
        outcome = await call(url, shown, speech=read_sound(spoken), record=record)
    assert outcome == Outcome("caller_hung_up", "All was said.", failed=False)
    assert [line.speaker for line in shown if line.final][-1] == "agent"
    with wave.open(str(record), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 48_000)
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(heard.astype(np.int32)).max() > 1000


async def test_a_sound_file_is_marked_for_an_agent_that_listens_to_nothing_else(
    service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.client.call.SILENCE_BEFORE_HANG_UP_S", 2.0)
    shown = list[TranscriptLine]()
    speech = np.full(48_000, 5000, np.int16)
    speech[::2] = -5000
    async with service(vad="off") as url:
        outcome = await call(url, shown, speech=speech)
    assert outcome.detail == "All was said."
    assert [line.text for line in shown if line.final and line.speaker == "agent"][-1].startswith("I heard you")


async def test_a_call_ends_at_its_limit(service: ServiceFactory) -> None:
    async with service() as url:
        outcome = await call(url, [], limit_s=0.2)
    assert outcome == Outcome("caller_hung_up", "The call was limited to 0.2 s.", failed=False)


async def test_a_call_ends_when_asked_to(service: ServiceFactory) -> None:
    hang_up = asyncio.Event()
    hang_up.set()
    async with service() as url:
        assert (await call(url, [], hang_up=hang_up)).detail == "You hung up."


async def test_a_full_service_is_named(service: ServiceFactory) -> None:
    async with service(max_calls=1) as url, call_service(url):
        outcome = await call(url, [])
    assert (outcome.reason, outcome.failed) == ("refused", True)
    assert outcome.detail == "The service refused the call (503): All 1 calls are in use."


async def test_a_key_is_shown_to_the_service(service: ServiceFactory) -> None:
    async with service(server_key="sixteen-letters-") as url:
        assert (await call(url, [])).reason == "refused"
        assert not (await call(url, [], key="sixteen-letters-", limit_s=0.1)).failed


async def test_a_service_that_is_not_there_is_named() -> None:
    outcome = await call("http://127.0.0.1:9/", [])
    assert (outcome.reason, outcome.failed) == ("unreachable", True)


async def test_what_the_agent_writes_is_shown(service: ServiceFactory) -> None:
    """TEXT modality: no voice, and the words come all the same."""
    async with service(model="offline-demo", audio_output=False) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert "42" in said["text"]
        assert not any(message["type"] == "bot-started-speaking" for message in caller.messages)


def test_finished_turns_are_printed_once_each() -> None:
    output = io.StringIO()
    with TranscriptView(Console(file=output, width=80)) as view:
        view.show(TranscriptLine("caller", 1, "tell", final=False))
        view.show(TranscriptLine("caller", 1, "tell me", final=True))
        view.show(TranscriptLine("agent", 1, "Once upon", final=True, unheard=" a time"))
        view.show(TranscriptLine("agent", 2, "Well", final=False))
    assert output.getvalue().splitlines() == [
        "caller: tell me",
        "agent: Once upon [interrupted, unheard: a time]",
        "agent: Well",
    ]


def test_a_terminal_shows_turns_while_they_go_on() -> None:
    output = io.StringIO()
    with TranscriptView(Console(file=output, width=80, force_terminal=True)) as view:
        view.show(TranscriptLine("caller", 1, "tell me a", final=False))
    assert "tell me a" in output.getvalue()


@pytest.mark.parametrize("rate_hz", [8_000, 24_000, 48_000])
def test_a_sound_file_keeps_its_length_and_pitch(rate_hz: int, tmp_path: Path) -> None:
    tone: Pcm = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)).astype(np.int16)
    write_sound(tmp_path / "a.wav", tone, rate_hz)
    read = read_sound(tmp_path / "a.wav")
    assert abs(len(read) - 48_000) < 100
    assert np.argmax(np.abs(np.fft.rfft(read[:48_000], 48_000))) == 440


def test_a_file_without_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no sound")
    for path in (tmp_path / "a.wav", tmp_path / "missing.wav"):
        with pytest.raises(ConfigError, match=f"^flag --microphone = '{path}': cannot be read: "):
            read_sound(path)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["serve", "--model", "gemini-3.8-live", "--no-proactive-audio"],
            "flag --no-proactive-audio: gemini-3.8-live ",
        ),
        (["serve", "no_such_agent.py"], "no_such_agent.py: there is no such file"),
        (["serve", "--temperature", "9"], "flag --temperature = '9': "),
        (["call", "127.0.0.1:8080"], "URL '127.0.0.1:8080': must begin with"),
        (
            ["call", "http://127.0.0.1:9/", "--record", "/no/such/folder/a.wav"],
            "flag --record = '/no/such/folder/a.wav': its folder does not exist",
        ),
        (
            ["call", "http://127.0.0.1:9/", "--record", "/tmp"],
            "flag --record = '/tmp': it is a folder; name a file in it",
        ),
    ],
)
def test_bad_input_ends_the_command_with_one_line(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "signaling", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"talkspurt: {complaint}")
    assert done.stderr.count("\n") == 1
