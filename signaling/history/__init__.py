"""What is kept of calls once they are over: history, recordings, and what other services are told of them.

Everything here is off until a setting says where it is to be kept; see docs/history.md. The packages that it needs
are the extra ``history``: nothing else of this folder is imported before `want_packages` has found them.
"""

from __future__ import annotations

from importlib.util import find_spec

from agent.errors import ConfigError

PACKAGES = ("sqlalchemy", "greenlet", "aiosqlite", "asyncpg", "obstore", "standardwebhooks")


def want_packages(setting: str) -> None:
    """Check that the packages of the extra are there.

    Args:
        setting: what needs them, for the message.

    Raises:
        ConfigError: one is missing; the message says how to get it.
    """
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"{setting} needs the extra `history`: pip install '.[history]' in talkspurt's own folder "
            f"(missing: {', '.join(missing)})"
        )
