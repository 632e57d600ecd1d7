"""What has happened in a scenario's calls, as its caller knows it. Pure: times are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from signaling.load.ears import Ears

MAX_MESSAGES = 50_000
QUIET_S = 0.4
"An answer is over once the agent listens again and has not been audible for so long."


@dataclass(slots=True)
class Exchange:
    """What the caller last said or did, and all that follows until the caller says or does something else.

    Attributes:
        began: when it began, in monotonic seconds.
        until: when the caller had finished; None meanwhile.
        messages: how many messages had come before.
        cut_in: whether the caller spoke into an answer.
    """

    began: float
    until: float | None
    messages: int
    cut_in: bool = False


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call of a tool.

    Attributes:
        name: of the tool; None if the service does not tell.
        arguments: None if the service does not tell.
        outcome: None while it runs, and if the service does not tell.
        over: it runs no longer.
    """

    name: str | None
    arguments: Mapping[str, Any] | None
    outcome: str | None
    over: bool


@dataclass(frozen=True, slots=True)
class Message:
    """An RTVI message.

    Attributes:
        at: when it came, in monotonic seconds.
        call: in which call of the scenario, from 0.
        kind: its type; of a server-message its own.
        data: what it says.
    """

    at: float
    call: int
    kind: str
    data: Mapping[str, Any]


@dataclass(slots=True)
class Seen:
    """Everything so far."""

    exchange: Exchange
    ears: Ears = field(default_factory=Ears)
    messages: list[Message] = field(default_factory=list)
    call: int = 0
    lost: bool = False
    "The connection is gone."
    said: list[str] = field(default_factory=list)
    "What the caller has said aloud, as far as it is text."

    def note(self, message: Mapping[str, Any], now: float) -> None:
        """Take an RTVI message; of too many the newest are dropped, but not the last."""
        data = message.get("data") or {}
        kind = str(message.get("type", ""))
        if kind == "server-message":
            kind = str(data.get("type", ""))
        if len(self.messages) < MAX_MESSAGES or kind == "call-ended":
            self.messages.append(Message(now, self.call, kind, data))

    def since(self, first: int | None = None) -> list[Message]:
        """Return the messages of this exchange, or those from an index on."""
        return self.messages[self.exchange.messages if first is None else first :]

    def of_kind(self, kind: str, first: int | None = None) -> Iterator[Message]:
        """Yield the messages of a type, of this exchange or from an index on."""
        return (message for message in self.since(first) if message.kind == kind)

    def reply_from(self, now: float) -> float | None:
        """Return when the answer became audible; what the caller spoke into is not the answer."""
        exchange = self.exchange
        if exchange.until is None:
            return None
        before = self.ears.stopped_after(exchange.began, now) if exchange.cut_in else exchange.until
        return None if before is None else self.ears.onset_after(max(before, exchange.until))

    def listens(self) -> bool:
        """Tell whether the agent waits for the caller, as far as it tells."""
        state = next((each for each in reversed(self.messages) if each.kind == "agent-state"), None)
        return state is None or state.data.get("state") == "listening"

    def is_over(self, now: float) -> bool:
        """Tell whether the answer has come, and is over."""
        return self.reply_from(now) is not None and self.listens() and self.ears.quiet_s(now) >= QUIET_S

    def ended(self) -> Mapping[str, Any] | None:
        """Return how the service ended the present call; None while it lasts."""
        found = next((each for each in self.messages if each.kind == "call-ended" and each.call == self.call), None)
        if found is not None:
            return found.data
        return {"reason": "connection_lost", "detail": "The connection was lost."} if self.lost else None

    def agent_words(self) -> str:
        """Return what the agent has said in this exchange, as it was heard."""
        before = {(each.call, each.data.get("segment_id")) for each in self._before("bot-output")}
        turns = {
            (each.call, each.data.get("segment_id")): str(each.data.get("text", ""))
            for each in self.of_kind("bot-output")
        }
        return " ".join(text for key, text in turns.items() if key not in before)

    def caller_words(self, first: int | None = None, *, spoken: bool = False) -> str:
        """Return the transcript of the caller, of this exchange or from an index on.

        Args:
            first: the index of a message.
            spoken: leave out what was typed.
        """
        turns = {
            (each.call, each.data.get("turn_id")): str(each.data.get("text", ""))
            for each in self.of_kind("user-transcription", first)
            if not (spoken and each.data.get("typed"))
        }
        return " ".join(turns.values())

    def tools(self) -> list[ToolRun]:
        """Return the calls of tools in this exchange."""
        stopped = {
            (each.call, each.data.get("tool_call_id")): each for each in self.of_kind("llm-function-call-stopped")
        }
        found = []
        for each in self.of_kind("llm-function-call-in-progress"):
            end = stopped.get((each.call, each.data.get("tool_call_id")))
            data = {} if end is None else end.data
            outcome = "cancelled" if data.get("cancelled") else data.get("outcome")
            found.append(
                ToolRun(each.data.get("function_name"), each.data.get("arguments"), outcome, end is not None)
            )
        return found

    def turns(self) -> tuple[int, int]:
        """Return how many turns agent and caller have had in the whole scenario."""
        agent = {(each.call, each.data.get("segment_id")) for each in self.of_kind("bot-output", 0)}
        caller = {(each.call, each.data.get("turn_id")) for each in self.of_kind("user-transcription", 0)}
        return len(agent), len(caller)

    def cost_usd(self) -> tuple[bool, float | None]:
        """Return whether the service has told the cost, and the cost of all calls; None if no price is known."""
        newest = {each.call: each.data.get("cost_usd") for each in self.of_kind("usage-reported", 0)}
        costs = [float(cost) for cost in newest.values() if cost is not None]
        return bool(newest), sum(costs) if len(costs) == len(newest) else None

    def _before(self, kind: str) -> Iterator[Message]:
        return (message for message in self.messages[: self.exchange.messages] if message.kind == kind)
