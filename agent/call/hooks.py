"""Runs an agent's hooks alongside its calls: one after another, in the order of the events.

No hook can hold up or end a call.

Tasks: one per call with hooks, owned by `CallHooks`, which ends it in `end`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from agent import events
from agent.author.hooks import Hook, Hooks
from agent.call.host import Host, HostContext
from agent.isolate import isolated_async
from agent.spoken import Spoken
from agent.tools.runner import in_thread

logger = logging.getLogger(__name__)

MAX_WAITING = 256  # hooks due in one call; further ones are dropped, except on_call_ended
HOOK_TIMEOUT_S = 10.0
END_TIMEOUT_S = 5.0  # for all hooks due when the call ends, and the same again for on_call_ended
CANCEL_TIMEOUT_S = 1.0


@dataclass(slots=True)
class HookCounts:
    """Counts over all calls.

    Attributes:
        failed: hooks that raised or took too long.
        dropped: hooks that did not run because too many were due.
    """

    failed: int = 0
    dropped: int = 0


class CallHooks:
    """The hooks of one call.

    Args:
        hooks: the hooks to run.
        host: the call, which has not begun yet.
        counts: the counters for failed and dropped hooks.
    """

    def __init__(self, hooks: Hooks, host: Host, counts: HookCounts) -> None:
        self._counts = counts
        self._dropped = 0
        self._hooks = hooks
        self._host = host
        self._due: deque[tuple[str, Hook, tuple[Any, ...]]] = deque()
        self._farewell: tuple[str, Hook, tuple[Any, ...]] | None = None
        self._changed = asyncio.Event()
        self._over = False
        self._add("on_call_started")
        self._task = asyncio.create_task(self._run_due(), name=f"hooks-{host.call_id}")

    def note(self, event: events.Event) -> None:
        """Take note of an event; an observer of the call."""
        if not isinstance(event, events.AppEventSent):
            self._add("on_event", event)
        match event:
            case events.CallerTranscribed(text=text, final=True) if text:
                self._add("on_transcript", Spoken("caller", text))
            case events.AgentTranscribed(text=text, final=True) if text:
                self._add("on_transcript", Spoken("agent", text))
            case events.CallEnded():
                if self._hooks.on_call_ended is not None:
                    self._farewell = ("on_call_ended", self._hooks.on_call_ended, (event,))
                self._finish()

    async def end(self) -> None:
        """Wait for the hooks that are due, within time limits; call this once the call is over."""
        self._finish()
        if (await asyncio.wait([self._task], timeout=END_TIMEOUT_S))[1]:
            self._drop(len(self._due))
            self._due.clear()
            logger.warning("call %s: its hooks take too long; what was due is dropped", self._host.call_id)
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CANCEL_TIMEOUT_S)
        if self._farewell is not None:
            farewell, self._farewell = self._farewell, None
            await self._run(*farewell, timeout_s=END_TIMEOUT_S)
        if self._dropped:
            logger.warning("call %s: %d hooks were due and did not run", self._host.call_id, self._dropped)

    def _add(self, name: str, *what: Any) -> None:
        hook = getattr(self._hooks, name)
        if hook is None or self._over:
            return
        if len(self._due) >= MAX_WAITING:
            self._drop(1)
            return
        self._due.append((name, hook, what))
        self._changed.set()

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._counts.dropped += count

    def _finish(self) -> None:
        self._over = True
        self._changed.set()

    async def _run_due(self) -> None:
        """Run hooks until the call is over and none is due."""
        while self._due or not self._over:
            if self._due:
                await self._run(*self._due.popleft(), timeout_s=HOOK_TIMEOUT_S)
            else:
                self._changed.clear()
                await self._changed.wait()

    async def _run(self, name: str, hook: Hook, what: tuple[Any, ...], *, timeout_s: float) -> None:
        self._counts.failed += not await run_hook(name, hook, self._host, *what, timeout_s=timeout_s)


async def run_hook(name: str, hook: Hook, host: Host, *what: Any, timeout_s: float) -> bool:
    """Run one hook with a timeout; return False if it failed, which is logged.

    Args:
        name: the hook's name, for the log.
        hook: the hook to run.
        host: the call.
        what: its further arguments.
        timeout_s: how long it may take, in seconds.
    """
    work = partial(_call, hook, HostContext(host), *what, timeout_s=timeout_s)
    return await isolated_async(f"call {host.call_id}: {name}", work)


async def _call(hook: Hook, *arguments: Any, timeout_s: float) -> None:
    """Call a hook; one that is not async runs in a thread, where it cannot hold up the audio or be stopped."""
    async with asyncio.timeout(timeout_s):
        if inspect.iscoroutinefunction(hook):
            await hook(*arguments)
        else:
            outcome = await in_thread(partial(hook, *arguments))
            if inspect.isawaitable(outcome):  # a plain wrapper around an async function
                await outcome
