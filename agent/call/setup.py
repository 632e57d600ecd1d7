"""How the agent of one call is set up: its instructions, its tools, and how turns are detected. Pure.

A set-up is made once, with its call; a change of the agent replaces it as a whole (`AgentSetup.changed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.live.config import SessionSetup
from agent.settings import Settings
from agent.tools.declare import Tool
from agent.unicode import valid_text


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSetup:
    """The agent of one call.

    Attributes:
        settings: the service's settings, the same for all calls.
        instructions: the agent's system instruction.
        vad: how the caller's turns are detected, as in the setting of that name.
        tools: the tools that the model may call.
        greeting: what the agent says first; None lets the caller begin.
        announcement: what it says before that, also to callers who return and are not greeted; None for nothing.
    """

    settings: Settings
    instructions: str = field(repr=False)
    vad: str | None
    tools: tuple[Tool, ...] = ()
    greeting: str | None = field(default=None, repr=False)
    announcement: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        settings: Settings,
        tools: Sequence[Tool] = (),
        *,
        greeting: str | None = None,
        announcement: str | None = None,
        instruction: str = "",
        telephone: bool = False,
    ) -> AgentSetup:
        """Return the set-up of a call of this service.

        Args:
            settings: the service's settings.
            tools: the tools that the model may call.
            greeting: what the agent says first; None lets the caller begin.
            announcement: what it says before that, also to callers who return.
            instruction: an instruction for this call alone, appended to the service's own.
            telephone: whether the caller is on a telephone, where lines are noisy and turns cannot be marked.
        """
        instructions = settings.system_instruction
        return cls(
            settings=settings,
            instructions=f"{instructions}\n\n{valid_text(instruction)}" if instruction else instructions,
            vad="phone" if telephone and settings.vad in (None, "off") else settings.vad,
            tools=tuple(tools),
            greeting=greeting,
            announcement=announcement,
        )

    @property
    def marks_turns(self) -> bool:
        """True if only the caller's marks say where their speech begins and ends."""
        return self.vad == "off"

    def session(self) -> SessionSetup:
        """Return the part of it that a Live session needs."""
        declarations = tuple(tool.declaration() for tool in self.tools)
        return SessionSetup(self.settings, self.instructions, declarations, self.vad, agent=self)

    def changed(self, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> AgentSetup:
        """Return the set-up after a change; None leaves a value unchanged."""
        return replace(
            self,
            instructions=self.instructions if instructions is None else valid_text(instructions),
            tools=self.tools if tools is None else tuple(tools),
        )

    def with_settings(self, changes: Mapping[str, Any]) -> AgentSetup:
        """Return the set-up with other settings, by name."""
        return replace(self, settings=self.settings.model_copy(update=changes), vad=changes.get("vad", self.vad))
