"""Convert the notes of a call to JSON and back. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from importlib import metadata
from typing import Any

import numpy as np
from pydantic import BaseModel, SecretStr

from agent.call.kept import KeptCall, read_kept
from agent.call.setup import AgentSetup
from agent.capture import Note
from agent.dialog.prices import ModelPrice
from agent.live.uplink import Audio
from agent.media.rtp import RtpPacket
from agent.picture import Picture, Shown
from agent.settings import Settings
from agent.tools.declare import Tool

FORMAT = 1
PACKAGES = ("talkspurt", "google-genai", "aiortc", "av", "numpy")
NOT_NEEDED = ("_url", "_file", "_folder", "_store")
"""Suffixes of settings that are locations, which may contain passwords; no call depends on them."""
_TOOL_FIELDS = ("name", "description", "timeout_s", "behavior", "scheduling", "confirm", "report")

Line = list[Any]
"""A note: its time in seconds, its kind, and its data."""


def header_of(
    call_id: str,
    setup: AgentSetup,
    *,
    caller: str | None,
    offline_demo: bool,
    phase_s: float,
    price: ModelPrice | None,
    kept: KeptCall | None,
) -> dict[str, Any]:
    """Return the first line of a capture: everything that the call was made with, except keys."""
    settings = setup.settings
    told = settings.model_dump(mode="json")
    secret = {name for name in told if isinstance(getattr(settings, name), SecretStr)}
    return {
        "talkspurt_capture": FORMAT,
        "call_id": call_id,
        "settings": {n: value for n, value in told.items() if n not in secret and not n.endswith(NOT_NEEDED)},
        "instructions": setup.instructions,
        "vad": setup.vad,
        "greeting": setup.greeting,
        "announcement": setup.announcement,
        "tools": [plain(tool) for tool in setup.tools],
        "caller": caller,
        "offline_demo": offline_demo,
        "phase_s": phase_s,
        "price": None if price is None else plain(price),
        "kept": None if kept is None else plain(kept),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
    }


def encode(note: Note) -> Line:
    """Return a note as a JSON value."""
    at, kind, what = note
    match kind:
        case "pcm":
            (pcm,) = what
            samples = np.ascontiguousarray(pcm)
            return [at, kind, len(samples), zlib.crc32(samples.tobytes())]
        case "server":
            (message,) = what
            assert isinstance(message, BaseModel)
            return [at, kind, json.loads(message.model_dump_json(exclude_none=True, by_alias=True))]
        case "frame":
            source, codec, frame = what
            return [at, kind, source, codec, base64.b64encode(frame).decode()]
        case "event" | "sent":
            (told,) = what
            return [at, kind, type(told).__name__, plain(told)]
        case _:
            return [at, kind, *(plain(each) for each in what)]


def plain(value: Any) -> Any:
    """Return a value as a JSON value, from which packets, pictures and tools can be restored."""
    match value:
        case RtpPacket():
            return [*value[:-1], base64.b64encode(value.payload).decode()]
        case Picture():
            data = base64.b64encode(value.data).decode()
            return {"picture": data, "mime_type": value.mime_type, "width": value.width, "height": value.height}
        case Shown():
            return {"source": value.source, "bytes": len(value.picture.data)}
        case Audio():
            return {"samples": len(value.pcm_bytes) // 2, "speech": value.speech}
        case Tool():
            known = {name: getattr(value, name) for name in _TOOL_FIELDS}
            return {"tool": {**known, "parameters": dict(value.parameters), "masked": sorted(value.masked)}}
        case bytes():
            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case set() | frozenset():
            return sorted(map(str, value))
        case list() | tuple():
            return [plain(inner) for inner in value]
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return str(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return str(value)


def made_again(value: Any, tool: Any) -> Any:
    """Restore an argument of an `ask`.

    Args:
        value: what `plain` returned.
        tool: makes a tool from its description.
    """
    match value:
        case {"picture": str(data), "mime_type": str(mime_type), "width": int(width), "height": int(height)}:
            return Picture(base64.b64decode(data), mime_type, width, height)
        case {"tool": dict(told)}:
            return tool(told)
        case dict():
            return {key: made_again(inner, tool) for key, inner in value.items()}
        case list():
            return [made_again(inner, tool) for inner in value]
        case _:
            return value


def packet_of(told: list[Any]) -> RtpPacket:
    """Restore a packet."""
    payload_type, marker, number, timestamp, ssrc, payload = told
    return RtpPacket(payload_type, marker, number, timestamp, ssrc, base64.b64decode(payload))


def settings_of(header: Mapping[str, Any]) -> Settings:
    """Return the settings of a captured call, without any from this machine."""
    return Settings(**{name: value for name, value in header["settings"].items() if name in Settings.model_fields})


def price_in(header: Mapping[str, Any]) -> ModelPrice | None:
    """Return the prices of the model's tokens; None if they are not known."""
    told = header["price"]
    if told is None:
        return None
    prompt, response = ({n: Decimal(usd) for n, usd in told[key].items()} for key in ("prompt", "response"))
    return ModelPrice(told["as_of"], told["source"], prompt, response)


def kept_in(header: Mapping[str, Any]) -> KeptCall | None:
    """Return the earlier call that this one continued; None if there was none."""
    return None if header["kept"] is None else read_kept(header["kept"])


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
