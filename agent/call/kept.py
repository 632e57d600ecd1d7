"""The state of a call that is worth keeping, as one small value from which another call can continue. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from agent.dialog.budget import Spent
from agent.dialog.prices import Direction
from agent.errors import ConfigError
from agent.spoken import Spoken
from agent.unicode import valid_json

DIRECTIONS: tuple[Direction, ...] = ("prompt", "response")
MAX_TURNS = 1000
MAX_KEPT_CHARS = 200_000  # in all turns together: ten times what a fresh session is told
MAX_TURN_CHARS = 64 << 10
MAX_MODEL_CHARS = 200
MAX_NAME_CHARS = 200
MAX_HANDLE_CHARS = 4096
MAX_OPEN_TOOLS = 100
HANDLE_LIFE_S = 90 * 60.0  # Google keeps handles for two hours after a session ends

Text = Annotated[str, Field(max_length=MAX_TURN_CHARS)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """A snapshot of a call. It contains what people said, so treat it as confidential.

    Attributes:
        version: the version of this format.
        kept_at: Unix time in seconds.
        model: the model that answered.
        turns: what was said, oldest first.
        instructions: the agent's instructions if they were changed during the call; None if they were not.
        open_tools: names of the tools that were still running.
        tokens: by direction and modality, as in `events.UsageReported`.
        cost_usd: what the tokens cost; None if the price was not known.
        handle: resumes the Live session, but only with the API key that it was made with; None if it cannot be
            resumed.
        signature: made by the service that issued this snapshot; None if it never left the process.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    kept_at: Annotated[float, Field(ge=0)]
    model: Annotated[str, Field(max_length=MAX_MODEL_CHARS)]
    turns: Annotated[tuple[Spoken, ...], Field(max_length=MAX_TURNS)] = field(repr=False)
    instructions: Text | None = field(default=None, repr=False)
    open_tools: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_NAME_CHARS)], ...], Field(max_length=MAX_OPEN_TOOLS)
    ] = ()
    tokens: Mapping[str, Mapping[str, Count]] = field(default_factory=dict)
    cost_usd: Annotated[float, Field(ge=0)] | None = None
    handle: Annotated[str, Field(max_length=MAX_HANDLE_CHARS)] | None = field(default=None, repr=False)
    signature: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        *,
        model: str,
        turns: Sequence[Spoken],
        instructions: str | None,
        open_tools: Sequence[str],
        spent: Spent,
        handle: str | None,
        now: float,
    ) -> KeptCall:
        """Return the snapshot of a call, shortened to what `read_kept` accepts.

        Args:
            model: the model that answers.
            turns: all turns, oldest first.
            instructions: the agent's instructions if they were changed during the call, cut to `MAX_TURN_CHARS`.
            open_tools: names of the running tools, which the model may have made up.
            spent: what the call has used and cost.
            handle: the handle of the newest Live session, left out if it is too long.
            now: Unix time in seconds.
        """
        return cls(
            kept_at=now,
            model=model[:MAX_MODEL_CHARS],
            turns=newest([replace(turn, text=turn.text[:MAX_TURN_CHARS]) for turn in turns]),
            instructions=None if instructions is None else instructions[:MAX_TURN_CHARS],
            open_tools=tuple(name[:MAX_NAME_CHARS] for name in open_tools[:MAX_OPEN_TOOLS]),
            tokens=spent.by_direction(),
            cost_usd=spent.usd,
            handle=handle if handle is not None and len(handle) <= MAX_HANDLE_CHARS else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values, which `read_kept` accepts."""
        return asdict(self)

    def fresh_handle(self, model: str, now: float) -> str | None:
        """Return the handle if it can be expected to work: the model is the same and the handle is recent.

        Args:
            model: the model that is to answer.
            now: Unix time in seconds.
        """
        return self.handle if model == self.model and 0 <= now - self.kept_at < HANDLE_LIFE_S else None

    def spent(self) -> Spent:
        """Return what the call had used and cost."""
        tokens = {
            (direction, modality): count
            for direction in DIRECTIONS
            for modality, count in self.tokens.get(direction, {}).items()
        }
        return Spent(Counter(tokens), None if self.cost_usd is None else Decimal(str(self.cost_usd)))


def newest(turns: Sequence[Spoken]) -> tuple[Spoken, ...]:
    """Return the newest turns, oldest first: at most `MAX_TURNS`, with `MAX_KEPT_CHARS` characters in all."""
    room, kept = MAX_KEPT_CHARS, []
    for turn in reversed(turns[-MAX_TURNS:]):
        room -= len(turn.text)
        if room < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


_ADAPTER = TypeAdapter(KeptCall)


def read_kept(value: object) -> KeptCall:
    """Check and read a kept call.

    Args:
        value: decoded JSON; untrusted.

    Raises:
        ConfigError: it is not a kept call; the message names the first error.
    """
    try:
        kept = _ADAPTER.validate_python(valid_json(value))
    except RecursionError:
        raise ConfigError("this is no call that was kept: it is nested too deeply") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(f"this is no call that was kept: {where}: {first['msg']}") from None
    for number, turn in enumerate(kept.turns):
        if len(turn.text) > MAX_TURN_CHARS:
            where = f"turns.{number}.text"
            raise ConfigError(
                f"this is no call that was kept: {where}: String should have at most {MAX_TURN_CHARS} characters"
            )
    return kept
