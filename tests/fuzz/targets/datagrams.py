"""Datagrams into a call: STUN, DTLS, RTP and RTCP, from the peer and from strangers, through the guards and taps.

A piece is a byte that says how it is sent, and the datagram.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from aioice import stun
from aioice.candidate import Candidate
from aioice.ice import CandidatePair
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCRtpReceiver, RTCRtpSender
from aiortc.rtcdtlstransport import SRTP_PROFILES, State
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpReceiveParameters,
    RTCRtpSendParameters,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import RtpPacket
from OpenSSL import SSL
from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from agent.media.inbound import open_inbound_audio
from agent.media.tap.guard import guard
from agent.media.tap.ice import GuardedProtocol
from agent.media.video import VideoSource, open_inbound_video
from tests.fuzz.mutate import Pieces
from tests.fuzz.target import Take, Target
from tests.fuzz.world import World, world

PEER, STRANGER = ("192.0.2.1", 4000), ("192.0.2.1", 4001)
RAW, BY_STRANGER, ENCRYPTED, SIGNED = range(4)  # how a piece is sent
IS_ANSWER = 0x80  # of what is signed: to a check of ours
OPUS, PCMU, KEYS, VP8, RTX, H264 = 111, 0, 101, 96, 97, 102
URIS = (
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
)
CERTIFICATE = RTCCertificate.generateCertificate()
PROFILE = SRTP_PROFILES[0]
KEY = bytes(range(PROFILE.key_length + PROFILE.salt_length))


class Wire(asyncio.DatagramTransport):
    """Stands for the socket: what is sent is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.sent += 1

    def close(self) -> None:
        return


class AtOnce(Executor):
    """Works where it is asked to."""

    def submit(self, work: Any, /, *args: Any, **named: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **named))
        except Exception as error:
            done.set_exception(error)
        return done


class Ended:
    """A receiver's end of a call, with nothing but a stand-in for its socket."""

    def __init__(self, around: World) -> None:
        self.heard_samples = self.dropped = 0
        self.pictures = 0
        gatherer = RTCIceGatherer(iceServers=[])
        self.connection: Any = gatherer._connection
        self.connection.remote_username, self.connection.remote_password = "peer", "p" * 22
        self.connection._early_checks_done = True
        self.socket: Any = GuardedProtocol(self.connection)
        self.socket.connection_made(Wire())
        self.socket.local_candidate = Candidate("f", 1, "udp", 1, "192.0.2.9", 9, "host")
        self.connection._protocols = [self.socket]
        peer = Candidate("p", 1, "udp", 1, *PEER, "host")
        pair = CandidatePair(self.socket, peer)
        pair.state = CandidatePair.State.SUCCEEDED
        self.connection._remote_candidates.append(peer)
        self.connection._check_list.append(pair)
        self.connection._nominated[1] = pair
        self.dtls: Any = transport(gatherer)
        self.dtls._ssl = SSL.Connection(CERTIFICATE._create_ssl_context(SRTP_PROFILES))
        self.dtls._ssl.set_accept_state()
        self.dtls._rx_srtp, self.dtls._tx_srtp, self.caller = session(inbound=True), session(), session()
        self.dtls._set_state(State.CONNECTED)
        self.receivers: list[RTCRtpReceiver] = []

    async def begin(self) -> None:
        audio = open_inbound_audio(
            self._receiver("audio"),
            {OPUS: "opus", PCMU: "PCMU", KEYS: "telephone-event"},
            hear=self._hear,
            press=lambda _key: None,
            clock=lambda: 1.0,
        )
        source = VideoSource(
            "camera",
            {VP8: "VP8", H264: "H264"},
            fps=1.0,
            max_px=64,
            skip_unchanged=False,
            see=self._see,
            worker=AtOnce(),
            clock=lambda: 1.0,
        )
        video = open_inbound_video(self._receiver("video"), source)
        assert audio.tapped
        assert video.tapped
        for receiver, kind in zip(self.receivers, (AUDIO, VIDEO), strict=True):
            guard(receiver, self._drop)
            await receiver.receive(kind)
        sender: Any = RTCRtpSender("audio", self.dtls)
        sender._RTCRtpSender__rtp_history = {number: RtpPacket(sequence_number=number) for number in range(128)}
        sender._ssrc = 5
        self.dtls._register_rtp_sender(sender, RTCRtpSendParameters())
        self.reading = asyncio.ensure_future(self.dtls._RTCDtlsTransport__run())

    def _receiver(self, kind: str) -> RTCRtpReceiver:
        receiver = RTCRtpReceiver(kind, self.dtls)
        receiver._track = RemoteStreamTrack(kind)
        receiver._set_rtcp_ssrc(5)
        self.receivers.append(receiver)
        return receiver

    def _hear(self, pcm: Any) -> None:
        self.heard_samples += len(pcm)

    def _see(self, _jpeg: object) -> None:
        self.pictures += 1

    def _drop(self) -> None:
        self.dropped += 1

    async def take(self, piece: bytes) -> None:
        how, data = (piece[0] if piece else 0), piece[1:]
        if how & 3 == ENCRYPTED:
            try:
                is_rtcp = len(data) >= 2 and 192 <= data[1] <= 208
                data = self.caller.protect_rtcp(data) if is_rtcp else self.caller.protect(data)
            except (SrtpError, ValueError):
                pass  # it is not even what the caller's library signs; so it is sent without
        elif how & 3 == SIGNED:
            data = self._signed(data, answers=bool(how & IS_ANSWER))
        self.socket.datagram_received(data, STRANGER if how & 3 == BY_STRANGER or how & 4 else PEER)
        for _ in range(4):
            await asyncio.sleep(0)

    def _signed(self, data: bytes, *, answers: bool) -> bytes:
        """Return STUN with the attributes that are given, and a valid signature and checksum."""
        waiting = next(iter(self.socket.transactions), None) if answers else None
        head = data[:2] + b"\0\0" + struct.pack("!I", stun.COOKIE) + (waiting or bytes(12))
        body, key = data[2:], self.connection.local_password
        if not answers:
            name = f"{self.connection.local_username}:peer".encode()
            body = struct.pack("!HH", 6, len(name)) + name + bytes(-len(name) % 4) + body
        else:
            key = self.connection.remote_password
        signed = head + body[:1400]
        signature = stun.message_integrity(signed, key.encode())
        signed = stun.set_body_length(signed, len(signed) - 20 + 32) + struct.pack("!HH", 8, 20) + signature
        return signed + struct.pack("!HHI", 0x8028, 4, stun.message_fingerprint(signed))

    async def end(self) -> None:
        self.reading.cancel()
        for receiver in self.receivers:
            await receiver.stop()


def transport(gatherer: RTCIceGatherer) -> Any:
    """Return a transport that has its handshake behind it."""
    made: Any = RTCDtlsTransport(RTCIceTransport(gatherer), [CERTIFICATE])
    made.encrypted = made._RTCDtlsTransport__handshake_done = True
    return made


def session(*, inbound: bool = False) -> Session:
    kind = Policy.SSRC_ANY_INBOUND if inbound else Policy.SSRC_ANY_OUTBOUND
    policy = Policy(key=KEY, ssrc_type=kind, srtp_profile=PROFILE.libsrtp_profile)
    policy.allow_repeat_tx, policy.window_size = True, 1024
    return Session(policy)


def received(*codecs: RTCRtpCodecParameters, mid: str) -> RTCRtpReceiveParameters:
    extensions = [RTCRtpHeaderExtensionParameters(number, uri) for number, uri in enumerate(URIS, 1)]
    return RTCRtpReceiveParameters(codecs=list(codecs), headerExtensions=extensions, muxId=mid)


AUDIO = received(
    RTCRtpCodecParameters("audio/opus", 48_000, 2, OPUS),
    RTCRtpCodecParameters("audio/PCMU", 8_000, 1, PCMU),
    RTCRtpCodecParameters("audio/telephone-event", 48_000, 1, KEYS),
    mid="0",
)
VIDEO = received(
    RTCRtpCodecParameters("video/VP8", 90_000, None, VP8),
    RTCRtpCodecParameters("video/rtx", 90_000, None, RTX, parameters={"apt": VP8}),
    RTCRtpCodecParameters("video/H264", 90_000, None, H264),
    mid="1",
)


@contextmanager
def fresh() -> Iterator[Take]:
    with world() as around:
        ended: Ended = around.run(made(around))
        around.settle()

        def take(piece: bytes) -> object:
            around.run(ended.take(piece))
            if ended.reading.done():
                ended.reading.result()
            assert not ended.reading.done(), "a datagram ended the call"
            return (
                min(ended.dropped, 3),
                ended.heard_samples > 0,
                ended.socket.transport.sent,
                len(ended.connection._check_list),
            )

        yield take
        around.run(ended.end())


async def made(around: World) -> Ended:
    ended = Ended(around)
    await ended.begin()
    return ended


def rtp(kind: int, number: int, payload: bytes, *, ssrc: int = 7, extension: bytes = b"") -> bytes:
    flags, rest = 0x80, payload
    if extension:
        flags, rest = 0x90, struct.pack("!HH", 0xBEDE, len(extension) // 4) + extension + payload
    return struct.pack("!BBHII", flags, kind, number, number * 960, ssrc) + rest


def rtcp(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body


def a_call() -> list[Pieces]:
    mid = b"\x10\x30\x20\x80\x32\x01\x02\x03"
    media = [
        *(rtp(OPUS, number, b"\xf8\xff\xfe", extension=mid) for number in range(1, 5)),
        rtp(PCMU, 6, bytes(160)),
        rtp(KEYS | 0x80, 7, b"\x05\x0a\x00\xa0"),
        rtp(VP8, 1, b"\x10" + b"\x10\x02\x00\x9d\x01\x2a" + bytes(40), ssrc=8, extension=b"\x10\x31\0\0"),
        rtp(VP8, 32_766, b"\x10" + bytes(20), ssrc=8),
        rtp(RTX, 1, b"\x00\x02" + bytes(20), ssrc=9),
        rtp(H264 | 0x80, 2, b"\x78\x00\x02\x67\x42\x00\x02\x65\x88", ssrc=8),
    ]
    report = struct.pack("!IIIIII", 7, 0, 1, 0, 0, 0)
    control = [
        rtcp(200, 1, struct.pack("!IQIII", 7, 1 << 40, 0, 1, 1) + report),
        rtcp(201, 1, struct.pack("!I", 7) + report) + rtcp(202, 1, struct.pack("!IBB", 7, 1, 2) + b"ab\0\0"),
        rtcp(203, 1, struct.pack("!I", 7)),
        rtcp(205, 1, struct.pack("!IIHH", 7, 5, 1, 0xFFFF)),
        rtcp(205, 1, struct.pack("!II", 7, 5) + struct.pack("!HH", 1, 0xFFFF) * 320),
        rtcp(206, 1, struct.pack("!II", 7, 5)),
        rtcp(206, 15, struct.pack("!II", 7, 0) + b"REMB\x01\x00\x10\x00" + bytes(4)),
    ]
    priority, role = struct.pack("!HHI", 0x24, 4, 1), struct.pack("!HHQ", 0x802A, 8, 1)
    wants = struct.pack("!HH", 0x25, 0)
    checks = [b"\0\1" + priority + role, b"\0\1" + priority + role + wants]
    answer = b"\1\1" + struct.pack("!HHHHI", 0x20, 8, 1, 0x2112 ^ 9, 0x2112A442)
    plain = struct.pack("!HHI12s", 1, 8, stun.COOKIE, bytes(12)) + priority
    dtls = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x0d\x01" + bytes(12)
    encrypted = [bytes((ENCRYPTED,)) + each for each in (*media, *control)]
    return [
        encrypted,
        [bytes((how,)) + each for how in (RAW, BY_STRANGER) for each in (plain, dtls, media[0], control[0], b"")],
        [bytes((how,)) + each for how in (SIGNED, SIGNED | 4) for each in checks]
        + [bytes((SIGNED | 4 | IS_ANSWER,)) + answer, bytes((SIGNED | IS_ANSWER,)) + b"\1\x11\0\x09\0\4\0\0\4\1"],
    ]


TARGET = Target("datagrams", "bytes", fresh, more=a_call, max_bytes=64 << 10, quick=200)
