"""What a model is asked about a call that is over, and its answer, which is checked before it is used. Pure.

`agent.author.extract` makes the wish from the agent's file, `agent.live.summary` asks the model, and
`agent.call.summary` connects the two. A `CallSummarised` is ``done`` only if `read_answer` accepted the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.unicode import read_json, valid_json

MAX_ANSWER_CHARS = 256 << 10
MAX_SUMMARY_CHARS = 16 << 10

SummaryFailure = Literal[
    "nothing_said",
    "refused",
    "cut_off",
    "empty",
    "not_json",
    "unfit",
    "check_failed",
    "rejected",
    "unavailable",
    "too_late",
    "too_many",
    "shutdown",
    "internal",
]
"""Why there is no summary; docs/agents.md explains each reason."""


class UnfitError(Exception):
    """An answer cannot be used.

    Args:
        reason: a short code.
        detail: the reason in one sentence, without any words from the answer.
    """

    def __init__(self, reason: SummaryFailure, detail: str) -> None:
        super().__init__(detail)
        self.reason: SummaryFailure = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Extraction:
    """What is to be extracted from a call.

    Attributes:
        schema: the JSON schema of an object, as the model is told it.
        check: takes the JSON values that the model gave and returns what the agent's own schema makes of them;
            raises `UnfitError` if they do not fit, and whatever the schema's own code raises.
    """

    schema: Mapping[str, Any]
    check: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class SummaryWish:
    """What an agent's author wants to know about each call that is over.

    Attributes:
        summary: whether a summary of a few sentences is wanted.
        extraction: the data to extract; None if only a summary is wanted.
        model: the model that is asked; None means the setting `summary_model`.
    """

    summary: bool
    extraction: Extraction | None
    model: str | None = None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the answer."""
        properties: dict[str, Any] = {}
        if self.summary:
            properties["summary"] = {"type": "string", "description": "What happened, in a few sentences."}
        if self.extraction is not None:
            properties["data"] = dict(self.extraction.schema)
        return {"type": "object", "properties": properties, "required": list(properties)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummarised:
    """A call that is over was summarised, or could not be; this comes after `agent.events.CallEnded`."""

    state: Literal["done", "failed"]
    "``done`` only if everything that was wanted is there and fits the agent's schema."
    model: str
    "The model that was asked."
    summary: str | None = field(default=None, repr=False)
    "What happened in the call; None if no summary was wanted or the attempt failed."
    data: Any = field(default=None, repr=False)
    "The extracted data as JSON values; None if none was wanted or the attempt failed."
    reason: SummaryFailure | None = None
    "Why it failed; None if it did not."
    detail: str = ""
    "The reason in one sentence, which names fields and rules but no values."
    tokens: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    "The tokens used, by direction and modality; see `agent.dialog.budget.Spent.by_direction`."
    cost_usd: float | None = None
    "What the tokens cost; None if the model's price is not known."


def read_answer(text: str, wish: SummaryWish) -> tuple[str | None, Any]:
    """Return the summary and the data in a model's answer.

    Args:
        text: the answer; untrusted.
        wish: what was asked for.

    Raises:
        UnfitError: the answer is not exactly what was asked for.
        Exception: whatever the code of the agent's own schema raises.
    """
    if not text.strip():
        raise UnfitError("empty", "The model answered nothing.")
    if len(text) > MAX_ANSWER_CHARS:
        raise UnfitError("unfit", f"The answer is longer than {MAX_ANSWER_CHARS} characters.")
    answer = _object(text)
    missing = [name for name in wish.schema()["required"] if name not in answer]
    if missing:
        raise UnfitError("unfit", f"The answer has no {missing[0]}.")
    summary = data = None
    if wish.summary:
        summary = answer["summary"]
        if not isinstance(summary, str) or not summary.strip() or len(summary) > MAX_SUMMARY_CHARS:
            raise UnfitError("unfit", f"summary: it must be a text of 1 to {MAX_SUMMARY_CHARS} characters.")
        summary = summary.strip()
    if wish.extraction is not None:
        data = _plain(wish.extraction.check(answer["data"]))
    return summary, data


def _object(text: str) -> dict[str, Any]:
    try:
        answer = read_json(text)
        json.dumps(answer, allow_nan=False)  # Python also reads NaN and Infinity, which are not JSON
    except (ValueError, RecursionError):
        raise UnfitError("not_json", "The answer is not JSON.") from None
    if not isinstance(answer, dict):
        raise UnfitError("unfit", "The answer is not a JSON object.")
    return answer


def _plain(data: Any) -> Any:
    """Return what a check made of the data if it is valid JSON, since a schema may have its own serializer."""
    try:
        return json.loads(json.dumps(valid_json(data), allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        raise UnfitError("unfit", "data: the agent's schema makes of it what JSON cannot hold.") from None
