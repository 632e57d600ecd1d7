"""A machine with two networks, of which one can be taken away: a network namespace with two links to this one.

A test that makes it runs in a network namespace of its own (`in_private_network`): calls of other tests would
otherwise choose the links, and lose them when they are removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

NAME = "talkspurt-test"
LINKS = {"wifi": ("tswifi0", 1), "mobile": ("tsmobile0", 2)}  # by their names there; their names and numbers here
PRIVATE = "TESTS_IN_PRIVATE_NETWORK"  # the tests take all variables of talkspurt away
SERVICE = "10.213.0.1"  # on loopback here; the other machine reaches it over either link


def in_private_network(request: pytest.FixtureRequest) -> bool:
    """Return True if the test runs in a network namespace of its own; else run it there, and return False.

    It is skipped, with the reason, where there can be none.
    """
    if os.environ.get(PRIVATE):
        return True
    reason = why_no_networks()
    if reason is not None:
        pytest.skip(reason)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    command += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
    done = subprocess.run(
        command,
        check=False,
        cwd=request.config.rootpath,
        env=environment | {PRIVATE: "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    return False


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
