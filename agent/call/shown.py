"""What the Live server tells beside speech and words, as events of the call. Pure."""

from __future__ import annotations

from agent import events
from agent.live import wire

Aside = wire.Thought | wire.Sources | wire.Code | wire.CodeResult


def shown(fact: Aside) -> events.Event:
    """Return the event that tells of a fact which changes nothing in the call."""
    match fact:
        case wire.Thought(text):
            return events.AgentThought(text)
        case wire.Sources(queries, found):
            return events.SourcesFound(queries, tuple(events.Source(each.title, each.uri) for each in found))
        case wire.Code(language, code):
            return events.CodeWritten(language, code)
        case wire.CodeResult(outcome, output):
            return events.CodeRan(outcome, output)


def timed(words: tuple[wire.Word, ...]) -> events.CallerWordsTimed:
    """Return the event that tells when words of the caller were said."""
    return events.CallerWordsTimed(tuple(events.TimedWord(word.text, word.start_s, word.end_s) for word in words))
