"""What a scenario's caller plays and says, ready before the call: int16, shape ``(samples,)``, mono, 24 kHz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from agent.emulator import KnownPhrases
from agent.emulator.model.pcm import resample_whole
from agent.emulator.model.voice import Voice
from agent.errors import ConfigError
from agent.media.fir import Pcm
from signaling.client.files import SOUND_RATE_HZ, read_sound
from signaling.load.scenario import Act, BargeIn, Play, Say, Scenario, Tone
from signaling.load.sounds import RATE_HZ, VOICE_RMS, rms_of, tone

KNOWN_HZ = 16_000


class CallerVoice:
    """Makes the sounds of callers; one for all scenarios, because it remembers what a program has said."""

    def __init__(self) -> None:
        self._voice = Voice(caller=True)

    async def prepare(self, scenario: Scenario, phrases: KnownPhrases) -> dict[Act, Pcm]:
        """Return the sound of each step that has one, and let the offline model know what is said.

        Raises:
            ConfigError: a file cannot be read, or nothing here can say a text.
        """
        sounds: dict[Act, Pcm] = {}
        for step in scenario.steps:
            if isinstance(step.act, Say | BargeIn | Play | Tone) and step.act not in sounds:
                try:
                    sounds[step.act] = await self.sound(step.act, phrases, scenario.folder)
                except ConfigError as error:
                    raise ConfigError(f"{scenario.name}, line {step.line}: {error}") from None
        return sounds

    async def sound(self, act: Say | BargeIn | Play | Tone, phrases: KnownPhrases, folder: str = ".") -> Pcm:
        """Return the sound of one act.

        Raises:
            ConfigError: see `prepare`.
        """
        if isinstance(act, Tone):
            return tone(act.hz, act.for_ms)
        if isinstance(act, Play):
            pcm = resample_whole(read_sound(Path(folder, act.file)), SOUND_RATE_HZ, RATE_HZ)
        else:
            pcm = await self._say(text_of(act) or "")
        text = text_of(act)
        if text is not None:
            phrases.add(text, resample_whole(pcm, RATE_HZ, KNOWN_HZ))
        return pcm

    async def _say(self, text: str) -> Pcm:
        pcm = await self._voice.say_as_caller(text)
        if pcm is None:
            raise ConfigError(
                f"nothing on this machine can say {text[:60]!r}: install flite or espeak-ng, or play a file"
            )
        return pcm


def text_of(act: Act) -> str | None:
    """Return what is said aloud in a step, as text; None if nothing is, or it is not known."""
    match act:
        case Say(text=text) | Play(text=text):
            return text
        case BargeIn(say=text):
            return text
    return None


def level_of(sounds: Iterator[Pcm]) -> float:
    """Return how loud the caller's voice is, for the noise below it."""
    found = [rms_of(pcm) for pcm in sounds]
    return float(np.mean(found)) if found else VOICE_RMS
