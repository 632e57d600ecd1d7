"""The baseline: what one writes in an afternoon with aiortc and google-genai, by the examples of both.

Frames in, PyAV's resampler, `send_realtime_input`; a queue of 20 ms frames out, emptied when the model is
interrupted; a frame of video as JPEG once a second. Nothing in it is slowed down on purpose. It has the same door
as talkspurt and the same Live server.
"""

from __future__ import annotations

import asyncio
import fractions
import logging
import signal
import sys
import time
import uuid
from collections import deque

import aiortc
import av
from aiohttp import web
from aiortc.mediastreams import MediaStreamError
from google import genai
from google.genai import types
from google.genai.live import AsyncSession

MODEL = "gemini-3.8-live"
VOICE_HZ = 24_000
FRAME_SAMPLES = VOICE_HZ // 50
FRAME_BYTES = FRAME_SAMPLES * 2


class AgentTrack(aiortc.MediaStreamTrack):
    """The model's voice, 20 ms at a time, paced as `aiortc.mediastreams.AudioStreamTrack` does it."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._start: float | None = None
        self._timestamp = 0

    def push(self, pcm: bytes) -> None:
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._frames.extend(pcm[i : i + FRAME_BYTES] for i in range(0, whole, FRAME_BYTES))
        self._rest = pcm[whole:]

    def flush(self) -> None:
        self._frames.clear()
        self._rest = b""

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._start is None:
            self._start = time.time()
        else:
            self._timestamp += FRAME_SAMPLES
            await asyncio.sleep(self._start + self._timestamp / VOICE_HZ - time.time())
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME_SAMPLES)
        frame.planes[0].update(self._frames.popleft() if self._frames else bytes(FRAME_BYTES))
        frame.pts = self._timestamp
        frame.sample_rate = VOICE_HZ
        frame.time_base = fractions.Fraction(1, VOICE_HZ)
        return frame


async def send_audio(track: aiortc.MediaStreamTrack, session: AsyncSession) -> None:
    """Ends with the track."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, av.AudioFrame)
        for resampled in resampler.resample(frame):
            data = resampled.to_ndarray().tobytes()
            await session.send_realtime_input(audio=types.Blob(data=data, mime_type="audio/pcm;rate=16000"))


async def send_video(track: aiortc.MediaStreamTrack, session: AsyncSession) -> None:
    """Ends with the track."""
    sent_at = 0.0
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        if time.monotonic() - sent_at < 1.0:
            continue
        sent_at = time.monotonic()
        assert isinstance(frame, av.VideoFrame)
        await session.send_realtime_input(video=types.Blob(data=jpeg(frame), mime_type="image/jpeg"))


def jpeg(frame: av.VideoFrame) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base = fractions.Fraction(1, 30)
    packets = encoder.encode(frame.reformat(format="yuvj420p")) + encoder.encode(None)
    return b"".join(bytes(packet) for packet in packets)


async def receive(session: AsyncSession, voice: AgentTrack) -> None:
    while True:
        async for message in session.receive():
            content = message.server_content
            if content is None:
                continue
            if content.interrupted:
                voice.flush()
            if content.model_turn is not None:
                for part in content.model_turn.parts or ():
                    if part.inline_data is not None and part.inline_data.data:
                        voice.push(part.inline_data.data)


class Plain:
    """The service's state: its calls."""

    def __init__(self) -> None:
        self.client = genai.Client()  # key and address come from the environment
        self.calls: dict[str, aiortc.RTCPeerConnection] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    async def offer(self, request: web.Request) -> web.Response:
        pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        voice = AgentTrack()
        tracks: list[aiortc.MediaStreamTrack] = []
        pc.on("track", tracks.append)
        await pc.setRemoteDescription(aiortc.RTCSessionDescription(await request.text(), "offer"))
        pc.addTrack(voice)
        await pc.setLocalDescription(await pc.createAnswer())
        call_id = uuid.uuid4().hex
        self.calls[call_id] = pc
        task = asyncio.create_task(self.converse(tracks, voice))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        pc.on("connectionstatechange", lambda: task.cancel() if pc.connectionState == "closed" else None)
        return web.Response(
            status=201,
            text=pc.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": f"/whip/{call_id}"},
        )

    async def converse(self, tracks: list[aiortc.MediaStreamTrack], voice: AgentTrack) -> None:
        """Ends with the call."""
        config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
        async with self.client.aio.live.connect(model=MODEL, config=config) as session:
            await asyncio.gather(
                receive(session, voice),
                *(
                    send_audio(track, session) if track.kind == "audio" else send_video(track, session)
                    for track in tracks
                ),
            )

    async def hang_up(self, request: web.Request) -> web.Response:
        pc = self.calls.pop(request.match_info["call_id"], None)
        if pc is None:
            raise web.HTTPNotFound
        await pc.close()
        return web.Response()


async def main() -> None:
    service = Plain()
    app = web.Application()
    app.router.add_post("/whip", service.offer)
    app.router.add_delete("/whip/{call_id}", service.hang_up)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host, port = runner.addresses[0][:2]
    print(f"ready: open http://{host}:{port}/", file=sys.stderr, flush=True)
    await stop.wait()
    await asyncio.gather(*(pc.close() for pc in service.calls.values()))
    await runner.cleanup()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
