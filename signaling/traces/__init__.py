"""Traces of calls for OpenTelemetry, off until the setting `otlp_endpoint` says where to; see docs/traces.md.

The packages are the extra ``otel``; `export` is imported only once `want_packages` has found them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.webrtc.leg import Leg

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def want_packages(setting: str) -> None:
    """Check that the packages of the extra are there.

    Args:
        setting: what needs them, for the message.

    Raises:
        ConfigError: one is missing; the message says how to get it.
    """
    try:
        missing = [package for package in PACKAGES if find_spec(package) is None]
    except ModuleNotFoundError as error:  # what the package is in is missing too
        missing = [str(error.name)]
    if missing:
        raise ConfigError(
            f"{setting} needs the extra `otel`: pip install '.[otel]' in talkspurt's own folder "
            f"(missing: {', '.join(missing)})"
        )


@asynccontextmanager
async def tracing(settings: Settings, *, offline_demo: bool) -> AsyncIterator[Callable[[Leg], None] | None]:
    """Send traces as the settings say, until the end of the block.

    Args:
        settings: the service's settings.
        offline_demo: the Live server is the local emulator.

    Yields:
        What has a call traced, for `Calls.watchers`; None if nothing is.

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
