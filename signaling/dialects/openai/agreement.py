"""The session of one client: what it asked for, as far as it may have it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from agent.author.agent import check_names
from agent.clock import monotonic
from agent.errors import ConfigError
from agent.tools.declare import Tool
from signaling.dialects.openai.functions import ClientFunctions
from signaling.dialects.openai.items import Json
from signaling.dialects.openai.session import Objection, SessionWish, WishedTool, session_object
from signaling.dialects.openai.told import Told
from signaling.webrtc.client_leg import ClientLeg

MARKS = Objection(
    "audio.input.turn_detection",
    "turn detection cannot be switched on or off in a running call: send it with the offer or in the client secret",
)


class Agreement:
    """Changes the agent of a call as its client asks, if the operator lets clients do so.

    What came with the offer, or in the client secret, was checked then.

    Args:
        leg: the call.
        told: what the client was told.
        functions: the functions that run in the client.
    """

    def __init__(self, leg: ClientLeg, told: Told, functions: ClientFunctions) -> None:
        self._leg = leg
        self._call = leg.call
        self._told = told
        self._functions = functions
        self._instructions: str | None = None  # those that the client gave
        self._tools: tuple[WishedTool, ...] = ()
        granted = leg.wish if isinstance(leg.wish, SessionWish) else SessionWish()
        if granted.transcribes is not None:
            told.caller.transcribes = granted.transcribes
        self._refused: list[Objection] = []  # of what was granted
        if granted.tools:  # they take effect now: only over the channel can they be called
            tools, self._refused = self._declared(granted.tools)
            self._call.change_agent(None, tools)
        self._granted: tuple[WishedTool, ...] = self._tools

    def begin(self) -> list[Json]:
        """Return the server events that begin the session."""
        created = self._told.wire.event("session.created", session=self.session())
        return [created, *self._errors(self._refused, None)]

    def session(self) -> Json:
        """Return the session as the client is told it."""
        return session_object(
            self._call.call_id,
            self._call.sessions.agent.settings,
            instructions=self._instructions,
            tools=self._tools,
            transcribes=self._told.caller.transcribes,
        )

    def update(self, wish: SessionWish, event_id: str | None) -> list[Json]:
        """Carry out what the client may have of a wish; return the server events that follow.

        Raises:
            TooFastError: the client changes too much; nothing was changed.
        """
        wish, objections = self._allowed(wish)
        characters = len(wish.instructions or "") + sum(map(_length, wish.tools or ()))
        self._leg.rates.take(monotonic(), notes=int(wish.changes_agent), characters=characters)
        if wish.transcribes is not None:
            self._told.caller.transcribes = wish.transcribes
        tools = None
        if wish.tools is not None:
            tools, refused = self._declared(wish.tools)
            objections += refused
        if wish.instructions is not None or tools is not None:
            self._call.change_agent(wish.instructions, tools)
            self._instructions = wish.instructions or self._instructions
        if wish.settings:
            self._call.sessions.change_settings(wish.settings)
        updated = self._told.wire.event("session.updated", session=self.session())
        return [*self._errors(objections, event_id), updated]

    def _errors(self, objections: Sequence[Objection], event_id: str | None) -> list[Json]:
        return [
            self._told.wire.error(each.code, each.words, param=f"session.{each.param}", event_id=event_id)
            for each in objections
        ]

    def _allowed(self, wish: SessionWish) -> tuple[SessionWish, list[Objection]]:
        """Return the part of a wish that is new and may be had, and objections to the rest."""
        objections = list(wish.objections)
        known = self._call.sessions.agent.settings
        settings = {name: value for name, value in wish.settings.items() if getattr(known, name) != value}
        if "vad" in settings and "off" in (settings["vad"], known.vad):
            del settings["vad"]
            objections.append(MARKS)
        new = replace(
            wish,
            instructions=None if wish.instructions == self._instructions else wish.instructions,
            tools=None if wish.tools == self._tools else wish.tools,
            settings=settings,
        )
        if self._call.client_may_instruct:
            return new, objections
        granted = {tool.name for tool in self._granted}
        if all(tool.name in granted for tool in new.tools or ()):
            new = replace(new, tools=None)  # the backend granted these functions, and declared them as it wants
        instructs = new.instructs()
        if instructs:
            words = "the operator does not let clients decide this: see the setting client_may_instruct"
            objections.append(Objection(instructs[0], f"{', '.join(instructs)}: {words}", "not_allowed"))
        return SessionWish(transcribes=new.transcribes), objections

    def _declared(self, wished: tuple[WishedTool, ...]) -> tuple[list[Tool], list[Objection]]:
        """Return all tools of the call, with those of the client's functions that can be declared to the model."""
        former = {tool.name for tool in self._tools}
        tools = [tool for tool in self._call.sessions.agent.tools if tool.name not in former]
        accepted: list[WishedTool] = []
        objections: list[Objection] = []
        for number, each in enumerate(wished):
            try:
                tool = self._functions.tool(each)
                check_names([*tools, tool])
            except ConfigError as error:
                objections.append(Objection(f"tools[{number}]", str(error)))
            else:
                tools.append(tool)
                accepted.append(each)
        self._tools = tuple(accepted)
        return tools, objections


def _length(tool: WishedTool) -> int:
    return len(tool.name) + len(tool.description) + len(json.dumps(dict(tool.parameters)))
