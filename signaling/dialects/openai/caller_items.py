"""What the client is told of the caller's speech. Pure.

The caller's words become an item when the caller stops speaking, or when the first words are recognised. Noise in
which nothing is recognised ends with an empty transcript. Texts that only grow are told as deltas.
"""

from __future__ import annotations

from agent import events
from signaling.dialects.openai.items import Items, Json, grown, message
from signaling.dialects.openai.wire import Wire

TRANSCRIPTION = "conversation.item.input_audio_transcription"


class CallerItems:
    """The items of what one caller says.

    Args:
        wire: numbers the events.
        items: the items of the call.
    """

    def __init__(self, wire: Wire, items: Items) -> None:
        self.transcribes = True
        "The client wants the caller's words."
        self._wire = wire
        self._items = items
        self._item_id: str | None = None  # of what the caller is saying or has just said
        self._turn_id: str | None = None  # names the turn whose words it has
        self._words = ""
        self._committed = False  # it was told that its speech is complete

    def started(self, now_ms: int) -> list[Json]:
        """The caller began to speak."""
        silent = self._turn_id is None and self._item_id is not None and self._item_id in self._items
        out = self._close() if silent else []
        item_id = self._item_id = self._item_id or self._items.new_id()
        event = self._wire.event("input_audio_buffer.speech_started", audio_start_ms=now_ms, item_id=item_id)
        return [*out, event]

    def stopped(self, now_ms: int) -> list[Json]:
        """The caller stopped speaking."""
        item_id = self._item_id = self._item_id or self._items.new_id()
        stopped = self._wire.event("input_audio_buffer.speech_stopped", audio_end_ms=now_ms, item_id=item_id)
        if self._committed:
            return [stopped]
        self._committed = True
        previous = self._items.previous(item_id) if item_id in self._items else self._items.last
        place = {"previous_item_id": previous, "item_id": item_id}
        return [stopped, self._wire.event("input_audio_buffer.committed", **place), *self._add(item_id)]

    def said(self, event: events.CallerTranscribed) -> list[Json]:
        """Words of the caller were recognised."""
        out = self._close() if self._turn_id not in (None, event.turn_id) else []
        item_id = self._item_id = self._item_id or self._items.new_id()
        out += self._add(item_id)
        delta = grown(self._words, event.text)
        self._turn_id, self._words = event.turn_id, event.text
        if delta and self.transcribes:
            out.append(self._wire.event(f"{TRANSCRIPTION}.delta", item_id=item_id, content_index=0, delta=delta))
        return [*out, *self._close()] if event.final else out

    def _add(self, item_id: str) -> list[Json]:
        """Tell of the item, unless that was done."""
        if item_id in self._items:
            return []
        item = message(item_id, "user", [{"type": "input_audio", "transcript": None}], "completed")
        previous = self._items.add(item)
        return [
            self._wire.event("conversation.item.added", previous_item_id=previous, item=item),
            self._wire.event("conversation.item.done", previous_item_id=previous, item=item),
        ]

    def _close(self) -> list[Json]:
        """End the item with its words, or with none."""
        item_id, words = self._item_id, self._words
        self._item_id, self._turn_id, self._words, self._committed = None, None, "", False
        item = None if item_id is None else self._items.get(item_id)
        if item is None or not self.transcribes:
            return []
        item["content"][0]["transcript"] = words
        return [self._wire.event(f"{TRANSCRIPTION}.completed", item_id=item_id, content_index=0, transcript=words)]
