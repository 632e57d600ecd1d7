"""A PostgreSQL server of the system's package, which the tests start for themselves: on a socket, in a folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql")
OWNER = "postgres"  # the server refuses to run as root
START_TIMEOUT_S = 60
MISSING = "no PostgreSQL here: deploy/system-packages.sh test installs it"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "listen_addresses=", "max_connections=50")


def programs() -> Path | None:
    """Return the folder of the newest server's programs; None if there is none."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@contextmanager
def running_postgres(*, fast: bool = True) -> Iterator[Path]:
    """Run a server; yields the folder of its socket.

    Args:
        fast: nothing need be safe on the disk.
    """
    there = programs()
    assert there is not None, MISSING
    folder = Path(tempfile.mkdtemp(prefix="talkspurt-pg-"))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        _run(there / "initdb", "-D", data, "-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        options = [f"-c unix_socket_directories={folder}", *(f"-c {each}" for each in FAST[0 if fast else 3 :])]
        _run(there / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", " ".join(options), "start")
        try:
            yield folder
        finally:
            _run(there / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(folder: Path, name: str) -> Iterator[str]:
    """Make a database; yields its URL."""
    there = programs()
    assert there is not None, MISSING
    server = ("-h", str(folder), "-U", OWNER)
    _run(there / "createdb", *server, name)
    try:
        yield f"postgresql://{OWNER}@/{name}?host={folder}"
    finally:
        _run(there / "dropdb", *server, "--force", name)


def _run(*command: Path | str) -> None:
    user = OWNER if os.geteuid() == 0 else None
    subprocess.run(
        [str(part) for part in command],
        check=True,
        user=user,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=START_TIMEOUT_S,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
