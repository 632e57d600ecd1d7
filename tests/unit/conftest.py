"""Unit tests only: what makes them quick."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep what the imports made out of pytest's last searches for garbage.

    Not for other tests: a service that finds frozen objects collects garbage (`signaling.process.garbage`).
    """
    if all(item.path.is_relative_to(HERE) for item in session.items):
        gc.freeze()
