"""What waits for the model, or was sent to it: making it and taking it out again."""

from __future__ import annotations

from agent.live.replay import Sent
from agent.live.uplink import Audio, Item, Uplink

CHUNK_BYTES = 640  # 20 ms


def audio(number: int, size: int = CHUNK_BYTES) -> Audio:
    """Make a chunk that can be told from the others."""
    return Audio(number.to_bytes(4, "big") + bytes(size - 4))


def take(uplink: Uplink) -> Item:
    """Take an item that is there: `Uplink.get` then ends without waiting, so no event loop is needed."""
    getting = uplink.get()
    try:
        getting.send(None)
    except StopIteration as done:
        item: Item = done.value
        return item
    getting.close()
    raise AssertionError("get waits although something is queued")


def take_all(uplink: Uplink, count: int) -> list[Item]:
    """Take that many; all of them are there."""
    return [take(uplink) for _ in range(count)]


def items_of(sent: list[Sent]) -> list[Item]:
    """Return what was sent, without when."""
    return [each.item for each in sent]
