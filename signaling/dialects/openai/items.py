"""The items of a conversation, as OpenAI's Realtime API names what was said. Pure.

An item has an id that the client may choose. Items that are told stay available for `conversation.item.retrieve`;
of a very long call the oldest are forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

Json = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete"]

MAX_ITEMS = 1000


class Items:
    """The items of one call, in the order in which they were told."""

    def __init__(self) -> None:
        self._items: OrderedDict[str, Json] = OrderedDict()
        self._previous: dict[str, str | None] = {}
        self.last: str | None = None
        "The id of the newest item."
        self._count = 0

    def new_id(self) -> str:
        """Return an id that no item has."""
        while True:
            self._count += 1
            item_id = f"item_{self._count}"
            if item_id not in self._items:
                return item_id

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._items

    def add(self, item: Json) -> str | None:
        """Add an item at the end; return the id of the one before it, None for the first."""
        previous = self._previous[item["id"]] = self.last
        self._items[item["id"]] = item
        self.last = item["id"]
        if len(self._items) > MAX_ITEMS:
            oldest, _ = self._items.popitem(last=False)
            del self._previous[oldest]
        return previous

    def previous(self, item_id: str) -> str | None:
        """Return the id of the item before one; None for the first, and for one that is not known."""
        return self._previous.get(item_id)

    def get(self, item_id: str) -> Json | None:
        """Return an item, None if it is not known."""
        return self._items.get(item_id)

    def remove(self, item_id: str) -> None:
        """Forget an item."""
        self._items.pop(item_id, None)
        self._previous.pop(item_id, None)
        if item_id == self.last:
            self.last = next(reversed(self._items), None)


def message(item_id: str, role: str, content: list[Json], status: Status) -> Json:
    """Return an item that somebody said or wrote."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def function_call(item_id: str, call_id: str, name: str, arguments: str) -> Json:
    """Return an item in which the model calls a function of the client."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def function_output(item_id: str, call_id: str, output: str) -> Json:
    """Return an item in which the client answers such a call."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "function_call_output",
        "status": "completed",
        "call_id": call_id,
        "output": output,
    }


def grown(before: str, now: str) -> str:
    """Return what a text has gained; "" if it changed in any other way."""
    return now[len(before) :] if now.startswith(before) else ""
