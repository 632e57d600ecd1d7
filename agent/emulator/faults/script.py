"""Reads a fault script. Pure but for the file; docs/faults-script.md is its manual.

A script is JSON lines: one fault, one object, one line. Blank lines and lines that begin with ``#`` are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias, cast

from agent.emulator.faults.fields import shown
from agent.emulator.faults.kinds import FAULTS, Fault, rules
from agent.errors import ConfigError

FaultSource: TypeAlias = str | Path | Iterable[Fault]
"""The text of a script, a file that holds one, or faults made in Python."""


def load_faults(source: FaultSource) -> tuple[Fault, ...]:
    """The faults of a script.

    Raises:
        ConfigError: the file or a line of it cannot be read.
    """
    if isinstance(source, Path):
        try:
            return parse_script(source.read_text(encoding="utf-8"), str(source))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(f"cannot read the fault script {source}: {reason}") from error
    return parse_script(source) if isinstance(source, str) else tuple(source)


def parse_script(text: str, name: str = "fault script") -> tuple[Fault, ...]:
    """The faults in a script's text.

    Args:
        text: the script.
        name: what error messages call it.

    Raises:
        ConfigError: a line cannot be read; names the line, the field and what it may hold.
    """
    faults = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                faults.append(_parse_line(line))
            except ConfigError as error:
                raise ConfigError(f"{name}, line {number}: {error}") from None
    return tuple(faults)


def _parse_line(line: str) -> Fault:
    try:
        fields = json.loads(line)
        json.dumps(fields, ensure_ascii=False).encode()  # half a surrogate pair could not be sent
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise ConfigError(f"must be a JSON object with a field fault, not {shown(fields)}")
    name = fields.pop("fault", None)
    kind = FAULTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigError(f"fault must be one of {', '.join(FAULTS)}, not {shown(name)}")
    known = rules(kind)
    for field in fields:
        if field not in known:
            raise ConfigError(f"{kind.kind}: there is no field {shown(field)}; there are {', '.join(known)}")
    return cast("Callable[..., Fault]", kind)(**fields)
