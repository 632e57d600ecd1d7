"""An agent's file: whatever is wrong with it, or with the functions in it, is said as a ConfigError.

It is the operator's own code and is run; so there is nothing in the corpus that touches the machine.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from agent import Agent
from agent.author.load import load_agent
from agent.errors import ConfigError
from agent.settings import Settings
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target

GENERAL = Settings.model_construct()


@contextmanager
def fresh() -> Iterator[Take]:
    before = [*sys.path]
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        path = Path(folder) / "mine.py"

        def take(data: bytes) -> object:
            path.write_bytes(data)
            agent = load_agent(str(path), [path] if data.endswith(b"#") else [], Agent())
            agent.settings(GENERAL)
            return tuple(sorted(tool.name for tool in agent.declared_tools()))[:5], agent.greeting is None

        try:
            yield take
        finally:
            sys.path[:] = before


def files() -> list[Pieces]:
    whole = b'''"""An agent."""
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Callable, Literal, NamedTuple, Optional, TypedDict, TypeVar, Union
from uuid import UUID
from pydantic import BaseModel, Field
from agent import Agent, tool
T = TypeVar("T")
class Size(Enum):
    SMALL = "s"
    LARGE = 2
class Point(NamedTuple):
    x: int
    y: float = 0.5
class Options(TypedDict, total=False):
    size: Size
    tags: list[str]
@dataclass
class Order:
    name: str
    sizes: dict[str, Size]
class Guest(BaseModel):
    name: Annotated[str, Field(max_length=20, pattern="^[a-z]+$")]
    age: int | None = None
    friends: "list[str]" = []
async def order(what: Order, when: date, options: Options) -> str:
    """Order something.

    Args:
        what: the order.
        when: the day.
    """
    return "ok"
def find(query: str = "x", *, limit: Literal[1, 2, "all"] = 1, point: Point = Point(1)) -> list[dict[str, Any]]:
    """Find."""
    return []
@tool(timeout_s=5)
def invite(guest: Guest, others: tuple[int, ...] = (), at: Optional[time] = None, how: Union[int, str] = 3):
    """Invite somebody."""
    return None
def plain(*names: str, **rest: float): "all"
def started(call): pass
async def heard(call, what): pass
agent = Agent(
    instructions="Be brief.",
    voice="Kore",
    greeting="Hello",
    tools=[order, find, invite],
    on_call_started=started,
    on_transcript=heard,
)
'''
    return [whole.split(b"\n"), [*whole.split(b"\n"), b"raise SystemExit", b"#"]]


TARGET = Target(
    "agent-file",
    "lines",
    fresh,
    expected=(ConfigError,),
    more=files,
    joined=b"\n",
    max_bytes=8 << 10,
    quick=60,
    limit_s=1.0,  # it is read once, when the service starts; and imports take their time
)
