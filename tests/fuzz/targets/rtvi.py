"""Messages of a client on the data channel."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from signaling.dialects.channel import TextChannel
from signaling.dialects.rtvi import _Talk
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import HeldCall, world


class Channel:
    """Stands for the data channel of a client that reads everything."""

    def __init__(self) -> None:
        self.readyState, self.bufferedAmount = "open", 0
        self.kinds: set[str] = set()

    def on(self, event: str, take: object) -> None:
        """Nothing comes by itself; the target calls what takes messages."""

    def send(self, text: str) -> None:
        assert len(text.encode()) <= 64 << 10
        self.kinds.add(json.loads(text)["type"])


@contextmanager
def fresh() -> Iterator[Take]:
    with world() as around:
        held, channel = HeldCall(around), Channel()
        stub: Any = channel
        talk = _Talk(held.leg, TextChannel(held.leg, stub))
        held.call.observe(talk.event_came)

        def take(text: bytes) -> object:
            around.run(say(text.decode(errors="surrogateescape")))
            return held.check(), frozenset(channel.kinds)

        async def say(text: str) -> None:
            talk.message_came(text)

        yield take


def messages() -> list[Pieces]:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x02\x00\x00\x00\x02\x08\x02\x00\x00\x00\xfd\xd4\x9as"
    asked: list[tuple[str, dict[str, Any]]] = [
        ("client-ready", {"version": "2.1.0", "about": {"library": "x"}}),
        ("send-text", {"content": "Hello", "options": {"run_immediately": False, "audio_response": True}}),
        *(
            ("client-message", {"t": what, "d": details})
            for what, details in (
                ("interrupt", {}),
                ("activity-start", {}),
                ("activity-end", {}),
                ("append-to-context", {"role": "user", "content": "He is tall.", "run_immediately": True}),
                ("update-instructions", {"instructions": "Be brief."}),
                ("ask-about-pictures", {"content": "?", "pictures": [base64.b64encode(png).decode()]}),
                ("describe", {"source": "camera", "content": "?"}),
                ("screenshot", {"source": "screen"}),
                ("say", {"text": "Hi."}),
            )
        ),
        ("append-to-context", {"role": "system", "content": "x"}),
        ("disconnect-bot", {}),
    ]
    pieces = [
        json.dumps({"label": "rtvi-ai", "type": kind, "id": str(number), "data": data}).encode()
        for number, (kind, data) in enumerate(asked)
    ]
    return [pieces, *([piece] for piece in pieces)]


TARGET = Target("rtvi", "json", fresh, more=messages, max_bytes=256 << 10, quick=300)
