"""A running emulator, a service that talks to it, and databases: SQLite in a file, PostgreSQL started here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.postgres import Postgres, running_postgres
from tests.support.service import emulator, service

__all__ = ["emulator", "server", "service", "url"]


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for all tests; each finds it empty."""
    if postgres.programs() is None:
        pytest.skip(postgres.MISSING)
    with running_postgres() as running_one:
        yield running_one


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database; a test with this runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'calls.db'}"
    running_one: Postgres = request.getfixturevalue("server")
    return running_one.empty_database()
