"""The pytest plugin: with ``--talkspurt``, tests get the fixtures `call` and `emulator`.

pytest loads this module wherever talkspurt is installed, so it imports nothing of it before it is asked for.
"""

from __future__ import annotations

import pytest

FIXTURES = "talkspurt fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("talkspurt", "calls to agents (talkspurt)")
    group.addoption("--talkspurt", action="store_true", help="Provide the fixtures call and emulator.")
    group.addoption("--talkspurt-agent", metavar="FILE.py", help="The agent to call; overrides talkspurt_agent.")
    parser.addini(
        "talkspurt_agent", "The agent to call: FILE.py or FILE.py:NAME, from the root folder of the tests."
    )


def pytest_configure(config: pytest.Config) -> None:
    """Provide the fixtures if they are wanted, and the marker in any case."""
    config.addinivalue_line(
        "markers", "talkspurt_agent(file): the agent that the test calls, FILE.py or FILE.py:NAME."
    )
    if config.getoption("--talkspurt") and not config.pluginmanager.has_plugin(FIXTURES):
        from signaling.load import pytest_fixtures

        config.pluginmanager.register(pytest_fixtures, FIXTURES)
