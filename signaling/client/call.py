"""Make one call without a browser, for `talkspurt call`: play a sound file, type texts, record to a WAV file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from aiortc import MediaStreamTrack

from agent.clock import monotonic
from agent.errors import OfferError
from agent.media.fir import Pcm
from agent.redact import without_secrets
from signaling.client.caller import Caller, Microphone, call_service
from signaling.client.files import SOUND_RATE_HZ, write_sound
from signaling.client.keyboard import Keyboard
from signaling.client.tally import Tally, notices_of
from signaling.client.transcript import TranscriptLine, lines_of

SILENCE_BEFORE_HANG_UP_S = 5.0
SILENCE_BEFORE_TYPING_S = 1.0
ANSWER_TIMEOUT_S = 30.0
MESSAGES_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    Attributes:
        reason: why it ended, e.g. ``caller_hung_up``; see docs/events.md.
        detail: a sentence about it.
        failed: True unless the caller ended the call, or meant to.
        tally: the call's figures.
    """

    reason: str
    detail: str
    failed: bool
    tally: Tally = field(default_factory=Tally, compare=False)


def outcome_of(message: Mapping[str, Any]) -> Outcome | None:
    """Return how the call ended if the message says so, else None."""
    data = message.get("data") or {}
    if data.get("type") != "call-ended":
        return None
    return Outcome(data["reason"], data["detail"], data["fault"] != "caller")


async def hold_call(
    url: str,
    *,
    speech: Pcm | None,
    record: Path | None,
    key: str | None,
    limit_s: float | None,
    hang_up: asyncio.Event,
    show: Callable[[TranscriptLine], None],
    notice: Callable[[str], None] = lambda _text: None,
    keyboard: Keyboard | None = None,
    camera: MediaStreamTrack | None = None,
    speaks: bool = True,
    state: str | None = None,
) -> Outcome:
    """Make one call and stay on it until it ends.

    It ends when the service ends it, when ``hang_up`` is set, or after ``limit_s``; with ``speech`` or a
    ``keyboard`` also `SILENCE_BEFORE_HANG_UP_S` after everything has been said, typed and answered. Speech and text
    wait until the agent is ready. Speech is marked for an agent that does not detect it (``vad`` is ``off``).

    Args:
        url: the service's address.
        speech: what the caller says, see `read_sound`; silence if None.
        record: the file for what the caller heard; the last ten minutes are kept.
        key: the bearer token.
        limit_s: the maximum length of the call.
        hang_up: set to end the call.
        show: called with each change of a transcript.
        notice: called with a line about each tool, source and refusal.
        keyboard: what the caller types after the speech.
        camera: what the caller shows.
        speaks: if False, no sound is sent at all.
        state: the state of an earlier call that this one continues, see docs/calls.md.

    Raises:
        ConfigError: the recording cannot be written.
    """
    videos = () if camera is None else (camera,)
    tally = Tally()
    try:
        async with call_service(
            url, microphone=Microphone(SOUND_RATE_HZ), key=key, videos=videos, speaks=speaks, state=state
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
    """A call while it is held: what has happened in it, and what the caller does next."""

    def __init__(
        self,
        caller: Caller,
        speech: Pcm | None,
        keyboard: Keyboard | None,
        show: Callable[[TranscriptLine], None],
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
        self._marked = False  # the start of speech has been marked, but not its end
        self._speaking = False
        self._running_tools: set[str] = set()
        self._asked_at: float | None = None  # when the text that awaits an answer was typed
        self._active_at = self._began = monotonic()

    async def until_end(self, limit_s: float | None, hang_up: asyncio.Event) -> Outcome:
        """Follow the call until it ends, or should be ended."""
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
            if self._all_was_said and now - self._active_at >= SILENCE_BEFORE_HANG_UP_S:
                return self._outcome("caller_hung_up", "All was said.")
            await asyncio.sleep(MESSAGES_POLL_S)

    def _outcome(self, reason: str, detail: str, *, failed: bool = False) -> Outcome:
        return Outcome(reason, detail, failed, self._tally)

    @property
    def _all_was_said(self) -> bool:
        if self._keyboard is None:
            return self._speech is not None
        return self._keyboard.done

    def _read(self) -> Outcome | None:
        """Read the messages that have arrived; return how the call ended, if it has."""
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
        """Keep track of what the agent does."""
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
                self._running_tools.add(data["tool_call_id"])
            case "llm-function-call-stopped":
                self._running_tools.discard(data["tool_call_id"])
            case "error-response":
                self._asked_at = None
            case _:
                return
        self._active_at = monotonic()

    def _act(self, now: float) -> None:
        """Type the next text if it is due."""
        self._marked = self._marked and not _finished(self._caller)
        if self._asked_at is not None and now - self._asked_at >= ANSWER_TIMEOUT_S:
            self._asked_at = None  # it will not be answered
        if self._busy:
            self._active_at = now
        if self._keyboard is None or not self._ready:
            return
        text = self._keyboard.next(free=now - self._active_at >= SILENCE_BEFORE_TYPING_S)
        if text is not None:
            self._caller.type(text)
            self._asked_at = self._active_at = now

    @property
    def _busy(self) -> bool:
        """True while somebody speaks, or is about to."""
        waits = not self._ready or self._asked_at is not None
        return waits or self._speaking or bool(self._running_tools) or not self._caller.microphone.idle


def _say(caller: Caller, speech: Pcm, about: Mapping[str, Any]) -> bool:
    """Speak; return True if the speech was marked, because the agent does not detect it (docs/events.md)."""
    marked = about.get("vad") == "off"
    if marked:
        caller.send("client-message", {"t": "activity-start"})
    caller.microphone.play(speech)
    return marked


def _finished(caller: Caller) -> bool:
    """Mark the end once everything was said; return True then."""
    if caller.microphone.idle:
        caller.send("client-message", {"t": "activity-end"})
    return caller.microphone.idle
