"""Choose the codecs of an offered section that the call can use. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from aiortc.sdp import H264Profile, parse_h264_profile_level_id

from signaling.webrtc.sdp import STATIC_CODECS, Codec, MediaSection

AUDIO_CODEC_NAMES = "opus, G722, PCMU or PCMA"
_AUDIO_CODECS = frozenset({Codec("opus", 48_000), *STATIC_CODECS.values()})
_VIDEO_CODECS = frozenset({Codec("vp8", 90_000), Codec("h264", 90_000)})
_RTX = Codec("rtx", 90_000)
_H264_DEFAULT = "42e01f"  # what old browsers mean when they give no profile
_H264_PROFILES = (H264Profile.PROFILE_BASELINE, H264Profile.PROFILE_CONSTRAINED_BASELINE)
_LIKE_RTCP = range(64, 81)  # with the marker bit these payload types look like RTCP (RFC 5761 section 4)


def payloads_taken(section: MediaSection) -> dict[str, Codec]:
    """Return the taken codecs by payload type, in the client's order, then those of their retransmission."""
    ours = _AUDIO_CODECS if section.kind == "audio" else _VIDEO_CODECS
    offered = {payload: codec for payload, codec in section.codecs().items() if _can_be_sent(payload)}
    parameters = section.parameters() if section.kind == "video" else {}
    found = {
        payload: codec
        for payload, codec in offered.items()
        if codec in ours and (codec.name != "h264" or _is_our_h264(parameters.get(payload, {})))
    }
    again = {
        payload: codec
        for payload, codec in offered.items()
        if codec == _RTX and parameters.get(payload, {}).get("apt") in found
    }
    return found | again


def _can_be_sent(payload: str) -> bool:
    return str(int(payload)) == payload and int(payload) < 128 and int(payload) not in _LIKE_RTCP


def _is_our_h264(parameters: Mapping[str, str]) -> bool:
    """Return whether aiortc can depacketise H.264 with these parameters (RFC 6184 section 8.1)."""
    if parameters.get("packetization-mode") != "1":
        return False
    try:
        profile, _level = parse_h264_profile_level_id(parameters.get("profile-level-id", _H264_DEFAULT))
    except ValueError:
        return False
    return profile in _H264_PROFILES
