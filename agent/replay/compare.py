"""Compare a replay with its call, and find where they first differ. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.replay.encode import Line, packet_of

MEASURED_MS = {"response_ms": 60, "flush_ms": 60, "after_ms": 200, "outage_ms": 2000, "replayed_ms": 200}
"""How far the call's own measurements may differ: how long a socket took to close, for one, is not an input."""
NOT_COMPARED = ("stages",)
"""Fields that only break such times down into parts."""
NOT_REPLAYED = (
    *("PictureSent", "CallSetUp", "QualityEstimated"),
    *("RecordingStarted", "RecordingPaused", "RecordingResumed", "RecordingFailed", "RecordingStored"),
)
"""Events about what is not captured: when pictures were sent, the connection, the recording."""
CONTEXT_LINES = 3
MAX_DIFF_LINES = 60


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a replay.

    Attributes:
        pcm_frames: the number of frames of the caller's voice that the call had heard.
        events: the number of events that the call had reported.
        differences: the first difference of each kind, in words; empty if there is none.
    """

    pcm_frames: int
    events: int
    differences: tuple[str, ...]

    @property
    def same(self) -> bool:
        """True if the same data came in and went out."""
        return not self.differences

    def report(self) -> str:
        """Return the result as text to print."""
        if self.same:
            return f"identical: {self.pcm_frames} frames of the caller's voice, {self.events} events"
        return "\n".join(self.differences)


def compare(captured: Sequence[Line], replayed: Sequence[Line], trouble: Sequence[str] = ()) -> Comparison:
    """Compare a call with its replay.

    Args:
        captured: the call's notes.
        replayed: the replay's notes.
        trouble: whatever else went wrong in the replay.
    """
    differences = [*trouble, *_pcm(captured, replayed), *_events(captured, replayed), *_sent(captured, replayed)]
    differences += _shown(captured, replayed)
    pcm = sum(note[1] == "pcm" for note in captured)
    return Comparison(pcm, len(_told(captured)), tuple(differences))


def _pcm(captured: Sequence[Line], replayed: Sequence[Line]) -> list[str]:
    was = [(index, note) for index, note in enumerate(captured) if note[1] == "pcm"]
    now = [note for note in replayed if note[1] == "pcm"]
    for number, (index, note) in enumerate(was):
        if number >= len(now) or now[number][2:] != note[2:]:
            place = f"the caller's voice differs from frame {number} on, {number * 0.02:.2f} s into it"
            return [f"{place}; {_packet_before(captured, index)}"]
    if len(now) > len(was):
        return [f"the caller's voice has {len(now)} frames in the replay, {len(was)} in the call"]
    return []


def _shown(captured: Sequence[Line], replayed: Sequence[Line]) -> list[str]:
    """Compare the pictures of camera and screen that were made for the model."""
    was, now = ([note[2:] for note in notes if note[1] == "shown"] for notes in (captured, replayed))
    for number, (source, picture) in enumerate(was):
        if number >= len(now) or now[number] != [source, picture]:
            return [f"the pictures differ from number {number + 1} on, which was of the {source}"]
    return []


def _packet_before(captured: Sequence[Line], index: int) -> str:
    """Describe the last packet before a frame: the one it came from, or that it did not wait for."""
    began = captured[0][0]
    for note in reversed(captured[:index]):
        if note[1] == "rtp":
            packet = packet_of(note[2])
            return (
                f"the packet before it has sequence number {packet.sequence_number}, timestamp {packet.timestamp} "
                f"and {len(packet.payload)} bytes, and came at {note[0] - began:.3f} s"
            )
    return "no packet came before it"


def _told(notes: Sequence[Line]) -> list[Line]:
    return [note for note in notes if note[1] == "event" and note[2] not in NOT_REPLAYED]


def _events(captured: Sequence[Line], replayed: Sequence[Line]) -> list[str]:
    was, now = _told(captured), _told(replayed)
    if len(was) == len(now) and all(map(_alike, was, now)):
        return []
    began = captured[0][0]
    # Equivalent notes get the same text, so that only real differences are shown.
    texts = [_text(note) for note in was]
    again = [next((_text(w) for w in was if _alike(w, note)), _text(note)) for note in now]
    times = dict(zip(texts, (f"{note[0] - began:9.3f} s " for note in was), strict=True))
    lines = difflib.unified_diff(texts, again, "the call", "the replay", lineterm="", n=CONTEXT_LINES)
    shown = [
        f"{each[0]}{times.get(each[1:], ' ' * 12)}{each[1:]}"
        if each[:1] in "+- " and each[:3] not in ("---", "+++")
        else each
        for each in lines
    ]
    if len(shown) > MAX_DIFF_LINES:
        shown = [*shown[:MAX_DIFF_LINES], f"... and {len(shown) - MAX_DIFF_LINES} further lines"]
    return ["the events differ:\n" + "\n".join(shown)]


def _sent(captured: Sequence[Line], replayed: Sequence[Line]) -> list[str]:
    """Compare what the Live server was sent besides sound and pictures: texts, marks, tool results."""
    was, now = ([note[2:] for note in notes if note[1] == "sent"] for notes in (captured, replayed))
    texts, again = (
        [f"{kind} {told}" for kind, told in sent if kind not in ("Audio", "Shown")] for sent in (was, now)
    )
    if texts == again:
        return []
    lines = difflib.unified_diff(texts, again, "the call", "the replay", lineterm="", n=CONTEXT_LINES)
    return ["the Live server is told something else:\n" + "\n".join([*lines][:MAX_DIFF_LINES])]


def _alike(one: Line, other: Line) -> bool:
    return bool(one[2] == other[2]) and _same(one[3], other[3])


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(
        abs(one[name] - other[name]) <= MEASURED_MS[name] if name in MEASURED_MS else one[name] == other[name]
        for name in one
        if name not in NOT_COMPARED
    )


def _text(note: Line) -> str:
    told = " ".join(f"{name}={value!r}" for name, value in note[3].items() if value not in (None, "", [], {}))
    return f"{note[2]} {told}".rstrip()
