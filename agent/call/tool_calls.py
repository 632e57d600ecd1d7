"""The tool calls of one call: they run alongside the audio, and each ends exactly once.

This connects the ledger (what is owed to the model), the runner and the uplink; `agent.call.routing` passes in what
the Live server says.

Tasks: one per running tool, owned by `ToolCalls`, which ends with the tool. A tool that ignores its cancellation is
abandoned `END_TIMEOUT_S` after the call.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from agent import events
from agent.call.host import Host, HostContext
from agent.clock import Clock, monotonic
from agent.dialog.asides import late_answer
from agent.dialog.confirm import REQUESTS, Confirmations
from agent.dialog.ledger import Entry, Ledger
from agent.errors import MediaError
from agent.isolate import ignore
from agent.live.uplink import Note, ToolResult
from agent.media.still import read_still
from agent.picture import Picture
from agent.tools.declare import Scheduling, Tool
from agent.tools.runner import Outcome, ToolAnswer, run_tool
from agent.tools.scheduled import unscheduled

logger = logging.getLogger(__name__)

END_TIMEOUT_S = 2.0
UNHEARD_S = 2.0
"How long a call that needs the caller's yes waits for the transcript of a caller who has spoken."
UNCLEAR_S = 0.5
"How long it waits for more words after some that are not a clear yes."
LISTEN_STEP_S = 0.1
_MODULE = re.compile(r"^(?:(?:default_api|functions|tools)[.:])+")
MAX_PICTURES = 8  # per answer
MAX_PICTURE_BYTES = 8 << 20
NAMES_ONLY = events.ToolReport()
TOO_MANY = "too many tool calls are open: wait for their answers, then call again"


Tell = Callable[[ToolResult | Note, bool | None], None]
"""Queues something for the model and must not raise. Takes an answer, progress or a note, and whether the model has
waited for the answer (None if that is not known)."""


@dataclass(frozen=True, slots=True)
class _Called:
    """An open call as it was made, which a later change of the agent's tools does not affect.

    Attributes:
        tool: the tool that was called; None if there is no such tool.
        report: what the caller is told about it.
    """

    tool: Tool | None
    report: events.ToolReport

    @property
    def awaited(self) -> bool | None:
        """Whether the model waits for the answer; None if the tool leaves that to the model."""
        return None if self.tool is None or self.tool.behavior is None else self.tool.behavior == "BLOCKING"


class ToolCalls:
    """Runs the tools that the model calls.

    Args:
        tools: the tools that were declared to the model.
        host: the call.
        tell: see `Tell`.
        emit: tells the call's observers.
        report: what the caller is told about tools that do not specify it themselves.
        transcribed: whether the caller's words are transcribed, so that a yes can be recognised.
        clock: monotonic seconds.
        scheduled: whether the model accepts answers that say when to speak about them.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        host: Host,
        *,
        tell: Tell,
        emit: Callable[[events.Event], None],
        report: events.ToolReport = NAMES_ONLY,
        transcribed: bool = True,
        clock: Clock = monotonic,
        scheduled: bool = True,
    ) -> None:
        self._scheduled = scheduled
        self._warned = False  # it was logged that an answer's scheduling was left out
        self._report = report
        self._called: dict[str, _Called] = {}  # open calls by the entry's key
        self._tools = {tool.name: tool for tool in tools}
        self._host: Host | None = host
        self._tell = tell
        self._emit = emit
        self._clock = clock
        self._ledger = Ledger()
        self._confirmations = Confirmations(transcribed=transcribed)
        self._tasks: dict[str, asyncio.Task[ToolAnswer]] = {}  # by the entry's key; the call itself may have ended

    def call(self, call_id: str, name: str, arguments: Mapping[str, Any]) -> None:
        """Handle a tool call by the model."""
        name = self._declared_name(name)
        verdict, entry = self._ledger.open(call_id, name, arguments)
        match verdict:
            case "run":
                called = self._called[entry.key] = _Called(self._tools.get(name), self._report_of(name))
                self._emit(events.ToolCalled(entry.key, name, arguments, called.report))
                answer = self._ledger.answered_before(entry)
                if answer is None:
                    self._run(entry)
                else:
                    self._finish(entry, answer)
            case "refuse":
                if self._ledger.refused == 1:
                    logger.warning("a tool call is refused, because too many are open; more may follow")
                refused = _Called(self._tools.get(name), self._report_of(name))
                refusal = self._scheduled_as(refused, ToolAnswer("error", {"error": TOO_MANY}))
                self._tell_model("answer" if call_id else "note", call_id, name, refusal, refused.awaited)
            case "ignore":
                logger.warning("a tool call is ignored: its id was used before")
            case "take_over":
                logger.info("a tool call is taken over by the new session, which asked for it again")

    def cancel(self, call_ids: Iterable[str]) -> None:
        """End the calls that the model has taken back, without sending anything for them."""
        for call_id in call_ids:
            entry = self._ledger.cancel(call_id)
            if entry is not None:
                self._stop(entry)

    @property
    def names(self) -> list[str]:
        """The names of the tools that the model may call and that the caller may know about."""
        return [name for name in self._tools if self._report_of(name).level != "none"]

    def replace(self, tools: Sequence[Tool]) -> None:
        """Offer the model these tools from now on; running tools continue."""
        self._tools = {tool.name: tool for tool in tools}

    @property
    def running(self) -> list[str]:
        """The names of the tools that have not answered yet."""
        return [entry.name for entry in self._ledger.open_calls]

    @property
    def open(self) -> bool:
        """True while any call is open."""
        return bool(self._ledger.open_calls)

    @property
    def awaited(self) -> bool:
        """True while the model may be waiting for an answer: a call to a tool not declared NON_BLOCKING is open."""
        return any(self._called[entry.key].awaited is not False for entry in self._ledger.of_this_session)

    def session_replaced(self, unsent: Sequence[ToolResult]) -> None:
        """Continue in another Live session, which knows none of the ids so far; see `Ledger`.

        Args:
            unsent: results that were still queued for the old session; the new one is told them too.
        """
        queued = {result.call_id for result in unsent}
        lost = [
            _result(entry.call_id, entry.name, answer)
            for entry, answer in self._ledger.session_replaced()
            if entry.call_id not in queued
        ]
        for result in (*unsent, *lost):
            note = late_note(result)
            if note is not None:
                self._tell(note, None)

    def turn_completed(self) -> None:
        """Note that the model has used the answers so far."""
        self._ledger.turn_completed()

    def handle_came(self) -> None:
        """Note that a session resumed from now on knows the calls that are open."""
        self._ledger.handle_came()

    async def end(self) -> None:
        """Stop all tools, because the call is over."""
        for entry in self._ledger.abandon():
            self._stop(entry)
        tasks = list(self._tasks.values())
        if tasks and (await asyncio.wait(tasks, timeout=END_TIMEOUT_S))[1]:
            logger.warning("a tool does not end although it was cancelled")

    def let_go(self) -> None:
        """Drop the references to the call, which is over, and to the tools, which may refer to it."""
        self._tell = self._emit = ignore
        self._tools = {}
        self._host = None

    def _declared_name(self, name: str) -> str:
        """Return the declared name: models may write ``default_api.book``, as if the tools were in a module."""
        bare = _MODULE.sub("", name.strip(), count=1)
        return bare if name not in self._tools and bare in self._tools else name

    def _run(self, entry: Entry) -> None:
        tool = self._called[entry.key].tool
        if tool is None:
            self._finish(entry, ToolAnswer("error", {"error": f"there is no tool called {entry.name}"}))
            return
        assert self._host is not None, "nothing is called after the end"
        context = HostContext(self._host, partial(self._progress, entry, tool))
        work = run_tool(tool, entry.arguments, context, partial(self._objection, self._host, tool))
        task = asyncio.create_task(work, name="call-tool")
        self._tasks[entry.key] = task
        deadline = asyncio.get_running_loop().call_later(tool.timeout_s, self._time_out, entry, tool)
        task.add_done_callback(partial(self._ended, entry, deadline))

    def _ended(self, entry: Entry, deadline: asyncio.TimerHandle, task: asyncio.Task[ToolAnswer]) -> None:
        deadline.cancel()
        del self._tasks[entry.key]
        if task.cancelled():  # unless it was cancelled here, its call is open and the model waits
            self._finish(entry, ToolAnswer("error", {"error": f"{entry.name} failed: it was cancelled"}))
        else:
            self._finish(entry, _with_readable_pictures(entry.name, task.result()))

    def _time_out(self, entry: Entry, tool: Tool) -> None:
        error = f"{tool.name} took longer than {tool.timeout_s:g} s"
        self._finish(entry, ToolAnswer("timeout", {"error": error}))
        self._tasks[entry.key].cancel()

    def _stop(self, entry: Entry) -> None:
        self._tasks[entry.key].cancel()
        self._emit_end(entry, "cancelled")

    def _finish(self, entry: Entry, answer: ToolAnswer) -> None:
        """End a call and tell the model its answer, unless it has already ended."""
        called = self._called.get(entry.key)
        if called is None:
            return
        answer = self._scheduled_as(called, answer)
        telling, call_id = self._ledger.finish(entry.key, answer)
        if telling != "nothing":
            self._tell_model(telling, call_id, entry.name, answer, called.awaited)
            self._emit_end(entry, answer.outcome, answer.response)

    def _emit_end(self, entry: Entry, outcome: Outcome | Literal["cancelled"], response: Any = None) -> None:
        report = self._called.pop(entry.key).report
        self._emit(events.ToolFinished(entry.key, entry.name, outcome, response, report))

    def _report_of(self, name: str) -> events.ToolReport:
        tool = self._tools.get(name)
        if tool is None:
            return self._report
        return events.ToolReport(tool.report or self._report.level, self._report.masked.union(tool.masked))

    def _tell_model(
        self,
        telling: Literal["answer", "note"],
        call_id: str,
        name: str,
        answer: ToolAnswer,
        awaited: bool | None,
    ) -> None:
        result = _result(call_id, name, answer)
        told = late_note(result) if telling == "note" else result
        assert told is not None, "a result is no progress"
        self._tell(told, awaited)

    def _scheduled_as(self, called: _Called, answer: ToolAnswer) -> ToolAnswer:
        return replace(answer, scheduling=self._scheduling(called.tool, answer.scheduling))

    def _scheduling(self, tool: Tool | None, own: Scheduling | None) -> Scheduling | None:
        """Return the answer's own scheduling, else the tool's; None in place of one that the model would refuse."""
        if own is not None and not self._scheduled:
            if not self._warned:
                logger.warning(
                    "an answer's scheduling is left out: the model decides by itself when to speak of it"
                )
            self._warned = True
            return None
        return own or (tool.scheduling if tool else None)

    async def _objection(self, host: Host, tool: Tool, arguments: Mapping[str, Any]) -> str | None:
        """Return what the model is told instead of an answer; None if the caller has said yes.

        This waits a while for the caller's words, whose transcript may come later than the call that they led to.
        """
        began = self._clock()
        while True:
            now = self._clock()
            given = self._confirmations.given(
                tool.name, arguments, host.caller_turns(), caller_spoke_at=host.caller_spoke_at, now=now
            )
            patience_s = {"unheard": UNHEARD_S, "unclear": UNCLEAR_S}.get(given, 0.0)
            if now - began >= patience_s:
                return None if given == "yes" else REQUESTS[given]
            await asyncio.sleep(LISTEN_STEP_S)

    def _progress(self, entry: Entry, tool: Tool, value: Any) -> None:
        telling, call_id = self._ledger.progress(entry.key)
        if telling == "answer" and tool.behavior == "NON_BLOCKING":
            plain, own = unscheduled(value)
            scheduling = self._scheduling(tool, own)
            told = ToolResult(call_id, entry.name, {"progress": plain}, scheduling=scheduling, will_continue=True)
            self._tell(told, None)


def late_note(result: ToolResult) -> Note | None:
    """Return what the next Live session is told instead of a result that was queued for the last one.

    Progress is left out (None): its call is still open, and the model will be told its result.
    """
    if result.will_continue:
        return None
    return Note(
        late_answer(result.name, result.response),
        wants_reply=result.scheduling != "SILENT",
        result=result,
        pictures=result.pictures,
    )


def _result(call_id: str, name: str, answer: ToolAnswer) -> ToolResult:
    return ToolResult(call_id, name, answer.response, scheduling=answer.scheduling, pictures=answer.pictures)


def _read(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    """Read what a tool returned as pictures.

    Raises:
        MediaError: one is neither JPEG nor PNG, or there are too many, or they are too large.
    """
    if len(pictures) > MAX_PICTURES or sum(len(picture.data) for picture in pictures) > MAX_PICTURE_BYTES:
        limits = f"{MAX_PICTURES} pictures of {MAX_PICTURE_BYTES >> 20} MiB together"
        raise MediaError(f"a tool may return {limits} at most")
    return tuple(read_still(picture.data) for picture in pictures)


def _with_readable_pictures(name: str, answer: ToolAnswer) -> ToolAnswer:
    """Return the answer, its pictures read; an error instead if one cannot be shown, or they are too many."""
    try:
        return replace(answer, pictures=_read(answer.pictures))
    except MediaError as error:
        logger.warning("tool %s: its pictures cannot be shown: %s", name, error)
        return ToolAnswer("error", {"error": f"{name} failed: {error}"})
