"""Configures the watchdog of a call, which says how long to wait for the model, from the settings."""

from __future__ import annotations

from agent.call.setup import AgentSetup
from agent.dialog.watchdog import Watchdog
from agent.live.config import vad_silence_s
from agent.live.models import answer_timeout_s, ignores_speech
from agent.media.level import HANGOVER_S

MODEL_BEGINS_S = 1.0
"How long the model may take to begin its answer."
MIN_DEAD_S = 7.0
"The least time without anything from the server, while the caller speaks, before a Live session counts as dead."
PONG_S = 2.0
"How long a pong may take."


def watchdog_for(setup: AgentSetup) -> Watchdog:
    """Return a watchdog configured for the model and the settings."""
    settings = setup.settings
    marked = setup.marks_turns  # a turn that is marked ends at once, not after a silence
    return Watchdog(
        answer_timeout_s(settings),
        transcribed=settings.input_transcription and not marked,
        ignores_speech=ignores_speech(settings),
        writes=not settings.audio_output,
        answerable_pause_s=MODEL_BEGINS_S + (0.0 if marked else vad_silence_s(settings, setup.vad)),
        hangover_s=0.0 if marked else HANGOVER_S,
        dead_after_s=max(MIN_DEAD_S, settings.ping_interval_s + PONG_S),
    )
