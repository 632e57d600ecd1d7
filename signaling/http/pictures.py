"""Pictures that are too large for the data channel: those of the caller, and those that the model made.

See docs/calls.md.
"""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from agent.clock import monotonic
from agent.errors import LiveLost, MediaError, OfferError
from agent.media.still import MAX_STILL_BYTES, read_still
from agent.picture import Picture
from signaling.dialects.requests import MAX_PICTURES, RefusedError, text_of
from signaling.http.access import Access
from signaling.http.bodies import refused_by_rate, want_type
from signaling.http.form import FORM_ERRORS, FORM_TYPE
from signaling.http.whip import ENDPOINTS
from signaling.webrtc.calls import Calls

MAX_FORM_BYTES = 8 << 20  # it becomes one message to the Live server, which delays the audio behind it
RETRY_AFTER_S = 1


def routes(calls: Calls, access: Access) -> list[web.RouteDef]:
    """Return the routes of pictures, for each endpoint that calls have."""
    uploading: set[str] = set()  # ids of calls; one upload at a time per call bounds their memory

    async def ask(request: web.Request) -> web.Response:
        call_id = request.match_info["call_id"]
        access.want_party(request, calls.find(call_id))
        calls.get(call_id)
        want_type(request, FORM_TYPE)
        if (request.content_length or 0) > MAX_FORM_BYTES:
            raise _too_large("The whole form", MAX_FORM_BYTES)
        if call_id in uploading:
            raise OfferError(
                429, "upload_under_way", "Wait until the previous upload is done.", retry_after_s=RETRY_AFTER_S
            )
        rates = calls.get(call_id).rates
        with refused_by_rate():
            rates.check(monotonic(), texts=1, pictures=1)
        uploading.add(call_id)
        try:
            content, stills = await _read_form(request)
        finally:
            uploading.discard(call_id)
        call = calls.get(call_id).call  # raises if it has ended meanwhile
        with refused_by_rate():
            rates.take(monotonic(), texts=1, characters=len(content), pictures=len(stills))
        try:
            call.type_text(text_of({"content": content}, "content"), pictures=stills)
        except RefusedError as error:
            raise OfferError(400, "unusable_text", _sentence(str(error))) from None
        except LiveLost as error:
            raise OfferError(503, "live_busy", _sentence(error.detail), retry_after_s=RETRY_AFTER_S) from None
        return web.json_response({"pictures": [_told(still) for still in stills]})

    async def show(request: web.Request) -> web.Response:
        call_id, number = request.match_info["call_id"], request.match_info["number"]
        access.want_party(request, calls.find(call_id))
        picture = calls.get(call_id).call.drawn.picture(int(number))
        if picture is None:
            raise OfferError(404, "no_such_picture", f"There is no picture {number}, or it is no longer kept.")
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return web.Response(body=picture.data, content_type=picture.mime_type, headers=headers)

    found = []
    for endpoint in ENDPOINTS:
        found += [
            web.post(f"{endpoint}/{{call_id}}/pictures", ask),
            web.get(f"{endpoint}/{{call_id}}/pictures/{{number:[0-9]{{1,9}}}}", show),
        ]
    return found


async def _read_form(request: web.Request) -> tuple[str, list[Picture]]:
    """Return the question and the pictures.

    Raises:
        OfferError: 400, 413 or 415.
    """
    content, stills, left_bytes = b"", list[Picture](), MAX_FORM_BYTES
    try:
        form = await request.multipart()
        while (part := await form.next()) is not None:
            if not isinstance(part, BodyPartReader) or part.name not in ("content", "pictures"):
                raise OfferError(400, "invalid_form", "The form may only have the fields content and pictures.")
            if part.name == "pictures" and len(stills) == MAX_PICTURES:
                raise OfferError(413, "too_many_pictures", f"Send at most {MAX_PICTURES} pictures.")
            data = await _read(part, left_bytes)
            left_bytes -= len(data)
            if part.name == "content":
                content = data
            else:
                stills.append(_still(data))
        if not stills:
            raise OfferError(400, "invalid_form", "Send at least one file in the field pictures.")
        return content.decode(), stills
    except FORM_ERRORS as error:
        raise OfferError(400, "invalid_form", f"The body cannot be read as {FORM_TYPE}.") from error


async def _read(part: BodyPartReader, left_bytes: int) -> bytes:
    """Return a part's content if it is not too large."""
    data = bytearray()
    while chunk := await part.read_chunk():
        data += chunk
        if len(data) > MAX_STILL_BYTES:
            raise _too_large("A picture", MAX_STILL_BYTES)
        if len(data) > left_bytes:
            raise _too_large("The whole form", MAX_FORM_BYTES)
    return bytes(data)


def _still(data: bytes) -> Picture:
    try:
        return read_still(data)
    except MediaError as error:
        raise OfferError(415, "unusable_picture", _sentence(str(error))) from None


def _too_large(what: str, limit_bytes: int) -> OfferError:
    return OfferError(413, "too_large", f"{what} may have at most {limit_bytes >> 20} MiB.")


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _told(still: Picture) -> dict[str, str | int]:
    return {
        "mime_type": still.mime_type,
        "width": still.width,
        "height": still.height,
        "bytes": len(still.data),
    }
