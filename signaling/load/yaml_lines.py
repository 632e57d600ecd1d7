"""YAML as plain values, with the line on which each of them stands. Pure.

Plain words are read as YAML 1.2 does: ``yes``, ``no``, ``on`` and ``0012`` are texts, as a caller says
or presses them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

MAX_CHARS = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 30

Path: TypeAlias = tuple[str | int, ...]
"Keys and indexes that lead from a document to a value."

_PLAIN = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?([0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18}|[0-9]{1,18}(?=[eE]))([eE][-+]?[0-9]{1,3})?")


class YamlError(Exception):
    """The text cannot be read.

    Args:
        line: where, from 1.
        reason: a sentence without its full stop.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Document:
    """One document of a file.

    Attributes:
        value: of dicts, lists, texts, numbers, truth values and None.
        lines: the line of each value, by its path.
    """

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int:
        """Return the line of a value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_documents(text: str) -> Iterator[Document]:
    """Yield the documents of a text; those that are empty are left out.

    Raises:
        YamlError: it is not YAML, or too large.
    """
    if len(text) > MAX_CHARS:
        raise YamlError(1, f"it is longer than {MAX_CHARS} characters")
    try:
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if node is not None and node.value != "":
                lines: dict[Path, int] = {}
                yield Document(_value(node, (), lines), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, f"it is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise YamlError(1, f"it is not YAML: {error}") from None
    except RecursionError:
        raise YamlError(1, "it is nested too deeply") from None


def _value(node: Any, path: Path, lines: dict[Path, int]) -> Any:
    """Return what a node holds. An alias is read again wherever it stands, so the number of values is limited."""
    line = node.start_mark.line + 1
    if len(lines) >= MAX_VALUES:
        raise YamlError(line, f"it holds more than {MAX_VALUES} values")
    if len(path) > MAX_DEPTH:
        raise YamlError(line, "it is nested too deeply")
    lines[path] = line
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    return node.value if node.style else _plain(node.value)


def _mapping(node: Any, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, item in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError(line, "a name must be a text")
        key = key_node.value
        if key in found:
            raise YamlError(line, f"{key!r} is there twice")
        found[key] = _value(item, (*path, key), lines)
        lines[(*path, key)] = line
    return found


def _plain(text: str) -> Any:
    if text in _PLAIN:
        return _PLAIN[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
