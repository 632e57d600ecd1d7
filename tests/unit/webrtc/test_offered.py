"""Which parts of an offer are accepted: aiortc gets nothing it could fail on; the rest is refused in its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import OfferError
from signaling.webrtc.offered import MAX_TRANSPORTS, Offered, read_offer

DATA = Path(__file__).parents[2] / "data"
OFFERS = {path.stem: path.read_bytes().decode() for path in sorted((DATA / "offers").iterdir())}
SESSION = "v=0\ns=-\n"
SECURITY = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=fingerprint:sha-256 00:11\na=setup:actpass\n"
CANDIDATE = "a=candidate:1 1 udp 5 127.0.0.1 9 typ host"


def audio(mid: str, *more: str, payload: int = 111) -> str:
    first = f"m=audio 9 UDP/TLS/RTP/SAVPF {payload}\na=mid:{mid}\na=rtcp-mux\na=rtpmap:{payload} opus/48000/2\n"
    return first + "".join(f"{line}\n" for line in more)


def video(mid: str, *more: str) -> str:
    return audio(mid, *more, payload=96).replace("m=audio", "m=video").replace("opus/48000/2", "VP8/90000")


def lines_of(offered: Offered, start: str) -> list[str]:
    return [line for line in offered.for_aiortc().split("\r\n") if line.startswith(start)]


def test_aiortc_gets_only_what_was_read() -> None:
    """With the transport of the bundle in each section of it, and codecs in the client's order."""
    more = ("a=x:y", "i=me", "a=rtcp-fb:* nack pli", "a=rtpmap:45 AV1/90000")
    offer = (
        SESSION + "a=group:BUNDLE v a\n" + video("v", *more) + SECURITY + audio("a").replace(" 111\n", " 0 111\n")
    )
    security = SECURITY.strip().split("\n")
    assert sorted(read_offer(offer).for_aiortc().strip().split("\r\n")) == sorted(
        [
            *["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE v a"],
            *["m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:v", "a=sendrecv", "a=rtcp-mux"],
            *["a=rtpmap:96 vp8/90000", "a=rtcp-fb:96 nack pli", *security],
            *["m=audio 9 UDP/TLS/RTP/SAVPF 0 111", "a=mid:a", "a=sendrecv", "a=rtcp-mux"],
            *["a=rtpmap:0 pcmu/8000", "a=rtpmap:111 opus/48000/2", *security],
        ]
    )


def test_candidates_of_a_bundle_may_stand_in_any_of_its_sections() -> None:
    """aiortc takes those of the last section only, where bundle-only sections have none."""
    offer = SESSION + "a=group:BUNDLE 0 1\n" + audio("0", CANDIDATE) + SECURITY + video("1")
    assert lines_of(read_offer(offer), "a=candidate") == [CANDIDATE] * 2


def test_candidates_of_another_transport_are_left_out() -> None:
    other = SECURITY.replace("abcd", "efgh")
    offer = SESSION + "a=group:BUNDLE 0 1\n" + audio("0") + SECURITY + video("1", CANDIDATE) + other
    assert lines_of(read_offer(offer), "a=candidate") == []
    assert lines_of(read_offer(offer), "a=ice-ufrag") == ["a=ice-ufrag:abcd"] * 2
    assert read_offer(offer).ufrags == {"abcd", "efgh"}


def test_a_bundle_is_led_by_its_first_section_that_is_taken() -> None:
    """RFC 8843 section 7.3.1."""
    refused = video("0").replace("VP8", "AV1") + SECURITY
    offer = (
        SESSION + "a=group:BUNDLE 0 1 2\n" + refused + audio("1") + SECURITY.replace("abcd", "efgh") + video("2")
    )
    offered = read_offer(offer)
    assert offered.bundle == ("1", "2")
    assert lines_of(offered, "a=ice-ufrag") == ["a=ice-ufrag:efgh"] * 2


def test_what_a_section_says_goes_before_what_the_session_says() -> None:
    session = SESSION + SECURITY.replace("abcd", "efgh").replace("00:11", "22:33") + "a=recvonly\n"
    assert lines_of(read_offer(session + audio("0")), "a=fingerprint") == ["a=fingerprint:sha-256 22:33"]
    assert read_offer(session + audio("0")).taken[0].direction == "recvonly"
    both = read_offer(session + audio("0", "a=sendonly") + SECURITY)
    assert lines_of(both, "a=fingerprint") == ["a=fingerprint:sha-256 00:11"]
    assert lines_of(both, "a=ice-ufrag") == ["a=ice-ufrag:abcd"]
    assert both.taken[0].direction == "sendonly"


def test_the_strongest_fingerprint_counts() -> None:
    """RFC 8122 section 5; aiortc wants all of them to match."""
    more = "a=fingerprint:SHA-512 aa:bb\na=fingerprint:sha-1 44:55\na=fingerprint:sha-384 66:77\n"
    offered = read_offer(SESSION + audio("0") + SECURITY + more)
    assert lines_of(offered, "a=fingerprint") == ["a=fingerprint:sha-512 AA:BB"]


def test_a_setup_that_is_left_out_is_active() -> None:
    """RFC 4145 section 4."""
    offered = read_offer(SESSION + audio("0") + SECURITY.replace("a=setup:actpass\n", ""))
    assert lines_of(offered, "a=setup") == ["a=setup:active"]


def test_sources_are_the_first_and_its_retransmission() -> None:
    """aiortc takes the second number for the retransmission, whatever it is."""
    sources = ["a=ssrc-group:SIM 1 2", "a=ssrc-group:FID 1 3", *(f"a=ssrc:{ssrc} cname:x" for ssrc in (1, 2, 3))]
    offered = read_offer(SESSION + audio("0") + SECURITY + video("1", *sources) + SECURITY)
    assert lines_of(offered, "a=ssrc") == ["a=ssrc:1 cname:-", "a=ssrc:3 cname:-"]


def test_no_bit_rate_is_estimated_from_pictures() -> None:
    extension = "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    offered = read_offer(SESSION + audio("0", extension) + SECURITY + video("1", extension) + SECURITY)
    assert lines_of(offered, "a=extmap") == [extension]


def test_mids_that_are_too_long_for_a_packet_are_not_put_into_one() -> None:
    extension = "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid"
    assert lines_of(read_offer(SESSION + audio("m" * 16, extension) + SECURITY), "a=extmap") == [extension]
    assert lines_of(read_offer(SESSION + audio("m" * 17, extension) + SECURITY), "a=extmap") == []
    assert lines_of(read_offer(SESSION + audio("", extension) + SECURITY), "a=extmap") == []


def test_one_section_may_be_for_speaking_and_one_for_hearing() -> None:
    offer = SESSION + audio("0", "a=inactive") + SECURITY + audio("1", "a=recvonly") + SECURITY
    only_listens = read_offer(offer)
    assert (only_listens.speaking_mid, only_listens.hearing_mid) == ("1", "1")
    both = read_offer(offer + audio("2", "a=sendonly") + SECURITY + audio("3") + SECURITY)
    assert (both.speaking_mid, both.hearing_mid) == ("1", "2")


def test_a_section_without_mid_gets_one_that_nobody_has() -> None:
    offered = read_offer(SESSION + audio("") + SECURITY + video("0") + SECURITY)
    assert lines_of(offered, "a=mid") == ["a=mid:1", "a=mid:0"]


def test_an_offer_does_not_open_as_many_ports_as_it_likes() -> None:
    sections = [audio("a"), *(video(str(number)) for number in range(8))]
    offered = read_offer(SESSION + "".join(section + SECURITY for section in sections))
    assert list(offered.taken) == list(range(MAX_TRANSPORTS))
    assert offered.refused() == ["video"] * 5


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        (SESSION, (422, "no_acceptable_audio")),
        (SESSION + video("0") + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0", "a=inactive") + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0").replace("m=audio 9", "m=audio 0") + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0").replace("opus/48000", "G729/8000") + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0").replace("opus/48000", "opus/16000") + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0", payload=72) + SECURITY, (422, "no_acceptable_audio")),
        (SESSION + audio("0").replace("a=rtcp-mux\n", "") + SECURITY, (422, "rtcp_mux_required")),
        (SESSION + audio("0"), (400, "invalid_sdp")),
        (SESSION + audio("0") + SECURITY.replace("a=fingerprint", "a=thumbprint"), (400, "invalid_sdp")),
        (SESSION + audio("0") + SECURITY.replace("00:11", "0011"), (400, "invalid_sdp")),
    ],
)
def test_an_offer_that_cannot_become_a_call_is_refused(offer: str, expected: tuple[int, str]) -> None:
    with pytest.raises(OfferError) as caught:
        read_offer(offer)
    assert (caught.value.status, caught.value.code) == expected


def test_a_password_is_not_said_again() -> None:
    with pytest.raises(OfferError) as caught:
        read_offer(SESSION + audio("0") + SECURITY.replace("0123456789012345678901", "my secret"))
    assert "a=ice-pwd:..." in caught.value.detail
    assert "secret" not in caught.value.detail


@st.composite
def damaged_offers(draw: st.DrawFn) -> str:
    """Draw a client's offer with lines that are lost, cut off, doubled, moved or damaged."""
    lines = draw(st.sampled_from(list(OFFERS.values()))).splitlines()
    for _ in range(draw(st.integers(1, 6))):
        at, to = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        place = draw(st.integers(0, len(lines[at])))
        match draw(st.sampled_from(("lose", "cut", "double", "move", "spoil"))):
            case "lose" if len(lines) > 1:
                del lines[at]
            case "cut":
                lines[at] = lines[at][:place]
            case "double":
                lines.insert(to, lines[at])
            case "move":
                lines.insert(to, lines.pop(at))
            case _:
                spoil = draw(st.text("\0\t 0189:/=;*-.\xe9\u2028\x85", max_size=6))
                lines[at] = lines[at][:place] + spoil + lines[at][draw(st.integers(place, len(lines[at]))) :]
    return draw(st.sampled_from(("\r\n", "\n", "\r"))).join(lines)


@given(damaged_offers())
def test_whatever_is_taken_of_a_damaged_offer_aiortc_can_take(offer: str) -> None:
    """Its rules are those of setRemoteDescription; anything that it raises would be a 500."""
    try:
        offered = read_offer(offer)
    except OfferError as error:
        assert error.status in (400, 422)  # noqa: PT017
        return
    description = SessionDescription.parse(offered.for_aiortc())
    assert [media.kind for media in description.media] == [each.section.kind for each in offered.taken.values()]
    mids = [media.rtp.muxId for media in description.media]
    assert len(set(mids)) == len(mids) == len([mid for mid in mids if mid])
    assert not description.group or set(description.group[0].items) <= set(mids)
    for media in description.media:
        assert media.ice is not None
        assert media.ice.usernameFragment
        assert media.ice.password
        assert media.dtls is not None
        assert media.dtls.fingerprints
        if media.kind == "application":
            assert media.profile == "DTLS/SCTP" or media.sctp_port
        else:
            assert media.rtcp_mux
            assert media.direction
            assert find_common_codecs(CODECS[media.kind], media.rtp.codecs)


ODD_LINE_ENDS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
SMUGGLED = "a=candidate:9 1 udp 9 10.9.9.9 9 typ host"


@pytest.mark.parametrize("separator", ODD_LINE_ENDS)
@pytest.mark.parametrize(
    "line",
    [
        "a=rtcp-fb:96 nack{}",
        "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f{}",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:toffset x{}",
        "a=ssrc:1 cname:x{}",
        "a=mid:1{}",
        "a=x{}",
    ],
)
def test_aiortc_reads_no_line_that_was_not_judged(separator: str, line: str) -> None:
    """It ends lines where `str.splitlines` does: what hides behind an odd separator is judged as well."""
    asked: list[str] = []

    def admit(_mid: str, candidate: str) -> bool:
        asked.append(candidate)
        return False

    h264 = ("a=fmtp:96 packetization-mode=1", line.format(separator + SMUGGLED))
    shown = video("1", *h264).replace("VP8", "H264")
    offer = SESSION + audio("0") + SECURITY + shown + SECURITY
    text = read_offer(offer, admit).for_aiortc()
    assert "10.9.9.9" not in text
    assert asked == ["9 1 udp 9 10.9.9.9 9 typ host"]
    assert text.splitlines() == text.removesuffix("\r\n").split("\r\n")


@given(st.data())
def test_our_lines_are_aiortcs_lines(data: st.DataObject) -> None:
    offer = OFFERS[data.draw(st.sampled_from(sorted(OFFERS)))]
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(offer)))
        piece = data.draw(st.sampled_from(ODD_LINE_ENDS)) + data.draw(
            st.sampled_from(["", SMUGGLED, "m=audio 9 x y"])
        )
        offer = offer[:place] + piece + offer[place:]
    try:
        text = read_offer(offer, lambda _mid, candidate: "10.9.9.9" not in candidate).for_aiortc()
    except OfferError:
        return
    assert "10.9.9.9" not in text
    assert text.splitlines() == text.removesuffix("\r\n").split("\r\n")


def test_candidates_of_a_bundle_are_asked_for_once() -> None:
    asked: list[tuple[str, str]] = []

    def admit(mid: str, candidate: str) -> bool:
        asked.append((mid, candidate))
        return True

    bundled = "a=group:BUNDLE 0 1\n" + audio("0", CANDIDATE) + SECURITY + video("1")
    offered = read_offer(SESSION + bundled + video("2", CANDIDATE).replace("96", "97") + SECURITY, admit)
    candidate = CANDIDATE.removeprefix("a=candidate:")
    assert asked == [("0", candidate), ("2", candidate)]
    assert offered.leading == {None: "0", "0": "0", "1": "0", "2": "2"}
