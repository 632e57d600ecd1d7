"""Session descriptions are untrusted text that is read by lines and sections."""

from __future__ import annotations

import pytest

from agent.errors import OfferError
from signaling.webrtc.sdp import (
    KEYS_CLOCKS_HZ,
    MAX_MEDIA_SECTIONS,
    Codec,
    MediaSection,
    fitting_clocks_hz,
    key_clocks_hz,
    media_sections,
    shown,
    usable_candidate,
)
from signaling.webrtc.sdp_edits import OPUS_WISHES, with_keys, with_opus_wishes
from signaling.webrtc.trickle import Fragment, TrickledCandidate, parse_fragment
from tests.support.http import CHROMIUM_OFFER

SESSION = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
SECURITY = ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", "a=fingerprint:sha-256 00:11"]
OPUS = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=rtpmap:111 opus/48000/2"]
HOST = "candidate:1 1 udp 2113937151 192.0.2.7 54321 typ host"
MDNS = "candidate:2 1 udp 2113937151 6d3f0f2a.local 54322 typ host"


def text(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def offer(*media: str) -> str:
    return text(*SESSION, *SECURITY, *media)


def section(*lines: str) -> MediaSection:
    return media_sections(offer(*lines))[0]


@pytest.mark.parametrize(
    "sdp",
    [
        "",
        "hello",
        '{"sdp": "v=0"}',
        "v=01\r\n",
        offer("m=audio"),
        offer("m=audio 9 RTP/AVP"),
        offer("m=audio nine UDP/TLS/RTP/SAVPF 0"),
        offer("m=audio -9 UDP/TLS/RTP/SAVPF 0"),
        offer("m=audio 65536 UDP/TLS/RTP/SAVPF 0"),
        offer("m=audio \u0661 UDP/TLS/RTP/SAVPF 0"),
        offer(f"m=audio {'9' * 5000} UDP/TLS/RTP/SAVPF 0"),
        offer("m=audio 9 UDP/TLS/RTP/SAVPF \0"),
        offer(*["m=video 9 UDP/TLS/RTP/SAVPF 96"] * (MAX_MEDIA_SECTIONS + 1)),
    ],
)
def test_what_is_no_description_is_refused(sdp: str) -> None:
    with pytest.raises(OfferError) as caught:
        media_sections(sdp)
    assert (caught.value.status, caught.value.code) == (400, "invalid_sdp")
    assert len(caught.value.detail) < 200


def test_a_line_is_shown_short_and_in_ascii() -> None:
    assert shown("m=\xe4\0\n") == r"m=\xe4\x00\n"
    assert len(shown("x" * 1000)) == 83


def test_a_description_without_any_media_section_has_none() -> None:
    assert media_sections(text(*SESSION)) == []


def test_a_bundle_only_section_with_port_zero_is_not_rejected() -> None:
    """RFC 8843 section 6."""
    assert media_sections(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0"))[0].rejected
    assert not media_sections(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0", "a=bundle-only"))[0].rejected


def test_codecs_are_those_of_the_m_line_in_its_order() -> None:
    """RFC 3551 table 4: static payload types need no rtpmap."""
    audio = section("m=audio 9 UDP/TLS/RTP/SAVPF 8 111 126", "a=rtpmap:111 OPUS/48000/2", "a=rtpmap:99 G722/8000")
    assert audio.codecs() == {"8": Codec("pcma", 8000), "111": Codec("opus", 48_000)}
    assert audio.payloads() == {8: "pcma", 111: "opus"}


def test_an_rtpmap_overrides_the_static_table() -> None:
    assert section("m=audio 9 UDP/TLS/RTP/SAVPF 9", "a=rtpmap:9 L16/44100").codecs() == {"9": Codec("l16", 44_100)}


@pytest.mark.parametrize(
    "rtpmap", ["", "111", "111 opus", "111 opus/", "x opus/48000", "111 opus/48000/two", "1111 a/1"]
)
def test_an_rtpmap_that_cannot_be_read_is_passed_over(rtpmap: str) -> None:
    audio = section("m=audio 9 UDP/TLS/RTP/SAVPF 0 111", f"a=rtpmap:{rtpmap}")
    assert audio.payloads() == {0: "pcmu"}
    assert audio.unread_rtpmaps() == [rtpmap]


def test_parameters_are_read_whatever_their_spaces_and_letters() -> None:
    video = section("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=fmtp:96 Packetization-Mode = 1; profile-level-id=42E01F;x")
    expected = {"packetization-mode": "1", "profile-level-id": "42E01F", "x": ""}
    assert video.parameters() == {"96": expected}


def test_a_port_with_a_count_is_read() -> None:
    assert media_sections(offer("m=audio 49170/2 RTP/AVP 31"))[0].port == 49170


@pytest.mark.parametrize("end", ["\n", "\r", " \r\n", "\r\n\r\n"])
def test_lines_end_in_many_ways(end: str) -> None:
    assert media_sections(CHROMIUM_OFFER.replace("\r\n", end)) == media_sections(CHROMIUM_OFFER)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1 1 UDP 5 127.0.0.1 9 typ host generation 0", "1 1 udp 5 127.0.0.1 9 typ host"),
        ("1 1 udp 5 ::1 9 TYP SRFLX raddr x.local rport y", "1 1 udp 5 ::1 9 typ srflx"),
        ("1 1 tcp 5 127.0.0.1 9 typ host tcptype active", None),
        ("1 2 udp 5 127.0.0.1 9 typ host", None),
        ("1 1 udp 5 6d3f0f2a.local 9 typ host", None),
        ("1 1 udp 5 turn.example 9 typ host", None),
        ("1 1 udp 5 fe80::1%eth0 9 typ host", None),
        ("1 1 udp 5 0.0.0.0 9 typ host", None),
        ("1 1 udp 5 224.0.0.1 9 typ host", None),
        ("1 1 udp 5 127.0.0.1 9 typ prflx", None),
        ("1 1 udp 5 127.0.0.1 0 typ host", None),
        ("1 1 udp 5 127.0.0.1 65536 typ host", None),
        ("1 1 udp 4294967296 127.0.0.1 9 typ host", None),
        ("1 1 udp -1 127.0.0.1 9 typ host", None),
        ("1 1 udp \u0661 127.0.0.1 9 typ host", None),
        ("1 1 udp 5 127.0.0.1", None),
        ("", None),
    ],
)
def test_only_candidates_of_use_are_kept(value: str, expected: str | None) -> None:
    assert usable_candidate(value) == expected


def test_opus_wishes_follow_the_rtpmap() -> None:
    answer = offer(*OPUS, "a=sendrecv")
    assert with_opus_wishes(answer) == offer(*OPUS, f"a=fmtp:111 {OPUS_WISHES}", "a=sendrecv")


def test_opus_parameters_that_are_there_are_kept() -> None:
    answer = offer(*OPUS, "a=fmtp:111 useinbandfec=1")
    assert with_opus_wishes(answer) == answer


def test_an_answer_without_opus_gets_no_wishes() -> None:
    answer = offer("m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=rtpmap:0 PCMU/8000")
    assert with_opus_wishes(answer) == answer


def test_a_fragment_gives_candidates_by_section() -> None:
    fragment = parse_fragment(
        text(
            "a=ice-ufrag:abcd",
            "m=audio 9 UDP/TLS/RTP/SAVPF 0",
            "a=mid:0",
            f"a={HOST}",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
            "a=mid:1",
            f"a={HOST}",
            "a=end-of-candidates",
        )
    )
    expected = (TrickledCandidate("0", HOST), TrickledCandidate("1", HOST))
    assert fragment == Fragment("abcd", expected, end_of_candidates=True)


def test_a_fragment_leaves_mdns_candidates_out() -> None:
    assert parse_fragment(text("a=mid:0", f"a={MDNS}")) == Fragment(None, (), end_of_candidates=False)


def test_a_candidate_before_any_mid_belongs_to_the_first_section() -> None:
    assert parse_fragment(text(f"a={HOST}")).candidates == (TrickledCandidate(None, HOST),)


def test_a_section_without_mid_does_not_inherit_the_one_before() -> None:
    fragment = parse_fragment(text("a=mid:0", f"a={HOST}", "m=video 9 UDP/TLS/RTP/SAVPF 96", f"a={HOST}"))
    assert [candidate.mid for candidate in fragment.candidates] == ["0", None]


@pytest.mark.parametrize("body", ["", "hello", '{"candidate": ""}', "a=mid:0\r\n"])
def test_what_is_no_fragment_is_refused(body: str) -> None:
    with pytest.raises(OfferError) as caught:
        parse_fragment(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_sdp_fragment")


PHONE = "v=0\r\nm=audio 4000 RTP/AVP 101 8 96\r\na=rtpmap:8 PCMA/8000\r\n"


def test_keys_are_found_by_their_clock() -> None:
    offer = PHONE + "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:96 Telephone-Event/48000\r\n"
    assert key_clocks_hz(media_sections(offer)[0]) == {101: 8000, 96: 48000}
    assert key_clocks_hz(media_sections(offer.replace(" 101 8 96", " 8"))[0]) == {}  # mapped, but not offered


@pytest.mark.parametrize(
    "rtpmap",
    [
        "101 telephone-event/8000",
        "101 telephone-event/8000/1",
        "101  telephone-event/8000 ",
        " 101 TELEPHONE-EVENT / 8000 / 1",
        "101\ttelephone-event/8000",
    ],
)
def test_keys_are_found_however_they_are_written(rtpmap: str) -> None:
    description = PHONE + f"a=rtpmap:{rtpmap}\r\n"
    assert key_clocks_hz(media_sections(description)[0]) == {101: 8000}


def test_a_codec_is_found_however_it_is_written() -> None:
    written = offer("m=audio 9 UDP/TLS/RTP/SAVPF 0 111", "a=rtpmap:0  PCMU/8000 ", "a=rtpmap: 111 opus / 48000 / 2")
    assert list(media_sections(written)[0].payloads().values()) == ["pcmu", "opus"]


def test_keys_go_by_the_clock_of_the_audio() -> None:
    both = {101: 8000, 110: 48000}
    assert list(fitting_clocks_hz(both, [48000, 8000])) == [110, 101]
    assert list(fitting_clocks_hz(both, [8000, 8000, 48000])) == [101, 110]
    assert fitting_clocks_hz(both, [8000]) == {101: 8000}
    assert fitting_clocks_hz(both, [48000]) == {110: 48000}
    assert fitting_clocks_hz({101: 8000}, [48000]) == {101: 8000}, "better than none"
    assert fitting_clocks_hz({}, [48000]) == {}


def test_keys_are_added_to_an_offer_of_ours() -> None:
    offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96 0\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n"
    edited = with_keys(offer)
    assert key_clocks_hz(media_sections(edited)[0]) == KEYS_CLOCKS_HZ == {101: 8000, 110: 48000}
    names = list(media_sections(edited)[0].payloads().values())
    assert names == ["opus", "pcmu", "telephone-event", "telephone-event"]
    assert edited.count("telephone-event") == 2
