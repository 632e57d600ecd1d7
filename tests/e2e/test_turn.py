"""The TURN server's configuration: short-lived credentials work, others do not, and what is relayed arrives."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aioice import stun, turn

from tests.e2e.phones import DEPLOY, free_ports, listens, needs, program, until

pytestmark = needs("turnserver")
SECRET = "change-me-turn-secret"


def credentials(secret: str, *, valid_s: int = 60) -> tuple[str, str]:
    """Return user name and password as the TURN REST API makes them."""
    username = f"{int(time.time()) + valid_s}:caller"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[int]:
    """Run deploy/sip/turn/turnserver.conf; yields its port."""
    (port,) = free_ports(1)
    configuration = DEPLOY / "turn" / "turnserver.conf"
    command = ("turnserver", "-c", str(configuration), "--listening-port", str(port))
    files = ("--userdb", str(folder / "turndb"), "--pidfile", str(folder / "pid"))
    async with program(*command, *files, folder=folder) as running:
        await until(lambda: listens(port) or running.process.returncode is not None)
        assert running.process.returncode is None, "\n".join(running.output)
        yield port


class Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        self.got.put_nowait(data)


async def allocate(port: int, username: str, password: str) -> tuple[turn.TurnTransport, Receiver]:
    transport, protocol = await turn.create_turn_endpoint(
        Receiver, server_addr=("127.0.0.1", port), username=username, password=password
    )
    return transport, protocol


async def test_what_is_relayed_arrives(tmp_path: Path) -> None:
    async with relay(tmp_path) as port:
        transport, _receiver = await allocate(port, *credentials(SECRET))
        loop = asyncio.get_running_loop()
        far, heard = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
        transport.sendto(b"hello", far.get_extra_info("sockname"))
        async with asyncio.timeout(5):
            assert await heard.got.get() == b"hello"
        transport.close()
        far.close()


@pytest.mark.parametrize(("secret", "valid_s"), [("wrong", 60), (SECRET, -60)], ids=["wrong secret", "expired"])
async def test_other_credentials_get_nothing(tmp_path: Path, secret: str, valid_s: int) -> None:
    async with relay(tmp_path) as port:
        with pytest.raises(stun.TransactionFailed):
            await allocate(port, *credentials(secret, valid_s=valid_s))
