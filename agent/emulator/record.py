"""What a session received and sent, for tests: bounded, and without keys."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable

import numpy as np

from agent.emulator.model.pcm import Pcm
from agent.emulator.moments import Moment
from agent.emulator.wire.incoming import (
    Audio,
    ClientMessage,
    Content,
    ContextUpdate,
    FunctionResult,
    History,
    Json,
    Picture,
    Setup,
    Text,
    ToolResponse,
)
from agent.emulator.wire.outgoing import ServerMessage

_MAX_ITEMS = 256
_MAX_PICTURES = 16
_MAX_HANDLES = 1_024


class SessionRecord:
    """One session as the server saw it.

    Args:
        number: 1 for the server's first connection.
        path: the URL path that the client used.
        keep_audio_s: how many seconds of the received sound to keep.
        on_change: called after each change.
        clock: monotonic seconds, the event loop's.
    """

    def __init__(
        self,
        number: int,
        path: str,
        *,
        keep_audio_s: float,
        on_change: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.path = path
        self.http_status: int | None = None
        """The HTTP status if the upgrade was refused; None if there was a session."""
        self.setup: Json = {}
        """The setup with regular keys; empty until it arrives."""
        self.handle: str | None = None
        """The handle that the session was resumed from."""
        self.lineage: tuple[int, ...] = (number,)
        """Its own number and those of the sessions that the dialogue went through before, newest first."""
        self.restored: History = ()
        """The dialogue that the handle brought back; empty without a handle, or if the context is lost."""
        self.handles: OrderedDict[str, int] = OrderedDict()
        """Each handle issued, in order, with the number of samples that had arrived before."""
        self.violations: list[str] = []
        """What the client did that the Live API forbids; the newest entries."""
        self.faults: list[str] = []
        """The faults of the script that happened, by name and in order; the newest entries."""
        self.received: Counter[str] = Counter()
        """How many client messages came, by the name of their class in `wire.incoming`."""
        self.sent_kinds: Counter[str] = Counter()
        """How many messages were sent, by kind."""
        self.order: deque[str] = deque(maxlen=_MAX_ITEMS)
        """The kinds of the newest messages sent, except ``audio`` and transcriptions."""
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
        self.instruction = ""
        """The system instruction in force."""
        self.open = True
        self.close_code: int | None = None
        """The code that this server closed with; None if the client ended the session."""
        self.close_reason = ""
        self.dropped = False
        """This server dropped the connection without a close frame."""
        self.connected_s = clock()
        """On the event loop's clock, like the times that follow."""
        self.ready_s: float | None = None
        self.first_audio_s: float | None = None
        """When the caller's first sound arrived."""
        self.last_audio_s: float | None = None
        self.first_spoken_s: float | None = None
        """When the model's first sound was sent."""
        self.last_spoken_s: float | None = None
        self.ended_s: float | None = None
        self._clock = clock
        self._keep_audio_s = keep_audio_s
        self._audio: deque[Pcm] = deque()
        self._audio_samples = 0
        self._on_change = on_change

    @property
    def audio(self) -> Pcm:
        """The newest sound received: int16, shape ``(samples,)``, mono, at the rate it came in."""
        return np.concatenate(self._audio) if self._audio else np.empty(0, dtype=np.int16)

    @property
    def audio_starts_at(self) -> int:
        """How many samples came before the first one in ``audio``; 0 if all are kept."""
        return self.audio_samples_in - self._audio_samples

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
                self.instruction = message.instruction
            case ContextUpdate(instruction=str(instruction)):
                self.instruction = instruction
            case _:
                pass
        self._on_change()

    def sent(self, message: ServerMessage) -> None:
        self.sent_kinds[message.kind] += 1
        if message.kind == "audio":
            self.last_spoken_s = self._clock()
            self.first_spoken_s = self.first_spoken_s or self.last_spoken_s
        if message.kind not in ("audio", "outputTranscription", "inputTranscription"):
            self.order.append(message.kind)
        self._on_change()

    def reached(self, moment: Moment) -> None:
        if moment is not Moment.MESSAGE_RECEIVED:
            self.moments.append(moment)
            if moment is Moment.READY:
                self.ready_s = self._clock()
            self._on_change()

    def resumed(self, lineage: tuple[int, ...], restored: History) -> None:
        self.lineage = (self.number, *lineage)
        self.restored = restored

    def issued(self, handle: str) -> None:
        self.handles[handle] = self.audio_samples_in
        if len(self.handles) > _MAX_HANDLES:
            self.handles.popitem(last=False)

    def violated(self, what: str) -> None:
        self.violations.append(what)
        del self.violations[:-_MAX_ITEMS]
        self._on_change()

    def faulted(self, kind: str) -> None:
        self.faults.append(kind)
        del self.faults[:-_MAX_ITEMS]
        self._on_change()

    def refused(self, status: int) -> None:
        self.http_status = status
        self.ended()

    def aborted(self) -> None:
        self.dropped = True
        self._on_change()

    def closed_with(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self._on_change()

    def ended(self) -> None:
        self.open = False
        self.ended_s = self._clock()
        self._on_change()

    def _got_audio(self, message: Audio) -> None:
        samples = len(message.pcm) // 2
        self.audio_samples_in += samples
        self.audio_rate_hz = message.rate_hz
        self.last_audio_s = self._clock()
        self.first_audio_s = self.first_audio_s or self.last_audio_s
        limit = int(self._keep_audio_s * message.rate_hz)
        if not limit:
            return
        self._audio.append(np.frombuffer(message.pcm, dtype="<i2"))
        self._audio_samples += samples
        while self._audio_samples > limit:
            self._audio_samples -= self._audio.popleft().size
