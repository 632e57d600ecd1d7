"""Offers are untrusted text: what cannot become a call is refused with a sentence, and edits touch nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import OfferError
from signaling.sdp import (
    KEYS_CLOCKS_HZ,
    MAX_MEDIA_SECTIONS,
    OPUS_WISHES,
    Fragment,
    TrickledCandidate,
    audio_payloads,
    check_offer,
    fitting_clocks_hz,
    for_aiortc,
    ice_ufrag,
    is_mdns_candidate,
    key_clocks_hz,
    media_sections,
    negotiated_audio_codec,
    parse_fragment,
    with_keys,
    with_opus_wishes,
)

CHROMIUM = (Path(__file__).parent.parent / "data" / "chromium_offer_mdns.sdp").read_bytes().decode()
SESSION = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
SECURITY = ["a=ice-ufrag:abcd", "a=ice-pwd:0123456789012345678901", "a=fingerprint:sha-256 00:11"]
OPUS = ["m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0", "a=rtpmap:111 opus/48000/2"]
HOST = "candidate:1 1 udp 2113937151 192.0.2.7 54321 typ host"
MDNS = "candidate:2 1 udp 2113937151 6d3f0f2a.local 54322 typ host"


def text(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def offer(*media: str) -> str:
    return text(*SESSION, *SECURITY, *media)


def refusal(sdp: str) -> tuple[int, str]:
    with pytest.raises(OfferError) as caught:
        check_offer(sdp)
    return caught.value.status, caught.value.code


def test_a_browsers_offer_passes() -> None:
    check_offer(CHROMIUM)
    assert [section.kind for section in media_sections(CHROMIUM)] == ["audio", "application"]


@pytest.mark.parametrize("codec", ["0", "8", "9"])
def test_static_payload_types_need_no_rtpmap(codec: str) -> None:
    """RFC 3551 table 4: a phone may offer just ``0 8``."""
    sdp = offer(f"m=audio 9 UDP/TLS/RTP/SAVPF {codec}")
    check_offer(sdp)
    assert media_sections(sdp)[0].codecs() == [{"0": "pcmu", "8": "pcma", "9": "g722"}[codec]]


@pytest.mark.parametrize(
    ("sdp", "expected"),
    [
        ("", (400, "invalid_sdp")),
        ("hello", (400, "invalid_sdp")),
        ('{"sdp": "v=0"}', (400, "invalid_sdp")),
        (offer("m=audio"), (400, "invalid_sdp")),
        (offer("m=audio nine UDP/TLS/RTP/SAVPF 0"), (400, "invalid_sdp")),
        (offer("m=audio -9 UDP/TLS/RTP/SAVPF 0"), (400, "invalid_sdp")),
        (offer(), (422, "no_acceptable_audio")),
        (offer("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=rtpmap:96 VP8/90000"), (422, "no_acceptable_audio")),
        (offer("m=audio 0 UDP/TLS/RTP/SAVPF 0"), (422, "no_acceptable_audio")),
        (offer("m=audio 9 UDP/TLS/RTP/SAVPF 18", "a=rtpmap:18 G729/8000"), (422, "no_acceptable_audio")),
        (text(*SESSION, *OPUS), (400, "invalid_sdp")),
        (text(*SESSION, *SECURITY[:2], *OPUS), (400, "invalid_sdp")),
        (offer(*OPUS, *["m=video 9 UDP/TLS/RTP/SAVPF 96"] * MAX_MEDIA_SECTIONS), (400, "invalid_sdp")),
    ],
)
def test_an_offer_that_cannot_become_a_call_is_refused(sdp: str, expected: tuple[int, str]) -> None:
    assert refusal(sdp) == expected


def test_a_port_of_thousands_of_digits_is_refused_as_malformed() -> None:
    """Python converts no decimal of more than 4300 digits; 64 KiB of offer have room for it."""
    assert refusal(offer(f"m=audio {'9' * 5000} UDP/TLS/RTP/SAVPF 0")) == (400, "invalid_sdp")


@given(st.text("vm=0audio 9/\r\n:", max_size=80))
def test_garbage_is_always_refused_with_an_offer_error(garbage: str) -> None:
    assert refusal(offer("m=audio 0 x 0") + garbage)[0] in (400, 422)


def test_a_description_without_any_media_section_has_none() -> None:
    assert media_sections(text(*SESSION)) == []


def test_the_first_audio_section_must_be_usable() -> None:
    """The agent's voice is bound to it; others may be as they like."""
    check_offer(offer(*OPUS, "m=audio 0 UDP/TLS/RTP/SAVPF 0"))
    with pytest.raises(OfferError, match="first audio section"):
        check_offer(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0", *OPUS))


def test_a_bundle_only_section_with_port_zero_is_not_rejected() -> None:
    """RFC 8843 section 6."""
    assert media_sections(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0"))[0].rejected
    assert not media_sections(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0", "a=bundle-only"))[0].rejected


def test_payloads_are_those_of_the_m_line_in_its_order() -> None:
    section = media_sections(
        offer("m=audio 9 UDP/TLS/RTP/SAVPF 8 111 126", "a=rtpmap:111 OPUS/48000/2", "a=rtpmap:99 G722/8000")
    )[0]
    assert section.payloads() == {"8": "pcma", "111": "opus"}


def test_an_rtpmap_overrides_the_static_table() -> None:
    section = media_sections(offer("m=audio 9 UDP/TLS/RTP/SAVPF 9", "a=rtpmap:9 G722/8000"))[0]
    assert section.payloads() == {"9": "g722"}


def test_a_port_with_a_count_is_read() -> None:
    assert media_sections(offer("m=audio 49170/2 RTP/AVP 31"))[0].port == 49170


def test_bare_newlines_are_read_too() -> None:
    assert media_sections(CHROMIUM.replace("\r\n", "\n")) == media_sections(CHROMIUM)


def test_mdns_candidates_are_removed_and_nothing_else() -> None:
    mdns = [line for line in CHROMIUM.splitlines() if ".local" in line]
    assert mdns
    assert for_aiortc(CHROMIUM).splitlines() == [line for line in CHROMIUM.splitlines() if line not in mdns]


def test_a_complete_offer_is_left_as_it_is() -> None:
    sdp = offer(*OPUS, f"a={HOST}", "a=recvonly")
    assert for_aiortc(sdp) == sdp


def test_the_end_of_candidates_is_kept_from_aioice() -> None:
    """It would give up at once, before the caller's own checks arrive."""
    sdp = offer(*OPUS, f"a={MDNS}", "a=end-of-candidates", "a=sendrecv")
    assert "end-of-candidates" not in for_aiortc(sdp)
    assert "candidate" not in for_aiortc(sdp)


def test_a_direction_that_was_left_out_is_written_in() -> None:
    """RFC 8866 section 6.7: sendrecv unless the session says otherwise."""
    assert "a=sendrecv" in for_aiortc(offer(*OPUS)).splitlines()
    whole = for_aiortc(offer(*OPUS).replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n"))
    assert whole.index("a=sendonly") > whole.index("m=audio")


def test_static_payload_types_get_their_rtpmap() -> None:
    """RFC 3551: 0 is PCMU and 8 is PCMA, said or not."""
    sdp = for_aiortc(offer("m=audio 9 UDP/TLS/RTP/SAVPF 0 8", "a=mid:0", "a=rtpmap:8 PCMA/8000"))
    assert sdp.count("a=rtpmap:0 PCMU/8000") == 1
    assert sdp.count("a=rtpmap:8") == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"a={MDNS}", True),
        (MDNS, True),
        (MDNS.replace(".local", ".LOCAL"), True),
        (f"a={HOST}", False),
        ("a=candidate:1 1 udp 1 192.0.2.7 9 typ srflx raddr x.local rport 9", False),
        ("a=candidate:1 1 udp", False),
        ("a=mid:x.local", False),
        ("", False),
    ],
)
def test_an_mdns_candidate_is_told_by_its_address(line: str, expected: bool) -> None:
    assert is_mdns_candidate(line) is expected


def test_the_first_codec_of_the_answer_is_the_one_we_send() -> None:
    assert negotiated_audio_codec(offer("m=audio 9 UDP/TLS/RTP/SAVPF 8 0")) == "pcma"
    assert negotiated_audio_codec(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0", *OPUS)) == "opus"


def test_an_answer_without_accepted_audio_is_refused() -> None:
    with pytest.raises(OfferError) as caught:
        negotiated_audio_codec(offer("m=audio 0 UDP/TLS/RTP/SAVPF 0"))
    assert caught.value.status == 422


def test_payload_types_of_all_audio_sections_are_collected() -> None:
    answer = offer("m=audio 9 UDP/TLS/RTP/SAVPF 0 8", "m=video 9 UDP/TLS/RTP/SAVPF 96", *OPUS)
    assert audio_payloads(answer) == {0: "pcmu", 8: "pcma", 111: "opus"}


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


def test_the_ice_user_name_fragment_is_found() -> None:
    assert ice_ufrag(offer(*OPUS)) == "abcd"
    assert ice_ufrag(text(*SESSION)) is None


PHONE = "v=0\r\nm=audio 4000 RTP/AVP 101 8 96\r\na=rtpmap:8 PCMA/8000\r\n"


def test_keys_are_found_by_their_clock() -> None:
    offer = PHONE + "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:96 Telephone-Event/48000\r\n"
    assert key_clocks_hz(offer) == {101: 8000, 96: 48000}
    assert key_clocks_hz(offer.replace(" 101 8 96", " 8")) == {}  # mapped, but not offered
    assert key_clocks_hz("v=0\r\n") == {}


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
    assert key_clocks_hz(description) == {101: 8000}
    assert "a=rtpmap:101 telephone-event/8000" in for_aiortc(description).lower()


def test_a_codec_is_found_however_it_is_written() -> None:
    written = offer("m=audio 9 UDP/TLS/RTP/SAVPF 0 111", "a=rtpmap:0  PCMU/8000 ", "a=rtpmap: 111 opus / 48000 / 2")
    assert media_sections(written)[0].codecs() == ["pcmu", "opus"]
    edited = for_aiortc(written)
    assert "a=rtpmap:0 PCMU/8000\r\n" in edited
    assert "a=rtpmap:111 opus/48000/2\r\n" in edited


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
    assert key_clocks_hz(edited) == KEYS_CLOCKS_HZ == {101: 8000, 110: 48000}
    assert media_sections(edited)[0].codecs() == ["opus", "pcmu", "telephone-event", "telephone-event"]
    assert edited.count("telephone-event") == 2
