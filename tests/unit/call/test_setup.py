"""How the agent of a call is set up, and what a Live session is told of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from agent.call.setup import AgentSetup
from agent.settings import Settings
from agent.tools.declare import Tool

SETTINGS = Settings(system_instruction="Be kind.")
LOOK = Tool("look", "Look.", {}, lambda: None)
SELL = Tool("sell", "Sell.", {}, lambda: None)


@pytest.mark.parametrize(
    ("vad", "telephone", "expected"),
    [
        (None, False, None),
        (None, True, "phone"),
        ("off", False, "off"),
        ("off", True, "phone"),  # nobody there can mark turns
        ("low", True, "low"),
        ("phone", False, "phone"),
    ],
)
def test_a_telephone_finds_turns_in_a_way_of_its_own(vad: Any, telephone: bool, expected: str | None) -> None:
    setup = AgentSetup.of(Settings(vad=vad), telephone=telephone)
    assert setup.vad == setup.session().vad == expected
    assert setup.marks_turns == (expected == "off")
    assert setup.settings.vad == vad  # the service's own stay


def test_an_instruction_of_the_call_is_added_to_the_services() -> None:
    assert AgentSetup.of(SETTINGS).instructions == "Be kind."
    setup = AgentSetup.of(SETTINGS, (LOOK,), instruction="This call is by telephone.\ud800")
    assert setup.instructions == "Be kind.\n\nThis call is by telephone.\N{REPLACEMENT CHARACTER}"
    session = setup.session()
    assert session.instructions == setup.instructions
    assert [declared["name"] for declared in session.declarations] == ["look"]


def test_a_change_leaves_what_it_does_not_name_and_the_setup_as_it_was() -> None:
    setup = AgentSetup.of(SETTINGS, (LOOK,), greeting="Hi.")
    seller = setup.changed("You sell boats.", [SELL])
    assert (seller.instructions, seller.tools, seller.greeting) == ("You sell boats.", (SELL,), "Hi.")
    assert setup.changed("You sell boats.").tools == (LOOK,)
    assert setup.changed(tools=[]).instructions == "Be kind."
    assert setup.changed() == setup
    with pytest.raises(dataclasses.FrozenInstanceError):
        setup.greeting = "Ho."  # type: ignore[misc]
