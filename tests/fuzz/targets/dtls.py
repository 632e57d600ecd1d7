"""A caller's DTLS handshake, whose datagrams are changed on their way.

Each piece is for the caller's next datagram: a flag byte, a place of two bytes, and what is written there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCDtlsParameters
from OpenSSL import SSL

from agent.media.tap.guard import guard
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import world

CERTIFICATE, CALLERS = RTCCertificate.generateCertificate(), RTCCertificate.generateCertificate()
WRITE, INSERT, CUT, ALONE = range(4)  # how the datagram is changed: the last is to send what is given instead


class Ice:
    """Stands for the ICE transport."""

    role = "controlled"

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes] = asyncio.Queue()
        self.sent: list[bytes] = []

    async def _recv(self) -> bytes:
        return await self.incoming.get()

    async def _send(self, data: bytes) -> None:
        self.sent.append(data)


@contextmanager
def fresh() -> Iterator[Take]:
    with world() as around:
        ice: Any = Ice()

        async def begin() -> tuple[RTCDtlsTransport, asyncio.Future[None]]:
            transport = RTCDtlsTransport(ice, [CERTIFICATE])
            receiver: Any = SimpleNamespace(transport=transport)
            guard(receiver, lambda: None)
            transport._set_role("server")
            known = RTCDtlsParameters(CALLERS.getFingerprints())
            return transport, asyncio.ensure_future(transport.start(known))

        transport, starting = around.run(begin())
        caller = SSL.Connection(CALLERS._create_ssl_context(SRTP_PROFILES))
        caller.set_connect_state()

        def take(piece: bytes) -> object:
            for data in ice.sent:
                caller.bio_write(data)
            ice.sent.clear()
            ice.incoming.put_nowait(changed(next_datagram(caller), piece))
            around.settle(4)
            if starting.done():
                starting.result()
            return transport.state, bool(ice.sent)

        yield take


def next_datagram(caller: SSL.Connection) -> bytes:
    with suppress(SSL.Error):  # it waits, or has been told rubbish
        caller.do_handshake()
    try:
        return caller.bio_read(1500)
    except SSL.Error:
        return b"\x16"


def changed(data: bytes, piece: bytes) -> bytes:
    how, at, new = (piece[0] if piece else 0) & 3, int.from_bytes(piece[1:3], "big"), piece[3:]
    if how == ALONE:
        return new or b"\x17"
    at %= len(data) + 1
    return data[:at] + new + (b"" if how == CUT else data[at + len(new) * (how == WRITE) :])


def handshakes() -> list[Pieces]:
    untouched = bytes((WRITE, 0, 0))
    hello = b"\x16\xfe\xff" + bytes(8) + b"\x00\x0e\x01\x00\x00\x02" + bytes(10)
    return [
        [untouched] * 4,
        *([untouched, untouched, bytes((WRITE, 0, place)) + b"\xff", untouched] for place in range(0, 200, 20)),
        *([bytes((WRITE, 0, place)) + b"\xff", untouched] for place in range(0, 200, 20)),
        [
            bytes((ALONE, 0, 0)) + each
            for each in (hello, b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", b"\x80")
        ],
    ]


TARGET = Target("dtls", "bytes", fresh, expected=(), more=handshakes, max_bytes=8000, quick=200)
