"""A running emulator, and a service that talks to it."""

from tests.support.service import emulator, service

__all__ = ["emulator", "service"]
