"""What of a call is worth keeping, as one small value: with it another call goes on where this one was. Pure."""

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
MAX_KEPT_CHARS = 200_000  # of all turns: ten times what a fresh session is told
MAX_TURN_CHARS = 64 << 10
MAX_MODEL_CHARS = 200
MAX_NAME_CHARS = 200
MAX_HANDLE_CHARS = 4096
MAX_OPEN_TOOLS = 100
HANDLE_LIFE_S = 90 * 60.0  # Google keeps them for two hours after a session

Text = Annotated[str, Field(max_length=MAX_TURN_CHARS)]
Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCall:
    """A call at a moment. It holds what people said: treat it as such.

    Attributes:
        version: of this shape.
        kept_at: Unix time in seconds.
        model: who answered.
        turns: what was said, oldest first.
        instructions: what the agent was told to be in the course of the call; None if that is as it was set up.
        open_tools: names of the tools that ran.
        tokens: by direction and modality, as in `events.UsageReported`.
        cost_usd: what they cost; None if the price was not known.
        handle: resumes the Live session, for whoever has the API key that it was made with; None if it cannot be.
        signature: of the service that gave it out; None if it did not leave the process.
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
        """Return what is kept of a call: as much as `read_kept` takes back.

        Args:
            model: who answers.
            turns: all of them, oldest first.
            instructions: what the agent was told to be in the course of the call; of longer ones what fits is kept.
            open_tools: names of the tools that run; the model may have made them up.
            spent: what the call took.
            handle: of the newest Live session; one that is too long is left out.
            now: Unix time in seconds.
        """
        return cls(
            kept_at=now,
            model=model[:MAX_MODEL_CHARS],
            turns=newest([replace(turn, text=turn.text[:MAX_TURN_CHARS]) for turn in turns]),
            instructions=None if instructions is None else instructions[:MAX_TURN_CHARS],
            open_tools=tuple(name[:MAX_NAME_CHARS] for name in open_tools[:MAX_OPEN_TOOLS]),
            tokens=spent.by_direction(),
            cost_usd=None if spent.cost_usd is None else float(spent.cost_usd),
            handle=handle if handle is not None and len(handle) <= MAX_HANDLE_CHARS else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold; `read_kept` takes it back."""
        return asdict(self)

    def fresh_handle(self, model: str, now: float) -> str | None:
        """Return the handle if it can be expected to work: for the same model, and not for long.

        Args:
            model: who is to answer.
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
    """Return the newest turns, `MAX_TURNS` and `MAX_KEPT_CHARS` in all at most, oldest first."""
    room, kept = MAX_KEPT_CHARS, []
    for turn in reversed(turns[-MAX_TURNS:]):
        room -= len(turn.text)
        if room < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


_ADAPTER = TypeAdapter(KeptCall)


def read_kept(value: object) -> KeptCall:
    """Check what claims to be a kept call: untrusted.

    Args:
        value: as JSON was read.

    Raises:
        ConfigError: it is none; the message names the first thing that is wrong.
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
