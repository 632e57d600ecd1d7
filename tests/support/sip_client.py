"""SIP by hand over UDP: what a stranger may send to the proxy, and what a carrier or a gateway sends in earnest."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.phones import DOMAIN

Wanted = str | Callable[[str], object]
_numbers = itertools.count(1)
FLOOD = 2_000
SILENCE_S = 0.4  # in which an answer on loopback would have come


class SipClient(asyncio.DatagramProtocol):
    """One UDP socket; see `sip_client`.

    Attributes:
        here: its address and port.
        got: every message that came, in order.
    """

    def __init__(self, proxy: tuple[str, int]) -> None:
        self.proxy = f"{proxy[0]}:{proxy[1]}"
        self.got: list[str] = []
        self.here = ""
        self._proxy = proxy
        self._transport: Any = None
        self._came = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        host, port = transport.get_extra_info("sockname")
        self.here = f"{host}:{port}"

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr
        self.got.append(data.decode(errors="replace"))
        self._came.set()

    def close(self) -> None:
        self._transport.close()

    def send(self, message: str | bytes) -> None:
        """Send to the proxy."""
        self._transport.sendto(message.encode() if isinstance(message, str) else message, self._proxy)

    def request(
        self,
        method: str,
        uri: str,
        *,
        caller: str = "stranger",
        callee: str = "agent",
        call_id: str | None = None,
        tag: str = "mine",
        to_tag: str | None = None,
        headers: Iterable[str] = (),
        contact: str | None = None,
    ) -> str:
        """Write a request without a body.

        Args:
            method: its name.
            uri: the Request-URI.
            caller: user name in From.
            callee: user name in To.
            call_id: a new one if None.
            tag: of From.
            to_tag: of To; a request within a call has one.
            headers: further lines.
            contact: its URI; this socket's own if None.
        """
        number = next(_numbers)
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.here};branch=z9hG4bK{number}x{self.here.replace(':', 'x')}",
            f"From: <sip:{caller}@{self.here}>;tag={tag}",
            f"To: <sip:{callee}@{DOMAIN}>" + (f";tag={to_tag}" if to_tag else ""),
            f"Call-ID: {call_id or f'call{number}-{self.here}'}",
            f"CSeq: {number} {method}",
            f"Contact: <{contact or f'sip:{caller}@{self.here}'}>",
            "Max-Forwards: 70",
            *headers,
            "Content-Length: 0",
        ]
        return "\r\n".join(lines) + "\r\n\r\n"

    async def ask(self, request: str) -> str:
        """Send a request; return its final answer, a ``SIP/2.0`` text."""
        self.send(request)
        branch = branch_of(request)
        return await self.receive(lambda text: is_final(text) and branch_of(text) == branch)

    async def receive(self, wanted: Wanted, timeout_s: float = 5.0) -> str:
        """Return the first message that is ``wanted``: a method, or a function that says so."""

        def found() -> str | None:
            for text in self.got:
                if text.startswith(f"{wanted} ") if isinstance(wanted, str) else wanted(text):
                    return text
            return None

        async with asyncio.timeout(timeout_s):
            while (message := found()) is None:
                self._came.clear()
                await self._came.wait()
            return message

    async def hears_nothing(self, wanted: Wanted) -> bool:
        """Say that no such message comes."""
        with suppress(TimeoutError):
            await self.receive(wanted, SILENCE_S)
            return False
        return True

    async def register(self, user: str, password: str, *, contact: str | None = None) -> str:
        """Register as phones do: ask, be challenged, answer the challenge; return the last answer."""
        call_id = f"register{next(_numbers)}-{self.here}"
        return await self.ask(await self.try_password(user, password, contact=contact, call_id=call_id))

    async def try_password(
        self, user: str, password: str, *, contact: str | None = None, call_id: str | None = None, name: str = ""
    ) -> str:
        """Ask for a challenge; return the REGISTER that answers it.

        Args:
            user: who registers.
            password: what is tried.
            contact: the URI to be called at.
            call_id: of both requests.
            name: who authenticates, if not the user.
        """
        uri = f"sip:{self.proxy}"

        def register(*headers: str) -> str:
            more = ("Expires: 600", *headers)
            return self.request(
                "REGISTER", uri, caller=user, callee=user, call_id=call_id, headers=more, contact=contact
            )

        challenge = await self.ask(register())
        assert challenge.startswith("SIP/2.0 401 "), challenge
        return register(
            authorization(header(challenge, "WWW-Authenticate"), "REGISTER", uri, name or user, password)
        )


def authorization(challenge: str, method: str, uri: str, user: str, password: str) -> str:
    """Return the header that answers a challenge (RFC 2617, without qop)."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    own = _md5(f"{user}:{given['realm']}:{password}")
    response = _md5(f"{own}:{given['nonce']}:{_md5(f'{method}:{uri}')}")
    fields: Mapping[str, str] = {
        "username": user,
        "realm": given["realm"],
        "nonce": given["nonce"],
        "uri": uri,
        "response": response,
    }
    return "Authorization: Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items())


def reply(request: str, status: str, *headers: str, tag: str = "theirs") -> str:
    """Write the reply to a request that came."""
    copied = [
        line + (f";tag={tag}" if line.startswith("To:") and ";tag=" not in line else "")
        for line in request.split("\r\n")
        if re.match(r"(Via|From|To|Call-ID|CSeq|Record-Route):", line, re.IGNORECASE)
    ]
    return "\r\n".join([f"SIP/2.0 {status}", *copied, *headers, "Content-Length: 0"]) + "\r\n\r\n"


def headers(message: str, name: str) -> list[str]:
    """Return the headers of that name."""
    return re.findall(rf"^{name}:\s*(.*?)\r$", message, re.IGNORECASE | re.MULTILINE)


def header(message: str, name: str) -> str:
    """Return the first header of that name; "" if there is none."""
    return next(iter(headers(message, name)), "")


def branch_of(message: str) -> str:
    """Return the branch in the topmost Via."""
    found = re.search(r"branch=([^;,\s]+)", header(message, "Via"))
    return found[1] if found else ""


def is_final(message: str) -> bool:
    return re.match(r"SIP/2\.0 [2-6]", message) is not None


async def flood(*senders: SipClient) -> None:
    """Send 2,000 requests of several kinds within about a second."""
    uri = f"sip:{senders[0].proxy}"
    for number in range(FLOOD):
        one = senders[number % len(senders)]
        method = ("REGISTER", "INVITE", "OPTIONS", "BYE")[number // len(senders) % 4]
        one.send(one.request(method, uri, to_tag="x" if method == "BYE" else None))
        if number % 20 == 19:
            await asyncio.sleep(0.01)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # what RFC 2617 wants


@asynccontextmanager
async def sip_client(address: str, port: int, proxy: str = "127.0.0.1") -> AsyncIterator[SipClient]:
    """Open a socket on an address of loopback, for talk with the proxy at another and that port."""
    loop = asyncio.get_running_loop()
    _transport, client = await loop.create_datagram_endpoint(
        lambda: SipClient((proxy, port)), local_addr=(address, 0)
    )
    try:
        yield client
    finally:
        client.close()
