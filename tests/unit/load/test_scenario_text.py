"""Scenarios as text: what can be said, and that a mistake is told with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.errors import ConfigError
from signaling.load.scenario import (
    ACTS,
    BargeIn,
    ComeBack,
    Expect,
    Network,
    Noise,
    Outage,
    Press,
    Rule,
    Say,
    Scenario,
    Step,
    ToolCall,
    Way,
)
from signaling.load.scenario_file import load_scenarios
from signaling.load.scenario_text import parse_scenarios

TEXT = """\
name: weather
network:
  up: &bad {loss_percent: 2, delay_ms: 40, outages: [{at_s: 3, for_s: 1}]}
  down: *bad
noise: 15
model:
  - when: weather
    call: {name: get_weather, arguments: {cities: [Paris]}}
faults:
  - {fault: close, at: turn_started}
steps:
  - wait_for_reply
  - say: yes
  - press: 0012
  - barge_in: {after_ms: 500, say: please stop}
  - expect: {reply_within_ms: 1500, tool: get_weather}
  - hang_up
"""
DOCS = Path(__file__).parents[3] / "docs" / "scenarios.md"


def parsed(text: str) -> tuple[Scenario, ...]:
    return parse_scenarios(text, "a.yaml", name="a")


def test_everything_that_a_scenario_says_is_read() -> None:
    [scenario] = parsed(TEXT)
    way = Way(loss_percent=2, delay_ms=40, outages=(Outage(at_s=3, for_s=1),))
    assert (scenario.name, scenario.noise) == ("weather", Noise(snr_db=15))
    assert scenario.network == Network(up=way, down=way)
    assert scenario.model[0].call is not None
    assert scenario.model[0].call.arguments == {"cities": ["Paris"]}  # as JSON has it
    assert [step.line for step in scenario.steps] == [12, 13, 14, 15, 16, 17]
    acts = [step.act for step in scenario.steps]
    assert acts[1:4] == [Say(text="yes"), Press(keys="0012"), BargeIn(after_ms=500, say="please stop")]
    assert acts[4] == Expect(reply_within_ms=1500, tool=ToolCall(name="get_weather"))


def test_a_file_may_hold_several() -> None:
    found = parsed("steps: [hang_up]\n---\nsteps: [hang_up]\n---\nname: third\nsteps: [hang_up]\n")
    assert [scenario.name for scenario in found] == ["a", "a-2", "third"]


@pytest.mark.parametrize(
    ("wrong", "line", "told"),
    [
        (("wait_for_reply", "wait_for_godot"), 12, "there is no step 'wait_for_godot'; there are say"),
        (("say: yes", "say: 3"), 13, "put a number in quotes"),
        (("say: yes", "{say: yes, type: no}"), 13, "a step must have one name"),
        (("press: 0012", "press: 12x"), 14, "press.keys"),
        (("after_ms: 500, ", ""), 15, "barge_in.after_ms: it is missing"),
        (("reply_within_ms: 1500", "reply_within_ms: -1"), 16, "expect.reply_within_ms"),
        (("reply_within_ms: 1500", "heard: ("), 16, "no regular expression"),
        (("reply_within_ms: 1500, tool: get_weather", "within_s: 3"), 16, "nothing that has to hold"),
        (("hang_up", "hang_up\n  - say: hello"), 18, "say: the caller is not on a call here"),
        (("hang_up", "come_back"), 17, "come_back: the caller is still on the call here"),
        (("noise: 15", "noise: {snr: 15}"), 5, "noise.snr: there is no such field"),
        (("at_s: 3", "at_s: soon"), 3, "at_s: must be a number"),
        (("fault: close", "fault: clos"), 10, "fault must be one of"),
        (("*bad", "*good"), 4, "undefined alias"),
        (("name: weather", "name: a\nname: b"), 2, "'name' is there twice"),
        (("name: weather", "folder: /"), 1, "folder: there is no such field"),
        (("steps:", "stops:"), 1, "steps: must be a list"),
        (("when: weather", "silent: true"), 7, "must say something, call a tool, or be silent"),
    ],
)
def test_a_mistake_is_told_with_its_line(wrong: tuple[str, str], line: int, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(TEXT.replace(*wrong, 1))
    messages = str(raised.value).split("\n")
    assert any(each.startswith(f"a.yaml, line {line}: ") and told in each for each in messages), messages


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(TEXT.replace("say: yes", "say: 3").replace("fault: close", "fault: clos"))
    assert re.findall(r"line (\d+)", str(raised.value)) == ["10", "13"]


def test_a_bomb_of_aliases_is_refused() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="more than 100000 values"):
        parsed("l0: &l0 [x, x, x]\n" + "\n".join(levels))


@pytest.mark.parametrize("text", ["[" * 1200, "a: " + "[" * 40 + "]" * 40])
def test_depth_is_limited(text: str) -> None:
    with pytest.raises(ConfigError, match="nested too deeply"):
        parsed(text)


@pytest.mark.parametrize("text", ["", "---\n", "# nothing\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no scenario"):
        parsed(text)


def test_python_may_make_scenarios_too() -> None:
    step = Step(name="say", act=Say(text="hello"), line=1)
    assert Scenario(name="a", steps=(step,)).network == Network()
    with pytest.raises(ValidationError, match="still on the call"):
        Scenario(name="a", steps=(Step(name="come_back", act=ComeBack(), line=1),))
    with pytest.raises(ValidationError, match="exclude each other"):
        Rule(when="a", when_tool="b", say="c")


def test_a_folder_is_read_by_its_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "notes.txt"):
        (tmp_path / name).write_text("steps: [hang_up]\n")
    found = load_scenarios([tmp_path])
    assert [(each.name, each.folder) for each in found] == [("a", str(tmp_path)), ("b", str(tmp_path))]
    with pytest.raises(ConfigError, match="cannot read the scenario"):
        load_scenarios([tmp_path / "c.yaml"])


def names_in(heading: str) -> list[str]:
    """Return the first cells of the table under a heading of the manual."""
    chapter = DOCS.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", chapter, re.MULTILINE)


def test_the_manual_names_everything() -> None:
    own = [name for name in Scenario.model_fields if name != "folder"]
    assert names_in("A scenario") == own
    assert names_in("Steps") == list(ACTS)
    assert names_in("Expectations") == [name for name in Expect.model_fields if name != "within_s"]
    assert names_in("Network and noise") == list(Way.model_fields)
    assert names_in("The offline model") == list(Rule.model_fields)
