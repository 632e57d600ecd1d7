"""The service and the emulator, running for real; shared by the tests that cross a network."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from agent.emulator import Emulator, running_emulator
from tests.support.service import ServiceFactory, service_for

hypothesis.settings.register_profile("thorough", max_examples=200, deadline=None)
hypothesis.settings.register_profile("quick", max_examples=10, deadline=None)  # for `make unit`
hypothesis.settings.load_profile("thorough")


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: a folder per test would cost the unit tests seconds."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """A developer's own key or settings must not leak into a test."""
    own = [name for name in os.environ if name.startswith("TALKSPURT_")]
    google = [name for name in os.environ if name.startswith("GOOGLE_")]
    for name in ("GEMINI_API_KEY", "SSL_CERT_FILE", *google, *own):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(empty_folder)


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
