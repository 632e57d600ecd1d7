"""Every tool call ends exactly once, whatever happens in whatever order."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.asides import MAX_ANSWER_CHARS, late_answer
from agent.dialog.ledger import MAX_ENDED_IDS, Entry, Ledger, Verdict


def opened(ledger: Ledger, call_id: str, name: str = "look_up", **arguments: object) -> Entry:
    verdict, entry = ledger.open(call_id, name, arguments)
    assert verdict == "run"
    return entry


def verdict(ledger: Ledger, call_id: str, name: str = "look_up", **arguments: object) -> Verdict:
    return ledger.open(call_id, name, arguments)[0]


def test_a_call_is_answered_once_under_its_id() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    assert ledger.progress(entry.key) == ("answer", "c1")
    assert ledger.finish(entry.key) == ("answer", "c1")
    assert ledger.finish(entry.key) == ("nothing", "")
    assert ledger.progress(entry.key) == ("nothing", "")
    assert ledger.open_calls == ()


def test_nothing_is_told_of_a_cancelled_call() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    assert ledger.cancel("c1") == entry
    assert ledger.cancel("c1") is None
    assert ledger.finish(entry.key) == ("nothing", "")


def test_a_call_that_was_answered_cannot_be_cancelled() -> None:
    ledger = Ledger()
    ledger.finish(opened(ledger, "c1").key)
    assert ledger.cancel("c1") is None
    assert ledger.cancel("unknown") is None


def test_an_id_that_comes_again_is_ignored() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    assert verdict(ledger, "c1") == "ignore"
    ledger.finish(entry.key)
    assert verdict(ledger, "c1") == "ignore"
    opened(ledger, "c2")
    ledger.cancel("c2")
    assert verdict(ledger, "c2") == "ignore"


def test_a_storm_is_refused_and_passes() -> None:
    ledger = Ledger(max_open=2)
    first = opened(ledger, "c1")
    opened(ledger, "c2")
    assert verdict(ledger, "c3") == "refuse"
    assert ledger.refused == 1
    assert verdict(ledger, "c3") == "ignore"  # it was answered: with an error
    ledger.finish(first.key)
    assert verdict(ledger, "c4") == "run"


def test_what_survives_its_session_is_told_as_a_note() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    ledger.session_replaced()
    assert ledger.cancel("c1") is None  # an id of the new session, which made no such call
    assert ledger.progress(entry.key) == ("nothing", "")
    assert ledger.finish(entry.key) == ("note", "")
    assert ledger.finish(entry.key) == ("nothing", "")


def test_a_new_session_may_use_old_ids() -> None:
    """A server may well count from 1 in each session."""
    ledger = Ledger()
    old = opened(ledger, "c1", city="Paris")
    ledger.session_replaced()
    new = opened(ledger, "c1", city="Rome")
    assert old.key != new.key
    assert ledger.finish(old.key) == ("note", "")
    assert ledger.finish(new.key) == ("answer", "c1")


def test_a_new_session_takes_over_what_it_asks_for_again() -> None:
    ledger = Ledger()
    old = opened(ledger, "c1", city="Paris")
    ledger.session_replaced()
    again, entry = ledger.open("n1", "look_up", {"city": "Paris"})
    assert again == "take_over"
    assert entry.key == old.key
    assert verdict(ledger, "n2", city="Paris") == "run"  # there is nothing more to take over
    assert ledger.finish(old.key) == ("answer", "n1")


def test_a_call_that_was_taken_over_can_be_cancelled_and_lost_again() -> None:
    ledger = Ledger()
    key = opened(ledger, "c1").key
    ledger.session_replaced()
    ledger.open("n1", "look_up", {})
    ledger.session_replaced()
    assert ledger.finish(key) == ("note", "")
    key = opened(ledger, "m1").key
    ledger.session_replaced()
    ledger.open("k1", "look_up", {})
    cancelled = ledger.cancel("k1")
    assert cancelled is not None
    assert cancelled.key == key
    assert ledger.finish(key) == ("nothing", "")


def test_a_call_without_an_id_is_told_as_a_note() -> None:
    ledger = Ledger()
    first, second = opened(ledger, ""), opened(ledger, "")
    assert first.key != second.key
    assert ledger.finish(first.key) == ("note", "")
    assert ledger.finish(second.key) == ("note", "")


def test_the_end_of_the_call_ends_everything() -> None:
    ledger = Ledger()
    old, new = opened(ledger, "c1", old=True), None
    ledger.session_replaced()
    new = opened(ledger, "c1", old=False)
    assert ledger.abandon() == (old, new)
    assert ledger.abandon() == ()
    assert ledger.finish(new.key) == ("nothing", "")


def test_memory_is_bounded() -> None:
    ledger = Ledger()
    for number in range(MAX_ENDED_IDS + 1):
        ledger.finish(opened(ledger, f"c{number}").key)
    assert verdict(ledger, f"c{MAX_ENDED_IDS}") == "ignore"
    assert verdict(ledger, "c1") == "ignore"
    assert verdict(ledger, "c0") == "run"


IDS = st.sampled_from(["a", "b", "c", "d", "e", ""])
ACTIONS = st.one_of(
    st.tuples(st.just("open"), IDS, st.integers(0, 2)),
    st.tuples(st.just("progress"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("finish"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("cancel"), IDS, st.just(0)),
    st.tuples(st.sampled_from(["replace", "handle"]), st.just(0), st.just(0)),
)


class Told:
    """What the model has been told, and what it may be told."""

    def __init__(self) -> None:
        self.session = 0
        self.asked: dict[tuple[int, str], str] = {}  # (session, id) -> key, of calls that were accepted
        self.finals: list[tuple[int, str]] = []
        self.cancelled: set[tuple[int, str]] = set()
        self.ends: dict[str, list[str]] = {}

    def answer(self, call_id: str, *, final: bool) -> None:
        asked = (self.session, call_id)
        assert asked in self.asked, "an id that this session does not know"
        assert asked not in self.cancelled, "a call that was taken back"
        assert asked not in self.finals, "a call that was answered"
        if final:
            self.finals.append(asked)


@given(st.lists(ACTIONS, max_size=60))
def test_every_call_ends_exactly_once(actions: list[tuple[str, str | int, int]]) -> None:
    ledger, told = Ledger(max_open=4), Told()
    for action, what, argument in actions:
        keys = list(told.ends)
        match action, what:
            case "open", str(call_id):
                begin(ledger, told, call_id, argument)
            case "progress", int(index) if keys:
                telling, call_id = ledger.progress(keys[index % len(keys)])
                if telling == "answer":
                    told.answer(call_id, final=False)
            case "finish", int(index) if keys:
                end(ledger, told, keys[index % len(keys)])
            case "cancel", str(call_id):
                cancelled = ledger.cancel(call_id)
                if cancelled is not None:
                    told.ends[cancelled.key].append("cancelled")
                    assert (told.session, call_id) not in told.finals
                    told.cancelled.add((told.session, call_id))
            case "handle", _:
                ledger.handle_came()
            case "replace", _:
                for entry, _answer in ledger.session_replaced():
                    assert told.ends[entry.key] == ["answer"]
                told.session += 1
    for entry in ledger.open_calls:
        end(ledger, told, entry.key)
    assert all(len(ends) == 1 for ends in told.ends.values())
    owed = {asked for asked in told.asked if asked[0] == told.session}
    assert owed == {asked for asked in (*told.finals, *told.cancelled) if asked[0] == told.session}


def begin(ledger: Ledger, told: Told, call_id: str, argument: int) -> None:
    known = (told.session, call_id) in told.asked
    said, entry = ledger.open(call_id, "tool", {"n": argument})
    assert (said == "ignore") == known
    if said != "ignore" and call_id:
        told.asked[told.session, call_id] = entry.key
    match said:
        case "run":
            assert entry.key not in told.ends
            told.ends[entry.key] = []
        case "refuse":
            assert len(ledger.open_calls) == 4
            if call_id:
                told.answer(call_id, final=True)
        case "take_over":
            assert told.ends[entry.key] == []


def end(ledger: Ledger, told: Told, key: str) -> None:
    telling, call_id = ledger.finish(key)
    if telling == "answer":
        told.answer(call_id, final=True)
    if telling != "nothing":
        told.ends[key].append(telling)


@pytest.mark.parametrize(
    "output", [21, "x" * 20, "x" * 100_000, ['"\\\n' * 3000], {"k": "\x00" * 4000}, "ü" * 5000]
)
def test_a_note_is_marked_and_bounded_and_holds_json(output: object) -> None:
    note = late_answer("get_weather", {"output": output})
    assert len(note) <= MAX_ANSWER_CHARS
    assert note.startswith("[Not said by the caller")
    assert '"get_weather"' in note
    held = json.loads(note[note.index(": {") + 2 : -1])
    assert held == {"output": output} or set(held) == {"cut_off_after", "beginning"}
    assert len(note) < 300 or len(note) > MAX_ANSWER_CHARS // 2


@given(st.text(max_size=200), st.dictionaries(st.text(max_size=5), st.text(max_size=6000), max_size=3))
def test_a_note_is_bounded_whatever_it_tells(name: str, answer: dict[str, str]) -> None:
    note = late_answer(name, answer)
    assert len(note) <= MAX_ANSWER_CHARS
    assert "\n" not in note


def test_an_answer_that_was_cut_off_with_its_session_is_given_again_once() -> None:
    ledger = Ledger()
    ledger.finish(opened(ledger, "c1").key, "booked")
    ledger.session_replaced()
    again = opened(ledger, "d1")
    assert ledger.answered_before(again) == "booked"
    assert ledger.answered_before(again) is None


def test_an_answer_that_came_before_the_new_session_asks_again_is_given_again_once() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1", "book", table=1)
    ledger.session_replaced()
    assert ledger.finish(entry.key, "booked") == ("note", "")
    assert ledger.answered_before(opened(ledger, "d1", "book", table=1)) == "booked"
    assert ledger.answered_before(opened(ledger, "d2", "book", table=1)) is None


def test_a_call_without_an_id_is_done_as_often_as_it_is_asked_for() -> None:
    ledger = Ledger()
    ledger.finish(opened(ledger, "", "roll").key, 6)
    assert ledger.answered_before(opened(ledger, "", "roll")) is None


def test_an_answer_that_a_complete_turn_made_use_of_is_not_given_again() -> None:
    ledger = Ledger()
    ledger.finish(opened(ledger, "c1").key, "booked")
    ledger.turn_completed()
    ledger.session_replaced()
    assert ledger.answered_before(opened(ledger, "d1")) is None


def test_other_arguments_are_other_work() -> None:
    ledger = Ledger()
    ledger.finish(ledger.open("c1", "book", {"table": 1})[1].key, "booked")
    ledger.session_replaced()
    assert ledger.answered_before(ledger.open("d1", "book", {"table": 2})[1]) is None


def test_an_answer_to_a_call_that_a_handle_knows_of_is_returned_once_its_session_is_lost() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    ledger.turn_completed()
    ledger.handle_came()
    ledger.finish(entry.key, "booked")
    assert ledger.session_replaced() == [(entry, "booked")]
    assert ledger.session_replaced() == []
    assert ledger.answered_before(opened(ledger, "d1")) == "booked"  # should it ask again, nothing is done twice


def test_an_answer_is_not_returned_if_it_was_made_use_of_or_told_as_a_note() -> None:
    ledger = Ledger()
    entry = opened(ledger, "c1")
    ledger.handle_came()
    ledger.finish(entry.key, "booked")
    ledger.turn_completed()
    assert ledger.session_replaced() == []
    orphan = opened(ledger, "c2")
    ledger.handle_came()
    assert ledger.session_replaced() == []
    ledger.handle_came()
    assert ledger.finish(orphan.key, "late") == ("note", "")
    assert ledger.session_replaced() == []


def test_an_answer_to_a_call_that_no_handle_knows_of_waits_until_it_is_asked_for_again() -> None:
    ledger = Ledger()
    ledger.handle_came()
    key = opened(ledger, "c1").key
    ledger.session_replaced()
    assert verdict(ledger, "d1") == "take_over"
    ledger.turn_completed()
    ledger.finish(key, "booked")
    assert ledger.session_replaced() == []
    assert ledger.answered_before(opened(ledger, "e1")) == "booked"


def test_only_what_this_session_called_can_be_taken_back_by_it() -> None:
    ledger = Ledger()
    _, first = ledger.open("c1", "look", {})
    assert list(ledger.of_this_session) == [first]
    ledger.session_replaced()
    assert list(ledger.of_this_session) == []
    _, second = ledger.open("c1", "listen", {})
    assert list(ledger.of_this_session) == [second]
    assert list(ledger.open_calls) == [first, second]
