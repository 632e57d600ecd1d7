"""Put the service together: its routes, the agent that answers, and an orderly shutdown."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.log import server_logger

from agent.author.agent import Agent as Definition
from agent.author.agent import check_names
from agent.author.hooks import Hooks
from agent.call.stats import watch_loop
from agent.call.summary import Summariser
from agent.errors import ConfigError
from agent.live.client import live_client
from agent.live.config import LiveEndpoint, endpoint_of
from agent.live.models import check_model, check_tools, doubts
from agent.media import opus
from agent.media.tap import audio as tap
from agent.media.tap import ice as tap_ice
from agent.record.recorder import check_folder
from agent.settings import Settings, unknown_variables
from agent.summary import SummaryWish
from agent.tools.declare import Tool
from agent.tools.demo import WEATHER
from agent.tools.mcp import mcp_tools
from signaling.dialects import rtvi
from signaling.history import history_of
from signaling.http import assets, health, ice, live_calls, pictures, recording, whip
from signaling.http import outbound as phone_api
from signaling.http.connections import KEEP_ALIVE_S, Connections
from signaling.http.metrics import Metrics
from signaling.http.origins import add_cors, origin_middleware, origins_of
from signaling.http.problem import MAX_BODY_BYTES, problem_middleware
from signaling.http.tokens import check_exposure
from signaling.offline import emulator_process
from signaling.phone import twilio
from signaling.phone.sip_line import SipLine
from signaling.phone.telephone import check_tool_names
from signaling.prices import load_prices
from signaling.process import garbage
from signaling.process.descriptors import raise_limit
from signaling.process.logs import StrangersErrors
from signaling.traces import tracing
from signaling.webrtc.calls import Calls
from signaling.webrtc.leg import Leg
from signaling.webrtc.offer import Negotiator, ServiceAgent
from signaling.webrtc.peer import note_closed_connects

if TYPE_CHECKING:
    from signaling.history.history import History

logger = logging.getLogger(__name__)

DEMO = Definition(tools=(WEATHER,))
"The agent that answers if no file defines another."

Outage = Callable[[], str | None]


def _no_outage() -> None:
    return None


def build_app(
    settings: Settings,
    agent: ServiceAgent,
    calls: Calls,
    metrics: Metrics,
    connections: Connections,
    history: History | None = None,
) -> web.Application:
    """Return the application; the caller owns ``calls`` and must end them."""
    origins = origins_of(settings)
    middlewares = [calls.audit.middleware, problem_middleware, connections.middleware, origin_middleware(origins)]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY_BYTES)
    negotiator = Negotiator(settings, agent, calls, {rtvi.LABEL: rtvi.speak_rtvi})
    app.add_routes(whip.routes(settings, negotiator, calls))
    app.add_routes(pictures.routes(settings, calls))
    app.add_routes(recording.routes(settings, calls))
    app.add_routes(ice.routes(settings))
    phone = None
    if settings.janus_url is not None:
        phone = SipLine(settings, negotiator)
        app.cleanup_ctx.append(phone.serve)  # ends after the calls
        app.add_routes(phone_api.routes(settings, phone, calls))
    app.add_routes(twilio.routes(settings, negotiator, calls))
    app.add_routes(live_calls.routes(settings, calls))
    if history is not None:
        _keep_calls(settings, app, calls, history)
    app.add_routes(health.routes(calls, phone))
    app.add_routes(metrics.routes())
    app.add_routes(assets.routes(settings))
    add_cors(app, origins)
    return app


def _keep_calls(settings: Settings, app: web.Application, calls: Calls, history: History) -> None:
    """Keep what happens in calls, and serve it over HTTP."""
    from signaling.history import http, observe, recordings  # imported here: they need the extra `history`

    keeper = recordings.RecordingKeeper(settings, history)
    summaries = observe.SummaryKeeper(history) if calls.summaries.wanted else None
    if summaries is not None:
        calls.summaries.observers.append(summaries.note)
    calls.watchers.append(observe.watcher_of(history, keeper, summaries))
    calls.recorder.listeners.append(keeper.note)

    async def keep(_app: web.Application) -> AsyncIterator[None]:
        yield
        await keeper.close()  # after the calls

    app.cleanup_ctx.append(keep)
    app.add_routes(http.routes(settings, history))


@asynccontextmanager
async def endpoint(settings: Settings) -> AsyncIterator[tuple[LiveEndpoint, Outage]]:
    """Choose the Live server: Gemini if there are credentials, else the emulator in a process of its own.

    Yields:
        The endpoint, and a function that says why it cannot be used now, or None.
    """
    gemini = endpoint_of(settings)
    if gemini is not None:
        yield gemini, _no_outage
        return
    async with emulator_process() as local:
        yield local


@asynccontextmanager
async def running(
    settings: Settings, live: LiveEndpoint, outage: Outage = _no_outage, definition: Definition = DEMO
) -> AsyncIterator[str]:
    """Run the service; yield the page's address. Every call is ended on exit.

    Raises:
        ConfigError: the service cannot listen on its address, or the prices, the history, a tool or a hook cannot
            be used.
    """
    settings = definition.settings(settings)
    own, hooks, wish = definition.declared_tools(), definition.hooks(), definition.summary_wish()
    async with mcp_tools(definition.mcp_servers, [tool.name for tool in own]) as mcp:
        tools = [*own, *mcp]
        check_names(tools)
        check_tool_names(settings, tools)
        check_tools(settings, tools, offline=live.offline_demo)
        async with (
            history_of(settings) as history,  # this and the next context end after the calls
            tracing(settings, offline_demo=live.offline_demo) as trace,
            _serving(settings, live, outage, tools, definition.greeting, hooks, wish, history, trace) as address,
        ):
            yield address


@asynccontextmanager
async def _serving(
    settings: Settings,
    live: LiveEndpoint,
    outage: Outage,
    tools: Sequence[Tool],
    greeting: str | None,
    hooks: Hooks,
    wish: SummaryWish | None,
    history: History | None,
    trace: Callable[[Leg], None] | None,
) -> AsyncIterator[str]:
    prices = load_prices(settings)
    ice.check_media_addresses(settings)
    tap_ice.guard()
    note_closed_connects(asyncio.get_running_loop())
    client = live_client(live, settings)
    summariser = None
    if wish is not None:
        summariser = Summariser(client, wish, wish.model or settings.summary_model, prices)
    calls = Calls(settings, outage, hooks, summariser)
    agent = ServiceAgent(client, tools, live.offline_demo, prices, greeting)
    connections = Connections(settings.max_connections)
    strangers_errors = StrangersErrors()
    if settings.record:
        check_folder(Path(settings.record_folder), settings.source("record_folder"))
    metrics = Metrics(calls, connections, strangers_errors)
    if trace is not None:
        calls.watchers.append(trace)
    app = build_app(settings, agent, calls, metrics, connections, history)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=KEEP_ALIVE_S)
    await runner.setup()
    assert runner.server is not None
    connections.watch(runner.server)
    server_logger.addFilter(strangers_errors)

    def note_lag(lag_s: float) -> None:
        metrics.note_lag(lag_s)
        calls.note_lag(lag_s)

    lag_watch = asyncio.create_task(watch_loop(note_lag), name="loop-lag")
    voices_watch = asyncio.create_task(calls.watch_voices(), name="voices-watch")
    collecting = asyncio.create_task(garbage.collect_garbage(calls), name="garbage")
    watching = asyncio.create_task(calls.recorder.watch(), name="recorder-watch")
    repairing = asyncio.create_task(calls.recorder.repair(), name="recorder-repair")
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "choose another port with --port or TALKSPURT_PORT"
            ) from None
        yield _address(runner)
    finally:
        await calls.drain(settings.drain_timeout_s)
        await runner.cleanup()
        server_logger.removeFilter(strangers_errors)
        await client.aio.aclose()
        for task in (lag_watch, voices_watch, collecting, watching, repairing):
            task.cancel()


async def serve(settings: Settings, definition: Definition = DEMO) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: the service's settings.
        definition: the agent that answers.

    Raises:
        ConfigError: a setting or the agent cannot be used.
    """
    check_exposure(settings)
    raise_limit()
    check_model(settings, offline=endpoint_of(settings) is None)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with endpoint(settings) as (live, outage), running(settings, live, outage, definition) as address:
        if live.offline_demo:
            logger.info("no GOOGLE_API_KEY: the local emulator answers as an offline demo model")
        else:
            logger.info("calls are answered by %s%s", settings.model, " at Vertex AI" if live.vertex else "")
        for doubt in (*unknown_variables(), *doubts(definition.settings(settings), offline=live.offline_demo)):
            logger.warning("%s", doubt)
        _warn_what_is_missing()
        garbage.take_over()
        logger.info("talkspurt is ready: open %s", address)
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second signal ends the process at once
        logger.info("shutting down: draining calls for up to %g s", settings.drain_timeout_s)


def _warn_what_is_missing() -> None:
    reason = tap.why_not()
    if reason is not None:
        logger.warning("lost packets will delay what callers say: aiortc cannot be tapped: %s", reason)
    reason = tap_ice.why_not()
    if reason is not None:
        logger.warning("anybody can end a call with one datagram: aioice cannot be guarded: %s", reason)
    if not opus.available():
        logger.warning("libopus is missing: PyAV serves instead, at a higher cost and without concealment")


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104  only printed
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
