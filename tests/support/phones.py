"""Real telephones without sound cards (baresip), and the gateway that they call through (Kamailio, Janus).

The gateway's configuration is that of deploy/sip; only ports, secrets and the network interface differ.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp
import av
import numpy as np
import pytest

from agent.media.fir import FirResampler, Pcm
from agent.settings import Settings
from tests.support.ports import free_ports

DEPLOY = Path(__file__).parents[2] / "deploy" / "sip"
MODULES = Path("/usr/lib/baresip/modules")
DOMAIN, USER, PASSWORD, SECRET = "agent.local", "agent", "line-password", "test-janus-secret"
PHONE_PASSWORD = "phone-password"
START_TIMEOUT_S = 10.0
LINES = 4
SIOCGIFADDR = 0x8915  # Linux: the address of an interface


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip tests where a program that they run is missing, and say which; some releases of Debian have no Janus."""
    missing = [name for name in programs if shutil.which(name) is None]
    reason = (
        f"{', '.join(missing)} missing: deploy/system-packages.sh test installs what Debian has" if missing else ""
    )
    if not missing and "janus" in programs and interface() is None:
        reason = "only loopback: Janus needs another network interface for WebRTC"
    return pytest.mark.skipif(bool(reason), reason=reason)


def interface() -> str | None:
    """Return the name of a network interface that has an IPv4 address, other than loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _index, name in socket.if_nameindex():
            try:
                fcntl.ioctl(probe.fileno(), SIOCGIFADDR, name.encode().ljust(256, b"\0"))
            except OSError:
                continue
            if name != "lo":
                return name
    return None


needs_phones = needs("janus", "kamailio", "baresip")


@dataclass(eq=False, slots=True)
class Program:
    """A process and what it printed."""

    process: asyncio.subprocess.Process
    output: list[str] = field(default_factory=list)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    async def stop(self, number: int) -> None:
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                os.killpg(self.process.pid, number)
        try:
            async with asyncio.timeout(5):
                await self.process.wait()
        except TimeoutError:
            os.killpg(self.process.pid, signal.SIGKILL)  # its children hold the pipe that is waited for
            await self.process.wait()


@asynccontextmanager
async def program(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None, end_by: int = signal.SIGTERM
) -> AsyncIterator[Program]:
    """Run a program in a folder until the context ends."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    running = Program(process)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            running.output.append(line.decode(errors="replace").rstrip())

    reading = asyncio.create_task(read())
    try:
        yield running
    finally:
        await running.stop(end_by)
        await reading


async def until(found: Callable[[], Any], timeout_s: float = START_TIMEOUT_S) -> Any:
    """Wait until ``found()`` is true; return its value."""
    async with asyncio.timeout(timeout_s):
        while not (value := found()):  # noqa: ASYNC110  of other processes there is no event
            await asyncio.sleep(0.01)
        return value


def listens(port: int) -> bool:
    """Return True if something accepts TCP connections on that port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# the gateway


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the gateway listens on loopback."""

    sip: int
    websocket: int


@asynccontextmanager
async def kamailio(folder: Path, ports: Ports, *, outbound: str = "", **definitions: str) -> AsyncIterator[Program]:
    """Run deploy/sip/kamailio/kamailio.cfg.

    Args:
        folder: its own.
        ports: where it listens.
        outbound: the carrier that the line's calls go to.
        definitions: values of the configuration, as ``-A`` takes them.
    """
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240  before anything runs
    command = ("kamailio", "-DD", "-E", "-f", str(DEPLOY / "kamailio" / "kamailio.cfg"), "-Y", str(folder))
    memory = ("-P", str(folder / "pid"), "-m", "32", "-M", "8")
    listen = ("-A", f"LISTEN=udp:127.0.0.1:{ports.sip}", "-A", f'DOMAIN="{DOMAIN}"')
    others = [part for name, value in definitions.items() for part in ("-A", f"{name}={value}")]
    secrets = {"AGENT_PASSWORD": PASSWORD, "PHONE_PASSWORD": PHONE_PASSWORD, "OUTBOUND": outbound}
    # Told to end while it starts, it waits a minute for children that have not heard of it.
    kill = signal.SIGKILL
    async with program(
        *command, *memory, *listen, *others, folder=folder, environment=secrets, end_by=kill
    ) as running:
        await _up(running, ports.sip)
        yield running


@asynccontextmanager
async def janus(folder: Path, ports: Ports) -> AsyncIterator[Program]:
    """Run deploy/sip/janus/run.sh."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240  before anything runs
    environment = {
        "JANUS_SECRET": SECRET,
        "JANUS_INTERFACE": str(interface()),
        "JANUS_WS_PORT": str(ports.websocket),
        "TMPDIR": str(folder),
    }
    async with program(str(DEPLOY / "janus" / "run.sh"), folder=folder, environment=environment) as running:
        await until(lambda: listens(ports.websocket) or running.process.returncode is not None)
        assert running.process.returncode is None, "\n".join(running.output)
        yield running


async def _up(running: Program, port: int) -> None:
    """Wait until a SIP port answers OPTIONS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        probe.setblocking(False)
        probe.connect(("127.0.0.1", port))
        own = probe.getsockname()[1]
        options = (
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK1\r\n"
            f"From: <sip:probe@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1:{port}>\r\nCall-ID: probe{own}\r\n"
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert running.process.returncode is None, "\n".join(running.output)
            try:
                await loop.sock_sendall(probe, options)
                async with asyncio.timeout(0.1):
                    await loop.sock_recv(probe, 2000)
            except (TimeoutError, ConnectionRefusedError):
                await asyncio.sleep(0.02)
            else:
                return
    raise AssertionError("the SIP proxy does not answer:\n" + "\n".join(running.output))


# phones


@dataclass(frozen=True, slots=True)
class Event:
    """What a phone said, and when (event loop's time)."""

    kind: str
    text: str
    at: float


class Phone:
    """One baresip."""

    def __init__(self, name: str, port: int, folder: Path, running: Program, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.uri = f"sip:{name}@127.0.0.1:{port}"
        self.folder = folder
        self.running = running
        self.events: list[Event] = []
        self._writer = writer

    async def do(self, command: str, params: str = "") -> None:
        """Give a command, as one would type it."""
        text = json.dumps({"command": command, "params": params, "token": "t"})
        self._writer.write(f"{len(text)}:{text},".encode())
        await self._writer.drain()

    async def event(self, kind: str, timeout_s: float = 5.0, after: int = 0) -> Event:
        """Wait for an event whose type begins so."""

        def found() -> Event | None:
            return next((event for event in self.events[after:] if event.kind.startswith(kind)), None)

        try:
            result: Event = await until(found, timeout_s)
        except TimeoutError:
            lines = "\n".join(self.running.output[-30:])
            raise AssertionError(f"{self.name}: no {kind} but {self.events}\n{lines}") from None
        return result

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Note what it says; ends with it."""
        loop = asyncio.get_running_loop()
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(length + 1))[:-1])
                if message.get("event"):
                    self.events.append(Event(message["type"], str(message.get("param", "")), loop.time()))

    def heard(self) -> tuple[Pcm, int]:
        """Return what the phone has heard, mono, and its rate in Hz; after it has hung up."""
        path = max(self.folder.glob("rec/dump-*-dec.wav"), key=lambda found: found.stat().st_mtime)
        with av.open(str(path)) as file:
            frames = [frame.to_ndarray() for frame in file.decode(audio=0)]
            stream = file.streams.audio[0]
            pcm = np.concatenate(frames, axis=1).reshape(-1, stream.channels)[:, 0]
            return pcm.astype(np.int16), int(stream.sample_rate)


@asynccontextmanager
async def phone(
    folder: Path,
    proxy_port: int,
    *,
    says: Pcm | None = None,
    codec: str = "PCMU",
    answers: Literal["auto", "manual", "early"] = "auto",
    registers: bool = False,
) -> AsyncIterator[Phone]:
    """Switch a phone on.

    Args:
        folder: its own, empty.
        proxy_port: where its calls go.
        says: into its microphone, once per call: int16, mono, 16 kHz; silence if None.
        codec: the only one that it offers: PCMU, PCMA, G722 or opus; several with commas.
        answers: accept calls at once, or let them ring, ``early`` with audio before the answer (183).
        registers: be known at the proxy, to be called.
    """
    port, control = free_ports(2)
    name = f"phone{port}"
    (folder / "rec").mkdir(parents=True)
    rate_hz, channels = (48_000, 2) if "opus" in codec else (16_000, 1) if "G722" in codec else (8_000, 1)
    source = np.zeros(16_000 * 60, np.int16)
    if says is not None:
        source[: len(says)] = says
    _write_source(folder / "mic.wav", source, rate_hz, channels)
    (folder / "config").write_text(_CONFIG.format(port=port, control=control, folder=folder, modules=MODULES))
    secret = f";auth_user={name};auth_pass={PHONE_PASSWORD}" if registers else ""
    (folder / "accounts").write_text(
        f"<sip:{name}@127.0.0.1:{proxy_port}>;regint={600 if registers else 0};answermode={answers};"
        f"audio_codecs={_codec_list(codec)}{secret}\n"
    )
    (folder / "contacts").write_text("")
    # Told to end, it would wait for answers to its BYE.
    async with program("baresip", "-4", "-f", str(folder), folder=folder, end_by=signal.SIGKILL) as running:
        await until(lambda: listens(control) or running.process.returncode is not None)
        assert running.process.returncode is None, "\n".join(running.output)
        reader, writer = await asyncio.open_connection("127.0.0.1", control)
        one = Phone(name, proxy_port, folder, running, writer)
        reading = asyncio.create_task(one.read(reader))
        try:
            if registers:
                await until(lambda: any("200 OK" in line for line in running.output))
            yield one
        finally:
            writer.close()
            reading.cancel()


def _codec_list(codec: str) -> str:
    names = {"G722": "G722/16000/1", "opus": "opus/48000/2"}
    return ",".join(names.get(each, f"{each}/8000/1") for each in codec.split(","))


def _write_source(path: Path, pcm_16k: Pcm, rate_hz: int, channels: int) -> None:
    pcm = pcm_16k if rate_hz == 16_000 else FirResampler(16_000, rate_hz).push(pcm_16k)
    samples = np.ascontiguousarray(np.repeat(pcm.reshape(1, -1), channels, axis=0).T.reshape(1, -1))
    with av.open(str(path), "w", format="wav") as file:
        layout = "stereo" if channels == 2 else "mono"
        stream = file.add_stream("pcm_s16le", rate=rate_hz, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout=layout)
        frame.sample_rate = rate_hz
        file.mux(stream.encode(frame))


_CONFIG = """poll_method epoll
sip_listen 127.0.0.1:{port}
net_interface 127.0.0.1
audio_source aufile,{folder}/mic.wav
audio_player aubridge,play
audio_alert aubridge,alert
audio_level no
ausrc_format s16
auplay_format s16
auenc_format s16
audec_format s16
audio_buffer 20-160
rtp_ports 30000-39999
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 2-5
call_local_timeout 120
call_max_calls 8
module_path {modules}
module g711.so
module g722.so
module opus.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {folder}/rec
opus_bitrate 64000
"""


async def get(url: str, path: str) -> dict[str, Any]:
    """Return what the service says of itself there, as JSON."""
    async with aiohttp.ClientSession() as http, http.get(url + path) as response:
        found: dict[str, Any] = await response.json()
        return found


def line_settings(ports: Ports, **changes: Any) -> Settings:
    """Return a service's settings for that gateway; it may call these phones only."""
    values: dict[str, Any] = {
        "port": 0,
        "drain_timeout_s": 0.1,
        "janus_url": f"ws://127.0.0.1:{ports.websocket}",
        "janus_secret": SECRET,
        "sip_user": f"sip:{USER}@{DOMAIN}",
        "sip_password": PASSWORD,
        "sip_proxy": f"sip:127.0.0.1:{ports.sip}",
        "sip_lines": LINES,
        "dial": True,
        "dial_allowed": [f"sip:phone*@127.0.0.1:{ports.sip}"],
        "transfer": True,
        "transfer_allowed": ["sip:phone*@127.0.0.1:*"],
        "send_dtmf": True,
    }
    return Settings(**(values | changes))


async def registered(url: str, timeout_s: float = 10.0) -> None:
    """Wait until the service says that its line is ready."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(timeout_s):
        while True:
            async with http.get(url + "readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.02)


def assert_refuses_secret(run: str, folder: Path, variable: str, secret: str | None, objection: str) -> None:
    """Run a start script of deploy/sip with that secret, or none: it must object, end and leave nothing behind."""
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)}
    if secret is not None:
        environment[variable] = secret
    ended = subprocess.run([run], env=environment, capture_output=True, text=True, timeout=5, check=False)
    assert ended.returncode == 2, ended
    assert objection in ended.stderr
    assert not list(folder.iterdir())
