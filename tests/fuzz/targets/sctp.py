"""SCTP packets of the caller, on an association that is up; the first may set it up anew.

A piece is a flag byte and chunks. Common header and checksum are put before them; unless a flag says otherwise the
verification tag fits, and TSNs and requests are counted from those that come next.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport
from google_crc32c import value as crc32c

from agent.media.tap.sctp import MAX_MESSAGE_BYTES, guard_channels
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import world

AS_IT_IS, ANOTHER_TAG = 1, 2
DATA, INIT, SACK, FORWARD, RECONFIG = 0, 1, 3, 192, 130
PORT = 5000
MTU_BYTES = 1500


class Pipe:
    """Stands for the DTLS transport: what one association sends the other takes, if there is one."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self.other: RTCSctpTransport | None = None
        self.sent: list[asyncio.Future[None]] = []

    def _register_data_receiver(self, _receiver: object) -> None:
        return

    def _unregister_data_receiver(self, _receiver: object) -> None:
        return

    async def _send_data(self, data: bytes) -> None:
        if self.other is not None:
            self.sent.append(asyncio.ensure_future(self.other._handle_data(data)))


@contextmanager
def fresh() -> Iterator[Take]:
    with world() as around:
        sctp, objections = around.run(established())
        around.settle()

        def take(piece: bytes) -> object:
            data = packet(sctp, piece)
            around.run(sctp._handle_data(data))
            around.settle(2)
            return sctp._association_state.name, len(sctp._inbound_streams), len(objections)

        yield take
        around.run(sctp.stop())


async def established() -> tuple[Any, list[str]]:
    """Return an association that is guarded and up, with a channel, and the objections to what it is sent."""
    near, far = Pipe("server"), Pipe("client")
    caller, service = RTCSctpTransport(far, PORT), RTCSctpTransport(near, PORT)  # type: ignore[arg-type]
    objections: list[str] = []
    pc: Any = SimpleNamespace(sctp=service)
    guard_channels(pc, objections.append)
    limits = RTCSctpCapabilities(MAX_MESSAGE_BYTES)
    await service.start(limits, PORT)
    near.other, far.other = caller, service
    await caller.start(limits, PORT)
    while service.state != "connected":  # noqa: ASYNC110  nothing tells of it
        await asyncio.sleep(0)
    near.other = None
    caller._set_state(RTCSctpTransport.State.CLOSED)
    return service, objections


def packet(sctp: Any, piece: bytes) -> bytes:
    flags, chunks = (piece[0] if piece else 0), bytearray(piece[1:MTU_BYTES])
    if not flags & AS_IT_IS:
        at = 0
        while at + 12 <= len(chunks):
            kind, length = chunks[at], int.from_bytes(chunks[at + 2 : at + 4], "big")
            counted = {
                DATA: (4, sctp._last_received_tsn or 0),
                FORWARD: (4, sctp._last_received_tsn or 0),
                SACK: (4, sctp._last_sacked_tsn),
                RECONFIG: (8, sctp._reconfig_response_seq),
            }.get(kind)
            if counted is not None:
                place, from_here = counted
                number = int.from_bytes(chunks[at + place : at + place + 4], "big") + from_here
                chunks[at + place : at + place + 4] = (number % 2**32).to_bytes(4, "big")
            at += max(4, length + -length % 4)
    tag = 0 if chunks[:1] == bytes((INIT,)) or flags & ANOTHER_TAG else sctp._local_verification_tag
    header = struct.pack("!HHL", PORT, PORT, tag)
    return header + struct.pack("<L", crc32c(header + bytes(4) + chunks)) + chunks


def chunk(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, flags, len(body) + 4) + body + bytes(-len(body) % 4)


def data(step: int, stream: int, kind: int, text: bytes, flags: int = 3, number: int = 0) -> bytes:
    return chunk(DATA, flags, struct.pack("!LHHL", step, stream, number, kind) + text)


def dialogue() -> list[Pieces]:
    opening = struct.pack("!BBHLHH", 3, 0, 0, 0, 4, 0) + b"chat"
    reset = struct.pack("!HHLLLH", 13, 18, 1, 0, 0, 2) + b"\0\0"
    whole = [
        data(1, 0, 50, opening),
        data(1, 0, 51, b'{"label":"rtvi-ai"}', number=1),
        data(1, 0, 53, b"one", 2, 2) + data(2, 0, 53, b"two", 0, 2) + data(3, 0, 53, b"three", 1, 2),
        data(3, 2, 50, opening.replace(b"\x03\x00", b"\x03\x82", 1), 7) + data(1, 0, 56, b"\0"),
        chunk(SACK, 0, struct.pack("!LLHHHHL", 1, 1 << 17, 1, 1, 2, 3, 9)),
        chunk(FORWARD, 0, struct.pack("!LHH", 4, 0, 3)),
        chunk(RECONFIG, 0, reset),
        chunk(RECONFIG, 0, struct.pack("!HHLL", 16, 12, 1, 1)),
        chunk(RECONFIG, 0, struct.pack("!HHLHH", 17, 12, 1, 8, 0)),
        chunk(4, 0, struct.pack("!HH", 1, 8) + b"beat"),
        chunk(9, 0, struct.pack("!HH", 1, 8) + bytes(4)),
    ]
    ends = [
        chunk(INIT, 0, struct.pack("!LLHHL", 5, 1 << 17, 9, 9, 7) + struct.pack("!HH", 0xC000, 4)),
        chunk(2, 0, struct.pack("!LLHHL", 5, 1 << 17, 9, 9, 7) + struct.pack("!HH", 7, 8) + b"cook"),
        chunk(10, 0, b"cookie-of-no-use") + chunk(11, 0, b""),
        chunk(7, 0, bytes(4)),
        chunk(8, 0, b""),
        chunk(14, 0, b""),
        chunk(6, 0, b""),
    ]
    return [[b"\0" + each for each in whole], *([b"\0" + whole[0], b"\0" + each] for each in ends)]


TARGET = Target("sctp", "bytes", fresh, more=dialogue, max_bytes=64 << 10, quick=1000)
