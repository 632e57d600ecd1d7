"""`talkspurt call`: one call without a browser. A file speaks, a keyboard types, a WAV file records."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.clock import monotonic
from agent.errors import ConfigError, OfferError
from agent.media.fir import Pcm
from agent.redact import without_secrets
from signaling.client.caller import Caller, Microphone, dial
from signaling.client.keyboard import Keyboard
from signaling.client.tally import Tally, notices_of

RATE_HZ = 48_000
GOODBYE_S = 5.0  # of silence, after the sound file and the agent's last word
BREATH_S = 1.0  # of silence, before the next text is typed
ANSWER_S = 30.0  # that is waited for an answer to a text
LOOK_S = 0.1  # how often the clock is looked at


@dataclass(frozen=True, slots=True)
class Line:
    """What one of the two has said in one turn so far."""

    speaker: Literal["caller", "agent"]
    turn: int
    text: str
    final: bool
    unheard: str = ""
    "The rest of an interrupted turn."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the call went.

    Attributes:
        reason: why it ended, e.g. ``caller_hung_up``; see docs/events.md.
        detail: a sentence about it.
        failed: it did not end as calls should.
        tally: what there was in it.
    """

    reason: str
    detail: str
    failed: bool
    tally: Tally = field(default_factory=Tally, compare=False)


class TranscriptView:
    """Both transcripts on a terminal: turns that go on at the bottom, finished ones above. Use it as a context.

    Where the output is no terminal, or somebody types on it, finished turns are printed one a line.
    """

    def __init__(self, console: Console, *, typed_on: bool = False) -> None:
        self._console = console
        moves = console.is_terminal and not typed_on
        self._live = Live(console=console, transient=True, refresh_per_second=10) if moves else None
        self._open: dict[tuple[str, int], Line] = {}

    def __enter__(self) -> TranscriptView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for line in self._open.values():  # the call ended in the middle of them
            self._console.print(_rendered(line), soft_wrap=True)
        if self._live is not None:
            self._live.update(Text())
            self._live.stop()

    def notice(self, text: str) -> None:
        """Print a line that nobody said."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def show(self, line: Line) -> None:
        """Take a turn as it is now."""
        if line.final:
            self._open.pop((line.speaker, line.turn), None)
            self._console.print(_rendered(line), soft_wrap=True)
        else:
            self._open[line.speaker, line.turn] = line
        if self._live is not None:
            self._live.update(Group(*map(_rendered, self._open.values())))


def _rendered(line: Line) -> Text:
    text = Text(f"{line.speaker}: ", style="cyan" if line.speaker == "caller" else "green")
    text.append(line.text, style="default")
    if line.unheard:
        text.append(f" [interrupted, unheard: {line.unheard.strip()}]", style="dim")
    return text


def lines_of(message: Mapping[str, Any]) -> Iterator[Line]:
    """Read the words in an RTVI message, if it has any."""
    data = message.get("data") or {}
    if message.get("type") == "user-transcription":
        yield Line("caller", data["turn_id"], data["text"], data["final"])
    elif message.get("type") == "bot-output":
        final = data["spoken_status"] == "completed"
        yield Line("agent", data["segment_id"], data["text"], final, data.get("unheard_text", ""))


def outcome_of(message: Mapping[str, Any]) -> Outcome | None:
    """Read how the service says the call ended, if the message says that."""
    data = message.get("data") or {}
    if data.get("type") != "call-ended":
        return None
    return Outcome(data["reason"], data["detail"], data["fault"] != "caller")


def read_sound(path: Path) -> Pcm:
    """Read a sound file of any format that FFmpeg knows: int16, shape ``(samples,)``, mono, 48 kHz.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
            frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = "it has no sound" if isinstance(error, IndexError) else getattr(error, "strerror", None) or error
        raise ConfigError(f"flag --microphone = {str(path)!r}: cannot be read: {reason}") from None
    pieces = [frame.to_ndarray().reshape(-1) for frame in frames]
    return np.concatenate(pieces).astype(np.int16, copy=False) if pieces else np.zeros(0, np.int16)


def read_state(path: Path) -> str:
    """Read what was kept of an earlier call; the service checks it.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"flag --go-on-from = {str(path)!r}: cannot be read: {reason}") from None


def write_sound(path: Path, pcm: Pcm, rate_hz: int) -> None:
    """Write a WAV file: 16 bits, mono.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        with path.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate_hz)
            file.writeframes(pcm.astype("<i2", copy=False).tobytes())
    except OSError as error:
        raise ConfigError(f"flag --record = {str(path)!r}: cannot be written: {error.strerror}") from None


async def hold_call(
    url: str,
    *,
    speech: Pcm | None,
    record: Path | None,
    key: str | None,
    limit_s: float | None,
    hang_up: asyncio.Event,
    show: Callable[[Line], None],
    notice: Callable[[str], None] = lambda _text: None,
    keyboard: Keyboard | None = None,
    camera: MediaStreamTrack | None = None,
    speaks: bool = True,
    state: str | None = None,
) -> Outcome:
    """Make one call and hold it to its end.

    It ends when the service ends it, when ``hang_up`` is set, after ``limit_s``, or, with ``speech`` or a
    ``keyboard``, once all was said and typed and the agent has been silent for `GOODBYE_S`. Speech and text wait
    until the agent can hear; speech is marked if the agent listens to nothing else.

    Args:
        url: the service's address.
        speech: what the caller says, see `read_sound`; silence if None.
        record: where to write what the caller heard; its last ten minutes, if it was longer.
        key: bearer token.
        limit_s: longest call.
        hang_up: set to end it.
        show: called with each change of a transcript.
        notice: called with a line about each tool, source and refusal.
        keyboard: what the caller types, after the speech.
        camera: what the caller shows.
        speaks: False sends no sound at all.
        state: of an earlier call that this one goes on from, see docs/calls.md.

    Raises:
        ConfigError: the recording cannot be written.
    """
    videos = () if camera is None else (camera,)
    tally = Tally()
    try:
        async with dial(
            url, microphone=Microphone(RATE_HZ), key=key, videos=videos, speaks=speaks, state=state
        ) as caller:
            try:
                held = _Held(caller, speech, keyboard, show, notice, tally)
                return await held.until_end(limit_s, hang_up)
            finally:
                if record is not None:
                    write_sound(record, caller.heard_pcm(), caller.heard_rate_hz)
    except OfferError as error:
        return Outcome("refused", f"The service refused the call ({error.status}): {error.detail}", failed=True)
    except TimeoutError:
        return Outcome("no_connection", "No media connection came about.", failed=True)
    except (aiohttp.ClientError, OSError) as error:
        return Outcome(
            "unreachable", f"The service cannot be reached: {without_secrets(str(error), url)}.", failed=True
        )


class _Held:
    """A call that is held: what has happened in it, and what the caller does next."""

    def __init__(
        self,
        caller: Caller,
        speech: Pcm | None,
        keyboard: Keyboard | None,
        show: Callable[[Line], None],
        notice: Callable[[str], None],
        tally: Tally,
    ) -> None:
        self._caller = caller
        self._speech = speech
        self._keyboard = keyboard
        self._show = show
        self._notice = notice
        self._tally = tally
        self._ready = False
        self._marked = False  # speech is, and its end has not come yet
        self._speaking = False
        self._tools: set[str] = set()  # that run
        self._asked_at: float | None = None  # when something was typed that is not answered yet
        self._active_at = self._began = monotonic()

    async def until_end(self, limit_s: float | None, hang_up: asyncio.Event) -> Outcome:
        """Follow the messages until the call is to end."""
        while True:
            ended = self._read()
            if ended is not None:
                return ended
            now = monotonic()
            self._act(now)
            if self._caller.pc.connectionState in ("closed", "failed"):
                return self._outcome("connection_lost", "The connection to the service was lost.", failed=True)
            if hang_up.is_set():
                return self._outcome("caller_hung_up", "You hung up.")
            if limit_s is not None and now - self._began >= limit_s:
                return self._outcome("caller_hung_up", f"The call was limited to {limit_s:g} s.")
            if self._all_was_said and now - self._active_at >= GOODBYE_S:
                return self._outcome("caller_hung_up", "All was said.")
            await asyncio.sleep(LOOK_S)

    def _outcome(self, reason: str, detail: str, *, failed: bool = False) -> Outcome:
        return Outcome(reason, detail, failed, self._tally)

    @property
    def _all_was_said(self) -> bool:
        if self._keyboard is None:
            return self._speech is not None
        return self._keyboard.done

    def _read(self) -> Outcome | None:
        """Take what has come; return how the call ended, if it has."""
        messages, self._caller.messages[:] = list(self._caller.messages), []
        for message in messages:
            self._tally.note(message)
            for line in lines_of(message):
                self._show(line)
            for text in notices_of(message):
                self._notice(text)
            self._follow(message)
            ended = outcome_of(message)
            if ended is not None:
                return replace(ended, tally=self._tally)
        return None

    def _follow(self, message: Mapping[str, Any]) -> None:
        """Note what the agent does."""
        data = message.get("data") or {}
        match message.get("type"):
            case "bot-ready":
                self._ready = True
                if self._speech is not None:
                    self._marked = _say(self._caller, self._speech, data["about"])
            case "bot-started-speaking":
                self._speaking = True
                self._asked_at = None
            case "bot-stopped-speaking":
                self._speaking = False
            case "bot-output":
                self._asked_at = None
            case "llm-function-call-in-progress":
                self._tools.add(data["tool_call_id"])
            case "llm-function-call-stopped":
                self._tools.discard(data["tool_call_id"])
            case "error-response":
                self._asked_at = None
            case _:
                return
        self._active_at = monotonic()

    def _act(self, now: float) -> None:
        """Type what is to be typed now."""
        self._marked = self._marked and not _finished(self._caller)
        if self._asked_at is not None and now - self._asked_at >= ANSWER_S:
            self._asked_at = None  # it will not be answered
        if self._busy:
            self._active_at = now
        if self._keyboard is None or not self._ready:
            return
        text = self._keyboard.next(free=now - self._active_at >= BREATH_S)
        if text is not None:
            self._caller.type(text)
            self._asked_at = self._active_at = now

    @property
    def _busy(self) -> bool:
        """Somebody speaks, or will."""
        waits = not self._ready or self._asked_at is not None
        return waits or self._speaking or bool(self._tools) or not self._caller.microphone.idle


def _say(caller: Caller, speech: Pcm, about: Mapping[str, Any]) -> bool:
    """Speak; return True if that was marked, because the agent listens to nothing else (docs/events.md)."""
    marked = about.get("vad") == "off"
    if marked:
        caller.send("client-message", {"t": "activity-start"})
    caller.microphone.play(speech)
    return marked


def _finished(caller: Caller) -> bool:
    """Mark the end once all was said; return True then."""
    if caller.microphone.idle:
        caller.send("client-message", {"t": "activity-end"})
    return caller.microphone.idle
