"""The model's calls against the real runner: answered once, never under a dead id, never blocking."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.call.host import APP_EVENT_RATE, NOTE_RATE
from agent.call.tool_calls import ToolCalls, late_note
from agent.dialog.ledger import MAX_OPEN
from agent.errors import ToolError
from agent.live.uplink import Note, ToolResult
from agent.picture import Picture
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from agent.tools.scheduled import Scheduled
from tests.support.fake_call import FakeCall, let_pass, loop_time, run, settle

TIMEOUT_S = 30.0


class Model:
    """Calls tools and reads what it is told."""

    def __init__(self, *tools: Tool, scheduled: bool = True) -> None:
        self.told: list[ToolResult | Note] = []
        self.awaited: list[bool | None] = []
        self.events: list[events.Event] = []
        self.finished = asyncio.Event()
        self.host = FakeCall()
        self.calls = ToolCalls(
            tools, self.host, tell=self._tell, emit=self._note, clock=loop_time, scheduled=scheduled
        )

    def _tell(self, item: ToolResult | Note, awaited: bool | None) -> None:
        self.told.append(item)
        self.awaited.append(awaited)

    def _note(self, event: events.Event) -> None:
        self.events.append(event)
        if isinstance(event, events.ToolFinished):
            self.finished.set()

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.events if isinstance(event, events.ToolFinished)]


def tool(function: Any, **changes: Any) -> Tool:
    return Tool(**{"name": "probe", "description": "", "parameters": {}, "function": function, **changes})


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_result_and_its_events() -> None:
    async def scenario() -> None:
        async def add(a: int) -> int:
            return a + 1

        model = Model(tool(add, scheduling="SILENT"))
        model.calls.call("c1", "probe", {"a": 1})
        await settle()
        assert model.told == [ToolResult("c1", "probe", {"output": 2}, scheduling="SILENT")]
        called, finished = model.events
        assert isinstance(called, events.ToolCalled)
        assert isinstance(finished, events.ToolFinished)
        assert called.call_id == finished.call_id
        assert finished.result == {"output": 2}

    run(scenario())


def test_an_answers_own_scheduling_goes_before_the_tools() -> None:
    async def scenario() -> None:
        async def quiet() -> Scheduled:
            return Scheduled("done", "SILENT")

        model = Model(tool(quiet, scheduling="INTERRUPT"))
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.told == [ToolResult("c1", "probe", {"output": "done"}, scheduling="SILENT")]

    run(scenario())


def test_a_silent_answer_that_survives_its_session_asks_for_no_reply() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def late() -> Scheduled:
            await ended.wait()
            return Scheduled("mild", "SILENT")

        model = Model(tool(late, scheduling="INTERRUPT"))
        model.calls.call("c1", "probe", {})
        await settle()
        model.calls.session_replaced(())
        ended.set()
        await settle()
        (note,) = model.told
        assert isinstance(note, Note)
        assert "mild" in note.text
        assert not note.wants_reply

    run(scenario())


def test_a_model_that_takes_no_scheduling_gets_none(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async def quiet() -> Scheduled:
            return Scheduled("done", "SILENT")

        model = Model(tool(quiet), scheduled=False)
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.told == [ToolResult("c1", "probe", {"output": "done"})]

    run(scenario())
    assert "scheduling is left out" in caplog.text


def test_an_unknown_tool_is_answered() -> None:
    async def scenario() -> None:
        model = Model()
        model.calls.call("c1", "nothing", {})
        (answer,) = model.told
        assert isinstance(answer, ToolResult)
        assert "nothing" in answer.response["error"]
        assert model.outcomes == ["error"]

    run(scenario())


@pytest.mark.parametrize("called", ["default_api.probe", "default_api:probe", "functions.probe", " probe"])
def test_a_tool_is_found_under_the_name_of_a_module(called: str) -> None:
    async def scenario() -> None:
        async def add(a: int) -> int:
            return a + 1

        model = Model(tool(add))
        model.calls.call("c1", called, {"a": 1})
        await settle()
        assert model.told == [ToolResult("c1", "probe", {"output": 2})]
        assert [event.name for event in model.events if isinstance(event, events.ToolCalled)] == ["probe"]

    run(scenario())


@pytest.mark.parametrize("called", ["my_api.probe", "default_api.", "default_api.other", "probe.default_api"])
def test_another_name_is_another_tool(called: str) -> None:
    async def scenario() -> None:
        model = Model(tool(forever))
        model.calls.call("c1", called, {})
        assert model.outcomes == ["error"]
        (answer,) = model.told
        assert isinstance(answer, ToolResult)
        assert answer.name == called

    run(scenario())


def test_a_tool_whose_name_begins_so_is_itself() -> None:
    async def scenario() -> None:
        model = Model(tool(forever), tool(lambda: 1, name="default_api.probe"))
        model.calls.call("c1", "default_api.probe", {})
        assert [event.name for event in model.events if isinstance(event, events.ToolCalled)] == [
            "default_api.probe"
        ]

    run(scenario())


def test_a_slow_tool_times_out_and_its_late_result_is_not_told() -> None:
    async def scenario() -> None:
        async def stubborn() -> str:
            with suppress(asyncio.CancelledError):
                await forever()
            return "late"

        model = Model(tool(stubborn, timeout_s=3.0))
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.told == []
        await let_pass(3.1)
        (answer,) = model.told
        assert isinstance(answer, ToolResult)
        assert "3 s" in answer.response["error"]
        assert model.outcomes == ["timeout"]

    run(scenario())


def test_a_tool_that_ignores_its_cancellation_is_answered_all_the_same() -> None:
    async def scenario() -> None:
        released = asyncio.Event()

        async def stubborn() -> None:
            while not released.is_set():
                with suppress(asyncio.CancelledError):
                    await released.wait()

        model = Model(tool(stubborn, timeout_s=3.0))
        model.calls.call("c1", "probe", {})
        await let_pass(3.1)
        assert model.outcomes == ["timeout"]
        released.set()
        await settle()
        assert len(model.told) == 1

    run(scenario())


def test_a_slow_plain_function_is_left_behind() -> None:
    """Its thread holds up neither the answer nor the end of the loop."""

    async def scenario() -> None:
        model = Model(tool(lambda: time.sleep(3), timeout_s=0.05))
        model.calls.call("c1", "probe", {})
        await model.finished.wait()

    begun = time.monotonic()
    asyncio.run(scenario())
    assert time.monotonic() - begun < 2


def test_a_tool_that_cancels_itself_is_answered() -> None:
    async def scenario() -> None:
        async def gives_up() -> None:
            raise asyncio.CancelledError

        model = Model(tool(gives_up))
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.outcomes == ["error"]
        assert len(model.told) == 1

    run(scenario())


def test_nothing_is_sent_for_a_cancelled_call() -> None:
    async def scenario() -> None:
        model = Model(tool(forever))
        model.calls.call("c1", "probe", {})
        await settle()
        model.calls.cancel(["c1", "c1", "unknown"])
        await let_pass(TIMEOUT_S)
        assert model.told == []
        assert model.outcomes == ["cancelled"]

    run(scenario())


def test_a_storm_is_answered() -> None:
    async def scenario() -> None:
        model = Model(tool(forever))
        for number in range(MAX_OPEN + 300):
            model.calls.call(f"c{number}", "probe", {})
        assert len(model.told) == 300
        assert all(isinstance(answer, ToolResult) and "too many" in str(answer.response) for answer in model.told)
        await model.calls.end()
        assert model.outcomes == ["cancelled"] * MAX_OPEN

    run(scenario())


@pytest.mark.parametrize(("behavior", "told"), [("NON_BLOCKING", ["10 %", "60 %"]), ("BLOCKING", []), (None, [])])
def test_progress_is_told_of_background_tools_not_too_often(
    behavior: Literal["BLOCKING", "NON_BLOCKING"] | None, told: list[str]
) -> None:
    async def scenario() -> None:
        step = asyncio.Event()

        async def slow(ctx: CallContext) -> str:
            ctx.progress("10 %")
            ctx.progress("11 %")
            await step.wait()
            ctx.progress("60 %")
            return "done"

        model = Model(tool(slow, behavior=behavior, context="ctx", scheduling="WHEN_IDLE"))
        model.calls.call("c1", "probe", {})
        await settle()
        await let_pass(2.0)
        step.set()
        await settle()
        progress = [item for item in model.told if isinstance(item, ToolResult) and item.will_continue]
        assert [item.response for item in progress] == [{"progress": value} for value in told]
        assert model.told[-1] == ToolResult("c1", "probe", {"output": "done"}, scheduling="WHEN_IDLE")

    run(scenario())


def test_progress_of_a_plain_function_comes_before_its_result() -> None:
    async def scenario() -> None:
        def work(ctx: CallContext) -> str:
            ctx.progress(1)
            return "done"

        model = Model(tool(work, behavior="NON_BLOCKING", context="ctx"))
        model.calls.call("c1", "probe", {})
        await model.finished.wait()
        assert [item.will_continue for item in model.told if isinstance(item, ToolResult)] == [True, False]

    asyncio.run(scenario())


def test_progress_that_cannot_be_told_is_the_tools_failure() -> None:
    async def scenario() -> None:
        async def bad(ctx: CallContext) -> None:
            ctx.progress(object())

        model = Model(tool(bad, behavior="NON_BLOCKING", context="ctx"))
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.outcomes == ["error"]

    run(scenario())


def test_a_result_after_the_session_was_replaced_is_a_note() -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def slow(city: str) -> str:
            await done.wait()
            return city

        model = Model(tool(slow))
        model.calls.call("c1", "probe", {"city": "Rome"})
        model.calls.call("c2", "probe", {"city": "Oslo"})
        await settle()
        model.calls.session_replaced(())
        model.calls.cancel(["c1"])  # of another session
        model.calls.call("c1", "probe", {"city": "Oslo"})  # asked again: nothing runs twice
        done.set()
        await settle()
        note, answer = model.told
        assert isinstance(note, Note)
        assert '{"output": "Rome"}' in note.text
        assert answer == ToolResult("c1", "probe", {"output": "Oslo"})
        assert model.outcomes == ["result", "result"]

    run(scenario())


@pytest.mark.parametrize("queued", [True, False])
def test_an_answer_that_a_dead_session_made_nothing_of_is_told_once_to_one_that_knows_the_call(
    queued: bool,
) -> None:
    async def scenario() -> None:
        done = asyncio.Event()

        async def slow() -> str:
            await done.wait()
            return "Rome"

        model = Model(tool(slow, behavior="NON_BLOCKING", scheduling="WHEN_IDLE"))
        model.calls.call("c1", "probe", {})
        model.calls.turn_completed()  # "I am looking it up"
        model.calls.handle_came()
        await settle()
        done.set()
        await settle()
        (answer,) = model.told
        assert isinstance(answer, ToolResult)
        model.calls.session_replaced([answer] if queued else [])
        model.calls.session_replaced(())  # the note is the link's to tell again
        _answer, note = model.told
        assert isinstance(note, Note)
        assert '{"output": "Rome"}' in note.text
        assert note.wants_reply

    run(scenario())


def test_a_queued_answer_of_a_dead_session_becomes_a_note_and_progress_does_not() -> None:
    note = late_note(ToolResult("c1", "probe", {"output": 1}, scheduling="SILENT"))
    assert note is not None
    assert '{"output": 1}' in note.text
    assert not note.wants_reply
    assert late_note(ToolResult("c1", "probe", {"progress": 1}, will_continue=True)) is None
    images = (Picture(b"1", "image/png"),)
    shown = late_note(ToolResult("c1", "probe", {"output": "(picture 1)"}, pictures=images))
    assert shown is not None
    assert shown.pictures == images


def helpful(what: str) -> str:
    """Help."""
    return what


def test_a_tool_reaches_the_call() -> None:
    async def scenario() -> None:
        async def work(ctx: CallContext) -> list[str | None]:
            ctx.say("One moment.")
            ctx.send_event("seen", {"day": date(2026, 1, 2)})
            ctx.add_to_context("It rains.", run_immediately=True)
            ctx.change_agent("Be brief.", [helpful])
            assert ctx.picture("camera") == b"jpeg"
            assert ctx.picture() is None
            ctx.end_call()
            return [ctx.call_id, ctx.caller, *(f"{turn.speaker}: {turn.text}" for turn in ctx.transcript)]

        model = Model(tool(work, context="ctx"))
        model.calls.call("c1", "probe", {})
        await settle()
        assert model.told == [ToolResult("c1", "probe", {"output": ["c1", "+4930123456", "caller: hello"]})]
        assert model.host.asked == [
            ("say", "One moment."),
            ("send_event", "seen", {"day": "2026-01-02"}),
            ("add_to_context", "It rains.", "system", True),
            ("change_agent", "Be brief.", ["helpful"]),
            ("end_call",),
        ]

    run(scenario())


def adds_notes(ctx: CallContext) -> None:
    for number in range(3000):
        ctx.add_to_context(f"note {number}")


async def adds_notes_and_waits(ctx: CallContext) -> None:
    for number in range(3000):
        ctx.add_to_context(f"note {number}")
        await asyncio.sleep(0)


async def says_and_changes(ctx: CallContext) -> None:
    for _ in range(1500):
        ctx.say("One moment.")
        ctx.change_agent("Be brief.")


async def sends_events(ctx: CallContext) -> None:
    for number in range(3000):
        ctx.send_event("step", number)


async def goes_on(ctx: CallContext) -> None:
    for number in range(3000):
        with suppress(ToolError):
            ctx.add_to_context(f"note {number}")
    raise ToolError("nothing more")


@pytest.mark.parametrize("function", [adds_notes, adds_notes_and_waits, says_and_changes, sends_events, goes_on])
def test_a_tool_that_tells_too_much_is_at_fault(function: Any) -> None:
    async def scenario() -> None:
        model = Model(tool(function, context="ctx"))
        model.calls.call("c1", "probe", {})
        await asyncio.wait_for(model.finished.wait(), TIMEOUT_S)
        await settle()
        assert model.outcomes == ["error"]
        assert len(model.host.asked) <= APP_EVENT_RATE[1] + 1
        model.finished.clear()
        model.calls.call("c2", "probe", {})  # what is told is bounded for the whole call, not for each run
        await asyncio.wait_for(model.finished.wait(), TIMEOUT_S)
        await settle()
        assert len(model.host.asked) <= APP_EVENT_RATE[1] + 1

    run(scenario())


def test_a_tool_may_tell_again_later_and_no_more_than_can_be_told() -> None:
    async def scenario() -> None:
        async def tells(ctx: CallContext) -> None:
            ctx.add_to_context("x" * 100_000)

        async def adds(ctx: CallContext) -> None:
            for _ in range(int(NOTE_RATE[1])):
                ctx.add_to_context("note")

        model = Model(tool(adds, context="ctx"))
        for number in range(3):
            model.calls.call(f"c{number}", "probe", {})
            await settle()
            await let_pass(NOTE_RATE[1] / NOTE_RATE[0])
        assert model.outcomes == ["result"] * 3
        model.calls.replace([tool(tells, context="ctx")])
        model.calls.call("c9", "probe", {})
        await settle()
        assert model.outcomes[-1] == "error"

    run(scenario())


def test_a_tool_that_wants_a_yes_runs_the_second_time() -> None:
    async def scenario() -> None:
        runs: list[int] = []

        async def unlock(door: int) -> None:
            runs.append(door)

        model = Model(tool(unlock, confirm=True))
        model.calls.call("c1", "probe", {"door": 1})
        await settle()
        model.calls.call("c2", "probe", {"door": 1})  # nobody has said anything yet
        await settle()
        assert model.outcomes == ["unconfirmed", "unconfirmed"]
        await let_pass(2.0)
        model.host.say_to_agent("yes")
        model.calls.call("c3", "probe", {"door": 2})  # another thing
        await settle()
        assert runs == []
        model.calls.call("c4", "probe", {"door": 1})
        await settle()
        assert runs == [1]
        assert model.outcomes[-1] == "result"

    run(scenario())


@pytest.mark.parametrize(
    ("words", "outcome", "told"),
    [
        ("no", "unconfirmed", "the caller did not say yes"),
        ("maybe", "unconfirmed", "not clearly said yes"),
        ("what does it cost?", "unconfirmed", "not clearly said yes"),
        ("yes", "result", "opened"),
        (None, "unconfirmed", "not clearly said yes"),
    ],
)
def test_words_that_come_late_are_waited_for(words: str | None, outcome: str, told: str) -> None:
    async def scenario() -> None:
        async def unlock() -> str:
            return "opened"

        model = Model(tool(unlock, confirm=True))
        model.calls.call("c1", "probe", {})
        await settle()
        await let_pass(2.0)
        model.host.caller_spoke_at = loop_time()  # its words are still on their way
        model.calls.call("c2", "probe", {})
        await let_pass(1.0)
        assert model.outcomes == ["unconfirmed"]
        if words is not None:
            model.host.turns.append(("t1", words))
        for _ in range(30):
            await let_pass(0.1)
        assert model.outcomes == ["unconfirmed", outcome]
        answer = model.told[-1]
        assert isinstance(answer, ToolResult)
        assert told in answer.response["output"]

    run(scenario())


# --- random orders


class Server:
    """The other side: makes calls, takes them back, goes away; and watches what it is told."""

    def __init__(self) -> None:
        self.session = 0
        self.asked: dict[tuple[int, str], int] = {}  # which piece of work
        self.finals: list[tuple[int, str]] = []
        self.cancelled: set[tuple[int, str]] = set()
        self.notes = 0
        self.wrong: list[str] = []
        self.works: dict[int, asyncio.Future[str]] = {}
        self.contexts: dict[int, CallContext] = {}
        self.events: list[events.Event] = []
        self.calls = ToolCalls(
            [
                Tool("work", "", {}, self.work, TIMEOUT_S, "NON_BLOCKING", "WHEN_IDLE", "ctx"),
                Tool("wait", "", {}, self.work, TIMEOUT_S, "BLOCKING", None, "ctx"),
            ],
            FakeCall(),
            tell=self.told,
            emit=self.events.append,
        )

    async def work(self, ctx: CallContext, number: int) -> str:
        self.contexts[number] = ctx
        self.works[number] = asyncio.get_running_loop().create_future()
        return await self.works[number]

    def told(self, item: ToolResult | Note, _awaited: bool | None) -> None:
        if isinstance(item, Note):
            self.notes += 1
            return
        asked = (self.session, item.call_id)
        if asked not in self.asked:
            self.wrong.append(f"a dead or unknown id: {asked}")
        if asked in self.cancelled:
            self.wrong.append(f"a cancelled call: {asked}")
        if asked in self.finals:
            self.wrong.append(f"a second answer: {asked}")
        if not item.will_continue:
            self.finals.append(asked)

    def ask(self, call_id: str, name: str, number: int) -> None:
        known = (self.session, call_id) in self.asked
        self.asked[self.session, call_id] = number
        before = len(self.finals)
        self.calls.call(call_id, name, {"number": number})
        assert not known or len(self.finals) == before

    def take_back(self, call_ids: list[str]) -> None:
        self.calls.cancel(call_ids)
        self.cancelled |= {(self.session, call_id) for call_id in call_ids if (self.session, call_id) in self.asked}
        self.cancelled -= set(self.finals)

    def replace(self) -> None:
        self.calls.session_replaced(())
        self.session += 1


NUMBERS = st.integers(0, 12)
CALL_IDS = st.sampled_from([f"call-{number}" for number in range(8)])
STEPS = st.one_of(
    st.tuples(st.just("ask"), CALL_IDS, NUMBERS),
    st.tuples(st.just("ask"), CALL_IDS, NUMBERS),
    st.tuples(st.sampled_from(["finish", "fail", "progress"]), CALL_IDS, NUMBERS),
    st.tuples(st.sampled_from(["cancel", "interrupt", "go_away", "disconnect"]), CALL_IDS, NUMBERS),
    st.tuples(st.sampled_from(["time_out", "settle"]), CALL_IDS, NUMBERS),
)


async def play(steps: list[tuple[str, str, int]]) -> Server:
    server = Server()
    for step, call_id, number in steps:
        work = server.works.get(number)
        running = work is not None and not work.done()
        match step:
            case "ask":
                server.ask(call_id, ("work", "wait")[number % 2], number)
            case "finish" if running and work is not None:
                work.set_result("done")
            case "fail" if running and work is not None:
                work.set_exception(ToolError("no"))
            case "progress" if number in server.contexts:
                server.contexts[number].progress(number)
            case "cancel":
                server.take_back([call_id])
            case "interrupt":  # the model takes back the calls that it waits for
                blocking = {
                    call for (session, call), what in server.asked.items() if session == server.session and what % 2
                }
                server.take_back(sorted(blocking))
            case "go_away":  # a quiet swap: nothing is under way
                await settle()
                server.replace()
            case "disconnect":  # in the middle of it all
                server.replace()
            case "time_out":
                await let_pass(TIMEOUT_S + 1)
            case "settle":
                await settle()
    await settle()
    await let_pass(TIMEOUT_S + 1)
    return server


@given(st.lists(STEPS, max_size=40))
def test_every_call_ends_exactly_once_in_any_order(steps: list[tuple[str, str, int]]) -> None:
    async def scenario() -> None:
        server = await play(steps)
        assert server.wrong == []
        owed = {asked for asked in server.asked if asked[0] == server.session}
        assert owed == {asked for asked in [*server.finals, *server.cancelled] if asked in owed}
        called = [event.call_id for event in server.events if isinstance(event, events.ToolCalled)]
        finished = [event for event in server.events if isinstance(event, events.ToolFinished)]
        assert len(called) == len(set(called))
        assert sorted(called) == sorted(event.call_id for event in finished)
        await server.calls.end()
        assert len(server.events) == 2 * len(called)

    run(scenario())


@given(st.lists(STEPS, max_size=40))
def test_the_end_of_the_call_ends_every_tool(steps: list[tuple[str, str, int]]) -> None:
    async def scenario() -> None:
        server = Server()
        for step, call_id, number in steps:
            if step == "ask":
                server.ask(call_id, "work", number)
            elif step in ("go_away", "disconnect"):
                server.replace()
            elif step == "settle":
                await settle()
        told = len(server.finals) + server.notes
        await server.calls.end()
        await settle()
        assert len(server.finals) + server.notes == told
        kinds = [type(event) for event in server.events]
        assert kinds.count(events.ToolCalled) == kinds.count(events.ToolFinished)
        assert len(asyncio.all_tasks()) == 1

    run(scenario())
