"""What the model is told besides speech: new instructions, notes, first words, pictures with a question."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from agent import Agent, CallContext
from agent.emulator import Emulator
from agent.emulator.faults.kinds import Close, RefuseHandle
from agent.media.still import read_still
from agent.settings import DEFAULT_INSTRUCTION
from signaling.client.caller import Caller, call_service
from tests.support.line import FAST, TRUSTING, on_line, says, transcribed
from tests.support.pictures import BLUE, RED, Show, blue_jpeg, sent
from tests.support.service import ServiceFactory


async def ask(caller: Caller, what: str, **details: Any) -> dict[str, Any]:
    """Send a client-message; return the ``d`` of its answer."""
    asked = len(caller.messages)
    caller.send("client-message", {"t": what, "d": details}, message_id=what)
    answer = await caller.message("server-response", lambda data: data["t"] == what, after=asked)
    found: dict[str, Any] = answer["d"]
    return found


async def test_a_note_is_known_and_not_answered_and_survives_a_lost_session() -> None:
    faults = [Close(at="turn_completed", nth=1, session=1), RefuseHandle()]
    async with on_line(**FAST, faults=faults, settings=TRUSTING) as line:
        note = {"role": "system", "content": "The caller logged in. My name is Ada."}
        await ask(line.caller, "append-to-context", **note)
        await line.emulator.wait_for(lambda: bool(line.emulator.sessions[0].contents))
        assert line.count("bot-llm-started") == 0
        line.caller.type("what is one plus one")
        await says(line.caller, "2")
        await line.told("context-rebuilt")
        line.caller.type("what is my name")
        await says(line.caller, "Your name is Ada.")
        assert not any("Ada" in data["text"] for data in transcribed(line.caller))


async def test_a_note_may_be_answered_at_once_by_rtvis_own_message() -> None:
    async with on_line(**FAST) as line:
        line.caller.send(
            "append-to-context", {"role": "user", "content": "what is two plus two", "run_immediately": True}
        )
        await says(line.caller, "4")
        assert transcribed(line.caller) == []


async def test_instructions_change_in_the_session_and_stay_in_the_next() -> None:
    faults = [Close(at="turn_completed", nth=1, session=1)]
    async with on_line(**FAST, faults=faults, settings=TRUSTING) as line:
        (first,) = line.emulator.sessions
        assert first.instruction == DEFAULT_INSTRUCTION
        await ask(line.caller, "update-instructions", instructions="You are a pirate.")
        await line.emulator.wait_for(lambda: first.instruction == "You are a pirate.")
        line.caller.type("what is one plus one")
        await line.told("session-replaced")
        assert line.emulator.sessions[1].instruction == "You are a pirate."
        assert line.emulator.sessions[1].received["ContextUpdate"] == 0


async def test_a_model_that_takes_no_change_gets_another_session() -> None:
    settings = {"model": "gemini-2.5-flash-native-audio", **TRUSTING}
    async with on_line(**FAST, settings=settings) as line:
        line.caller.type("my name is Ada")
        await says(line.caller, "Nice to meet you")
        await ask(line.caller, "update-instructions", instructions="You are a pirate.")
        assert (await line.told("session-replaced"))["resumed"] is True
        line.caller.type("what is my name")
        await says(line.caller, "Your name is Ada.")
        assert [session.instruction for session in line.emulator.sessions][1:] == ["You are a pirate."]
        assert line.emulator.sessions[0].received["ContextUpdate"] == 0


async def test_another_agent_takes_over() -> None:
    def sell(what: str) -> str:
        """Sell something."""
        return f"sold {what}"

    def transfer(ctx: CallContext) -> str:
        """Hand over to sales."""
        ctx.change_agent("You sell boats.", [sell])
        return "done"

    async with on_line(
        **FAST,
        settings={"tool_reports": "full"},
        definition=Agent(instructions="You sort calls.", tools=[transfer]),
    ) as line:
        line.caller.type("call transfer")
        await line.caller.message("llm-function-call-stopped")
        (session,) = line.emulator.sessions
        await line.emulator.wait_for(lambda: session.instruction == "You sell boats.")
        line.caller.type('call sell {"what": "a boat"}')
        await line.caller.message(
            "llm-function-call-stopped", lambda data: data["result"] == {"output": "sold a boat"}
        )
        line.caller.type("call transfer")
        await says(line.caller, "no function with that name")


@pytest.mark.parametrize(
    ("what", "details", "why"),
    [
        ("append-to-context", {"role": "system", "content": "x"}, "client_may_instruct"),
        ("append-to-context", {"role": "assistant", "content": "x"}, "client_may_instruct"),
        ("append-to-context", {"role": ["user"], "content": "x"}, "role must be one of"),
        ("append-to-context", {"content": " "}, "not empty"),
        ("append-to-context", {"content": "x" * 17_000}, "longer"),
        ("update-instructions", {"instructions": "You are a pirate."}, "client_may_instruct"),
        ("ask-about-pictures", {"content": "what is this"}, "pictures"),
        ("ask-about-pictures", {"content": "what is this", "pictures": []}, "pictures"),
        ("ask-about-pictures", {"content": "what is this", "pictures": [7]}, "Base64"),
        ("ask-about-pictures", {"content": "what is this", "pictures": ["*"]}, "Base64"),
        ("ask-about-pictures", {"content": "what is this", "pictures": ["R0lGODlh"]}, "neither"),
        ("describe", {}, "nothing is shown"),
        ("describe", {"source": "elsewhere"}, "source"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_harms_nothing(
    service: ServiceFactory, emulator: Emulator, what: str, details: dict[str, Any], why: str
) -> None:
    async with service() as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.send("client-message", {"t": what, "d": details}, message_id="7")
        error = await caller.message("error-response")
        assert error["error"].startswith(what)
        assert why in error["error"]
        caller.send("client-message", {"t": what, "d": "no object"}, message_id="8")
        await caller.until(lambda: sum(message["type"] == "error-response" for message in caller.messages) == 2)
        (session,) = emulator.sessions
        assert session.open
        assert not set(session.received) & {"Text", "Content", "ContextUpdate"}


async def test_the_initial_message_is_said_once_and_not_shown() -> None:
    faults = [Close(at="turn_completed", nth=1, session=1)]
    settings = {"initial_message": "what is six plus seven", "initial_message_delay_s": 0.2}
    async with on_line(**FAST, faults=faults, settings=settings) as line:
        await says(line.caller, "13")
        await line.told("session-replaced")
        line.caller.type("what is one plus one")
        await says(line.caller, "2")
        assert [text for session in line.emulator.sessions for text in session.texts] == [
            "what is six plus seven",
            "what is one plus one",
        ]
        assert {data["text"] for data in transcribed(line.caller)} == {"what is one plus one"}


async def test_a_caller_who_is_first_is_answered_instead() -> None:
    settings = {"initial_message": "what is six plus seven", "initial_message_delay_s": 1.0}
    async with on_line(**FAST, settings=settings) as line:
        line.caller.type("what is one plus one")
        await says(line.caller, "2")
        heard = len(line.caller.heard)
        await line.caller.until(lambda: len(line.caller.heard) > heard + 75)  # the delay is over
        assert list(line.emulator.sessions[0].texts) == ["what is one plus one"]


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.1-flash-live-preview"])
async def test_a_question_about_two_pictures_is_one_turn(model: str) -> None:
    """They go in one content if the model takes that, else as if the pictures were shown and the question typed."""
    pictures = [
        base64.b64encode(blue_jpeg(64, 48)).decode(),
        "data:image/jpeg;base64," + base64.b64encode(blue_jpeg(96, 48)).decode(),
    ]
    async with on_line(**FAST, settings={"model": model}) as line:
        await ask(line.caller, "ask-about-pictures", content="what do you see", pictures=pictures)
        await says(line.caller, "I received a picture of 96 by 48 pixels. I have 2 pictures so far.")
        (session,) = line.emulator.sessions
        assert (len(session.contents), session.picture_count) == ((1, 0) if model.endswith("live") else (0, 2))
        assert transcribed(line.caller)[-1]["text"] == "what do you see"


async def test_the_agent_describes_what_is_shown(service: ServiceFactory, emulator: Emulator) -> None:
    camera, screen = Show(RED, 10, still=True), Show(BLUE, 10, still=True)
    async with service() as url, call_service(url, videos=[camera, screen]) as caller:
        await caller.message("bot-ready")
        await caller.until(lambda: set(sent(caller)) == {"camera", "screen"})
        answer = await ask(caller, "describe", source="screen", content="what do you see")
        assert answer == {"sources": ["screen"]}
        await says(caller, "320 by 240")
        (content,) = emulator.sessions[0].contents
        (picture,) = content.pictures
        assert (read_still(picture.data).width, content.turns) == (320, (("user", "what do you see"),))

        # a still picture is sent once; a screenshot sends it again
        (session,) = emulator.sessions
        shown = session.picture_count
        assert sorted((await ask(caller, "screenshot"))["sources"]) == ["camera", "screen"]
        await emulator.wait_for(lambda: session.picture_count == shown + 2)


async def test_typed_text_brings_what_is_shown_where_the_model_would_not_look(
    service: ServiceFactory, emulator: Emulator
) -> None:
    async with service(turn_coverage="activity") as url, call_service(url, videos=[Show(RED, 10)]) as caller:
        await caller.message("bot-ready")
        await caller.message("server-message", lambda data: data["type"] == "picture-sent")
        caller.type("what do you see")
        await says(caller, "320 by 240")
        (content,) = emulator.sessions[0].contents
        assert len(content.pictures) == 1
