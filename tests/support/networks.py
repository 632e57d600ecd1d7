"""A machine with two networks, of which one can be taken away: a network namespace with two links to this one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

NAME = "talkspurt-test"
LINKS = {"wifi": ("tswifi0", 1), "mobile": ("tsmobile0", 2)}  # by their names there; their names and numbers here
SERVICE = "10.213.0.1"  # on loopback here; the other machine reaches it over either link


@dataclass(frozen=True)
class OtherMachine:
    """A machine with the networks ``wifi``, which is up at first, and ``mobile``.

    Attributes:
        folder: for scripts.
    """

    folder: Path

    def program(self, path: str) -> str:
        """Return a program that runs another one on this machine."""
        script = self.folder / Path(path).name
        script.write_text(f'#!/bin/sh\nexec ip netns exec {NAME} {path} "$@"\n')
        script.chmod(0o755)
        return str(script)

    def change_networks(self) -> None:
        """Lose the Wi-Fi, without a word, and be on the mobile network from now on."""
        _ip(f"-n {NAME} link set wifi down")
        _ip(f"-n {NAME} link set mobile up")
        _ip(f"-n {NAME} route add default via 10.213.2.1")


def why_no_networks() -> str | None:
    """Say why no other machine can be made here; None if it can."""
    if shutil.which("ip") is None:
        return "ip missing: install Debian's iproute2"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    made = subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True)
    return None if made.returncode == 0 else "network namespaces cannot be made here"


def on_other_machine(url: str) -> str:
    """Return the address of a service here as the other machine knows it."""
    return f"http://{SERVICE}:{urlsplit(url).port}/"


@contextmanager
def other_machine(folder: Path) -> Iterator[OtherMachine]:
    """Make a machine, and remove it; tests of other processes wait until theirs can be made."""
    with (Path(tempfile.gettempdir()) / "talkspurt-networks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove()  # what a test that was killed has left
        try:
            _ip(f"netns add {NAME}")
            _ip(f"addr add {SERVICE}/32 dev lo")
            for inner, (outer, number) in LINKS.items():
                _ip(f"link add {outer} type veth peer name {inner} netns {NAME}")
                _ip(f"addr add 10.213.{number}.1/24 dev {outer}")
                _ip(f"link set {outer} up")
                _ip(f"-n {NAME} addr add 10.213.{number}.2/24 dev {inner}")
            _ip(f"-n {NAME} link set lo up")
            _ip(f"-n {NAME} link set wifi up")
            _ip(f"-n {NAME} route add default via 10.213.1.1")
            yield OtherMachine(folder)
        finally:
            _remove()


def _remove() -> None:
    for outer, _number in LINKS.values():
        _ip(f"link del {outer}", check=False)
    _ip(f"addr del {SERVICE}/32 dev lo", check=False)
    _ip(f"netns del {NAME}", check=False)


def _ip(arguments: str, *, check: bool = True) -> None:
    subprocess.run(["ip", *arguments.split()], check=check, capture_output=True)
