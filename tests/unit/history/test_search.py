"""Which words are found: without a database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.history.search import MAX_WORDS, phrases_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 5 o'clock!", ["it", "s", "5", "o", "clock"]),
        ("Grüße aus dem CAFÉ", ["grusse", "aus", "dem", "cafe"]),
        ("cafe\u0301", ["cafe"]),  # the accent by itself
        ("Αθήνα Ёлка", ["αθηνα", "елка"]),
        ("\uff21\uff22\uff23 ﬁn ²", ["abc", "fin", "2"]),  # full width, ligature, superscript
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are no accents
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("がぎ", ["が", "ぎ"]),  # a different letter, not an accent
        ("ราคา", ["ร", "า", "ค", "า"]),
        ("서울 타워", ["서울", "타워"]),
        ("a_b-c/d.e@f", ["a", "b", "c", "d", "e", "f"]),
        ("", []),
        ("?! … 🙂", []),
    ],
)
def test_a_text_falls_into_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("query", "phrases"),
    [
        ("refund order", [["refund"], ["order"]]),
        ('"order number" 4711', [["order", "number"], ["4711"]]),
        ("foo-bar", [["foo", "bar"]]),
        ("東京", [["東", "京"]]),
        ("AND OR NOT *", [["and"], ["or"], ["not"]]),
        ('"', []),
        ('"half a quote', [["half"], ["a"], ["quote"]]),
        ("  ", []),
    ],
)
def test_a_query_falls_into_phrases(query: str, phrases: list[list[str]]) -> None:
    assert phrases_of(query) == phrases


@given(st.text())
def test_words_are_of_letters_marks_and_digits_only_and_stay_so(text: str) -> None:
    words = words_of(text)
    assert all(word and not set(word) & set(" \"'()*:^-+&|!<>\0") for word in words)
    assert words_of(" ".join(words)) == words


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_takes_a_shorter_way_to_the_same_words(text: str) -> None:
    assert words_of(text) == words_of(f"{text} \u00e9")[:-1]


@given(st.text(max_size=3000))
def test_a_query_is_bounded(query: str) -> None:
    assert sum(map(len, phrases_of(query))) <= MAX_WORDS


@given(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "Z"])))
def test_what_was_said_is_found_by_its_own_words(text: str) -> None:
    words = words_of(text)
    for phrase in phrases_of(text):
        assert any(words[at : at + len(phrase)] == phrase for at in range(len(words)))
