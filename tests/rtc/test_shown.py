"""What the model sends besides speech reaches the client: sources, programs, thoughts, word times."""

from __future__ import annotations

from typing import Any

from agent.emulator import Raw, Reply, Say, Turn, message
from tests.support.line import on_line

ANSWER = "It is sunny."


def content(**fields: Any) -> Raw:
    return Raw(message("raw", {"serverContent": fields}))


def part(**fields: Any) -> Raw:
    return content(modelTurn={"role": "model", "parts": [fields]})


def tell_all(_turn: Turn) -> Reply:
    chunks = [
        {"web": {"uri": "https://weather.example/rome", "title": "Weather in Rome"}},
        {"web": {"uri": "javascript:alert(1)", "title": "Click me"}},
    ]
    words = [{"word": "rome", "startOffset": "1.2s", "endOffset": "1.6s"}]
    return (
        content(inputTranscription={"text": "rome", "words": words}),
        part(text="The caller asks about Rome.", thought=True),
        part(executableCode={"language": "PYTHON", "code": "print(7 * 6)"}),
        part(codeExecutionResult={"outcome": "OUTCOME_OK", "output": "42\n"}),
        content(groundingMetadata={"webSearchQueries": ["weather rome"], "groundingChunks": chunks}),
        Say(ANSWER),
    )


async def test_sources_programs_and_times_are_told() -> None:
    settings = {
        "model": "offline-demo",
        "search": True,
        "code_execution": True,
        "include_thoughts": True,
        "transcription_timestamps": True,
    }
    async with on_line(on_turn=tell_all, settings=settings) as line:
        line.caller.type("what about rome")
        found = await line.caller.message("bot-llm-search-response")
        assert [(each["site_title"], each["site_uri"]) for each in found["origins"]] == [
            ("Weather in Rome", "https://weather.example/rome")
        ]
        assert found["queries"] == ["weather rome"]
        assert (await line.told("code-written"))["code"] == "print(7 * 6)"
        assert (await line.told("code-ran"))["output"] == "42\n"
        assert (await line.told("agent-thought"))["text"] == "The caller asks about Rome."
        (word,) = (await line.told("caller-words-timed"))["words"]
        assert word == {"text": "rome", "start_s": 1.2, "end_s": 1.6}
        said = await line.caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert said["text"] == ANSWER
        setup = line.emulator.sessions[0].setup
        assert setup["generationConfig"]["thinkingConfig"] == {"includeThoughts": True}
        assert [list(tool) for tool in setup["tools"]][:2] == [["googleSearch"], ["codeExecution"]]


async def test_thoughts_that_nobody_asked_for_are_not_told() -> None:
    async with on_line(on_turn=tell_all) as line:
        line.caller.type("what about rome")
        await line.caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        assert line.count("code-ran") == 1
        assert line.count("agent-thought") == 0
