"""Encode audio without the filter graph that PyAV puts before an encoder. This file uses a private name of PyAV.

In PyAV 18 every frame passes through a graph that cuts it to the encoder's frame size, and each graph has a thread
per core: idle ones, but for each call. Frames of the right size can go straight to the encoder.
"""

from __future__ import annotations

from typing import Any

import av

_SEND = "_send_frame_and_recv"


def encode_whole(codec: av.AudioCodecContext, frame: av.AudioFrame) -> bytes:
    """Encode a frame that already has the encoder's format and frame size.

    Args:
        codec: an encoder whose ``time_base`` is set.
        frame: has the encoder's format, layout, rate and `frame_size`.
    """
    send: Any = getattr(codec, _SEND, None)
    if send is None:
        return b"".join(bytes(packet) for packet in codec.encode(frame))
    if not codec.is_open:
        codec.open()
    return b"".join(bytes(packet) for packet in send(frame))
