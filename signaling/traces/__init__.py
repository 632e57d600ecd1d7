"""OpenTelemetry traces of calls, off until the setting `otlp_endpoint` says where to send them; see docs/traces.md.

They need the packages of the extra ``otel``; `export` is imported only once `want_packages` has found them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.webrtc.leg import Leg

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def want_packages(setting: str) -> None:
    """Check that the packages of the extra are installed.

    Args:
        setting: the setting that needs them, for the error message.

    Raises:
        ConfigError: one is missing; the message says how to get it.
    """
    try:
        missing = [package for package in PACKAGES if find_spec(package) is None]
    except ModuleNotFoundError as error:  # a parent package is missing
        missing = [str(error.name)]
    if missing:
        raise ConfigError(
            f"{setting} needs the extra `otel`: pip install '.[otel]' in talkspurt's own folder "
            f"(missing: {', '.join(missing)})"
        )


def collector_of(settings: Settings) -> Callable[[], str | None]:
    """Return what tries to send the collector no spans at all, which takes up to its timeout and blocks.

    It returns why that failed; None if the collector accepted them.

    Raises:
        ConfigError: a package is missing.
    """
    assert settings.otlp_endpoint is not None, "otherwise nothing is exported"
    want_packages(settings.source("otlp_endpoint"))
    from signaling.traces.export import try_collector

    return partial(try_collector, settings.otlp_endpoint)


@asynccontextmanager
async def tracing(settings: Settings, *, offline_demo: bool) -> AsyncIterator[Callable[[Leg], None] | None]:
    """Send traces as the settings say, until the end of the block.

    Args:
        settings: the service's settings.
        offline_demo: True if the Live server is the local emulator.

    Yields:
        A watcher that has each new call traced, for `Calls.watchers`; None if tracing is off.

    Raises:
        ConfigError: a package is missing.
    """
    if settings.otlp_endpoint is None:
        yield None
        return
    want_packages(settings.source("otlp_endpoint"))
    from signaling.traces.export import Export

    export = Export(settings, offline_demo=offline_demo)
    try:
        yield export.watch
    finally:
        await export.end()
