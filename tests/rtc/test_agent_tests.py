"""The example of a tested agent: each scenario holds with it and finds out a broken one; by pytest too."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from agent.settings import Settings
from signaling.load.outcome import Outcome
from signaling.load.run import Plan, run_scenarios
from signaling.load.scenario import Expect, Scenario
from signaling.load.scenario_file import load_scenarios
from tests.support.scenarios import QUICK, explained, results

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent_tests"
SCENARIOS = ["booking", "closed", "goodbye", "greeting", "menu"]
CAUGHT_BY = {
    "booking": "it did not come",
    "closed": "ended with result",
    "goodbye": "the call goes on",
    "greeting": "the agent was not heard",
    "menu": "the agent was not heard",
}


async def run(agent: str, *names: str, patient: bool = False) -> list[Outcome]:
    """Play scenarios of the example.

    Args:
        agent: its file.
        names: of the scenarios.
        patient: wait longer than they say, because tests share the machine with much else.
    """
    scenarios = load_scenarios([EXAMPLE / "scenarios" / f"{name}.yaml" for name in names])
    if patient:
        scenarios = tuple(map(waiting_longer, scenarios))
    return await run_scenarios(
        scenarios, Plan(agent=str(EXAMPLE / agent), settings=Settings(**QUICK), parallel=len(names))
    )


def waiting_longer(scenario: Scenario) -> Scenario:
    acts = ((step, step.act) for step in scenario.steps)
    steps = [
        step.model_copy(update={"act": act.model_copy(update={"within_s": 30.0})})
        if isinstance(act, Expect)
        else step
        for step, act in acts
    ]
    return scenario.model_copy(update={"steps": tuple(steps)})


def test_the_example_is_whole() -> None:
    assert sorted(path.stem for path in (EXAMPLE / "scenarios").glob("*.yaml")) == SCENARIOS
    assert sorted(path.stem for path in EXAMPLE.glob("broken_*.py")) == [f"broken_{name}" for name in SCENARIOS]


async def test_the_agent_does_what_its_scenarios_expect() -> None:
    for outcome in await run("restaurant.py", *SCENARIOS, patient=True):
        assert results(outcome) == [], explained(outcome)


async def test_each_broken_agent_is_caught() -> None:
    found = await asyncio.gather(*(run(f"broken_{name}.py", name) for name in SCENARIOS))
    for name, [outcome] in zip(SCENARIOS, found, strict=True):
        caught = [detail for _, state, detail in results(outcome) if state == "failed"]
        assert any(CAUGHT_BY[name] in detail for detail in caught), explained(outcome)


def pytest_in_the_example(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does; without the entry point, which only an installation has."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "signaling.load.pytest_plugin", "-q", "-c", os.devnull, *arguments],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": str(EXAMPLE.parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_pytest_holds_a_call_if_it_is_asked_to() -> None:
    files = ("test_restaurant.py", "-p", "no:cacheprovider", "--rootdir", ".")
    found = pytest_in_the_example("--talkspurt", "--talkspurt-agent", "restaurant.py", *files)
    assert "1 passed" in found.stdout, found.stdout + found.stderr
    found = pytest_in_the_example(*files)
    assert "fixture 'call' not found" in found.stdout
