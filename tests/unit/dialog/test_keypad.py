"""Keys become entries: the model is told once per entry, not once per key."""

from __future__ import annotations

from agent.dialog.asides import keys_entered
from agent.dialog.keypad import MAX_KEYS, Keypad


def test_a_hash_ends_an_entry() -> None:
    keypad = Keypad()
    assert [keypad.press(key) for key in "12#"] == [None, None, "12#"]
    assert keypad.pause() is None


def test_a_pause_ends_an_entry() -> None:
    keypad = Keypad()
    assert keypad.press("4") is None
    assert keypad.pause() == "4"
    assert keypad.press("2") is None
    assert keypad.pause() == "2"
    assert keypad.pressed == "42"


def test_a_key_that_sticks_fills_no_memory() -> None:
    keypad = Keypad()
    entries = [entry for entry in (keypad.press("7") for _ in range(1000)) if entry]
    assert {len(entry) for entry in entries} == {MAX_KEYS}
    assert len(keypad.pressed) == MAX_KEYS


def test_the_model_reads_single_keys() -> None:
    assert keys_entered("12#").endswith("1 2 #]")
