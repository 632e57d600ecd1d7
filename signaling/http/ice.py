"""ICE: the servers that callers and the service use, and where the service itself waits for media."""

from __future__ import annotations

import ipaddress
import socket

from aiohttp import web
from aiortc import RTCIceServer

from agent.errors import ConfigError
from agent.settings import Settings
from signaling.http.tokens import is_loopback
from signaling.webrtc.candidates import LOOPBACK, Network

TTL_S = 3600  # the servers hold no credential that expires
GATHERING_S = 0.5  # that STUN servers may take; a call without what they would tell is better than one that waits


def routes(settings: Settings) -> list[web.RouteDef]:
    """Return the route of the ICE servers, as JSON for `RTCPeerConnection`."""

    async def ice_servers(_request: web.Request) -> web.Response:
        servers = [{"urls": [url]} for url in settings.ice_servers]
        return web.json_response({"iceServers": servers, "ttl": TTL_S})

    return [web.get("/v1/ice-servers", ice_servers)]


def own_servers(settings: Settings) -> list[RTCIceServer]:
    """Return the servers that the service asks itself: aiortc cannot read IPv6 addresses."""
    return [RTCIceServer(urls=url) for url in settings.ice_servers if "[" not in url]


def checked_networks(settings: Settings) -> tuple[Network, ...]:
    """Return where callers may have checks sent besides public addresses.

    Loopback if the door is there: whoever calls from there can send datagrams there anyway.
    """
    given = tuple(ipaddress.ip_network(network) for network in settings.candidate_networks)
    return (*given, *LOOPBACK) if is_loopback(settings.host) else given


def check_media_addresses(settings: Settings) -> None:
    """Refuse addresses on which this machine cannot wait for media.

    Raises:
        ConfigError: names the address.
    """
    for address in settings.media_addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((address, 0))
        except OSError as error:
            raise ConfigError(
                f"{settings.stated('media_addresses')}: cannot wait for media on {address}: "
                f"{error.strerror or error}; name addresses of this machine"
            ) from None
