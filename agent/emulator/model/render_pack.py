"""Renders the voice pack with flite: run ``python -m agent.emulator.model.render_pack`` when phrases.py changes."""

from __future__ import annotations

import io
import json
import subprocess
import tempfile
import wave
from pathlib import Path

import av
import numpy as np

from agent.emulator.model.pcm import SPOKEN_HZ, Pcm, level_speech, resample_whole, trim_silence
from agent.emulator.model.phrases import CALLER, PIECES, SENTENCES
from agent.emulator.model.voice import PACK_AUDIO, PACK_INDEX, key_of

_VOICES = {"agent": "slt", "caller": "rms"}
_GAP = np.zeros(SPOKEN_HZ // 10, dtype=np.int16)  # keeps the codec's ringing from one phrase out of the next
_BIT_RATE_BPS = 11_000


def _flite(text: str, voice: str, folder: Path) -> Pcm:
    out = folder / "out.wav"
    command = ["flite", "-voice", voice, "-t", text, "-o", str(out)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=30)  # noqa: S603 - our own phrases
    with wave.open(str(out), "rb") as recording:
        pcm = np.frombuffer(recording.readframes(recording.getnframes()), dtype=np.int16)
        rate = recording.getframerate()
    return level_speech(resample_whole(trim_silence(pcm, rate), rate, SPOKEN_HZ))


def _ogg_opus(pcm: Pcm) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=SPOKEN_HZ, options={"application": "voip"})
        stream.bit_rate = _BIT_RATE_BPS
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SPOKEN_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def main() -> None:
    """Write the pack's audio and its index beside this file."""
    wanted = [("agent", text) for text in (*SENTENCES, *PIECES)] + [("caller", text) for text in CALLER]
    index: dict[str, dict[str, list[int]]] = {"agent": {}, "caller": {}}
    parts: list[Pcm] = [_GAP]
    at = _GAP.size
    with tempfile.TemporaryDirectory() as folder:
        for voice, text in wanted:
            if key_of(text) in index[voice]:
                continue
            pcm = _flite(text, _VOICES[voice], Path(folder))
            index[voice][key_of(text)] = [at, pcm.size]
            parts += [pcm, _GAP]
            at += pcm.size + _GAP.size
    PACK_AUDIO.write_bytes(_ogg_opus(np.concatenate(parts)))
    PACK_INDEX.write_text(json.dumps(index, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
