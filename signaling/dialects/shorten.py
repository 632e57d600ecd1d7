"""Shorten a message to the length that the client accepts. Pure.

Cuts are marked: ``shortened`` is true in the message's data, and a text that was cut ends with an ellipsis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ELLIPSIS = "\u2026"
_MIN_ITEM_BYTES = 32  # a list item that would be cut shorter than this is left out


def to_json(message: Mapping[str, Any]) -> str:
    """Return a message as JSON, not escaped to ASCII, and always valid Unicode.

    Raises:
        TypeError, ValueError, RecursionError: it cannot be written as JSON.
    """
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, default=str)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair; two matching halves side by side become one character
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shortened(text: str, max_bytes: int) -> str | None:
    """Return a message of at most ``max_bytes`` that keeps as much as possible; None if not even its head fits.

    Args:
        text: what `to_json` returned for an object whose ``data`` is an object or absent.
        max_bytes: the limit, in bytes of UTF-8.
    """
    message: dict[str, Any] = json.loads(text)
    data = message.pop("data", None) or {}
    room = max_bytes - _size({**message, "data": {"shortened": True}}) - 2
    parts: tuple[dict[str, Any], ...] = (_cut(data, room), {})
    for part in parts:
        short = json.dumps({**message, "data": {**part, "shortened": True}}, ensure_ascii=False)
        if len(short.encode()) <= max_bytes:
            return short
    return None


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _cut(value: Any, room: int) -> Any:
    """Return the value with its largest parts cut, so that its JSON has at most ``room`` bytes.

    If there is too little room for anything at all, it may have a few bytes more.
    """
    if _size(value) <= room:
        return value
    match value:
        case str():
            return _cut_text(value, room)
        case list():
            return _cut_list(value, room)
        case dict():
            return _cut_object(value, room)
    return None


def _cut_text(text: str, room: int) -> str:
    low, high = 0, len(text)
    while low < high:  # search for the longest prefix that fits; JSON writes some characters as six bytes
        middle = (low + high + 1) // 2
        if _size(text[:middle] + ELLIPSIS) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + ELLIPSIS if low else ""


def _cut_list(items: list[Any], room: int) -> list[Any]:
    kept: list[Any] = []
    room -= 2  # brackets
    for item in items:
        size = _size(item) + 2  # comma
        if size <= room:
            kept.append(item)
            room -= size
            continue
        if room >= _MIN_ITEM_BYTES:
            kept.append(_cut(item, room - 2))
        break
    return kept


def _cut_object(items: dict[str, Any], room: int) -> dict[str, Any]:
    """Cut the largest values; leave out the last names only if there are too many of them."""
    room -= 2
    names = []
    for name in items:
        size = _size(name) + 4 + 2  # colon and comma, and the smallest value
        if size > room:
            break
        names.append(name)
        room -= size
    kept: dict[str, Any] = {}
    room += 2 * len(names)
    for number, name in enumerate(sorted(names, key=lambda name: _size(items[name]))):
        share = room // (len(names) - number)
        kept[name] = _cut(items[name], share)
        room -= _size(kept[name])
    return {name: kept[name] for name in names}
