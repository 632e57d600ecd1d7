"""What a call costs and how long it may last: bills it, warns, and has the agent say goodbye before ending it.

This connects the price meter and the limits (`agent.dialog`) to the call. Tasks: `CallLimits.keep`, and one that
ends the call once the goodbye has been heard; the call owns both.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from functools import partial

from agent import events
from agent.call.farewell import Farewell
from agent.call.ports import CallPorts
from agent.dialog.budget import Meter
from agent.dialog.daily import Purse
from agent.dialog.limits import Limits, SayGoodbye
from agent.live.uplink import Note
from agent.live.wire import Usage
from agent.settings import Settings

logger = logging.getLogger(__name__)

DAILY_CHECK_INTERVAL_S = 2.0
NO_PURSE = Purse()


class CallLimits:
    """Keeps one call within its limits.

    Args:
        ports: the way back to the call.
        settings: contain the limits.
        meter: adds up what the call costs.
        farewell: waits until the goodbye has been heard.
        purse: the daily accounts that the call is charged to.
    """

    def __init__(
        self, ports: CallPorts, settings: Settings, meter: Meter, farewell: Farewell, *, purse: Purse
    ) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._purse = purse
        self._charged_at = self._clock()
        self._meter = meter
        self._farewell = farewell
        self._moved = asyncio.Event()
        self._limits = Limits(
            budget_usd=settings.budget_usd,
            idle_timeout_s=settings.idle_timeout_s,
            max_duration_s=settings.max_duration_s,
            now=self._clock(),
            reached=purse.reached,
            check_interval_s=DAILY_CHECK_INTERVAL_S if purse.limited else math.inf,
        )

    def bill(self, usage: Usage) -> None:
        """Add the usage that the server reports, and tell the observers the new total."""
        before = self._meter.spent.cost_usd
        self._meter.bill(
            usage.prompt,
            usage.response,
            thoughts_tokens=usage.thoughts_tokens,
            tool_use_tokens=usage.tool_use_tokens,
        )
        cost = self._meter.spent.cost_usd
        if cost is not None:
            self._purse.charge(self._clock(), usd=float(cost - (before or 0)))
        spent = self._meter.total()
        self._ports.act([events.UsageReported(spent.by_direction(), spent.usd)])
        self._limits.spent(spent.cost_usd)
        self._moved.set()

    def note(self, event: events.Event) -> None:
        """Take note of an event, such as a sign that the call is not idle; an observer of the call."""
        self._limits.note(event, self._clock())
        if self._limits.closing:
            self._moved.set()

    async def keep(self) -> None:
        """End the call when a limit is reached; runs as long as the call."""
        try:
            await self._keep()
        finally:
            self._charge_time()

    async def _keep(self) -> None:
        while True:
            self._charge_time()
            self._moved.clear()
            for step in self._limits.steps(self._clock()):
                if isinstance(step, SayGoodbye):
                    self._ports.start(partial(self._say_goodbye, step), "goodbye")
                else:
                    self._ports.act([step])
            wait_s = self._limits.next_check_s(self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                    await self._moved.wait()

    def _charge_time(self) -> None:
        now = self._clock()
        self._purse.charge(now, seconds=now - self._charged_at)
        self._charged_at = now

    async def _say_goodbye(self, step: SayGoodbye) -> None:
        logger.info("a limit is reached; the agent is told to say goodbye")
        self._ports.send(Note(step.note, wants_reply=True))
        await self._farewell.heard("reply")
        self._ports.hang_up(step.reason, step.detail, "operator")
