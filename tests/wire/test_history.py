"""The history on real databases: the same tests on SQLite and on a PostgreSQL that they start."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.history import history as keeper
from signaling.history import history_of, read, retention, store
from signaling.history.database import FAILURES, Database
from signaling.history.history import History, open_history
from signaling.history.objects import Objects, StoreError
from signaling.history.outbox import started_message
from signaling.history.read import MAX_PAGE, Filters
from signaling.history.record import Recording, Summary
from signaling.history.schema import outbox, version
from signaling.history.search import phrases_of, words_of
from signaling.history.store import Item
from tests.support import postgres
from tests.support.history import BEGAN_MS, MINUTE_MS, call, end, said, used
from tests.support.postgres import Postgres, running_postgres

DAY_S = 86_400.0
NOW_MS = BEGAN_MS + 3 * 86_400_000


@pytest.fixture
async def history(url: str) -> AsyncIterator[History]:
    async with open_history(url, clock=lambda: NOW_MS / 1000) as opened:
        yield opened


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what failed be tried again at once."""
    monkeypatch.setattr(keeper, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(keeper, "MAX_PAUSE_S", 0.05)


async def keep(history: History, count: int, **changes: Any) -> None:
    """Keep some calls that are over."""
    for number in range(1, count + 1):
        of = call(number, **changes)
        history.started(of)
        history.turn(of, said(f"this is call number {number}"))
        history.ended(of, end(of))
    await history.written()


def ids(calls: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in calls]


async def test_all_of_a_call_is_kept(history: History) -> None:
    of = call(1, direction="outbound", trace_id="0af7651916cd43dd8448eb211c80319c")
    history.started(of)
    history.turn(of, said("Hi, I'm \0 Zoë 🙂", typed=True))
    answer = {"speaker": "agent", "started_ms": BEGAN_MS + 1000, "response_ms": 480, "estimated": True}
    history.turn(of, said("Hello", "turn-2", unheard=" Zoë, how are you?", interrupted=True, **answer))
    history.tool(of, used(arguments={"city": "Rome"}, result=[1, None, "sunny"]))
    marks = [{"name": "offer", "at_ms": BEGAN_MS, "more": [1.5]}]
    figures = {"turns": 2, "interruptions": 1, "cost_usd": 0.0123, "mos_in": 4.4, "mos_out": 4.1}
    tokens, stats = {"prompt": {"AUDIO": 2**40}}, {"heard_s": 12.5}
    history.ended(of, end(of, tokens=tokens, stats=stats, marks=marks, **figures))
    history.recording(of, Recording(state="stored", key="k.webm", duration_ms=42_000, size_bytes=2**33, lost_ms=20))
    summary = Summary(state="done", model="m", summary="A \0 taxi.", data={"people": 2}, cost_usd=0.001)
    history.summary(of, summary)
    await history.written()
    assert await history.one(of.call_id) == {
        "id": "rtc_000001",
        "worker": "main",
        "state": "ended",
        "started_ms": BEGAN_MS + MINUTE_MS,
        "ended_ms": BEGAN_MS + MINUTE_MS + 42_000,
        "direction": "outbound",
        "caller": "+4930123456",
        "callee": "sip:agent@localhost",
        "model": "gemini-3.8-live",
        "codec": "opus",
        "reason": "hung_up",
        "detail": "The caller hung up.",
        "fault": "caller",
        **figures,
        "tokens": tokens,
        "stats": stats,
        "marks": marks,
        "summary": {**asdict(summary), "summary": "A \0 taxi."},
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "recording": {
            "state": "stored",
            "duration_ms": 42_000,
            "size_bytes": 2**33,
            "lost_ms": 20,
            "cut_off": False,
        },
        "transcript": [
            {
                "turn_id": "turn-1",
                "speaker": "caller",
                "started_ms": BEGAN_MS,
                "ended_ms": BEGAN_MS + 900,
                "text": "Hi, I'm \ufffd Zoë 🙂",
                "unheard": "",
                "interrupted": False,
                "estimated": False,
                "typed": True,
                "response_ms": None,
            },
            {
                "turn_id": "turn-2",
                "speaker": "agent",
                "started_ms": BEGAN_MS + 1000,
                "ended_ms": BEGAN_MS + 900,
                "text": "Hello",
                "unheard": " Zoë, how are you?",
                "interrupted": True,
                "estimated": True,
                "typed": False,
                "response_ms": 480,
            },
        ],
        "tools": [
            {
                "key": "call-1",
                "name": "get_weather",
                "started_ms": BEGAN_MS,
                "ended_ms": BEGAN_MS + 30,
                "outcome": "result",
                "arguments": {"city": "Rome"},
                "result": [1, None, "sunny"],
            }
        ],
    }
    assert await history.one("rtc_unknown") is None


async def test_a_call_that_runs_is_there_with_what_was_said_so_far(history: History) -> None:
    of = call()
    history.started(of)
    history.turn(of, said("hello"))
    await history.written()
    found = await history.one(of.call_id)
    assert found is not None
    assert (found["state"], found["ended_ms"], found["reason"]) == ("running", None, None)
    assert [turn["text"] for turn in found["transcript"]] == ["hello"]


async def test_pages_hold_each_call_once_newest_first(history: History) -> None:
    for number in range(1, 24):
        of = call(number, started_ms=BEGAN_MS + number // 5)  # several began at once
        history.ended(of, end(of))
    await history.written()
    found, before = list[str](), None
    while calls := await history.page(before, limit=4):
        assert len(calls) <= 4
        found += ids(calls)
        before = (calls[-1]["started_ms"], calls[-1]["id"])
    assert found == [f"rtc_{number:06}" for number in range(23, 0, -1)]
    assert len(await history.page(limit=10**9)) == 23 <= MAX_PAGE


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (Filters(state="running"), [4]),
        (Filters(state="ended"), [3, 2, 1]),
        (Filters(direction="outbound"), [2]),
        (Filters(reason="ice_lost"), [3]),
        (Filters(fault="caller"), [2, 1]),
        (Filters(fault="caller", direction="inbound"), [1]),
        (Filters(caller="+49111"), [1]),
        (Filters(caller="+49"), []),
        (Filters(callee="+49222"), [2]),
        (Filters(since_ms=BEGAN_MS + 2 * MINUTE_MS), [4, 3, 2]),
        (Filters(until_ms=BEGAN_MS + 2 * MINUTE_MS), [1]),
        (Filters(since_ms=BEGAN_MS + 2 * MINUTE_MS, until_ms=BEGAN_MS + 3 * MINUTE_MS), [2]),
    ],
)
async def test_calls_and_what_was_said_in_them_can_be_filtered(
    history: History, filters: Filters, numbers: list[int]
) -> None:
    calls = [
        call(1, caller="+49111"),
        call(2, callee="+49222", direction="outbound"),
        call(3, caller=None),
        call(4),
    ]
    for of in calls:
        history.started(of)
        history.turn(of, said("the same words"))
    for of in calls[:2]:
        history.ended(of, end(of))
    history.ended(calls[2], end(calls[2], reason="ice_lost", fault="network"))
    await history.written()
    expected = [f"rtc_{number:06}" for number in numbers]
    assert ids(await history.page(filters=filters)) == expected
    assert [hit["call"]["id"] for hit in (await history.search("words", filters=filters)).hits] == expected


PIECES = (
    *[
        "hello",
        "Hello",
        "HELLO",
        "it's",
        "don't",
        "foo-bar",
        "foo",
        "bar",
        "café",
        "CAFÉ",
        "cafe",
        "naïve",
        "Grüße",
        "GRÜSSE",
        "straße",
    ],
    *[
        "e-mail",
        "ann@example.com",
        "https://example.com/a?b=c",
        "3.14",
        "1e5",
        "12ab",
        "ab12",
        "1,000",
        "№5",
        "C++",
        "a_b",
        "AND",
        "OR",
        "NOT",
        "NEAR",
    ],
    *[
        "東京",
        "東京タワー",
        "京都",
        "ราคา",
        "서울",
        "Αθήνα",
        "αθηνα",
        "Ёлка",
        "елка",
        "हिन्दी",
        "में",
        "עברית",
        "العربية",
        "ﬁn",
        "²",
        "x²",
        "🙂",
        "-",
        "'",
        "(",
        "*",
        ":",
        "^",
        "\\",
    ],
    "\u0301",
    "İstanbul",
    "\u0131",  # without its dot
)


async def test_every_database_finds_what_the_rules_say(history: History) -> None:
    """Random texts and queries of awkward pieces; what is right is said by `words_of` and `phrases_of`."""
    chance = random.Random(13)
    texts = [" ".join(chance.choices(PIECES, k=chance.randint(1, 5))) for _ in range(150)]
    of = call()
    for number, text in enumerate(texts):
        history.turn(of, said(text, f"turn-{number}"))
    await history.written()
    assert history.counts["refused"] == 0
    queries = [*PIECES, *(" ".join(chance.choices(PIECES, k=2)) for _ in range(40)), '"foo bar"', '"bar foo"']
    found_any = 0
    for query in queries:
        expected = {text for text in texts if has_all(words_of(text), phrases_of(query))}
        found = {hit["text"] for hit in (await history.search(query, limit=500)).hits}
        assert found == expected, query
        found_any += bool(found)
    assert found_any > 60


def has_all(words: list[str], phrases: list[list[str]]) -> bool:
    return bool(phrases) and all(
        any(words[at : at + len(phrase)] == phrase for at in range(len(words))) for phrase in phrases
    )


async def test_what_was_found_comes_in_pages_newest_first(history: History) -> None:
    await keep(history, 7)
    found, before = list[str](), None
    while True:
        page = await history.search("call number", before, limit=3)
        found += [hit["call"]["id"] for hit in page.hits]
        before = page.before
        if before is None:
            break
    assert found == [f"rtc_{number:06}" for number in range(7, 0, -1)]
    assert (await history.search(" ... ")).hits == []


@pytest.mark.parametrize(("few", "looked_at"), [(1000, 10_000), (0, 10_000), (0, 7)])
async def test_each_way_to_search_finds_the_same(
    history: History, monkeypatch: pytest.MonkeyPatch, few: int, looked_at: int
) -> None:
    """With filters the calls that fit are looked through, or the turns that have the words, some at a time."""
    monkeypatch.setattr(read, "FEW", few)
    monkeypatch.setattr(read, "LOOKED_AT", looked_at)
    chance, expected = random.Random(5), []
    for number in range(60):
        of = call(number, started_ms=BEGAN_MS + number // 2, caller=f"+49{number % 3}")
        texts = [" ".join(chance.choices(PIECES, k=4)) for _ in range(2)]
        for turn, text in enumerate(texts):
            history.turn(of, said(text, f"turn-{turn}"))
            if has_all(words_of(text), phrases_of("bar")):
                expected += [text] if number % 3 == 1 and 10 <= number < 50 else []
    await history.written()
    filters = Filters(caller="+491", since_ms=BEGAN_MS + 5, until_ms=BEGAN_MS + 25)
    found, before = list[str](), None
    while True:
        page = await history.search("bar", before, filters, limit=3)
        assert len(page.hits) <= 3
        found += [hit["text"] for hit in page.hits]
        before = page.before
        if before is None:
            break
    assert sorted(found) == sorted(expected)
    assert len(found) >= 5


async def test_what_was_not_heard_is_not_found(history: History) -> None:
    history.turn(call(), said("heard", speaker="agent", unheard="unheard", interrupted=True))
    await history.written()
    assert len((await history.search("heard")).hits) == 1
    assert (await history.search("unheard")).hits == []


async def test_a_batch_may_be_written_twice(url: str) -> None:
    """As it is when the connection was lost before the database could say that it has it."""
    database, of = Database(url), call()
    items = [
        Item(of, of, started_message("msg_1", of)),
        Item(of, said("hello")),
        Item(of, used()),
        Item(of, end(of)),
    ]
    try:
        await database.prepare()
        for _ in range(2):
            await store.write(database, "main", items)
        async with database.read() as connection:
            messages = (await connection.execute(select(outbox.c.id))).scalars().all()
    finally:
        await database.close()
    assert messages == ["msg_1"]
    async with open_history(url) as history:
        found = await history.one(of.call_id)
    assert found is not None
    assert (len(found["transcript"]), len(found["tools"]), found["state"]) == (1, 1, "ended")


SECRET_WORD = "xylophonquark"


async def files_with(url: str, word: str, server: Callable[[], Postgres]) -> list[str]:
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        return [each.name for each in path.parent.iterdir() if word.encode() in each.read_bytes()]
    return await asyncio.to_thread(server().files_with, word.encode())


async def test_an_erased_call_is_nowhere_in_the_files(
    history: History, url: str, request: pytest.FixtureRequest
) -> None:
    def server() -> Postgres:
        found: Postgres = request.getfixturevalue("server")
        return found

    await keep(history, 300)
    of = call(1000, caller=f"sip:{SECRET_WORD}@example.com")
    history.started(of)
    history.turn(of, said(f"my password is {SECRET_WORD} {SECRET_WORD}2", unheard=f"{SECRET_WORD}, I repeat"))
    history.tool(of, used(arguments={"of": SECRET_WORD}))
    history.ended(of, end(of, marks=[{"name": SECRET_WORD, "at_ms": 1}]))
    await history.written()
    await keep(history, 300)
    assert await files_with(url, SECRET_WORD, server) != []
    assert await history.erase(of.call_id) is True
    assert await files_with(url, SECRET_WORD, server) == []
    assert await files_with(url, SECRET_WORD[2:], server) == []  # an index may keep the rest of a word
    assert (await history.search(SECRET_WORD)).hits == []
    assert await history.one(of.call_id) is None
    assert await history.erase(of.call_id) is None
    assert len(await history.page(limit=500)) == 300


async def test_an_erased_call_does_not_come_back(history: History, tmp_path: Path) -> None:
    """It still runs: what is said from then on is not kept, and its recording is deleted when it comes."""
    history.objects = Objects(str(tmp_path / "recordings"))
    of, other = call(1), call(2)
    history.started(of)
    history.turn(of, said("before"))
    await history.written()
    assert await history.erase(of.call_id) is True
    file = tmp_path / "rtc.webm"
    file.write_bytes(b"sound")
    await history.objects.move_in("a/b.webm", file)
    for each in (of, other):
        history.turn(each, said("after", "turn-2"))
        history.tool(each, used())
        history.ended(each, end(each))
    history.recording(of, Recording(state="stored", key="a/b.webm"))
    await history.written()
    assert ids(await history.page()) == [other.call_id]
    assert [hit["call"]["id"] for hit in (await history.search("after")).hits] == [other.call_id]
    with pytest.raises(StoreError):
        await history.objects.look("a/b.webm")


async def test_a_recording_is_deleted_before_its_call(
    history: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history.objects = Objects(str(tmp_path / "recordings"))
    file = tmp_path / "rtc.webm"
    file.write_bytes(b"sound")
    await history.objects.move_in("a/b.webm", file)
    of = call()
    history.recording(of, Recording(state="stored", key="a/b.webm"))
    history.ended(of, end(of))
    await history.written()

    async def fail(_key: str) -> None:
        raise StoreError("down")

    with monkeypatch.context() as patched:
        patched.setattr(history.objects, "delete", fail)
        with pytest.raises(StoreError):
            await history.erase(of.call_id)
    assert await history.one(of.call_id) is not None
    assert await history.erase(of.call_id) is True
    with pytest.raises(StoreError):
        await history.objects.look("a/b.webm")


async def test_old_calls_are_deleted_recordings_first(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    objects = Objects(str(tmp_path / "recordings"))
    deleted = []

    async def delete(key: str) -> None:
        if key == "3":
            raise StoreError("down")
        deleted.append(key)

    monkeypatch.setattr(objects, "delete", delete)
    async with open_history(url) as history:
        for number in range(1, 9):
            of = call(number, started_ms=BEGAN_MS + number)
            history.turn(of, said(f"call {number}"))
            history.recording(of, Recording(state="stored", key=str(number)))
            if number not in (2, 4):
                history.ended(of, end(of))
        await history.written()
        database = Database(url)
        before_ms = BEGAN_MS + 6
        with pytest.raises(StoreError, match="1 calls"):
            await retention.delete_older(database, objects, before_ms, NOW_MS)
        assert ids(await history.page()) == [f"rtc_{number:06}" for number in (8, 7, 6, 4, 3, 2)]
        assert deleted == ["1", "5"]
        monkeypatch.undo()
        # Of 2 and 4 nobody knows that they ended, so they get a day more.
        assert await retention.delete_older(database, objects, BEGAN_MS + 3 + 86_400_000, NOW_MS) == 5
        await database.close()
        assert ids(await history.page()) == ["rtc_000004"]
        history.turn(call(2), said("still here", "turn-2"))
        history.turn(call(3), said("again", "turn-2"))
        await history.written()
        assert ids(await history.page()) == ["rtc_000003", "rtc_000004"]  # 2 may have run, so it is refused


async def test_calls_are_kept_for_the_days_that_are_set(url: str) -> None:
    now_s = NOW_MS / 1000
    async with open_history(url, clock=lambda: now_s) as history:
        await keep(history, 3)
    async with open_history(url, retention_days=30, clock=lambda: now_s) as history:
        await asyncio.sleep(0.2)
        assert len(await history.page()) == 3
    now_s += 31 * DAY_S
    async with open_history(url, retention_days=30, clock=lambda: now_s) as history, asyncio.timeout(20):
        while await history.page():  # noqa: ASYNC110  it has to be asked
            await asyncio.sleep(0.02)


async def test_what_a_process_left_running_is_closed_by_its_next_start(url: str) -> None:
    async with open_history(url, worker="one") as one, open_history(url, worker="two") as two:
        for history, number in ((one, 1), (one, 2), (two, 3)):
            of = call(number)
            history.started(of)
        one.turn(call(1), said("the last word", ended_ms=BEGAN_MS + 5 * MINUTE_MS))
        one.recording(call(1), Recording(state="writing", key="1"))
        one.ended(call(2), end(call(2)))
        await one.written()
        await two.written()
    async with open_history(url, worker="one") as history:
        states = {each["id"][-1]: each["state"] for each in await history.page()}
        assert states == {"1": "crashed", "2": "ended", "3": "running"}
        crashed = await history.one("rtc_000001")
    assert crashed is not None
    assert (crashed["reason"], crashed["fault"]) == ("crashed", "operator")
    assert crashed["ended_ms"] == BEGAN_MS + 5 * MINUTE_MS
    assert crashed["recording"]["state"] == "writing"  # until its file has been completed
    assert [(left.start.call_id, left.key, left.cut_off) for left in history.left] == [("rtc_000001", "1", True)]


async def test_processes_that_start_together_share_a_database(url: str) -> None:
    async def work(name: int) -> None:
        async with open_history(url, worker=f"worker-{name}") as history:
            for number in range(50):
                of = call(name * 100 + number)
                history.started(of)
                history.turn(of, said("hello"))
                history.ended(of, end(of))
                await asyncio.sleep(0)
            await history.written()
            assert history.counts["refused"] == history.counts["dropped"] == 0

    await asyncio.gather(*(work(name) for name in range(4)))
    async with open_history(url) as history:
        assert len(await history.page(limit=500)) == 200
        assert len((await history.search("hello", limit=500)).hits) == 200


async def test_a_new_file_that_another_process_is_writing_to_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses the switch to WAL at once, whatever its busy time-out."""
    path = tmp_path / "calls.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE other (number)")
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(0.3, other.execute, "COMMIT")
        async with open_history(f"sqlite:///{path}") as history:
            assert await history.page(limit=1) == []


async def test_tables_of_a_newer_version_are_left_alone(url: str) -> None:
    async with open_history(url) as history:
        await keep(history, 1)
    database = Database(url)
    async with database.write() as connection:
        await connection.execute(version.update().values(version=99))
    await database.close()
    with pytest.raises(ConfigError, match="version 99"):
        async with open_history(url):
            pass


@pytest.mark.usefixtures("hurry")
async def test_what_the_database_cannot_take_keeps_nothing_else_away(url: str) -> None:
    async with open_history(url) as history:
        of = call()
        history.started(of)
        for number in range(20):
            history.turn(of, said("hello", f"turn-{number}", ended_ms=2**70 if number == 7 else 1))
        history.ended(of, end(of))
        await history.written()
        assert (history.counts["refused"], history.counts["written"]) == (1, 21)
        found = await history.one(of.call_id)
    assert found is not None
    assert (len(found["transcript"]), found["state"]) == (19, "ended")


async def test_when_there_is_no_room_turns_go_first(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "MAX_WAITING", 10)
    monkeypatch.setattr(keeper, "MAX_WAITING_CHARS", 1000)
    async with open_history(url) as history:  # nothing is written before this task waits
        of = call()
        history.started(of)
        history.turn(of, said("x" * 1001, "too-long"))
        for number in range(20):
            history.turn(of, said("hello", f"turn-{number}"))
        for number in range(2, 20):
            history.ended(call(number), end(call(number)))
        assert history.waiting == 20
        await history.written()
        assert history.counts == {"written": 20, "dropped": 1 + 11 + 8}
        found = await history.one(of.call_id)
        assert found is not None
        assert len(found["transcript"]) == 9
        assert len(await history.page(filters=Filters(state="ended"))) == 10


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    async def make() -> None:
        async with open_history(f"sqlite:///{tmp_path / 'calls.db'}") as history:
            await keep(history, 1)
            assert modes(tmp_path) == [0o600] * 3  # with the log and its index

    asyncio.run(make())


def modes(folder: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in folder.iterdir()]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:////dev/null/calls.db", "cannot be written: Not a directory"),
        ("sqlite:////etc/hostname", "cannot be used: .*not a database"),
    ],
)
async def test_a_file_that_cannot_be_used_is_told_at_the_start(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        async with open_history(url):
            pass


async def test_a_database_that_is_not_there_is_told_at_the_start(server: Postgres) -> None:
    url = f"postgresql://postgres:secret@/nowhere?host={server.folder}"
    with pytest.raises(ConfigError, match='database "nowhere" does not exist') as refused:
        async with open_history(url):
            pass
    assert "secret" not in str(refused.value)


@pytest.mark.usefixtures("hurry")
@pytest.mark.skipif(postgres.programs() is None, reason=postgres.MISSING)
async def test_a_database_that_is_down_loses_nothing() -> None:
    """It is down when the service starts, and once more while calls run; they are not kept waiting."""
    loop = asyncio.get_running_loop()
    with running_postgres() as own:
        url = own.empty_database()
        own.stop()
        async with open_history(url) as history:
            slowest_s = 0.0
            for number in range(1, 101):
                before_s = loop.time()
                of = call(number)
                history.started(of)
                history.turn(of, said(f"number {number}"))
                history.ended(of, end(of))
                slowest_s = max(slowest_s, loop.time() - before_s)
                if number == 50:
                    await asyncio.sleep(0.1)
                    assert history.waiting == 150
                    await asyncio.to_thread(own.start)
                    await history.written()
                    await asyncio.to_thread(own.stop)
            await asyncio.sleep(0.1)
            assert history.waiting == 150
            with pytest.raises(FAILURES):
                await history.page()
            await asyncio.to_thread(own.start)
            async with asyncio.timeout(60):
                await history.written()
            assert history.counts["written"] == 300
            assert history.counts["dropped"] == history.counts["refused"] == 0
            assert history.counts["failures"] > 1
            assert len(await history.page(limit=500)) == 100
            assert slowest_s < 0.5
        own.stop()
        own.start()  # for the end of the block


async def test_the_end_of_the_service_waits_for_the_last_writes(url: str) -> None:
    async with open_history(url) as history:
        for number in range(1, 201):
            of = call(number)
            history.started(of)
            history.ended(of, end(of))
    async with open_history(url) as history:
        assert len(await history.page(filters=Filters(state="ended"), limit=500)) == 200


async def test_the_settings_say_what_is_kept(tmp_path: Path) -> None:
    async with history_of(Settings()) as nothing:
        assert nothing is None
    assert list_of(tmp_path) == []
    secret = "whsec_" + "A" * 43
    settings = Settings(
        history_url=f"sqlite:///{tmp_path / 'calls.db'}",
        record_store=str(tmp_path / "recordings"),
        retention_days=30,
        webhook_url="https://hook.example/",
        webhook_secret=SecretStr(f"{secret} {secret}"),
    )
    async with history_of(settings) as history:
        assert history is not None
        assert history.deliverer is not None
        assert history.objects is not None
        await keep(history, 1)
    assert list_of(tmp_path) == ["calls.db", "recordings"]
    with pytest.raises(ConfigError, match="webhook_secret"):
        async with history_of(settings.model_copy(update={"webhook_secret": SecretStr("whsec_short")})):
            pass


def list_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
