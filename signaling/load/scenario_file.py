"""Reads scenario files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.errors import ConfigError
from signaling.load.scenario import Scenario
from signaling.load.scenario_text import parse_scenarios
from signaling.load.yaml_lines import MAX_CHARS

SUFFIXES = (".yaml", ".yml")


def load_scenarios(paths: Iterable[Path]) -> tuple[Scenario, ...]:
    """Return the scenarios of files and folders, in their order; those of a folder by its files' names.

    Raises:
        ConfigError: one of them cannot be read; names the file and the lines.
    """
    found: list[Scenario] = []
    for path in paths:
        files = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES) if path.is_dir() else [path]
        if not files:
            raise ConfigError(f"{path}: there is no scenario in this folder; their names end in .yaml")
        for file in files:
            found += parse_scenarios(_read(file), str(file), name=file.stem, folder=str(file.parent))
    return tuple(found)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CHARS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"cannot read the scenario {path}: {reason}") from None
