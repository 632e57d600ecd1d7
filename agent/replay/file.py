"""Capture files: gzipped JSON lines, beginning with the header. They contain what people said.

If a file's writer was killed, the file may end anywhere; all complete lines are read.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from agent.errors import ConfigError
from agent.replay.encode import FORMAT, Line

SUFFIX = ".capture.gz"
END = "end"
"""The kind of the last line, which also says whether the capture is complete."""
MAX_LINES = 5_000_000
MAX_LINE_CHARS = 32 << 20


@dataclass(frozen=True, slots=True)
class Captured:
    """A capture read from a file.

    Attributes:
        header: see `agent.replay.encode.header_of`.
        lines: the notes, in order.
        whole: True if nothing is missing at the end.
    """

    header: dict[str, Any]
    lines: list[Line]
    whole: bool


def create(path: Path) -> TextIO:
    """Create a file that only its owner may read.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return gzip.open(path, "wt", compresslevel=1, encoding="utf-8")


def line(told: dict[str, Any] | Line) -> str:
    """Return one line of a file."""
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True) + "\n"


def save(path: Path, header: dict[str, Any], lines: Sequence[Line]) -> None:
    """Write a whole capture.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    with create(path) as file:
        file.write(line(header))
        for each in lines:
            file.write(line(each))
        file.write(line([0, END, True]))


def read(path: Path) -> Captured:
    """Read a capture.

    Raises:
        ConfigError: the file is not a capture.
    """
    header: dict[str, Any] | None = None
    lines: list[Line] = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            while len(lines) < MAX_LINES and (text := file.readline(MAX_LINE_CHARS)):
                told = json.loads(text)
                if header is None:
                    header = _header(told, path)
                elif told[1] == END:
                    return Captured(header, lines, whole=bool(told[2]))
                else:
                    lines.append(told)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except (EOFError, zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        if header is None:
            raise ConfigError(f"{path}: this is no capture of a call: {type(error).__name__}") from None
    except (OSError, TypeError, LookupError) as error:
        raise ConfigError(f"{path}: this is no capture of a call: {error}") from None
    if header is None:
        raise ConfigError(f"{path}: this is no capture of a call: it is empty")
    return Captured(header, lines, whole=False)


def _header(told: Any, path: Path) -> dict[str, Any]:
    version = told.get("talkspurt_capture") if isinstance(told, dict) else None
    if version != FORMAT:
        raise ConfigError(f"{path}: this is no capture of a call in format {FORMAT}, which this version replays")
    return dict(told)
