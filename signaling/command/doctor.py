"""`talkspurt doctor`: what is missing, what is misconfigured, and what works but could be better."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import aiohttp

import agent
import signaling
from agent.errors import ConfigError, LiveError, OfferError
from agent.live.client import live_client
from agent.live.config import LiveEndpoint, endpoint_of
from agent.live.models import check_model, doubts
from agent.live.session import try_session
from agent.media import opus
from agent.media.tap import audio as tap
from agent.record.recorder import check_folder
from agent.settings import Settings, unknown_variables
from signaling.app import endpoint, running
from signaling.client.dial import STATE_POLL_S, follow_call, service_client
from signaling.command.beyond import examine_beyond
from signaling.command.finding import Finding
from signaling.http.assets import WEB_FOLDER
from signaling.http.ice import check_media_addresses
from signaling.http.tokens import check_exposure
from signaling.phone.callees import SWITCHES, callees_of
from signaling.prices import load_prices

PHONE_TIMEOUT_S = 15.0
FOR_A_TRIAL = {
    "host": "127.0.0.1",
    "port": 0,
    "drain_timeout_s": 0.0,
    "record": False,
    "capture_folder": None,
    "history_url": None,
    "webhook_url": None,
    "otlp_endpoint": None,
}
"""The settings of a service that is started for a check, and leaves nothing behind."""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Run all checks, quickest first."""
    yield _packages()
    yield _page()
    yield _tap()
    yield _libopus()
    yield _uvloop()
    yield _exposure(settings)
    yield _port(settings)
    yield _interfaces()
    yield _settings(settings)
    async for finding in examine_beyond(settings):
        yield finding
    try:
        async with endpoint(settings) as (live, _outage):
            yield await _live(settings, live)
            if settings.janus_url is not None:
                yield await examine_phone(settings, live)
    except ConfigError as error:
        yield Finding("bad", "Live session", str(error))


def _packages() -> Finding:
    """Check that `agent` and `signaling` are ours: the package registry has others of the same names."""
    ours = Path(__file__).parents[2]
    for package in (agent, signaling):
        if Path(str(package.__file__)).parent.parent != ours:
            detail = f"{package.__file__} is not part of talkspurt: install talkspurt in a venv of its own"
            return Finding("bad", "packages", detail)
    return Finding("good", "packages", f"agent and signaling are talkspurt's, in {ours}")


def _page() -> Finding:
    if (WEB_FOLDER / "index.html").is_file():
        return Finding("good", "page", str(WEB_FOLDER))
    return Finding("bad", "page", f"{WEB_FOLDER / 'index.html'} is missing: reinstall talkspurt")


def _tap() -> Finding:
    reason = tap.why_not()
    if reason is None:
        return Finding("good", "inbound audio", "packets are taken before aiortc's jitter buffer")
    return Finding(
        "fallback", "inbound audio", f"taken from aiortc's frames, which are 80 to 280 ms late: {reason}"
    )


def _libopus() -> Finding:
    if opus.available():
        return Finding("good", "libopus", str(opus.version()))
    return Finding("fallback", "libopus", "missing; PyAV is used instead: run apt-get install libopus0")


def _uvloop() -> Finding:
    if importlib.util.find_spec("uvloop") is not None:
        return Finding("good", "event loop", "uvloop")
    return Finding(
        "fallback",
        "event loop",
        "asyncio's own; to save 5 to 20 % of CPU time run pip install '.[speed]' in talkspurt's own folder",
    )


def _exposure(settings: Settings) -> Finding:
    try:
        check_exposure(settings)
    except ConfigError as error:
        return Finding("bad", "exposure", str(error))
    key = "with a server key" if settings.server_key is not None else "without a server key"
    return Finding("good", "exposure", f"listens on {settings.host} {key}")


def _port(settings: Settings) -> Finding:
    where = f"{settings.host}:{settings.port}"
    try:
        family, *_rest, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return Finding("bad", "port", f"cannot listen on {where}: {error.strerror or error}; try another --port")
    return Finding("good", "port", f"{where} is free")


def _interfaces() -> Finding:
    """Check for an interface besides loopback: aiortc offers no loopback candidates, so no call could connect."""
    from aioice.ice import get_host_addresses

    addresses = get_host_addresses(use_ipv4=True, use_ipv6=True)
    if addresses:
        return Finding("good", "media address", ", ".join(addresses))
    return Finding("bad", "media address", "only loopback, so no call can connect: bring up a network interface")


def _settings(settings: Settings) -> Finding:
    """Check whether the model supports the settings, and whether any are questionable."""
    offline = endpoint_of(settings) is None
    try:
        check_model(settings, offline=offline)
        for switch in SWITCHES:
            callees_of(settings, switch)
        load_prices(settings)
        check_media_addresses(settings)
        if settings.record:
            check_folder(Path(settings.record_folder), settings.source("record_folder"))
    except ConfigError as error:
        return Finding("bad", "settings", str(error))
    unusual = [*unknown_variables(), *doubts(settings, offline=offline)]
    if unusual:
        return Finding("fallback", "settings", "; ".join(unusual))
    return Finding("good", "settings", f"{settings.model} supports these settings")


async def examine_phone(settings: Settings, live: LiveEndpoint) -> Finding:
    """Have the line call itself, through the running service or else through one started for this check."""
    async with AsyncExitStack() as stack:
        url = f"http://{settings.host}:{settings.port}/"
        if _port(settings).verdict == "good":
            own = settings.model_copy(update=FOR_A_TRIAL)
            url = await stack.enter_async_context(running(own, live))
        key = settings.server_key.get_secret_value() if settings.server_key is not None else None
        http = await stack.enter_async_context(service_client(url, key))
        try:
            async with asyncio.timeout(PHONE_TIMEOUT_S):
                return await _call_itself(http, settings.sip_user)
        except TimeoutError:
            return Finding("bad", "phone line", f"{settings.sip_user} called itself, but nobody answered")
        except (OfferError, aiohttp.ClientError) as error:
            return Finding("bad", "phone line", f"{settings.sip_user} cannot call: {error}")
    raise AssertionError


async def _call_itself(http: aiohttp.ClientSession, user: str) -> Finding:
    while True:
        async with http.get("/readyz") as response:
            line = (await response.json()).get("phone", "the service at this address has no phone line")
        if line == "registered":
            break
        if "not registered yet" not in line:
            return Finding("bad", "phone line", line)
        await asyncio.sleep(STATE_POLL_S)
    async with aclosing(follow_call(http, {"to": user})) as states:
        async for state in states:
            if state["state"] == "answered":
                return Finding("good", "phone line", f"{user} is registered, called itself and was answered")
    return Finding("bad", "phone line", f"{user} is registered, but cannot call itself: {state['detail']}")


async def _live(settings: Settings, live: LiveEndpoint) -> Finding:
    """Set up a session and close it again."""
    who = "local emulator" if live.offline_demo else settings.model
    client = live_client(live, settings)
    try:
        await try_session(client, settings)
        return Finding("good", "Live session", f"the {who} confirmed a session")
    except LiveError as error:
        return Finding("bad", "Live session", error.detail)
    finally:
        await client.aio.aclose()
