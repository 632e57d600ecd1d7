"""The doctor tries the history, webhooks and traces: real databases and collectors, and some that hang."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import update

from agent.settings import Settings
from signaling.command import beyond
from signaling.command.doctor import FOR_A_TRIAL
from signaling.command.finding import Finding
from signaling.history import schema
from signaling.history.database import Database
from tests.support.ports import free_ports

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WAY_TOO_LONG_S = 60.0


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """Other tests count threads."""
    yield
    for thread in threading.enumerate():
        if thread.name == "doctor":
            thread.join(WAY_TOO_LONG_S)


async def examine(**settings: Any) -> list[Finding]:
    return [finding async for finding in beyond.examine_beyond(Settings(**settings))]


async def the_only(**settings: Any) -> Finding:
    (finding,) = await examine(**settings)
    return finding


async def of_webhooks(tmp_path: Path, url: str, **settings: Any) -> Finding:
    kept = {"history_url": f"sqlite:///{tmp_path}/history.db", "webhook_secret": SECRET}
    _history, finding = await examine(**kept, webhook_url=url, **settings)
    return finding


@contextmanager
def silent_server() -> Iterator[socket.socket]:
    """Let the kernel accept connections, which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def has_come(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


async def test_what_is_off_is_not_tried() -> None:
    assert await examine() == []


async def test_a_history_is_found_and_not_made(url: str, tmp_path: Path) -> None:
    for _ in range(2):
        found = await the_only(history_url=url)
        assert found.verdict == "good"
        assert "no tables yet" in found.detail
    assert not list(tmp_path.glob("*.db"))  # noqa: ASYNC240

    database = Database(url)
    await database.prepare()
    found = await the_only(history_url=url)
    assert found.verdict == "good"
    assert "its tables are there" in found.detail

    async with database.write() as connection:
        await connection.execute(update(schema.version).values(version=0))
    await database.close()
    found = await the_only(history_url=url)
    assert found.verdict == "bad"
    assert "version 0" in found.detail


async def test_a_history_that_the_service_could_not_keep_is_bad(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database, although it is long enough to be taken for one." * 20)
    for url in (
        f"sqlite:///{tmp_path}/nowhere/history.db",
        f"sqlite:///{tmp_path}/text.db",
        "postgresql+psycopg2://host/name",
    ):
        assert (await the_only(history_url=url)).verdict == "bad"


async def test_a_database_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beyond, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    with silent_server() as server:
        found = await the_only(history_url=f"postgresql://user:secret@127.0.0.1:{server.getsockname()[1]}/name")
        assert has_come(server)
    refused = await the_only(history_url=f"postgresql://user:secret@127.0.0.1:{free_ports(1)[0]}/name")
    assert (found.verdict, refused.verdict) == ("bad", "bad")
    assert "secret" not in found.detail + refused.detail
    assert time.monotonic() - began < WAY_TOO_LONG_S / 2


async def test_a_receiver_is_looked_up_but_not_told_anything(tmp_path: Path) -> None:
    with silent_server() as server:
        found = await of_webhooks(tmp_path, f"https://127.0.0.1:{server.getsockname()[1]}/calls")
        assert found.verdict == "bad"
        assert "webhook_allow_private" in found.detail
        found = await of_webhooks(
            tmp_path, f"http://localhost:{server.getsockname()[1]}/calls", webhook_allow_private=True
        )
        assert found.verdict == "good"
        assert not has_come(server)


async def test_a_receiver_on_the_internet_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_as(monkeypatch, "9.9.9.9")
    assert "9.9.9.9" in (await of_webhooks(tmp_path, "https://hooks.example/")).detail
    resolve_as(monkeypatch, "10.1.2.3")
    assert (await of_webhooks(tmp_path, "https://hooks.example/")).verdict == "bad"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://hooks.example/", "https://"),
        (f"https://{'a' * 70}.example/", "does not name a host"),
        ("https:///calls", "does not name a host"),
        ("https://[::1/calls", "does not name a host"),
        ("https://nowhere.invalid/", "cannot be looked up"),
    ],
)
async def test_a_receiver_that_cannot_be_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    ask = socket.getaddrinfo

    def no_such_name(host: str, *args: Any, **named: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return ask(host, *args, **named)

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    found = await of_webhooks(tmp_path, url)
    assert found.verdict == "bad"
    assert why in found.detail


async def test_a_name_server_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beyond, "TIMEOUT_S", 0.5)
    over = threading.Event()

    def no_answer(*_args: Any, **_named: Any) -> list[Any]:
        over.wait(WAY_TOO_LONG_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", no_answer)
    began = time.monotonic()
    found = await of_webhooks(tmp_path, "https://hooks.example/")
    over.set()
    assert found.verdict == "bad"
    assert "within" in found.detail
    assert time.monotonic() - began < WAY_TOO_LONG_S / 2


async def test_a_collector_is_sent_no_spans() -> None:
    bodies: list[bytes] = []
    status = 200

    async def collect(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        assert (await the_only(otlp_endpoint=endpoint)).verdict == "good"
        assert bodies == [b""]
        status = 401
        found = await the_only(otlp_endpoint=endpoint)
        assert found.verdict == "bad"
        assert "401" in found.detail
        assert (await the_only(otlp_endpoint=f"{endpoint}/elsewhere")).verdict == "bad"
        nobody = f"http://user:secret@127.0.0.1:{free_ports(1)[0]}"
        found = await the_only(otlp_endpoint=nobody)
        assert found.detail.endswith("takes no traces: Connection refused")
        assert "secret" not in found.detail
    finally:
        await runner.cleanup()


async def test_a_collector_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beyond, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    with silent_server() as server:
        found = await the_only(otlp_endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
        assert has_come(server)
    assert found.verdict == "bad"
    assert time.monotonic() - began < WAY_TOO_LONG_S / 2


def test_the_service_that_is_started_for_a_check_keeps_and_sends_nothing(tmp_path: Path) -> None:
    told = Settings(
        history_url=f"sqlite:///{tmp_path}/history.db",
        webhook_url="https://hooks.example/",
        webhook_secret=SECRET,
        otlp_endpoint="http://127.0.0.1",
        record=True,
        capture_folder=str(tmp_path),
    )
    own = told.model_copy(update=FOR_A_TRIAL)
    assert (own.history_url, own.webhook_url, own.otlp_endpoint) == (None, None, None)
    assert (own.record, own.capture_folder) == (False, None)


def resolve_as(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
