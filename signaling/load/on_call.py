"""A scenario's caller on a real call: dials, speaks, listens, hangs up; what happens is noted in `Seen`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
from aiortc import RTCRtpTransceiver
from numpy.typing import NDArray

from agent.clock import monotonic
from agent.errors import OfferError
from agent.media.fir import Pcm
from agent.media.inbound import open_inbound_audio
from agent.media.tap import audio as tap
from agent.redact import without_secrets
from signaling.client.caller import Caller, call_service
from signaling.load.camera import ScenarioCamera
from signaling.load.microphone import ScenarioMicrophone
from signaling.load.relay import Relay
from signaling.load.scenario import Network
from signaling.load.seen import Exchange, Seen
from signaling.load.tape import Tape
from signaling.load.target import Target
from signaling.webrtc import sdp

POLL_S = 0.01
HTTP_TIMEOUT_S = 10.0
READY_S = 15.0
KEYS_PAYLOAD = 126
KEYS_HZ = 48_000


class CannotCallError(Exception):
    """There is no call; the text says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a caller is, and with what.

    Attributes:
        network: between the caller and the service.
        seed: of the network.
        background: noise, see `ScenarioMicrophone`.
        camera: whether there is one.
        keys: whether there are telephone keys.
    """

    network: Network
    seed: int
    background: NDArray[np.float32] | None
    camera: bool
    keys: bool


class OnCall:
    """The caller of one scenario, on one call after the other."""

    def __init__(self, target: Target, around: Surroundings, tape: Tape) -> None:
        self._target = target
        self._around = around
        self._tape = tape
        self._stack = AsyncExitStack()
        self._state: str | None = None
        self._why_no_state = "the caller has not been on a call before"
        self.seen = Seen(Exchange(monotonic(), None, 0))
        self.caller: Caller | None = None
        "None between two calls."
        self.worst_late_s = 0.0

    async def dial(self, *, back: bool = False) -> None:
        """Call the service.

        Args:
            back: go on from the call before.

        Raises:
            CannotCallError: there is no call.
        """
        state = None
        if back:
            state = self._state
            if state is None:
                raise CannotCallError(f"the call cannot go on: {self._why_no_state}")
            self.seen.call += 1
        self.seen.lost = False
        version = 6 if "[" in self._target.url.partition("://")[2] else 4
        relay = Relay(self._around.network, self._around.seed + self.seen.call, version)
        self._stack.callback(relay.close)
        self.microphone = ScenarioMicrophone(self._around.background, self._tape.caller)
        self.camera = ScenarioCamera() if self._around.camera else None
        line = _Line(relay, self._hear, keys=self._around.keys, microphone=self.microphone)
        self._stack.push_async_callback(line.close)
        self._begin_exchange(monotonic())
        try:
            self.caller = await self._stack.enter_async_context(
                call_service(
                    self._target.url,
                    microphone=self.microphone,
                    key=self._target.key,
                    codec="opus",
                    videos=() if self.camera is None else (self.camera,),
                    state=state,
                    line=line,
                )
            )
        except (OfferError, TimeoutError, aiohttp.ClientError, OSError) as error:
            await self._stack.aclose()
            raise CannotCallError(_reason(error, self._target.url)) from None
        self._relay = relay
        relay.began(monotonic())
        self.caller.on_message = lambda message: self.seen.note(message, monotonic())
        for message in self.caller.messages:
            self.seen.note(message, monotonic())
        self.seen.exchange.until = monotonic()
        await self.until(self._is_ready, monotonic() + READY_S)

    async def leave(self, *, vanish: bool = False) -> None:
        """End the call, if there is one.

        Args:
            vanish: let the service find out by itself.
        """
        if self.caller is None:
            return
        await self._keep_state()
        self.worst_late_s = max(self.worst_late_s, self.microphone.worst_late_s)
        if vanish:
            self._relay.cut()
            self.caller.hangs_up = False
        caller, self.caller = self.caller, None
        caller.on_message = None
        await self._stack.aclose()

    def over(self) -> bool:
        """Tell whether the caller is not on a call, or the service has ended it."""
        if self.caller is not None and self.caller.pc.connectionState in ("closed", "failed"):
            self.seen.lost = True
        return self.caller is None or self.seen.ended() is not None

    async def until(self, holds: Callable[[], bool], deadline: float) -> bool:
        """Wait until something holds; False if the deadline passes or the call ends first."""
        while not holds():
            if self.over() or monotonic() >= deadline:
                return holds()
            await asyncio.sleep(POLL_S)
        return True

    async def speak(self, pcm: Pcm, text: str | None) -> None:
        """Say something, and wait for its end."""
        if text is not None:
            self.seen.said.append(text)
        exchange = self._begin_exchange(monotonic())
        self.microphone.play(pcm)
        longest_s = len(pcm) / self.microphone.rate_hz * 2 + 5
        await self.until(lambda: self.microphone.idle, monotonic() + longest_s)
        exchange.began = self.microphone.spoke_from or exchange.began
        exchange.cut_in = self.seen.ears.audible_at(exchange.began)
        exchange.until = self.microphone.spoke_until or monotonic()

    def type(self, text: str) -> str | None:
        """Type to the agent; return why that is not possible, or None."""
        assert self.caller is not None
        if not self.caller.can_send:
            return "the data channel is not open"
        self._acted()
        self.caller.type(text)
        return None

    async def press(self, keys: str) -> bool:
        """Press telephone keys; return False if the service takes none."""
        if not self.microphone.press(keys):
            return False
        exchange = self._begin_exchange(monotonic())
        await self.until(lambda: self.microphone.idle, monotonic() + len(keys) + 5)
        exchange.until = monotonic()
        return True

    async def send_picture(self, path: Path, text: str) -> str | None:
        """Send a picture with a question; return why that was refused, or None."""
        assert self.caller is not None
        form = aiohttp.FormData()
        form.add_field("content", text)
        form.add_field("pictures", await asyncio.to_thread(path.read_bytes), filename=path.name)
        self._acted()
        async with self._http() as http, http.post(f"{self.caller.location}/pictures", data=form) as response:
            return None if response.ok else f"{response.status}: {(await response.text())[:200]}"

    def _is_ready(self) -> bool:
        """Tell whether the agent can hear; a service that does not say so is not waited for long."""
        return any(each.kind == "bot-ready" and each.call == self.seen.call for each in self.seen.messages)

    def _acted(self) -> None:
        """Begin an exchange with something that takes no time."""
        now = monotonic()
        exchange = self._begin_exchange(now)
        exchange.until = now
        exchange.cut_in = self.seen.ears.audible_at(now)

    def _begin_exchange(self, now: float) -> Exchange:
        self.seen.exchange = Exchange(now, None, len(self.seen.messages))
        return self.seen.exchange

    def _hear(self, pcm: Pcm) -> None:
        now = monotonic()
        self.seen.ears.hear(pcm, now)
        self._tape.agent(pcm, now)

    async def _keep_state(self) -> None:
        """Fetch what another call needs to go on from this one, as a page does."""
        assert self.caller is not None
        try:
            async with self._http() as http, http.get(f"{self.caller.location}/state") as response:
                text = await response.text()
                self._state = text if response.ok else None
                self._why_no_state = f"the service does not give its state ({response.status})"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._state, self._why_no_state = None, _reason(error, self._target.url)

    def _http(self) -> aiohttp.ClientSession:
        key = self._target.key
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(HTTP_TIMEOUT_S))


class _Line:
    """What `call_service` needs of the network, the ears and the keys; see `signaling.client.caller.Line`."""

    def __init__(
        self, relay: Relay, hear: Callable[[Pcm], None], *, keys: bool, microphone: ScenarioMicrophone
    ) -> None:
        self._relay = relay
        self._hear = hear
        self._keys = keys
        self._microphone = microphone
        self._listening: asyncio.Task[None] | None = None

    def offered(self, description: str) -> str:
        lines = self._relay.offered(description).split("\r\n")
        if self._keys:
            at = next(index for index, line in enumerate(lines) if line.startswith("m=audio"))
            lines[at] += f" {KEYS_PAYLOAD}"
            end = next((i for i in range(at + 1, len(lines)) if lines[i].startswith("m=")), len(lines) - 1)
            lines.insert(end, f"a=rtpmap:{KEYS_PAYLOAD} telephone-event/{KEYS_HZ}")
        return "\r\n".join(lines)

    def answered(self, description: str) -> str:
        return self._relay.answered(description)

    def listen(self, caller: Caller, transceiver: RTCRtpTransceiver, answer: str) -> None:
        audio = next(each for each in sdp.media_sections(answer) if each.kind == "audio")
        clocks_hz = sdp.fitting_clocks_hz(sdp.key_clocks_hz(audio), tap.audio_clocks_hz(transceiver))
        if self._keys and KEYS_PAYLOAD in clocks_hz and tap.why_not() is None:
            self._microphone.use_keys(tap.payload_switch(transceiver, KEYS_PAYLOAD))
            tap.negotiate_keys(transceiver, clocks_hz)
        inbound = open_inbound_audio(transceiver.receiver, audio.payloads(), hear=self._hear, clock=monotonic)
        self._listening = asyncio.create_task(inbound.listen(), name="scenario ears")

    async def close(self) -> None:
        """Stop listening."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)


def _reason(error: BaseException, url: str) -> str:
    match error:
        case OfferError(status=status, detail=detail):
            return f"the service refused the call ({status}): {detail}"
        case TimeoutError():
            return "no media connection came about"
    return f"the service cannot be reached: {without_secrets(str(error), url)}"
