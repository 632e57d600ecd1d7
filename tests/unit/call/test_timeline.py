"""When what happened: the stages of the set-up and of each wait, whatever the order in which things happen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.call.timeline import MAX_MARKS, MAX_TOOLS, MAX_TURNS, MAX_WINDOWS, Instant, Timeline, stages_of
from agent.events import SetUpStages, Stages

SET_UP: dict[Instant, float] = {
    "offer": 100.0,
    "answer": 100.01,
    "live_connecting": 100.02,
    "live_ready": 100.054,
    "ice": 100.06,
    "dtls": 100.07,
    "first_rtp": 100.071,
}
"As it was measured on a real call."


def test_a_response_divides_into_its_stages() -> None:
    stages = stages_of(
        10.0, 10.64, sent_at=10.0006, output_at=10.5136, audio_at=10.5336, packet_at=10.5346, tools=()
    )
    assert stages == Stages(uplink_ms=0.6, model_ms=513.0, tools_ms=0.0, voice_ms=125.4, downlink_ms=1.0)


def test_tools_are_no_time_of_the_model() -> None:
    tools = [(10.3, 10.5), (10.1, 10.2), (10.4, 10.6), (9.0, 9.9), (10.15, 10.16)]  # the third overlaps the first
    stages = stages_of(10.0, 11.0, sent_at=10.0, output_at=10.9, audio_at=10.9, packet_at=11.0, tools=tools)
    assert stages == Stages(uplink_ms=0.0, model_ms=500.0, tools_ms=400.0, voice_ms=0.0, downlink_ms=100.0)


def test_a_tool_that_runs_on_ends_with_the_first_output() -> None:
    stages = stages_of(
        10.0, 11.0, sent_at=10.1, output_at=10.8, audio_at=10.9, packet_at=11.0, tools=[(10.5, 12.0)]
    )
    assert stages == Stages(uplink_ms=100.0, model_ms=400.0, tools_ms=300.0, voice_ms=100.0, downlink_ms=100.0)


def test_an_agent_that_writes_has_no_voice() -> None:
    stages = stages_of(10.0, 10.5, sent_at=10.1, output_at=10.5, audio_at=None, packet_at=None)
    assert stages == Stages(uplink_ms=100.0, model_ms=400.0, tools_ms=0.0, voice_ms=0.0, downlink_ms=0.0)


instants = st.floats(0, 60, allow_nan=False) | st.none()


@given(
    asked_at=st.floats(0, 60),
    wait_s=st.floats(0, 30),
    sent_at=instants,
    output_at=instants,
    audio_at=instants,
    packet_at=instants,
    tools=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 60)), max_size=5),
)
def test_the_stages_add_up_whatever_happened_when(
    asked_at: float,
    wait_s: float,
    sent_at: float | None,
    output_at: float | None,
    audio_at: float | None,
    packet_at: float | None,
    tools: list[tuple[float, float]],
) -> None:
    stages = stages_of(
        asked_at,
        asked_at + wait_s,
        sent_at=sent_at,
        output_at=output_at,
        audio_at=audio_at,
        packet_at=packet_at,
        tools=tools,
    )
    assert all(each >= 0 for each in astuple(stages))
    assert sum(astuple(stages)) == pytest.approx(wait_s * 1000, abs=0.051)


def set_up(*, without: Instant | None = None) -> Timeline:
    timeline = Timeline(100.002, 1_000_000.002)
    for instant, at in SET_UP.items():
        if instant != without:
            timeline.reach(instant, at)
    return timeline


def test_the_set_up_divides_into_its_stages() -> None:
    timeline = set_up()
    assert timeline.set_up() == SetUpStages(10.0, 60.0, 0.0, None)
    timeline.note(events.AgentStartedSpeaking(1), 100.5)
    timeline.note(events.AgentStartedSpeaking(2), 105.0)
    assert timeline.set_up() == SetUpStages(10.0, 60.0, 0.0, 430.0)


def test_a_live_session_that_comes_late_is_a_stage_of_its_own() -> None:
    timeline = set_up(without="live_ready")
    assert timeline.set_up() == SetUpStages(10.0, 60.0, None, None)
    timeline.note(events.AgentReady("m", offline_demo=False), 101.07)
    assert timeline.set_up() == SetUpStages(10.0, 60.0, 1000.0, None)


@pytest.mark.parametrize(
    "first",
    [
        events.CallerStartedSpeaking(),
        events.KeyPressed("1"),
        events.CallerTranscribed("t1", 1, "hello", final=True, typed=True),
    ],
)
def test_what_a_caller_who_is_first_waits_for_is_no_set_up(first: events.Event) -> None:
    timeline = set_up()
    timeline.note(first, 101.0)
    timeline.note(events.AgentStartedSpeaking(1), 103.0)
    assert timeline.set_up() == SetUpStages(10.0, 60.0, 0.0, None)
    assert {"name": "first_agent_audio", "at_ms": 1_000_003_000.0} in timeline.to_json()


@given(st.permutations(sorted(SET_UP.items())), st.dictionaries(st.sampled_from(sorted(SET_UP)), instants))
def test_the_stages_of_a_set_up_never_overlap(
    order: list[tuple[Instant, float]], odd: dict[Instant, float | None]
) -> None:
    timeline = Timeline(100.0)
    for instant, at in order:
        moved = odd.get(instant, at)
        if moved is not None:
            timeline.reach(instant, moved)
    took_ms = [each for each in astuple(timeline.set_up()) if each is not None]
    assert all(each >= 0 for each in took_ms)
    reached = timeline.instants
    if len(took_ms) == 3:
        ends = [reached[each] for each in ("answer", "dtls", "live_ready")]
        begin = reached.get("offer", 100.0)
        assert sum(took_ms) == pytest.approx((max(begin, *ends) - begin) * 1000, abs=0.2)


class Told:
    """A timeline, and what an uplink would know."""

    def __init__(self) -> None:
        self.sent_at: float | None = None
        self.timeline = Timeline(100.0, 1_000_000.0, lambda: self.sent_at)

    def answer(self, generation: int, asked_at: float) -> Stages:
        """Have an answer come that takes 0.6 s."""
        self.sent_at = asked_at + 0.001
        self.timeline.output_came(generation, asked_at + 0.5)
        self.timeline.audio_came(generation, asked_at + 0.51)
        self.timeline.audio_came(generation, asked_at + 0.7)
        self.timeline.packet_sent(generation, asked_at + 0.52)
        return self.timeline.responded(generation, asked_at, asked_at + 0.6, typed=False)


def test_an_answer_gets_the_stages_of_its_own_turn() -> None:
    told = Told()
    expected = Stages(uplink_ms=1.0, model_ms=499.0, tools_ms=0.0, voice_ms=90.0, downlink_ms=10.0)
    assert told.answer(1, 110.0) == expected
    assert told.answer(2, 120.0) == expected
    assert told.timeline.last_stages == expected
    first, second = told.timeline.turns
    assert (first.packet_at, first.last_packet_at) == (110.52, 120.52)
    assert (second.asked_at, second.heard_at) == (120.0, 120.6)


def test_words_that_come_late_belong_to_the_question_they_are_of() -> None:
    told = Told()
    timeline = told.timeline
    timeline.note(events.CallerStartedSpeaking(), 109.0)
    timeline.note(events.CallerTranscribed("t1", 1, "what", final=False), 109.5)
    timeline.note(events.CallerTranscribed("t1", 2, "what time", final=False), 109.6)
    told.answer(1, 110.0)
    told.answer(2, 120.0)
    timeline.note(events.CallerTranscribed("t2", 1, "and now", final=False), 120.9)
    timeline.note(events.CallerStartedSpeaking(), 130.0)
    timeline.note(events.CallerTranscribed("t3", 1, "thanks", final=False), 130.5)
    told.answer(3, 131.0)
    assert [turn.words_at for turn in timeline.turns] == [109.5, 120.9, 130.5]


def test_a_cut_answer_ends_with_its_last_packet() -> None:
    told = Told()
    told.answer(1, 110.0)
    told.timeline.note(events.AgentInterrupted(1, 24_000, 9_600), 112.0)
    assert told.timeline.faded(112.013) == pytest.approx(0.013)
    assert told.timeline.faded(112.033) is None
    (turn,) = (entry for entry in told.timeline.to_json() if entry["name"] == "turn")
    assert (turn["cut_heard_samples"], turn["last_packet_ms"]) == (24_000, 1_000_012_013.0)


def test_tools_are_timed() -> None:
    timeline = Timeline(100.0, 100.0)
    timeline.note(events.ToolCalled("f1", "look_up", {"secret": "word"}), 101.0)
    assert timeline.tool_s("f1") is None
    timeline.note(events.ToolFinished("f1", "look_up", "result", {"secret": "word"}), 101.25)
    timeline.note(events.ToolFinished("f1", "look_up", "cancelled"), 105.0)
    assert (timeline.tool_s("f1"), timeline.tool_s("f2")) == (0.25, None)
    assert timeline.to_json()[1] == {
        "name": "tool",
        "at_ms": 101_000.0,
        "ended_ms": 101_250.0,
        "key": "f1",
        "tool": "look_up",
        "outcome": "result",
    }


def test_all_of_it_can_be_stored_without_a_word_of_the_call() -> None:
    told = Told()
    for event in (
        events.CallerTranscribed("t1", 1, "my secret", final=True),
        events.SessionEnding(10.0),
        events.SessionLost("secret", "live"),
        events.SessionReplaced(True, 10, 20),
        events.AgentFellSilent("no_answer", "nudge", None),
        events.ContextLost(),
        events.CallEnded("hung_up", "The secret.", "caller"),
    ):
        told.timeline.note(event, 105.0)
    told.answer(1, 110.0)
    stored = told.timeline.to_json()
    assert json.loads(json.dumps(stored)) == stored
    assert "secret" not in json.dumps(stored)
    assert [entry["at_ms"] for entry in stored] == sorted(entry["at_ms"] for entry in stored)
    assert stored[0]["at_ms"] == 1_000_000_000
    assert [(entry["name"], entry["detail"]) for entry in stored if "detail" in entry] == [
        ("go_away", "10 s"),
        ("session_lost", "live"),
        ("session_replaced", "resumed"),
        ("agent_silent", "nudge"),
        ("context_lost", ""),
        ("call_ended", "hung_up"),
    ]


def test_the_quality_of_the_line_is_kept_over_time() -> None:
    timeline = Timeline(now=100.0, unix_now=1_000_000.0)
    estimate = events.QualityEstimated(4.1, None, 2.0, None, 3.0, None, None)
    for at in (110.0, 120.0):
        timeline.note(estimate, at)
    kept = [entry for entry in timeline.to_json() if entry["name"] == "quality"]
    assert [entry["at_ms"] for entry in kept] == [1_000_010_000, 1_000_020_000]
    assert (kept[0]["mos_in"], kept[0]["loss_in_percent"], kept[0]["rtt_ms"]) == (4.1, 2.0, None)


def test_a_long_call_keeps_the_newest() -> None:
    timeline = Timeline()
    for number in range(max(MAX_TURNS, MAX_TOOLS, MAX_MARKS, MAX_WINDOWS) + 5):
        timeline.note(events.QualityEstimated(4.0, 4.0, 0.0, 0.0, 1.0, 1.0, 20.0), number)
        timeline.output_came(number, number)
        timeline.note(events.ToolCalled(str(number), "f", {}), number)
        timeline.note(events.ContextLost(), number)
    assert (len(timeline.turns), len(timeline.tools), len(timeline.marks)) == (MAX_TURNS, MAX_TOOLS, MAX_MARKS)
    assert len(timeline.quality) == MAX_WINDOWS
    assert timeline.turns[0].generation == timeline.quality[0][0] == 5


HAPPENINGS: list[Callable[[Timeline, int, float], object]] = [
    lambda timeline, generation, now: timeline.output_came(generation, now),
    lambda timeline, generation, now: timeline.audio_came(generation, now),
    lambda timeline, generation, now: timeline.packet_sent(generation, now),
    lambda timeline, generation, now: timeline.responded(generation, now - 1.5, now, typed=False),
    lambda timeline, generation, now: timeline.note(events.AgentStoppedSpeaking(generation), now),
    lambda timeline, generation, now: timeline.note(events.AgentInterrupted(generation, 10, 10), now),
    lambda timeline, _generation, now: timeline.faded(now),
    lambda timeline, generation, now: timeline.note(events.ToolCalled(str(generation), "f", {}), now),
    lambda timeline, generation, now: timeline.note(events.ToolFinished(str(generation), "f", "result"), now),
    lambda timeline, _generation, now: timeline.note(events.CallerStartedSpeaking(), now),
    lambda timeline, _generation, now: timeline.note(events.CallerTranscribed("t", 1, "x", final=False), now),
]


@given(st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.integers(1, 4), st.floats(0, 2)), max_size=40))
def test_whatever_happens_in_any_order_adds_up(
    happened: list[tuple[Callable[[Timeline, int, float], object], int, float]],
) -> None:
    timeline, now = Timeline(), 0.0
    for happen, generation, later_s in happened:
        now += later_s
        happen(timeline, generation, now)
    for turn in timeline.turns:
        if turn.stages is not None:
            assert turn.asked_at is not None
            assert turn.heard_at is not None
            assert sum(astuple(turn.stages)) == pytest.approx((turn.heard_at - turn.asked_at) * 1000, abs=0.051)
            assert all(each >= 0 for each in astuple(turn.stages))
    for tool in timeline.tools:
        assert tool.ended_at is None or tool.ended_at >= tool.began_at
    json.dumps(timeline.to_json())
