"""What is kept of calls after they end: the history, the recordings, and the messages to other services.

Everything here is off until a setting says where to keep it; see docs/history.md. It needs the packages of the
extra ``history``, so nothing else in this folder is imported before `want_packages` has found them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import ConfigError
from agent.settings import Settings

if TYPE_CHECKING:
    from signaling.history.deliver import Endpoint
    from signaling.history.history import History

PACKAGES = ("sqlalchemy", "greenlet", "aiosqlite", "asyncpg", "obstore", "standardwebhooks")


def want_packages(setting: str) -> None:
    """Check that the packages of the extra are installed.

    Args:
        setting: the setting that needs them, for the error message.

    Raises:
        ConfigError: one is missing; the message says how to get it.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"{setting} needs the extra `history`: pip install '.[history]' in talkspurt's own folder "
            f"(missing: {', '.join(missing)})"
        )


@asynccontextmanager
async def history_of(settings: Settings, worker: str = "main") -> AsyncIterator[History | None]:
    """Keep calls as the settings say, until the end of the block; yields None if nothing is kept.

    Args:
        settings: the service's settings.
        worker: the name of this process; no other process that uses the same database may have it.

    Raises:
        ConfigError: a package is missing, or a setting cannot be used.
    """
    if settings.history_url is None:
        yield None
        return
    endpoint = receiver_of(settings)
    want_packages(settings.source("history_url"))
    from signaling.history.history import open_history

    async with open_history(
        settings.history_url,
        worker=worker,
        record_store=_store_of(settings, may_record=settings.record or settings.janus_url is not None),
        retention_days=settings.retention_days,
        endpoint=endpoint,
    ) as history:
        yield history


@asynccontextmanager
async def history_to_look_at(settings: Settings) -> AsyncIterator[History]:
    """Open the history to read it and to erase calls; the service may be running meanwhile.

    Args:
        settings: the service's settings.

    Raises:
        ConfigError: no history is kept, or it cannot be reached.
    """
    if settings.history_url is None:
        raise ConfigError(
            "nothing is kept of calls: set history_url, as the service has it (TALKSPURT_HISTORY_URL)"
        )
    want_packages(settings.source("history_url"))
    from signaling.history.history import look_at

    async with look_at(settings.history_url, _store_of(settings, may_record=False)) as history:
        yield history


def receiver_of(settings: Settings) -> Endpoint | None:
    """Return where messages about calls go; None if there are none.

    Raises:
        ConfigError: a package is missing, or a setting cannot be used.
    """
    if settings.webhook_url is None or settings.webhook_secret is None:
        return None
    want_packages(settings.source("webhook_url"))
    from signaling.history.deliver import Endpoint

    secrets = settings.webhook_secret.get_secret_value().split()
    return Endpoint(settings.webhook_url, secrets, allow_private=settings.webhook_allow_private)


async def try_database(settings: Settings) -> str:
    """Connect to the database of the history, create nothing, and return what was found.

    Raises:
        ConfigError: a package is missing, or the service could not use the database.
    """
    assert settings.history_url is not None, "otherwise nothing is kept"
    want_packages(settings.source("history_url"))
    from signaling.history.history import try_out

    return await try_out(settings.history_url)


def _store_of(settings: Settings, *, may_record: bool) -> str | None:
    """Return where recordings are: the store, else the folder they are written to; None if there never are any."""
    if settings.record_store is not None or may_record or Path(settings.record_folder).is_dir():
        return settings.record_store or settings.record_folder
    return None
