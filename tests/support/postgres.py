"""A PostgreSQL server of the system's package, which the tests start for themselves: on a socket, in a folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAMS = Path("/usr/lib/postgresql")
OWNER = "postgres"  # the server refuses to run as root
TIMEOUT_S = 60
MISSING = "no PostgreSQL here: deploy/system-packages.sh test installs it"
SETTINGS = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=50")
_WHO: dict[str, Any] = {
    "user": OWNER if os.geteuid() == 0 else None,
    "cwd": "/",
    "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
}


def programs() -> Path | None:
    """Return the folder of the newest server's programs; None if there is none."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Postgres:
    """A server that may be stopped and started again.

    Attributes:
        folder: of its data, its log and its socket.
        programs: where its programs are.
    """

    folder: Path
    programs: Path
    _process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        options = [f"unix_socket_directories={self.folder}", *SETTINGS]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data")]
        command += [f"--{each}" for each in options]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_WHO)
        self._process = process
        deadline = time.monotonic() + TIMEOUT_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as a crash would: nobody is told, nothing is tidied up."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(TIMEOUT_S)
            self._process = None

    def empty_database(self) -> str:
        """Empty the one database there is, which takes less time than to make another; returns its URL."""
        self._sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return f"postgresql://{OWNER}@/{OWNER}?host={self.folder}"

    def files_with(self, what: bytes) -> list[str]:
        """Return the files of tables and indexes that hold these bytes, once all is in the files."""
        self._sql("CHECKPOINT")
        files = (path for path in (self.folder / "data" / "base").rglob("*") if path.is_file())
        return [path.name for path in files if what in path.read_bytes()]

    def _sql(self, statements: str) -> None:
        _run(self.programs / "psql", "-h", self.folder, "-U", OWNER, "-c", statements, OWNER)

    def _answers(self) -> bool:
        try:
            self._sql("SELECT 1")
        except subprocess.CalledProcessError:
            return False
        return True


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Run a server of one's own, which need not keep anything safe on the disk."""
    there = programs()
    assert there is not None, MISSING
    folder = Path(tempfile.mkdtemp(prefix="talkspurt-pg-"))
    server = Postgres(folder, there)
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        settings = ("-A", "trust", "-U", OWNER, "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
        _run(there / "initdb", "-D", folder / "data", *settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: Path | str) -> None:
    subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        **_WHO,
    )
