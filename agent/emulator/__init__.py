"""A local Gemini Live API server, wire-faithful, which is also the offline demo model."""

from agent.emulator.brain import Call, OnTurn, Play, Raw, Reply, Say, Turn
from agent.emulator.command import run
from agent.emulator.hooks import Hooks, Moment, Wire
from agent.emulator.record import SessionRecord
from agent.emulator.server import Emulator, running_emulator
from agent.emulator.wire import ServerMessage, message

__all__ = [
    "Call",
    "Emulator",
    "Hooks",
    "Moment",
    "OnTurn",
    "Play",
    "Raw",
    "Reply",
    "Say",
    "ServerMessage",
    "SessionRecord",
    "Turn",
    "Wire",
    "message",
    "run",
    "running_emulator",
]
