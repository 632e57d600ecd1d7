"""What all sessions of a server share."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.emulator.handles import Handles
from agent.emulator.model.recogniser import Recogniser
from agent.emulator.model.speech import SpeechCutter
from agent.emulator.model.turn import OnTurn


@dataclass(frozen=True)
class Shared:
    """The model's resources and settings; see ``running_emulator``."""

    cutter: SpeechCutter
    handles: Handles
    transcriber: Recogniser | None
    """None without speech recognition."""
    pace: float
    await_playback: bool
    on_turn: OnTurn | None
    wall: Callable[[], datetime]
    rng: random.Random
    setup_timeout_s: float = 30.0
    tool_timeout_s: float = 60.0
