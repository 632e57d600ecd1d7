"""What else comes as a file or as JSON: arguments of the model, kept calls, pictures, and Pipecat's bodies."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.call.kept import KeptCall
from agent.errors import MediaError, OfferError
from agent.media.still import read_still
from agent.settings import Settings
from agent.spoken import Spoken
from agent.tools.arguments import fitted
from agent.unicode import read_json
from signaling.http.kept_calls import MAX_STATE_BYTES, Seal
from signaling.http.pipecat_bodies import read_pipecat_candidates, read_pipecat_offer
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import WEATHER

SEAL = Seal(Settings.model_construct())
KEPT = KeptCall(
    kept_at=1.0,
    model="m",
    turns=(Spoken(speaker="caller", text="hi"), Spoken(speaker="agent", text="hello", noted=True)),
    tokens={"prompt": {"TEXT": 3}},
    cost_usd=0.5,
    handle="h",
)
STATE = json.dumps(SEAL.sign(KEPT).to_json()).encode()
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"enum": ["s", 2, 2.5, None]},
        "either": {
            "anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "number"}}, {"type": "null"}]
        },
        "flag": {"type": "boolean"},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        "free": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": ["size"],
}


@contextmanager
def arguments() -> Iterator[Take]:
    yield fit


def fit(text: bytes) -> object:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return "no JSON"
    if not isinstance(given, dict):
        return "no object"
    before = repr(given)
    made = fitted(given, SCHEMA), fitted(given, WEATHER.parameters or {})
    assert repr(given) == before
    return tuple(sorted(type(value).__name__ for value in made[0].values()))[:9]


@contextmanager
def kept() -> Iterator[Take]:
    yield lambda text: len(SEAL.take_back(text, 2.0).turns)


@contextmanager
def still() -> Iterator[Take]:
    yield lambda data: (read_still(data).mime_type, len(data) > 40)


def pictures() -> list[Pieces]:
    png = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 2, 3) + b"\x08\x02\x00\x00\x00\xfd\xd4\x9as"
    jpeg = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(11) + b"\xff\xc0\x00\x11\x08\x00\x30\x00\x40\x03" + bytes(20)
    return [[png], [jpeg], [b"\xff\xd8\xff\xff\xff\xda" + bytes(20)]]


@contextmanager
def pipecat() -> Iterator[Take]:
    yield read_pipecat


def read_pipecat(text: bytes) -> object:
    try:
        body = read_json(text.decode(errors="replace"))
    except ValueError:
        return "no JSON"
    if not isinstance(body, dict):
        return "no object"
    outcomes = []
    for read in (read_pipecat_offer, read_pipecat_candidates):
        try:
            read(body)
            outcomes.append("read")
        except OfferError as error:
            outcomes.append(error.code)
    return tuple(outcomes)


PIPECAT = [
    {"sdp": "v=0", "type": "offer", "pc_id": None, "restart_pc": False, "requestData": {"agent": "x"}},
    {"sdp": "v=0", "type": "offer", "pc_id": "rtc_1", "restart_pc": True},
    {
        "pc_id": "rtc_1",
        "candidates": [
            {
                "candidate": "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host",
                "sdp_mid": "0",
                "sdp_mline_index": 0,
            },
            {"candidate": "", "sdp_mid": "1", "sdp_mline_index": 1},
        ],
    },
]
GIVEN = {
    "size": "2",
    "either": "[1, 2]",
    "flag": "True",
    "pair": ["1", 2],
    "free": '{"a": "3"}',
    "city": 3,
    "days": "2",
}
TARGETS = [
    Target("arguments", "json", arguments, more=lambda: [[json.dumps(GIVEN).encode()]], max_bytes=256 << 10),
    Target(
        "kept", "json", kept, expected=(OfferError,), more=lambda: [[STATE]], max_bytes=MAX_STATE_BYTES, quick=1000
    ),
    Target("pipecat", "json", pipecat, more=lambda: [[json.dumps(body).encode()] for body in PIPECAT]),
    Target("still", "bytes", still, expected=(MediaError,), more=pictures, max_bytes=4 << 20),
]
