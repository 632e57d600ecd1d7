"""What scenarios need beside the service."""

from __future__ import annotations

from importlib.util import find_spec

from agent.errors import ConfigError


def want_packages() -> None:
    """Check that everything is installed.

    Raises:
        ConfigError: something is missing; the message says how to get it.
    """
    if find_spec("yaml") is None:
        raise ConfigError(
            "scenarios need the extra `scenarios`: pip install '.[scenarios]' in talkspurt's own folder"
        )
