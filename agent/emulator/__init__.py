"""A local Gemini Live API server, faithful on the wire; it is also the offline demo model."""

from agent.emulator.faults.kinds import Fault
from agent.emulator.faults.script import load_faults, parse_script
from agent.emulator.generate import GenerateRecord, OnGenerate
from agent.emulator.hooks import HookedSession, Hooks, Refusal, SpeechPace
from agent.emulator.model.known import KnownPhrases
from agent.emulator.model.turn import CallFunction, OnTurn, Play, Raw, Reply, Say, Turn
from agent.emulator.moments import Moment
from agent.emulator.record import SessionRecord
from agent.emulator.server import Emulator, running_emulator
from agent.emulator.wire.generate import GenerateRequest
from agent.emulator.wire.outgoing import ServerMessage, message

__all__ = [
    "CallFunction",
    "Emulator",
    "Fault",
    "GenerateRecord",
    "GenerateRequest",
    "HookedSession",
    "Hooks",
    "KnownPhrases",
    "Moment",
    "OnGenerate",
    "OnTurn",
    "Play",
    "Raw",
    "Refusal",
    "Reply",
    "Say",
    "ServerMessage",
    "SessionRecord",
    "SpeechPace",
    "Turn",
    "load_faults",
    "message",
    "parse_script",
    "running_emulator",
]
