"""The responses that a client is told of. Pure.

Only one is open at a time, and each ends with one `response.done`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from signaling.dialects.openai.items import Items, Json, Status, function_call, message
from signaling.dialects.openai.wire import Wire

ResponseStatus = Literal["in_progress", "completed", "cancelled", "failed"]


@dataclass(slots=True)
class Response:
    """A response that is open.

    Attributes:
        response_id: its id.
        generation: the model's generation that it tells of; None until the model begins.
        items: the ids of what it contains, in order.
        speech: the id of the item that grows; None if none does.
    """

    response_id: str
    generation: int | None
    items: list[str] = field(default_factory=list)
    speech: str | None = None


class Responses:
    """The responses of one client; each method returns the server events that follow, in order.

    Args:
        wire: numbers the events.
        items: the items of the call.
        written: the agent writes instead of speaking.
    """

    def __init__(self, wire: Wire, items: Items, *, written: bool) -> None:
        self.open: Response | None = None
        self.latest_id: str | None = None
        "The id of the newest response."
        self.used: dict[tuple[str, str], int] = {}
        "All tokens of the call so far, by direction and modality."
        self.client_cancels = False
        "The client has cancelled the open response."
        self.text = "text" if written else "transcript"
        "The name of the field that has the agent's words."
        self._wire = wire
        self._items = items
        self._written = written
        self._count = 0
        self._used_before: dict[tuple[str, str], int] = {}

    def begin(self, generation: int | None) -> list[Json]:
        """Begin a response; one that is open ends."""
        out = self.finish("completed")
        self._count += 1
        self.latest_id = f"resp_{self._count}"
        self.open = Response(self.latest_id, generation)
        return [*out, self._wire.event("response.created", response=self._described(self.open, "in_progress"))]

    def finish(self, status: ResponseStatus) -> list[Json]:
        """End the open response, if there is one."""
        response = self.open
        if response is None:
            return []
        out = self._close_speech(response, "completed" if status == "completed" else "incomplete")
        self.open = None
        done = self._described(response, status) | {"usage": self._usage()}
        self.client_cancels = False
        return [*out, self._wire.event("response.done", response=done)]

    def say(self, response: Response, delta: str) -> list[Json]:
        """Add words of the agent, to the item that grows or to a new one."""
        out = self._open_speech(response) if response.speech is None else []
        assert response.speech is not None
        item = self._items.get(response.speech)
        if item is not None:
            item["content"][0][self.text] += delta
        kind = "response.output_text.delta" if self._written else "response.output_audio_transcript.delta"
        return [*out, self._wire.event(kind, **self._place(response, response.speech), delta=delta)]

    def call_function(self, response: Response, call_id: str, name: str, arguments: str) -> list[Json]:
        """Add a call of a function of the client's."""
        out = self._close_speech(response, "completed")
        item_id = self._items.new_id()
        item = function_call(item_id, call_id, name, arguments)
        begun = {**item, "status": "in_progress", "arguments": ""}
        response.items.append(item_id)
        previous = self._items.add(item)
        place = self._place(response, item_id) | {"call_id": call_id}
        del place["content_index"]
        return [
            *out,
            self._of_response("response.output_item.added", response, begun),
            self._wire.event("conversation.item.added", previous_item_id=previous, item=begun),
            self._wire.event("response.function_call_arguments.delta", **place, delta=arguments),
            self._wire.event("response.function_call_arguments.done", **place, arguments=arguments),
            self._of_response("response.output_item.done", response, item),
            self._wire.event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def _open_speech(self, response: Response) -> list[Json]:
        item_id = response.speech = self._items.new_id()
        response.items.append(item_id)
        begun = message(item_id, "assistant", [], "in_progress")
        kind = "output_text" if self._written else "output_audio"
        previous = self._items.add({**begun, "content": [{"type": kind, self.text: ""}]})
        return [
            self._of_response("response.output_item.added", response, begun),
            self._wire.event("conversation.item.added", previous_item_id=previous, item=begun),
            self._wire.event("response.content_part.added", **self._place(response, item_id), part=self._part("")),
        ]

    def _close_speech(self, response: Response, status: Status) -> list[Json]:
        item_id, response.speech = response.speech, None
        item = None if item_id is None else self._items.get(item_id)
        if item_id is None or item is None:
            return []
        item["status"] = status
        place, text = self._place(response, item_id), item["content"][0][self.text]
        if self._written:
            out = [self._wire.event("response.output_text.done", **place, text=text)]
        else:
            out = [
                self._wire.event("response.output_audio.done", **place),
                self._wire.event("response.output_audio_transcript.done", **place, transcript=text),
            ]
        previous = self._items.previous(item_id)
        return [
            *out,
            self._wire.event("response.content_part.done", **place, part=self._part(text)),
            self._of_response("response.output_item.done", response, item),
            self._wire.event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def _described(self, response: Response, status: ResponseStatus) -> Json:
        reason = "client_cancelled" if self.client_cancels else "turn_detected"
        details = {"cancelled": {"type": "cancelled", "reason": reason}, "failed": {"type": "failed"}}
        return {
            "object": "realtime.response",
            "id": response.response_id,
            "status": status,
            "status_details": details.get(status),
            "output": [item for each in response.items if (item := self._items.get(each)) is not None],
            "output_modalities": ["text" if self._written else "audio"],
            "usage": None,
        }

    def _usage(self) -> Json:
        """Return the tokens that were reported since the last response."""
        new = {key: count - self._used_before.get(key, 0) for key, count in self.used.items()}
        self._used_before = dict(self.used)
        prompt, made = ({kind: n for (way, kind), n in new.items() if way == each} for each in _WAYS)
        return {
            "total_tokens": sum(new.values()),
            "input_tokens": sum(prompt.values()),
            "output_tokens": sum(made.values()),
            "input_token_details": _details(prompt),
            "output_token_details": _details(made),
        }

    def _place(self, response: Response, item_id: str) -> Json:
        return {
            "response_id": response.response_id,
            "item_id": item_id,
            "output_index": response.items.index(item_id),
            "content_index": 0,
        }

    def _of_response(self, kind: str, response: Response, item: Json) -> Json:
        index = response.items.index(item["id"])
        return self._wire.event(kind, response_id=response.response_id, output_index=index, item=item)

    def _part(self, text: str) -> Json:
        return {"type": "text", "text": text} if self._written else {"type": "audio", "transcript": text}


_WAYS = ("prompt", "response")
_KINDS = {"TEXT": "text_tokens", "AUDIO": "audio_tokens", "IMAGE": "image_tokens", "VIDEO": "image_tokens"}


def _details(spent: Mapping[str, int]) -> Json:
    """Return tokens by OpenAI's names of the modalities; those of any other kind count as text."""
    told = {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0}
    for kind, count in spent.items():
        told[_KINDS.get(kind, "text_tokens")] += count
    return told
