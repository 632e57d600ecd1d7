"""What callers say to "Shall I?", in their languages: only a clear yes is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialog.assent import Assent, assent

SAID: dict[Assent, tuple[str, ...]] = {
    "yes": (
        *(
            "yes",
            "Yes.",
            "YES!",
            "Yes, please.",
            "yeah",
            "Yep!",
            "y",
            "oh yes",
            "yes yes yes",
            "Uh, yeah.",
            "Well, yes",
        ),
        *("sure", "Sure, go ahead.", "of course", "Go ahead", "do it", "please do", "okay", "OK.", "Okay, yes."),
        *("all right then", "fine", "Perfect, yes please", "That\u2019s right", "I confirm", "Yes I'm sure"),
        *(
            "yes delete it",
            "Yes, book the table for two at seven.",
            "Yes, that's correct.",
            "absolutely",
            "confirm",
        ),
        *("Ja", "Ja, bitte.", "ja klar", "nat\u00fcrlich", "mach das", "gerne", "Ja, das stimmt.", "Jo"),
        *(
            "Oui",
            "oui, bien s\u00fbr",
            "D'accord.",
            "D\u2019accord",
            "S\u00ed",
            "s\u00ed, por favor",
            "claro que s\u00ed",
            "vale",
        ),
        *(
            "S\u00ec",
            "va bene",
            "Sim",
            "com certeza",
            "ja graag",
            "Ja tack",
            "Kyll\u00e4",
            "Tak",
            "tak, prosz\u0119",
            "Ano",
        ),
        *("Да", "да, конечно", "Evet", "Ναι", "نعم", "כן", "हाँ", "Igen", "Da", "Vâng", "ya", "네", "네, 좋아요."),
        *("はい", "はい、お願いします。", "うん", "是的", "好", "好的，没问题", "可以", "ใช่ครับ"),
    ),
    "no": (
        *(
            "no",
            "No.",
            "no thanks",
            "Nope",
            "not now",
            "don't",
            "Please don\u2019t do that",
            "never mind",
            "cancel",
            "stop",
        ),
        *(
            "yes, no, wait",
            "Yes, but not today",
            "Yes... actually no",
            "yeah no",
            "I'm not sure",
            "I don't know",
            "not really",
        ),
        *(
            "nein",
            "Nein danke",
            "Lieber nicht",
            "non",
            "non merci",
            "no, gracias",
            "n\u00e3o",
            "nee",
            "nej tack",
            "nie",
            "ei",
        ),
        *("нет", "не надо", "hayır", "لا", "nu", "nem", "アい。いいえ", "不", "不是", "不要", "没有", "아니요"),
    ),
    "doubt": (
        *(
            "What's the weather?",
            "What is the weather in Paris",
            "maybe",
            "Perhaps",
            "I guess so",
            "Yes?",
            "hold on",
        ),
        *(
            "yes, maybe later",
            "Ja, aber später",
            "oui mais plus tard",
            "ok but wait",
            "yes if it is free",
            "sí, pero espera",
        ),
        *(
            "vielleicht",
            "Was kostet das?",
            "quizás",
            "warte mal",
            "how much is it",
            "是吗？",
            "Yes, what time is it",
        ),
        *("Right, and what time is it", "Könnten Sie das wiederholen?", "да, но потом", "はい、でも"),
        "yes " + "and so on and so forth " * 4,
        "yes " + "x " * 1000,
    ),
    "other": (
        *(
            "",
            " ",
            "...",
            "hmm",
            "uh",
            "mhm",
            "yesterday I went to Rome",
            "tell me a story",
            "I like trains",
            "Hello",
        ),
        *(
            "okay tell me about the weather",
            'call open_door {"number": 3}',
            "the other one",
            "videos",
            "nobody",
            "42",
        ),
    ),
}


@pytest.mark.parametrize(("text", "meant"), [(text, meant) for meant, texts in SAID.items() for text in texts])
def test_what_is_said_is_taken_for_what_it_is(text: str, meant: Assent) -> None:
    assert assent(text) == meant


@given(st.text(max_size=200))
def test_any_text_is_one_of_them(text: str) -> None:
    assert assent(text) in SAID


@given(
    st.sampled_from(SAID["yes"][:20]), st.sampled_from(["no", "but wait", "not", "later", "?", " maybe", "nein"])
)
def test_a_yes_that_is_taken_back_is_none(yes: str, back: str) -> None:
    assert assent(f"{yes} {back}") != "yes"
    assert assent(f"{back} {yes}") != "yes"
