"""What a session received and sent, for tests: bounded, and silent about keys."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from agent.emulator.hooks import Moment
from agent.emulator.pcm import Pcm
from agent.emulator.wire import (
    Audio,
    ClientMessage,
    Content,
    FunctionResult,
    Json,
    Picture,
    ServerMessage,
    Setup,
    Text,
    ToolResponse,
)

_MAX_ITEMS = 256
_MAX_PICTURES = 16


class SessionRecord:
    """One session as the server saw it.

    Args:
        path: the URL path that the client used.
        keep_audio_s: how much of the received sound to keep; 0 keeps none.
        on_change: called after each change.
    """

    def __init__(self, path: str, *, keep_audio_s: float, on_change: Callable[[], None]) -> None:
        self.path = path
        self.setup: Json = {}
        """The setup with regular keys; empty until it arrived."""
        self.handle: str | None = None
        """The handle that the session was resumed from."""
        self.received: Counter[str] = Counter()
        """Client messages by the name of their type in ``wire``."""
        self.sent_kinds: Counter[str] = Counter()
        self.order: deque[str] = deque(maxlen=_MAX_ITEMS)
        """The kinds of the newest messages sent, without ``audio`` and transcriptions."""
        self.moments: deque[Moment] = deque(maxlen=_MAX_ITEMS)
        self.texts: deque[str] = deque(maxlen=_MAX_ITEMS)
        self.contents: deque[Content] = deque(maxlen=_MAX_ITEMS)
        self.pictures: deque[Picture] = deque(maxlen=_MAX_PICTURES)
        self.picture_count = 0
        self.tool_results: deque[FunctionResult] = deque(maxlen=_MAX_ITEMS)
        self.audio_samples_in = 0
        """Samples received, at the rate they came in."""
        self.audio_rate_hz: int | None = None
        """The rate of the newest chunk."""
        self.open = True
        self.close_code: int | None = None
        """The code this server closed with; None if the client ended the session."""
        self.close_reason = ""
        self._keep_audio_s = keep_audio_s
        self._audio: deque[Pcm] = deque()
        self._audio_samples = 0
        self._on_change = on_change

    @property
    def audio(self) -> Pcm:
        """The newest sound received: int16, shape ``(samples,)``, mono, at the rate it came in."""
        return np.concatenate(self._audio) if self._audio else np.empty(0, dtype=np.int16)

    def got(self, message: ClientMessage) -> None:
        self.received[type(message).__name__] += 1
        match message:
            case Audio():
                self._got_audio(message)
            case Picture():
                self.picture_count += 1
                self.pictures.append(message)
            case Text(text):
                self.texts.append(text)
            case Content():
                self.contents.append(message)
            case ToolResponse(results):
                self.tool_results.extend(results)
            case Setup():
                self.setup = message.raw
                self.handle = message.handle
            case _:
                pass
        self._on_change()

    def sent(self, message: ServerMessage) -> None:
        self.sent_kinds[message.kind] += 1
        if message.kind not in ("audio", "outputTranscription", "inputTranscription"):
            self.order.append(message.kind)
        self._on_change()

    def reached(self, moment: Moment) -> None:
        if moment is not Moment.MESSAGE_RECEIVED:
            self.moments.append(moment)
            self._on_change()

    def closed_with(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self._on_change()

    def ended(self) -> None:
        self.open = False
        self._on_change()

    def _got_audio(self, message: Audio) -> None:
        samples = len(message.pcm) // 2
        self.audio_samples_in += samples
        self.audio_rate_hz = message.rate_hz
        limit = int(self._keep_audio_s * message.rate_hz)
        if not limit:
            return
        self._audio.append(np.frombuffer(message.pcm, dtype="<i2"))
        self._audio_samples += samples
        while self._audio_samples > limit:
            self._audio_samples -= self._audio.popleft().size
