"""What holds for every test. It imports neither the service nor the emulator, which would cost seconds."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("thorough", max_examples=200, deadline=None)
hypothesis.settings.register_profile("quick", max_examples=10, deadline=None, database=None)  # for `make unit`
hypothesis.settings.load_profile("thorough")


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests: one per test would cost the unit tests seconds."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Keep a developer's own key and settings out of the tests."""
    own = [name for name in os.environ if name.startswith("TALKSPURT_")]
    google = [name for name in os.environ if name.startswith("GOOGLE_")]
    for name in ("GEMINI_API_KEY", "SSL_CERT_FILE", *google, *own):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(empty_folder)
