"""Unit tests only: what makes them quick."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Spare pytest's last searches for garbage what the imports made; in other tests that would change the service."""
    if all(item.path.is_relative_to(HERE) for item in session.items):
        gc.freeze()
