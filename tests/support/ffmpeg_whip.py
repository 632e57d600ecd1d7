"""Publish a tone and a picture by FFmpeg's WHIP muxer, in a process of its own: PyAV blocks all threads meanwhile.

Usage: python -m tests.support.ffmpeg_whip URL KEY FOLDER
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc import RTCCertificate
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.tones import tone


def publish(url: str, key: str, folder: Path) -> None:
    """Publish four seconds of a tone and a picture, in real time."""
    options = {
        "authorization": key,
        "cert_file": str(folder / "cert.pem"),
        "key_file": str(folder / "key.pem"),
    }
    with av.open(url, "w", format="whip", options=options) as output:
        voice = output.add_stream("libopus", rate=48_000, layout="stereo")
        camera = output.add_stream(
            "libx264", rate=25, options={"profile": "baseline", "tune": "zerolatency", "g": "25"}
        )
        camera.width, camera.height, camera.pix_fmt = 320, 240, "yuv420p"
        sound = np.repeat(tone(800, 48_000, 4.0), 2).reshape(1, -1)
        picture = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, np.uint8)).reformat(format="yuv420p")
        began = time.monotonic()
        for number in range(200):
            frame = av.AudioFrame.from_ndarray(sound[:, number * 1920 : (number + 1) * 1920], "s16", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 960, Fraction(1, 48_000)
            output.mux(voice.encode(frame))
            if number % 2 == 0:
                picture.pts, picture.time_base = number // 2, Fraction(1, 25)
                output.mux(camera.encode(picture))
            time.sleep(max(0, began + number * 0.02 - time.monotonic()))


def write_certificate(folder: Path) -> None:
    """Write a certificate on the curve P-256; the muxer's own is on one that OpenSSL refuses."""
    certificate = RTCCertificate.generateCertificate()
    key = certificate._key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / "cert.pem").write_bytes(certificate._cert.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key)


if __name__ == "__main__":
    write_certificate(Path(sys.argv[3]))
    publish(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
