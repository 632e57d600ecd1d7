"""Offers from real clients are answered section by section; a refusal names the line at fault."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.http import SDP, SECURITY
from tests.support.sdp_answers import mistakes, sections_of
from tests.support.service import ServiceFactory

OFFERS = {
    path.stem: path.read_bytes().decode() for path in (Path(__file__).parent.parent / "data/offers").iterdir()
}


@pytest.fixture
async def http(service: ServiceFactory) -> AsyncIterator[aiohttp.ClientSession]:
    async with service(max_calls=1000) as url, aiohttp.ClientSession(url) as session:
        yield session


async def answered(http: aiohttp.ClientSession, offer: str) -> str:
    """Return the answer, which must obey the rules of offer and answer."""
    async with http.post("/whip", data=offer.encode(), headers=SDP) as response:
        answer = await response.text()
        assert response.status == 201, answer
        location = response.headers["Location"]
    async with http.delete(location):
        pass
    assert mistakes(offer, answer) == [], answer
    return answer


def taken(answer: str) -> str:
    """Return a letter for each section, the first of its kind; a dash for one that is refused."""
    return "".join("-" if section.refused else section.kind[0] for section in sections_of(answer))


ACCEPTED = {
    "asterisk": "a-",
    "chrome_av1_svc_and_h265": "-a-a",
    "chrome_max_bundle": "ava",
    "chrome_of_2016": "ava",
    "chrome_simulcast": "av",
    "ffmpeg_whip": "av",
    "firefox": "ava",
    "freeswitch": "a",
    "gstreamer_whip": "va",
    "janus_sip": "a",
    "libdatachannel_data_first": "aa",
    "obs_av1": "a-",
    "obs_h264": "av",
    "obs_hevc": "a-",
    "pion": "vaa",
    "pipecat_client": "avva",
    "room_system": "a------",
    "safari": "ava",
    "translator_headset": "aa-",
    "werift": "aav",
}


@pytest.mark.parametrize("client", sorted(OFFERS))
async def test_a_clients_offer_is_answered_section_by_section(http: aiohttp.ClientSession, client: str) -> None:
    assert taken(await answered(http, OFFERS[client])) == ACCEPTED[client]


SESSION = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0 1\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:0\na=sendrecv\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n" + SECURITY
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:1\na=sendonly\na=rtcp-mux\na=rtpmap:96 VP8/90000\n" + SECURITY
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:1\na=sctp-port:5000\n" + SECURITY
PLAIN = SESSION + AUDIO + DATA


def video(codec: str, fmtp: str = "") -> str:
    return VIDEO.replace("VP8", codec) + (f"a=fmtp:96 {fmtp}\n" if fmtp else "")


def data(first_line: str, *more: str) -> str:
    lines = DATA.replace("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", first_line)
    return lines.replace("a=sctp-port:5000\n", "".join(f"{line}\n" for line in more))


@pytest.mark.parametrize(
    "section",
    [
        video("H265"),
        video("AV1"),
        video("VP9", "profile-id=0"),
        video("H264"),
        video("H264", "packetization-mode=0;profile-level-id=42e01f"),
        video("H264", "packetization-mode;profile-level-id=42e01f"),
        video("H264", "packetization-mode=1;profile-level-id=640c1f"),
        video("H264", "packetization-mode=1;profile-level-id=nothing"),
        "m=text 11000 RTP/AVP 98\na=rtpmap:98 t140/1000\n",
        VIDEO.replace("m=video", "m=text"),
        "m=image 9 udptl t38\na=mid:1\n",
        "m=image 0 udptl t38\n",
        "m=application 9 TCP/BFCP *\na=mid:1\n",
        "m=application 0 TCP/BFCP *\n",
        "m=application 9 UDP/TLS/BFCP *\n" + SECURITY,
        "m=application 9 UDP/DTLS/SCTP webrtc-bundle\na=mid:1\n" + SECURITY,
        "m=video 0 RTP/AVP 255\n",
        "m=video 9 RTP/AVP 255\n",
        VIDEO.replace("SAVPF 96", "SAVPF 72").replace("rtpmap:96", "rtpmap:72"),
        VIDEO.replace("m=video 9", "m=video 0"),
        VIDEO.replace("UDP/TLS/RTP/SAVPF", "TCP/RTP/SAVPF"),
        "m=audio 9 UDP/TLS/RTP/SAVPF 97\na=mid:1\na=rtcp-mux\na=rtpmap:97 L16/48000/2\n" + SECURITY,
        "m=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:1\n",
        "m=whatever 9 x y\n",
    ],
)
@pytest.mark.parametrize("first", [False, True])
async def test_what_is_not_understood_is_refused_alone(
    http: aiohttp.ClientSession, section: str, first: bool
) -> None:
    offer = SESSION + (section + AUDIO if first else AUDIO + section)
    assert taken(await answered(http, offer)) == ("-a" if first else "a-")


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        (SESSION + AUDIO + data("m=application 9 DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000"), "aa"),
        (SESSION + AUDIO + data("m=application 9 DTLS/SCTP 5000", "a=sctpmap:5000 webrtc-datachannel 1024"), "aa"),
        (SESSION + AUDIO + data("m=application 9 DTLS/SCTP 5000"), "aa"),
        (SESSION + AUDIO + data("m=application 9 UDP/DTLS/SCTP 5000", "a=sctpmap:5000 webrtc-datachannel"), "aa"),
        (SESSION + AUDIO + data("m=application 9 TCP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:x"), "aa"),
        (SESSION + AUDIO + data("m=application 9 UDP/DTLS/SCTP webrtc-datachannel"), "aa"),
        (SESSION + AUDIO + data("m=application 9 DTLS/SCTP 99999"), "a-"),
        (PLAIN + DATA.replace("mid:1", "mid:2"), "aa-"),
        (SESSION + "m=audio 0 UDP/TLS/RTP/SAVPF 111\na=mid:1\n" + AUDIO, "-a"),
        (SESSION + AUDIO + VIDEO.replace("sendonly", "inactive"), "av"),
        (SESSION + AUDIO.replace("sendrecv", "inactive").replace("mid:0", "mid:1") + AUDIO, "aa"),
        (SESSION + AUDIO + AUDIO.replace("mid:0", "mid:1").replace("111", "112"), "aa"),
        (SESSION.replace("a=group:BUNDLE 0 1\n", "") + AUDIO + VIDEO + DATA.replace("mid:1", "mid:2"), "ava"),
        (SESSION.replace("BUNDLE 0 1", "BUNDLE 0") + AUDIO + DATA, "aa"),
        (SESSION.replace("BUNDLE 0 1", "BUNDLE 1") + AUDIO + VIDEO.replace("VP8", "AV1"), "a-"),
        (SESSION.replace("BUNDLE 0 1", "BUNDLE 1 0") + AUDIO + VIDEO, "av"),
        (SESSION + "a=group:LS 0 1\n" + AUDIO + VIDEO, "av"),
        (SESSION.replace("BUNDLE 0 1", "BUNDLE") + AUDIO, "a"),
        (SESSION + AUDIO.replace("a=mid:0\n", "") + DATA, "aa"),
        (SESSION + AUDIO + "m=video 0 UDP/TLS/RTP/SAVPF 96\na=mid:1\na=bundle-only\na=rtpmap:96 VP8/90000\n", "av"),
        (SESSION + AUDIO + "m=video 0 UDP/TLS/RTP/SAVPF 96\na=mid:2\na=bundle-only\na=rtpmap:96 VP8/90000\n", "a-"),
        (SESSION + AUDIO.replace("RTP/SAVPF", "RTP/SAVP"), "a"),
        (SESSION + AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), "a"),
        (PLAIN.replace("a=rtcp-mux", "a=rtcp-mux-only"), "aa"),
    ],
)
async def test_sections_that_clients_combine(http: aiohttp.ClientSession, offer: str, expected: str) -> None:
    assert taken(await answered(http, offer)) == expected


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("a=sctp-port", "a=fmtp:96\na=sctp-port"),
        ("a=sendrecv", "a=fmtp:111\na=sendrecv"),
        ("a=sendrecv", "a=fmtp:96 minptime=10\na=fmtp:111 stereo=yes;;=;cbr;minptime=\na=sendrecv"),
        ("a=sendrecv", "a=rtpmap:110 telephone-event\na=sendrecv"),
        ("a=sendrecv", "a=rtpmap:\na=rtpmap:x y/z\na=rtpmap:111\na=rtpmap:110 G729/\na=sendrecv"),
        ("a=sendrecv", "a=extmap:1/sendrecv urn:ietf:params:rtp-hdrext:sdes:mid short long more\na=sendrecv"),
        (
            "a=sendrecv",
            "a=extmap:1\na=extmap:x y\na=extmap:4096 urn:x\na=extmap:0 urn:y\na=extmap:99 urn:z\na=sendrecv",
        ),
        ("a=sendrecv", "a=ssrc:1\na=ssrc:2 cname\na=ssrc:x cname:y\na=ssrc:99999999999 cname:z\na=sendrecv"),
        ("a=sendrecv", "a=ssrc-group:FID\na=ssrc-group:FID x y\na=ssrc-group:\na=sendrecv"),
        (
            "a=sendrecv",
            "a=candidate:\na=candidate:1 1 udp 1\na=candidate:1 1 udp x 127.0.0.1 y typ host\na=sendrecv",
        ),
        (
            "a=sendrecv",
            "a=candidate:1 1 udp 1 nowhere.example 9 typ host\na=candidate:1 1 udp 1 ::x 9 typ host\na=sendrecv",
        ),
        ("a=sendrecv", "a=candidate:1 1 udp 1 127.0.0.1 9 typ prflx raddr\na=candidate\na=sendrecv"),
        ("a=sendrecv", "c=IN IP4 0.0.0.0 \na=sendrecv"),
        ("a=sendrecv", "c=IN IP6 ::\na=rtcp:9 IN IP6 ::\na=sendrecv"),
        ("a=sendrecv", "c=\na=rtcp:\na=rtcp:x\nb=\nk=\ni=\na=\na=:\nz\na=sendrecv"),
        ("a=sendrecv", "a=rtcp-fb:96\na=rtcp-fb:* nack\na=rtcp-fb:111\na=rtcp-fb:x y z\na=sendrecv"),
        ("a=sendrecv", "a=mid:\na=sendrecv"),
        ("a=sendrecv", "a=rid:h send\na=simulcast:send h;m;l\na=sendrecv"),
        ("a=sendrecv", "a=sendrecv "),
        ("a=sendrecv\n", ""),
        ("a=setup:actpass", "a=setup:active"),
        ("a=setup:actpass", "a=setup:passive"),
        ("a=setup:actpass\n", ""),
        ("a=sctp-port:5000", "a=sctp-port:5000\na=max-message-size:huge\na=sctpmap:x\na=sctpmap:"),
        ("a=sctp-port:5000", f"a=max-message-size:{'9' * 5000}"),
        ("s=-", "s=Gr\xfc\xdfe \u8a71 \u2028a=x"),
        ("o=- 1 1 IN IP4 127.0.0.1", "o=" + "9" * 5000),
        ("t=0 0", "t="),
        ("t=0 0", "c=IN IP6 2001:db8::1 \nb=AS:1\nt=0 0"),
        (
            "a=group",
            "a=msid-semantic:\na=msid-semantic: WMS\na=ice-options:\na=extmap-allow-mixed\na=group:\na=group",
        ),
        ("a=fingerprint", "a=fingerprint:sha-1 00:11\na=fingerprint:\na=fingerprint:md5\na=fingerprint"),
        ("a=fingerprint:sha-256", "a=fingerprint:SHA-256"),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-512"),
        ("v=0", "\ufeffv=0"),
        ("\n", "\r\n"),
        ("\n", "\r"),
        ("\n", " \t\r\n"),
        ("\n", "\n\n"),
        (" opus/48000/2", "\topus/48000/2"),
        ("opus/48000/2", "OPUS/48000"),
        ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/48000/2\na=rtpmap:111 L16/8000"),
    ],
)
async def test_lines_that_need_not_be_read_end_no_call(http: aiohttp.ClientSession, was: str, becomes: str) -> None:
    assert was in PLAIN
    offer = PLAIN.replace(was, becomes)
    async with http.post("/whip", data=offer.encode(), headers=SDP) as response:
        answer = await response.text()
        assert response.status == 201, answer
    assert taken(answer) == "aa"


async def test_the_second_section_of_a_mid_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/whip", data=PLAIN.replace("a=mid:1", "a=mid:0"), headers=SDP) as response:
        answer = await response.text()
    assert taken(answer) == "a-"
    assert answer.count("a=mid:0") == 1


async def test_a_session_name_need_not_be_utf_8(http: aiohttp.ClientSession) -> None:
    body = PLAIN.replace("s=-", "s=Gr\xfc\xdfe").encode("latin-1")
    async with http.post("/whip", data=body, headers=SDP) as response:
        assert response.status == 201, await response.text()


@pytest.mark.parametrize("payload", ["35", "63", "96", "127"])
async def test_a_payload_type_is_answered_as_offered(http: aiohttp.ClientSession, payload: str) -> None:
    answer = await answered(http, PLAIN.replace("111", payload))
    [audio] = [section for section in sections_of(answer) if section.kind == "audio"]
    assert audio.codecs() == {payload: "opus/48000"}


@pytest.mark.parametrize(
    ("offer", "status", "line"),
    [
        (PLAIN.replace("m=audio 9 ", "m=audio nine "), 400, "m=audio nine UDP/TLS/RTP/SAVPF 111"),
        (PLAIN.replace("m=audio 9 ", "m=audio 70000 "), 400, "m=audio 70000 UDP/TLS/RTP/SAVPF 111"),
        (PLAIN.replace("SAVPF 111", "SAVPF"), 400, "m=audio 9 UDP/TLS/RTP/SAVPF"),
        (PLAIN.replace("webrtc-datachannel", ""), 400, "m=application 9 UDP/DTLS/SCTP"),
        (PLAIN.replace("m=audio 9 ", "m=audio 0 "), 422, "m=audio 0 UDP/TLS/RTP/SAVPF 111"),
        (PLAIN.replace("a=setup:actpass", "a=setup:holdconn"), 400, "a=setup:holdconn"),
        (PLAIN.replace("fingerprint:sha-256", "fingerprint:sha-1"), 400, "a=fingerprint:sha-1 AB:AB"),
        (PLAIN.replace("a=ice-ufrag:abcd", "a=ice-ufrag:a b"), 400, "a=ice-ufrag:a b"),
        (PLAIN.replace("opus/48000/2", "opus"), 422, "a=rtpmap:111 opus"),
        (PLAIN.replace("opus", "speex"), 422, "m=audio 9 UDP/TLS/RTP/SAVPF 111"),
        (PLAIN.replace("UDP/TLS/RTP/SAVPF", "UDP/RTP"), 422, "m=audio 9 UDP/RTP 111"),
        (PLAIN.replace("a=rtcp-mux\n", ""), 422, "m=audio 9 UDP/TLS/RTP/SAVPF 111"),
        (re.sub("a=fingerprint.*\n", "", PLAIN), 400, "a=fingerprint"),
        (PLAIN.replace("a=ice-pwd", "a=ice-passwort"), 400, "a=ice-pwd"),
        (SESSION + DATA.replace("mid:1", "mid:0") + AUDIO, 400, "a=mid:0"),
    ],
)
async def test_what_ends_a_call_names_its_line(
    http: aiohttp.ClientSession, offer: str, status: int, line: str
) -> None:
    async with http.post("/whip", data=offer.encode(), headers=SDP) as response:
        detail = (await response.json(content_type=None))["detail"]
        assert (response.status, line in detail) == (status, True), detail
    assert "p" * 24 not in detail


@pytest.mark.parametrize("client", sorted(OFFERS))
async def test_damaged_offers_are_never_our_fault(http: aiohttp.ClientSession, client: str) -> None:
    """Lines are lost, cut off, doubled, moved or damaged."""
    dice = random.Random(client)
    for _ in range(12):
        offer = OFFERS[client]
        for _ in range(dice.choice((1, 1, 2, 5))):
            offer = damaged(offer, dice)
        async with http.post("/whip", data=offer.encode(errors="replace"), headers=SDP) as response:
            answer = await response.text()
            assert response.status in (201, 400, 422), (offer, answer)
            if response.status != 201:
                detail = (await response.json(content_type=None))["detail"]
                assert re.search(r'line "|has no|begin with v=0|inactive', detail), detail
            location = response.headers.get("Location")
        if location is not None:
            async with http.delete(location):
                pass


def damaged(offer: str, dice: random.Random) -> str:
    lines = offer.splitlines(keepends=True)
    at = dice.randrange(len(lines))
    line = lines[at]
    match dice.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines[at] = line[: dice.randrange(len(line))] + "\r\n"
        case 2:
            lines.insert(dice.randrange(len(lines)), line)
        case 3:
            lines.append(lines.pop(at))
        case 4:
            lines[at] = re.sub(r"\d+", lambda _: str(dice.choice((0, -1, 256, 70000, 10**20))), line, count=1)
        case _:
            place = dice.randrange(len(line))
            lines[at] = (
                line[:place] + dice.choice((" ", "\t", "\0", "=", ":", "/", "\xe9", "\u2028")) + line[place:]
            )
    return "".join(lines)
