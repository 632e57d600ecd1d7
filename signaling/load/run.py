"""Runs scenarios, each as one call against a service of its own or against one that runs already."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.author.load import load_agent
from agent.clock import monotonic
from agent.emulator import KnownPhrases
from agent.errors import ConfigError
from agent.settings import Settings
from signaling.app import DEMO
from signaling.load.offline_model import OfflineModel
from signaling.load.on_call import CannotCallError, OnCall, Surroundings
from signaling.load.outcome import Outcome, StepOutcome
from signaling.load.play import Player
from signaling.load.scenario import Camera, Press, Scenario
from signaling.load.sounds import noise
from signaling.load.tape import Tape
from signaling.load.target import Target, agent_in_service
from signaling.load.voices import CallerVoice, level_of

logger = logging.getLogger(__name__)

MAX_NAME_CHARS = 80


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is tested, and how.

    Attributes:
        agent: ``FILE.py`` or ``FILE.py:NAME``, run afresh for each scenario; None for the demo.
        url: a service that runs already; the agent is then its own.
        key: its server key.
        settings: of the services that are started.
        real_model: let the model of these settings answer, not the offline one.
        parallel: how many calls at the same time.
        record: the folder for the sound of calls that fail; None if nobody wants it.
    """

    agent: str | None = None
    url: str | None = None
    key: str | None = None
    settings: Settings
    real_model: bool = False
    parallel: int = 1
    record: Path | None = None


async def run_scenarios(
    scenarios: Sequence[Scenario], plan: Plan, on_done: Callable[[Outcome], None] = lambda _outcome: None
) -> list[Outcome]:
    """Run scenarios; return what came of them, in their order.

    Args:
        scenarios: to be played.
        plan: how.
        on_done: called with each outcome as soon as it is there.
    """
    places = asyncio.Semaphore(plan.parallel)
    voice = CallerVoice()

    async def run(scenario: Scenario) -> Outcome:
        async with places:
            outcome = await run_scenario(scenario, plan, voice)
        on_done(outcome)
        return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(scenario), name=f"scenario {scenario.name}") for scenario in scenarios]
    return [task.result() for task in tasks]


async def run_scenario(scenario: Scenario, plan: Plan, voice: CallerVoice) -> Outcome:
    """Run one scenario; whatever keeps it from being played is in the outcome."""
    outcome, tape, began = Outcome(scenario.name), Tape(), monotonic()
    phrases = KnownPhrases()
    try:
        sounds = await voice.prepare(scenario, phrases)
        background = None
        if scenario.noise is not None:
            rms = level_of(iter(sounds.values())) * 10 ** (-scenario.noise.snr_db / 20)
            background = noise(rms, scenario.seed)
        around = Surroundings(
            scenario.network,
            scenario.seed,
            background,
            camera=any(isinstance(step.act, Camera) for step in scenario.steps),
            keys=any(isinstance(step.act, Press) for step in scenario.steps),
        )
        async with _target(scenario, plan, phrases) as target:
            call = OnCall(target, around, tape)
            await _play(scenario, Player(call, sounds, Path(scenario.folder)), outcome)
            outcome.late_ms = call.worst_late_s * 1000
    except (ConfigError, CannotCallError) as error:
        outcome.error = str(error)
    outcome.took_s = monotonic() - began
    if plan.record is not None and not outcome.passed and outcome.timeline:
        path = plan.record / f"{file_name(scenario.name)}.wav"
        await asyncio.to_thread(tape.write, path)
        outcome.recording = str(path)
    return outcome


async def _play(scenario: Scenario, player: Player, outcome: Outcome) -> None:
    """Play the steps; the caller hangs up at the end in any case.

    Raises:
        CannotCallError: the first call does not come about.
    """
    line = scenario.steps[0].line
    try:
        await player.dial()
        async with asyncio.timeout(scenario.max_s):
            for step in scenario.steps:
                line = step.line
                outcome.steps += await player.do(step)
    except TimeoutError:
        what = f"the call is over after max_s, {scenario.max_s:g} s"
        outcome.steps.append(StepOutcome(line, what, "failed", "it took longer", scenario.max_s))
    finally:
        await player.leave()
        outcome.timeline = player.timeline()


@asynccontextmanager
async def _target(scenario: Scenario, plan: Plan, phrases: KnownPhrases) -> AsyncIterator[Target]:
    if plan.url is not None:
        if scenario.model or scenario.faults:
            logger.warning("%s: model and faults have no effect: the service at the URL has its own", scenario.name)
        yield Target(plan.url, plan.key)
        return
    model = None if plan.real_model else OfflineModel(scenario.model)
    if model is None and (scenario.model or scenario.faults):
        logger.warning("%s: model and faults have no effect on the real model", scenario.name)
    agent = load_agent(plan.agent, (), DEMO)
    faults = "\n".join(map(json.dumps, scenario.faults))
    async with agent_in_service(agent, plan.settings, model, phrases, faults=faults, seed=scenario.seed) as target:
        yield target


def file_name(name: str) -> str:
    """Return a scenario's name as a file may be called."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:MAX_NAME_CHARS] or "scenario"
