"""How a session ended says what follows; no bad handle is used, and trying has an end."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.live.endings import Ending, Step, closed
from agent.live.resumption import (
    FIRST_DELAY_S,
    MAX_DELAY_S,
    MAX_FAILURES,
    MAX_QUOTA_DELAY_S,
    MIN_CONTEXT_TOKENS,
    QUOTA_DELAY_S,
    RIGHT_AFTER_S,
    STABLE_S,
    TOO_SHORT_S,
    Move,
    Recovery,
    Trial,
    is_forgotten,
    next_step,
)
from tests.support.endings import Stage, ended

BUDGET_S = 30.0


def low(least: float, _most: float) -> float:
    return least


def high(_least: float, most: float) -> float:
    return most


SETTINGS = Ending("unusable_settings", during_setup=True)
AGED = Trial(60.0, 1)
FAILED_ONCE = Trial(failures=1)
FAILED_TWICE = Trial(failures=MAX_FAILURES)


@pytest.mark.parametrize(
    ("step", "end", "trial"),
    [
        # the client cannot use these settings
        (Step.GIVE_UP, SETTINGS, None),
        (Step.GIVE_UP, SETTINGS, AGED),
        # the server is short of quota
        (Step.WAIT, ended("setup", 429), None),
        (Step.WAIT, ended("setup", 1011, "You exceeded your current quota"), None),
        (Step.WAIT, ended("running", 1011, "RESOURCE_EXHAUSTED"), AGED),
        (Step.WAIT, ended("setup", 1011, "Rate limit reached"), None),
        (Step.WAIT, ended("setup", 1011, "Too many concurrent sessions"), None),
        # the key, the model or the address is refused
        (Step.GIVE_UP, ended("setup", 400), None),
        (Step.GIVE_UP, ended("setup", 401), FAILED_ONCE),
        (Step.GIVE_UP, ended("setup", 403), FAILED_ONCE),
        (Step.GIVE_UP, ended("setup", 404), None),
        # the set-up with a handle is refused, or the server knows no such session
        (Step.REBUILD, ended("setup", 1007), FAILED_ONCE),
        (Step.REBUILD, ended("setup", 1008), FAILED_ONCE),
        (Step.REBUILD, ended("setup", 1008, "BidiGenerateContent session not found."), FAILED_ONCE),
        (Step.REBUILD, ended("setup", 1011, "BidiGenerateContent session not found."), FAILED_ONCE),
        (Step.REBUILD, ended("setup", 1011, "Session expired"), FAILED_ONCE),
        (Step.REBUILD, ended("setup", 1000, "Invalid session_resumption.handle."), FAILED_ONCE),
        # the set-up without a handle is refused
        (Step.GIVE_UP, ended("setup", 1007), None),
        (Step.GIVE_UP, ended("setup", 1008, "models/x is not supported"), None),
        # the server ends a session that it has just resumed
        (Step.REBUILD, ended("running", 1011), FAILED_ONCE),
        (Step.REBUILD, ended("running", 1000), Trial(RIGHT_AFTER_S - 0.01, 1)),
        (Step.REBUILD, ended("running", 1008), Trial(RIGHT_AFTER_S - 0.01, 1)),
        # the handle has failed twice
        (Step.REBUILD, ended("setup", 1011), FAILED_TWICE),
        (Step.REBUILD, ended("setup", None), FAILED_TWICE),
        (Step.REBUILD, ended("running", 1006), FAILED_TWICE),
        # anything else
        (Step.RESUME, ended("setup", 1011), FAILED_ONCE),
        (Step.RESUME, ended("running", 1011), AGED),
        (Step.RESUME, ended("setup", 1011), None),
        (Step.RESUME, ended("setup", None), None),
        (Step.RESUME, ended("setup", 503), None),
        (Step.RESUME, ended("running", 1006), FAILED_ONCE),
        (Step.RESUME, ended("running", 1011), Trial(RIGHT_AFTER_S, 1)),
        (Step.RESUME, ended("running", 1007), AGED),
        (Step.RESUME, ended("running", 1008), None),
        (Step.RESUME, ended("running", 1011, "session not found"), None),
        # of several cases the first counts
        (Step.WAIT, closed(403, "Quota exceeded", during_setup=True), None),  # waiting may help
        (Step.WAIT, ended("setup", 1008, "quota"), FAILED_ONCE),  # the handle is not to blame
        (Step.GIVE_UP, ended("setup", 403, "invalid handle"), Trial(failures=9)),
        (Step.REBUILD, ended("running", 1011), Trial(0.1, 9)),
    ],
)
def test_how_a_session_ended_says_what_follows(step: Step, end: Ending, trial: Trial | None) -> None:
    assert next_step(end, trial) is step


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1011, 1012, 1013, 1014, 500, 502, 503, 504, None])
@pytest.mark.parametrize("stage", ["setup", "running"])
def test_what_may_pass_is_tried_again(stage: Stage, code: int | None) -> None:
    assert next_step(ended(stage, code), None) is Step.RESUME


def lose(recovery: Recovery, now: float, *, code: int | None = 1011, reason: str = "") -> Move:
    """Fail to set a session up, with the handle if there is one."""
    return recovery.lost(ended("setup", code, reason), now, resumed=recovery.handle is not None)


def running(handle: str = "h1", *, now: float = 0.0) -> Recovery:
    """A first session runs and the server has offered a handle."""
    recovery = Recovery(BUDGET_S, high)
    recovery.ready(now, resumed=False)
    recovery.offered(handle)
    return recovery


def test_without_a_budget_the_first_loss_is_the_end() -> None:
    recovery = Recovery(0.0, low)
    recovery.ready(0.0, resumed=False)
    assert recovery.lost(ended("running", 1006), 60.0, resumed=False) == Move(Step.GIVE_UP)


def test_the_first_attempt_is_made_almost_at_once() -> None:
    assert lose(Recovery(BUDGET_S, low), 0.0) == Move(Step.RESUME, 0.0)
    assert 0 < lose(Recovery(BUDGET_S, high), 0.0).delay_s <= 0.05


def test_delays_double_up_to_a_bound_and_are_shortened_by_half_at_most() -> None:
    longest, shortest = Recovery(1000.0, high), Recovery(1000.0, low)
    lose(longest, 0.0), lose(shortest, 0.0)
    most = [lose(longest, 0.0).delay_s for _ in range(12)]
    least = [lose(shortest, 0.0).delay_s for _ in range(12)]
    assert most == [min(MAX_DELAY_S, FIRST_DELAY_S * 2**attempt) for attempt in range(1, 13)]
    assert least == [delay_s / 2 for delay_s in most]


def test_a_server_short_of_quota_gets_longer_pauses_from_the_first_on() -> None:
    longest, shortest = Recovery(1000.0, high), Recovery(1000.0, low)
    most = [lose(longest, 0.0, code=429) for _ in range(10)]
    least = [lose(shortest, 0.0, code=429) for _ in range(10)]
    assert most == [Move(Step.WAIT, min(MAX_QUOTA_DELAY_S, QUOTA_DELAY_S * 2**n)) for n in range(10)]
    assert [move.delay_s for move in least] == [move.delay_s / 2 for move in most]


BUSY = [(0.1, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (2.0, 4.0)]


@pytest.mark.parametrize("code", [500, 502, 503, 504, 1013])
def test_a_server_that_is_busy_is_given_a_moment_that_grows(code: int) -> None:
    shortest, longest = Recovery(1000.0, low), Recovery(1000.0, high)
    spans = [(lose(shortest, 0.0, code=code).delay_s, lose(longest, 0.0, code=code).delay_s) for _ in BUSY]
    assert spans == BUSY


def test_a_server_that_is_busy_after_a_loss_is_given_the_same_moment() -> None:
    recovery = running()
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    assert 0.1 <= lose(recovery, 60.0, code=503).delay_s <= 0.5
    recovery.progressed()
    assert 0.1 <= lose(recovery, 70.0, code=503).delay_s <= 0.5


def test_the_budget_counts_from_the_first_attempt_if_there_was_no_session() -> None:
    recovery = Recovery(BUDGET_S, low)
    recovery.lost(ended("setup", None), 105.0, resumed=False, took_s=5.0)
    assert recovery.left_s(105.0) == BUDGET_S - 5.0
    assert recovery.lost(ended("setup", None), 100.0 + BUDGET_S, resumed=False, took_s=5.0) == Move(Step.GIVE_UP)


def test_the_budget_counts_from_the_first_loss() -> None:
    recovery = Recovery(BUDGET_S, high)
    assert lose(recovery, 100.0).step is Step.RESUME
    assert lose(recovery, 100.0 + BUDGET_S - 1.0).step is Step.RESUME
    assert lose(recovery, 100.0 + BUDGET_S - 0.9) == Move(Step.GIVE_UP)  # its pause would go beyond


def test_an_attempt_may_take_what_is_left_of_the_budget() -> None:
    recovery = running()
    assert recovery.left_s(50.0) == math.inf
    lose(recovery, 60.0)
    assert recovery.left_s(61.0) == BUDGET_S - 1
    assert recovery.left_s(61.0 + BUDGET_S) == 0.0
    recovery.ready(62.0, resumed=True)
    recovery.progressed()
    assert recovery.left_s(63.0) == math.inf


def test_a_session_that_was_lost_young_does_not_prolong_the_budget() -> None:
    recovery, now = running(), 20.0
    moves: list[Move] = []
    while not moves or moves[-1].step is not Step.GIVE_UP:
        moves.append(recovery.lost(ended("running", 1006), now, resumed=False))
        now += moves[-1].delay_s
        recovery.ready(now, resumed=False)
        now += STABLE_S - 0.1
    assert len(moves) == 4  # the first, and three young ones in 30 s


def test_a_session_that_lasted_begins_a_new_budget() -> None:
    recovery, now = running(), 20.0
    for _ in range(10):
        move = recovery.lost(ended("running", 1006), now, resumed=False)
        assert move.delay_s <= 0.05
        assert move.step is Step.RESUME
        recovery.ready(now, resumed=False)
        now += STABLE_S


def test_a_turn_begins_a_new_budget() -> None:
    recovery, now = running(), 20.0
    for _ in range(10):
        assert recovery.lost(ended("running", 1006), now, resumed=False).step is Step.RESUME
        recovery.ready(now, resumed=False)
        recovery.progressed()
        now += STABLE_S - 1


def test_being_ready_is_no_proof_yet() -> None:
    recovery = running()
    recovery.lost(ended("running", 1006), 1.0, resumed=False)
    recovery.ready(2.0, resumed=True)
    later = recovery.lost(ended("running", 1006), 2.5, resumed=True)
    assert later.delay_s > 0.05


def test_the_age_of_a_session_is_not_that_of_the_one_before() -> None:
    """What was lost at its set-up never lasted, however long the session before it did."""
    recovery = running()
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    delays_s = [lose(recovery, 60.0, code=503).delay_s for _ in range(2)]
    assert delays_s == [FIRST_DELAY_S * 2, FIRST_DELAY_S * 4]


def test_a_session_left_on_purpose_costs_nothing_and_is_not_counted() -> None:
    recovery = running()
    recovery.left(3.0)
    assert recovery.handle == "h1"
    assert lose(recovery, 3.5).delay_s <= 0.05


def test_sessions_that_must_be_left_at_once_are_spaced() -> None:
    recovery = Recovery(BUDGET_S, high)
    delays_s = []
    for attempt in range(8):
        recovery.ready(float(attempt), resumed=True)
        delays_s.append(recovery.left(attempt + TOO_SHORT_S * 0.9))
    assert delays_s == [0.05, 0.5, 1.0, 2.0, MAX_DELAY_S, MAX_DELAY_S, MAX_DELAY_S, MAX_DELAY_S]
    recovery.ready(100.0, resumed=True)
    assert recovery.left(100.0 + TOO_SHORT_S) == 0.0
    recovery.ready(200.0, resumed=True)
    recovery.progressed()
    assert recovery.left(200.0) == 0.05


def test_a_session_that_lasted_and_was_then_left_begins_a_new_budget() -> None:
    """Nobody speaks for minutes after a loss, so that no turn completes; then the server goes away in order."""
    recovery = running()
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(60.5, resumed=True)
    recovery.left(300.0)
    assert lose(recovery, 300.5, code=503).step is Step.RESUME


def test_a_session_left_young_does_not_prolong_the_budget() -> None:
    recovery = running()
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(60.0 + BUDGET_S - 1, resumed=True)
    recovery.left(60.0 + BUDGET_S)
    assert lose(recovery, 61.0 + BUDGET_S, code=503).step is Step.GIVE_UP


def test_the_newest_handle_is_kept() -> None:
    recovery = running("h1")
    recovery.offered("h2")
    assert recovery.handle == "h2"


@pytest.mark.parametrize("nothing", [None, ""])
def test_not_resumable_now_takes_no_handle_away(nothing: str | None) -> None:
    recovery = running("h1")
    recovery.offered(nothing)
    assert recovery.handle == "h1"


def test_a_refused_handle_is_never_used_again() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    assert lose(recovery, 60.1, code=1008).step is Step.REBUILD
    assert recovery.handle is None
    recovery.offered("h1")
    assert recovery.handle is None
    recovery.offered("h2")
    assert recovery.handle == "h2"


def test_a_handle_may_fail_once_but_not_twice() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    assert lose(recovery, 60.1).step is Step.RESUME
    assert recovery.handle == "h1"
    assert lose(recovery, 60.5).step is Step.REBUILD
    assert recovery.handle is None


@pytest.mark.parametrize("code", [None, 429, 500, 503])
def test_a_server_that_was_not_reached_says_nothing_about_the_handle(code: int | None) -> None:
    """A fresh session loses more: a short outage of the network must not lead to one."""
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    for _ in range(4):
        end = Ending("unreachable", during_setup=True) if code is None else ended("setup", code)
        move = recovery.lost(end, 60.1, resumed=True)
        assert move.step is (Step.WAIT if code == 429 else Step.RESUME)
    assert recovery.handle == "h1"


def test_a_server_that_was_reached_but_never_answers_may_choke_on_the_handle() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    steps = [lose(recovery, now, code=None).step for now in (65.0, 70.0)]
    assert steps == [Step.RESUME, Step.REBUILD]


def test_failures_are_those_of_one_handle() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    lose(recovery, 60.1)
    recovery.offered("h2")
    assert lose(recovery, 60.2).step is Step.RESUME
    assert lose(recovery, 60.3).step is Step.REBUILD


def test_a_handle_whose_session_proved_itself_has_not_failed() -> None:
    recovery = running("h1")
    for lost_at in (60.0, 120.0, 180.0):
        assert recovery.lost(ended("running", 1006), lost_at, resumed=lost_at > 60).step is Step.RESUME
        recovery.ready(lost_at + 1, resumed=True)
    recovery.lost(ended("running", 1006), 240.0, resumed=True)
    assert lose(recovery, 240.1).step is Step.RESUME
    assert recovery.handle == "h1"


def test_the_end_of_a_session_is_no_failure_of_the_handle_that_it_offered() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(61.0, resumed=True)
    recovery.offered("h2")
    assert recovery.lost(ended("running", 1006), 66.0, resumed=True).step is Step.RESUME
    assert lose(recovery, 66.1).step is Step.RESUME
    assert recovery.handle == "h2"


def test_a_session_that_dies_right_after_it_was_resumed_poisons_its_handle() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(61.0, resumed=True)
    assert recovery.lost(ended("running", 1011), 61.0 + RIGHT_AFTER_S / 2, resumed=True).step is Step.REBUILD
    recovery.offered("h1")
    assert recovery.handle is None


def test_a_session_that_dies_young_poisons_both_its_handle_and_the_one_it_offered() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(61.0, resumed=True)
    recovery.offered("h2")
    assert recovery.lost(ended("running", 1011), 61.5, resumed=True).step is Step.REBUILD
    for handle in ("h1", "h2"):
        recovery.offered(handle)
        assert recovery.handle is None


def test_a_session_that_completed_a_turn_is_not_called_young() -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(61.0, resumed=True)
    recovery.progressed()
    assert recovery.lost(ended("running", 1011), 61.5, resumed=True).step is Step.RESUME
    assert recovery.handle == "h1"


@pytest.mark.parametrize("code", [None, 1006])
def test_a_connection_that_breaks_right_after_resuming_is_not_the_servers_doing(code: int | None) -> None:
    recovery = running("h1")
    recovery.lost(ended("running", 1006), 60.0, resumed=False)
    recovery.ready(61.0, resumed=True)
    assert recovery.lost(ended("running", code), 61.5, resumed=True).step is Step.RESUME
    assert recovery.handle == "h1"


def test_poisoning_without_a_handle_is_nothing() -> None:
    recovery = Recovery(BUDGET_S, high)
    recovery.poison()
    recovery.offered("h1")
    assert recovery.handle == "h1"


def test_what_was_given_up_has_no_pause() -> None:
    for code in (400, 1008):
        assert lose(Recovery(BUDGET_S, high), 0.0, code=code) == Move(Step.GIVE_UP)


@pytest.mark.parametrize(
    ("before", "after", "forgotten"),
    [
        (1000, 1100, False),
        (1000, 500, False),  # compressed
        (1000, 250, False),
        (1000, 249, True),
        (MIN_CONTEXT_TOKENS, 0, True),
        (MIN_CONTEXT_TOKENS - 1, 0, False),
        (0, 0, False),
    ],
)
def test_a_context_that_shrank_beyond_compression_is_forgotten(before: int, after: int, forgotten: bool) -> None:
    assert is_forgotten(before, after) is forgotten


@dataclass(frozen=True)
class Story:
    """One thing that happens, after a while.

    Attributes:
        what: that ends the session, is offered or completes.
        code: of the loss.
        wait_s: before it.
        handle: that is offered.
    """

    what: str
    code: int | None
    wait_s: float
    handle: str


STORIES = st.lists(
    st.builds(
        Story,
        st.sampled_from(["lost", "lost", "refused", "offered", "progressed", "left"]),
        st.sampled_from([None, 1000, 1006, 1007, 1008, 1011, 429, 503]),
        st.floats(0, 2 * STABLE_S),
        st.sampled_from(["h1", "h2", "h3", "h4"]),
    ),
    max_size=60,
)


class Link:
    """Does what `Recovery` says, and remembers by itself which handles are bad."""

    def __init__(self, seed: int) -> None:
        self.recovery = Recovery(BUDGET_S, random.Random(seed).uniform)
        self.now = 0.0
        self.bad: set[str] = set()
        self.used: str | None = None
        self.given_up = False
        self.waited_s = 0.0  # since the last proof that a session works
        self.running_since: float | None = None
        self.proved = False  # the present session completed a turn

    def open(self) -> None:
        self.used = self.recovery.handle
        assert self.used not in self.bad

    def happen(self, story: Story) -> None:
        if self.running_since is None and story.what != "refused":
            self.recovery.ready(self.now, resumed=self.used is not None)
            self.running_since = self.now
            self.proved = False
        if self.running_since is not None:
            self.now += story.wait_s
            if self.now - self.running_since >= STABLE_S and story.what in ("lost", "left"):
                self.waited_s = 0.0
        match story.what:
            case "offered":
                self.recovery.offered(story.handle)
            case "progressed":
                self.recovery.progressed()
                self.waited_s = 0.0
                self.proved = True
            case "left":
                self.recovery.left(self.now)
                self.running_since = None
                self.open()
            case _:
                self.lose(story)

    def lose(self, story: Story) -> None:
        stage: Stage = "setup" if self.running_since is None else "running"
        age_s = 0.0 if self.running_since is None else self.now - self.running_since
        refused = stage == "setup" and story.code in (1007, 1008)
        died_young = stage == "running" and age_s < RIGHT_AFTER_S and story.code not in (None, 429, 1006)
        died_young = died_young and not self.proved
        if self.used is not None and (refused or died_young):
            self.bad.add(self.used)
        move = self.recovery.lost(ended(stage, story.code), self.now, resumed=self.used is not None)
        self.running_since = None
        self.given_up = move.step is Step.GIVE_UP
        self.waited_s += move.delay_s
        self.now += move.delay_s
        self.open()


@given(STORIES, st.integers(0, 9))
def test_a_bad_handle_is_never_used_and_waiting_stays_in_budget(stories: list[Story], seed: int) -> None:
    link = Link(seed)
    for story in stories:
        link.happen(story)
        assert link.waited_s <= BUDGET_S
        if link.given_up:
            break


@given(
    st.sampled_from([None, 1000, 1006, 1007, 1008, 1011, 429, 503]),
    st.floats(0, STABLE_S - 0.01),
    st.integers(0, 9),
)
def test_a_server_that_never_works_is_given_up(code: int | None, lasts_s: float, seed: int) -> None:
    """Whether it refuses or lets every session die young, and however often it offers a handle."""
    link = Link(seed)
    attempts = 0
    while not link.given_up:
        attempts += 1
        assert attempts < 200
        if attempts % 2:
            link.happen(Story("offered", None, 0.0, f"h{attempts}"))
        link.happen(Story("lost", code, lasts_s, ""))
    assert link.waited_s <= BUDGET_S
