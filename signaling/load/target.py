"""What a scenario calls: a service that runs already, or an agent's file in a service of its own."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from agent.author.agent import Agent
from agent.emulator import Emulator, KnownPhrases, parse_script, running_emulator
from agent.errors import ConfigError
from agent.live.config import LiveEndpoint, endpoint_of
from agent.live.models import check_model
from agent.settings import Settings
from signaling.app import running
from signaling.load.offline_model import OfflineModel

MOST_CALLS = 16  # a caller who vanished is still on the call before
LOADED_S = 10.0
"Until an event loop that is late makes a service refuse calls: tests share the machine with much else."


@dataclass(frozen=True, slots=True)
class Target:
    """What is called.

    Attributes:
        url: the service's address.
        key: its server key.
        emulator: the model, if it is offline.
    """

    url: str
    key: str | None = None
    emulator: Emulator | None = None


@asynccontextmanager
async def agent_in_service(
    agent: Agent, settings: Settings, model: OfflineModel | None, phrases: KnownPhrases, *, faults: str, seed: int
) -> AsyncIterator[Target]:
    """Run an agent in a service of its own, on a free port of this machine.

    Nothing is kept of its calls, nobody else is told of them, and no telephone line is taken, whatever the settings
    say; the caller is told everything about tools.

    Args:
        agent: freshly loaded.
        settings: of the service.
        model: answers offline; None for the real model of the settings.
        phrases: what the caller may say, so that the offline model understands it.
        faults: of the offline model, as a fault script.
        seed: of these faults.

    Raises:
        ConfigError: a setting, the agent, or the fault script cannot be used.
    """
    telling = [replace(tool, report="full", masked=()) for tool in agent.declared_tools()]
    with tempfile.TemporaryDirectory(prefix="talkspurt-test-") as folder:
        own = _settings(settings, folder)
        definition = replace(agent, tools=telling)
        if model is None:
            live = endpoint_of(settings)
            if live is None:
                raise ConfigError("--real-model: there is no key: set GOOGLE_API_KEY, or leave the flag out")
            check_model(settings, offline=False)
            async with running(own, live, definition=definition) as url:
                yield Target(url, _key(own))
            return
        async with running_emulator(
            recogniser=phrases, on_turn=model.on_turn, hooks=model.hooks, faults=parse_script(faults), seed=seed
        ) as emulator:
            live = LiveEndpoint("offline", emulator.url, str(emulator.ca_file), offline_demo=True)
            async with running(own, live, definition=definition) as url:
                yield Target(url, _key(own), emulator)


def _settings(settings: Settings, folder: str) -> Settings:
    quiet = dict.fromkeys(
        (
            *("history_url", "record_store", "webhook_url", "webhook_secret", "capture_folder", "otlp_endpoint"),
            *("janus_url", "twilio_auth_token", "twilio_url", "daily_budget_usd", "daily_minutes"),
            *("key_daily_budget_usd", "key_daily_minutes"),
        )
    )
    return settings.model_copy(
        update={
            **quiet,
            "host": "127.0.0.1",
            "port": 0,
            "server_key": SecretStr(secrets.token_urlsafe(16)),
            "record_folder": str(Path(folder) / "recordings"),
            "tool_reports": "full",
            "tool_masked_fields": [],
            "max_calls": MOST_CALLS,
            "overload_lag_ms": LOADED_S * 1000,
            "drain_timeout_s": 0.1,
        }
    )


def _key(settings: Settings) -> str | None:
    return None if settings.server_key is None else settings.server_key.get_secret_value()
