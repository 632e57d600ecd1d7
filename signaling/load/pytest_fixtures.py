"""The fixtures of the pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from signaling.load.packages import want_packages
from signaling.load.scripted_call import ScriptedCall, ScriptedEmulator


@pytest.fixture
def emulator() -> ScriptedEmulator:
    """The offline model of this test's call: tell it what to answer before the call needs it."""
    return ScriptedEmulator()


@pytest.fixture
def call(request: pytest.FixtureRequest, emulator: ScriptedEmulator) -> Iterator[ScriptedCall]:
    """A call to the agent under test. It begins with the first step, and ends with the test."""
    want_packages()
    made = ScriptedCall(agent_of(request), emulator, Path(str(request.path)).parent)
    try:
        yield made
    finally:
        made.close()


def agent_of(request: pytest.FixtureRequest) -> str | None:
    """Return which agent a test calls: its marker's, else the option's, else the ini file's; None for the demo."""
    marker = request.node.get_closest_marker("talkspurt_agent")
    if marker is not None:
        return str(Path(str(request.path)).parent / marker.args[0])
    given: str | None = request.config.getoption("--talkspurt-agent")
    if given:
        return given
    named = str(request.config.getini("talkspurt_agent"))
    return str(request.config.rootpath / named) if named else None
