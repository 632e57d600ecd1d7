"""The TURN server's configuration: who may use it, with which credentials, and where it may not send."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioice import stun, turn
from aioice.ice import get_host_addresses

from tests.support.phones import DEPLOY, assert_refuses_secret, listens, needs, program, until
from tests.support.ports import free_ports

pytestmark = needs("turnserver")
SECRET = "the-secret-of-the-tests"
FORMER_SECRET = "change-me-turn-secret"  # was published in the configuration
RUN = str(DEPLOY / "turn" / "run.sh")
ON_LOOPBACK = ("--allow-loopback-peers", "--allowed-peer-ip=127.0.0.1")


def credentials(secret: str, *, valid_s: int = 60) -> tuple[str, str]:
    """Return a user name and password as the TURN REST API makes them."""
    username = f"{int(time.time()) + valid_s}:caller"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


@asynccontextmanager
async def relay(folder: Path, *arguments: str, command: tuple[str, ...] = (RUN,)) -> AsyncIterator[int]:
    """Run coturn as deploy/sip/turn has it; yields its port."""
    (port,) = free_ports(1)
    files = ("--userdb", str(folder / "turndb"), "--pidfile", str(folder / "pid"))
    environment = {"TURN_SECRET": SECRET, "TMPDIR": str(folder)}
    where = ("--listening-port", str(port))
    async with program(*command, *where, *files, *arguments, folder=folder, environment=environment) as running:
        await until(lambda: listens(port) or running.process.returncode is not None)
        assert running.process.returncode is None, "\n".join(running.output)
        yield port


class Receiver(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        del addr
        self.got.put_nowait(data)


async def allocate(port: int, username: str, password: str) -> tuple[turn.TurnTransport, Any]:
    """Return a relayed transport, and aioice's client behind it."""
    transport, _receiver = await turn.create_turn_endpoint(
        Receiver, server_addr=("127.0.0.1", port), username=username, password=password
    )
    return transport, vars(transport)["_TurnTransport__inner_protocol"]


async def test_what_is_relayed_arrives(tmp_path: Path) -> None:
    async with relay(tmp_path, *ON_LOOPBACK) as port:
        transport, _client = await allocate(port, *credentials(SECRET))
        loop = asyncio.get_running_loop()
        far, heard = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
        transport.sendto(b"hello", far.get_extra_info("sockname"))
        async with asyncio.timeout(5):
            assert await heard.got.get() == b"hello"
        transport.close()
        far.close()


PRIVATE = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255"),
    *("192.168.0.1", "192.168.255.255", "169.254.169.254", "100.64.0.1", "100.127.255.255", "198.18.0.1"),
    *("192.0.0.8", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
)
PUBLIC = ("8.8.8.8", "172.32.0.1", "100.128.0.1", "192.167.255.255", "11.0.0.0", "223.255.255.255")


async def test_nothing_private_can_be_reached_through_it(tmp_path: Path) -> None:
    """As it is deployed, without the tests' own arguments. A channel is only asked for: nothing is sent."""
    own = list(get_host_addresses(use_ipv4=True, use_ipv6=False))
    reached, refused, codes = [], [], set()
    async with relay(tmp_path) as port:
        transport, client = await allocate(port, *credentials(SECRET))
        for number, address in enumerate((*PRIVATE, *own, *PUBLIC)):
            try:
                await client.channel_bind(0x4000 + number, (address, 9))
                reached.append(address)
            except stun.TransactionFailed as failure:
                codes.add(failure.response.attributes["ERROR-CODE"][0])
                refused.append(address)
        transport.close()
    print(f"{len(refused)} private, local and group addresses are refused, {len(reached)} public ones are not")
    assert refused == [*PRIVATE, *own]
    assert codes == {403}
    assert reached == list(PUBLIC)


async def test_the_service_can_be_reached_where_it_is_private(tmp_path: Path) -> None:
    command = ("env", "SERVICE_ADDRESSES=10.1.2.3 10.1.2.4", RUN)
    async with relay(tmp_path, command=command) as port:
        transport, client = await allocate(port, *credentials(SECRET))
        await client.channel_bind(0x4000, ("10.1.2.3", 9))
        await client.channel_bind(0x4001, ("10.1.2.4", 9))
        with pytest.raises(stun.TransactionFailed):
            await client.channel_bind(0x4002, ("10.1.2.5", 9))
        transport.close()


@pytest.mark.parametrize(
    ("secret", "valid_s"),
    [("wrong", 60), (FORMER_SECRET, 60), ("", 60), (SECRET, -60)],
    ids=["wrong", "published", "empty", "expired"],
)
async def test_other_credentials_get_nothing(tmp_path: Path, secret: str, valid_s: int) -> None:
    async with relay(tmp_path) as port:
        with pytest.raises(stun.TransactionFailed):
            await allocate(port, *credentials(secret, valid_s=valid_s))


@pytest.mark.parametrize("secret", [FORMER_SECRET, "", SECRET])
async def test_the_bare_configuration_lets_nobody_in(tmp_path: Path, secret: str) -> None:
    """Without run.sh, and so without a secret, it opens nothing."""
    command = ("turnserver", "-c", str(DEPLOY / "turn" / "turnserver.conf"), "--relay-ip=127.0.0.1")
    async with relay(tmp_path, command=command) as port:
        with pytest.raises(stun.TransactionFailed):
            await allocate(port, *credentials(secret))


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (None, "is the secret"),
        ("", "is the secret"),
        (FORMER_SECRET, "placeholder"),
        ("fifteen-letters", "16 characters"),
        ("sixteen letters and a space", "letters, digits"),
        ("sixteen-letters\nlisten=0.0.0.0", "letters, digits"),
    ],
)
def test_a_secret_that_is_none_stops_it(tmp_path: Path, secret: str | None, said: str) -> None:
    assert_refuses_secret(RUN, tmp_path, "TURN_SECRET", secret, said)
