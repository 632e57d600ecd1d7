"""Messages that the server refuses: invalid ones are never sent, refused ones not again and again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent import events
from agent.author.agent import Agent, declared
from agent.call.call import Call
from agent.call.setup import AgentSetup
from agent.emulator import CallFunction, HookedSession, Hooks, Moment, Reply, Say, Turn, running_emulator
from agent.emulator.faults.kinds import Close, Fault, RefuseText, WithholdHandles
from agent.live.client import live_client
from agent.settings import Settings
from agent.tools.context import CallContext
from agent.tools.declare import Tool
from tests.support.line import QUICK, Line, on_line
from tests.support.service import emulator_endpoint
from tests.survival.registry import survives

REASON = "Request contains an invalid argument"
FAST: dict[str, Any] = {"pace": 50.0, "await_playback": False}
HALF = "half \ud83d"  # of an emoji, as JSON can say it
WHOLE = "half \ufffd"


def says_what_it_knows(turn: Turn) -> Reply:
    """Answer with tools' results, or the text."""
    return (Say("Your name is Ada."),)


def texts(line: Line) -> list[str]:
    """Return what was typed or noted to the last session."""
    return list(line.emulator.sessions[-1].texts)


def violations(line: Line) -> list[str]:
    return [each for session in line.emulator.sessions for each in session.violations]


def refused(line: Line) -> list[tuple[str, str]]:
    return [(data["what"], data["reason"]) for data in line.datas("input-refused")]


@survives(
    "a client sends half an emoji",
    caller="an answer; the model reads a sign for what cannot be read in its place",
)
async def test_half_an_emoji_is_typed() -> None:
    async with on_line(on_turn=says_what_it_knows, settings=QUICK) as line:
        await line.hears(lambda: line.caller.type(HALF))
        assert texts(line) == [WHOLE]
        assert violations(line) == []
        assert line.count("session-lost") == 0
        (typed,) = [m["data"]["text"] for m in line.caller.messages if m["type"] == "user-transcription"]
        assert typed == WHOLE
        line.caller.send("client-message", {"t": "append-to-context", "d": {"content": HALF}}, HALF)
        answer = await line.caller.until(
            lambda: next((m for m in line.caller.messages if m["type"] == "server-response"), None)
        )
        assert answer["id"] == WHOLE
        await line.emulator.wait_for(lambda: bool(line.emulator.sessions[-1].contents))
        assert line.emulator.sessions[-1].contents[0].turns == (("user", WHOLE),)


@survives("a tool, an agent's file or an MCP server's description holds half an emoji", caller="nothing")
async def test_half_an_emoji_in_all_that_an_agent_is() -> None:
    async def odd(call: CallContext) -> dict[str, Any]:
        call.say(HALF)
        call.send_event(HALF, {HALF: [HALF]})
        call.add_to_context(HALF)
        call.change_agent(HALF)
        return {HALF: [{"deep": HALF}, {HALF: None}]}

    parameters = {"type": "object", "properties": {HALF: {"type": "string"}}}
    tool = Tool("odd", HALF, parameters, odd, behavior="NON_BLOCKING", context="call")

    def script(turn: Turn) -> Reply:
        return (CallFunction("odd", {}),) if turn.text == "go" else (Say("Done."),)

    agent = Agent(instructions=HALF, greeting=HALF, tools=(tool,))
    async with on_line(on_turn=script, settings=QUICK, definition=agent) as line:
        session = line.emulator.sessions[0]
        (declared,) = session.setup["tools"][0]["functionDeclarations"]
        assert session.instruction == WHOLE
        assert (declared["description"], list(declared["parametersJsonSchema"]["properties"])) == (WHOLE, [WHOLE])
        await line.emulator.wait_for(lambda: any(WHOLE in text for text in session.texts))  # the greeting
        line.caller.type("go")
        await line.emulator.wait_for(lambda: bool(session.tool_results))
        assert session.tool_results[0].response == {"output": {WHOLE: [{"deep": WHOLE}, {WHOLE: None}]}}
        event = await line.told("app-event")
        assert (event["name"], event["data"]) == (WHOLE, {WHOLE: [WHOLE]})
        await line.emulator.wait_for(lambda: session.instruction == WHOLE and len(session.texts) >= 3)
        assert violations(line) == []
        assert (len(line.emulator.sessions), line.count("session-lost")) == (1, 0)


@survives(
    "the server refuses what was typed (1007), each time that it is sent",
    caller="no answer to that; the next one is answered",
    events=("session-lost live", "input-refused text"),
    log="the Live server has refused something twice, and is not sent it again: text",
)
@pytest.mark.parametrize("handles", [True, False])
async def test_a_text_that_is_refused(handles: bool) -> None:
    """Without handles each session is told the history, too; what was refused is no part of it."""
    faults: list[Fault] = [RefuseText(text="poison"), *([] if handles else [WithholdHandles()])]
    async with on_line(on_turn=None, faults=faults, settings=QUICK, **FAST) as line:
        await line.hears(lambda: line.caller.type("my name is Ada"))
        line.caller.type("poison")
        await line.counted("input-refused", 1)
        await line.counted("session-replaced", 2)
        await line.hears(lambda: line.caller.type("what is my name"))
        assert refused(line) == [("text", REASON)]
        assert (line.count("session-lost"), line.count("session-replaced")) == (2, 2)
        assert texts(line)[-1] == "what is my name"
        await line.caller.message("bot-output", lambda data: data["text"] == "Your name is Ada.")
        assert violations(line) == []


async def test_of_two_texts_that_were_typed_at_once_the_good_one_is_answered() -> None:
    for first, second in (("poison", "my name is Ada"), ("my name is Ada", "poison")):
        async with on_line(on_turn=None, faults=[RefuseText(text="poison")], settings=QUICK, **FAST) as line:
            line.caller.type(first)
            line.caller.type(second)
            await line.counted("session-replaced", 2)
            await line.caller.message("bot-output", lambda data: data["text"] == "Nice to meet you, Ada.")
            assert refused(line) == [("text", REASON)]


def books(turn: Turn) -> Reply:
    if turn.results:
        return (Say("It failed." if "error" in turn.results[0].response else "It worked."),)
    return (CallFunction("book", {}),) if turn.text == "book" else (Say("Hello."),)


@survives(
    "the server refuses the result of a tool (1007), each time that it is sent",
    caller="the agent says that it failed; the tool runs once",
    events=("session-lost live", "input-refused tool_result"),
)
@pytest.mark.parametrize("handles", [True, False])
async def test_a_tools_result_that_is_refused(handles: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    async def book() -> str:
        """Book."""
        runs.append(1)
        return "poison"

    faults: list[Fault] = [RefuseText(text="poison"), *([] if handles else [WithholdHandles()])]
    definition = Agent(tools=(book,))
    async with on_line(on_turn=books, faults=faults, settings=QUICK, definition=definition, **FAST) as line:
        await line.hears(lambda: line.caller.type("hello"))
        line.caller.type("book")
        await line.caller.message("bot-output", lambda data: data["text"] == "It failed.")
        assert refused(line) == [("tool_result", REASON)]
        assert len(runs) == 1
        assert violations(line) == []
        await line.hears(lambda: line.caller.type("hello"))


@survives(
    "the server refuses a change of the agent (1007), within a session or as a set-up",
    caller="nothing: the agent stays who it was",
    events=("session-lost", "input-refused agent_change"),
)
@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-2.5-flash-native-audio-preview-12-2025"])
async def test_a_change_of_the_agent_that_is_refused(model: str) -> None:
    async def change(call: CallContext) -> str:
        """Change."""
        call.change_agent("Be poison.", [])
        return "changed"

    def script(turn: Turn) -> Reply:
        return (CallFunction("change", {}),) if turn.text == "change" else (Say("Hello."),)

    settings = {**QUICK, "model": model, "system_instruction": "Be kind.", "client_may_instruct": True}
    faults = [RefuseText(text="Be poison.")]
    definition = Agent(tools=(change,))
    async with on_line(on_turn=script, faults=faults, settings=settings, definition=definition, **FAST) as line:
        await line.hears(lambda: line.caller.type("hello"))
        line.caller.type("change")
        await line.counted("input-refused", 1)
        await line.counted("session-replaced", 1)
        await line.hears(lambda: line.caller.type("hello"))
        last = line.emulator.sessions[-1]
        assert refused(line) == [("agent_change", REASON)]
        assert last.instruction == "Be kind."
        assert [tool["name"] for tool in last.setup["tools"][0]["functionDeclarations"]] == ["change"]
        assert line.datas("call-info")[-1]["tools"] == ["change"]
        assert violations(line) == []


async def test_a_change_that_is_refused_is_taken_back_even_if_it_came_while_the_session_was_set_up() -> None:
    """The set-up that the server took is the one before, not the one that was to come."""

    async def kind() -> str:
        """Be kind."""
        return "kind"

    class ChangesAtOnce(Hooks):
        async def at(self, session: HookedSession, moment: Moment) -> None:
            if moment is Moment.SETUP_RECEIVED and len(emulator.sessions) == 1:
                call.change_agent("Be poison.", [])

    refused = asyncio.Event()

    def note(event: events.Event) -> None:
        if isinstance(event, events.InputRefused):
            refused.set()

    settings = Settings(system_instruction="Be kind.")
    async with running_emulator(hooks=ChangesAtOnce, faults=[RefuseText(text="Be poison.")]) as emulator:
        client = live_client(emulator_endpoint(emulator), settings)
        call = Call("c", client=client, setup=AgentSetup.of(settings, declared([kind])))
        call.observe(note)
        running = asyncio.create_task(call.run(None))
        async with asyncio.timeout(20):
            await refused.wait()
        assert call.tools.names == ["kind"]
        assert call.keep().instructions is None
        call.hang_up("hung_up", "The test is over.", "caller")
        await running


@survives(
    "the server closes (1007) whenever it hears a question, however often it is sent again",
    caller="no answer to that question; the next one is answered",
    events=("session-lost live", "input-refused speech"),
)
async def test_speech_that_is_refused() -> None:
    """The server does not say that it was the speech, but nothing else was sent."""
    faults = [Close(session=number, at="speech_ended", code=1007, reason=REASON) for number in (1, 2)]
    async with on_line(answer_s=0.3, faults=faults, settings=QUICK) as line:
        await line.ask()
        await line.counted("input-refused", 1)
        await line.counted("session-replaced", 2)
        await line.hears()
        assert refused(line) == [("speech", REASON)]
        assert line.heard_s() == pytest.approx([0.3], abs=0.03)
