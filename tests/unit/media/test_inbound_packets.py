"""RTP packets of every codec to 16 kHz, over a network that loses and mixes up: real codecs on both ends."""

from __future__ import annotations

import random
from collections.abc import Callable

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media import dtmf, opus
from agent.media.decode import opus_ticks
from agent.media.encode import voice_encoder
from agent.media.fir import Pcm
from agent.media.inbound import PacketInlet
from agent.media.playout import FRAME_SAMPLES, VOICE_RATE_HZ
from agent.media.rtp import RtpPacket
from tests.support.tones import snr_db, tone

PAYLOADS = {111: "opus", 9: "g722", 0: "pcmu", 8: "pcma"}
BY_NAME = {name: payload for payload, name in PAYLOADS.items()}
CODECS = pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma", "g722"])


def voice(seconds: float, frequency_hz: float = 1000.0) -> Pcm:
    return tone(frequency_hz, VOICE_RATE_HZ, seconds, 10_000)


def rtp_stream(codec: str, pcm: Pcm, *, sequence: int = 0, timestamp: int = 0) -> list[RtpPacket]:
    encoder = voice_encoder(codec)
    packets = []
    for number in range(len(pcm) // FRAME_SAMPLES):
        packet = RtpPacket(
            payload_type=BY_NAME[codec],
            marker=0,
            sequence_number=(sequence + number) & 0xFFFF,
            timestamp=(timestamp + number * encoder.clock_hz // 50) & 0xFFFFFFFF,
            ssrc=1,
            payload=encoder.encode(pcm[number * FRAME_SAMPLES :][:FRAME_SAMPLES]),
        )
        packets.append(packet)
    return packets


def hear(
    packets: list[RtpPacket], arrives: Callable[[int], bool] = lambda _number: True
) -> tuple[Pcm, PacketInlet]:
    inlet = PacketInlet(PAYLOADS)
    heard: list[Pcm] = []
    for number, packet in enumerate(packets):
        if arrives(number):
            heard += inlet.push(packet, number * 0.02)
    assert all(len(frame) == 320 for frame in heard)
    return np.concatenate(heard), inlet


@CODECS
def test_a_clean_stream_keeps_its_time_and_its_sound(codec: str) -> None:
    heard, inlet = hear(rtp_stream(codec, voice(2.0)))
    assert len(heard) == 2 * 16_000
    assert snr_db(heard[3200:-640], 16_000, 1000) > 25
    assert inlet.stats.unreadable == 0


@CODECS
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_loss_takes_no_time_away(codec: str, share: float) -> None:
    rng = random.Random(5)
    packets = rtp_stream(codec, voice(6.0))
    heard, inlet = hear(packets, lambda n: not 0 < n < len(packets) - 3 or rng.random() > share)
    assert len(heard) == 6 * 16_000
    assert inlet.reorder_stats.lost > 0
    assert inlet.stats.concealed_samples == inlet.reorder_stats.lost * 320


@CODECS
def test_wraps_and_swaps(codec: str) -> None:
    packets = rtp_stream(codec, voice(3.0), sequence=65_500, timestamp=2**32 - 24_000)
    for number in range(10, 140, 10):
        packets[number], packets[number + 1] = packets[number + 1], packets[number]
    heard, inlet = hear(packets)
    assert len(heard) == 3 * 16_000
    assert inlet.reorder_stats.lost == 0
    assert snr_db(heard[3200:-640], 16_000, 1000) > 25


@CODECS
def test_a_clock_that_jitters_costs_neither_time_nor_sound(codec: str) -> None:
    """Timestamps that are off by a millisecond either way, as many senders' are: nothing is missing, so nothing is
    made up."""
    rng, packets = random.Random(4), rtp_stream(codec, voice(6.0))
    ms = voice_encoder(codec).clock_hz // 1000
    jittered = [
        packet._replace(timestamp=(packet.timestamp + rng.randint(-ms, ms)) & 0xFFFFFFFF) for packet in packets
    ]
    whole, _ = hear(packets)
    heard, inlet = hear(jittered)
    assert len(heard) == pytest.approx(6 * 16_000, rel=0.001)
    assert snr_db(heard[3200:-640], 16_000, 1000) == pytest.approx(snr_db(whole[3200:-640], 16_000, 1000), abs=0.1)
    assert (inlet.stats.filled_samples, inlet.stats.concealed_samples) == (0, 0)


@CODECS
def test_jitter_makes_no_loss_longer(codec: str) -> None:
    rng, packets = random.Random(4), rtp_stream(codec, voice(4.0))
    ms = voice_encoder(codec).clock_hz // 1000
    jittered = [
        packet._replace(timestamp=(packet.timestamp + rng.randint(-ms, ms)) & 0xFFFFFFFF) for packet in packets
    ]
    lost = {number for number in range(20, 180) if rng.random() < 0.05}
    whole, _ = hear(packets, lambda number: number not in lost)
    heard, inlet = hear(jittered, lambda number: number not in lost)
    assert len(heard) == len(whole) == 4 * 16_000
    assert inlet.stats.concealed_samples == len(lost) * 320
    assert snr_db(heard[3200:-640], 16_000, 1000) == pytest.approx(snr_db(whole[3200:-640], 16_000, 1000), abs=0.1)


@pytest.mark.skipif(not opus.available(), reason="concealment needs the system's libopus")
def test_a_lost_opus_packet_is_concealed() -> None:
    """A hole of silence would cost far more than what libopus makes up."""
    packets = rtp_stream("opus", voice(2.0))
    whole, _ = hear(packets)
    heard, _ = hear(packets, lambda number: number % 25 != 12)
    assert len(heard) == len(whole)
    lost = np.concatenate([heard[n * 320 : (n + 1) * 320] for n in range(12, 100, 25)]).astype(float)
    assert np.sqrt(np.mean(lost**2)) > 2000


@pytest.mark.skipif(not opus.available(), reason="FEC needs the system's libopus")
def test_fec_recovers_a_lost_packet() -> None:
    """Packets with in-band FEC, as Chromium sends once it sees loss: the lost 20 ms come out of the next packet."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.format, codec.layout, codec.bit_rate = 48_000, "s16", "mono", 32_000
    codec.options = {"application": "voip", "fec": "1", "packet_loss": "20"}
    rng = np.random.default_rng(1)
    time_s = np.arange(48_000 * 2) / 48_000
    sweep = np.sin(2 * np.pi * (300 + 500 * time_s) * time_s) * (6000 + 4000 * np.sin(2 * np.pi * 3 * time_s))
    pcm = (sweep + rng.normal(0, 50, len(sweep))).astype(np.int16)
    packets = []
    for number in range(100):
        frame = av.AudioFrame.from_ndarray(pcm[number * 960 :][:960].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48_000, number * 960
        payload = b"".join(bytes(p) for p in codec.encode(frame))
        packets.append(RtpPacket(111, 0, number, number * 960, 1, payload))
    whole, _ = hear(packets)
    lost = set(range(20, 90, 10))
    with_fec, _ = hear(packets, lambda number: number not in lost)
    error = [float(np.mean((whole[n * 320 :][:320].astype(float) - with_fec[n * 320 :][:320]) ** 2)) for n in lost]
    power = [float(np.mean(whole[n * 320 :][:320].astype(float) ** 2)) for n in lost]
    assert 10 * np.log10(sum(power) / sum(error)) > 3  # concealment alone of a sweep is far below


def test_dtx_is_silence_of_the_same_length() -> None:
    """The sender says nothing for a second: its sequence goes on where it was, its timestamp a second later."""
    packets = rtp_stream("opus", voice(2.0))
    sent = [packet._replace(sequence_number=number) for number, packet in enumerate(packets[:30] + packets[80:])]
    heard, inlet = hear(sent)
    assert len(heard) == 2 * 16_000
    assert inlet.stats.filled_samples == 50 * 320
    assert not heard[31 * 320 : 79 * 320].any()


def test_opus_lengths_from_the_table_of_contents() -> None:
    """RFC 6716 section 3.1: configuration, stereo flag, frame count code."""
    assert opus_ticks(bytes([0b00000000])) == 480  # SILK 10 ms
    assert opus_ticks(bytes([0b00011000])) == 2880  # SILK 60 ms
    assert opus_ticks(bytes([0b01100000])) == 480  # hybrid 10 ms
    assert opus_ticks(bytes([0b11111000])) == 960  # CELT 20 ms
    assert opus_ticks(bytes([0b11100000])) == 120  # CELT 2.5 ms
    assert opus_ticks(bytes([0b11111001])) == 1920  # two frames
    assert opus_ticks(bytes([0b11111011, 3])) == 2880  # three frames by count
    assert opus_ticks(bytes([0b11111011, 48])) == 0  # longer than 120 ms
    assert opus_ticks(b"") == 0


def test_what_was_held_is_heard_before_another_codec() -> None:
    """The packet before the change is lost, and one behind the gap is held when the other codec comes."""
    inlet = PacketInlet(PAYLOADS)
    first = rtp_stream("opus", voice(0.5))
    second = rtp_stream("pcmu", voice(0.5), sequence=25, timestamp=77)
    heard = [f for n, p in enumerate([*first[:23], first[24], *second]) for f in inlet.push(p, n * 0.02)]
    assert sum(len(f) for f in heard) == 16_000


def test_a_change_of_codec_is_followed() -> None:
    inlet = PacketInlet(PAYLOADS)
    first = rtp_stream("opus", voice(0.5))
    second = rtp_stream("pcmu", voice(0.5), sequence=25, timestamp=77)
    heard = [f for n, p in enumerate(first + second) for f in inlet.push(p, n * 0.02)]
    assert sum(len(f) for f in heard) == 16_000


@settings(deadline=None)
@given(st.data())
def test_mutated_packets_do_no_harm(data: st.DataObject) -> None:
    """No exception escapes, and what is handed on stays bounded by time."""
    codec = data.draw(st.sampled_from(list(BY_NAME)))
    inlet = PacketInlet(PAYLOADS)
    handed = 0
    for number, packet in enumerate(rtp_stream(codec, voice(0.4))):
        if data.draw(st.booleans()):
            packet = packet._replace(payload=data.draw(st.binary(max_size=1300)))
        if data.draw(st.integers(0, 9)) == 0:
            packet = packet._replace(
                sequence_number=data.draw(st.integers(0, 65_535)), timestamp=data.draw(st.integers(0, 2**32 - 1))
            )
        packet = packet._replace(payload_type=data.draw(st.sampled_from([*PAYLOADS, 127, BY_NAME[codec]])))
        handed += sum(len(frame) for frame in inlet.push(packet, number * 0.02))
    assert handed < 20 * (2.5 * 16_000)


@pytest.mark.skipif(not opus.available(), reason="compares both Opus decoders")
def test_both_opus_decoders_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = rtp_stream("opus", voice(1.0, 700))
    native, _ = hear(packets)
    monkeypatch.setattr(opus, "available", lambda: False)
    fallback, _ = hear(packets)
    assert abs(len(native) - len(fallback)) <= 320
    for pcm in (native, fallback):
        assert snr_db(pcm[3200:12_800], 16_000, 700) > 25


KEYS_PAYLOAD = 101


def keyed_stream(codec: str, *, at: int, of: int) -> list[RtpPacket]:
    """A stream whose caller presses a key: seven packets of audio give way to seven of the key."""
    packets = rtp_stream(codec, voice(of * 0.02))
    began = packets[at].timestamp
    for number, payload in enumerate(dtmf.key_packets("5"), start=at):
        packets[number] = packets[number]._replace(payload_type=KEYS_PAYLOAD, payload=payload, timestamp=began)
    return packets


@CODECS
def test_a_key_costs_no_time_and_no_waiting(codec: str) -> None:
    """It is told once, its time is silence, and the audio after it is heard at once."""
    keys: list[str] = []
    inlet = PacketInlet({**PAYLOADS, KEYS_PAYLOAD: dtmf.NAME}, keys.append)
    heard = [inlet.push(packet, index * 0.02) for index, packet in enumerate(keyed_stream(codec, at=50, of=100))]
    assert keys == ["5"]
    assert sum(len(frame) for frames in heard for frame in frames) == 100 * 320
    assert all(heard[:50])
    assert not any(heard[50:57])
    assert all(heard[57:])
    assert inlet.reorder_stats.lost == 0
    assert inlet.stats.restarts == 0


def test_audio_and_keys_at_the_same_time() -> None:
    """Some phones go on sending audio between the packets of a key."""
    keys: list[str] = []
    inlet = PacketInlet({**PAYLOADS, KEYS_PAYLOAD: dtmf.NAME}, keys.append)
    audio = rtp_stream("pcmu", voice(4.0))
    sequence, heard = 0, 0
    for index, packet in enumerate(audio):
        if 20 <= index < 180:  # held for longer than a jump of the timestamp may be
            pressed = bytes((3, 10)) + ((index - 19) * 160).to_bytes(2, "big")
            event = RtpPacket(KEYS_PAYLOAD, 0, sequence, audio[20].timestamp, 1, pressed)
            heard += sum(map(len, inlet.push(event, index * 0.02)))
            sequence += 1
        got = inlet.push(packet._replace(sequence_number=sequence), index * 0.02)
        sequence += 1
        assert got, "audio must not wait for the key"
        heard += sum(map(len, got))
    assert keys == ["3"]
    assert heard == 4 * 16_000
    assert inlet.stats.restarts == 0


def test_keys_of_another_source_do_not_disturb_the_audio() -> None:
    inlet = PacketInlet({**PAYLOADS, KEYS_PAYLOAD: dtmf.NAME})
    heard = 0
    for index, packet in enumerate(rtp_stream("pcmu", voice(1.0))):
        event = RtpPacket(KEYS_PAYLOAD, 0, index * 999 & 0xFFFF, 7, 99, bytes((1, 10, 0, 160)))
        inlet.push(event, index * 0.02)
        heard += sum(map(len, inlet.push(packet, index * 0.02)))
    assert heard == 16_000
    assert inlet.stats.restarts == 0


PLACEHOLDERS = {
    "padding alone": (None, b""),  # in the audio's payload type
    "comfort noise": (13, b"\x2c"),
    "comfort noise with a spectrum": (13, bytes(11)),
    "what was not negotiated": (127, b"whatever"),
    "nothing at all": (13, b""),
}


@CODECS
@pytest.mark.parametrize("what", PLACEHOLDERS)
@pytest.mark.parametrize("moves_time", [False, True])
def test_what_is_no_audio_holds_no_speech_back(codec: str, what: str, moves_time: bool) -> None:
    """Every fifth packet is none: the audio behind it is heard at once, and none counts as lost."""
    kind, payload = PLACEHOLDERS[what]
    inlet = PacketInlet({**PAYLOADS, KEYS_PAYLOAD: dtmf.NAME})
    packets = rtp_stream(codec, voice(2.0))
    sequence = heard = 0
    for index, packet in enumerate(packets):
        if index % 5 == 4:
            filler = packet._replace(
                payload_type=packet.payload_type if kind is None else kind,
                payload=payload,
                sequence_number=sequence,
            )
            assert inlet.push(filler, index * 0.02) == []
            sequence += 1
            if moves_time:  # it stands for this packet of audio
                continue
        got = inlet.push(packet._replace(sequence_number=sequence), index * 0.02)
        assert got, "speech must not wait"
        sequence += 1
        heard += sum(map(len, got))
    assert heard == (99 if moves_time else 100) * 320  # the last packet is none
    stats = inlet.stats
    assert (inlet.reorder_stats.lost, stats.unreadable, stats.restarts, stats.concealed_samples) == (0, 0, 0, 0)
    assert stats.filled_samples == (19 * 320 if moves_time else 0)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("silent", [b"\x48", b"\x48\x00", b"\xf8", b"\xf8\xff", b"\x4b\x01"])
def test_opus_dtx_packets_are_silence(silent: bytes, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender in DTX sends a packet of a byte or two each 400 ms (RFC 7587 section 3.1.3)."""
    if native and not opus.available():
        pytest.skip("needs the system's libopus")
    monkeypatch.setattr(opus, "available", lambda: native)
    inlet = PacketInlet(PAYLOADS)
    packets = rtp_stream("opus", voice(4.0))
    sequence, heard, next_poll = 0, [], 0.1
    for index, packet in enumerate(packets):
        now = index * 0.02
        while next_poll < now:
            heard += inlet.poll(next_poll)
            next_poll += 0.1
        in_pause = 50 <= index < 150
        if in_pause and (index - 50) % 20:
            continue
        payload = silent if in_pause else packet.payload
        got = inlet.push(packet._replace(sequence_number=sequence, payload=payload), now)
        assert in_pause or got, "speech must not wait"
        heard += got
        sequence += 1
    pcm = np.concatenate(heard)
    assert len(pcm) == pytest.approx(4 * 16_000, abs=320)  # PyAV holds a little back
    assert not pcm[52 * 320 : 149 * 320].any()
    assert snr_db(pcm[3200 : 49 * 320], 16_000, 1000) > 25
    assert snr_db(pcm[155 * 320 : -640], 16_000, 1000) > 25
    assert (inlet.reorder_stats.lost, inlet.stats.unreadable, inlet.stats.restarts) == (0, 0, 0)


def test_a_damaged_packet_costs_itself() -> None:
    """Opus that cannot be read is concealed like a lost packet, and holds nothing back."""
    packets = rtp_stream("opus", voice(2.0))
    damaged = {20: b"\xff", 40: b"\xfb\x3f", 60: b"\xfb\x00"}
    inlet, heard = PacketInlet(PAYLOADS), []
    for number, packet in enumerate(packets):
        got = inlet.push(packet._replace(payload=damaged.get(number, packet.payload)), number * 0.02)
        assert got
        heard += got
    assert sum(map(len, heard)) == 2 * 16_000
    assert inlet.stats.unreadable == len(damaged)
    assert inlet.reorder_stats.lost == 0


@CODECS
def test_a_loud_voice_is_not_clipped(codec: str) -> None:
    """Full scale at the upper end of the telephone's band: filters must not overshoot into clipping."""
    loud = (32_000 * np.sin(2 * np.pi * 3000 * np.arange(VOICE_RATE_HZ) / VOICE_RATE_HZ)).astype(np.int16)
    pcm, _ = hear(rtp_stream(codec, loud))
    assert snr_db(pcm[8_000:], 16_000, 3000.0) > 25
