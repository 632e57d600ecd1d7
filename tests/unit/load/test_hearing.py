"""What a caller hears, packet by packet: times and counts are exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest

from agent.errors import MediaError
from agent.media.fir import Pcm
from signaling.load.hearing import EAR_RATE_HZ, LATE_S, TALK_PAUSE_S, Ear

FRAME = 0.02
SOUND, SILENCE, HALF, BROKEN = b"sound", b"silence", b"half", b"broken"


class Decoder:
    """Knows four packets: sound, silence, sound in the second half only, and one that is no Opus."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, packet: bytes) -> Pcm:
        self.decoded += 1
        if packet == BROKEN:
            raise MediaError("no Opus")
        pcm = np.full(int(EAR_RATE_HZ * FRAME), 1000 if packet in (SOUND, HALF) else 0, np.int16)
        if packet == HALF:
            pcm[: len(pcm) // 2] = 0
        return pcm


def hear(payloads: Sequence[bytes | None], *, ear: Ear | None = None, late: dict[int, float] | None = None) -> Ear:
    """Hear a packet every 20 ms from 100 s on; None is one that is lost, `late` how much later others come."""
    ear = ear or Ear(Decoder())
    came = [
        (100 + FRAME * index + (late or {}).get(index, 0.0), index, payload)
        for index, payload in enumerate(payloads)
        if payload is not None
    ]
    for at, index, payload in sorted(came, key=lambda each: each[0]):
        ear.take((65530 + index) & 0xFFFF, (0xFFFFFF00 + 960 * index) & 0xFFFFFFFF, payload, at)
    ear.finish()
    return ear


def test_a_talk_begins_and_ends_with_its_first_and_last_audible_sample() -> None:
    ear = hear([SILENCE] * 10 + [HALF] + [SOUND] * 20 + [SILENCE] * 30)
    [talk] = ear.talks
    assert talk.started_at == pytest.approx(100 + 10.5 * FRAME, abs=1e-3)
    assert talk.ended_at == pytest.approx(100 + 31 * FRAME, abs=1e-3)
    assert (ear.received, ear.lost, ear.late, ear.gaps) == (61, 0, 0, [])


def test_a_short_pause_is_part_of_a_talk_and_a_long_one_ends_it() -> None:
    short, long = int(TALK_PAUSE_S / FRAME) - 2, int(TALK_PAUSE_S / FRAME) + 3
    assert len(hear([SOUND] * 5 + [SILENCE] * short + [SOUND] * 5).talks) == 1
    assert len(hear([SOUND] * 5 + [SILENCE] * long + [SOUND] * 5).talks) == 2


def test_lost_packets_are_counted_across_the_wrap_of_sequence_numbers() -> None:
    ear = hear([SOUND] * 3 + [None] * 4 + [SOUND] * 10 + [None] + [SOUND] * 2)
    assert (ear.lost, ear.bursts, ear.received) == (5, 2, 15)


def test_a_packet_that_is_overtaken_is_not_lost() -> None:
    ear = hear([SOUND] * 20, late={7: 0.05})
    assert (ear.lost, ear.late, ear.received) == (0, 0, 20)


@pytest.mark.parametrize(("delay_s", "late"), [(LATE_S - 0.005, 0), (LATE_S + 0.005, 3)])
def test_late_is_what_comes_later_than_the_limit(delay_s: float, late: int) -> None:
    ear = hear([SOUND] * 50, late={20: delay_s, 30: delay_s, 40: delay_s})
    assert ear.late == late


def test_a_change_of_the_path_is_late_only_until_it_is_the_rule() -> None:
    ear = hear([SOUND] * 2000, late=dict.fromkeys(range(1000, 2000), 0.1))
    assert 0 < ear.late < 600  # of the thousand that took longer


def test_a_gap_is_where_speech_breaks_off() -> None:
    ear = hear([SOUND] * 10 + [None] * 5 + [SOUND] * 10)
    [gap] = ear.gaps
    assert gap == pytest.approx((100 + 9 * FRAME, 100 + 15 * FRAME))
    assert hear([SOUND] * 10 + [None] + [SOUND] * 10).gaps == []  # 40 ms: nobody hears that
    assert hear([SILENCE] * 10 + [None] * 5 + [SILENCE] * 10).gaps == []  # nobody spoke


def test_silence_that_is_not_sent_is_no_gap() -> None:
    ear = Ear(Decoder())
    for index in (0, 1, 2, 50, 51):  # the sequence numbers go on: nothing was lost, the sender was silent
        ear.take([0, 1, 2, 50, 51].index(index), 960 * index, SOUND, 100 + FRAME * index)
    assert (ear.lost, ear.late, ear.gaps) == (0, 0, [])


def test_the_same_silence_is_decoded_twice_and_never_again() -> None:
    decoder = Decoder()
    hear([SILENCE] * 100, ear=Ear(decoder))
    assert decoder.decoded == 2
    hear([SOUND] * 100, ear=Ear(decoder))
    assert decoder.decoded == 102


def test_what_is_no_opus_is_only_not_heard() -> None:
    ear = hear([SOUND, BROKEN, SOUND])
    assert (ear.received, len(ear.talks)) == (3, 1)


def test_jitter_is_that_of_rfc_3550() -> None:
    delays = [0.0, 0.008, 0.0, 0.016] * 5
    ear = hear([SOUND] * 20, late=dict(enumerate(delays)))
    expected = 0.0
    for before, after in pairwise(delays):
        expected += (abs(after - before) - expected) / 16
    assert ear.jitter_s == pytest.approx(expected, rel=1e-6)
