"""Both transcripts of a call on a terminal, for `talkspurt call`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """What the caller or the agent has said in one turn so far."""

    speaker: Literal["caller", "agent"]
    turn: int
    text: str
    final: bool
    unheard: str = ""
    "The rest of an interrupted turn, which the caller did not hear."


def lines_of(message: Mapping[str, Any]) -> Iterator[TranscriptLine]:
    """Yield the words in an RTVI message, if it has any."""
    data = message.get("data") or {}
    if message.get("type") == "user-transcription":
        yield TranscriptLine("caller", data["turn_id"], data["text"], data["final"])
    elif message.get("type") == "bot-output":
        final = data["spoken_status"] == "completed"
        yield TranscriptLine("agent", data["segment_id"], data["text"], final, data.get("unheard_text", ""))


class TranscriptView:
    """Show both transcripts on a terminal: finished turns above, turns in progress below; a context manager.

    If the output is not a terminal, or somebody types on it, only finished turns are printed, one per line.
    """

    def __init__(self, console: Console, *, typed_on: bool = False) -> None:
        self._console = console
        moves = console.is_terminal and not typed_on
        self._live = Live(console=console, transient=True, refresh_per_second=10) if moves else None
        self._open: dict[tuple[str, int], TranscriptLine] = {}

    def __enter__(self) -> TranscriptView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        for line in self._open.values():  # turns that the end of the call cut off
            self._console.print(_rendered(line), soft_wrap=True)
        if self._live is not None:
            self._live.update(Text())
            self._live.stop()

    def notice(self, text: str) -> None:
        """Print a line that is not speech."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def show(self, line: TranscriptLine) -> None:
        """Show a turn in its current state."""
        if line.final:
            self._open.pop((line.speaker, line.turn), None)
            self._console.print(_rendered(line), soft_wrap=True)
        else:
            self._open[line.speaker, line.turn] = line
        if self._live is not None:
            self._live.update(Group(*map(_rendered, self._open.values())))


def _rendered(line: TranscriptLine) -> Text:
    text = Text(f"{line.speaker}: ", style="cyan" if line.speaker == "caller" else "green")
    text.append(line.text, style="default")
    if line.unheard:
        text.append(f" [interrupted, unheard: {line.unheard.strip()}]", style="dim")
    return text
