"""Traces of real calls as a collector gets them: OTLP over HTTP."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent.author.agent import Agent
from agent.emulator import Play, Turn
from agent.emulator.model.turn import CallFunction
from agent.errors import ConfigError
from agent.settings import Settings
from signaling import traces
from signaling.client.caller import Caller, call_service
from signaling.traces import export, tracing
from tests.support.line import VOICE_HZ, Line, on_line
from tests.support.service import ServiceFactory
from tests.support.tones import tone

KEY = "a key of sixteen characters"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "xylophone"


async def look_up(word: str) -> str:
    """Look it up."""
    return f"{word}: {SECRET}"


def reply(turn: Turn) -> tuple[Play | CallFunction, ...]:
    if not turn.results:
        return (CallFunction("look_up", {"word": SECRET}),)
    return (Play(tone(VOICE_HZ, 24_000, 0.3)),)


AGENT = Agent(instructions="You look things up.", tools=[look_up])


@dataclass
class Collector:
    """A receiver of OTLP."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        body = await request.read()  # aiohttp has undone the compression
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        assert request.headers["Content-Encoding"] == "gzip"
        told = ExportTraceServiceRequest()
        told.ParseFromString(body)
        self.bodies.append(body)
        for resource in told.resource_spans:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name.split(" ")[0] == name]

    def one(self, name: str) -> Any:
        (span,) = self.named(name)
        return span


def attributes(span: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    collector.url = f"http://{host}:{port}"
    try:
        yield collector
    finally:
        await runner.cleanup()


async def ask(line: Line) -> None:
    """Ask by typing, hear the answer and hang up."""
    line.caller.type(f"what is a {SECRET}")
    await line.counted("bot-stopped-speaking", 1)
    line.caller.send("disconnect-bot")
    await line.caller.ended()


@asynccontextmanager
async def traced_line(collector: Collector, **settings: Any) -> AsyncIterator[Line]:
    async with on_line(
        on_turn=reply, definition=AGENT, settings={"otlp_endpoint": collector.url, **settings}
    ) as line:
        yield line


async def info(caller: Caller, key: str | None = None) -> dict[str, Any]:
    assert caller.location is not None
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(caller.location) as response:
        shown: dict[str, Any] = await response.json()
        return shown


async def test_a_call_is_one_trace() -> None:
    async with collecting() as collector:
        async with traced_line(collector) as line:
            shown = await info(line.caller)
            await ask(line)
        root, turn = collector.one("call"), collector.one("invoke_agent")
        set_up, inference, tool = (collector.one(name) for name in ("set_up", "realtime_inference", "execute_tool"))
        assert {span.trace_id.hex() for span in collector.spans} == {shown["trace_id"]}
        assert root.parent_span_id == b""
        assert not root.links
        assert {span.parent_span_id for span in (set_up, turn)} == {root.span_id}
        assert {span.parent_span_id for span in (inference, tool)} == {turn.span_id}
        assert attributes(root)["gen_ai.conversation.id"] == shown["id"]
        assert attributes(root)["talkspurt.call.end_reason"] == "hung_up"
        assert attributes(turn)["talkspurt.response_s"] > 0
        assert attributes(inference)["gen_ai.request.model"] == shown["model"]
        assert attributes(tool)["gen_ai.tool.name"] == "look_up"
        assert {event.name for event in set_up.events} >= {"offer", "answer", "ice", "dtls", "live_ready"}
        for span in collector.spans:
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
        assert collector.resources[0]["service.name"] == "talkspurt"
        assert not any(SECRET.encode() in body for body in collector.bodies)


async def test_what_was_said_is_told_if_it_is_to_be() -> None:
    async with collecting() as collector:
        async with traced_line(collector, trace_content=True) as line:
            await ask(line)
        assert SECRET in attributes(collector.one("invoke_agent"))["gen_ai.input.messages"]
        assert SECRET in attributes(collector.one("execute_tool"))["gen_ai.tool.call.arguments"]


@pytest.mark.parametrize("key", [KEY, None])
async def test_only_who_has_the_key_may_put_a_call_into_a_trace(service: ServiceFactory, key: str | None) -> None:
    async with collecting() as collector:
        async with (
            service(otlp_endpoint=collector.url, server_key=key) as url,
            call_service(url, key=key, traceparent=f"00-{TRACE}-{SPAN}-01") as caller,
        ):
            await caller.message("bot-ready")
            shown = await info(caller, key)
            caller.send("disconnect-bot")
            await caller.ended()
        root = collector.one("call")
        assert root.trace_id.hex() == shown["trace_id"]
        if key is None:
            assert root.trace_id.hex() != TRACE
            assert root.parent_span_id == b""
            (link,) = root.links
            assert (link.trace_id.hex(), link.span_id.hex()) == (TRACE, SPAN)
        else:
            assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)
            assert not root.links


async def test_a_trace_that_is_not_recorded_is_not_sent(service: ServiceFactory) -> None:
    async with collecting() as collector:
        async with (
            service(otlp_endpoint=collector.url, server_key=KEY) as url,
            call_service(url, key=KEY, traceparent=f"00-{TRACE}-{SPAN}-00") as caller,
        ):
            await caller.message("bot-ready")
        assert collector.spans == []


async def test_calls_do_not_need_the_collector(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(export, "DELAY_MS", 50.0)
    monkeypatch.setattr(export, "END_TIMEOUT_S", 1.0)
    with socket.socket() as deaf:  # takes connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        collector = Collector(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        with caplog.at_level(logging.WARNING):
            async with traced_line(collector) as line:
                began = asyncio.get_running_loop().time()
                await ask(line)
            assert asyncio.get_running_loop().time() - began < 20
    assert "the last traces did not reach otlp_endpoint in time" in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_a_collector_that_is_down_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(export, "DELAY_MS", 50.0)
    monkeypatch.setattr(export, "TIMEOUT_S", 0.2)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    async with traced_line(Collector(f"http://127.0.0.1:{port}")) as line:
        await ask(line)
    assert caplog.text.count("traces do not reach otlp_endpoint") == 1
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_without_the_packages_the_setting_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "PACKAGES", ("opentelemetry.sdk", "no_such_package.at_all"))
    settings = Settings(otlp_endpoint="http://127.0.0.1:4318")
    with pytest.raises(ConfigError, match=r"otlp_endpoint needs the extra `otel`.*no_such_package"):
        async with tracing(settings, offline_demo=True):
            pass


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector.example/", "https://collector.example/v1/traces"),
        ("https://collector.example/otlp/v1/traces", "https://collector.example/otlp/v1/traces"),
    ],
)
def test_an_address_without_a_path_gets_one(endpoint: str, url: str) -> None:
    assert export.traces_url(endpoint) == url
