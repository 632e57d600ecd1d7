"""Kamailio by itself, without the gateway behind it: who may register, and who may call."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.support import phones
from tests.support.phones import Ports, needs
from tests.support.ports import free_ports

pytestmark = needs("kamailio")


@pytest.fixture
def ports() -> Ports:
    return Ports(*free_ports(2))


@pytest.mark.parametrize("caller", ["stranger", phones.USER], ids=["a stranger", "who says to be the agent"])
async def test_strangers_neither_call_the_agent_nor_at_its_cost(tmp_path: Path, ports: Ports, caller: str) -> None:
    """From another address than the trunk's or the gateway's; what a message says of itself does not count."""
    async with phones.kamailio(tmp_path, ports):
        for callee in (phones.USER, "+15550001"):
            assert (await ask_sip(ports.sip, "INVITE", caller, callee)).startswith("SIP/2.0 403 ")


async def test_nobody_registers_without_a_password(tmp_path: Path, ports: Ports) -> None:
    async with phones.kamailio(tmp_path, ports):
        for user in (phones.USER, "phone1", "other"):
            assert (await ask_sip(ports.sip, "REGISTER", user, user)).startswith("SIP/2.0 401 ")


async def test_without_a_password_of_the_line_there_are_no_calls(tmp_path: Path, ports: Ports) -> None:
    """The tokens would be made with a public key."""
    async with phones.kamailio(tmp_path, ports, AGENT_PASSWORD='""') as running:
        assert (await ask_sip(ports.sip, "REGISTER", "phone1", "phone1")).startswith("SIP/2.0 503 ")
        assert any("AGENT_PASSWORD is not set" in line for line in running.output)


@needs("baresip")
async def test_a_phone_registers_and_its_call_finds_no_agent(tmp_path: Path, ports: Ports) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    async with (
        phones.kamailio(tmp_path / "kamailio", ports),
        phones.phone(folder, ports.sip, registers=True) as one,
    ):
        await one.do("dial", f"sip:{phones.USER}@127.0.0.1:{ports.sip}")
        assert (await one.event("CALL_CLOSED")).text.startswith("480 ")


async def ask_sip(port: int, method: str, caller: str, callee: str) -> str:
    """Send one request from 127.0.0.2; return its final answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.2", 0))
        own.setblocking(False)
        here = f"127.0.0.2:{own.getsockname()[1]}"
        key = f"{method}{callee}{here}"
        request = (
            f"{method} sip:{callee}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{key}\r\n"
            f"From: <sip:{caller}@{here}>;tag=1\r\nTo: <sip:{callee}@127.0.0.1:{port}>\r\nCall-ID: {key}\r\n"
            f"Contact: <sip:{caller}@{here}>\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        await loop.sock_sendto(own, request.encode(), ("127.0.0.1", port))
        async with asyncio.timeout(5):
            while (answer := (await loop.sock_recv(own, 4000)).decode()).startswith("SIP/2.0 1"):
                pass
        return answer
