"""Scenarios as real calls: what a caller can do, and that what does not hold is found out."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from agent.emulator import Emulator
from agent.emulator.model.voice import speech_pack
from signaling.client.files import write_sound
from tests.support.pictures import blue_jpeg
from tests.support.scenarios import explained, play, results
from tests.support.service import ServiceFactory

TALK = """\
name: talk
noise: 30
model:
  - when: weather
    call: {name: get_weather, arguments: {city: Oslo}}
steps:
  - say: what is the weather in paris
  - expect:
      reply_within_ms: 20000
      heard: degrees
      tool: {name: get_weather, arguments: {city: oslo}}
      transcribed: weather in paris
      no_word_lost: true
      turns: {agent: 1, caller: 1}
      within_s: 30
  - type: tell me a long story
  - barge_in: {after_ms: 1000, say: please stop}
  - expect:
      interrupted_within_ms: 9000
      heard: stop
      not_called: get_weather
      event: bot-interrupted
      cost_below_usd: 1
      within_s: 30
  - wait_for_reply
  - expect: {silent_s: 1}
"""
ABILITIES = """\
name: abilities
max_s: 100
steps:
  - press: "12#"
  - expect: {event: {type: key-pressed, data: {key: "#"}}, within_s: 30}
  - play: {file: question.wav, text: what time is it}
  - expect: {transcribed: what time is it, heard: it is, no_word_lost: true, within_s: 30}
  - tone: {hz: 500, for_ms: 700}
  - expect: {heard: ., within_s: 30}
  - picture: {file: blue.jpg, text: "What do you see?"}
  - expect: {heard: 64 by 48, within_s: 30}
  - camera: blue.jpg
  - expect: {event: {type: picture-sent, data: {source: camera}}, within_s: 30}
"""
RETURNING = """\
name: returning
model:
  - when: secret
    say: The secret is seven.
  - when: again
    say: As I said, seven.
steps:
  - type: tell me a secret
  - expect: {heard: secret is seven, within_s: 30}
  - vanish
  - come_back: 0.2
  - type: what did I say
  - expect: {heard: tell me a secret, within_s: 30}
  - hang_up
  - come_back
  - type: say it again
  - expect: {heard: as i said, turns: 3, within_s: 30}
"""


async def test_what_callers_can_do(tmp_path: Path) -> None:
    question = speech_pack().caller_phrase("what time is it")
    write_sound(tmp_path / "question.wav", question, 24_000)
    (tmp_path / "blue.jpg").write_bytes(blue_jpeg(64, 48))
    for outcome in await play(f"{TALK}---\n{ABILITIES}---\n{RETURNING}", folder=tmp_path):
        assert results(outcome) == [], explained(outcome)


WRONG = """\
name: wrong
model:
  - when: weather
    call: {name: get_weather, arguments: {city: Oslo}}
  - when: nothing
    silent: true
steps:
  - type: what is the weather
  - expect: {heard: snowballs, tool: {name: get_weather, arguments: {city: Paris}}, transcribed: rome, within_s: 8}
  - expect: {not_called: get_weather, turns: 7, cost_below_usd: 0, interrupted_within_ms: 500}
  - expect: {event: session-lost, ended: idle, no_word_lost: true, within_s: 0}
  - type: tell me a long story
  - expect: {silent_s: 3}
  - type: say nothing
  - expect: {reply_within_ms: 100, within_s: 1}
  - wait_for_reply: {within_s: 0.1}
  - picture: missing.jpg
"""
LOST = """\
name: lost
network: {up: {outages: [{at_s: 3, for_s: 4}]}}
steps:
  - silent: 3
  - say: what is the weather in paris
  - silent: 3
  - say: what time is it
  - expect: {no_word_lost: true, heard: it is, within_s: 10}
"""
ENDED = """\
name: ended
steps:
  - expect: {ended: idle|max_duration, within_s: 20}
  - say: hello
  - type: hello
  - hang_up
"""
TOO_LONG = """\
name: too long
max_s: 1
steps:
  - silent: 30
"""


async def test_what_does_not_hold_is_found_out(tmp_path: Path) -> None:
    record = tmp_path / "sound"
    wrong, lost, too_long = await play(f"{WRONG}---\n{LOST}---\n{TOO_LONG}", folder=tmp_path, record=record)
    failed = [line for line, state, _ in results(wrong) if state == "failed"]
    assert failed == [9] * 3 + [10] * 4 + [11] * 3 + [13, 15, 16, 17], explained(wrong)
    assert [state for _, state, _ in results(lost)] == ["failed"], explained(lost)
    assert "weather" in results(lost)[0][2]
    assert "what time" not in results(lost)[0][2]
    assert [detail for _, _, detail in results(too_long)] == ["it took longer"]
    with wave.open(str(record / "wrong.wav")) as file:
        assert file.getnchannels() == 2
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    assert np.abs(sound[:, 1].astype(int)).max() > 1000, "the agent is on it"


async def test_a_call_that_the_service_ends(tmp_path: Path) -> None:
    [outcome] = await play(ENDED, settings={"idle_timeout_s": 1, "max_duration_s": 2}, record=tmp_path)
    assert [(line, state) for line, state, _ in results(outcome)] == [(4, "skipped"), (5, "skipped")], explained(
        outcome
    )
    assert outcome.recording is not None


FAULTY = """\
faults:
  - {fault: close, at: turn_started, session: 1}
steps:
  - type: what is twelve plus thirty
  - expect: {event: session-replaced, heard: forty-two|42, within_s: 20}
"""


async def test_a_fault_of_the_model() -> None:
    [outcome] = await play(FAULTY)
    assert results(outcome) == [], explained(outcome)


async def test_a_service_that_runs_already(service: ServiceFactory) -> None:
    scenario = "steps:\n  - type: hello\n  - expect: {heard: demo}\n"
    async with service() as url:
        [outcome] = await play(scenario, url=url)
        assert results(outcome) == [], explained(outcome)
    [outcome] = await play(scenario, url=url)
    assert outcome.error is not None
    assert "cannot be reached" in outcome.error
    async with service(server_key="secret" * 3) as url:
        [outcome] = await play(scenario, url=url, key="wrong")
        assert outcome.error is not None
        assert "401" in outcome.error


async def test_the_real_model_answers_if_it_is_asked_to(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real SDK with a key, at an address that answers for Google."""
    scenario = "steps:\n  - type: what is one plus one\n  - expect: {heard: 2|two}\n"
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))
    [outcome] = await play(scenario, real_model=True, settings={"google_api_key": "some-key-of-a-test"})
    assert results(outcome) == [], explained(outcome)
    assert len(emulator.sessions) == 1
    [outcome] = await play(scenario, real_model=True)
    assert outcome.error is not None
    assert "there is no key" in outcome.error


async def test_what_cannot_be_played(tmp_path: Path) -> None:
    [outcome] = await play("steps:\n  - play: missing.wav\n", folder=tmp_path)
    assert outcome.error is not None
    assert "line 2: " in outcome.error
    (tmp_path / "broken.py").write_text("agent = 1\n")
    [outcome] = await play("steps:\n  - silent: 1\n", agent=str(tmp_path / "broken.py"))
    assert outcome.error is not None
    assert "broken.py" in outcome.error


NEAR = "name: near\nsteps:\n  - say: what time is it\n  - expect: {reply_within_ms: 30000, within_s: 30}\n"
FAR = NEAR.replace("near", "far") + "network: {up: {delay_ms: 500}, down: {delay_ms: 500}}\n"


async def test_the_network_is_in_what_a_caller_waits_for() -> None:
    took_ms = []
    for outcome in await play(f"{NEAR}---\n{FAR}"):
        assert results(outcome) == [], explained(outcome)
        found = re.search(r"it took (\d+) ms", outcome.steps[1].detail)
        assert found is not None
        took_ms.append(int(found[1]))
    assert 700 < took_ms[1] - took_ms[0] < 2000, took_ms
