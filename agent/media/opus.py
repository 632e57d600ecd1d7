"""Use the system's libopus through cffi, for what PyAV does not offer or makes expensive.

It decodes straight to 16 kHz mono (no resampler, no aliasing), conceals losses, uses FEC, and has an encoder that
returns its packet at once. If the library is missing, `available` returns False, and PyAV and fir.py are used.
Source: the Opus C API, opus.h and opus_defines.h (RFC 6716).
"""

from __future__ import annotations

import ctypes.util
from functools import lru_cache
from typing import Any

import numpy as np
from cffi import FFI

from agent.errors import MediaError
from agent.media.fir import Pcm

_ffi = FFI()
_ffi.cdef(
    """
    typedef struct OpusEncoder OpusEncoder;
    typedef struct OpusDecoder OpusDecoder;
    OpusEncoder *opus_encoder_create(int32_t rate_hz, int channels, int application, int *error);
    int32_t opus_encode(OpusEncoder *, const int16_t *pcm, int samples, unsigned char *packet, int32_t max_bytes);
    int opus_encoder_ctl(OpusEncoder *, int request, ...);
    void opus_encoder_destroy(OpusEncoder *);
    OpusDecoder *opus_decoder_create(int32_t rate_hz, int channels, int *error);
    int opus_decode(OpusDecoder *, const unsigned char *packet, int32_t bytes, int16_t *pcm, int samples, int fec);
    int opus_decoder_ctl(OpusDecoder *, int request, ...);
    void opus_decoder_destroy(OpusDecoder *);
    int opus_packet_get_nb_samples(const unsigned char *packet, int32_t bytes, int32_t rate_hz);
    const char *opus_strerror(int error);
    const char *opus_get_version_string(void);
    """
)

RESTRICTED_LOWDELAY = 2051
SET_BITRATE, SET_COMPLEXITY, SET_VBR_CONSTRAINT, RESET_STATE = 4002, 4010, 4020, 4028
MAX_PACKET_BYTES = 1275  # size of the largest frame, RFC 6716 section 3.2
MAX_PACKET_S = 0.12  # RFC 6716 section 3.2.5


@lru_cache(maxsize=1)
def _library() -> Any:
    for name in ("libopus.so.0", ctypes.util.find_library("opus")):
        if name:
            try:
                return _ffi.dlopen(name)
            except OSError:
                continue
    return None


def available() -> bool:
    """Return True if the system's libopus could be loaded."""
    return _library() is not None


def version() -> str | None:
    """Return libopus's version string, or None if the library is missing."""
    library = _library()
    return _ffi.string(library.opus_get_version_string()).decode() if library else None


def _check(status: int) -> int:
    if status < 0:
        raise MediaError(f"libopus: {_ffi.string(_library().opus_strerror(status)).decode()}")
    return status


class OpusEncoder:
    """Encodes the agent's voice with CELT only (restricted low delay) and 2.5 ms of lookahead.

    Args:
        rate_hz: rate of the PCM, one of the five that Opus supports.
        bitrate_bps: target bit rate; constrained VBR keeps each packet near it.
        complexity: 0 to 10.

    Raises:
        MediaError: libopus refuses the arguments.
    """

    def __init__(self, rate_hz: int, *, bitrate_bps: int = 44_000, complexity: int = 5) -> None:
        library = _library()
        error = _ffi.new("int *")
        state = library.opus_encoder_create(rate_hz, 1, RESTRICTED_LOWDELAY, error)
        _check(error[0])
        self._state = _ffi.gc(state, library.opus_encoder_destroy)
        self._packet = _ffi.new("unsigned char[]", MAX_PACKET_BYTES)
        self._encode = library.opus_encode
        for request, value in (
            (SET_BITRATE, bitrate_bps),
            (SET_COMPLEXITY, complexity),
            (SET_VBR_CONSTRAINT, 1),
        ):
            _check(library.opus_encoder_ctl(self._state, request, _ffi.cast("int32_t", value)))

    def encode(self, pcm: Pcm) -> bytes:
        """Encode one frame.

        Args:
            pcm: int16, shape ``(samples,)``, mono, contiguous; 2.5 to 60 ms.

        Returns:
            One Opus packet.
        """
        pointer = _ffi.from_buffer("int16_t[]", pcm)
        size = _check(self._encode(self._state, pointer, len(pcm), self._packet, MAX_PACKET_BYTES))
        return bytes(_ffi.buffer(self._packet, size))


class OpusDecoder:
    """Decodes a caller's Opus straight to mono at the given rate.

    Args:
        rate_hz: rate of the PCM returned, one of the five that Opus supports.
    """

    def __init__(self, rate_hz: int) -> None:
        library = _library()
        error = _ffi.new("int *")
        state = library.opus_decoder_create(rate_hz, 1, error)
        _check(error[0])
        self._state = _ffi.gc(state, library.opus_decoder_destroy)
        self._rate_hz = rate_hz
        self._room = int(rate_hz * MAX_PACKET_S)
        self._pcm = _ffi.new("int16_t[]", self._room)
        self._view = np.frombuffer(_ffi.buffer(self._pcm), np.int16)
        self._decode = library.opus_decode

    def decode(self, packet: bytes) -> Pcm:
        """Decode a packet to int16, shape ``(samples,)``, mono.

        Raises:
            MediaError: the packet is not Opus.
        """
        samples = _check(self._decode(self._state, packet, len(packet), self._pcm, self._room, 0))
        return self._view[:samples].copy()

    def recover(self, next_packet: bytes, samples: int) -> Pcm:
        """Return a lost packet's audio from the FEC data in the next packet, or concealment if that has none."""
        got = _check(self._decode(self._state, next_packet, len(next_packet), self._pcm, samples, 1))
        return self._view[:got].copy()

    def conceal(self, samples: int) -> Pcm:
        """Return concealment for a lost packet; ``samples`` must be a multiple of 2.5 ms and at most 120 ms."""
        got = _check(self._decode(self._state, _ffi.NULL, 0, self._pcm, samples, 0))
        return self._view[:got].copy()

    def reset(self) -> None:
        """Forget the past audio, for example at a new sender."""
        _check(_library().opus_decoder_ctl(self._state, RESET_STATE))
