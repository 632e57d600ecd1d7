"""How the agent of one call is set up: who it is, what it may do, how its turns are found. Pure.

Made once per call, when the call is; a change of the agent replaces it as a whole (`AgentSetup.changed`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.live.config import SessionSetup
from agent.settings import Settings
from agent.tools.declare import Tool
from agent.unicode import valid_text


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSetup:
    """The agent of one call.

    Attributes:
        settings: the service's settings, the same for all calls.
        instructions: what the agent is told to be.
        vad: who finds the caller's turns, as in the setting of that name.
        tools: what the model may call.
        greeting: what the agent says first; None lets the caller begin.
    """

    settings: Settings
    instructions: str = field(repr=False)
    vad: str | None
    tools: tuple[Tool, ...] = ()
    greeting: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        settings: Settings,
        tools: Sequence[Tool] = (),
        *,
        greeting: str | None = None,
        instruction: str = "",
        telephone: bool = False,
    ) -> AgentSetup:
        """Return the set-up of a call of this service.

        Args:
            settings: the service's settings.
            tools: what the model may call.
            greeting: what the agent says first; None lets the caller begin.
            instruction: of this call, added to the service's own.
            telephone: the caller has one: the line is noisy, and nobody there can mark where speech begins.
        """
        instructions = settings.system_instruction
        return cls(
            settings=settings,
            instructions=f"{instructions}\n\n{valid_text(instruction)}" if instruction else instructions,
            vad="phone" if telephone and settings.vad in (None, "off") else settings.vad,
            tools=tuple(tools),
            greeting=greeting,
        )

    @property
    def marks_turns(self) -> bool:
        """True if only the caller says where they begin and end to speak."""
        return self.vad == "off"

    def session(self) -> SessionSetup:
        """Return what a Live session has to know of it."""
        declarations = tuple(tool.declaration() for tool in self.tools)
        return SessionSetup(self.settings, self.instructions, declarations, self.vad, agent=self)

    def changed(self, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> AgentSetup:
        """Return what the agent is after a change; None leaves what is there."""
        return replace(
            self,
            instructions=self.instructions if instructions is None else valid_text(instructions),
            tools=self.tools if tools is None else tuple(tools),
        )
