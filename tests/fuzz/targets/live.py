"""Messages of the Live server, from the socket to the call, its tools and what the client is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.events import Event
from signaling.dialects.rtvi import rtvi_messages
from signaling.dialects.shorten import to_json
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import HeldCall, world


@contextmanager
def fresh(vertex: bool = False) -> Iterator[Take]:
    with world() as around:
        held = HeldCall(around, vertex=vertex)
        held.call.observe(tell_client)

        def take(text: bytes) -> object:
            held.socket.incoming.put_nowait(text)
            around.settle()
            return held.check()

        yield take


def tell_client(event: Event) -> None:
    for kind, data in rtvi_messages(event):
        to_json({"type": kind, "data": data})


def conversation() -> list[Pieces]:
    """Return one of each message, as the server sends them."""
    audio = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(bytes(960)).decode()}}
    picture = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(b"\x89PNG").decode()}}
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "4"}}
    calls = [{"id": "c1", "name": "get_weather", "args": {"city": "Rome", "days": "2", "details": {"a": [1]}}}]
    details = [{"modality": "AUDIO", "tokenCount": 9}, {"modality": "TEXT", "tokenCount": 3}]
    words = [{"word": "hi", "startOffset": "0.5s", "endOffset": "1s"}]
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://example.org/a", "title": "A", "domain": "example.org"}}],
        "webSearchQueries": ["weather"],
        "searchEntryPoint": {"renderedContent": "<b>"},
    }
    said: list[dict[str, Any]] = [
        {"inputTranscription": {"text": "What is", "finished": False, "words": words}},
        {"inputTranscription": {"text": " it?", "finished": True, "languageCode": "en-US"}},
        {"modelTurn": {"role": "model", "parts": [{"text": "hm", "thought": True}, audio, {"text": "It is."}]}},
        {"modelTurn": {"parts": [{"executableCode": {"language": "PYTHON", "code": "2+2"}}, ran, picture]}},
        {"outputTranscription": {"text": "It is noon.", "finished": True}, "groundingMetadata": grounding},
        {"generationComplete": True},
        {"interrupted": True},
        {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT", "interactionStatus": "COMPLETED"},
    ]
    usage = {"promptTokenCount": 20, "promptTokensDetails": details, "responseTokenCount": 4, "totalTokenCount": 30}
    messages = [
        *({"serverContent": each} for each in said),
        {"toolCall": {"functionCalls": calls}},
        {"toolCallCancellation": {"ids": ["c1"]}},
        {"usageMetadata": {**usage, "responseTokensDetails": details, "thoughtsTokenCount": 2}},
        {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True, "lastConsumedClientMessageIndex": "3"}},
        {"voiceActivity": {"voiceActivityType": "ACTIVITY_START"}},
        {"goAway": {"timeLeft": "9.5s"}},
        {"setupComplete": {"sessionId": "s"}},
    ]
    pieces = [json.dumps(message).encode() for message in messages]
    return [pieces, *([piece] for piece in pieces)]


TARGET = Target("live", "json", fresh, more=conversation, max_bytes=256 << 10, quick=400)
VERTEX = Target(
    "live-vertex", "json", lambda: fresh(vertex=True), more=conversation, max_bytes=256 << 10, quick=100
)
