"""Janus starts with the operator's own secret, or nobody can reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.phones import DEPLOY, assert_refuses_secret, listens, needs, program, until
from tests.support.ports import free_ports

RUN = str(DEPLOY / "janus" / "run.sh")


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (None, "is the api_secret"),
        ("", "is the api_secret"),
        ("change-me-janus-secret", "placeholder"),
        ("fifteen-letters", "16 characters"),
        ('sixteen-letters"; x = "', "letters, digits"),
    ],
)
def test_a_secret_that_is_none_stops_it(tmp_path: Path, secret: str | None, said: str) -> None:
    assert_refuses_secret(RUN, tmp_path, "JANUS_SECRET", secret, said)


@needs("janus")
async def test_the_bare_configuration_opens_no_door(tmp_path: Path) -> None:
    """Without run.sh Janus would start with a secret that is public."""
    (port,) = free_ports(1)
    for file in (DEPLOY / "janus").glob("*.jcfg"):
        (tmp_path / file.name).write_text(file.read_text().replace("ws_port = 8188", f"ws_port = {port}"))
    async with program(
        "janus", "-F", str(tmp_path), "-C", str(tmp_path / "janus.jcfg"), folder=tmp_path
    ) as running:
        await until(lambda: running.process.returncode is not None or listens(port))
        assert not listens(port)
        assert running.process.returncode is not None  # it has no other way in, and so does not stay
