"""Summarise ended calls, a limited number at a time.

`Summaries` owns one task per call that is waiting or being summarised; it ends with the summary, or in `drain`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from agent.author.hooks import Hook
from agent.call.call import Call
from agent.call.hooks import HOOK_TIMEOUT_S, HookCounts, run_hook
from agent.call.summary import Summariser
from agent.clock import monotonic
from agent.dialog.budget import Spent
from agent.isolate import isolated, isolated_async
from agent.summary import CallSummarised

logger = logging.getLogger(__name__)

AT_ONCE = 4  # concurrent requests to the model
MAX_WAITING = 256  # calls, including those being summarised; each keeps its transcript in memory
DRAIN_S = 15.0
CANCEL_TIMEOUT_S = 2.0

SummaryObserver = Callable[[str, CallSummarised], None]
"""Takes a call's id and its summary; must not block."""


class Summaries:
    """Summarise the calls of this process.

    Args:
        summariser: asks the model; None if the agent wants no summaries.
        hook: the agent's `on_call_summarised`.
        hook_counts: counts the hook's failures.
    """

    def __init__(self, summariser: Summariser | None, hook: Hook | None, hook_counts: HookCounts) -> None:
        self.states: Counter[tuple[str, str]] = Counter()
        "The number of summaries, by state and reason."
        self.spent = Spent()
        "What all summaries used and cost."
        self.observers: list[SummaryObserver] = []
        "Functions that are given each call's id and summary, before the agent's hook is called."
        self._summariser = summariser
        self._hook = hook
        self._hook_counts = hook_counts
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[CallSummarised]] = set()

    @property
    def wanted(self) -> bool:
        """True if the agent asks for a summary of each call."""
        return self._summariser is not None

    def begin(self, call: Call) -> None:
        """Have an ended call summarised, if the agent asks for that; return at once."""
        if self._summariser is None:
            return
        task = asyncio.create_task(self._own(call, self._summariser), name=f"summary-{call.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, timeout_s: float = DRAIN_S) -> None:
        """Give summaries under way time to finish; those not done by then are reported as failed."""
        if not self._tasks:
            return
        waiting = (await asyncio.wait(self._tasks, timeout=timeout_s))[1]
        if waiting:
            logger.warning("draining: %d calls are not summed up yet; they are given up", len(waiting))
            for asking in self._asking:
                asking.cancel()
            for stuck in (await asyncio.wait(waiting, timeout=HOOK_TIMEOUT_S + CANCEL_TIMEOUT_S))[1]:
                stuck.cancel()

    async def _own(self, call: Call, summariser: Summariser) -> None:
        """Summarise one call, and report the result."""
        call_id = call.call_id
        if len(self._asking) >= MAX_WAITING:
            summarised = summariser.failed("too_many", "Too many other calls are waiting to be summed up.")
        else:
            asking = asyncio.create_task(self._ask(call, summariser), name=f"summarise-{call_id}")
            self._asking.add(asking)
            try:
                await asyncio.wait([asking])
            finally:
                asking.cancel()
                self._asking.discard(asking)
            shutdown = summariser.failed("shutdown", "The service was shut down before the model had answered.")
            summarised = shutdown if asking.cancelled() else asking.result()
        self.states[summarised.state, summarised.reason or ""] += 1
        level = logging.INFO if summarised.state == "done" else logging.WARNING
        logger.log(level, "call %s: summary %s %s", call_id, summarised.state, summarised.reason or "")
        for observer in self.observers:
            isolated(f"call {call_id}: an observer of its summary", partial(observer, call_id, summarised))
        if self._hook is not None:
            well = await run_hook("on_call_summarised", self._hook, call, summarised, timeout_s=HOOK_TIMEOUT_S)
            self._hook_counts.failed += not well

    async def _ask(self, call: Call, summariser: Summariser) -> CallSummarised:
        found = summariser.failed("internal", "The service failed.")

        async def work() -> None:
            nonlocal found
            found, meter = await summariser.summarise(call.call_id, call.spoken())
            self.spent.add(meter.spent)
            call.purse.charge(monotonic(), usd=meter.spent.usd or 0.0)

        async with self._places:
            await isolated_async(f"call {call.call_id}: its summary", work)
        return found
