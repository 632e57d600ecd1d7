"""Ports of this machine that nobody uses."""

from __future__ import annotations

import random
import socket


def free_ports(count: int) -> list[int]:
    """Return ports that are free for UDP and TCP now, the one behind each as well (baresip takes two).

    They are below those that the system gives to clients: one that connects again and again to a server that has
    gone may be given the server's own port, and keep it.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(11_000, 19_000, 4)
        if port not in found and all(map(_is_free, (port, port + 1))):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
