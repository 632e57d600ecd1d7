"""The event loop that the service and the emulator run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loop if the extra ``speed`` is installed, else None for asyncio's own.

    uvloop saves 5 to 20 % of a call's CPU time.
    """
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
