"""Messages of a carrier's media stream."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiohttp import WSMessage, WSMsgType

from agent.call.call import Call
from signaling.phone.stream import StreamLeg
from signaling.phone.twilio import MAX_MESSAGE_BYTES, MAX_REASON_BYTES, format_refusal, parse_frame, started
from signaling.webrtc.offer import CallOptions
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import HeldCall, World, world


class Socket:
    """Stands for the carrier's WebSocket."""

    closed = False

    async def send_json(self, message: Any) -> None:
        json.dumps(message)

    async def close(self) -> None:
        return None


@contextmanager
def fresh() -> Iterator[Take]:
    with world() as around:
        streams: list[StreamLeg] = []

        def take(text: bytes) -> object:
            message = parse_frame(WSMessage(WSMsgType.TEXT, text.decode(errors="replace"), None))
            if message is None:
                return "none"
            if streams:
                around.run(tell(streams[0], message))
                return str(message.get("event"))[:12]
            if message.get("event") != "start":
                return "early"
            start = started(message)
            refusal = format_refusal(start)
            if refusal is not None:
                assert refusal.isascii()
                assert refusal.encode()[:MAX_REASON_BYTES].decode()
                return "refused"
            streams.append(begun(around, start))
            return "begun"

        async def tell(stream: StreamLeg, message: Mapping[str, Any]) -> None:
            stream.take(message)

        yield take


def begun(around: World, start: Mapping[str, Any]) -> StreamLeg:
    socket: Any = Socket()
    held = HeldCall(around)

    def new_call(options: CallOptions) -> Call:
        assert len(options.instruction) < 1 << 16
        return held.call

    async def make() -> StreamLeg:
        return StreamLeg(socket, start, new_call, 15.0)

    leg: StreamLeg = around.run(make())
    return leg


def stream_of() -> list[Pieces]:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {
        "accountSid": "AC1",
        "callSid": "CA1",
        "mediaFormat": form,
        "customParameters": {"from": "+1", "to": "+2"},
    }
    voice = base64.b64encode(bytes(range(160))).decode()
    chunks = [
        {
            "event": "media",
            "media": {"track": "inbound", "chunk": str(n), "timestamp": str(20 * n), "payload": voice},
        }
        for n in range(1, 6)
    ]
    messages = [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start},
        *chunks,
        {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "5"}},
        {"event": "mark", "streamSid": "MZ1", "mark": {"name": "1"}},
        {"event": "stop", "stop": {"callSid": "CA1"}},
    ]
    return [[json.dumps(message).encode() for message in messages]]


TARGET = Target("twilio", "json", fresh, more=stream_of, max_bytes=MAX_MESSAGE_BYTES, quick=400)
