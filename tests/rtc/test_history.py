"""Real calls end up in the history: caller, service, emulator and SQLite."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest

from agent.author.agent import Agent
from agent.emulator import Emulator, running_emulator
from agent.tools.function import tool
from signaling.client.caller import call_service
from signaling.history.history import open_history
from tests.support.process import serving
from tests.support.service import service_for
from tests.support.webhooks import SECRET, receiving

KEY = "a-server-key-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
DROP_SQLALCHEMY = """
import sys
from importlib.util import find_spec
import importlib.util
importlib.util.find_spec = lambda name, package=None: None if name == "sqlalchemy" else find_spec(name, package)
from signaling.command.cli import main
main()
"""


async def asked(url: str, path: str, method: str = "GET") -> Any:
    async with aiohttp.ClientSession(headers=BEARER) as http, http.request(method, f"{url}{path}") as response:
        assert response.status in (200, 204), await response.text()
        return None if response.status == 204 else await response.json()


@tool(masked=("card",))
def get_weather(city: str, card: str = "4111-2222-3333") -> dict[str, str]:
    """Tell the weather of a city.

    Args:
        city: its name.
        card: a number that nobody may see.
    """
    return {"city": city, "card": card, "sky": "clear"}


async def test_a_call_is_kept_as_it_was_heard(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    agent = Agent(tools=(get_weather,))
    async with (
        running_emulator(speech_recognition=False) as emulator,
        service_for(emulator, agent, offline_demo=True, history_url=url, server_key=KEY) as address,
    ):
        async with call_service(address, key=KEY) as caller:
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready")
            live = (await asked(address, "v1/calls"))["calls"]
            assert [each["id"] for each in live] == [call_id]
            caller.type("what is the weather in Rome")
            await caller.message("llm-function-call-stopped")
            await caller.message(
                "bot-output", lambda data: data["spoken_status"] == "completed" and "Rome" in data["text"]
            )
            caller.type("tell me a long story")
            await caller.message(
                "bot-output", lambda data: len(data["text"]) > 60 and data["spoken_status"] == "in-progress"
            )
            await asyncio.sleep(1.5)  # so that something of the story is heard
            caller.send("client-message", {"t": "interrupt"})
            cut = await caller.message("bot-output", lambda data: data["interrupted"])
        kept = await until_ended(address, call_id)
    turns = kept["transcript"]
    assert [(turn["speaker"], turn["typed"]) for turn in turns[:2]] == [("caller", True), ("agent", False)]
    assert turns[0]["text"] == "what is the weather in Rome"
    (story,) = [turn for turn in turns if turn["interrupted"]]
    assert (story["text"], story["unheard"]) == (cut["text"], cut["unheard_text"])
    assert story["unheard"]
    assert story["response_ms"] > 0
    assert all(turn["started_ms"] <= turn["ended_ms"] for turn in turns)
    assert [turn["started_ms"] for turn in turns] == sorted(turn["started_ms"] for turn in turns)
    (tool_use,) = kept["tools"]
    assert (tool_use["name"], tool_use["outcome"], tool_use["arguments"]["city"]) == (
        "get_weather",
        "result",
        "Rome",
    )
    assert "2222" not in str(kept["tools"])
    assert "***" in str(tool_use["result"])
    assert (kept["state"], kept["reason"], kept["fault"]) == ("ended", "hung_up", "caller")
    assert kept["turns"] == len(turns)
    assert kept["interruptions"] == 1
    assert kept["cost_usd"] > 0
    assert kept["tokens"]["response"]["AUDIO"] > 0
    assert kept["codec"] == "opus"
    assert kept["stats"]["outbound_packets"] > 50
    assert kept["marks"][-1]["name"] == "call_ended"
    assert [mark["stages"]["answer_ms"] > 0 for mark in kept["marks"] if mark["name"] == "set_up"] == [True]
    assert len([mark for mark in kept["marks"] if mark["name"] == "turn" and mark["stages"]]) == 2
    assert len(kept["trace_id"]) == 32
    assert 0 <= kept["ended_ms"] - turns[-1]["ended_ms"] < 60_000


async def test_what_a_model_says_of_a_call_is_kept_with_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    said = {"summary": "Somebody wanted to know the time."}
    async with (
        running_emulator(speech_recognition=False, on_generate=lambda _asked: said) as emulator,
        service_for(emulator, Agent(summary=True), offline_demo=True, history_url=url, server_key=KEY) as address,
    ):
        async with call_service(address, key=KEY) as caller:
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready")
            caller.type("what time is it")
            await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        async with asyncio.timeout(10):
            while (kept := await until_ended(address, call_id))["summary"] is None:  # noqa: ASYNC110  of another service
                await asyncio.sleep(0.05)
    assert (kept["summary"]["state"], kept["summary"]["summary"]) == ("done", said["summary"])


async def until_ended(address: str, call_id: str) -> Any:
    for _ in range(100):
        kept = await asked(address, f"v1/history/{call_id}")
        if kept["state"] != "running":
            return kept
        await asyncio.sleep(0.05)
    raise AssertionError("the call did not end in the history")


async def test_the_operator_hangs_up(tmp_path: Path, emulator: Emulator) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with service_for(emulator, offline_demo=True, history_url=url, server_key=KEY) as address:
        async with call_service(address, key=KEY) as caller:
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready")
            await asked(address, f"v1/calls/{call_id}/hang-up", "POST")
            ended = await caller.message("server-message", lambda data: data["type"] == "call-ended")
            assert (ended["reason"], ended["fault"]) == ("hung_up", "operator")
            await caller.ended()
            assert await asked(address, "v1/calls") == {"calls": [], "history": True}
        kept = await until_ended(address, call_id)
        assert (kept["fault"], kept["detail"]) == ("operator", "The operator hung up.")


@pytest.mark.parametrize("moved", [False, True])
async def test_a_recorded_call_can_be_listened_to_later(tmp_path: Path, emulator: Emulator, moved: bool) -> None:
    """From the folder in which it was written, or from a store of its own; erasing deletes the file."""
    settings: dict[str, Any] = {"record": True, "record_folder": str(tmp_path / "written")}
    if moved:
        settings["record_store"] = str(tmp_path / "stored")
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with service_for(emulator, offline_demo=True, history_url=url, server_key=KEY, **settings) as address:
        async with call_service(address, key=KEY) as caller:
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready")
            caller.type("what time is it")
            await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
        for _ in range(100):
            kept = await asked(address, f"v1/history/{call_id}")
            if kept["recording"]["state"] == "stored":
                break
            await asyncio.sleep(0.05)
        assert kept["recording"]["duration_ms"] > 500
        sound = f"{address}v1/calls/{call_id}/recording"
        async with aiohttp.ClientSession(headers=BEARER) as http, http.get(sound) as response:
            assert (response.status, response.headers["Content-Type"]) == (200, "audio/webm")
            assert len(await response.read()) == kept["recording"]["size_bytes"]
        where = tmp_path / ("stored" if moved else "written")
        assert [file.name for file in sounds(tmp_path)] == [f"{call_id}.webm"]
        assert where in sounds(tmp_path)[0].parents
        await asked(address, f"v1/history/{call_id}", "DELETE")
        assert sounds(tmp_path) == []


def sounds(folder: Path) -> list[Path]:
    return sorted(folder.rglob("rtc_*"))


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [({}, BEARER, 403), ({"server_key": KEY}, {}, 401), ({"server_key": KEY}, {"Authorization": "Bearer x"}, 401)],
)
async def test_live_calls_are_for_the_key_holder(
    emulator: Emulator, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    async with service_for(emulator, **settings) as address, aiohttp.ClientSession(headers=headers) as http:
        for method, path in (("GET", "v1/calls"), ("POST", "v1/calls/rtc_1/hang-up")):
            async with http.request(method, f"{address}{path}") as response:
                assert response.status == status


async def test_a_drain_waits_for_the_last_words(tmp_path: Path, emulator: Emulator) -> None:
    """A call that is running when the service ends is kept with its end."""
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with service_for(emulator, offline_demo=True, history_url=url, server_key=KEY) as address:
        caller_of = call_service(address, key=KEY, hang_up=False)
        caller = await caller_of.__aenter__()
        await caller.message("bot-ready")
        caller.type("what time is it")
        await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
    await caller_of.__aexit__(None, None, None)
    async with open_history(url) as history:
        (kept,) = await history.page()
        assert (kept["state"], kept["reason"]) == ("ended", "shutdown")
        whole = await history.one(kept["id"])
        assert whole is not None
        assert "what time is it" in [turn["text"] for turn in whole["transcript"]]


async def test_a_call_whose_process_was_killed_is_closed_by_the_next_start(tmp_path: Path) -> None:
    """It is marked; its recording, which the kill cut off, can be fetched, and is announced once."""
    folder = tmp_path / "recordings"
    async with receiving() as receiver:
        settings = {
            "TALKSPURT_HISTORY_URL": f"sqlite:///{tmp_path / 'calls.db'}",
            "TALKSPURT_SERVER_KEY": KEY,
            "TALKSPURT_RECORD": "1",
            "TALKSPURT_RECORD_FOLDER": str(folder),
            "TALKSPURT_WEBHOOK_URL": receiver.url,
            "TALKSPURT_WEBHOOK_SECRET": SECRET,
            "TALKSPURT_WEBHOOK_ALLOW_PRIVATE": "1",
        }
        async with serving("--port", "0", **settings) as first:
            caller_of = call_service(first.url, key=KEY, hang_up=False)
            caller = await caller_of.__aenter__()
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready", timeout_s=20)
            caller.type("what time is it")
            await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=20)
            for _ in range(100):
                if len((await asked(first.url, f"v1/history/{call_id}"))["transcript"]) >= 2:
                    break
                await asyncio.sleep(0.05)
            frames = caller.microphone.sent_frames
            await caller.until(lambda: caller.microphone.sent_frames >= frames + 100)
            first.process.send_signal(signal.SIGKILL)
            await first.process.wait()
        await caller_of.__aexit__(None, None, None)
        assert [path.suffix for path in sounds(folder)] == [".part"]
        async with serving("--port", "0", **settings) as second:
            await receiver.until(lambda: "call.recording_ready" in receiver.types())
            kept = await asked(second.url, f"v1/history/{call_id}")
            sound = f"{second.url}v1/calls/{call_id}/recording"
            async with aiohttp.ClientSession(headers=BEARER) as http, http.get(sound) as response:
                assert response.status == 200
                found = await response.read()
    assert (kept["state"], kept["reason"], kept["fault"]) == ("crashed", "crashed", "operator")
    assert [turn["speaker"] for turn in kept["transcript"]][:2] == ["caller", "agent"]
    assert kept["ended_ms"] >= kept["transcript"][-1]["ended_ms"]
    assert (kept["recording"]["state"], kept["recording"]["cut_off"]) == ("stored", True)
    assert kept["recording"]["duration_ms"] > 1500
    assert kept["recording"]["size_bytes"] == len(found)
    with av.open(io.BytesIO(found), "r") as file:
        assert [stream.metadata["title"] for stream in file.streams.audio] == ["caller", "agent"]
        assert file.duration == pytest.approx(kept["recording"]["duration_ms"] * 1000, abs=1000)
    (ready,) = [body["data"] for body in receiver.delivered.values() if body["type"] == "call.recording_ready"]
    assert (ready["call_id"], ready["cut_off"], ready["size_bytes"]) == (call_id, True, len(found))


def data_folder(pid: int) -> tuple[Path, list[Path]]:
    """Return the folder in which a process works, and all files in it."""
    folder = Path(f"/proc/{pid}/cwd").resolve()
    return folder, sorted(folder.rglob("*"))


def loaded(pid: int, *libraries: str) -> list[str]:
    """Return which of these native libraries a process has loaded."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return [library for library in libraries if library in maps]


async def test_by_default_nothing_is_kept_or_imported(tmp_path: Path) -> None:
    """No file appears in the service's folder, and none of the extra's packages is in its process."""
    async with serving("--port", "0") as service:
        folder, before = data_folder(service.process.pid)
        async with call_service(service.url) as caller:
            await caller.message("bot-ready", timeout_s=20)
            caller.type("what time is it")
            await caller.message("bot-output", lambda data: data["spoken_status"] == "completed", timeout_s=20)
        assert loaded(service.process.pid, "asyncpg", "sqlalchemy", "obstore", "greenlet", "_sqlite3") == []
        assert data_folder(service.process.pid) == (folder, before)
        async with aiohttp.ClientSession() as http, http.get(f"{service.url}v1/history") as response:
            assert response.status == 404
    assert not any("history" in line for line in service.log)


async def test_a_missing_extra_is_told_in_one_line(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", DROP_SQLALCHEMY, "serve", "--port", "0"),
        env={**os.environ, "TALKSPURT_HISTORY_URL": f"sqlite:///{tmp_path / 'calls.db'}"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode().strip().splitlines()[-1] == (
        "talkspurt: environment variable TALKSPURT_HISTORY_URL needs the extra `history`: "
        "pip install '.[history]' in talkspurt's own folder (missing: sqlalchemy)"
    )
