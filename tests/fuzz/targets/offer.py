"""An SDP offer, or the answer of a telephone: what is taken of it can be read by aiortc, and be answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiortc.sdp import SessionDescription

from agent.errors import OfferError
from signaling.http.problem import MAX_BODY_BYTES
from signaling.webrtc import sdp
from signaling.webrtc.offered import read_offer
from signaling.webrtc.sdp_edits import with_active_setup, with_opus_wishes
from tests.fuzz.target import Take, Target, text_files


@contextmanager
def fresh() -> Iterator[Take]:
    yield take


def take(data: bytes) -> object:
    text = data.decode(errors="replace")
    offered = read_offer(text)
    ours = offered.for_aiortc()
    parsed = SessionDescription.parse(ours)
    assert [media.kind for media in parsed.media] == [each.section.kind for each in offered.taken.values()]
    answer = with_opus_wishes(offered.answer(ours))
    sections = sdp.media_sections(answer)
    assert [section.kind for section in sections] == [section.kind for section in offered.sections]
    for mid in (offered.speaking_mid, offered.hearing_mid):
        keys = sdp.key_clocks_hz(offered.section(mid))
        assert sdp.fitting_clocks_hz(keys, [48_000, 8_000]).keys() <= keys.keys()
    assert all(line.isascii() and line.isprintable() for line in offered.refused())
    assert 0 < offered.max_message_bytes <= sdp.MAX_MESSAGE_BYTES
    sdp.media_sections(with_active_setup(text))
    codecs = {codec.name for section in sections for codec in section.codecs().values()}
    return len(sections), frozenset(codecs), offered.one_transport, offered.wants_data


TARGET = Target(
    "offer",
    "lines",
    fresh,
    expected=(OfferError,),
    more=lambda: text_files("offers"),
    joined=b"\n",
    max_bytes=MAX_BODY_BYTES,
    quick=1000,
)
