"""Who decides that the caller is speaking: the voice level or the caller's marks, never both."""

from __future__ import annotations

import pytest

from agent.dialog.floor import Floor


def test_the_level_takes_the_floor_and_gives_it_up() -> None:
    floor = Floor(marked=False)
    assert [floor.level(speaking) for speaking in (False, True, True, False)] == [False, True, False, True]
    assert not floor.taken


def test_marks_take_the_floor_and_give_it_up() -> None:
    floor = Floor(marked=True)
    assert [floor.mark(starts) for starts in (False, True, True, False)] == [False, True, False, True]


@pytest.mark.parametrize("marked", [False, True])
def test_only_one_of_them_counts(marked: bool) -> None:
    floor = Floor(marked=marked)
    assert not (floor.level(True) if marked else floor.mark(True))
    assert not floor.taken
