"""The same in Python: `pytest --talkspurt --talkspurt-agent restaurant.py` in this folder."""

from typing import Any


def test_a_table_is_booked(call: Any, emulator: Any) -> None:
    emulator.answers(when="table for", call={"name": "book_table", "arguments": {"guests": 2, "hour": 20}})
    emulator.answers(when_tool="book_table", say="You have table {table}.")
    call.say("A table for two at eight, please.")
    call.expect(tool={"name": "book_table", "arguments": {"guests": 2}}, heard="table 5")
    assert "You have" in call.heard
