"""What other services are told of calls, over real HTTP, however often the service or the receiver dies."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from sqlalchemy import select
from standardwebhooks import Webhook, WebhookVerificationError

from agent.errors import ConfigError
from signaling.history import deliver
from signaling.history.database import Database
from signaling.history.deliver import Endpoint
from signaling.history.history import History, open_history
from signaling.history.record import Recording
from signaling.history.schema import outbox
from tests.support.history import call, end, said
from tests.support.ports import free_ports
from tests.support.webhooks import SECRET, Answer, Receiver, receiving

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "webhooks.schema.json").read_text(encoding="utf-8"))
OLD_SECRET = "whsec_" + base64.b64encode(b"b" * 24).decode()
QUICK_S = (0.0, 0.02, 0.02, 0.02, 0.02)


def answers(*statuses: int, then: int = 204, headers: dict[str, str] | None = None) -> Answer:
    """Answer so in turn, then with success."""

    def answer(receiver: Receiver, _message_id: str) -> web.Response:
        attempt = len(receiver.attempts) - 1
        if attempt < len(statuses):
            return web.Response(status=statuses[attempt], headers=headers)
        return web.Response(status=then)

    return answer


@asynccontextmanager
async def telling(url: str, receiver: Receiver, *, secrets: tuple[str, ...] = (SECRET,)) -> AsyncIterator[History]:
    endpoint = Endpoint(receiver.url, secrets, allow_private=True, delays_s=QUICK_S)
    async with open_history(url, endpoint=endpoint) as history:
        yield history


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'calls.db'}"


async def waiting(url: str) -> list[dict[str, Any]]:
    """Return the messages that are to be delivered still."""
    database = Database(url)
    async with database.read() as connection:
        rows = (await connection.execute(select(outbox).where(outbox.c.done_ms.is_(None)))).mappings().all()
    await database.close()
    return [dict(row) for row in rows]


async def settled(url: str) -> None:
    async with asyncio.timeout(30):
        while await waiting(url):  # noqa: ASYNC110  it has to be asked
            await asyncio.sleep(0.02)


async def test_a_receiver_is_told_of_a_call_in_order(url: str) -> None:
    async with receiving() as receiver, telling(url, receiver) as history:
        of = call()
        history.started(of)
        history.turn(of, said("not a word of this"))
        history.ended(of, end(of, turns=1))
        history.recording(of, Recording(state="writing", key="k"))
        history.recording(of, Recording(state="stored", key="k", duration_ms=41_000, size_bytes=9, lost_ms=20))
        await receiver.until(lambda: len(receiver.delivered) == 3)
        await settled(url)
        assert history.deliverer is not None
        assert history.deliverer.counts == {"delivered": 3}
        async with asyncio.timeout(20):
            while history.deliverer.oldest_s:  # noqa: ASYNC110  it has to be asked
                await asyncio.sleep(0.02)
    assert receiver.types() == ["call.started", "call.ended", "call.recording_ready"]
    for body in receiver.delivered.values():
        jsonschema.validate(body, SCHEMA)
    assert "not a word" not in str(receiver.attempts)
    for headers, _ in receiver.attempts:
        assert headers["Content-Type"] == "application/json"
        assert headers["webhook-id"].startswith("msg_")


async def test_while_a_secret_is_replaced_each_of_them_will_do(file_url: str) -> None:
    async with receiving() as receiver, telling(file_url, receiver, secrets=(SECRET, OLD_SECRET)) as history:
        history.started(call())
        await receiver.until(lambda: len(receiver.delivered) == 1)
    headers, body = receiver.attempts[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(body, headers)
    for wrong in (body + " ", body.replace("started", "startet")):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(wrong, headers)


@pytest.mark.parametrize("status", [500, 400, 301, 307, 100 + 301])
async def test_what_is_no_success_is_tried_again_under_the_same_id(file_url: str, status: int) -> None:
    elsewhere = {"Location": "/elsewhere"}
    async with receiving(answers(status, status, headers=elsewhere)) as receiver:
        async with telling(file_url, receiver) as history:
            history.started(call())
            await receiver.until(lambda: len(receiver.delivered) == 1)
            await settled(file_url)
        assert len({headers["webhook-id"] for headers, _ in receiver.attempts}) == 1
        assert len({body for _, body in receiver.attempts}) == 1
        assert len(receiver.attempts) == 3


async def test_after_the_last_delay_a_message_is_given_up(file_url: str) -> None:
    async with receiving(answers(then=500)) as receiver, telling(file_url, receiver) as history:
        history.started(call())
        await settled(file_url)
        assert history.deliverer is not None
        assert history.deliverer.counts == {"failed": len(QUICK_S) - 1, "given_up": 1}
    assert len(receiver.attempts) == len(QUICK_S)


async def test_a_receiver_that_does_not_answer_is_given_some_time(
    file_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "TIMEOUT_S", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))
    receiver = Receiver(answers(), url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
    with silent:
        async with telling(file_url, receiver) as history:
            history.started(call())
            async with asyncio.timeout(30):
                while not [row for row in await waiting(file_url) if row["error"]]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    assert "Timeout" in (await waiting(file_url))[0]["error"]


async def test_how_long_the_oldest_message_waits_is_known(file_url: str) -> None:
    """Also by a process that starts only later."""
    old, new = (call(n, started_ms=round((time.time() - age_s) * 1000)) for n, age_s in ((1, 1000), (2, 0)))
    async with receiving(answers(then=500)) as receiver:
        endpoint = Endpoint(receiver.url, [SECRET], allow_private=True, delays_s=(0.0, 3600.0))
        for starts in ((old, new), ()):
            async with open_history(file_url, endpoint=endpoint) as history:
                for of in starts:
                    history.started(of)
                assert history.deliverer is not None
                async with asyncio.timeout(30):
                    while history.deliverer.oldest_s < 1000:  # noqa: ASYNC110  it has to be asked
                        await asyncio.sleep(0.02)
                await receiver.until(lambda: len(receiver.attempts) >= 2)


async def test_a_receiver_that_asks_to_be_left_alone_is(file_url: str) -> None:
    """No message comes for so long, of other calls neither."""
    loop = asyncio.get_running_loop()
    at: list[float] = []

    def answer(receiver: Receiver, _message_id: str) -> web.Response:
        at.append(loop.time())
        if len(receiver.attempts) == 1:
            return web.Response(status=429, headers={"Retry-After": "2"})
        return web.Response(status=204)

    async with receiving(answer) as receiver, telling(file_url, receiver) as history:
        history.started(call(1))
        await receiver.until(lambda: len(receiver.attempts) == 1)
        for number in range(2, 5):
            history.started(call(number))
        await receiver.until(lambda: len(receiver.delivered) == 4)
    assert at[1] - at[0] > 1.9


async def test_a_receiver_that_is_gone_is_told_nothing_until_the_next_start(file_url: str) -> None:
    async with receiving(answers(410)) as receiver:
        async with telling(file_url, receiver) as history:
            history.started(call(1))
            await receiver.until(lambda: len(receiver.attempts) == 1)
            async with asyncio.timeout(10):
                while not (history.deliverer and history.deliverer.gone):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            history.started(call(2))
            await history.written()
            await asyncio.sleep(0.3)
        assert len(receiver.attempts) == 1
        assert len(await waiting(file_url)) == 2  # nothing is lost
        async with telling(file_url, receiver):
            await receiver.until(lambda: len(receiver.delivered) == 2)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        *((host, deliver.PRIVATE) for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0")),
        *((host, "InvalidUrl") for host in ("2130706433", "127.1")),
        ("0x7f.1", deliver.PRIVATE),
    ],
)
async def test_nothing_is_sent_into_a_private_network(file_url: str, host: str, why: str) -> None:
    connections = 0

    async def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.close()

    servers = [await asyncio.start_server(note, "127.0.0.1", 0)]
    port = servers[0].sockets[0].getsockname()[1]
    if socket.has_ipv6:
        servers.append(await asyncio.start_server(note, "::1", port))
    try:
        endpoint = Endpoint(f"https://{host}:{port}/hook", [SECRET])
        async with open_history(file_url, endpoint=endpoint) as history:
            history.started(call())
            async with asyncio.timeout(20):
                while not (rows := [row for row in await waiting(file_url) if row["error"]]):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
    finally:
        for server in servers:
            server.close()
    assert connections == 0
    assert why in rows[0]["error"]


async def test_a_name_that_leads_into_a_private_network_is_not_followed(
    file_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it leads there only now: what is asked is the address that is about to be connected to."""

    async def resolve(*_: object, **__: object) -> list[dict[str, Any]]:
        at = {"hostname": "hook.example", "host": "169.254.169.254", "port": 443}
        return [at | {"family": socket.AF_INET, "proto": 0, "flags": 0}]

    monkeypatch.setattr(aiohttp.resolver.ThreadedResolver, "resolve", resolve)
    endpoint = Endpoint("https://hook.example/", [SECRET])
    async with open_history(file_url, endpoint=endpoint) as history:
        history.started(call())
        async with asyncio.timeout(20):
            while not (rows := [row for row in await waiting(file_url) if row["error"]]):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert "private network" in rows[0]["error"]


async def test_no_proxy_of_the_environment_is_asked(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with receiving() as receiver, telling(file_url, receiver) as history:
        history.started(call())
        await receiver.until(lambda: len(receiver.delivered) == 1)


async def test_processes_share_an_outbox(url: str) -> None:
    """Each message is sent by one of them."""
    async with receiving() as receiver:
        endpoint = Endpoint(receiver.url, [SECRET], allow_private=True)
        async with (
            open_history(url, worker="one", endpoint=endpoint) as one,
            open_history(url, worker="two", endpoint=endpoint) as two,
        ):
            for number in range(60):
                (one, two)[number % 2].started(call(number))
            await receiver.until(lambda: len(receiver.delivered) == 60)
            await settled(url)
    assert set(receiver.times.values()) == {1}


async def test_messages_of_an_erased_call_are_not_sent(file_url: str) -> None:
    async with receiving(answers(then=500)) as receiver, telling(file_url, receiver) as history:
        of = call()
        history.started(of)
        history.ended(of, end(of))
        await receiver.until(lambda: len(receiver.attempts) >= 1)
        await history.erase(of.call_id)
        assert await waiting(file_url) == []


CALLS = 300
KILLS = 15
SERVICE = """
import asyncio, sys
from signaling.history.deliver import Endpoint
from signaling.history.history import open_history
from tests.support.history import call, end, said

async def main(url, receiver, secret, calls):
    endpoint = Endpoint(receiver, [secret], allow_private=True, delays_s=(0.0, *[0.05] * 30))
    async with open_history(url, endpoint=endpoint) as history:
        newest = await history.page(limit=1)
        begun = int(newest[0]["id"].removeprefix("rtc_")) if newest else 0
        print("ready", flush=True)
        for number in range(begun + 1, calls + 1):
            of = call(number)
            history.started(of)
            history.turn(of, said("hello"))
            await asyncio.sleep(0.005)
            history.ended(of, end(of))
            await asyncio.sleep(0.005)
        await history.written()
        print("done", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
"""


@pytest.mark.timeout(300)
async def test_kill_9_loses_no_message(file_url: str) -> None:
    """The service is killed fifteen times over 300 calls, and the receiver fails at every fourth attempt."""

    def answer(receiver: Receiver, _message_id: str) -> web.Response:
        return web.Response(status=500 if len(receiver.attempts) % 4 == 0 else 204)

    async with receiving(answer) as receiver:
        for life in range(KILLS + 1):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", SERVICE, file_url, receiver.url, SECRET, str(CALLS)),
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            try:
                assert process.stdout is not None
                async with asyncio.timeout(60):
                    assert await process.stdout.readline() == b"ready\n"
                if life < KILLS:
                    wanted = len(receiver.attempts) + 25  # in the middle of everything
                    await receiver.until(lambda wanted=wanted: len(receiver.attempts) >= wanted)  # type: ignore[misc]
                else:
                    async with asyncio.timeout(120):
                        assert await process.stdout.readline() == b"done\n"
                        await settled(file_url)
            finally:
                process.send_signal(signal.SIGKILL)
                await process.wait()
    database = Database(file_url)
    async with database.read() as connection:
        messages = set((await connection.execute(select(outbox.c.id))).scalars())
    await database.close()
    ended = [body["data"] for body in receiver.delivered.values() if body["type"] == "call.ended"]
    assert sorted(data["call_id"] for data in ended) == [f"rtc_{number:06}" for number in range(1, CALLS + 1)]
    assert receiver.delivered.keys() == messages
    assert {data["state"] for data in ended} <= {"ended", "crashed"}
    assert sum(data["state"] == "crashed" for data in ended) <= 2 * KILLS
    assert sum(times > 1 for times in receiver.times.values()) <= 8 * KILLS  # those that were on their way
    for headers, body in receiver.attempts:
        Webhook(SECRET).verify(body, headers)


async def test_the_receiver_of_the_examples_takes_messages_and_nothing_else(file_url: str) -> None:
    (port,) = free_ports(1)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", ROOT / "examples" / "webhook_receiver.py", SECRET, str(port)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while b"Running on" not in await process.stdout.readline():
                pass
        receiver = Receiver(answers(), url=f"http://127.0.0.1:{port}/")
        async with telling(file_url, receiver) as history:
            of = call()
            history.started(of)
            history.ended(of, end(of))
            lines = list[bytes]()
            async with asyncio.timeout(30):
                while len(lines) < 2:
                    lines.append(await process.stdout.readline())
                    lines = [line for line in lines if line.startswith(b"call.")]
            assert lines == [b"call.started rtc_000001\n", b"call.ended rtc_000001\n"]
            await settled(file_url)
        signed = Endpoint(receiver.url, [SECRET], allow_private=True)
        body = '{"type":"call.started","data":{"call_id":"forged"}}'
        good = signed.headers("msg_1", body, time.time())
        old = signed.headers("msg_1", body, time.time() - 3600)
        async with aiohttp.ClientSession() as http:
            for headers, sent in (
                ({}, body),
                (good, body + " "),
                (good | {"webhook-id": "msg_2"}, body),
                (good | {"webhook-signature": "v1"}, body),
                (good | {"webhook-signature": "v1,é"}, body),
                (old, body),
            ):
                async with http.post(receiver.url, data=sent, headers=headers) as response:
                    assert response.status == 401, headers
            for _ in range(2):
                async with http.post(receiver.url, data=body, headers=good) as response:
                    assert response.status == 204
        assert await process.stdout.readline() == b"call.started forged\n"
    finally:
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    assert b"forged" not in rest  # the second time it was known


def test_secrets_are_checked_at_the_start() -> None:
    with pytest.raises(ConfigError):
        Endpoint("https://example.com", ["whsec_short"])
