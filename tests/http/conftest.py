"""A client of the service's HTTP routes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.service import ServiceFactory, emulator, service

__all__ = ["emulator", "service"]


@pytest.fixture
async def http(service: ServiceFactory) -> AsyncIterator[aiohttp.ClientSession]:
    """Ask a service with the default settings."""
    async with service() as url, aiohttp.ClientSession(url) as session:
        yield session
