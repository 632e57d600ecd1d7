"""Scenarios in tests: play them as real calls and look at what came of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.settings import Settings
from signaling.load.outcome import Outcome
from signaling.load.run import Plan, run_scenarios
from signaling.load.scenario_text import parse_scenarios

QUICK: dict[str, Any] = {"vad_silence_ms": 300, "close_timeout_s": 0.2}


async def play(
    text: str, *, folder: Path | str = ".", settings: dict[str, Any] | None = None, **plan: Any
) -> list[Outcome]:
    """Play the scenarios in a text, all at the same time; ``plan`` as `signaling.load.run.Plan`."""
    scenarios = parse_scenarios(text, "test", name="test", folder=str(folder))
    chosen = Settings(**{**QUICK, **(settings or {})})
    return await run_scenarios(scenarios, Plan(settings=chosen, parallel=len(scenarios), **plan))


def results(outcome: Outcome) -> list[tuple[int, str, str]]:
    """Return line, state and detail of each step that does not hold."""
    assert outcome.error is None, outcome.error
    return [(step.line, step.state, step.detail) for step in outcome.steps if step.state != "passed"]


def explained(outcome: Outcome) -> str:
    """Return all of an outcome, for the message of an assertion."""
    steps = [f"{step.state} {step.line} {step.what}: {step.detail}" for step in outcome.steps]
    timeline = [f"{entry.at_s:.2f} {entry.who} {entry.what}" for entry in outcome.timeline]
    return "\n".join([outcome.name, str(outcome.error), *steps, *timeline])
