"""The call as its tools and hooks see it, and how much they may send it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

from agent.author.agent import check_names, declared
from agent.bucket import Bucket
from agent.dialog.asides import Role
from agent.errors import ToolError
from agent.spoken import Spoken
from agent.tools.declare import Tool
from agent.tools.runner import MAX_ANSWER_CHARS, check_answer
from agent.tools.scheduled import Scheduled, unscheduled

PROGRESS_EVERY_S = 1.0
NOTE_RATE = (5.0, 64.0)
"Notes to the model that all tools and hooks of a call together may make: rate per second, and burst."
APP_EVENT_RATE = (50.0, 256.0)
"Events for the caller's page or app that they may send: rate per second, and burst."
NO_METADATA: Mapping[str, str] = MappingProxyType({})


class Host(Protocol):
    """The part of the call that its tools may reach; see `CallContext`."""

    call_id: str
    caller: str | None
    metadata: Mapping[str, str]
    tool_rates: ToolRates

    @property
    def caller_spoke_at(self) -> float:
        """When the caller last began to speak or typed something, by the call's clock."""

    def spoken(self) -> tuple[Spoken, ...]: ...
    def caller_turns(self) -> Sequence[tuple[str, str]]: ...
    def say(self, text: str) -> None: ...
    def send_event(self, name: str, data: Any) -> None: ...
    def add_to_context(self, text: str, role: Role, *, run_immediately: bool) -> None: ...
    def change_agent(self, instructions: str | None, tools: Sequence[Tool] | None) -> None: ...
    def picture(self, source: str | None) -> bytes | None: ...
    def end_call(self) -> None: ...
    def pause_recording(self) -> None: ...
    def resume_recording(self) -> None: ...


class ToolRates:
    """Limits the notes and events that the tools and hooks of one call send in addition to results."""

    def __init__(self) -> None:
        self.notes = Bucket(*NOTE_RATE)
        self.app_events = Bucket(*APP_EVENT_RATE)


class HostContext:
    """Implements `CallContext`; each run of a tool or hook gets its own.

    Args:
        host: the call.
        tell_progress: takes a tool's progress.
    """

    def __init__(self, host: Host, tell_progress: Callable[[Any], None] = lambda _value: None) -> None:
        self.call_id = host.call_id
        self.caller = host.caller
        self.metadata = host.metadata
        self.transcript = host.spoken()
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._tell_progress = tell_progress
        self._progress_at: float | None = None

    def say(self, text: str) -> None:
        self._check_note(text)
        self._loop.call_soon_threadsafe(self._host.say, text)

    def send_event(self, name: str, data: Any = None) -> None:
        plain = check_answer(data)
        self._check_rate(self._host.tool_rates.app_events, "events for the caller")
        self._loop.call_soon_threadsafe(self._host.send_event, name, plain)

    def add_to_context(self, text: str, role: Role = "system", *, run_immediately: bool = False) -> None:
        self._check_note(text)
        add = partial(self._host.add_to_context, text, role, run_immediately=run_immediately)
        self._loop.call_soon_threadsafe(add)

    def change_agent(
        self, instructions: str | None = None, tools: Sequence[Tool | Callable[..., Any]] | None = None
    ) -> None:
        found = None if tools is None else declared(tools)
        check_names(found or ())
        self._check_note(instructions or "")
        self._loop.call_soon_threadsafe(self._host.change_agent, instructions, found)

    def _check_note(self, text: str) -> None:
        if len(text) > MAX_ANSWER_CHARS:
            raise ToolError(f"the text is too long: {len(text)} characters, at most {MAX_ANSWER_CHARS} can be told")
        self._check_rate(self._host.tool_rates.notes, "notes to the model")

    def _check_rate(self, bucket: Bucket, what: str) -> None:
        if not bucket.take(1, self._loop.time()):
            raise ToolError(
                f"too many {what}: {bucket.burst:g} at once and then {bucket.per_s:g} a second are taken"
            )

    def picture(self, source: Literal["camera", "screen"] | None = None) -> bytes | None:
        return self._host.picture(source)

    def end_call(self) -> None:
        self._loop.call_soon_threadsafe(self._host.end_call)

    def pause_recording(self) -> None:
        self._loop.call_soon_threadsafe(self._host.pause_recording)

    def resume_recording(self) -> None:
        self._loop.call_soon_threadsafe(self._host.resume_recording)

    def progress(self, value: Any) -> None:
        value, own = unscheduled(value)
        plain = check_answer(value)
        now = self._loop.time()
        if self._progress_at is None or now - self._progress_at >= PROGRESS_EVERY_S:
            self._progress_at = now
            told = plain if own is None else Scheduled(plain, own)
            self._loop.call_soon_threadsafe(self._tell_progress, told)
