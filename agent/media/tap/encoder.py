"""Encode audio without the filter graph that PyAV puts before an encoder: the file with a private name of PyAV.

PyAV 18 has every frame pass a graph that cuts it to the size which the encoder takes, and a graph has a thread per
core: idle, but per call. Frames of the right size can go to the encoder itself.
"""

from __future__ import annotations

from typing import Any

import av

_SEND = "_send_frame_and_recv"


def encode_whole(codec: av.AudioCodecContext, frame: av.AudioFrame) -> bytes:
    """Encode a frame that is in the encoder's own format, and as long as it takes.

    Args:
        codec: an encoder, with its ``time_base``.
        frame: of its format, layout, rate and `frame_size`.
    """
    send: Any = getattr(codec, _SEND, None)
    if send is None:
        return b"".join(bytes(packet) for packet in codec.encode(frame))
    if not codec.is_open:
        codec.open()
    return b"".join(bytes(packet) for packet in send(frame))
