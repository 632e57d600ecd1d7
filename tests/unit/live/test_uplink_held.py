"""What the caller says between sessions waits, and goes out in order before the queue is short again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LiveLost
from agent.live.uplink import (
    BYTES_PER_S,
    MAX_HELD_BYTES,
    MAX_QUEUED_BYTES,
    MAX_QUEUED_OTHERS,
    Audio,
    Item,
    Note,
    ToolResult,
    TypedText,
    Uplink,
)
from agent.picture import Picture, Shown
from tests.support.uplink import audio, take, take_all

CHUNK_BYTES = BYTES_PER_S // 2
HELD_CHUNKS = MAX_HELD_BYTES // CHUNK_BYTES


def half_second(number: int) -> Audio:
    return audio(number, CHUNK_BYTES)


def result(number: int) -> ToolResult:
    return ToolResult(f"c{number}", "clock", {"output": number})


def holding(chunks: int) -> Uplink:
    uplink = Uplink()
    uplink.hold()
    for number in range(chunks):
        uplink.put(half_second(number))
    return uplink


def test_while_no_session_takes_it_half_a_minute_of_audio_is_kept() -> None:
    uplink = holding(HELD_CHUNKS)
    assert uplink.dropped_bytes == 0
    assert take_all(uplink, HELD_CHUNKS) == [half_second(number) for number in range(HELD_CHUNKS)]


def test_beyond_that_the_oldest_is_dropped_and_counted() -> None:
    uplink = holding(HELD_CHUNKS + 3)
    assert uplink.dropped_bytes == 3 * CHUNK_BYTES
    assert take(uplink) == half_second(3)


def test_what_waited_when_the_session_was_lost_is_held_too() -> None:
    uplink = Uplink()
    uplink.put(audio(0, MAX_QUEUED_BYTES))
    uplink.hold()
    uplink.put(audio(1, MAX_QUEUED_BYTES))
    assert take_all(uplink, 2) == [audio(0, MAX_QUEUED_BYTES), audio(1, MAX_QUEUED_BYTES)]


def test_a_session_that_takes_it_loses_nothing_of_what_was_held_while_more_comes() -> None:
    uplink = holding(HELD_CHUNKS // 2)
    uplink.release()
    got = []
    for number in range(HELD_CHUNKS // 2, HELD_CHUNKS):  # one comes while two go
        uplink.put(half_second(number))
        got += take_all(uplink, 2)
    assert got == [half_second(number) for number in range(HELD_CHUNKS)]
    assert uplink.dropped_bytes == 0


def test_a_session_that_takes_too_little_after_an_outage_costs_the_oldest() -> None:
    uplink = holding(HELD_CHUNKS)
    uplink.release()
    uplink.put(half_second(HELD_CHUNKS))
    assert uplink.dropped_bytes == CHUNK_BYTES


def test_once_what_was_held_is_gone_the_queue_is_short_again() -> None:
    uplink = holding(HELD_CHUNKS)
    uplink.release()
    take_all(uplink, HELD_CHUNKS)
    for number in range(MAX_QUEUED_BYTES // CHUNK_BYTES + 1):
        uplink.put(half_second(number))
    assert uplink.dropped_bytes == CHUNK_BYTES
    assert take(uplink) == half_second(1)


def test_what_came_during_the_draining_goes_out_too_before_the_queue_is_short() -> None:
    uplink = holding(1)
    uplink.release()
    uplink.put(audio(1, 2 * MAX_QUEUED_BYTES))
    assert take(uplink) == half_second(0)
    uplink.put(half_second(2))
    assert take_all(uplink, 2) == [audio(1, 2 * MAX_QUEUED_BYTES), half_second(2)]
    uplink.put(audio(3, MAX_QUEUED_BYTES))
    uplink.put(half_second(4))
    assert uplink.dropped_bytes == MAX_QUEUED_BYTES


def test_a_little_that_was_held_is_not_pushed_out_before_the_session_takes_it() -> None:
    """The new session is told first what the old one may have forgotten, and that takes time."""
    uplink = holding(1)
    uplink.release()
    uplink.put(audio(1, MAX_QUEUED_BYTES))
    assert take_all(uplink, 2) == [half_second(0), audio(1, MAX_QUEUED_BYTES)]


def test_if_nothing_was_held_the_queue_is_short_at_once() -> None:
    uplink = holding(0)
    uplink.release()
    uplink.put(half_second(0))
    uplink.put(audio(1, MAX_QUEUED_BYTES))
    assert uplink.dropped_bytes == CHUNK_BYTES


def test_taking_while_held_does_not_shorten_the_queue() -> None:
    uplink = holding(1)
    take(uplink)
    uplink.put(audio(1, 2 * MAX_QUEUED_BYTES))
    uplink.put(half_second(2))
    assert uplink.dropped_bytes == 0


def test_an_outage_amid_the_draining_holds_again() -> None:
    uplink = holding(HELD_CHUNKS)
    uplink.release()
    take_all(uplink, HELD_CHUNKS // 2)
    uplink.hold()
    take_all(uplink, HELD_CHUNKS // 2)
    for number in range(HELD_CHUNKS):
        uplink.put(half_second(number))
    assert uplink.dropped_bytes == 0


def test_texts_are_bounded_while_held_as_ever() -> None:
    uplink = Uplink()
    uplink.hold()
    for number in range(MAX_QUEUED_OTHERS):
        uplink.put(TypedText(str(number)))
    with pytest.raises(LiveLost):
        uplink.put(Note("one too many"))


def test_tool_results_are_taken_out_in_order_and_the_rest_stays_in_order() -> None:
    uplink = Uplink()
    for item in (half_second(1), result(1), TypedText("hello"), result(2), Note("a note"), result(3)):
        uplink.put(item)
    uplink.put(Shown("camera", Picture(b"jpeg", "image/jpeg", 1, 1)))
    assert uplink.take_tool_results() == [result(1), result(2), result(3)]
    assert uplink.take_tool_results() == []
    shown = Shown("camera", Picture(b"jpeg", "image/jpeg", 1, 1))
    rest: list[Item] = [half_second(1), TypedText("hello"), Note("a note"), shown]
    assert take_all(uplink, 4) == rest


def test_tool_results_that_were_taken_out_make_room() -> None:
    uplink = Uplink()
    for number in range(MAX_QUEUED_OTHERS - 1):
        uplink.put(result(number))
    uplink.put(TypedText("kept"))
    assert len(uplink.take_tool_results()) == MAX_QUEUED_OTHERS - 1
    for number in range(MAX_QUEUED_OTHERS - 1):
        uplink.put(result(number))
    with pytest.raises(LiveLost):
        uplink.put(result(0))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["audio", "audio", "audio", "text", "result", "take", "hold", "release", "results"]),
        st.sampled_from([4, CHUNK_BYTES, MAX_QUEUED_BYTES, 5 * MAX_QUEUED_BYTES]),
    ),
    max_size=80,
)


def audio_bytes(items: list[Item]) -> int:
    return sum(len(item.pcm_bytes) for item in items if isinstance(item, Audio))


def text_or_audio(step: str, number: int, size: int) -> Item:
    match step:
        case "text":
            return TypedText(str(number))
        case "result":
            return result(number)
    return audio(number, size)


@given(STEPS)
def test_the_bound_is_long_from_a_hold_until_what_was_held_is_gone(steps: list[tuple[str, int]]) -> None:
    uplink = Uplink()
    waiting: list[Item] = []
    held = long = False
    dropped = 0
    for number, (step, size) in enumerate(steps):
        match step:
            case "take":
                if waiting:
                    assert take(uplink) == waiting.pop(0)
            case "hold":
                uplink.hold()
                held = long = True
            case "release":
                uplink.release()
                held = False
            case "results":
                taken = [item for item in waiting if isinstance(item, ToolResult)]
                assert uplink.take_tool_results() == taken
                waiting = [item for item in waiting if not isinstance(item, ToolResult)]
            case _:
                item = text_or_audio(step, number, size)
                uplink.put(item)
                waiting.append(item)
                while isinstance(item, Audio) and audio_bytes(waiting) > (
                    MAX_HELD_BYTES if long else MAX_QUEUED_BYTES
                ):
                    oldest = next((each for each in waiting[:-1] if isinstance(each, Audio)), None)
                    if oldest is None:  # a chunk beyond the bound is taken nevertheless
                        break
                    waiting.remove(oldest)
                    dropped += len(oldest.pcm_bytes)
        long = held or (long and audio_bytes(waiting) > 0)
        assert uplink.dropped_bytes == dropped
    assert take_all(uplink, len(waiting)) == waiting
