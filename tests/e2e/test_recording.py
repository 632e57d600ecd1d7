"""Chromium plays recordings, with each side in its place."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from agent.record.file import CallFile, PartFile
from agent.record.stereo import export_stereo
from agent.record.tape import Piece, Tape
from tests.support.browser import BrowserFactory
from tests.support.recording import beeps, packets

CALLER_AT_S, AGENT_AT_S, LENGTH_S = [1.0, 3.0], [2.0, 4.5], 6.0
ONSETS = """
    async ([data, type]) => {
        const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
        const sound = await new AudioContext({ sampleRate: 48000 }).decodeAudioData(bytes.slice().buffer);
        const channels = [];
        for (let channel = 0; channel < sound.numberOfChannels; channel++) {
            const samples = sound.getChannelData(channel), found = [];
            let quiet = 48000;
            for (let at = 0; at < samples.length; at++, quiet++) {
                if (Math.abs(samples[at]) < 0.06) continue;
                if (quiet > 4800) found.push(at / 48000);
                quiet = 0;
            }
            channels.push(found);
        }
        const player = new Audio(URL.createObjectURL(new Blob([bytes], { type })));
        await new Promise((done, failed) => { player.oncanplay = done; player.onerror = failed; });
        player.currentTime = 4;
        await new Promise((done) => { player.onseeked = done; });
        return { channels, length: sound.duration, duration: player.duration };
    }
"""


def write(path: Path, codec: str) -> None:
    """Record a call with beeps, of which the network loses a third of the caller's other packets."""
    caller = packets("caller", beeps(CALLER_AT_S, LENGTH_S), codec, first=12345)
    caller = [packet for n, packet in enumerate(caller) if n % 3 or 40 < n < 60 or 140 < n < 160]
    tape, pieces = Tape(), list[Piece]()
    for packet in sorted(caller + packets("agent", beeps(AGENT_AT_S, LENGTH_S), codec), key=lambda each: each.now):
        pieces += tape.put(packet)
    pieces += tape.finish()
    disk = PartFile(path)
    file = CallFile(disk, tape.codecs)
    file.write(pieces)
    file.finish()
    disk.close()


@pytest.mark.parametrize(("codec", "name"), [("opus", "call.webm"), ("pcmu", "call.mka"), ("g722", "call.mka")])
async def test_chromium_plays_both_sides_in_place(
    tmp_path: Path, chromium: BrowserFactory, codec: str, name: str
) -> None:
    path, stereo = tmp_path / name, tmp_path / "stereo.webm"
    write(path, codec)
    export_stereo(str(path), str(stereo))
    files = [base64.b64encode(each.read_bytes()).decode() for each in (path, stereo)]
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto("about:blank")

        mono, both = [await page.evaluate(ONSETS, [data, "audio/webm"]) for data in files]
    assert mono["channels"] == [pytest.approx(CALLER_AT_S, abs=0.01)]
    left, right = both["channels"]
    assert left == pytest.approx(CALLER_AT_S, abs=0.01)
    assert right == pytest.approx(AGENT_AT_S, abs=0.01)
    for each in (mono, both):
        assert each["length"] == pytest.approx(LENGTH_S, abs=0.05)
        assert each["duration"] == pytest.approx(LENGTH_S, abs=0.05)
