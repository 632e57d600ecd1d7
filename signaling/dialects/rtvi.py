"""RTVI 2.1 over the data channel `chat`, as Pipecat's clients and our own page speak it. See docs/events.md."""

from __future__ import annotations

import base64
import re
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from aiortc import RTCDataChannel

from agent import events
from agent.clock import monotonic
from agent.errors import LiveLost
from agent.media.dtmf import KEYS
from agent.media.playout import VOICE_RATE_HZ
from agent.unicode import read_json
from signaling.dialects.channel import TextChannel
from signaling.dialects.mask import redacted
from signaling.dialects.requests import COSTS, REQUESTS, RefusedError
from signaling.dialects.shorten import to_json
from signaling.http.info import CALLS_PATH, call_info
from signaling.webrtc.client_leg import ClientLeg
from signaling.webrtc.rates import TooFastError

LABEL = "chat"
PROTOCOL_VERSION = "2.1.0"
MAX_INLINE_PICTURE_BYTES = 24 << 10  # clients fetch larger pictures of the model over HTTP
MAX_MESSAGE_CHARS = 64 << 10
ID = re.compile(r'"id"\s*:\s*"([^"\\]{1,64})"')
ID_SEARCH_CHARS = 256  # searched at the beginning and the end of a message that is too long to parse
MAX_TEXT_CHARS = 16 << 10
MAX_KEYS_AT_ONCE = 60
MAX_MESSAGES_BEFORE_READY = 256  # further ones push out the oldest
LIBRARY = "talkspurt"
WITHOUT_DATA: dict[type[events.Event], str] = {
    events.CallerStartedSpeaking: "user-started-speaking",
    events.CallerStoppedSpeaking: "user-stopped-speaking",
    events.GenerationStarted: "bot-llm-started",
    events.GenerationCompleted: "bot-llm-stopped",
    events.AgentStartedSpeaking: "bot-started-speaking",
    events.AgentStoppedSpeaking: "bot-stopped-speaking",
}
"Types of the messages that have no data."


def speak_rtvi(leg: ClientLeg, channel: RTCDataChannel) -> None:
    """Take over a data channel of a call; see `signaling.webrtc.offer.Dialect`."""
    talk = _Talk(leg, TextChannel(leg, channel))
    leg.last_messages.append(talk.flush)
    leg.moving[LABEL] = talk
    leg.call.observe(talk.event_came)
    if leg.call.ready is not None:  # what the agent does was told before anybody listened
        talk.event_came(events.AgentStateChanged(leg.call.state))
    if (set_up := leg.call.stopwatch.told) is not None:
        talk.event_came(set_up)
    if leg.call.ended is not None:  # it ended before the channel was open
        talk.event_came(leg.call.ended)


@cache
def _version() -> str:
    return version(LIBRARY)  # each call reads the package's files and leaves a reference cycle


class _Talk:
    """The conversation on one channel, and on those that take its place."""

    def __init__(self, leg: ClientLeg, channel: TextChannel) -> None:
        self._leg = leg
        self._call = leg.call
        self._channel = channel
        self._ready: events.AgentReady | None = leg.call.ready
        self._hello_id: str | None = None  # id of client-ready; None until it comes
        self._introduced = False
        self._waiting: deque[str] = deque()
        channel.read(self.message_came)

    def leave_channel(self) -> None:
        """Keep what the client may not have received; see `signaling.webrtc.client_leg.MovingDialect`."""
        kept = [*self._channel.leave(), *self._waiting][-MAX_MESSAGES_BEFORE_READY:]
        self._waiting = deque(kept)

    def use_channel(self, channel: RTCDataChannel) -> None:
        """Go on over the channel of another connection: a client that was introduced is not told bot-ready again.

        What happened while there was no channel, or just before it was lost, is told now.
        """
        self._channel = TextChannel(self._leg, channel)
        self._channel.read(self.message_came)
        self._send_waiting()

    async def flush(self) -> None:
        """Wait a moment for written messages to be sent."""
        await self._channel.flush()

    def message_came(self, data: str | bytes) -> None:
        """Handle an untrusted message from the client."""
        if not isinstance(data, str) or data.startswith("ping"):
            return
        try:
            self._leg.rates.take(monotonic(), messages=1)
        except TooFastError as error:
            self._refuse_rate(_id_in(data), error)
            return
        if len(data) > MAX_MESSAGE_CHARS:
            self._refuse_length(data)
            return
        message = _parse(data)
        if message is None:
            return
        content = message.get("data")
        content = content if isinstance(content, dict) else {}
        message_id = str(message.get("id", ""))[:64]
        match message.get("type"):
            case "client-ready":
                self._hello_id = message_id
                self._introduce()
            case "send-text":
                self._type_text(message_id, content)
            case "client-message":
                self._do(message_id, content.get("t"), content.get("d"))
            case "append-to-context":  # RTVI's own form of it, which is deprecated there
                self._do(message_id, "append-to-context", content)
            case "dtmf":
                self._press(message_id, content)
            case "disconnect-bot":
                self._call.hang_up("hung_up", "The caller hung up.", "caller")
            case kind:
                self._answer_error(message_id, f"messages of type {str(kind)[:64]} are not supported")

    def event_came(self, event: events.Event) -> None:
        """Tell the client what happened."""
        if isinstance(event, events.AgentReady):
            self._ready = event
            self._introduce()
        for kind, data in rtvi_messages(event):
            if isinstance(event, events.AgentShowedPicture) and data is not None:
                data["path"] = f"{CALLS_PATH}/{self._call.call_id}/pictures/{event.number}"
            self._send(kind, data, at_once=isinstance(event, events.CallEnded))
        if isinstance(event, events.TurnCompleted):
            self._send("server-message", {"type": "call-info", **call_info(self._leg)}, at_once=False)

    def _introduce(self) -> None:
        """Send bot-ready once both sides are ready, then the messages that waited for it."""
        if self._ready is None or self._hello_id is None:
            return
        about = {
            "library": LIBRARY,
            "library_version": _version(),
            "model": self._ready.model,
            "offline_demo": self._ready.offline_demo,
            "vad": "off" if self._ready.marked_turns else "on",
            "session_id": self._ready.session_id,
        }
        self._introduced = True
        self._channel.write(_message("bot-ready", {"version": PROTOCOL_VERSION, "about": about}, self._hello_id))
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._introduced and self._waiting:
            self._channel.write(self._waiting.popleft())

    def _refuse_length(self, text: str) -> None:
        """Answer that a message is too long."""
        pictures = f"{CALLS_PATH}/{self._call.call_id}/pictures"
        error = f"the message is longer than {MAX_MESSAGE_CHARS} characters; post large pictures to {pictures}"
        self._answer_error(_id_in(text), error)

    def _refuse_rate(self, message_id: str, error: TooFastError) -> None:
        """Answer that the client sends too much, unless it sends far too much even for that."""
        if self._leg.rates.may_answer(monotonic()):
            self._answer_error(message_id, str(error))

    def _type_text(self, message_id: str, content: dict[str, Any]) -> None:
        text = content.get("content")
        options = content.get("options")
        run_immediately = not isinstance(options, dict) or options.get("run_immediately", True) is not False
        if not isinstance(text, str) or not text.strip():
            self._answer_error(message_id, "send-text requires data.content, a text that is not empty")
        elif len(text) > MAX_TEXT_CHARS:
            self._answer_error(message_id, f"the text is longer than {MAX_TEXT_CHARS} characters")
        else:
            try:
                self._leg.rates.take(monotonic(), texts=1, characters=len(text))
                self._call.type_text(text.strip(), run_immediately=run_immediately)
            except TooFastError as error:
                self._refuse_rate(message_id, error)
            except LiveLost as error:
                self._answer_error(message_id, error.detail)

    def _press(self, message_id: str, content: dict[str, Any]) -> None:
        """Press telephone keys; RTVI 2.0 has a single ``button``."""
        keys = content.get("buttons", [content.get("button")])
        if not isinstance(keys, list) or not 0 < len(keys) <= MAX_KEYS_AT_ONCE or not all(map(_is_key, keys)):
            error = f"dtmf requires data.buttons, a list of 1 to {MAX_KEYS_AT_ONCE} of the keys {KEYS}"
            self._answer_error(message_id, error)
            return
        try:
            self._leg.rates.take(monotonic(), marks=1)
        except TooFastError as too_fast:
            self._refuse_rate(message_id, too_fast)
            return
        for key in keys:
            self._call.press(key)

    def _do(self, message_id: str, what: object, details: object) -> None:
        """Carry out one of our own requests, for which RTVI has no type."""
        match what:
            case "interrupt":
                self._answer(message_id, what, {"interrupted": self._call.interrupt()})
            case "activity-start" | "activity-end":
                self._mark(message_id, what)
            case str() if what in REQUESTS:
                self._carry_out(message_id, what, details if isinstance(details, dict) else {})
            case _:
                self._answer_error(message_id, f"{str(what)[:64]}: there is no client-message of this name")

    def _carry_out(self, message_id: str, what: str, details: dict[str, Any]) -> None:
        try:
            self._leg.rates.take(monotonic(), **COSTS[what](details))
            self._answer(message_id, what, REQUESTS[what](self._call, details))
        except TooFastError as error:
            self._refuse_rate(message_id, error)
        except RefusedError as error:
            self._answer_error(message_id, f"{what}: {error}")
        except LiveLost as error:
            self._answer_error(message_id, error.detail)

    def _mark(self, message_id: str, what: Literal["activity-start", "activity-end"]) -> None:
        try:
            self._leg.rates.take(monotonic(), marks=1)
            mark = self._call.start_activity if what == "activity-start" else self._call.end_activity
            if mark():
                self._answer(message_id, what, {})
            else:
                error = f"{what} requires the setting vad = off; here the Live server detects turns itself"
                self._answer_error(message_id, error)
        except TooFastError as error:
            self._refuse_rate(message_id, error)
        except LiveLost as error:
            self._answer_error(message_id, error.detail)

    def _answer(self, message_id: str, what: str, data: dict[str, Any]) -> None:
        self._channel.write(_message("server-response", {"t": what, "d": data}, message_id))

    def _answer_error(self, message_id: str, error: str) -> None:
        self._channel.write(_message("error-response", {"error": error}, message_id))

    def _send(self, kind: str, data: dict[str, Any] | None, *, at_once: bool) -> None:
        message = _message(kind, data)
        if (self._introduced and self._channel.open) or at_once:
            self._channel.write(message, last=at_once)
            return
        if len(self._waiting) == MAX_MESSAGES_BEFORE_READY:
            self._waiting.popleft()
            self._leg.messages.dropped += 1
        self._waiting.append(message)


def rtvi_messages(event: events.Event) -> list[tuple[str, dict[str, Any] | None]]:
    """Return the type and data of each RTVI message that reports an event."""
    match event:
        case (
            events.CallerStartedSpeaking()
            | events.CallerStoppedSpeaking()
            | events.GenerationStarted()
            | events.GenerationCompleted()
            | events.AgentStartedSpeaking()
            | events.AgentStoppedSpeaking()
        ):
            return [(WITHOUT_DATA[type(event)], None)]
        case events.CallerTranscribed():
            return [("user-transcription", _caller_text(event))]
        case events.AgentTranscribed():
            whole = [("bot-transcription", {"text": event.text})] if event.final and event.text else []
            return [("bot-output", _agent_text(event)), *whole]
        case events.AgentInterrupted():
            per_ms = VOICE_RATE_HZ // 1000
            heard_ms, dropped_ms = event.heard_samples // per_ms, event.dropped_samples // per_ms
            return [("bot-interrupted", {"heard_ms": heard_ms, "dropped_ms": dropped_ms})]
        case events.ToolCalled() | events.ToolFinished():
            return _tool(event)
        case events.SourcesFound(queries, sources):
            origins = [{"site_uri": each.uri, "site_title": each.title, "results": []} for each in sources]
            return [("bot-llm-search-response", {"origins": origins, "queries": list(queries)})]
        case events.AgentShowedPicture():
            return [("server-message", _picture(event))]
        case events.AgentStateChanged(state):
            return [("server-message", {"type": "agent-state", "state": state})]
        case events.AppEventSent(name, data):
            return [("server-message", {"type": "app-event", "name": name, "data": data})]
        case (
            events.CallSetUp()
            | events.AgentResponded()
            | events.PictureSent()
            | events.KeyPressed()
            | events.QualityEstimated()
            | events.UsageReported()
            | events.LimitNear()
            | events.SessionEnding()
            | events.SessionLost()
            | events.SessionReplaced()
            | events.ContextRebuilt()
            | events.ContextLost()
            | events.InputRefused()
            | events.AgentFellSilent()
            | events.AgentThought()
            | events.CodeWritten()
            | events.CodeRan()
            | events.CallerWordsTimed()
        ):
            return [("server-message", {"type": _kebab(type(event).__name__), **asdict(event)})]
        case (
            events.RecordingStarted()
            | events.RecordingPaused()
            | events.RecordingResumed()
            | events.RecordingFailed()
            | events.RecordingStored()
        ):  # where and how it is kept is the operator's business
            return [("server-message", {"type": _kebab(type(event).__name__)})]
        case events.CallEnded():
            return _farewell(event)
        case events.AgentReady() | events.AgentFirstHeard() | events.TurnCompleted() | events.VoiceFlushed():
            return []


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def _tool(event: events.ToolCalled | events.ToolFinished) -> list[tuple[str, dict[str, Any] | None]]:
    level, masked = event.report.level, event.report.masked
    if level == "none":  # the id must not reveal the name either: without an id from the model it begins with it
        name, call_id = {}, f"call#{event.call_id.rpartition('#')[2]}"
    else:
        name, call_id = {"function_name": event.name}, event.call_id
    call: dict[str, Any] = {"tool_call_id": call_id, **name}
    if isinstance(event, events.ToolFinished):
        call["cancelled"] = event.outcome == "cancelled"
        if level != "none":
            call["outcome"] = event.outcome
        if level == "full":
            call["result"] = redacted(event.result, masked)
        return [("llm-function-call-stopped", call)]
    if level == "full":
        call["arguments"] = redacted(dict(event.arguments), masked)
    return [("llm-function-call-started", {**name}), ("llm-function-call-in-progress", call)]


def _picture(event: events.AgentShowedPicture) -> dict[str, Any]:
    inline = len(event.data) <= MAX_INLINE_PICTURE_BYTES
    return {
        "type": "agent-showed-picture",
        "number": event.number,
        "mime_type": event.mime_type,
        "bytes": len(event.data),
        "data": base64.b64encode(event.data).decode() if inline else None,
    }


def _caller_text(event: events.CallerTranscribed) -> dict[str, Any]:
    return {
        "text": event.text,
        "user_id": "caller",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "final": event.final,
        "turn_id": event.turn_id,
        "revision": event.revision,
        "typed": event.typed,
    }


def _agent_text(event: events.AgentTranscribed) -> dict[str, Any]:
    return {
        "text": event.text,
        "segment_id": event.turn_id,
        "revision": event.revision,
        "output_type": "turn",
        "aggregated_by": "turn",
        "will_be_spoken": True,
        "spoken_status": "completed" if event.final else "in-progress",
        "interrupted": event.interrupted,
        "unheard_text": event.unheard_text,
        "estimated": event.estimated,
    }


def _farewell(event: events.CallEnded) -> list[tuple[str, dict[str, Any] | None]]:
    why = {"reason": event.reason, "fault": event.fault}
    messages: list[tuple[str, dict[str, Any] | None]] = []
    if event.is_error:
        messages.append(("error", {"error": event.detail, "fatal": True, **why}))
    messages.append(("server-message", {"type": "call-ended", "detail": event.detail, **why}))
    return messages


def _is_key(key: object) -> bool:
    return isinstance(key, str) and len(key) == 1 and key in KEYS


def _id_in(text: str) -> str:
    """Return the id of a message without parsing it, from where clients put it; "" if it is not found."""
    found = ID.search(text[:ID_SEARCH_CHARS]) or ID.search(text[-ID_SEARCH_CHARS:])
    return found[1] if found else ""


def _parse(text: str) -> dict[str, Any] | None:
    """Return an RTVI message; None for anything else (Pipecat's signalling, garbage)."""
    try:
        message = read_json(text)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("label") != "rtvi-ai":
        return None
    return message


def _message(kind: str, data: dict[str, Any] | None, message_id: str | None = None) -> str:
    message: dict[str, Any] = {"label": "rtvi-ai", "type": kind}
    if message_id is not None:
        message["id"] = message_id
    if data is not None:
        message["data"] = data
    return to_json(message)
