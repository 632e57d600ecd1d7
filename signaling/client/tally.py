"""What `talkspurt call` shows besides the transcripts: tools, sources, and the figures at the end. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

MAX_SHOWN_CHARS = 200
UNNAMED = "(not told)"


def notices_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line of printable characters for each tool, source and refusal in an RTVI message."""
    data = message.get("data") or {}
    match message.get("type"):
        case "llm-function-call-in-progress":
            asked = f" {_json(data['arguments'])}" if "arguments" in data else ""
            yield _line(f"tool: {data.get('function_name', UNNAMED)}{asked}")
        case "llm-function-call-stopped":
            told = (
                f"answered {_json(data['result'])}" if "result" in data else f"ended: {data.get('outcome', 'done')}"
            )
            told = "was cancelled" if data["cancelled"] else told
            yield _line(f"tool: {data.get('function_name', UNNAMED)} {told}")
        case "bot-llm-search-response":
            for origin in data["origins"]:
                yield _line(f"source: {origin['site_title']} {origin['site_uri']}")
        case "error-response" | "error":
            yield _line(f"error: {data['error']}")


@dataclass(slots=True)
class Tally:
    """The figures of one call, added up from its messages."""

    response_ms: list[int] = field(default_factory=list)
    "How long the caller waited for each answer."
    tools: Counter[str] = field(default_factory=Counter)
    "How often each tool was called."
    interruptions: int = 0
    tokens: dict[str, dict[str, int]] = field(default_factory=dict)
    "Token counts by direction and modality."
    cost_usd: float | None = None

    def note(self, message: Mapping[str, Any]) -> None:
        """Add the figures in one RTVI message."""
        data = message.get("data") or {}
        match message.get("type"), data.get("type"):
            case "llm-function-call-in-progress", _:
                self.tools[data.get("function_name", UNNAMED)] += 1
            case "bot-interrupted", _:
                self.interruptions += 1
            case "server-message", "agent-responded":
                self.response_ms.append(data["response_ms"])
            case "server-message", "usage-reported":
                self.tokens, self.cost_usd = data["tokens"], data["cost_usd"]

    def rows(self) -> list[tuple[str, str]]:
        """Return the figures that are not zero, as pairs of name and text."""
        rows = []
        if self.response_ms:
            middle, longest = median(self.response_ms) / 1000, max(self.response_ms) / 1000
            rows.append(
                ("answers", f"{len(self.response_ms)}, after {middle:.2f} s (median), {longest:.2f} s (longest)")
            )
        if self.interruptions:
            rows.append(("interruptions", str(self.interruptions)))
        if self.tools:
            rows.append(("tools", _line(", ".join(f"{name} {count}" for name, count in self.tools.items()))))
        if self.tokens:
            read, said = (_tokens(self.tokens.get(direction, {})) for direction in ("prompt", "response"))
            rows.append(("tokens", f"{read} read; {said} said"))
            rows.append(("cost", "no price known" if self.cost_usd is None else f"${self.cost_usd:.4f}"))
        return rows


def _tokens(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count) or "none"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    """Return one short line without control characters, which a terminal would obey."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: MAX_SHOWN_CHARS + 1])
    return printable if len(printable) <= MAX_SHOWN_CHARS else f"{printable[: MAX_SHOWN_CHARS - 1]}…"
