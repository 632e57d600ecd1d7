"""The history over HTTP, on a real store: pages, search, one call, its recording, erasing it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from agent.settings import Settings
from signaling.history.history import History, open_history
from signaling.history.http import routes
from signaling.history.objects import CHUNK_BYTES, StoreError, recording_key
from signaling.history.record import Recording
from signaling.http.problem import problem_middleware
from tests.support.history import BEGAN_MS, MINUTE_MS, call, end, said, used

KEY = "a-server-key-of-the-tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
SOUND = random.Random(1).randbytes(2 * CHUNK_BYTES + 1234)

Client = TestClient[web.Request, web.Application]


async def client_of(history: History, **settings: Any) -> Client:
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(routes(Settings(**settings), history))
    return TestClient(TestServer(app))


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    url, store = f"sqlite:///{tmp_path / 'calls.db'}", str(tmp_path / "recordings")
    async with open_history(url, record_store=store) as opened:
        yield opened


@pytest.fixture
async def client(history: History) -> AsyncIterator[Client]:
    async with await client_of(history, server_key=KEY) as opened:
        opened.session.headers.update(BEARER)
        yield opened


async def keep(history: History, count: int = 12) -> None:
    for number in range(1, count + 1):
        of = call(number, caller="+49111" if number % 2 else "+49222")
        history.started(of)
        history.turn(of, said(f"first words of {number}"))
        history.turn(of, said(f"second words of {number}", "turn-2", speaker="agent"))
        history.ended(of, end(of, reason="idle" if number == 3 else "hung_up"))
    await history.written()


async def keep_recording(history: History, folder: Path, sound: bytes = SOUND, suffix: str = ".webm") -> str:
    of = call(1)
    file, key = folder / "part", recording_key(of.call_id, of.started_ms, suffix)
    file.write_bytes(sound)
    assert history.objects is not None
    size = await history.objects.move_in(key, file)
    assert not file.exists()
    history.started(of)
    history.recording(of, Recording(state="stored", key=key, duration_ms=1000, size_bytes=size))
    await history.written()
    return f"/v1/calls/{of.call_id}/recording"


async def asked(client: Client, path: str, status: int = 200, **params: str) -> Any:
    async with client.get(path, params=params) as response:
        assert response.status == status, await response.text()
        assert status != 200 or response.headers["Cache-Control"] == "no-store"
        return await response.json()


async def test_pages_lead_through_all_calls(client: Client, history: History) -> None:
    await keep(history)
    found, params = list[str](), {"limit": "5"}
    while True:
        page = await asked(client, "/v1/history", 200, **params)
        found += [each["id"] for each in page["calls"]]
        if page["next"] is None:
            break
        params["before"] = page["next"]
    assert found == [f"rtc_{number:06}" for number in range(12, 0, -1)]
    assert "transcript" not in page["calls"][0]


async def test_calls_are_filtered_and_searched(client: Client, history: History) -> None:
    await keep(history)
    assert len((await asked(client, "/v1/history", caller="+49111", limit="500"))["calls"]) == 6
    assert [each["id"] for each in (await asked(client, "/v1/history", reason="idle"))["calls"]] == ["rtc_000003"]
    since, until = BEGAN_MS + 4 * MINUTE_MS, BEGAN_MS + 6 * MINUTE_MS
    between = await asked(client, "/v1/history", since_ms=str(since), until_ms=str(until))
    assert [each["id"] for each in between["calls"]] == ["rtc_000005", "rtc_000004"]
    found = await asked(client, "/v1/history", q="words", caller="+49222", limit="4")
    assert [each["id"] for each in found["calls"]] == ["rtc_000012", "rtc_000010"]
    assert [hit["text"] for hit in found["calls"][0]["hits"]] == ["second words of 12", "first words of 12"]
    more = await asked(client, "/v1/history", q="words", caller="+49222", limit="4", before=found["next"])
    assert [each["id"] for each in more["calls"]] == ["rtc_000008", "rtc_000006"]
    assert await asked(client, "/v1/history", q="nowhere") == {"calls": [], "next": None}
    assert await asked(client, "/v1/history", q="") == {"calls": [], "next": None}


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"limit": "-1"},
        {"before": "x"},
        {"before": "12"},
        {"before": "12.", "limit": "1"},
        {"q": "a", "before": "12.rtc_1"},
        {"state": "over"},
        {"fault": "mine"},
        {"direction": "up"},
        {"since_ms": "1e9"},
        {"until_ms": "99999999999999999999"},
        {"since_ms": "999999999999999"},
        {"caller": "a\0b"},
        {"caller": "x" * 501},
        {"callers": "x"},
    ],
    ids=str,
)
async def test_parameters_that_are_wrong_are_named(client: Client, params: dict[str, str]) -> None:
    body = await asked(client, "/v1/history", 422, **params)
    assert body["error"]["code"] == "invalid_parameter"
    assert any(name[:100] in body["detail"] for name in params)


async def test_one_call_is_told_whole(client: Client, history: History) -> None:
    of = call()
    history.started(of)
    history.turn(of, said("Grüße <b>"))
    history.tool(of, used(arguments={"city": "Rome"}))
    history.ended(of, end(of, marks=[{"name": "offer", "at_ms": 1}]))
    await history.written()
    body = await asked(client, f"/v1/history/{of.call_id}")
    assert [turn["text"] for turn in body["transcript"]] == ["Grüße <b>"]
    assert body["tools"][0]["arguments"] == {"city": "Rome"}
    assert body["marks"] == [{"name": "offer", "at_ms": 1}]
    for nobody in ("rtc_nobody", "%00", "a%2Fb", "%ff", "%ed%a0%80", "x" * 500, "..%2f"):
        async with client.get(URL(f"/v1/history/{nobody}", encoded=True)) as response:
            assert response.status == 404
            assert (await response.json())["error"]["code"] == "unknown_call"
    everything = {"since_ms": "0", "until_ms": "99999999999999"}
    for query in ({"q": "Grüße"}, {"caller": "+4930123456"}, {}):
        assert len((await asked(client, "/v1/history", 200, **query, **everything))["calls"]) == 1
    for odd in ("q=%ff", "caller=%ed%a0%80", "q=%00"):
        async with client.get(URL(f"/v1/history?{odd}", encoded=True)) as response:
            assert response.status in (200, 422)


async def test_a_call_is_erased_with_its_recording(client: Client, history: History, tmp_path: Path) -> None:
    path = await keep_recording(history, tmp_path)
    history.turn(call(1), said("a secret"))
    await history.written()
    async with client.delete("/v1/history/rtc_000001") as response:
        assert response.status == 204
    for gone in (path, "/v1/history/rtc_000001"):
        await asked(client, gone, 404)
    assert [each for each in (tmp_path / "recordings").rglob("*") if each.is_file()] == []
    async with client.delete("/v1/history/rtc_000001") as response:
        assert response.status == 404


SIZE = len(SOUND)


@pytest.mark.parametrize(
    ("asked_range", "start", "end"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        (f"bytes=5-{CHUNK_BYTES + 6}", 5, CHUNK_BYTES + 7),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-500", SIZE - 500, SIZE),
        (f"bytes=-{10 * SIZE}", 0, SIZE),
        (f"bytes=10-{10 * SIZE}", 10, SIZE),
    ],
)
async def test_part_of_a_recording(
    client: Client, history: History, tmp_path: Path, asked_range: str, start: int, end: int
) -> None:
    path = await keep_recording(history, tmp_path)
    async with client.get(path, headers={"Range": asked_range}) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{SIZE}"
        assert response.headers["Content-Length"] == str(end - start)
        assert await response.read() == SOUND[start:end]


@pytest.mark.parametrize(
    "ignored",
    [None, "bytes=", "bytes=a-b", "bytes=5-4", "bytes=0-1,5-6", "lines=0-5", "bytes=-", "0-5", "bytes=0-5x"],
)
async def test_a_recording_whole(client: Client, history: History, tmp_path: Path, ignored: str | None) -> None:
    """Also if what is asked for cannot be read, or is more than one part."""
    path = await keep_recording(history, tmp_path)
    async with client.get(path, headers={} if ignored is None else {"Range": ignored}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "audio/webm"
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"] == 'inline; filename="rtc_000001.webm"'
        assert await response.read() == SOUND
    async with client.head(path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(SIZE))
        assert await response.read() == b""


@pytest.mark.parametrize("beyond", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
async def test_a_part_that_is_not_there(client: Client, history: History, tmp_path: Path, beyond: str) -> None:
    path = await keep_recording(history, tmp_path)
    async with client.get(path, headers={"Range": beyond}) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


async def test_a_part_of_another_version_is_not_given(client: Client, history: History, tmp_path: Path) -> None:
    path = await keep_recording(history, tmp_path)
    async with client.get(path, headers={"Range": "bytes=0-9"}) as response:
        etag = response.headers["ETag"]
    for condition, status in ((etag, 206), ('"another"', 200), ("Mon, 21 Sep 2026 14:13:30 GMT", 200)):
        async with client.get(path, headers={"Range": "bytes=0-9", "If-Range": condition}) as response:
            assert response.status == status


async def test_an_empty_recording(client: Client, history: History, tmp_path: Path) -> None:
    path = await keep_recording(history, tmp_path, b"", ".mka")
    async with client.get(path) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["Content-Type"] == "audio/x-matroska"
    async with client.get(path, headers={"Range": "bytes=0-"}) as response:
        assert response.status == 416


@pytest.mark.parametrize(
    ("state", "why"), [("off", "none"), ("writing", "still being written"), ("failed", "could not be kept")]
)
async def test_a_recording_that_cannot_be_had(client: Client, history: History, state: Any, why: str) -> None:
    of = call()
    history.recording(of, Recording(state=state, key="k"))
    await history.written()
    assert why in (await asked(client, f"/v1/calls/{of.call_id}/recording", 404))["detail"]
    await asked(client, "/v1/calls/rtc_nobody/recording", 404)


async def test_a_recording_that_is_gone_from_the_store(client: Client, history: History, tmp_path: Path) -> None:
    path = await keep_recording(history, tmp_path)
    next((tmp_path / "recordings").rglob("*.webm")).unlink()
    assert (await asked(client, path, 404))["error"]["code"] == "no_recording"


async def test_a_recording_cannot_be_anything_else_on_the_disk(
    client: Client, history: History, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    for number, key in enumerate(("../secret.txt", "/etc/passwd", "a/../../secret.txt", "%2e%2e/secret.txt")):
        of = call(number)
        history.recording(of, Recording(state="stored", key=key))
        await history.written()
        async with client.get(f"/v1/calls/{of.call_id}/recording") as response:
            assert response.status in (404, 503), key
            assert "root:" not in await response.text()
            assert await response.text() != "secret"


PATHS = ("/v1/history", "/v1/history/rtc_000001", "/v1/calls/rtc_000001/recording")


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({"server_key": KEY}, {}, 401),
        ({"server_key": KEY}, {"Authorization": "Bearer wrong"}, 401),
        ({"server_key": KEY}, {"Authorization": f"Basic {KEY}"}, 401),
        ({}, {}, 403),
        ({}, BEARER, 403),
        ({"insecure": True}, {}, 403),
    ],
)
async def test_nobody_without_the_server_key_is_told_anything(
    history: History, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    await keep(history, 1)
    async with await client_of(history, **settings) as client:
        for path in PATHS:
            async with client.get(path, headers=headers) as response:
                assert response.status == status
        async with client.delete(PATHS[1], headers=headers) as response:
            assert response.status == status
    assert await history.one("rtc_000001") is not None


async def test_a_database_that_is_down_is_told(
    client: Client, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(history._database, "read", down)
    for path in PATHS:
        async with client.get(path) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_a_store_that_fails_in_the_middle_breaks_the_transfer_off(
    client: Client, history: History, tmp_path: Path
) -> None:
    """So that nobody takes half a recording for all of it."""
    path = await keep_recording(history, tmp_path)
    assert history.objects is not None
    read = history.objects.read

    async def fail_later(key: str, start: int, end: int) -> AsyncIterator[bytes]:
        async for chunk in read(key, start, end):
            yield chunk
            raise StoreError("gone")

    history.objects.read = fail_later  # type: ignore[method-assign]
    async with client.get(path) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
