"""ICE: the servers that callers and the service use, and the addresses on which the service receives media."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp import web
from aiortc import RTCIceServer

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.http.tokens import is_loopback
from signaling.webrtc.candidates import LOOPBACK, Network

TTL_S = 3600  # the list contains no credentials that expire
GATHERING_S = 0.5  # a call without the STUN servers' answers is better than a slow one


def routes(settings: Settings) -> list[web.RouteDef]:
    """Return the route that lists the ICE servers as JSON for `RTCPeerConnection`."""

    async def ice_servers(_request: web.Request) -> web.Response:
        return web.json_response({**ice_config(settings), "ttl": TTL_S})

    return [web.get("/v1/ice-servers", ice_servers)]


def ice_config(settings: Settings) -> dict[str, list[dict[str, list[str]]]]:
    """Return the ICE servers as a browser's `RTCConfiguration`."""
    return {"iceServers": [{"urls": [url]} for url in settings.ice_servers]}


def own_servers(settings: Settings) -> list[RTCIceServer]:
    """Return the servers that the service itself asks: not IPv6 addresses, which aiortc cannot read."""
    return [RTCIceServer(urls=url) for url in settings.ice_servers if "[" not in url]


def checked_networks(settings: Settings) -> tuple[Network, ...]:
    """Return the networks, besides public addresses, to which callers may make the service send checks.

    They include loopback if the service listens there: whoever calls from there can send datagrams to it anyway.
    """
    given = tuple(ipaddress.ip_network(network) for network in settings.candidate_networks)
    return (*given, *LOOPBACK) if is_loopback(settings.host) else given


def check_media_addresses(settings: Settings) -> None:
    """Refuse addresses on which this machine cannot receive media.

    Raises:
        ConfigError: the message names the address.
    """
    for address in settings.media_addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        except OSError as error:
            raise ConfigError(
                f"{settings.stated('media_addresses')}: cannot receive media on {address}: "
                f"{error.strerror or error}; use addresses of this machine"
            ) from None
