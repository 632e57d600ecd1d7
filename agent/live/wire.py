"""Reads the Live server's messages as plain facts, in the order in which to act on them. Pure.

One message may carry several: ``interrupted`` comes first, because audio in the same message belongs to the
generation that was cut off, and the turn's end comes last, after the usage of the turn. All parts of a message are
read. Facts that change nothing in the call and are only told to observers are events already (`Told`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.genai import types

from agent.events import AgentThought, CodeRan, CodeWritten, Source, SourcesFound, TimedWord
from agent.picture import Picture
from agent.unicode import valid_json, valid_text

DEFAULT_RATE_HZ = 24_000  # for audio from the model whose MIME type names no rate
UNKNOWN_MODALITY = "UNKNOWN"  # for tokens that the server counts but does not break down
MAX_TOKENS = 2**31 - 1  # per count
MAX_SOURCES = 32  # per answer
MAX_TITLE_CHARS = 200
MAX_URI_CHARS = 2000
_WEB_ADDRESS = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_RATE = re.compile(r"(?:^|[;\s])rate=(\d{4,6})(?!\d)")
_SECONDS = re.compile(r"^\s*(\d{1,9}(?:\.\d+)?)s\s*$")


@dataclass(frozen=True, slots=True)
class Speech:
    """Audio from the model: little-endian 16-bit mono."""

    pcm_bytes: bytes = field(repr=False)
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Text:
    """Text from the model, in TEXT modality."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class InputTranscript:
    """A transcript of the caller's words; ``words`` is filled only if word times were requested."""

    text: str = field(repr=False)
    finished: bool
    words: tuple[TimedWord, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class OutputTranscript:
    """A transcript of the agent's voice."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The caller interrupted the generation."""


@dataclass(frozen=True, slots=True)
class GenerationComplete:
    """The whole generation has been sent."""


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The model's turn is complete, and it waits for the caller."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool."""

    call_id: str
    name: str
    arguments: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ToolCallsCancelled:
    """The model no longer wants these results."""

    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server will close the connection."""

    time_left_s: float | None


@dataclass(frozen=True, slots=True)
class Resumable:
    """The session can be resumed from here with the handle; a handle of None says that it cannot now."""

    handle: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens that the server bills for one inference: a turn, or the part of it that ended with a tool call.

    Counts are per inference and not a running total of the session. ``prompt`` nevertheless grows from turn to
    turn: it is the whole context, including old turns, and all of it is billed again each time (Google's best
    practices for the Live API, on billing). A call therefore costs the sum over all usage reports, whichever
    messages they came with; operators who compared the three possible readings with their bills found that only
    this one agrees.

    Modalities have the server's names (``TEXT``, ``AUDIO``, ``IMAGE``, ``VIDEO``). The server's breakdown may be
    missing, and Google's breakdown of the prompt lacks some tens of tokens: what is only in the sum is ``UNKNOWN``.
    """

    prompt: Mapping[str, int]
    "Tokens of the context, by modality."
    response: Mapping[str, int]
    "Tokens of the answer, by modality, without thoughts and transcripts."
    thoughts_tokens: int = 0
    "Tokens that the model spent on thinking."
    tool_use_tokens: int = 0
    "Tokens of the prompts for the server's own tools."


Told = AgentThought | SourcesFound | CodeWritten | CodeRan
"""Facts that change nothing in the call and are only told to observers."""

Fact = (
    Speech
    | Text
    | Told
    | Picture
    | InputTranscript
    | OutputTranscript
    | Interrupted
    | GenerationComplete
    | TurnComplete
    | ToolCall
    | ToolCallsCancelled
    | GoAway
    | Resumable
    | Usage
)


def facts(message: types.LiveServerMessage) -> Iterator[Fact]:
    """Yield the facts in one message; what this service has no use for is skipped."""
    content = message.server_content
    if content is not None:
        yield from _content_facts(content)
    if message.tool_call is not None:
        for call in message.tool_call.function_calls or ():
            yield ToolCall(call.id or "", valid_text(call.name or ""), valid_json(call.args or {}))
    if message.tool_call_cancellation is not None:
        yield ToolCallsCancelled(tuple(message.tool_call_cancellation.ids or ()))
    if message.go_away is not None:
        yield GoAway(seconds(message.go_away.time_left))
    if message.usage_metadata is not None:
        yield _usage(message.usage_metadata)
    if content is not None and content.turn_complete:
        reason = content.turn_complete_reason
        yield TurnComplete(reason.value if reason is not None else None)
    update = message.session_resumption_update
    if update is not None:
        yield Resumable(update.new_handle if update.resumable and update.new_handle else None)


def _content_facts(content: types.LiveServerContent) -> Iterator[Fact]:
    if content.interrupted:
        yield Interrupted()
    heard = content.input_transcription
    if heard is not None and (heard.text or heard.finished):
        yield InputTranscript(valid_text(heard.text or ""), bool(heard.finished), _words(heard.words or ()))
    said = content.output_transcription
    if said is not None and said.text:
        yield OutputTranscript(valid_text(said.text))
    if content.model_turn is not None:
        for part in content.model_turn.parts or ():
            yield from _part_facts(part)
    grounding = content.grounding_metadata
    if grounding is not None:
        yield from _sources(grounding)
    if content.generation_complete:
        yield GenerationComplete()


def _part_facts(part: types.Part) -> Iterator[Fact]:
    blob = part.inline_data
    if blob is not None and blob.data:
        mime_type = (blob.mime_type or "audio/pcm").lower()
        if mime_type.startswith("audio/"):
            yield Speech(blob.data, _rate_hz(mime_type))
        elif mime_type.startswith("image/"):
            yield Picture(blob.data, mime_type.partition(";")[0].strip())
    if part.text:
        text = valid_text(part.text)
        yield AgentThought(text) if part.thought else Text(text)
    if part.executable_code is not None:
        yield CodeWritten(_word(part.executable_code.language), valid_text(part.executable_code.code or ""))
    if part.code_execution_result is not None:
        result = part.code_execution_result
        yield CodeRan(_word(result.outcome), valid_text(result.output or ""))


def _sources(grounding: types.GroundingMetadata) -> Iterator[SourcesFound]:
    """Yield the sources that were found: each address once, and none that a browser should not open."""
    titles: dict[str, str] = {}
    for chunk in grounding.grounding_chunks or ():
        uri = (chunk.web.uri or "") if chunk.web is not None else ""
        if chunk.web is not None and _WEB_ADDRESS.match(uri) and len(uri) <= MAX_URI_CHARS:
            title = valid_text(chunk.web.title or chunk.web.domain or uri)
            titles.setdefault(valid_text(uri), title[:MAX_TITLE_CHARS])
    found = tuple(Source(title, uri) for uri, title in titles.items())[:MAX_SOURCES]
    queries = tuple(valid_text(query)[:MAX_TITLE_CHARS] for query in grounding.web_search_queries or ())[
        :MAX_SOURCES
    ]
    if found or queries:
        yield SourcesFound(queries, found)


def _words(words: Iterable[types.WordInfo]) -> tuple[TimedWord, ...]:
    return tuple(
        TimedWord(valid_text(word.word or ""), seconds(word.start_offset), seconds(word.end_offset))
        for word in words
    )


def _word(choice: types.Language | types.Outcome | None) -> str:
    """Return one of the server's enum values in lower case, without the prefix that all of them have."""
    return "" if choice is None else choice.value.removeprefix("OUTCOME_").lower()


def _usage(usage: types.UsageMetadata) -> Usage:
    """Read the counts; the SDK gives Vertex's ``candidates...`` the names of the Gemini API."""
    return Usage(
        prompt=by_modality(usage.prompt_token_count, usage.prompt_tokens_details),
        response=by_modality(usage.response_token_count, usage.response_tokens_details),
        thoughts_tokens=bounded_tokens(usage.thoughts_token_count),
        tool_use_tokens=bounded_tokens(usage.tool_use_prompt_token_count),
    )


def by_modality(count: int | None, details: Iterable[types.ModalityTokenCount] | None) -> dict[str, int]:
    """Return a count by modality; tokens missing from the breakdown are counted as `UNKNOWN_MODALITY`."""
    tokens: Counter[str] = Counter()
    for each in details or ():
        tokens[each.modality.value if each.modality is not None else UNKNOWN_MODALITY] += bounded_tokens(
            each.token_count
        )
    tokens[UNKNOWN_MODALITY] += max(0, bounded_tokens(count) - tokens.total())
    return dict(+tokens)


def bounded_tokens(count: int | None) -> int:
    """Return a count within its bounds: the API's counts have 32 bits, but the SDK accepts any number."""
    return min(max(count or 0, 0), MAX_TOKENS)


def _rate_hz(mime_type: str | None) -> int:
    found = _RATE.search(mime_type or "")
    return int(found[1]) if found else DEFAULT_RATE_HZ


def seconds(duration: str | None) -> float | None:
    """Read a protobuf duration such as ``9.5s``, which the SDK passes on as text."""
    found = _SECONDS.match(duration or "")
    return float(found[1]) if found else None
