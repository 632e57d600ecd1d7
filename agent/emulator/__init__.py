"""A local Gemini Live API server, wire-faithful, which is also the offline demo model."""

from agent.emulator.command import run
from agent.emulator.faults.script import Fault, load_faults, parse_script
from agent.emulator.hooks import Hooks, Moment, Refusal, Tempo, Wire
from agent.emulator.model.brain import Call, OnTurn, Play, Raw, Reply, Say, Turn
from agent.emulator.record import SessionRecord
from agent.emulator.server import Emulator, running_emulator
from agent.emulator.wire import ServerMessage, message

__all__ = [
    "Call",
    "Emulator",
    "Fault",
    "Hooks",
    "Moment",
    "OnTurn",
    "Play",
    "Raw",
    "Refusal",
    "Reply",
    "Say",
    "ServerMessage",
    "SessionRecord",
    "Tempo",
    "Turn",
    "Wire",
    "load_faults",
    "message",
    "parse_script",
    "run",
    "running_emulator",
]
