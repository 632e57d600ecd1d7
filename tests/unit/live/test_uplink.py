"""The queue to the model is bounded and in order, and drops nothing but old audio."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LiveLost
from agent.live.uplink import (
    MAX_QUEUED_BYTES,
    MAX_QUEUED_OTHERS,
    Audio,
    Item,
    Note,
    ToolResult,
    TypedText,
    Uplink,
)
from agent.picture import Picture, Shown, SourceName
from tests.support.uplink import CHUNK_BYTES, audio, take, take_all


def picture(number: int, source: SourceName = "camera") -> Shown:
    return Shown(source, Picture(number.to_bytes(4, "big"), "image/jpeg", 640, 480))


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    uplink = Uplink()
    spoken: list[Item] = [TypedText("hello"), audio(2), ToolResult("c1", "x", {"output": 1}), Note("n"), audio(3)]
    items = [audio(1), *spoken]
    for item in items:
        uplink.put(item)
    assert take_all(uplink, 6) == items
    assert uplink.dropped_bytes == 0


def test_a_full_second_of_audio_is_kept() -> None:
    uplink = Uplink()
    chunks = MAX_QUEUED_BYTES // CHUNK_BYTES
    for number in range(chunks):
        uplink.put(audio(number))
    assert uplink.dropped_bytes == 0
    assert take_all(uplink, chunks) == [audio(number) for number in range(chunks)]


def test_audio_beyond_a_second_pushes_out_the_oldest() -> None:
    uplink = Uplink()
    chunks = MAX_QUEUED_BYTES // CHUNK_BYTES
    for number in range(chunks + 3):
        uplink.put(audio(number))
    assert uplink.dropped_bytes == 3 * CHUNK_BYTES
    assert take(uplink) == audio(3)


def test_what_was_taken_makes_room() -> None:
    uplink = Uplink()
    uplink.put(audio(1, MAX_QUEUED_BYTES))
    take(uplink)
    uplink.put(audio(2, MAX_QUEUED_BYTES))
    assert uplink.dropped_bytes == 0
    assert take(uplink) == audio(2, MAX_QUEUED_BYTES)


def test_text_and_tool_results_keep_their_place_when_audio_is_dropped() -> None:
    uplink = Uplink()
    uplink.put(audio(1))
    uplink.put(TypedText("hello"))
    uplink.put(audio(2))
    uplink.put(audio(3, MAX_QUEUED_BYTES))
    assert take_all(uplink, 2) == [TypedText("hello"), audio(3, MAX_QUEUED_BYTES)]
    assert uplink.dropped_bytes == 2 * CHUNK_BYTES


def test_a_server_that_takes_nothing_is_lost_not_waited_for() -> None:
    uplink = Uplink()
    for number in range(MAX_QUEUED_OTHERS):
        uplink.put(ToolResult(str(number), "x", {}))
    with pytest.raises(LiveLost):
        uplink.put(TypedText("one too many"))
    uplink.put(audio(1))
    assert take(uplink) == ToolResult("0", "x", {})
    uplink.put(TypedText("room again"))


def test_a_picture_waits_until_nothing_else_does() -> None:
    uplink = Uplink()
    for item in (picture(1), audio(1), TypedText("hello")):
        uplink.put(item)
    assert take_all(uplink, 3) == [audio(1), TypedText("hello"), picture(1)]


def test_of_each_source_only_the_newest_picture_waits() -> None:
    uplink = Uplink()
    for item in (picture(1), picture(2, "screen"), picture(3), picture(4)):
        uplink.put(item)
    assert take_all(uplink, 2) == [picture(2, "screen"), picture(4)]
    assert uplink.replaced_pictures == 2


def test_a_picture_pushes_out_no_audio() -> None:
    uplink = Uplink()
    uplink.put(audio(1, MAX_QUEUED_BYTES))
    uplink.put(picture(1))
    assert uplink.dropped_bytes == 0
    assert take(uplink) == audio(1, MAX_QUEUED_BYTES)


def test_no_word_of_the_caller_shows_in_a_repr() -> None:
    items: list[Item] = [Audio(b"secret"), TypedText("secret"), ToolResult("c1", "x", {"output": "secret"})]
    items.append(Shown("camera", Picture(b"secret", "image/jpeg", 1, 1)))
    assert "secret" not in repr(items)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("audio"), st.integers(4, MAX_QUEUED_BYTES)),
        st.tuples(st.just("text"), st.just(0)),
        st.tuples(st.just("picture"), st.just(0)),
        st.tuples(st.just("take"), st.just(0)),
    ),
    max_size=80,
)


@given(STEPS)
def test_every_item_is_taken_once_in_order_or_dropped_by_its_rule(steps: list[tuple[str, int]]) -> None:
    uplink = Uplink()
    waiting: list[Item] = []  # what has to be queued, apart from the picture
    newest: Shown | None = None
    dropped = replaced = 0
    for number, (step, size) in enumerate(steps):
        if step == "take":
            if waiting:
                assert take(uplink) == waiting.pop(0)
            elif newest:
                assert take(uplink) == newest
                newest = None
        elif step == "picture":
            replaced += newest is not None
            newest = picture(number)
            uplink.put(newest)
        else:
            item: Item = audio(number, size) if step == "audio" else TypedText(str(number))
            uplink.put(item)
            waiting.append(item)
            while sum(len(each.pcm_bytes) for each in waiting if isinstance(each, Audio)) > MAX_QUEUED_BYTES:
                oldest = next(each for each in waiting if isinstance(each, Audio))
                waiting.remove(oldest)
                dropped += len(oldest.pcm_bytes)
        assert (uplink.dropped_bytes, uplink.replaced_pictures) == (dropped, replaced)
    assert take_all(uplink, len(waiting)) == waiting
