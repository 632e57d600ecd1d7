"""What the model is told of a call beside what is said in it: who to be, what to know, what there is to see."""

from __future__ import annotations

from collections.abc import Sequence

from agent.call.kept import KeptCall
from agent.call.tool_calls import ToolCalls
from agent.clock import Clock
from agent.dialog.asides import Role, context_note
from agent.dialog.transcript import Transcript
from agent.live.link import LiveLink
from agent.live.uplink import Note
from agent.media.video import Eye
from agent.picture import Shown
from agent.tools.declare import Tool
from agent.unicode import valid_text

SHOWN_S = 3.0  # without a packet of it, a camera or screen counts as off


class Briefing:
    """Brief the model of one call; what was told once survives the sessions that it was told to.

    Args:
        live: leads to the model.
        transcript: of the call; notes are part of what a fresh session is told.
        tools: of the call.
        eyes: where the caller is seen; read whenever there is something to look at.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        live: LiveLink,
        transcript: Transcript,
        tools: ToolCalls,
        eyes: Sequence[Eye],
        *,
        clock: Clock,
    ) -> None:
        self.instructions: str | None = None
        "What the agent was told to be in the course of the call; None if that is as it was set up."
        self._live = live
        self._transcript = transcript
        self._tools = tools
        self._eyes = eyes
        self._clock = clock
        self._shown: dict[str, Shown] = {}  # the newest picture by source
        self._before: tuple[str | None, list[Tool]] | None = (
            None  # what the agent was when a session was last set up
        )

    def change_agent(self, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Have the agent be somebody else from now on: in this session if the model can, else in another one.

        Args:
            instructions: what it is told to be; None leaves it.
            tools: what it may call, in place of all that it could; None leaves them.

        Raises:
            LiveLost: the Live server has stopped reading.
        """
        if self._before is None:
            self._before = (self.instructions, self._tools.offered)
        if instructions is not None:
            self.instructions = instructions = valid_text(instructions)
        if tools is not None:
            self._tools.replace(tools)
        declarations = None if tools is None else [tool.declaration() for tool in tools]
        self._live.change_agent(instructions, declarations)

    def change_confirmed(self) -> None:
        """Note that a session was set up with the agent as it is."""
        self._before = None

    def undo_change(self) -> None:
        """Have the agent be what it was when a session was last set up: the Live server refuses what it is now."""
        if self._before is not None:
            self.instructions, tools = self._before
            self._tools.replace(tools)
            self._before = None

    def note(self, text: str, role: Role = "system", *, run_immediately: bool = False) -> Note:
        """Make something part of the history that is not part of the transcript; return what to tell the model.

        Args:
            text: what it is.
            role: whose words they are: the caller's (``user``), its own (``assistant``), nobody's (``system``).
            run_immediately: it is to answer now.
        """
        told = context_note(valid_text(text), role)
        self._transcript.note(told)
        return Note(told, wants_reply=run_immediately)

    def restore(self, kept: KeptCall) -> Note | None:
        """Go on from an earlier call, with its instructions; whatever ran there has no result here.

        Returns:
            What the model is to be told of that; None if nothing ran.
        """
        self._before = (None, self._tools.offered)
        self.instructions = kept.instructions
        if not kept.open_tools:
            return None
        return self.note(f"These tools were cut off and have no result: {', '.join(kept.open_tools)}.")

    def saw(self, shown: Shown) -> None:
        """Keep the newest picture of a source."""
        self._shown[shown.source] = shown

    def pictures(self, source: str | None = None) -> list[Shown]:
        """Return the newest picture of a source that is on, or of each."""
        off = {eye.name for eye in self._eyes if self._clock() - eye.stats.packet_at > SHOWN_S}
        return [shown for name, shown in self._shown.items() if source in (None, name) and name not in off]

    def look_again(self, source: str | None = None) -> list[str]:
        """Send the next picture of a source, or of each, even if it looks like the last; return which are on."""
        found = [eye for eye in self._eyes if source in (None, eye.name)]
        on = [eye for eye in found if self._clock() - eye.stats.packet_at <= SHOWN_S]
        for eye in on:
            eye.forget()
        return [eye.name for eye in on]
