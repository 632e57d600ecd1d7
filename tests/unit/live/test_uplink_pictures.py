"""The queue to the model keeps the newest picture of each source, and sends everything else first."""

from __future__ import annotations

from agent.live.uplink import MAX_QUEUED_OTHERS, Audio, Item, TypedText, Uplink
from agent.picture import Picture, Shown, SourceName
from tests.support.uplink import audio, take_all


def picture(source: SourceName, number: int) -> Shown:
    return Shown(source, Picture(bytes([number]), "image/jpeg", 640, 480))


def test_a_newer_picture_replaces_the_one_that_waits() -> None:
    uplink = Uplink()
    for number in range(5):
        uplink.put(picture("camera", number))
    uplink.put(picture("screen", 9))
    assert take_all(uplink, 2) == [picture("camera", 4), picture("screen", 9)]
    assert uplink.replaced_pictures == 4


def test_all_else_goes_first() -> None:
    uplink = Uplink()
    uplink.put(picture("camera", 1))
    others: list[Item] = [audio(1), TypedText("look"), audio(2)]
    for item in others:
        uplink.put(item)
    assert take_all(uplink, 4) == [*others, picture("camera", 1)]


def test_sources_take_turns() -> None:
    uplink = Uplink()
    uplink.put(picture("camera", 1))
    uplink.put(picture("screen", 1))
    assert take_all(uplink, 1) == [picture("camera", 1)]
    uplink.put(picture("camera", 2))
    assert take_all(uplink, 2) == [picture("screen", 1), picture("camera", 2)]


def test_a_source_that_is_renewed_does_not_lose_its_turn_for_ever() -> None:
    uplink = Uplink()
    for number in range(3):
        uplink.put(picture("screen", number))
        uplink.put(picture("camera", number))
    assert take_all(uplink, 2) == [picture("screen", 2), picture("camera", 2)]


def test_pictures_count_against_nothing() -> None:
    uplink = Uplink()
    for number in range(MAX_QUEUED_OTHERS):
        uplink.put(TypedText(str(number)))
        uplink.put(picture("camera", number % 256))
    uplink.put(picture("screen", 0))
    uplink.put(Audio(b"\0\0"))
    assert uplink.dropped_bytes == 0
