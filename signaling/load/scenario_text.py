"""A scenario file's text as scenarios; what is wrong with it is said with its line. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from agent.emulator.faults.script import parse_script
from agent.errors import ConfigError
from signaling.load.scenario import ACTS, Scenario, Step, impossible, without_lists
from signaling.load.yaml_lines import Document, Path, YamlError, read_documents

MAX_SCENARIOS = 200

_SAID = {
    "extra_forbidden": "there is no such field",
    "missing": "it is missing",
    "model_type": "must be a mapping of its fields",
    "dict_type": "must be a mapping of its fields",
    "tuple_type": "must be a list",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "string_type": "must be a text; put a number in quotes",
}


def parse_scenarios(text: str, source: str, *, name: str, folder: str = ".") -> tuple[Scenario, ...]:
    """Return the scenarios of a file, one for each YAML document.

    Args:
        text: of the file.
        source: what error messages call it.
        name: the name of a scenario that has none; further ones get a number.
        folder: where the files are that the scenarios name.

    Raises:
        ConfigError: it cannot be read; names each line that is wrong.
    """
    found: list[Scenario] = []
    try:
        for document in read_documents(text):
            if len(found) == MAX_SCENARIOS:
                raise ConfigError(f"{source}: there are more than {MAX_SCENARIOS} scenarios")
            usual = name if not found else f"{name}-{len(found) + 1}"
            found.append(_scenario(document, source, usual, folder))
    except YamlError as error:
        raise ConfigError(f"{source}, line {error.line}: {error.reason}") from None
    if not found:
        raise ConfigError(f"{source}: there is no scenario in it")
    names = [scenario.name for scenario in found]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise ConfigError(f"{source}: two scenarios are named {twice!r}")
    return tuple(found)


def _scenario(document: Document, source: str, name: str, folder: str) -> Scenario:
    wrong: list[tuple[int, str]] = []
    value = document.value
    if not isinstance(value, dict):
        raise ConfigError(f"{source}, line {document.line_of(())}: a scenario must be a mapping with steps")
    steps = list(_steps(document, value.get("steps"), wrong))
    wrong += impossible(steps)
    wrong += _faults_wrong(document, value.get("faults"))
    fields = {key: each for key, each in value.items() if key not in ("steps", "folder")}
    if "folder" in value:
        wrong.append((document.line_of(("folder",)), "folder: there is no such field"))
    if not wrong:
        try:
            return Scenario(**{"name": name, **without_lists(fields), "steps": tuple(steps), "folder": folder})
        except ValidationError as error:
            wrong += _complaints(error, document, ())
    lines = [f"{source}, line {line}: {what}" for line, what in sorted(wrong)]
    raise ConfigError("\n".join(lines))


def _steps(document: Document, steps: Any, wrong: list[tuple[int, str]]) -> Iterator[Step]:
    """Yield the steps; what is wrong with one is added to ``wrong``."""
    if not isinstance(steps, list) or not steps:
        wrong.append((document.line_of(("steps",)), "steps: must be a list of what the caller does"))
        return
    for index, value in enumerate(steps):
        path: Path = ("steps", index)
        line = document.line_of(path)
        entry = {value: None} if isinstance(value, str) else value
        if not isinstance(entry, dict) or len(entry) != 1:
            wrong.append((line, "a step must have one name, such as say: hello"))
            continue
        [(name, fields)] = entry.items()
        act = ACTS.get(name)
        if act is None:
            wrong.append((line, f"there is no step {name!r}; there are {', '.join(ACTS)}"))
            continue
        try:
            yield Step(name=name, act=act.model_validate(without_lists(fields)), line=line)
        except ValidationError as error:
            wrong += _complaints(error, document, (*path, name))


def _faults_wrong(document: Document, faults: Any) -> Iterator[tuple[int, str]]:
    for index, fault in enumerate(faults if isinstance(faults, list) else ()):
        try:
            parse_script(json.dumps(fault), "faults")
        except ConfigError as error:
            yield document.line_of(("faults", index)), str(error).replace("faults, line 1", "faults")


def _complaints(error: ValidationError, document: Document, at: Path) -> Iterator[tuple[int, str]]:
    for each in error.errors(include_url=False):
        path = (*at, *each["loc"])
        where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in path)
        said = _SAID.get(each["type"], each["msg"].removeprefix("Value error, "))
        yield document.line_of(path), f"{where}: {said}" if where else said
