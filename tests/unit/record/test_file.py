"""A recording can be read by everybody, whichever codecs the call had."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import av
import pytest

from agent.record.file import PART, CallFile, PartFile, suffix_of
from agent.record.opus import filler, frame_ticks
from agent.record.repair import repair_folder
from agent.record.stereo import export_stereo, joined, self_delimited
from agent.record.tape import Packet, Side, Tape
from tests.support.recording import beeps, onsets_s, packets, payloads, timed_onsets_s, tracks

LENGTH_S = 6.0
CALLER_AT_S, AGENT_AT_S = [1.0, 3.0, 5.0], [0.5, 2.0, 4.5]


def write(path: Path, given: list[Packet], *, finish: bool = True) -> dict[Side, str]:
    """Record packets into a file."""
    tape, pieces = Tape(), []
    for packet in sorted(given, key=lambda each: each.now):
        pieces += tape.put(packet)
    pieces += tape.finish()
    disk = PartFile(path)
    file = CallFile(disk, tape.codecs)
    file.write(pieces)
    if finish:
        file.finish()
    else:
        file.give_up()
    disk.close()
    return tape.codecs


def both(codec: str, caller_s: float = 0.0) -> list[Packet]:
    """Return the packets of a call with beeps; the caller begins later than the agent."""
    callers = packets("caller", beeps(CALLER_AT_S, LENGTH_S), codec, 1000.0 + caller_s, first=12345)
    return callers + packets("agent", beeps(AGENT_AT_S, LENGTH_S, 600.0), codec)


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma", "g722"])
def test_every_beep_is_where_it_was(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "call"
    write(path, both(codec))
    caller, agent = tracks(path)
    assert onsets_s(caller) == pytest.approx(CALLER_AT_S, abs=0.01)
    assert onsets_s(agent) == pytest.approx(AGENT_AT_S, abs=0.01)
    assert timed_onsets_s(path, 0) == pytest.approx(CALLER_AT_S, abs=0.012)
    assert abs(len(caller) - len(agent)) <= 480
    assert len(agent) / 48_000 == pytest.approx(LENGTH_S, abs=0.03)


@pytest.mark.parametrize(
    ("codecs", "suffix", "container"),
    [
        ({"caller": "opus", "agent": "opus"}, ".webm", "webm"),
        ({"caller": "pcmu", "agent": "pcmu"}, ".mka", "matroska"),
        ({"caller": "l16", "agent": "opus"}, ".mka", "matroska"),
    ],
)
def test_the_name_says_what_it_is(codecs: dict[Side, str], suffix: str, container: str) -> None:
    assert suffix_of(codecs) == suffix
    assert container in av.formats_available


def test_opus_is_not_touched(tmp_path: Path) -> None:
    path, given = tmp_path / "call.webm", both("opus")
    write(path, given)
    with av.open(str(path)) as file:
        found = [bytes(packet) for packet in file.demux(file.streams.audio[1]) if packet.size]
    assert found[: len(given) // 2] == [packet.payload for packet in given if packet.side == "agent"]


@pytest.mark.parametrize(
    ("first", "later"), [("opus", "pcmu"), ("pcmu", "opus"), ("opus", "g722"), ("g722", "pcma")]
)
def test_a_side_may_change_its_codec(tmp_path: Path, first: str, later: str) -> None:
    path, agents = tmp_path / "call", packets("agent", beeps(AGENT_AT_S, LENGTH_S, 600.0), first)
    callers = packets("caller", beeps(CALLER_AT_S[:1], 2.0), first)
    callers += packets("caller", beeps([1.0, 3.0], 4.0), later, 1002.0, first=777)
    write(path, callers + agents)
    assert onsets_s(tracks(path)[0]) == pytest.approx(CALLER_AT_S, abs=0.03)  # further codec delay


def test_a_caller_whose_packets_cannot_be_tapped_is_recorded(tmp_path: Path) -> None:
    path, samples = tmp_path / "call", beeps([1.0], 2.0)[::3].repeat(2)  # 16 kHz
    callers = [
        Packet("caller", "l16", 1000.0 + n / 50, n * 320, 320, samples[n * 320 : (n + 1) * 320].tobytes())
        for n in range(100)
    ]
    write(path, callers + packets("agent", beeps([0.5], 2.0)))
    assert onsets_s(tracks(path)[0]) == pytest.approx([1.0], abs=0.01)


@pytest.mark.parametrize("silent", ["caller", "agent"])
@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_a_side_that_never_spoke_is_as_long(tmp_path: Path, codec: str, silent: Side) -> None:
    path = tmp_path / "call"
    write(path, [packet for packet in both(codec) if packet.side != silent])
    caller, agent = tracks(path)
    assert len(caller) == pytest.approx(len(agent), abs=480)
    assert sorted(len(onsets_s(side)) for side in (caller, agent)) == [0, 3]


def test_damaged_packets_cost_their_own_time(tmp_path: Path) -> None:
    path, given = tmp_path / "call", both("pcmu")
    given[20] = given[20]._replace(codec="opus", ticks=960, payload=b"\xff\xff")
    write(path, given)
    assert len(tracks(path)[0]) / 48_000 == pytest.approx(LENGTH_S, abs=0.03)


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_what_was_left_behind_is_repaired(tmp_path: Path, codec: str) -> None:
    folder = tmp_path / "2026" / "11" / "30"
    suffix = ".webm" if codec == "opus" else ".mka"
    write(folder / f"whole{suffix}{PART}", both(codec), finish=False)
    torn = folder / f"torn{suffix}{PART}"
    write(torn, both(codec), finish=False)
    torn.write_bytes(torn.read_bytes()[:-1000])
    (folder / f"empty{suffix}{PART}").write_bytes(b"")
    busy = PartFile(folder / f"busy{suffix}{PART}")
    assert len(repair_folder(tmp_path)) == 2
    busy.close()
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"busy{suffix}{PART}", f"empty{suffix}.unreadable", f"torn{suffix}", f"whole{suffix}"]
    )
    for name, least_s in (("whole", LENGTH_S - 1.0), ("torn", LENGTH_S - 2.2)):
        path = folder / f"{name}{suffix}"
        assert path.stat().st_mode & 0o777 == 0o600
        with av.open(str(path)) as file:
            assert file.duration is not None
            assert file.duration / 1e6 >= least_s
            assert [stream.metadata["title"] for stream in file.streams.audio] == ["caller", "agent"]
        assert onsets_s(tracks(path)[1])[:2] == pytest.approx(AGENT_AT_S[:2], abs=0.01)


def test_a_full_disk_leaves_what_was_written(tmp_path: Path) -> None:
    room = [8_000]

    def write_some(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = os.write(file, data[: min(room[0], 7000)])  # and short writes
        room[0] -= written
        return written

    tape, pieces = Tape(), []
    for packet in sorted(both("opus"), key=lambda each: each.now):
        pieces += tape.put(packet)
    disk = PartFile(tmp_path / f"call.webm{PART}", write_some)
    file = CallFile(disk, tape.codecs)
    with pytest.raises(OSError, match="No space left"):
        file.write(pieces)
    room[0] = 10**6
    file.give_up()
    disk.close()
    assert (tmp_path / f"call.webm{PART}").stat().st_size == 8_000
    assert len(repair_folder(tmp_path)) == 1
    assert onsets_s(tracks(tmp_path / "call.webm")[1])[0] == pytest.approx(AGENT_AT_S[0], abs=0.01)


# stereo


@pytest.mark.parametrize(("codec", "copied"), [("opus", True), ("pcmu", False), ("g722", False)])
@pytest.mark.parametrize("suffix", [".webm", ".ogg", ".mka"])
def test_stereo_has_the_caller_left_and_the_agent_right(
    tmp_path: Path, codec: str, copied: bool, suffix: str
) -> None:
    path, out = tmp_path / "call", tmp_path / f"stereo{suffix}"
    write(path, both(codec))
    assert export_stereo(str(path), str(out)) == (copied and suffix != ".mka")
    left, right = tracks(out)
    assert onsets_s(left) == pytest.approx(CALLER_AT_S, abs=0.01)
    assert onsets_s(right) == pytest.approx(AGENT_AT_S, abs=0.01)


@pytest.mark.parametrize("length", [0, 1, 251, 252, 253, 254, 255, 256, 1020, 1275])
def test_a_packet_delimits_itself(length: int) -> None:
    """RFC 6716 section 3.2.1: one byte below 252, else the second counts fourfold."""
    packet = bytes([0x48]) + bytes(length)
    found = self_delimited(packet)
    first = found[1]
    read, header = (first, 2) if first < 252 else (found[2] * 4 + first, 3)
    assert read == length
    assert found[header:] == packet[1:]


def test_the_shorter_side_is_filled() -> None:
    long, short = list(payloads(beeps([0.0], 0.2))), list(payloads(beeps([0.0], 0.1)))
    assert len(list(joined(short, long))) == 10


@pytest.mark.parametrize("configuration", range(32))
@pytest.mark.parametrize("stereo", [0, 4])
def test_a_filler_is_20_ms_of_the_same_kind(configuration: int, stereo: int) -> None:
    toc = configuration << 3 | stereo | 3
    packet = filler(toc)
    assert len(packet) == 1
    assert frame_ticks(packet[0]) == 960
    assert packet[0] & 7 == stereo
    assert [low <= packet[0] >> 3 < high for low, high in ((0, 12), (12, 16), (16, 32))] == [
        low <= configuration < high for low, high in ((0, 12), (12, 16), (16, 32))
    ]
