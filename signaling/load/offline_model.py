"""A scenario's rules as the offline model: what it says, which tools it calls, and when it stays silent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.emulator import CallFunction, HookedSession, Hooks, Moment, Reply, Say, ServerMessage, Turn
from signaling.load.scenario import Rule

_UNSAID = "[Not said by the caller."
_FIELD = re.compile(r"\{(\w+)\}")
_ENDINGS = ("generationComplete", "turnComplete")


class OfflineModel:
    """Answers by rules; what fits none is left to the demo model.

    Args:
        rules: asked in order; more may be added later.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = list(rules)
        self._taken: dict[int, int] = {}
        self.silenced = False
        "The rule that was taken last wants silence."

    def add(self, rule: Rule) -> None:
        """Ask another rule, after those before it."""
        self._rules.append(rule)

    def on_turn(self, turn: Turn) -> Reply | None:
        """Answer a turn; see `running_emulator`."""
        self.silenced = False
        for index, rule in enumerate(self._rules):
            if self._taken.get(index, 0) == rule.times or not _fits(rule, turn):
                continue
            self._taken[index] = self._taken.get(index, 0) + 1
            self.silenced = bool(rule.silent)
            return _reply(rule, turn)
        return None

    def hooks(self) -> Hooks:
        """Return what a session needs to be silent."""
        return _Silence(self)


class _Silence(Hooks):
    """Leaves a turn without its end, as a model that hangs does."""

    def __init__(self, model: OfflineModel) -> None:
        self._model = model
        self._silent = False

    def reply(self, session: HookedSession, turn: Turn, reply: Reply) -> Reply:
        self._silent = self._model.silenced
        return reply

    async def before_send(self, session: HookedSession, message: ServerMessage) -> ServerMessage | None:
        return None if self._silent and message.kind in _ENDINGS else message

    async def at(self, session: HookedSession, moment: Moment) -> None:
        if moment is Moment.TURN_STARTED:
            self._silent = False


def _fits(rule: Rule, turn: Turn) -> bool:
    if turn.unanswered:
        return False
    if turn.results:
        return rule.when_tool is not None and any(result.name == rule.when_tool for result in turn.results)
    words = turn.text or ""
    if rule.when_tool is not None or words.startswith(_UNSAID):
        return False  # the service's own requests, such as a greeting, are the demo model's
    return rule.when is None or re.search(rule.when, words, re.IGNORECASE) is not None


def _reply(rule: Rule, turn: Turn) -> Reply:
    parts: list[Say | CallFunction] = []
    if rule.say is not None:
        result = next((each.response for each in turn.results if each.name == rule.when_tool), {})
        parts.append(Say(_filled(rule.say, result)))
    if rule.call is not None:
        parts.append(CallFunction(rule.call.name, rule.call.arguments))
    return tuple(parts)


def _filled(text: str, response: Mapping[str, Any]) -> str:
    """Return a text with the fields of a tool's result in place of their names; others stay as they are."""
    value = response.get("output", response.get("result", response))
    fields = value if isinstance(value, Mapping) else {"result": value}
    return _FIELD.sub(lambda match: str(fields.get(match[1], match[0])), text)
