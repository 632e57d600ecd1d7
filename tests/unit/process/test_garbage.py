"""When Python collects garbage, and that refused offers and codecs leave no cycles behind."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest

from agent.errors import OfferError
from agent.media.decode import CODECS
from agent.media.encode import SILENCE, voice_encoder
from signaling.process.garbage import ENDED_PER_RUNNING_CALL, MAX_ENDED_CALLS, MIN_NEW_OBJECTS, is_due
from signaling.webrtc.offered import read_offer

AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=mid:{mid}\r\n"


def test_it_waits_for_a_moment_without_calls() -> None:
    assert not is_due(running=1, idle=False, ended=MAX_ENDED_CALLS - 1, made=(9_000, 19, 49))
    assert is_due(running=0, idle=True, ended=1, made=(MIN_NEW_OBJECTS + 1, 0, 0))
    assert is_due(running=0, idle=True, ended=0, made=(0, 0, 1)), "refused offers leave something, too"


def test_it_does_not_wait_for_ever() -> None:
    assert is_due(running=1, idle=False, ended=MAX_ENDED_CALLS, made=(0, 0, 0))


def test_the_more_calls_it_would_disturb_the_longer_it_waits() -> None:
    assert not is_due(running=60, idle=False, ended=60 * ENDED_PER_RUNNING_CALL - 1, made=(9_000, 19, 49))
    assert is_due(running=60, idle=False, ended=60 * ENDED_PER_RUNNING_CALL, made=(0, 0, 0))


def test_an_idle_service_rests() -> None:
    assert not is_due(running=0, idle=True, ended=MAX_ENDED_CALLS, made=(MIN_NEW_OBJECTS, 0, 0))


@pytest.mark.parametrize(
    "offer",
    [
        "v=0\r\n" + AUDIO.format(mid=0),
        "v=0\r\n" + AUDIO.format(mid=0) + AUDIO.format(mid=1),
        "v=0\r\na=group:BUNDLE 0 1\r\n" + AUDIO.format(mid=0) + AUDIO.format(mid=1),
        "v=0\r\n" + AUDIO.format(mid=0).replace("RTP/SAVPF", "RTP/AVP"),
        "v=0\r\n",
        "not SDP",
    ],
    ids=["insecure", "two", "bundled", "protocol", "empty", "garbage"],
)
def test_a_refused_offer_leaves_nothing_that_holds_itself(offer: str) -> None:
    with pytest.raises(OfferError) as raised:
        read_offer(offer)
    error = weakref.ref(raised.value)
    del raised
    assert error() is None


@pytest.mark.parametrize("codec", CODECS)
def test_codecs_start_no_threads(codec: str) -> None:
    """Where there is one core only, none ever does."""
    before = threads()
    encoder = voice_encoder(codec)
    decoder = CODECS[codec].decoder()
    decoder.decode(encoder.encode(SILENCE))
    assert threads() <= before


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
