"""WHIP and its extension to calls: one POST of an SDP offer, trickle by PATCH, hang-up by DELETE (RFC 9725).

RFC 9725 answers recvonly because it only publishes; here an offer that is sendrecv is answered sendrecv.
`/whip` and `/v1/realtime/calls` are the same door.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from agent.errors import OfferError
from agent.settings import Settings
from signaling import sdp
from signaling.calls import Calls
from signaling.info import CALLS_PATH, call_info
from signaling.offer import Door, add_candidates
from signaling.tokens import authorise, want_key_holder

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
ENDPOINTS = ("/whip", CALLS_PATH)


def routes(settings: Settings, door: Door, calls: Calls) -> list[web.RouteDef]:
    """Return the routes of this dialect."""

    async def create(request: web.Request) -> web.Response:
        authorise(request, settings)
        _want_type(request, SDP_TYPE)
        answer, leg = await door.accept_offer(await _text(request))
        headers = {"Location": f"{CALLS_PATH}/{leg.call.call_id}", "ETag": leg.etag}
        response = web.Response(status=201, body=answer.encode(), content_type=SDP_TYPE, headers=headers)
        for link in ice_links(settings.ice_servers):
            response.headers.add("Link", link)
        return response

    async def trickle(request: web.Request) -> web.Response:
        authorise(request, settings)
        leg = calls.get(request.match_info["call_id"])
        _want_type(request, FRAGMENT_TYPE)
        fragment = sdp.parse_fragment(await _text(request))
        _check_generation(request, leg.etag, restarts=fragment.ufrag not in (None, leg.ufrag))
        await add_candidates(leg, fragment)
        return web.Response(status=204)

    async def hang_up(request: web.Request) -> web.Response:
        authorise(request, settings)
        leg = calls.get(request.match_info["call_id"])
        leg.call.hang_up("hung_up", "The caller hung up.", "caller")
        return web.Response(status=200)

    async def show(request: web.Request) -> web.Response:
        authorise(request, settings)
        leg = calls.get(request.match_info["call_id"])
        return web.json_response(call_info(leg), headers={"ETag": leg.etag})

    async def show_kept(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        return web.json_response(calls.get(request.match_info["call_id"]).call.keep().to_json())

    async def show_picture(request: web.Request) -> web.Response:
        authorise(request, settings)
        number = request.match_info["number"]
        picture = calls.get(request.match_info["call_id"]).call.drawn.picture(int(number))
        if picture is None:
            raise OfferError(404, "no_such_picture", f"There is no picture {number}, or it is kept no more.")
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return web.Response(body=picture.data, content_type=picture.mime_type, headers=headers)

    async def show_endpoint(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def options(_request: web.Request) -> web.Response:
        return web.Response(status=200, headers={"Accept-Post": SDP_TYPE})

    found = []
    for endpoint in ENDPOINTS:
        found += [
            web.post(endpoint, create),
            web.get(endpoint, show_endpoint),
            web.options(endpoint, options),
            web.patch(f"{endpoint}/{{call_id}}", trickle),
            web.delete(f"{endpoint}/{{call_id}}", hang_up),
            web.get(f"{endpoint}/{{call_id}}", show),
            web.get(f"{endpoint}/{{call_id}}/state", show_kept),
            web.get(f"{endpoint}/{{call_id}}/pictures/{{number:[0-9]{{1,9}}}}", show_picture),
            web.options(f"{endpoint}/{{call_id}}", options),
        ]
    return found


def ice_links(urls: Sequence[str]) -> list[str]:
    """Return the ICE servers as Link header values (RFC 9725 section 4.6)."""
    return [f'<{url}>; rel="ice-server"' for url in urls]


def _want_type(request: web.Request, wanted: str) -> None:
    if request.content_type != wanted:
        raise OfferError(415, "unsupported_media_type", f"Send the body as Content-Type: {wanted}.")


async def _text(request: web.Request) -> str:
    try:
        return (await request.read()).decode()
    except UnicodeDecodeError:
        raise OfferError(400, "invalid_sdp", "The body is not UTF-8 text.") from None


def _check_generation(request: web.Request, etag: str, *, restarts: bool) -> None:
    """Hold the request's If-Match against the ICE generation (RFC 9725 section 4.4)."""
    if_match = ",".join(request.headers.getall("If-Match", []))
    if not if_match:
        raise OfferError(428, "if_match_required", "Send the ETag of the call in an If-Match header.")
    if if_match.strip() == "*" or restarts:
        raise OfferError(422, "ice_restart_unsupported", "ICE restart is not supported: start a new call.")
    if etag not in (tag.strip() for tag in if_match.split(",")):
        raise OfferError(412, "etag_mismatch", "The If-Match header does not name this call's ICE generation.")
