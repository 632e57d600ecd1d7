"""WHIP and its extension to calls: one POST of an SDP offer, trickle by PATCH, hang-up by DELETE (RFC 9725).

RFC 9725 answers recvonly because it only publishes; here an offer that is sendrecv is answered sendrecv.
`/whip` and `/v1/realtime/calls` are the same endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from aiohttp import web

from agent.clock import monotonic, unix
from agent.errors import OfferError
from agent.settings import Settings
from signaling.dialects.openai.session import NO_WISH, SessionWish
from signaling.http.access import Access
from signaling.http.bodies import read_json, read_text, refused_by_rate, want_type
from signaling.http.form import FORM_TYPE, read_form
from signaling.http.info import CALLS_PATH, call_info
from signaling.http.kept_calls import MAX_STATE_BYTES, Seal
from signaling.http.problem import MAX_BODY_BYTES
from signaling.http.realtime_session import MAX_SESSION_BYTES, read_session_part, want_leave, with_session
from signaling.http.tokens import key_name, want_instructor, want_key_holder
from signaling.webrtc.calls import Calls
from signaling.webrtc.client_leg import ClientLeg
from signaling.webrtc.leg import Leg
from signaling.webrtc.offer import NO_OPTIONS, CallOptions, Negotiator
from signaling.webrtc.trickle import Fragment, parse_fragment

SDP_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
ENDPOINTS = ("/whip", CALLS_PATH)
MAX_SAY_CHARS = 16 << 10


def routes(settings: Settings, negotiator: Negotiator, calls: Calls, access: Access) -> list[web.RouteDef]:
    """Return the routes of calls."""
    seal = Seal(settings)

    async def create(request: web.Request) -> web.Response:
        ticket = access.want_caller(request)
        offer, options, session = await _wish(request, seal)
        want_leave(session, settings, has_key=settings.server_key is not None and ticket is None)
        options = replace(
            options,
            key=key_name(settings),
            traceparent=request.headers.get("traceparent", ""),
            record=_record(request, settings),
        )
        answer, leg = await negotiator.accept_offer(offer, with_session(options, ticket, session), request.remote)
        return answered(answer, leg, settings)

    def party(request: web.Request) -> Leg:
        """Return the call that a request is about, if it may be."""
        call_id = request.match_info["call_id"]
        access.want_party(request, calls.find(call_id))
        return calls.get(call_id)

    async def trickle(request: web.Request) -> web.Response:
        leg = party(request)
        want_type(request, FRAGMENT_TYPE)
        fragment = parse_fragment(await read_text(request, "invalid_sdp"))
        await _leg_of_this_generation(request, leg, fragment).trickle(fragment)
        return web.Response(status=204)

    async def hang_up(request: web.Request) -> web.Response:
        access.want_party(request, calls.find(request.match_info["call_id"]))
        calls.hang_up(request.match_info["call_id"], "The caller hung up.", "caller")
        return web.Response(status=200)

    async def show(request: web.Request) -> web.Response:
        leg = party(request)
        return web.json_response(call_info(leg), headers=_etag(leg))

    async def show_kept(request: web.Request) -> web.Response:
        want_key_holder(request, settings)
        kept = seal.sign(calls.get(request.match_info["call_id"]).call.keep())
        return web.json_response(kept.to_json(), dumps=partial(json.dumps, ensure_ascii=False))

    async def say(request: web.Request) -> web.Response:
        want_instructor(request, settings)
        leg = calls.get(request.match_info["call_id"])
        text = (await read_json(request)).get("text")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_SAY_CHARS:
            raise OfferError(422, "invalid_text", f"text must be a string of 1 to {MAX_SAY_CHARS} characters.")
        with refused_by_rate():
            leg.rates.take(monotonic(), notes=1, characters=len(text))
        leg.call.say(text.strip())
        return web.json_response({}, status=202)

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
            web.post(f"{endpoint}/{{call_id}}/hangup", hang_up),
            web.get(f"{endpoint}/{{call_id}}", show),
            web.get(f"{endpoint}/{{call_id}}/state", show_kept),
            web.post(f"{endpoint}/{{call_id}}/say", say),
            web.options(f"{endpoint}/{{call_id}}", options),
        ]
    return found


def answered(answer: str, leg: ClientLeg, settings: Settings) -> web.Response:
    """Return the answer to an offer (RFC 9725 section 4.2)."""
    headers = {"Location": f"{CALLS_PATH}/{leg.call.call_id}", "ETag": leg.etag}
    response = web.Response(status=201, body=answer.encode(), content_type=SDP_TYPE, headers=headers)
    for link in ice_links(settings.ice_servers):
        response.headers.add("Link", link)
    return response


def ice_links(urls: Sequence[str]) -> list[str]:
    """Return the ICE servers as Link header values (RFC 9725 section 4.6)."""
    return [f'<{url}>; rel="ice-server"' for url in urls]


async def _wish(request: web.Request, seal: Seal) -> tuple[str, CallOptions, SessionWish]:
    """Return the offer, the options of the call, and the session that is asked for."""
    if request.content_type != FORM_TYPE:
        want_type(request, SDP_TYPE)
        return offer_text(await request.read()), NO_OPTIONS, NO_WISH
    parts = await read_form(
        request, {"sdp": MAX_BODY_BYTES, "state": MAX_STATE_BYTES, "session": MAX_SESSION_BYTES}
    )
    if "sdp" not in parts:
        raise OfferError(422, "missing_part", "The form has no part sdp, which is the offer.")
    kept = seal.take_back(parts["state"], unix()) if "state" in parts else None
    session = read_session_part(parts["session"]) if "session" in parts else NO_WISH
    return offer_text(parts["sdp"]), CallOptions(kept=kept), session


def _record(request: web.Request, settings: Settings) -> bool | None:
    """Return whether the holder of the server key wants the call recorded; None leaves that to agent and settings.

    Raises:
        OfferError: 403 if there is no server key, because then strangers would decide; 422.
    """
    record = request.query.get("record")
    if record is None:
        return None
    want_key_holder(request, settings)
    if record not in ("true", "false"):
        raise OfferError(422, "invalid_record", "record must be true or false.")
    return record == "true"


def offer_text(body: bytes) -> str:
    """Return an offer, which is untrusted."""
    return body.decode(errors="replace")  # the name of a session may be in any charset


def _etag(leg: Leg) -> dict[str, str]:
    """Return the header that names a call's ICE generation; none for a telephone."""
    return {"ETag": leg.etag} if isinstance(leg, ClientLeg) else {}


def _leg_of_this_generation(request: web.Request, leg: Leg, fragment: Fragment) -> ClientLeg:
    """Return the leg if the request is about its ICE generation (RFC 9725 section 4.4).

    Raises:
        OfferError: 412, 422 or 428.
    """
    if_match = ",".join(request.headers.getall("If-Match", []))
    if not if_match:
        raise OfferError(428, "if_match_required", "Send the ETag of the call in an If-Match header.")
    known = (None, *leg.ufrags) if isinstance(leg, ClientLeg) else (None,)
    if if_match.strip() == "*" or fragment.ufrag not in known:
        raise OfferError(
            422, "ice_restart_unsupported", "ICE restart is not supported: POST an offer of a new connection here."
        )
    if not isinstance(leg, ClientLeg) or leg.etag not in (tag.strip() for tag in if_match.split(",")):
        raise OfferError(412, "etag_mismatch", "The If-Match header does not name this call's ICE generation.")
    return leg
