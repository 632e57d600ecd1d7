"""A service in this process whose Live server is the emulator; also as fixtures, which conftest.py files import."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from agent.author.agent import Agent
from agent.emulator import Emulator, running_emulator
from agent.live.config import LiveEndpoint
from agent.settings import Settings
from signaling.app import DEMO, running
from signaling.client.caller import Caller, call_service

ServiceFactory = Callable[..., AbstractAsyncContextManager[str]]
"The type of the fixture `service`: takes settings, yields the page's address."


def emulator_endpoint(emulator: Emulator, *, offline_demo: bool = False) -> LiveEndpoint:
    """Return how a client reaches the emulator."""
    return LiveEndpoint("test-key", emulator.url, str(emulator.ca_file), offline_demo=offline_demo)


@asynccontextmanager
async def service_for(
    emulator: Emulator, definition: Agent = DEMO, *, offline_demo: bool = False, **settings: Any
) -> AsyncIterator[str]:
    """Run a service; yields the page's address."""
    values = {"port": 0, "drain_timeout_s": 0.1, "overload_lag_ms": 1e4, **settings}  # other programs run, too
    async with running(
        Settings(**values), emulator_endpoint(emulator, offline_demo=offline_demo), definition=definition
    ) as url:
        yield url


@asynccontextmanager
async def call_agent(agent: Agent, emulator: Emulator, **options: Any) -> AsyncIterator[Caller]:
    """Call an agent; ``options`` are the caller's, see `call_service`."""
    async with service_for(emulator, agent, offline_demo=True) as url, call_service(url, **options) as caller:
        yield caller


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """The local Live server, without speech recognition."""
    async with running_emulator(speech_recognition=False) as running_one:
        yield running_one


@pytest.fixture
def service(emulator: Emulator) -> ServiceFactory:
    """Start a service that talks to the emulator: ``async with service(max_calls=1) as url``."""

    def start(**settings: Any) -> AbstractAsyncContextManager[str]:
        return service_for(emulator, offline_demo=True, **settings)

    return start
