"""Turn a captured call into a test."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from agent.errors import ConfigError
from agent.replay.file import SUFFIX, Captured

TEMPLATE = '''"""Plays the captured call {call_id} again: the same must come in and go out.

What people said, and how they sounded, is in the file beside this one.
"""

from pathlib import Path

from agent.replay.file import read
from agent.replay.run import replay


def test_the_call_{name}_is_as_it_was() -> None:
    found = replay(read(Path(__file__).with_name("{file}")))
    assert found.same, found.report()
'''


def write_test(source: Path, captured: Captured, folder: Path) -> Path:
    """Copy a capture into a folder, with a test beside it; return the test's path.

    Raises:
        ConfigError: a file of that name already exists, or the folder cannot be written.
    """
    call_id = str(captured.header["call_id"])
    name = re.sub(r"\W+", "_", call_id).strip("_").lower()
    test, copy = folder / f"test_{name}.py", folder / f"{name}{SUFFIX}"
    for path in (test, copy):
        if path.exists():
            raise ConfigError(f"{path} is there already")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        test.write_text(TEMPLATE.format(call_id=call_id, name=name, file=copy.name), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror}") from None
    return test
