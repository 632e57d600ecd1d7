"""Whether an expectation holds, by what its caller has seen and heard. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from signaling.load.scenario import Expect, Pattern, SeenEvent, ToolCall
from signaling.load.seen import Seen, ToolRun

MAX_SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether something holds, and by which figure or words."""

    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is judged.

    Attributes:
        now: in monotonic seconds.
        since: when the caller began to expect it.
        final: it will not be judged again: time is up, or the call is over.
    """

    now: float
    since: float
    final: bool


def judge(kind: str, expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    """Judge one field of an expectation; None if it is too early to say."""
    return _JUDGES[kind](expect, seen, at)


def _reply_within(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    reply, until = seen.reply_from(at.now), seen.exchange.until
    if reply is None or until is None:
        return Verdict(False, "the agent was not heard") if at.final else None
    took_ms = (reply - until) * 1000
    return Verdict(took_ms <= (expect.reply_within_ms or 0), f"it took {took_ms:.0f} ms")


def _heard(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    words = seen.agent_words()
    found = _search(expect.heard, words)
    audible = seen.ears.audible_between(seen.exchange.began, at.now + 1)
    if found and audible:
        return Verdict(True, f"the agent said: {_short(words)}")
    if not at.final:
        return None
    if found:
        return Verdict(False, f"no sound was heard of what the agent said: {_short(words)}")
    return Verdict(False, f"the agent said: {_short(words)}" if words else "the agent said nothing")


def _transcribed(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    words = seen.caller_words()
    if _search(expect.transcribed, words):
        return Verdict(True, f"the caller was understood as: {_short(words)}")
    if not at.final:
        return None
    return Verdict(False, f"the caller was understood as: {_short(words)}" if words else "there is no transcript")


def _tool(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    wanted = expect.tool
    assert wanted is not None
    runs = [run for run in seen.tools() if run.name == wanted.name]
    for run in runs:
        if _is_wanted(run, wanted):
            return Verdict(True, _told(run))
    if not at.final:
        return None
    if any(run.arguments is None for run in runs) and wanted.arguments:
        return Verdict(False, "the service does not tell the arguments: set its tool_reports to full")
    if runs:
        return Verdict(False, "; ".join(_told(run) for run in runs))
    others = ", ".join(str(run.name or "a tool that the service does not name") for run in seen.tools())
    return Verdict(False, f"it was not called{f', but {others}' if others else ''}")


def _not_called(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    runs = [run for run in seen.tools() if run.name == expect.not_called]
    if runs:
        return Verdict(False, _told(runs[0]))
    if any(run.name is None for run in seen.tools()):
        return Verdict(False, "the service does not tell which tools are called: set its tool_reports to name")
    return Verdict(True, "it was not called") if at.final or _settled(seen, at) else None


def _turns(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    wanted = expect.turns
    assert wanted is not None
    agent, caller = seen.turns()
    holds = wanted.agent in (None, agent) and wanted.caller in (None, caller)
    if not at.final and not (holds and _settled(seen, at)):
        return None
    return Verdict(holds, f"the agent has had {agent}, the caller {caller}")


def _silent(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    wanted_s = expect.silent_s or 0.0
    first = seen.ears.onset_after(at.since)
    if seen.ears.audible_between(at.since, min(at.now, at.since + wanted_s)):
        after_s = max(0.0, (first or at.since) - at.since)
        return Verdict(False, f"the agent was heard after {after_s:.1f} s")
    if at.now - at.since >= wanted_s:
        return Verdict(True, f"nothing was heard for {wanted_s:g} s")
    return (
        Verdict(True, f"nothing was heard for {at.now - at.since:.1f} s, and the call is over")
        if at.final
        else None
    )


def _event(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    wanted = expect.event
    assert wanted is not None
    came = list(seen.of_kind(wanted.type))
    if any(_is_within(wanted.data, each.data) for each in came):
        return Verdict(True, "it came")
    if not at.final:
        return None
    return Verdict(False, _other_events(wanted, [each.data for each in came]))


def _interrupted(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    exchange = seen.exchange
    if not exchange.cut_in:
        return Verdict(False, "the caller did not speak into an answer")
    stopped = seen.ears.stopped_after(exchange.began, at.now)
    told = any(seen.of_kind("bot-interrupted"))
    if stopped is None or not told:
        if not at.final:
            return None
        return Verdict(False, "the agent went on" if stopped is None else "the answer ended by itself")
    took_ms = max(0.0, (stopped - exchange.began) * 1000)
    return Verdict(took_ms <= (expect.interrupted_within_ms or 0), f"it took {took_ms:.0f} ms")


def _ended(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    wanted, ended = expect.ended, seen.ended()
    assert wanted is not None
    if ended is None:
        return Verdict(False, "the call goes on") if at.final else None
    reason = str(ended.get("reason", ""))
    holds = re.fullmatch(wanted.reason, reason, re.IGNORECASE) is not None
    return Verdict(holds, f"the reason is {reason}")


def _cost(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    known, cost_usd = seen.cost_usd()
    limit = expect.cost_below_usd or 0.0
    if known and cost_usd is None:
        return Verdict(False, "the service knows no price")
    if cost_usd is not None and cost_usd >= limit:
        return Verdict(False, f"it cost ${cost_usd:.6f}")
    if not (at.final or (known and _settled(seen, at))):
        return None
    return Verdict(known, f"it cost ${cost_usd:.6f}" if known else "the service has told no cost")


def _no_word_lost(expect: Expect, seen: Seen, at: Moment) -> Verdict | None:
    said = [word for text in seen.said for word in _words(text)]
    understood = _words(seen.caller_words(0, spoken=True))
    if not said:
        return Verdict(False, "the caller has not said anything that is known as text")
    lost = _missing(said, understood)
    if lost and not at.final:
        return None
    return Verdict(not lost, f"lost: {_short(' '.join(lost))}" if lost else f"{len(said)} words arrived")


_JUDGES: Mapping[str, Callable[[Expect, Seen, Moment], Verdict | None]] = {
    "reply_within_ms": _reply_within,
    "heard": _heard,
    "transcribed": _transcribed,
    "tool": _tool,
    "not_called": _not_called,
    "turns": _turns,
    "silent_s": _silent,
    "event": _event,
    "interrupted_within_ms": _interrupted,
    "ended": _ended,
    "cost_below_usd": _cost,
    "no_word_lost": _no_word_lost,
}

SETTLED_S = 1.5
"After the end of an answer: what belongs to it may come so much later over the data channel."


def _settled(seen: Seen, at: Moment) -> bool:
    """Tell whether an answer is over and nothing more of it will come; only what holds is decided so early."""
    return seen.is_over(at.now) and seen.ears.quiet_s(at.now) >= SETTLED_S


def _search(pattern: Pattern | None, text: str) -> bool:
    return pattern is not None and re.search(pattern, " ".join(text.split()), re.IGNORECASE) is not None


def _is_wanted(run: ToolRun, wanted: ToolCall) -> bool:
    if wanted.outcome not in ("any", run.outcome):
        return False
    return not wanted.arguments or (run.arguments is not None and _is_within(wanted.arguments, run.arguments))


def _is_within(wanted: Any, found: Any) -> bool:
    """Tell whether everything that is wanted is there; texts are compared without regard to case."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and _is_within(value, found[name]) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_is_within(one, other) for one, other in zip(wanted, found, strict=True))
        )
    if isinstance(wanted, str) and isinstance(found, str):
        return wanted.casefold() == found.casefold()
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted is found
    return bool(wanted == found)


def _told(run: ToolRun) -> str:
    how = (
        f"ended with {run.outcome or 'an outcome that the service does not tell'}"
        if run.over
        else "is still running"
    )
    return _short(f"it was called with {dict(run.arguments) if run.arguments is not None else '?'} and {how}")


def _other_events(wanted: SeenEvent, came: list[Mapping[str, Any]]) -> str:
    if not came:
        return "it did not come"
    return (
        f"it came, but with other data: {_short('; '.join(str(dict(each)) for each in came))}"
        if wanted.data
        else ""
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


def _missing(said: list[str], understood: list[str]) -> list[str]:
    """Return the words that are not in what was understood, in order."""
    lost: list[str] = []
    for kind, begin, end, _, _ in SequenceMatcher(None, said, understood, autojunk=False).get_opcodes():
        if kind in ("delete", "replace"):
            lost += said[begin:end]
    return lost


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[: MAX_SHOWN_CHARS - 1]}…"
