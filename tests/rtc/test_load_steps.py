"""The callers of a load test play every step that they can, on real calls with the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.emulator import Emulator
from agent.errors import ConfigError
from signaling.load.arrivals import Arrivals
from signaling.load.generator import Generator, Plan
from signaling.load.prepare import scripts_of
from signaling.load.record import CallRecord
from signaling.load.scenario_text import parse_scenarios
from tests.support.pictures import blue_jpeg
from tests.support.service import ServiceFactory

KEY = "a-key-of-the-server"


async def play(service: ServiceFactory, steps: str, folder: str = ".") -> CallRecord:
    """Play a scenario as one call to a real service."""
    scenarios = parse_scenarios(f"steps:\n{steps}", "test", name="test", folder=folder)
    async with service(server_key=KEY, tool_reports="full") as url:
        plan = Plan(url, KEY, 1, Arrivals.CONSTANT, 0.0, None, (1.0,), 1)
        done = await Generator(plan, await scripts_of(scenarios)).run()
    [record] = done.records
    return record


async def test_what_happens_is_as_expected(service: ServiceFactory, tmp_path: Path) -> None:
    (tmp_path / "blue.jpg").write_bytes(blue_jpeg(64, 48))
    record = await play(
        service,
        """
        - type: what is the weather in paris
        - expect: {tool: {name: get_weather, arguments: {city: paris}}, heard: degrees, reply_within_ms: 10000}
        - expect: {not_called: roll_dice, cost_below_usd: 5, event: bot-started-speaking}
        - wait_for_reply
        - picture: {file: blue.jpg, text: what do you see}
        - expect: {heard: picture}
        - wait_for_reply
        - expect: {silent_s: 0.5, turns: {agent: 2}}
        - hang_up
        """,
        str(tmp_path),
    )
    assert (record.outcome, record.unmet) == ("completed", [])
    assert len(record.turns) == len(record.stages) == 2


async def test_what_is_not_as_expected_is_told_by_its_line(service: ServiceFactory) -> None:
    record = await play(
        service,
        """
        - type: hello
        - expect: {heard: goodbye, tool: nothing, event: {type: bot-ready, data: {version: "1"}}, within_s: 0.5}
        - wait_for_reply
        - type: what is the weather in paris
        - expect: {tool: get_weather}
        - expect: {not_called: get_weather, within_s: 0.1}
        - wait_for_reply
        - expect: {turns: {agent: 7}, reply_within_ms: 1, no_word_lost: true, ended: caller, within_s: 0.1}
        """,
    )
    assert record.outcome == "completed"
    told = [sentence.partition(" ")[2].split()[:2] for sentence in record.unmet]
    assert told == [
        ["4:", "heard"], ["4:", "tool"], ["4:", "event"], ["8:", "not_called"],
        ["10:", "reply_within_ms"], ["10:", "turns"], ["10:", "ended"],
    ]  # fmt: skip


async def test_a_caller_vanishes_and_comes_back_to_the_same_conversation(service: ServiceFactory) -> None:
    record = await play(
        service,
        """
        - type: my name is Ada
        - expect: {heard: Ada}
        - wait_for_reply
        - vanish
        - come_back: 0.3
        - type: what is my name
        - expect: {heard: Ada}
        - wait_for_reply
        """,
    )
    assert (record.outcome, record.unmet) == ("completed", [])
    assert [name for _, name in record.marks if name in ("left", "came back")] == ["left", "came back"]
    assert len(record.talks) >= 2


async def test_a_call_that_the_service_ends_was_dropped(service: ServiceFactory, emulator: Emulator) -> None:
    scenarios = parse_scenarios("steps: [{silent: 30}]", "test", name="test")
    async with service(max_duration_s=2) as url:
        plan = Plan(url, None, 1, Arrivals.CONSTANT, 0.0, None, (1.0,), 1)
        done = await Generator(plan, await scripts_of(scenarios)).run()
    [record] = done.records
    assert record.outcome == "ended by the service: max_duration"


async def test_nobody_there_and_a_wrong_key_are_told_apart(service: ServiceFactory) -> None:
    scripts = await scripts_of(parse_scenarios("steps: [{silent: 1}]", "test", name="test"))
    async with service(server_key=KEY) as url:
        found = [
            (
                await Generator(Plan(where, "wrong", 1, Arrivals.CONSTANT, 0.0, None, (1.0,), 1), scripts).run()
            ).records
            for where in (url, "http://127.0.0.1:9/")
        ]
    assert [record.outcome for [record] in found] == ["refused 401", "unreachable"]


async def test_a_picture_that_is_not_there_is_refused_before_anybody_calls(tmp_path: Path) -> None:
    scenarios = parse_scenarios("steps:\n  - picture: no.jpg", "test", name="mine", folder=str(tmp_path))
    with pytest.raises(ConfigError, match=r"'mine', line 2: there is no file no\.jpg"):
        await scripts_of(scenarios)


async def test_what_nothing_here_can_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no program that speaks
    assert len(await scripts_of(parse_scenarios("steps: [{say: what time is it}]", "test", name="mine"))) == 1
    with pytest.raises(ConfigError, match="nothing here can say 'antidisestablishmentarianism'"):
        await scripts_of(parse_scenarios("steps: [{say: antidisestablishmentarianism}]", "test", name="mine"))


@pytest.mark.parametrize("step", ["press: '12'", "camera: x.jpg"])
async def test_what_such_callers_cannot_do_is_refused_with_its_line(step: str) -> None:
    scenarios = parse_scenarios(f"steps:\n  - {step}", "test", name="mine")
    with pytest.raises(ConfigError, match=r"'mine', line 2: .* is not possible in a load test"):
        await scripts_of(scenarios)
