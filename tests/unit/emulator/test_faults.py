"""The fault script: what is understood, what is refused with which words, and that its manual is right."""

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.emulator import Moment
from agent.emulator.faults.kinds import (
    FAULTS,
    Close,
    Fault,
    GenerateFault,
    GoAway,
    HandleFault,
    InterruptionFault,
    RefuseUpgrade,
    TimedFault,
    TurnFault,
    rules,
)
from agent.emulator.faults.script import load_faults, parse_script
from agent.errors import ConfigError

MANUAL = (Path(__file__).parents[3] / "docs" / "faults-script.md").read_text(encoding="utf-8")
GROUPS: dict[str, type[Fault]] = {
    "Every fault": Fault,
    "Faults at a moment": TimedFault,
    "Faults of a turn": TurnFault,
    "Faults of an interruption": InterruptionFault,
    "Faults of a handle": HandleFault,
    "Faults of generateContent": GenerateFault,
}


def test_a_script_is_read_line_by_line() -> None:
    script = """
    # a comment
    {"fault": "go_away", "after_s": 5, "time_left_s": 2}

    {"fault": "close", "code": 1008, "reason": "why", "at": "turn_started", "session": 2}
    """
    assert parse_script(script) == (
        GoAway(after_s=5, time_left_s=2),
        Close(code=1008, reason="why", at=Moment.TURN_STARTED, session=2),
    )


def test_only_a_line_feed_ends_a_line() -> None:
    (fault,) = parse_script('{"fault": "close", "reason": "one\u2028two"}\r\n')
    assert fault == Close(reason="one\u2028two")


@pytest.mark.parametrize("script", ["", "\n\n", "# nothing", "   # nothing\n"])
def test_an_empty_script_breaks_nothing(script: str) -> None:
    assert parse_script(script) == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ('"close"', "must be a JSON object"),
        ("{}", "fault must be one of go_away, close, drop_tcp"),
        ('{"fault": "explode"}', 'fault must be one of go_away.*, not "explode"'),
        ('{"fault": ["close"]}', "fault must be one of"),
        ('{"fault": "close", "cod": 1011}', 'close: there is no field "cod"; there are session, times, chance, at'),
        ('{"fault": "close", "code": 1006}', "close: code must be 1000 to 1003, 1007 to 1014, .* not 1006"),
        ('{"fault": "close", "code": true}', "close: code must be .* not true"),
        ('{"fault": "close", "code": 1011.0}', "close: code must be"),
        ('{"fault": "close", "at": "lunch"}', 'close: at must be one of connected, .*, not "lunch"'),
        ('{"fault": "close", "at": []}', "close: at must be one of"),
        ('{"fault": "close", "after_s": -1}', "close: after_s must be seconds, not -1"),
        ('{"fault": "close", "after_s": "5"}', "close: after_s must be seconds"),
        (f'{{"fault": "close", "after_s": {10**400}}}', "close: after_s must be seconds"),
        ('{"fault": "close", "after_s": NaN}', "close: after_s must be seconds"),
        ('{"fault": "close", "session": 0}', 'close: session must be 1 or more, or "every" or "fresh"'),
        ('{"fault": "close", "session": {}}', "close: session must be"),
        ('{"fault": "close", "times": 0}', "close: times must be 1 or more, or null, not 0"),
        ('{"fault": "close", "chance": 1.5}', "close: chance must be 0 to 1"),
        ('{"fault": "close", "at": "connected", "session": "resumed"}', 'close: at must not be "connected"'),
        ('{"fault": "refuse_upgrade", "session": "fresh"}', "refuse_upgrade: session must be 1 or more"),
        ('{"fault": "refuse_upgrade", "status": 200}', "refuse_upgrade: status must be 400 to 599, not 200"),
        ('{"fault": "go_away", "then": "explode"}', "go_away: then must be one of close, silent, stay"),
        ('{"fault": "unknown_message", "body": []}', "unknown_message: body must be a JSON object"),
        ('{"fault": "pace", "times_real_time": 0}', "pace: times_real_time must be above 0"),
        (r'{"fault": "close", "reason": "\ud83d"}', "not JSON: .*surrogates not allowed"),
    ],
)
def test_what_cannot_be_understood_is_named_with_its_line(line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^a.jsonl, line 3: {words}"):
        parse_script(f'# one\n{{"fault": "drop_tcp"}}\n{line}\n', "a.jsonl")


def test_a_fault_made_in_python_is_checked_too() -> None:
    with pytest.raises(ConfigError, match=r"^refuse_upgrade: beyond must be 1 or more, or null, not 0"):
        RefuseUpgrade(beyond=0)


def test_a_script_comes_from_a_file_or_a_text_or_a_list(tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    file.write_text('{"fault": "close"}', encoding="utf-8")
    assert load_faults(file) == load_faults('{"fault": "close"}') == load_faults([Close()]) == (Close(),)
    with pytest.raises(ConfigError, match=r"cannot read the fault script .*: No such file"):
        load_faults(tmp_path / "none.jsonl")
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        load_faults(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for sort in FAULTS.values() for name in rules(sort)})


@given(st.sampled_from(sorted(FAULTS)), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_json_is_a_fault_or_a_configuration_error(kind: str, told: dict[str, Any]) -> None:
    try:
        (fault,) = parse_script(json.dumps({"fault": kind, **told}))
    except ConfigError as error:
        assert "line 1: " in str(error)  # noqa: PT017 - either end is right
    else:
        assert fault.kind == kind
        assert all(rule.holds(getattr(fault, name)) for name, rule in rules(type(fault)).items())


@given(st.text())
def test_any_text_is_a_script_or_a_configuration_error(text: str) -> None:
    try:
        assert parse_script(text) == () or "fault" in text
    except ConfigError as error:
        assert re.search(r"line \d+: ", str(error))  # noqa: PT017 - either end is right


# --- the manual


def section(title: str) -> str:
    found = re.search(rf"^##+ `?{title}`?$(.*?)(?=^##|\Z)", MANUAL, re.MULTILINE | re.DOTALL)
    assert found, f"docs/faults-script.md has no section on {title}"
    return found[1]


def documented(text: str) -> list[tuple[str, ...]]:
    """(field, what it may be, its default) of each row."""
    rows = [re.split(r" *(?<!\\)\| *", line)[1:-1] for line in text.splitlines() if line.startswith("| `")]
    assert all(row[3].endswith(".") for row in rows)
    return [tuple(row[:3]) for row in rows]


def own_fields(sort: type[Fault]) -> list[tuple[str, ...]]:
    own = inspect.get_annotations(sort)
    rows: list[tuple[str, ...]] = []
    for item in dataclasses.fields(sort):
        if item.name in own:
            made = item.default_factory
            default = made() if made is not dataclasses.MISSING else item.default
            rows.append((f"`{item.name}`", item.metadata["rule"].allowed, f"`{json.dumps(default)}`"))
    return rows


@pytest.mark.parametrize(("title", "sort"), [*GROUPS.items(), *FAULTS.items()])
def test_every_field_is_documented_as_it_is(title: str, sort: type[Fault]) -> None:
    assert documented(section(title)) == own_fields(sort)


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_has_an_example_that_is_understood(kind: str) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", section(kind), re.DOTALL)
    assert [fault.kind for fault in parse_script(block)] == [kind]


def test_the_manual_knows_all_faults_and_moments_and_no_others() -> None:
    assert re.findall(r"^### `(\w+)`$", MANUAL, re.MULTILINE) == list(FAULTS)
    assert re.findall(r"^\| `(\w+)` \|", section("Moments"), re.MULTILINE) == list(Moment)
    for block in re.findall(r"```json\n(.*?)```", MANUAL, re.DOTALL):
        assert parse_script(block)
