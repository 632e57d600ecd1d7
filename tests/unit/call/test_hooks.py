"""Hooks run in order and within bounds, and their failures harm nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agent import Agent, events
from agent.author.hooks import Hooks
from agent.call.hooks import MAX_WAITING, CallHooks, HookCounts
from agent.errors import ConfigError
from agent.spoken import Spoken
from tests.support.fake_call import FakeCall, let_pass, run, settle

ENDED = events.CallEnded("hung_up", "The caller hung up.", "caller")


async def forever(*_: Any) -> None:
    await asyncio.Event().wait()


def test_hooks_run_one_after_another_in_the_order_of_what_happened() -> None:
    async def scenario() -> None:
        told: list[Any] = []
        may_go_on = asyncio.Event()

        async def started(call: Any) -> None:
            await may_go_on.wait()
            told.append(("started", call.call_id))

        async def spoken(_call: Any, what: Spoken) -> None:
            told.append(what)

        async def event(_call: Any, what: events.Event) -> None:
            told.append(type(what).__name__)

        async def ended(_call: Any, what: events.CallEnded) -> None:
            told.append(("ended", what))

        counts = HookCounts()
        hooks = CallHooks(Hooks(started, ended, spoken, event), FakeCall(), counts)
        hooks.note(events.CallerTranscribed("t1", 1, "hel", final=False))
        hooks.note(events.CallerTranscribed("t1", 2, "hello", final=True))
        hooks.note(events.AppEventSent("mine", 1))
        hooks.note(events.AgentTranscribed("t2", 1, "", final=True, interrupted=True))
        hooks.note(ENDED)
        await settle()
        assert told == []
        may_go_on.set()
        await hooks.end()
        assert told == [
            ("started", "c1"),
            "CallerTranscribed",
            "CallerTranscribed",
            Spoken("caller", "hello"),
            "AgentTranscribed",
            "CallEnded",
            ("ended", ENDED),
        ]
        assert counts == HookCounts()

    run(scenario())


def test_with_too_many_due_further_ones_are_dropped_but_never_the_end() -> None:
    async def scenario() -> None:
        told: list[events.Event] = []

        async def event(_call: Any, what: events.Event) -> None:
            told.append(what)

        ends: list[events.Event] = []

        async def ended(_call: Any, what: events.CallEnded) -> None:
            ends.append(what)

        counts = HookCounts()
        hooks = CallHooks(Hooks(on_call_ended=ended, on_event=event), FakeCall(), counts)
        sent = [events.GenerationStarted(number) for number in range(MAX_WAITING + 9)]
        for each in sent:
            hooks.note(each)
        hooks.note(ENDED)
        await hooks.end()
        assert told == sent[:MAX_WAITING]
        assert (ends, counts) == ([ENDED], HookCounts(dropped=10))

    run(scenario())


def test_a_hook_that_takes_too_long_is_given_up_and_the_next_runs() -> None:
    async def scenario() -> None:
        told: list[events.Event] = []

        async def event(_call: Any, what: events.Event) -> None:
            if not told:
                told.append(what)
                await forever()
            told.append(what)

        counts = HookCounts()
        hooks = CallHooks(Hooks(on_event=event), FakeCall(), counts)
        hooks.note(events.GenerationStarted(1))
        hooks.note(events.GenerationStarted(2))
        await settle()
        assert len(told) == 1
        await let_pass(10.1)
        assert told[1:] == [events.GenerationStarted(2)]
        assert counts == HookCounts(failed=1)
        await hooks.end()

    run(scenario())


def test_at_the_end_a_slow_hook_is_not_waited_for_and_the_end_is_told() -> None:
    async def scenario() -> None:
        ends: list[events.Event] = []

        async def ended(_call: Any, what: events.CallEnded) -> None:
            ends.append(what)

        counts = HookCounts()
        hooks = CallHooks(Hooks(on_call_ended=ended, on_event=forever), FakeCall(), counts)
        hooks.note(events.GenerationStarted(1))
        hooks.note(events.GenerationStarted(2))
        hooks.note(ENDED)
        ending = asyncio.create_task(hooks.end())
        await settle()
        assert not ending.done()
        await let_pass(5.1)
        await let_pass(0)
        assert ending.done()
        assert (ends, counts.dropped) == ([ENDED], 2)

    run(scenario())


def test_a_hook_that_hangs_at_the_end_is_given_up() -> None:
    async def scenario() -> None:
        counts = HookCounts()
        hooks = CallHooks(Hooks(on_call_ended=forever), FakeCall(), counts)
        hooks.note(ENDED)
        ending = asyncio.create_task(hooks.end())
        await settle()
        await let_pass(5.1)
        assert ending.done()
        assert counts == HookCounts(failed=1)

    run(scenario())


def test_a_plain_hook_runs_in_a_thread_of_its_own_and_may_ask_things_of_the_call() -> None:
    async def scenario() -> None:
        threads: list[int] = []
        host = FakeCall()

        def started(call: Any) -> None:
            threads.append(threading.get_ident())
            call.say(f"Hello {call.caller}, {call.transcript[0].text}")
            call.progress(1)

        hooks = CallHooks(Hooks(on_call_started=started), host, HookCounts())
        await hooks.end()
        await settle()
        assert threads[0] != threading.get_ident()
        assert host.asked == [("say", "Hello +4930123456, hello")]

    asyncio.run(scenario())


@pytest.mark.parametrize("raised", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("plain", [True, False], ids=["plain", "async"])
def test_a_hook_that_raises_what_is_no_error_does_not_end_the_others(
    raised: type[BaseException], plain: bool
) -> None:
    async def scenario() -> None:
        told: list[events.Event] = []

        def event(_call: Any, what: events.Event) -> None:
            told.append(what)
            raise raised

        async def event_later(_call: Any, what: events.Event) -> None:
            event(_call, what)

        counts = HookCounts()
        hook = event if plain else event_later
        hooks = CallHooks(Hooks(on_event=hook, on_call_ended=hook), FakeCall(), counts)
        hooks.note(events.GenerationStarted(1))
        hooks.note(ENDED)
        await hooks.end()
        assert told == [events.GenerationStarted(1), ENDED, ENDED]
        assert counts == HookCounts(failed=3)

    asyncio.run(scenario())


def one(_call: Any) -> None: ...
def two(_call: Any, _what: Any) -> None: ...
def three(_call: Any, _what: Any, _more: Any = None) -> None: ...
def needs_three(_call: Any, _what: Any, _more: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "hook", "words"),
    [
        ("on_call_started", two, "on_call_started must take \\(call\\)"),
        ("on_call_ended", one, "on_call_ended must take \\(call, ended\\)"),
        ("on_transcript", needs_three, "on_transcript must take \\(call, spoken\\)"),
        ("on_event", one, "test_hooks.py, line .*: one: on_event must take \\(call, event\\)"),
        ("on_event", 7, "on_event must be a function, not int"),
    ],
)
def test_what_cannot_be_a_hook_is_refused(name: str, hook: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Agent(**{name: hook}).hooks()


@pytest.mark.parametrize("hook", [two, three, print, lambda *_: None, forever])
def test_what_can_be_called_so_is_a_hook(hook: Callable[..., Any]) -> None:
    assert Agent(on_event=hook).hooks() == Hooks(on_event=hook)
    assert not Agent().hooks()
