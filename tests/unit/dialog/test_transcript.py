"""Fragments become turns; an interrupted turn says what was heard."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.transcript import MAX_HISTORY_CHARS, Transcribed, Transcript
from agent.events import AgentTranscribed, CallerTranscribed
from agent.spoken import Speaker, Spoken


def final(revision: Transcribed | None) -> Transcribed:
    assert revision is not None
    assert revision.final
    return revision


def cut_off(revision: Transcribed | None) -> AgentTranscribed:
    assert isinstance(revision, AgentTranscribed)
    assert revision.final
    return revision


def told(transcript: Transcript, through: int | None = None) -> list[tuple[str, str]]:
    return [(said.speaker, said.text) for said in transcript.history(through)]


def speaker_of(revision: Transcribed) -> Speaker:
    return "caller" if isinstance(revision, CallerTranscribed) else "agent"


def test_each_revision_carries_the_whole_text_so_far() -> None:
    transcript = Transcript()
    said = [transcript.add("agent", fragment) for fragment in ("It", " is", " noon.")]
    assert said == [
        AgentTranscribed("t1", 1, "It", final=False),
        AgentTranscribed("t1", 2, "It is", final=False),
        AgentTranscribed("t1", 3, "It is noon.", final=False),
    ]


def test_finishing_gives_one_final_revision_with_the_same_text() -> None:
    transcript = Transcript()
    transcript.add("caller", "What time is it? ")
    assert transcript.finish("caller") == CallerTranscribed("t1", 2, "What time is it?", final=True)
    assert transcript.finish("caller") is None


def test_the_two_speakers_have_turns_of_their_own() -> None:
    transcript = Transcript()
    transcript.add("caller", "Hello")
    transcript.add("agent", "Hi")
    assert final(transcript.finish("caller")).text == "Hello"
    assert cut_off(transcript.finish("agent")).text == "Hi"
    assert [turn.turn_id for turn in transcript.turns] == ["t1", "t2"]


def test_the_next_fragment_after_the_end_begins_a_new_turn() -> None:
    transcript = Transcript()
    transcript.add("caller", "One.")
    transcript.finish("caller")
    assert transcript.add("caller", " Two.") == CallerTranscribed("t2", 1, "Two.", final=False)


def test_finals_are_kept_in_the_order_in_which_the_turns_ended() -> None:
    transcript = Transcript()
    transcript.add("caller", "first begun")
    transcript.add("agent", "second begun")
    transcript.finish("agent")
    transcript.finish("caller")
    assert [turn.said.text for turn in transcript.turns] == ["second begun", "first begun"]


def test_an_empty_fragment_is_nothing() -> None:
    transcript = Transcript()
    assert transcript.add("agent", "") is None
    assert transcript.finish("agent") is None
    assert not transcript.turns


@pytest.mark.parametrize("blank", [" ", "\n", " \t\n"])
def test_a_turn_of_blanks_has_no_revision_at_all(blank: str) -> None:
    transcript = Transcript()
    assert transcript.add("agent", blank) is None
    assert transcript.finish("agent") is None
    assert not transcript.turns


def test_a_typed_turn_is_final_at_once() -> None:
    assert Transcript().typed("hello") == [CallerTranscribed("t1", 1, "hello", final=True, typed=True)]


def test_typing_finishes_what_the_caller_was_saying_first() -> None:
    transcript = Transcript()
    transcript.add("caller", "What ti")
    spoken, typed = transcript.typed("what time is it")
    assert isinstance(spoken, CallerTranscribed)
    assert isinstance(typed, CallerTranscribed)
    assert (spoken.text, spoken.final, spoken.typed) == ("What ti", True, False)
    assert (typed.text, typed.final, typed.typed) == ("what time is it", True, True)
    assert transcript.finish("caller") is None


def test_typing_leaves_the_agents_turn_open() -> None:
    transcript = Transcript()
    transcript.add("agent", "It is")
    transcript.typed("stop")
    assert transcript.add("agent", " noon.") == AgentTranscribed("t1", 2, "It is noon.", final=False)


def story() -> Transcript:
    """The agent tells three sentences; each arrives just before its second of voice."""
    transcript = Transcript()
    for second, sentence in enumerate(("Once upon.", " Twice now.", " Thrice so.")):
        transcript.add("agent", sentence, arrived_samples=second * 24_000)
    return transcript


@pytest.mark.parametrize(
    ("heard_s", "heard", "unheard"),
    [
        (0.0, "", "Once upon. Twice now. Thrice so."),
        (0.5, "Once", "upon. Twice now. Thrice so."),
        (1.0, "Once upon.", "Twice now. Thrice so."),
        (1.6, "Once upon. Twice", "now. Thrice so."),
        (2.9, "Once upon. Twice now. Thrice", "so."),
        (3.0, "Once upon. Twice now. Thrice so.", ""),
    ],
)
def test_an_interrupted_turn_ends_with_what_was_heard(heard_s: float, heard: str, unheard: str) -> None:
    cut = cut_off(story().interrupt(0, int(heard_s * 24_000), 72_000))
    assert (cut.text, cut.unheard_text) == (heard, unheard)
    assert cut.interrupted


@pytest.mark.parametrize("text_first", [True, False])
def test_text_in_one_piece_is_spread_over_its_voice(text_first: bool) -> None:
    """Before its voice or behind it: half the voice is half the words."""
    transcript = Transcript()
    arrived = 5 * 24_000
    transcript.add("agent", "one two three four five six", arrived_samples=0 if text_first else arrived)
    assert final(transcript.interrupt(0, arrived // 2, arrived)).text == "one two three"


def test_nobody_speaks_a_page_in_a_blink() -> None:
    """The whole text is here, of its voice only 20 ms: that much was heard of it, not all."""
    transcript = Transcript()
    transcript.add("agent", "word " * 100)
    assert final(transcript.interrupt(0, 479, 480)).text == ""


def test_an_interruption_without_an_open_turn_has_nothing_to_say() -> None:
    transcript = Transcript()
    transcript.add("caller", "wait")
    assert transcript.interrupt(0, 480, 480) is None
    assert not transcript.turns


def test_after_an_interruption_the_agent_begins_a_new_turn() -> None:
    transcript = story()
    transcript.interrupt(0, 1, 72_000)
    assert transcript.finish("agent") is None
    assert transcript.add("agent", "Sorry?") == AgentTranscribed("t2", 1, "Sorry?", final=False)


@pytest.mark.parametrize(
    ("heard_samples", "arrived_samples", "estimated"),
    [(0, 0, False), (0, 480, False), (479, 480, True), (480, 480, False), (960, 480, False)],
)
def test_a_cut_amid_the_voice_is_an_estimate(heard_samples: int, arrived_samples: int, estimated: bool) -> None:
    """Before its beginning nothing was heard and behind its end all: that is certain."""
    transcript = Transcript()
    transcript.add("agent", "one two")
    assert cut_off(transcript.interrupt(0, heard_samples, arrived_samples)).estimated is estimated


def test_a_turn_that_was_heard_to_its_end_is_no_estimate() -> None:
    transcript = Transcript()
    transcript.add("agent", "one two")
    assert not cut_off(transcript.finish("agent")).estimated


def test_turns_are_counted_from_their_beginning() -> None:
    transcript = Transcript()
    assert transcript.count == 0
    transcript.add("caller", " ")
    assert transcript.count == 0
    transcript.add("caller", "Hello")
    transcript.add("caller", " you")
    assert transcript.count == 1
    transcript.finish("caller")
    assert transcript.count == 1
    transcript.typed("typed")
    transcript.add("agent", "Hi")
    assert transcript.count == 3


# what a fresh session is told


def test_the_history_is_in_the_order_in_which_the_turns_began() -> None:
    transcript = Transcript()
    transcript.add("caller", "What time is it? ")
    transcript.add("agent", "It is", generation=1)
    transcript.add("agent", "Second", generation=2)
    transcript.finish("agent", 1)
    transcript.typed("and the date?")
    assert told(transcript) == [
        ("caller", "What time is it?"),
        ("agent", "It is"),
        ("agent", "Second"),
        ("caller", "and the date?"),
    ]


def test_the_order_is_kept_beyond_nine_turns() -> None:
    transcript = Transcript()
    for number in range(1, 13):
        transcript.typed(str(number))
    assert [text for _, text in told(transcript)] == [str(number) for number in range(1, 13)]


def test_the_history_of_an_interrupted_turn_is_what_was_heard() -> None:
    transcript = story()
    transcript.interrupt(0, 24_000, 72_000)
    assert told(transcript) == [("agent", "Once upon.")]


def test_a_turn_of_which_nothing_was_heard_is_no_history() -> None:
    transcript = story()
    transcript.interrupt(0, 0, 72_000)
    assert told(transcript) == []


@pytest.mark.parametrize(("through", "texts"), [(0, []), (1, ["one"]), (2, ["one", "two"]), (9, ["one", "two"])])
def test_the_history_of_the_first_turns_leaves_the_later_ones_out(through: int, texts: list[str]) -> None:
    transcript = Transcript()
    transcript.typed("one")
    transcript.add("caller", "two")
    assert [text for _, text in told(transcript, through)] == texts


def test_of_a_long_history_the_newest_turns_are_told() -> None:
    transcript = Transcript()
    length = MAX_HISTORY_CHARS // 4
    for letter in "abcdef":
        transcript.typed(letter * length)
    assert [text[0] for _, text in told(transcript)] == ["c", "d", "e", "f"]
    transcript.typed("g")
    assert [text[0] for _, text in told(transcript)] == ["d", "e", "f", "g"]


def test_of_a_newest_turn_that_is_too_long_by_itself_the_end_is_told() -> None:
    transcript = Transcript()
    transcript.typed("before")
    transcript.typed("a" * MAX_HISTORY_CHARS + "the question")
    [(speaker, text)] = told(transcript)
    assert (speaker, len(text)) == ("caller", MAX_HISTORY_CHARS)
    assert text.endswith("the question")


def test_telling_the_history_changes_nothing() -> None:
    transcript = Transcript()
    transcript.add("caller", "Hello ")
    assert told(transcript) == told(transcript)
    assert transcript.add("caller", "you") == CallerTranscribed("t1", 2, "Hello you", final=False)


# words that come once more


def test_words_that_come_again_replace_the_text_within_the_same_turn() -> None:
    transcript = Transcript()
    transcript.add("caller", "What ti")
    transcript.expect_again()
    assert transcript.add("caller", " What") == CallerTranscribed("t1", 2, "What", final=False)
    assert transcript.add("caller", " time?") == CallerTranscribed("t1", 3, "What time?", final=False)
    assert transcript.count == 1


def test_until_they_come_again_the_words_stand() -> None:
    transcript = Transcript()
    transcript.add("caller", "What ti")
    transcript.expect_again()
    assert told(transcript) == [("caller", "What ti")]
    assert transcript.add("caller", " ") is None
    assert told(transcript) == [("caller", "What ti")]
    assert transcript.finish("caller") == CallerTranscribed("t1", 2, "What ti", final=True)
    assert transcript.add("caller", "Next") == CallerTranscribed("t2", 1, "Next", final=False)


def test_only_the_open_turn_of_the_caller_comes_again() -> None:
    transcript = Transcript()
    transcript.expect_again()
    transcript.add("agent", "It is")
    transcript.expect_again()
    assert transcript.add("agent", " noon.") == AgentTranscribed("t1", 2, "It is noon.", final=False)
    assert transcript.add("caller", "Hello") == CallerTranscribed("t2", 1, "Hello", final=False)
    assert transcript.add("caller", " you") == CallerTranscribed("t2", 2, "Hello you", final=False)


SPEAKERS: st.SearchStrategy[Speaker] = st.sampled_from(("caller", "agent"))
WORDS = st.text("ab \n", min_size=1, max_size=6).filter(lambda text: bool(text.strip()))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SPEAKERS, WORDS, st.integers(0, 1000)),
        st.tuples(st.just("finish"), SPEAKERS, st.just(""), st.just(0)),
        st.tuples(st.just("typed"), st.just("caller"), WORDS, st.just(0)),
        st.tuples(st.just("interrupt"), st.just("agent"), st.just(""), st.integers(0, 10_000)),
    ),
    max_size=40,
)


def run(transcript: Transcript, steps: list[tuple[str, Speaker, str, int]]) -> list[Transcribed]:
    """Carry out the steps, then end both speakers' turns; return all revisions in order."""
    arrived = 0
    revisions: list[Transcribed | None] = []
    for step, speaker, text, samples in steps:
        if step == "add":
            revisions.append(transcript.add(speaker, text, arrived_samples=arrived))
            arrived += samples
        elif step == "finish":
            revisions.append(transcript.finish(speaker))
        elif step == "typed":
            revisions += transcript.typed(text)
        else:
            revisions.append(transcript.interrupt(0, samples, 10_000))
            arrived = 0
    revisions += [transcript.finish("caller"), transcript.finish("agent")]
    return [revision for revision in revisions if revision is not None]


@given(STEPS)
def test_one_final_revision_per_turn_and_nothing_after_it(steps: list[tuple[str, Speaker, str, int]]) -> None:
    transcript = Transcript()
    revisions = run(transcript, steps)
    by_turn: defaultdict[str, list[Transcribed]] = defaultdict(list)
    for revision in revisions:
        by_turn[revision.turn_id].append(revision)
    for turn in by_turn.values():
        assert [revision.revision for revision in turn] == list(range(1, len(turn) + 1))
        assert [revision.final for revision in turn] == [False] * (len(turn) - 1) + [True]
        assert len({type(revision) for revision in turn}) == 1
    assert [(turn.turn_id, turn.said) for turn in transcript.turns] == [
        (revision.turn_id, Spoken(speaker_of(revision), revision.text)) for revision in revisions if revision.final
    ]


@given(STEPS)
def test_no_word_is_lost_between_heard_and_unheard(steps: list[tuple[str, Speaker, str, int]]) -> None:
    transcript = Transcript()
    finals = [revision for revision in run(transcript, steps) if revision.final]
    for speaker in ("caller", "agent"):
        said = "".join(text for step, who, text, _ in steps if who == speaker and step in ("add", "typed"))
        kept = "".join(
            each.text + (each.unheard_text if isinstance(each, AgentTranscribed) else "")
            for each in finals
            if speaker_of(each) == speaker
        )
        assert "".join(kept.split()) == "".join(said.split())


@given(STEPS, st.integers(0, 40))
def test_the_history_holds_every_turn_once_and_in_order(
    steps: list[tuple[str, Speaker, str, int]], through: int
) -> None:
    transcript = Transcript()
    run(transcript, steps)
    by_number = sorted(transcript.turns, key=lambda turn: int(turn.turn_id[1:]))
    expected = [(turn.said.speaker, turn.said.text.strip()) for turn in by_number if turn.said.text]
    assert told(transcript) == told(transcript, transcript.count) == expected
    assert told(transcript, through) == [
        (turn.said.speaker, turn.said.text.strip()) for turn in by_number[:through] if turn.said.text
    ]


@given(st.lists(st.tuples(WORDS, st.integers(0, 1000)), min_size=1, max_size=20), st.integers(0, 20_000))
def test_who_hears_longer_hears_no_fewer_words(fragments: list[tuple[str, int]], heard_samples: int) -> None:
    heard: list[str] = []
    for samples in (heard_samples, heard_samples + 480):
        transcript, arrived = Transcript(), 0
        for text, voice in fragments:
            transcript.add("agent", text, arrived_samples=arrived)
            arrived += voice
        heard.append(final(transcript.interrupt(0, samples, arrived)).text)
    assert heard[1].startswith(heard[0])


def test_a_note_is_told_in_its_place_and_is_no_words_of_anybody() -> None:
    transcript = Transcript()
    transcript.typed("hello")
    transcript.note("[It rains.]")
    transcript.add("agent", "Hi.", generation=1)
    assert told(transcript) == [("caller", "hello"), ("caller", "[It rains.]"), ("agent", "Hi.")]
    assert [(turn.said.text, turn.said.noted) for turn in transcript.turns] == [
        ("hello", False),
        ("[It rains.]", True),
    ]
    assert told(transcript, 1) == [("caller", "hello")]


def test_a_restored_transcript_goes_on_counting() -> None:
    transcript = Transcript()
    transcript.restore(Spoken("caller", "hello"))
    transcript.restore(Spoken("agent", "Hi."))
    (typed,) = transcript.typed("and now?")
    assert (typed.turn_id, transcript.count) == ("t3", 3)
    transcript.add("agent", "Now", generation=1)
    transcript.typed("wait")
    assert [(turn.turn_id, turn.said.text) for turn in transcript.in_order()] == [
        ("t1", "hello"),
        ("t2", "Hi."),
        ("t3", "and now?"),
        ("t4", "Now"),
        ("t5", "wait"),
    ]


def test_what_was_written_was_read() -> None:
    transcript = Transcript()
    transcript.add("agent", "one two ", generation=1)
    cut = cut_off(transcript.interrupt(1, 0, 0, written=True))
    assert (cut.text, cut.unheard_text, cut.interrupted, cut.estimated) == ("one two", "", True, False)
