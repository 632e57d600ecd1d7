"""Recordings of real calls: what is in the file is what was really sent and heard."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCDtlsTransport
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import is_rtcp

from agent import Agent, CallContext, Spoken
from agent.emulator import Emulator
from agent.emulator.faults.kinds import GoAway
from agent.errors import OfferError
from agent.media.rtp import RtpPacket, parse_rtp
from agent.record import file, recorder
from agent.record.repair import repair_folder
from signaling.client.caller import Caller, call_service
from tests.support.line import MIC_HZ, QUICK, on_line
from tests.support.process import serving
from tests.support.recording import Sound, onsets_s, tracks
from tests.support.service import ServiceFactory, service_for
from tests.support.tones import tone

FILLER_BYTES = 1
NEAR_TICKS = 480


@dataclass
class Tracks:
    """What of a recording's packets is not filler, by their place in 48 kHz samples."""

    caller: dict[int, bytes]
    agent: dict[int, bytes]


def packets_of(path: Path) -> Tracks:
    found: list[dict[int, bytes]] = [{}, {}]
    with av.open(str(path)) as recording:
        ends = [0, 0]
        for packet in recording.demux():
            if packet.size:
                index = packet.stream.index
                if packet.size > FILLER_BYTES:
                    found[index][ends[index]] = bytes(packet)
                ends[index] += 960
    return Tracks(*found)


def recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


async def stored(folder: Path, suffix: str = ".webm") -> Path:
    """Wait until the only recording is complete."""
    async with asyncio.timeout(10):
        while not [path for path in recordings(folder) if path.name.endswith(suffix)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (path,) = recordings(folder)
    return path


@dataclass
class Wire:
    """What a caller sent and the network did not lose, and what the caller's own decoder made of what came."""

    sent: list[RtpPacket] = field(default_factory=list)
    heard: list[tuple[int, Sound]] = field(default_factory=list)

    async def listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, av.AudioFrame)
            assert frame.pts is not None
            self.heard.append((frame.pts, frame.to_ndarray().reshape(-1, 2)[:, 0].astype(float)))

    def lose(self, transport: RTCDtlsTransport, share: float) -> None:
        """Lose a share of what a caller sends, and note the rest."""
        chance, send = random.Random(1), transport._send_rtp

        async def lossy(data: bytes) -> None:
            packet = None if is_rtcp(data) else parse_rtp(data)
            if packet is not None and packet.payload:
                if chance.random() < share:
                    return
                self.sent.append(packet)
            await send(data)

        transport._send_rtp = lossy  # type: ignore[method-assign]


def decoded(packets: dict[int, bytes]) -> dict[int, Sound]:
    """Decode packets one after another, each to the place where it lies."""
    codec = av.CodecContext.create("libopus", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout = 48_000, "stereo"
    found = {}
    for place, data in sorted(packets.items()):
        (frame,) = codec.decode(av.Packet(data))
        found[place] = frame.to_ndarray().reshape(-1, 2)[:, 0].astype(float)
    return found


async def test_the_file_is_what_was_sent_and_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With 5 % loss on the way in, an interruption by voice, and a goAway that is followed by another session."""
    wire = Wire()

    async def listen(caller: Caller, track: MediaStreamTrack) -> None:
        await asyncio.gather(wire.listen(track))

    settings = {**QUICK, "record": True, "record_folder": str(tmp_path)}
    away = GoAway(session=1, at="turn_completed", after_s=0.1, time_left_s=0.7)
    monkeypatch.setattr(Caller, "listen", listen)
    async with on_line(answer_s=3.0, settings=settings, faults=[away]) as line:
        wire.lose(line.caller.pc.getSenders()[0].transport, 0.05)
        await line.ask()
        await line.counted("bot-started-speaking", 1)
        await asyncio.sleep(1.0)
        await line.ask()  # a barge-in
        await line.counted("bot-interrupted", 1)
        await line.counted("bot-stopped-speaking", 2)
        await line.told("session-replaced")
        await line.ask()
        await line.counted("bot-stopped-speaking", 3)
        await line.caller.until(lambda: line.count("recording-started") == 1)
    path = await stored(tmp_path)
    found = packets_of(path)

    # the agent: bit for bit what the caller's decoder got, at the same distances
    agent = decoded(found.agent)
    first, start = min(agent), wire.heard[0][0]
    pairs = [(sound, agent.get(first + pts - start)) for pts, sound in wire.heard]
    same = [(one, other) for one, other in pairs if other is not None]
    assert len(same) == len(pairs)
    theirs, ours = (np.concatenate(side) for side in zip(*same, strict=True))
    assert np.abs(ours).max() > 3000
    assert np.corrcoef(theirs, ours)[0, 1] > 0.9999
    best = max(range(-5, 6), key=lambda lag: float(np.dot(theirs[10:-10], np.roll(ours, lag)[10:-10])))
    assert best == 0

    # the caller: all that came, and nothing else, at the distances of the timestamps
    sent = {packet.payload: packet.timestamp for packet in wire.sent}
    places = {data: place for place, data in found.caller.items()}
    unique = [packet.payload for packet in wire.sent if wire.sent and packet.payload in places]
    missing = [packet for packet in wire.sent if packet.payload not in places]
    assert len(missing) <= 15  # sent after the service had hung up
    apart = [places[payload] - sent[payload] for payload in unique if len(payload) > 30]
    assert len(apart) > 50
    assert max(apart) - min(apart) <= 2 * NEAR_TICKS
    assert not [
        record for record in caplog.records if "recording" in record.message and record.levelname == "ERROR"
    ]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("opus", ".webm"), ("PCMU", ".mka"), ("PCMA", ".mka"), ("G722", ".mka")]
)
async def test_every_codec_is_recorded(tmp_path: Path, service: ServiceFactory, codec: str, suffix: str) -> None:
    async with service(record=True, record_folder=str(tmp_path)) as url:
        async with call_service(url, codec=codec) as caller:
            await caller.message("bot-ready")
            caller.microphone.play(
                np.concatenate((tone(1000, MIC_HZ, 0.1), np.zeros(MIC_HZ, np.int16), tone(1000, MIC_HZ, 0.1)))
            )
            await caller.microphone.played()
            caller.type("what is twelve plus thirty")
            await caller.message("bot-stopped-speaking", timeout_s=15)
        path = await stored(tmp_path, suffix)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.relative_to(tmp_path).parts[:3] == tuple(time.strftime("%Y/%m/%d", time.gmtime()).split("/"))
    caller_track, agent_track = tracks(path)
    one, other = onsets_s(caller_track)
    assert other - one == pytest.approx(1.1, abs=0.011)
    assert np.abs(agent_track).max() > 3000
    assert len(caller_track) == pytest.approx(len(agent_track), abs=1000)


async def test_a_caller_who_only_listens_has_a_silent_track(tmp_path: Path, service: ServiceFactory) -> None:
    async with service(record=True, record_folder=str(tmp_path)) as url:
        async with call_service(url, speaks=False) as caller:
            await caller.message("bot-ready")
            caller.type("what is twelve plus thirty")
            await caller.message("bot-stopped-speaking", timeout_s=15)
        path = await stored(tmp_path)
    caller_track, agent_track = tracks(path)
    assert np.abs(caller_track).max() < 10
    assert np.abs(agent_track).max() > 3000
    assert len(caller_track) == pytest.approx(len(agent_track), abs=1000)


async def test_nothing_is_recorded_unless_asked_for(tmp_path: Path, service: ServiceFactory) -> None:
    async with service(record_folder=str(tmp_path)) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        assert caller.location is not None
        async with aiohttp.ClientSession() as http, http.get(caller.location) as response:
            assert (await response.json())["recording"] is None
            call_id = caller.location.rpartition("/")[2]
        async with aiohttp.ClientSession() as http:
            asked = http.post(f"{url}v1/calls/{call_id}/recording", json={"action": "pause"})
            async with asked as response:
                assert response.status == 409
        caller.send("client-message", {"t": "pause-recording"}, "p")
        assert "not being recorded" in (await caller.message("error-response"))["error"]
    assert recordings(tmp_path) == []


async def test_an_agent_may_be_recorded_and_says_so_first(tmp_path: Path, emulator: Emulator) -> None:
    agent = Agent(record=True, greeting="How can I help?")
    settings = {"record_folder": str(tmp_path), "record_announcement": "This call is recorded."}
    async with service_for(emulator, agent, offline_demo=True, **settings) as url, call_service(url) as caller:
        await caller.message("bot-output", lambda data: "recorded" in data["text"] and "help" in data["text"])
    await stored(tmp_path)


async def test_an_agent_may_refuse_to_be_recorded(tmp_path: Path, emulator: Emulator) -> None:
    settings = {"record": True, "record_folder": str(tmp_path), "record_announcement": "This call is recorded."}
    agent = Agent(record=False, greeting="How can I help?")
    async with service_for(emulator, agent, offline_demo=True, **settings) as url, call_service(url) as caller:
        said = await caller.message("bot-output", lambda data: "help" in data["text"])
        assert "recorded" not in said["text"]
    assert recordings(tmp_path) == []


KEY = "a-server-key-of-the-tests"


async def test_the_key_holder_says_whether_a_call_is_recorded(tmp_path: Path, emulator: Emulator) -> None:
    """Whatever the settings say; it is kept with the call like any other recording, and announced."""
    agent = Agent(greeting="How can I help?")
    for by_default in (False, True):
        folder = tmp_path / str(by_default)
        settings: dict[str, Any] = {
            "record": by_default,
            "record_folder": str(folder / "recordings"),
            "history_url": f"sqlite:///{tmp_path / str(by_default)}.db",
            "record_announcement": "This call is recorded.",
        }
        async with service_for(emulator, agent, offline_demo=True, server_key=KEY, **settings) as url:
            assert folder.exists() == by_default, "no folder is made for nothing"
            async with call_service(url, key=KEY, record=not by_default) as caller:
                said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
                assert ("recorded" in said["text"]) != by_default
                assert caller.location is not None
                call_id = caller.location.rpartition("/")[2]
            if by_default:
                assert recordings(folder) == []
                continue
            await stored(folder)
            headers = {"Authorization": f"Bearer {KEY}"}
            async with asyncio.timeout(10), aiohttp.ClientSession(headers=headers) as http:
                status = 0
                while status != 200:
                    async with http.get(f"{url}v1/calls/{call_id}/recording") as response:
                        status = response.status


@pytest.mark.parametrize("record", [True, False])
async def test_a_stranger_does_not_say_whether_a_call_is_recorded(
    tmp_path: Path, service: ServiceFactory, record: bool
) -> None:
    """Without a server key nobody is trusted; with one, nobody gets in without it."""
    folder = str(tmp_path / "recordings")
    for settings, status in (({}, 403), ({"server_key": KEY}, 401)):
        async with service(record=not record, record_folder=folder, **settings) as url:
            with pytest.raises(OfferError) as refused:
                async with call_service(url, record=record):
                    pass
            assert refused.value.status == status
    async with (
        service(server_key=KEY) as url,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(f"{url}whip?record=1", data="v=0", headers={"Content-Type": "application/sdp"}) as response,
    ):
        assert (response.status, (await response.json())["detail"]) == (422, "record must be true or false.")


async def test_a_caller_who_returns_hears_that_the_call_is_recorded(tmp_path: Path, emulator: Emulator) -> None:
    """The announcement, and no greeting."""
    agent = Agent(greeting="How can I help?")
    settings = {"record_folder": str(tmp_path), "record_announcement": "This call is recorded.", "server_key": KEY}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with service_for(emulator, agent, offline_demo=True, **settings) as url:
        async with call_service(url, key=KEY) as caller:
            said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
            assert "recorded" not in said["text"]
            async with (
                aiohttp.ClientSession(headers=headers) as http,
                http.get(f"{caller.location}/state") as response,
            ):
                state = await response.text()
        async with call_service(url, key=KEY, state=state, record=True) as caller:
            said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
            assert "recorded" in said["text"]
            assert "help" not in said["text"]
        await stored(tmp_path)
        async with call_service(url, key=KEY, state=state) as caller:
            await caller.message("bot-ready")
            caller.type("what is twelve plus thirty")
            said = await caller.message("bot-output", lambda data: data["spoken_status"] == "completed")
            assert "42" in said["text"]
            assert not any("recorded" in str(message) for message in caller.messages)


BEEP_S = 0.1


async def beep(caller: Caller) -> None:
    caller.microphone.play(np.concatenate((tone(1000, MIC_HZ, BEEP_S), np.zeros(MIC_HZ * 2 // 5, np.int16))))
    await caller.microphone.played()


async def test_a_pause_leaves_no_sound_and_loses_no_time(tmp_path: Path, service: ServiceFactory) -> None:
    """By HTTP, and by the client."""
    async with service(record=True, record_folder=str(tmp_path)) as url, aiohttp.ClientSession() as http:

        async def change(action: object) -> tuple[int, Any]:
            asked = http.post(f"{url}v1/calls/{call_id}/recording", json={"action": action})
            async with asked as response:
                return response.status, await response.json()

        async with call_service(url) as caller:
            assert caller.location is not None
            call_id = caller.location.rpartition("/")[2]
            await caller.message("bot-ready")
            await beep(caller)
            assert await change("pause") == (200, {"state": "paused"})
            assert await change("pause") == (200, {"state": "paused"})
            await beep(caller)
            assert await change("resume") == (200, {"state": "recording"})
            await beep(caller)
            caller.send("client-message", {"t": "pause-recording"}, "p")
            await caller.message("server-response", lambda data: data["t"] == "pause-recording")
            await beep(caller)
            caller.send("client-message", {"t": "resume-recording"}, "r")
            await caller.message("server-response", lambda data: data["t"] == "resume-recording")
            await beep(caller)
            assert (await change("stop"))[0] == 422
            kinds = [m["data"]["type"] for m in caller.messages if m["type"] == "server-message"]
            assert [kinds.count(f"recording-{what}") for what in ("started", "paused", "resumed")] == [1, 2, 2]
        path = await stored(tmp_path)
        assert (await change("pause"))[0] in (404, 409)  # the call, or only its recording, is over
    first, second, third = onsets_s(tracks(path)[0])
    assert second - first == pytest.approx(1.0, abs=0.2)  # the next beep waits for the request
    assert third - second == pytest.approx(1.0, abs=0.2)


async def test_an_agents_code_pauses_and_resumes(tmp_path: Path, emulator: Emulator) -> None:
    def heard(call: CallContext, spoken: Spoken) -> None:
        if spoken.speaker == "caller":
            call.pause_recording()
        else:
            call.resume_recording()

    agent = Agent(record=True, on_transcript=heard)
    settings = {"record_folder": str(tmp_path)}
    async with service_for(emulator, agent, offline_demo=True, **settings) as url, call_service(url) as caller:
        await caller.message("bot-ready")
        caller.type("what is twelve plus thirty")
        await caller.message("server-message", lambda data: data["type"] == "recording-paused")
        await caller.message("server-message", lambda data: data["type"] == "recording-resumed", timeout_s=15)


# when the disk does not do its part


async def hold_a_call(url: str, caller: Caller) -> str:
    """Talk for a while; return the metrics."""
    await caller.message("bot-ready")
    caller.type("what is twelve plus thirty")
    await caller.message(
        "bot-output", lambda data: "42" in data["text"] and data["spoken_status"] == "completed", timeout_s=15
    )
    async with aiohttp.ClientSession() as http, http.get(f"{url}metrics") as response:
        return await response.text()


def disk(monkeypatch: pytest.MonkeyPatch, write: Callable[[int, bytes], int]) -> None:
    monkeypatch.setattr(recorder.Recorder.__init__, "__kwdefaults__", {"write": write, "clock": time.monotonic})


async def test_a_full_disk_harms_no_call_and_is_told(
    tmp_path: Path, service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = [3_000]

    def write(descriptor: int, data: bytes) -> int:
        if len(data) > room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(data)
        return os.write(descriptor, data)

    disk(monkeypatch, write)
    async with service(record=True, record_folder=str(tmp_path)) as url:
        async with call_service(url) as caller:
            await caller.message("server-message", lambda data: data["type"] == "recording-failed")
            text = await hold_a_call(url, caller)
            assert caller.location is not None
            async with aiohttp.ClientSession() as http, http.get(caller.location) as response:
                assert (await response.json())["recording"] == "failed"
        assert 'talkspurt_recordings_total{state="failed"} 1.0' in text
        assert 'talkspurt_recordings_total{state="stored"} 0.0' in text
    (part,) = recordings(tmp_path)
    assert part.name.endswith(file.PART)
    assert part.stat().st_size <= 3_000


async def test_a_folder_that_is_no_folder_harms_no_call(tmp_path: Path, emulator: Emulator) -> None:
    (tmp_path / "taken").write_bytes(b"")
    folder = str(tmp_path / "taken")
    async with service_for(emulator, Agent(), offline_demo=True) as _url:
        pass
    with pytest.raises(Exception, match="cannot be created"):
        async with service_for(emulator, Agent(record=True), offline_demo=True, record_folder=folder):
            pass


async def test_a_slow_disk_delays_no_packet(
    tmp_path: Path, service: ServiceFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(descriptor: int, data: bytes) -> int:
        time.sleep(0.4)
        return os.write(descriptor, data)

    disk(monkeypatch, write)
    async with service(record=True, record_folder=str(tmp_path)) as url:
        async with call_service(url) as caller:
            text = await hold_a_call(url, caller)
        path = await stored(tmp_path)
    late = next(line for line in text.splitlines() if line.startswith("talkspurt_outbound_late_packets_total"))
    assert float(late.split()[1]) <= 1
    assert np.abs(tracks(path)[1]).max() > 3000


async def test_what_a_killed_process_recorded_is_completed_when_the_next_one_starts(tmp_path: Path) -> None:
    environment = {"TALKSPURT_RECORD": "1", "TALKSPURT_RECORD_FOLDER": str(tmp_path), "TALKSPURT_PORT": "0"}
    async with serving(**environment) as service, call_service(service.url, hang_up=False) as caller:
        await caller.message("server-message", lambda data: data["type"] == "recording-started", timeout_s=15)
        frames = caller.microphone.sent_frames
        await caller.until(lambda: caller.microphone.sent_frames >= frames + 200)
        service.process.send_signal(signal.SIGKILL)
        sent_s = caller.microphone.sent_frames * 0.02
        await service.process.wait()
    (part,) = recordings(tmp_path)
    assert part.name.endswith(f".webm{file.PART}")
    async with serving(**environment):
        path = await stored(tmp_path)
    with av.open(str(path)) as repaired:
        assert repaired.duration is not None
        assert repaired.duration / 1e6 >= sent_s - 1.3 - 0.2  # of which the service never got the last packets
    assert repair_folder(tmp_path) == []
