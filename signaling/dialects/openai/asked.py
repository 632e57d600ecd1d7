"""What a client of OpenAI's Realtime API asks for: texts of the data channel become commands. Pure.

Every text is untrusted. Whatever cannot be carried out is refused with words for the client's developer, since a
client that is told nothing waits for ever.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import MediaError
from agent.media.still import read_still
from agent.picture import Picture
from agent.unicode import read_json
from signaling.dialects.openai.commands import (
    CancelResponse,
    ClearInput,
    ClearOutput,
    Command,
    CommitInput,
    CreateMessage,
    CreateOutput,
    CreateResponse,
    DeleteItem,
    RefusalError,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from signaling.dialects.openai.session import read_session

MAX_EVENT_CHARS = 64 << 10
MAX_TEXT_CHARS = 16 << 10
MAX_OUTPUT_CHARS = 64 << 10
MAX_ID_CHARS = 64
MAX_PICTURES = 8
NO_APPEND = "the caller's voice comes over the peer connection's audio track, not as events"


Event = Mapping[str, Any]


def read_event(text: str | bytes) -> Event:
    """Parse an untrusted message; `command_of` says what it asks for.

    Raises:
        RefusalError: it is not a text with a JSON object, or is too long.
    """
    if not isinstance(text, str) or len(text) > MAX_EVENT_CHARS:
        raise RefusalError("invalid_event", f"an event must be a text of at most {MAX_EVENT_CHARS} characters")
    try:
        event = read_json(text)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise RefusalError("invalid_json", "an event must be a JSON object")
    return event


def event_id_of(event: Event) -> str | None:
    """Return the id that the client gave its event; None if it gave none."""
    given = event.get("event_id")
    return given[:MAX_ID_CHARS] if isinstance(given, str) and given else None


def command_of(event: Event) -> Command:
    """Return what an event asks for.

    Raises:
        RefusalError: it cannot be carried out.
    """
    kind = event.get("type")
    read = COMMANDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise RefusalError("unknown_event", f"there is no client event of type {str(kind)[:MAX_ID_CHARS]}", "type")
    return read(event)


def _update(event: Event) -> Command:
    session = event.get("session")
    if not isinstance(session, dict):
        raise RefusalError("invalid_session", "session must be an object", "session")
    return UpdateSession(read_session(session))


def _create_item(event: Event) -> Command:
    item = event.get("item")
    if not isinstance(item, dict):
        raise RefusalError("invalid_item", "item must be an object", "item")
    item_id = item.get("id")
    if item_id is not None and not _is_id(item_id):
        raise RefusalError("invalid_item", f"id must be a text of 1 to {MAX_ID_CHARS} characters", "item.id")
    match item.get("type"):
        case "message":
            return _message(item_id, item)
        case "function_call_output":
            call_id, output = item.get("call_id"), item.get("output")
            if not isinstance(call_id, str) or not _is_id(call_id):
                raise RefusalError("invalid_item", "call_id must be that of the function call", "item.call_id")
            if not isinstance(output, str) or len(output) > MAX_OUTPUT_CHARS:
                words = f"output must be a text of at most {MAX_OUTPUT_CHARS} characters"
                raise RefusalError("invalid_item", words, "item.output")
            return CreateOutput(item_id, call_id, output)
        case kind:
            words = f"items of type {str(kind)[:MAX_ID_CHARS]} cannot be created here"
            raise RefusalError("item_type_unsupported", words, "item.type")


def _message(item_id: str | None, item: Event) -> CreateMessage:
    role, content = item.get("role"), item.get("content")
    if role not in ("user", "assistant", "system"):
        raise RefusalError("invalid_item", "role must be user, assistant or system", "item.role")
    if not isinstance(content, list) or not content:
        raise RefusalError("invalid_item", "content must be a list that is not empty", "item.content")
    words: list[str] = []
    pictures: list[Picture] = []
    kept: list[Mapping[str, Any]] = []
    for number, part in enumerate(content):
        param = f"item.content[{number}]"
        if not isinstance(part, dict):
            raise RefusalError("invalid_item", "a part of the content must be an object", param)
        match part.get("type"):
            case "input_text" | "output_text" | "text" if isinstance(part.get("text"), str):
                words.append(part["text"])
                kind = "output_text" if role == "assistant" else "input_text"
                kept.append({"type": kind, "text": part["text"]})
            case "input_image" if role == "user":
                pictures.append(_picture(part.get("image_url"), f"{param}.image_url"))
            case "input_audio":
                raise RefusalError("audio_unsupported", NO_APPEND, param)
            case kind:
                what = f"{str(kind)[:MAX_ID_CHARS]} cannot be part of a message of role {role}"
                raise RefusalError("content_unsupported", what, f"{param}.type")
    text = "\n".join(words).strip()
    if not text and not pictures:
        raise RefusalError("invalid_item", "the message is empty", "item.content")
    if len(text) > MAX_TEXT_CHARS or len(pictures) > MAX_PICTURES:
        most = f"a message may have {MAX_TEXT_CHARS} characters and {MAX_PICTURES} pictures"
        raise RefusalError("item_too_long", most, "item.content")
    return CreateMessage(item_id, role, text, tuple(pictures), tuple(kept))


def _picture(url: object, param: str) -> Picture:
    """Read a picture in a ``data:`` URL; any other address is not fetched."""
    head, _, data = url.partition(";base64,") if isinstance(url, str) else ("", "", "")
    if not head.startswith("data:image/"):
        words = "image_url must be a data: URL with a JPEG or PNG in Base64; nothing is fetched"
        raise RefusalError("invalid_image", words, param)
    try:
        return read_still(base64.b64decode(data, validate=True))
    except (binascii.Error, ValueError, MediaError) as error:
        raise RefusalError("invalid_image", f"the picture cannot be used: {error}", param) from None


def _of_item(make: Callable[[str], Command]) -> Callable[[Event], Command]:
    def read(event: Event) -> Command:
        item_id = event.get("item_id")
        if not isinstance(item_id, str) or not _is_id(item_id):
            raise RefusalError("invalid_item_id", "item_id must be the id of an item", "item_id")
        return make(item_id)

    return read


def _create_response(event: Event) -> Command:
    response = event.get("response")
    if response is None:
        return CreateResponse()
    if not isinstance(response, dict):
        raise RefusalError("invalid_response", "response must be an object", "response")
    instructions = response.get("instructions")
    if instructions is not None and (not isinstance(instructions, str) or len(instructions) > MAX_TEXT_CHARS):
        words = f"instructions must be a text of at most {MAX_TEXT_CHARS} characters"
        raise RefusalError("invalid_response", words, "response.instructions")
    if response.get("conversation") == "none" or response.get("input") is not None:
        words = "the Live API has one conversation: leave out conversation and input"
        raise RefusalError("response_unsupported", words, "response.conversation")
    return CreateResponse((instructions or "").strip() or None)


def _cancel(event: Event) -> Command:
    response_id = event.get("response_id")
    return CancelResponse(response_id if isinstance(response_id, str) else None)


def _append(_event: Event) -> Command:
    raise RefusalError("audio_unsupported", NO_APPEND, "type")


COMMANDS: dict[str, Callable[[Event], Command]] = {
    "session.update": _update,
    "conversation.item.create": _create_item,
    "conversation.item.truncate": _of_item(TruncateItem),
    "conversation.item.delete": _of_item(DeleteItem),
    "conversation.item.retrieve": _of_item(RetrieveItem),
    "response.create": _create_response,
    "response.cancel": _cancel,
    "input_audio_buffer.append": _append,
    "input_audio_buffer.clear": lambda _event: ClearInput(),
    "input_audio_buffer.commit": lambda _event: CommitInput(),
    "output_audio_buffer.clear": lambda _event: ClearOutput(),
}
"What each type of client event means."


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS
