"""A call that a Python test holds, step by step, without knowing of an event loop: for the pytest plugin."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from agent.author.load import load_agent
from agent.emulator import KnownPhrases
from agent.event_loop import loop_factory
from agent.media.fir import Pcm
from agent.settings import load_settings
from signaling.app import DEMO
from signaling.load.offline_model import OfflineModel
from signaling.load.on_call import CannotCallError, OnCall, Surroundings
from signaling.load.outcome import Outcome
from signaling.load.play import Player
from signaling.load.scenario import ACTS, Act, BargeIn, Network, Noise, Play, Rule, Say, Step, Tone, without_lists
from signaling.load.shown import timeline_lines
from signaling.load.sounds import VOICE_RMS, noise
from signaling.load.tape import Tape
from signaling.load.target import agent_in_service
from signaling.load.voices import CallerVoice

T = TypeVar("T")
STEP_TIMEOUT_S = 600.0


class ScriptedEmulator:
    """What the offline model answers in one test; the fields are those of a scenario's `model` and `faults`."""

    def __init__(self) -> None:
        self.model = OfflineModel()
        self.faults: list[dict[str, Any]] = []

    def answers(self, **rule: Any) -> None:
        """Add a rule, e.g. ``answers(when="weather", say="It rains.")``; it may come during the call."""
        self.model.add(Rule.model_validate(without_lists(rule)))

    def fault(self, kind: str, **fields: Any) -> None:
        """Add a fault of the fault script, before the call begins."""
        self.faults.append({"fault": kind, **fields})


class ScriptedCall:
    """A call to an agent in a service of its own. Each method is a step of a scenario, see docs/scenarios.md.

    Args:
        agent: ``FILE.py`` or ``FILE.py:NAME``; None for the demo.
        emulator: the offline model.
        folder: where the files of the steps are.
    """

    def __init__(self, agent: str | None, emulator: ScriptedEmulator, folder: Path) -> None:
        self._agent = agent
        self._emulator = emulator
        self._folder = folder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stack = AsyncExitStack()
        self._player: Player | None = None
        self._phrases = KnownPhrases()
        self._voice = CallerVoice()
        self._sounds: dict[Act, Pcm] = {}
        self._network = Network()
        self._noise: Noise | None = None
        self._seed = 0
        self._steps = 0

    def on(self, *, network: dict[str, Any] | None = None, noise: float | None = None, seed: int = 0) -> None:
        """Choose the network and the noise, as a scenario has them, before the call begins."""
        assert self._player is None, "the call has begun"
        self._network = Network.model_validate(without_lists(network or {}))
        self._noise = None if noise is None else Noise(snr_db=noise)
        self._seed = seed

    def say(self, text: str) -> None:
        self._do("say", text=text)

    def play(self, file: str, text: str | None = None) -> None:
        self._do("play", file=file, **({} if text is None else {"text": text}))

    def tone(self, hz: float, for_ms: float) -> None:
        self._do("tone", hz=hz, for_ms=for_ms)

    def wait_for_reply(self, within_s: float = 15.0) -> None:
        self._do("wait_for_reply", within_s=within_s)

    def barge_in(self, say: str, after_ms: float = 500.0) -> None:
        self._do("barge_in", say=say, after_ms=after_ms)

    def type(self, text: str) -> None:
        self._do("type", text=text)

    def press(self, keys: str) -> None:
        self._do("press", keys=keys)

    def picture(self, file: str, **fields: str) -> None:
        self._do("picture", file=file, **fields)

    def camera(self, file: str) -> None:
        self._do("camera", file=file)

    def silent(self, for_s: float) -> None:
        self._do("silent", for_s=for_s)

    def hang_up(self) -> None:
        self._do("hang_up")

    def vanish(self) -> None:
        self._do("vanish")

    def come_back(self, after_s: float = 0.0) -> None:
        self._do("come_back", after_s=after_s)

    def expect(self, **fields: Any) -> None:
        """Judge what is expected, e.g. ``expect(heard="rain", tool="get_weather")``.

        Raises:
            AssertionError: something does not hold; it says what, and what has happened in the call.
        """
        self._do("expect", **fields)

    @property
    def heard(self) -> str:
        """What the agent has said since the caller last said or did something."""
        return self._call.seen.agent_words() if self._player is not None else ""

    def close(self) -> None:
        """End the call, and the service."""
        if self._loop is None or self._thread is None:
            return
        try:
            self._run(self._leave())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = None

    def _do(self, name: str, **fields: Any) -> None:
        __tracebackhide__ = True
        self._steps += 1
        try:
            act = ACTS[name].model_validate(without_lists(fields))
        except ValidationError as error:
            raise ValueError(f"{name}: {error}") from None
        if self._loop is None:
            self._loop = (loop_factory() or asyncio.new_event_loop)()
            self._thread = threading.Thread(target=self._loop.run_forever, name="talkspurt call", daemon=True)
            self._thread.start()
        wrong = self._run(self._step(Step(name=name, act=act, line=self._steps)))
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STEP_TIMEOUT_S)

    async def _step(self, step: Step) -> list[str]:
        """Do a step; return what does not hold, and what has happened."""
        if isinstance(step.act, Say | BargeIn | Play | Tone):
            self._sounds[step.act] = await self._voice.sound(step.act, self._phrases, str(self._folder))
        if self._player is None:
            try:
                self._player = await self._dial()
            except CannotCallError as error:
                return [str(error)]
        outcomes = await self._player.do(step)
        wrong = [f"{each.what}: {each.detail or each.state}" for each in outcomes if each.state != "passed"]
        if not wrong:
            return []
        what_happened = timeline_lines(Outcome("", timeline=self._player.timeline()))
        return [*wrong, "what happened, in seconds since the call began:", *what_happened]

    async def _dial(self) -> Player:
        faults = "\n".join(map(json.dumps, self._emulator.faults))
        target = await self._stack.enter_async_context(
            agent_in_service(
                load_agent(self._agent, (), DEMO),
                load_settings(),
                self._emulator.model,
                self._phrases,
                faults=faults,
                seed=self._seed,
            )
        )
        background = None
        if self._noise is not None:
            background = noise(VOICE_RMS * 10 ** (-self._noise.snr_db / 20), self._seed)
        around = Surroundings(self._network, self._seed, background, camera=True, keys=True)
        self._call = OnCall(target, around, Tape())
        player = Player(self._call, self._sounds, self._folder)
        await player.dial()
        return player

    async def _leave(self) -> None:
        try:
            if self._player is not None:
                await self._player.leave()
        finally:
            await self._stack.aclose()
