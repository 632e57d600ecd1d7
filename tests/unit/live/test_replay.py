"""What a session may have forgotten is sent again: every word, in order, and no more than needed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.live.replay import (
    MAX_OTHERS,
    MAX_PICTURE_BYTES,
    MAX_SPEECH_S,
    MAX_WITH_SILENCE_S,
    MAY_CROSS_S,
    PROBABLY_CROSSED_S,
    ReplayRing,
    Sent,
)
from agent.live.uplink import BYTES_PER_S, Audio, Item, Note, ToolResult, TypedText
from agent.picture import Picture, Shown
from tests.support.uplink import items_of

SURELY_S, PROBABLY_S = MAY_CROSS_S[1], PROBABLY_CROSSED_S[1]  # until it is known how long connecting takes
LONG_S = 10.0


def voice(number: int, seconds: float = 0.02) -> Audio:
    return Audio(number.to_bytes(4, "big") + bytes(int(seconds * BYTES_PER_S) - 4))


def silence(number: int, seconds: float = 0.1) -> Audio:
    return Audio(number.to_bytes(4, "big") + bytes(int(seconds * BYTES_PER_S) - 4), speech=False)


def after(*sendings: tuple[Item, float]) -> ReplayRing:
    ring = ReplayRing()
    for item, now in sendings:
        ring.sent(item, now)
    return ring


def test_without_a_handle_or_a_turn_all_is_sent_again_in_order() -> None:
    said: list[Item] = [voice(1), TypedText("hello"), silence(2), Note("a note"), voice(3)]
    ring = after(*((item, 0.0) for item in said))
    assert items_of(ring.since_handle()) == said
    assert items_of(ring.since_turn()) == said
    assert ring.covers_handle
    assert ring.covers_turn


def test_pictures_and_tool_results_are_never_sent_again() -> None:
    ring = after((Shown("camera", Picture(b"jpeg", "image/jpeg", 1, 1)), 0.0), (ToolResult("c1", "x", {}), 0.0))
    assert ring.since_handle() == []


def test_what_was_sent_long_before_a_handle_is_part_of_it() -> None:
    ring = after((voice(1), 0.0), (TypedText("hello"), 0.1))
    ring.handle_came(LONG_S)
    ring.sent(voice(2), LONG_S)
    assert items_of(ring.since_handle()) == [voice(2)]
    assert items_of(ring.since_turn()) == [voice(1), TypedText("hello"), voice(2)]


def test_what_was_sent_before_a_turns_end_is_history() -> None:
    ring = after((voice(1), 0.0), (TypedText("hello"), LONG_S))
    ring.turn_completed()
    ring.sent(voice(2), LONG_S)
    assert items_of(ring.since_turn()) == [voice(2)]
    assert items_of(ring.since_handle()) == [voice(1), TypedText("hello"), voice(2)]


def test_what_is_both_history_and_part_of_a_handle_is_let_go() -> None:
    ring = after((voice(1, MAX_SPEECH_S - 1), 0.0))
    ring.handle_came(LONG_S)
    ring.turn_completed()
    ring.sent(voice(2, MAX_SPEECH_S - 1), LONG_S)  # would push the first one out, were it here still
    assert ring.covers_handle
    assert ring.covers_turn


@pytest.mark.parametrize("kind", [voice(1), TypedText("hello"), Note("a note")])
@pytest.mark.parametrize(
    ("age_s", "again"), [(0.0, True), (SURELY_S * 0.9, True), (SURELY_S, False), (SURELY_S * 1.1, False)]
)
def test_a_word_that_may_have_crossed_the_handle_is_sent_again(kind: Item, age_s: float, again: bool) -> None:
    ring = after((kind, 0.0))
    ring.handle_came(age_s)
    assert bool(ring.since_handle()) is again
    assert ring.exact is not again


@pytest.mark.parametrize(
    ("age_s", "again", "exact"),
    [
        (0.0, True, False),
        (PROBABLY_S * 0.9, True, False),
        (PROBABLY_S, False, False),
        (SURELY_S * 0.9, False, False),
        (SURELY_S, False, True),
    ],
)
def test_silence_is_sent_again_only_if_it_probably_crossed(age_s: float, again: bool, exact: bool) -> None:
    ring = after((silence(1), 0.0))
    ring.handle_came(age_s)
    assert (bool(ring.since_handle()), ring.exact) == (again, exact)


def test_all_that_follows_a_word_that_may_have_crossed_is_sent_again() -> None:
    ring = after((voice(1), 0.0), (voice(2), 0.9), (silence(3), 0.92), (voice(4), 1.1))
    ring.handle_came(1.0 + SURELY_S / 2 + 0.05)
    assert items_of(ring.since_handle()) == [voice(4)]
    ring = after((voice(1), 0.0), (voice(2), 0.97), (silence(3), 0.98), (silence(4), 0.99))
    ring.handle_came(1.1)
    assert items_of(ring.since_handle()) == [voice(2), silence(3), silence(4)]


def test_a_ring_is_not_exact_before_the_first_handle() -> None:
    ring = after((silence(1), 0.0))
    assert not ring.exact
    ring.handle_came(LONG_S)
    assert ring.exact


def test_what_is_sent_after_an_exact_handle_leaves_it_exact() -> None:
    ring = ReplayRing()
    ring.handle_came(0.0)
    ring.sent(voice(1), 0.0)
    assert ring.exact
    assert items_of(ring.since_handle()) == [voice(1)]


@pytest.mark.parametrize(
    ("took_s", "surely_s", "probably_s"),
    [
        (0.0, MAY_CROSS_S[0], PROBABLY_CROSSED_S[0]),
        (0.1, 0.05, 0.0125),
        (60.0, MAY_CROSS_S[1], PROBABLY_CROSSED_S[1]),
    ],
)
def test_margins_follow_the_time_of_connecting_within_bounds(
    took_s: float, surely_s: float, probably_s: float
) -> None:
    for item, margin_s in ((voice(1), surely_s), (silence(1), probably_s)):
        for age_s, again in ((margin_s * 0.99, True), (margin_s * 1.01, False)):
            ring = after((item, 0.0))
            ring.connected(took_s)
            ring.handle_came(age_s)
            assert bool(ring.since_handle()) is again


def test_five_seconds_of_silence_are_kept_and_no_more() -> None:
    chunks = int(MAX_WITH_SILENCE_S / 0.1)
    ring = after(*((silence(number), 0.0) for number in range(chunks)))
    assert len(ring.since_handle()) == chunks
    assert ring.covers_handle
    ring.sent(silence(chunks), 0.0)
    assert items_of(ring.since_handle()) == [silence(number) for number in range(1, chunks + 1)]
    assert not ring.covers_handle
    assert ring.covers_turn  # it was silence


def test_a_question_is_kept_however_long_nobody_speaks_after_it() -> None:
    before = [(silence(number), 0.0) for number in range(40)]
    ring = after(*before, (voice(90, 2.0), 4.0), (TypedText("and this"), 6.0))
    for number in range(100, 200):
        ring.sent(silence(number), 6.0)
    kept = items_of(ring.since_handle())
    assert kept == [voice(90, 2.0), TypedText("and this"), *(silence(number) for number in range(170, 200))]
    assert items_of(ring.since_turn()) == kept
    assert not ring.covers_handle  # some silence is gone
    assert ring.covers_turn
    ring.sent(voice(201, 4.0), 6.0)
    assert items_of(ring.since_turn()) == [voice(90, 2.0), TypedText("and this"), voice(201, 4.0)]


def test_half_a_minute_of_speech_is_kept_for_a_handle_that_does_not_come() -> None:
    """While a tool runs, for instance; pauses are dropped as soon as all together is longer than what is cheap."""
    ring = ReplayRing()
    ring.handle_came(0.0)
    words = []
    for sentence in range(6):
        for number in range(50):
            words.append(voice(100 * sentence + number, 0.1))
            ring.sent(words[-1], 1.0)
        for number in range(10):
            ring.sent(silence(100 * sentence + number), 1.0)
    assert items_of(ring.since_handle()) == items_of(ring.since_turn()) == words  # 30 s
    assert ring.covers_words
    ring.sent(voice(999, 0.1), 1.0)
    assert items_of(ring.since_handle()) == [*words[1:], voice(999, 0.1)]
    assert not ring.covers_words


def test_a_long_speech_lets_go_of_silence_before_words() -> None:
    ring = after((silence(1, 3.0), 0.0), (voice(2, 20.0), 0.0), (silence(3, 1.0), 0.0), (voice(4, 10.0), 0.0))
    assert items_of(ring.since_turn()) == [voice(2, 20.0), voice(4, 10.0)]
    assert ring.covers_turn


def test_texts_are_bounded_too() -> None:
    ring = after(*((TypedText(str(number)), 0.0) for number in range(MAX_OTHERS)))
    assert ring.covers_turn
    ring.sent(TypedText("one more"), 0.0)
    assert len(ring.since_turn()) == MAX_OTHERS
    assert not ring.covers_turn


def test_pictures_of_texts_are_bounded_by_their_bytes() -> None:
    half = (Picture(bytes(MAX_PICTURE_BYTES // 2), "image/png"),)
    asked: list[Item] = [TypedText("one", half), Note("two", pictures=half), TypedText("three", half)]
    ring = after(*((item, 0.0) for item in asked))
    assert items_of(ring.since_handle()) == asked[1:]
    assert not ring.covers_words
    ring.drop(lambda item: item is asked[1])
    ring.sent(TypedText("four", half), 0.0)
    assert items_of(ring.since_handle()) == [asked[2], TypedText("four", half)]


def test_one_chunk_beyond_the_bound_is_forgotten_but_not_for_good() -> None:
    ring = after((voice(1, MAX_SPEECH_S + 1), 0.0))
    assert ring.since_handle() == []
    assert not ring.covers_handle
    ring.handle_came(LONG_S)
    ring.turn_completed()
    ring.sent(voice(2), LONG_S)
    assert (ring.covers_handle, ring.covers_turn) == (True, True)
    assert items_of(ring.since_turn()) == [voice(2)]


def test_a_handle_covers_what_was_forgotten_before_it() -> None:
    ring = after((voice(1, 20), 0.0), (voice(2, 20), 0.1))
    assert (ring.covers_handle, ring.covers_turn) == (False, False)
    ring.handle_came(LONG_S)
    assert (ring.covers_handle, ring.covers_turn) == (True, False)
    ring.turn_completed()
    assert (ring.covers_handle, ring.covers_turn) == (True, True)


def test_a_handle_that_may_not_hold_what_was_forgotten_does_not_cover_it() -> None:
    ring = after((voice(1, 20), 0.0), (voice(2, 20), 0.01), (voice(3, 20), 0.02))
    ring.handle_came(0.03)
    assert not ring.covers_handle
    ring.handle_came(0.03 + SURELY_S)
    assert ring.covers_handle


def test_a_handle_that_comes_before_an_item_was_sent_again_does_not_cover_it() -> None:
    ring = after((voice(1), 0.0), (voice(2), 0.1))
    again = ring.since_handle()
    assert [sent.at for sent in again] == [math.inf, math.inf]
    again[0].at = LONG_S
    ring.handle_came(2 * LONG_S)
    assert not ring.exact
    assert items_of(ring.since_handle()) == [voice(2)]


def test_a_handle_that_comes_after_all_was_sent_again_covers_it() -> None:
    ring = after((voice(1), 0.0), (silence(2), 0.1))
    for sent in ring.since_handle():
        sent.at = LONG_S
    ring.handle_came(2 * LONG_S)
    assert ring.exact
    assert ring.since_handle() == []


def test_a_handle_of_a_fresh_session_takes_back_what_an_older_one_covered() -> None:
    """The first session's handle stood for both words, but the fresh one has been told neither of them."""
    ring = after((voice(1), 0.0), (voice(2), 0.1))
    ring.handle_came(LONG_S)
    again = ring.since_turn()
    ring.handle_came(LONG_S + 1)
    assert items_of(ring.since_handle()) == [voice(1), voice(2)]
    assert len(again) == 2


def test_a_turn_that_ends_before_an_item_was_sent_again_makes_no_history_of_it() -> None:
    ring = after((voice(1), 0.0), (voice(2), 0.1))
    again = ring.since_handle()
    again[0].at = LONG_S
    ring.turn_completed()
    assert items_of(ring.since_turn()) == [voice(2)]


def test_what_is_history_stays_history_while_it_is_sent_again() -> None:
    ring = after((voice(1), 0.0))
    ring.turn_completed()
    ring.sent(voice(2), 1.0)
    assert items_of(ring.since_handle()) == [voice(1), voice(2)]
    ring.turn_completed()
    assert items_of(ring.since_turn()) == [voice(2)]


Step = tuple[str, int, float]  # what happens; its size or share; after how many seconds

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["voice", "voice", "silence", "text", "handle", "handle", "turn", "resume", "rebuild"]),
        st.integers(0, 10),
        st.sampled_from([0.0, 0.001, 0.02, 0.04, 0.1, 0.15, 0.5]),
    ),
    max_size=60,
)


class Model:
    """A Live server with its sessions, and a client with a ring in front of it.

    What was sent is part of a handle that comes at least `crossing_s` later. A resumed session remembers what its
    handle stands for and what it is sent since, a fresh one what it is told and sent.
    """

    def __init__(self, crossing_s: float) -> None:
        self.ring = ReplayRing()
        self.now = 0.0
        self.crossing_s = crossing_s
        self.said: list[Item] = []  # all there ever was
        self.excused: list[Item] = []  # beyond the bound of the ring
        self.memory: list[tuple[Item, float]] = []  # of the present session; when it was sent
        self.handle: list[Item] | None = None
        self.told: list[Item] = []  # what a complete turn has made history
        self.again: list[Sent] = []  # still to be sent again

    def happen(self, step: Step) -> None:
        what, size, wait_s = step
        self.now += wait_s
        number = len(self.said)
        match what:
            case "voice":
                self.send(voice(number, 0.02 if size < 9 else 9.0))
            case "silence":
                self.send(silence(number))
            case "text":
                self.send(TypedText(str(number)))
            case "handle":
                self.handle = [item for item, at in self.memory if self.now - at >= self.crossing_s]
                self.ring.handle_came(self.now)
            case "turn":
                told = [*self.told, *(item for item, _ in self.memory)]
                self.told = [item for item in self.said if item in told]
                self.ring.turn_completed()
            case _:
                self.open(rebuild=what == "rebuild")
                self.send_again(size * len(self.again) // 10)

    def send(self, item: Item) -> None:
        self.send_again(len(self.again))
        self.said.append(item)
        self.memory.append((item, self.now))
        self.ring.sent(item, self.now)

    def send_again(self, count: int) -> None:
        for sent in self.again[:count]:
            sent.at = self.now
            self.memory.append((sent.item, self.now))
        del self.again[:count]

    def open(self, *, rebuild: bool) -> None:
        self.again = []
        if rebuild or self.handle is None:
            self.handle = None
            if self.ring.covers_turn:
                known, self.again = self.told, self.ring.since_turn()
                heard = [*known, *items_of(self.again)]
                self.excused += [item for item in self.said if item not in heard and not is_word(item)]
            else:  # in words, as far as they were transcribed
                known, self.again = list(self.said), self.ring.since_turn()
        else:
            known = self.handle
            exact, covered = self.ring.exact, self.ring.covers_handle
            self.again = self.ring.since_handle()
            if exact:
                assert not any(sent.item in known for sent in self.again)
            if not covered:
                replayed = items_of(self.again)
                self.excused += [item for item in self.said if item not in known and item not in replayed]
        self.memory = [(item, -math.inf) for item in known]

    def remembered(self) -> list[Item]:
        """What the present session knows, in the order in which it came to know it."""
        return list(dict.fromkeys(item for item, _ in self.memory))


def is_word(item: Item) -> bool:
    return not (isinstance(item, Audio) and not item.speech)


@given(STEPS, st.floats(0, SURELY_S * 0.99))
def test_every_word_is_remembered_however_often_sessions_are_lost(steps: list[Step], crossing_s: float) -> None:
    model = Model(crossing_s)
    for step in steps:
        model.happen(step)
    model.send_again(len(model.again))
    remembered = [item for item in model.remembered() if is_word(item)]
    assert [item for item in remembered if item not in model.excused] == [
        item for item in model.said if is_word(item) and item not in model.excused
    ]


@given(STEPS, st.floats(0, PROBABLY_S * 0.99))
def test_silence_is_remembered_too_if_messages_are_quick(steps: list[Step], crossing_s: float) -> None:
    model = Model(crossing_s)
    for step in steps:
        model.happen(step)
    model.send_again(len(model.again))
    assert set(model.said) <= {*model.remembered(), *model.excused}


@given(STEPS)
def test_the_ring_stays_within_its_bounds(steps: list[Step]) -> None:
    model = Model(0.1)
    for step in steps:
        model.happen(step)
        model.send_again(len(model.again))
        kept = [*model.ring.since_handle(), *model.ring.since_turn()]
        numbers = {sent.number: sent.item for sent in kept}
        audio = [item for item in numbers.values() if isinstance(item, Audio)]
        speech_bytes = sum(len(item.pcm_bytes) for item in audio if item.speech)
        all_bytes = sum(len(item.pcm_bytes) for item in audio)
        assert speech_bytes <= MAX_SPEECH_S * BYTES_PER_S
        assert all_bytes == speech_bytes or all_bytes <= MAX_WITH_SILENCE_S * BYTES_PER_S
        for sent in kept:
            sent.at = model.now


def test_an_answer_is_known_to_the_next_handle() -> None:
    ring = after((TypedText("hello"), 0.0))
    assert not ring.answered
    ring.answer_completed()
    assert ring.answered
    assert ring.since_turn() == []
    ring.turn_completed()
    ring.handle_came(LONG_S)
    assert not ring.answered


def test_silence_that_is_forgotten_is_no_word() -> None:
    ring = ReplayRing()
    ring.handle_came(0.0)
    for number in range(int(2 * MAX_WITH_SILENCE_S / 0.1)):
        ring.sent(silence(number), 1.0 + number / 10)
    assert not ring.covers_handle
    assert ring.covers_words
    for number in range(int(2 * MAX_SPEECH_S)):
        ring.sent(voice(number, 1.0), 20.0 + number)
    assert not ring.covers_words
