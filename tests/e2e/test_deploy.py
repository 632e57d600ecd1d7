"""The files in `deploy/` are what they say they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.settings import secret_settings

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNIT = DEPLOY / "systemd" / "talkspurt.service"
EXPOSURE_TENTHS = 30


def test_the_units_credentials_are_settings() -> None:
    named = re.findall(r"^LoadCredential=(\w+):", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert named
    assert set(named) <= set(secret_settings())


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_sandboxed() -> None:
    command = [
        "systemd-analyze",
        "security",
        "--offline=true",
        f"--threshold={EXPOSURE_TENTHS}",
        "--no-pager",
        str(UNIT),
    ]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert judged.returncode == 0, judged.stdout[-300:]


def test_every_package_is_pinned_by_its_hash() -> None:
    """No line says where a package comes from: the installing machine decides that."""
    for name in ("run.lock", "test.lock"):
        text = (DEPLOY / name).read_text(encoding="utf-8")
        blocks = re.findall(
            r"^(\S+)==(\S+)((?: ;[^\\\n]*)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE
        )
        pinned = re.findall(r"^(?!#|\s)(\S+)", text, re.MULTILINE)
        assert [f"{package}=={version}" for package, version, _ in blocks] == pinned
        assert "://" not in text
