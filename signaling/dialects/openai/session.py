"""The session of OpenAI's Realtime API: what a client may ask for, and what it is told. Pure.

A session comes with the offer (the form's part ``session``), in a client secret, or in ``session.update``. What has
no meaning here (audio formats, since WebRTC negotiates them, or tracing) is accepted and ignored. What has one but
cannot be had is objected to, and the rest takes effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.live.voices import VOICES
from agent.settings import Settings
from agent.tools.declare import TOOL_NAME
from signaling.dialects.openai.items import Json

MAX_INSTRUCTION_CHARS = 32 << 10
MAX_TOOLS = 128
MAX_TIME_MS = 10_000  # of turn detection
EAGERNESS = {"low": "low", "medium": "medium", "high": "high"}  # OpenAI's eagerness, and our preset `vad`
VOICE_BY_NAME = {name.lower(): name for name in VOICES}
INSTRUCTING = ("instructions", "tools", "audio.output.voice", "audio.input.turn_detection")
"The parts of a session that only the operator may decide, unless `client_may_instruct` is set."


@dataclass(frozen=True, slots=True)
class Objection:
    """Something in a session that cannot be had.

    Attributes:
        param: the field, as its path within the session.
        words: one sentence for the client's developer.
        code: a short machine-readable word.
    """

    param: str
    words: str
    code: str = "session_unsupported"


@dataclass(frozen=True, slots=True)
class WishedTool:
    """A function that runs in the client: untrusted, apart from its name."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SessionWish:
    """What a session asks for; None leaves a value unchanged.

    Attributes:
        instructions: the agent's instructions.
        tools: all functions that run in the client.
        settings: settings by name: voice and turn detection.
        transcribes: whether the client wants the caller's words.
        objections: what cannot be had.
    """

    instructions: str | None = field(default=None, repr=False)
    tools: tuple[WishedTool, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    transcribes: bool | None = None
    objections: tuple[Objection, ...] = ()

    @property
    def changes_agent(self) -> bool:
        """True if it changes what the Live session is set up with."""
        return self.instructions is not None or self.tools is not None or bool(self.settings)

    def instructs(self) -> list[str]:
        """Return the fields in it that only the operator may decide."""
        turns = [name for name in self.settings if name != "voice"]
        given = (self.instructions is not None, bool(self.tools), "voice" in self.settings, bool(turns))
        return [name for name, is_given in zip(INSTRUCTING, given, strict=True) if is_given]


NO_WISH = SessionWish()


def read_session(session: Mapping[str, Any]) -> SessionWish:
    """Read an untrusted session.

    Args:
        session: the object, with unknown fields, which are ignored.
    """
    objections: list[Objection] = []
    sound = _object(session.get("audio"))
    heard, spoken = _object(sound.get("input")), _object(sound.get("output"))
    if session.get("type") not in (None, "realtime"):
        objections.append(Objection("type", "only sessions of type realtime are served here"))
    if session.get("output_modalities") not in (None, ["audio"], ["text", "audio"], ["audio", "text"]):
        objections.append(Objection("output_modalities", "the agent speaks; text comes as its transcript"))
    if session.get("prompt") is not None:
        objections.append(Objection("prompt", "stored prompts are not served here: send instructions"))
    settings = {**_voice(spoken, objections), **_turn_detection(heard, objections)}
    return SessionWish(
        _instructions(session, objections),
        _tools(session, objections),
        settings,
        (heard["transcription"] is not None) if "transcription" in heard else None,
        tuple(objections),
    )


def _instructions(session: Mapping[str, Any], objections: list[Objection]) -> str | None:
    given = session.get("instructions")
    if given is None:
        return None
    if not isinstance(given, str) or len(given) > MAX_INSTRUCTION_CHARS:
        words = f"instructions must be a text of at most {MAX_INSTRUCTION_CHARS} characters"
        objections.append(Objection("instructions", words))
        return None
    return given.strip() or None  # SDKs send an empty text for an agent that has none


def _tools(session: Mapping[str, Any], objections: list[Objection]) -> tuple[WishedTool, ...] | None:
    given = session.get("tools")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > MAX_TOOLS:
        objections.append(Objection("tools", f"tools must be a list of at most {MAX_TOOLS}"))
        return None
    found: dict[str, WishedTool] = {}
    for number, each in enumerate(given):
        param = f"tools[{number}]"
        tool = _object(each)
        name, description = tool.get("name"), tool.get("description") or ""
        parameters = tool.get("parameters") or {"type": "object", "properties": {}}
        if tool.get("type", "function") != "function":
            words = "only functions are served here; the operator adds other tools to the agent's file"
        elif not isinstance(name, str) or not TOOL_NAME.fullmatch(name) or name in found:
            words = "a function needs a name of its own: 64 letters, digits, _ . and - at most, a letter or _ first"
        elif not isinstance(description, str) or not isinstance(parameters, dict):
            words = "description must be a text, and parameters a JSON schema of an object"
        else:
            found[name] = WishedTool(name, description, parameters)
            continue
        objections.append(Objection(param, words))
    return tuple(found.values())


def _voice(spoken: Mapping[str, Any], objections: list[Objection]) -> dict[str, Any]:
    given = spoken.get("voice")
    if isinstance(given, dict):  # a custom voice
        given = given.get("id")
    if given is None:
        return {}
    name = VOICE_BY_NAME.get(given.lower()) if isinstance(given, str) else None
    if name is None:
        words = f"there is no such voice; there are {', '.join(VOICES)}"
        objections.append(Objection("audio.output.voice", words))
        return {}
    return {"voice": name}


def _turn_detection(heard: Mapping[str, Any], objections: list[Objection]) -> dict[str, Any]:
    """Return the settings that mean the same; none for what OpenAI's SDKs send by default."""
    if "turn_detection" not in heard:
        return {}
    given, param = heard["turn_detection"], "audio.input.turn_detection"
    if given is None:
        return {"vad": "off"}
    given = _object(given)
    settings: dict[str, Any] = {}
    if given.get("create_response") is False:
        objections.append(Objection(f"{param}.create_response", "the Live API answers each turn of the caller"))
    if isinstance(given.get("interrupt_response"), bool):
        settings["barge_in"] = given["interrupt_response"]
    match given.get("type"):
        case "semantic_vad":
            preset = EAGERNESS.get(str(given.get("eagerness")))
            settings |= {} if preset is None else {"vad": preset}
        case "server_vad":
            for theirs, ours in (("prefix_padding_ms", "vad_prefix_ms"), ("silence_duration_ms", "vad_silence_ms")):
                value = given.get(theirs)
                if type(value) is int and 0 <= value <= MAX_TIME_MS:
                    settings[ours] = value
                elif value is not None:
                    words = f"{theirs} must be a whole number of 0 to {MAX_TIME_MS} milliseconds"
                    objections.append(Objection(f"{param}.{theirs}", words))
        case _:
            objections.append(Objection(f"{param}.type", "type must be server_vad or semantic_vad"))
    return settings


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def session_object(
    call_id: str,
    settings: Settings,
    *,
    instructions: str | None,
    tools: tuple[WishedTool, ...],
    transcribes: bool,
) -> Json:
    """Return a session as the client is told it.

    Args:
        call_id: the call's id.
        settings: those of the call.
        instructions: those that the client gave; the operator's own are not told.
        tools: the functions that run in the client.
        transcribes: whether the client is told the caller's words.
    """
    detection: Json | None = {
        "type": "server_vad",
        "prefix_padding_ms": settings.vad_prefix_ms,
        "silence_duration_ms": settings.vad_silence_ms,
        "create_response": True,
        "interrupt_response": settings.barge_in,
    }
    if settings.vad == "off":
        detection = None
    declared = [{"type": "function", **asdict(tool)} for tool in tools]
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": call_id,
        "model": settings.model,
        "output_modalities": ["audio" if settings.audio_output else "text"],
        "instructions": instructions or "",
        "tools": declared,
        "tool_choice": "auto",
        "audio": {
            "input": {
                "transcription": {"model": settings.model} if transcribes else None,
                "turn_detection": detection,
            },
            "output": {"voice": settings.voice},
        },
        "tracing": None,
    }
