"""Make scenarios ready to be played by callers that cost little: what they say is rendered and encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.emulator.model.phrases import NOT_ALOUD
from agent.emulator.model.voice import Voice, speech_pack
from agent.errors import ConfigError
from agent.media.fir import FirResampler, Pcm
from agent.media.playout import VOICE_RATE_HZ
from signaling.client.files import SOUND_RATE_HZ, read_sound
from signaling.load.clips import clip_of, quiet, tone
from signaling.load.player import Script
from signaling.load.scenario import BargeIn, Camera, Picture, Play, Press, Say, Scenario, Step, Tone


async def scripts_of(scenarios: Sequence[Scenario]) -> list[Script]:
    """Return the scripts of scenarios, in their order.

    Raises:
        ConfigError: a scenario does what such callers cannot, or a file or text of it cannot be said.
    """
    voice = Voice()
    return [await _script(scenario, voice) for scenario in scenarios]


async def _script(scenario: Scenario, voice: Voice) -> Script:
    _check(scenario)
    speech: dict[int, Pcm] = {}
    for index, step in enumerate(scenario.steps):
        pcm = await _speech(step, scenario, voice)
        if pcm is not None:
            speech[index] = pcm
    snr_db = None if scenario.noise is None else scenario.noise.snr_db
    clips = {index: clip_of(pcm, snr_db, scenario.seed + index) for index, pcm in speech.items()}
    everything = np.concatenate(list(speech.values())) if speech else None
    return Script(scenario, clips, quiet(everything, snr_db, scenario.seed))


async def _speech(step: Step, scenario: Scenario, voice: Voice) -> Pcm | None:
    """Return what a step sounds like: int16, mono, 24 kHz; None if it is not heard."""
    match step.act:
        case Say(text=text) | BargeIn(say=text):
            try:
                return speech_pack().caller_phrase(text)
            except KeyError:
                pass  # not one of the caller's phrases in the speech pack
            spoken = await voice.say(text)
            if spoken is speech_pack().phrase(NOT_ALOUD):
                raise ConfigError(
                    f"scenario {scenario.name!r}, line {step.line}: nothing here can say {text!r}; install flite "
                    "or espeak-ng"
                )
            return spoken
        case Play(file=file):
            sound = read_sound(Path(scenario.folder, file))
            sound = np.concatenate((sound, np.zeros(SOUND_RATE_HZ // 50, np.int16)))  # what the resampler keeps
            return FirResampler(SOUND_RATE_HZ, VOICE_RATE_HZ).push(sound)
        case Tone(hz=hz, for_ms=for_ms):
            return tone(hz, for_ms)
    return None


def _check(scenario: Scenario) -> None:
    """Check that each step can be played.

    Raises:
        ConfigError: one cannot.
    """
    for step in scenario.steps:
        where = f"scenario {scenario.name!r}, line {step.line}"
        if isinstance(step.act, Camera | Press):
            raise ConfigError(
                f"{where}: {step.name} is not possible in a load test, whose callers send prepared speech only; "
                "talkspurt test can play it"
            )
        if isinstance(step.act, Picture) and not Path(scenario.folder, step.act.file).is_file():
            raise ConfigError(f"{where}: there is no file {step.act.file}")
