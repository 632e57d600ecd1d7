"""What a session's faults make of the model's replies and of the messages that carry them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np

from agent.emulator.faults.kinds import (
    AudioWithInterrupted,
    DelayFirstAudio,
    DuplicateTurnComplete,
    EmptyTurn,
    ExtraUsage,
    FinishedFlags,
    InterruptionFault,
    LateChunks,
    SilentSpeech,
    ToolStorm,
    TurnFault,
)
from agent.emulator.model.pcm import SPOKEN_HZ, Pcm
from agent.emulator.model.speech import CHUNK_SAMPLES
from agent.emulator.model.turn import CallFunction, Reply, Turn
from agent.emulator.wire.outgoing import ServerMessage, audio, message, transcription_finished

_MODEL_OUTPUT = ("audio", "text", "outputTranscription", "toolCall")
_TONE_AMPLITUDE = 8_000
_HUM_HZ = 200.0  # of speech that cannot be heard


class SpoiledTurn:
    """One turn of a session under the faults that happen to it."""

    def __init__(self, faults: Sequence[TurnFault] = ()) -> None:
        self._faults = faults
        self._first_delay_s = sum(fault.delay_s for fault in faults if isinstance(fault, DelayFirstAudio))
        self._marks = _FinishedMarks(*(fault.when for fault in faults if isinstance(fault, FinishedFlags)))

    def take_delay_s(self, message: ServerMessage) -> float:
        """How long a message has to wait: only the first one of the answer does."""
        if message.kind not in _MODEL_OUTPUT:
            return 0.0
        delay_s, self._first_delay_s = self._first_delay_s, 0.0
        return delay_s

    def reply(self, turn: Turn, reply: Reply) -> Reply:
        if turn.results or turn.unanswered:
            return reply  # the turn goes on after its calls
        for fault in self._faults:
            if isinstance(fault, ToolStorm):
                reply = _stormy(fault, turn, reply)
            elif isinstance(fault, EmptyTurn):
                reply = ()
        return reply

    def marks_before(self, message: ServerMessage) -> list[ServerMessage]:
        return self._marks.before(message)

    def messages(self, message: ServerMessage) -> list[ServerMessage]:
        """What is sent in place of a message, in order."""
        changed, copies = message, 0
        for fault in self._faults:
            match fault:
                case SilentSpeech(amplitude=amplitude) if message.kind == "audio":
                    changed = _hushed(message, amplitude)
                case EmptyTurn(reason=str(reason)) if message.kind == "turnComplete":
                    changed = _completed_because(changed, reason)
                case ExtraUsage() if "usageMetadata" in changed.json:
                    changed = _dearer(changed, fault)
                case DuplicateTurnComplete(extra=extra) if message.kind == "turnComplete":
                    copies += extra
        return [changed, *repeat(changed, copies)]


class _FinishedMarks:
    """Says ``finished`` after the transcriptions of one turn, if a fault wants that."""

    def __init__(self, *when: str) -> None:
        self._when = when
        self._open: str | None = None

    def before(self, message: ServerMessage) -> list[ServerMessage]:
        """The mark that belongs before a message, if any."""
        kind, ended = message.kind, self._open
        if kind in ("inputTranscription", "outputTranscription"):
            self._open = kind
        elif kind in ("generationComplete", "interrupted", "turnComplete"):
            self._open = None
        due = bool(self._when) and (kind != "interrupted" or "always" in self._when)
        return [transcription_finished(ended)] if due and ended is not None and ended != self._open else []


def around_interrupted(
    interrupted: ServerMessage, faults: Iterable[InterruptionFault]
) -> tuple[list[ServerMessage], list[ServerMessage]]:
    """What is sent in place of ``interrupted``, and what is sent after the turnComplete that follows it."""
    now = [interrupted]
    after_turn: list[ServerMessage] = []
    for fault in faults:
        match fault:
            case AudioWithInterrupted():
                body = _late_audio(fault.tone_hz).json
                body["serverContent"]["interrupted"] = True
                now[0] = message("interrupted", body)
            case LateChunks(after="interrupted"):
                now += repeat(_late_audio(fault.tone_hz), fault.chunks)
            case LateChunks():
                after_turn += repeat(_late_audio(fault.tone_hz), fault.chunks)
    return now, after_turn


def _stormy(fault: ToolStorm, turn: Turn, reply: Reply) -> Reply:
    name = fault.name if fault.name is not None else next(iter(turn.functions), "undeclared_function")
    call = CallFunction(name, dict(fault.args), alone=not fault.one_message)
    calls = (call,) * fault.calls
    match fault.when:
        case "before_speech":
            return (*calls, *reply)
        case "after_speech":
            return (*reply, *calls)
        case _:
            return calls


def _completed_because(turn_complete: ServerMessage, reason: str) -> ServerMessage:
    body = turn_complete.json
    body["serverContent"]["turnCompleteReason"] = reason
    return message(turn_complete.kind, body)


def _dearer(original: ServerMessage, fault: ExtraUsage) -> ServerMessage:
    """The same message with more tokens in its usage."""
    body = original.json
    usage = body["usageMetadata"]
    answer = "candidates" if "candidatesTokenCount" in usage else "response"
    for direction, more in (("prompt", fault.prompt), (answer, fault.response)):
        usage[f"{direction}TokenCount"] += sum(more.values())
        usage["totalTokenCount"] += sum(more.values())
        details = usage.pop(f"{direction}TokensDetails", [])
        if fault.details:
            details += [{"modality": modality, "tokenCount": tokens} for modality, tokens in more.items()]
            usage[f"{direction}TokensDetails"] = details
    return message(original.kind, body)


def _hushed(speech: ServerMessage, amplitude: int) -> ServerMessage:
    """As much speech, but nearly or quite silent."""
    part = speech.json["serverContent"]["modelTurn"]["parts"][0]
    samples = len(base64.b64decode(part["inlineData"]["data"])) // 2
    return audio(_tone(samples, _HUM_HZ, amplitude).astype("<i2").tobytes())


def _late_audio(tone_hz: float) -> ServerMessage:
    late = audio(_tone(CHUNK_SAMPLES, tone_hz, _TONE_AMPLITUDE).astype("<i2").tobytes())
    return replace(late, kind="lateAudio")


def _tone(samples: int, hz: float, amplitude: int) -> Pcm:
    out: Pcm = (np.sin(np.arange(samples) * (2 * np.pi * hz / SPOKEN_HZ)) * amplitude).astype(np.int16)
    return out
