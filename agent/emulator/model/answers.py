"""What the offline demo model understands and answers: a few rules, no language model. Pure.

A turn comes in, a reply goes out as parts in order. The only state is the history, so that a session that is
resumed, or starts with an earlier conversation, knows what was said.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from agent.emulator.model import phrases
from agent.emulator.model.sums import find_sum, shown
from agent.emulator.model.turn import CallFunction, Reply, Say, Turn
from agent.emulator.wire.incoming import History, Json
from agent.emulator.wire.parse import read_json

_MAX_HISTORY = 200  # turns
_MAX_READ_CHARS = 10_000  # of what the caller says; what comes after it changes no answer
_MAX_SHOWN_CHARS = 300
_MAX_DEGREES = 1_000

# How the service marks what the caller did not say; the text that it quotes is JSON.
_UNSAID = "[Not said by the caller. "
_SAY_THIS = re.compile(r"in these words: (\".*\")\]$", re.DOTALL)
_TOOL_ANSWERED = re.compile(r": (\{.*\})\]$", re.DOTALL)
_NOTE = re.compile(r"^\[Not said by the caller\. (?:Take note|You have said before): (\"(?:[^\"\\]|\\.)*\")\]$")

_NAME = re.compile(r"\b(?:my name is|call me)\s+(\w+)", re.IGNORECASE)
_CALL = re.compile(r"\bcall\s+(?P<name>[\w.-]+)\s*(?P<args>\{.*\})?", re.IGNORECASE | re.DOTALL)
_REPEAT = re.compile(r"\b(?:say|after me)\b[:,]?\s+(.+)", re.IGNORECASE | re.DOTALL)
_WHEN = re.compile(r"\b(today|tomorrow|now|right now|please|like)\b")


class DemoModel:
    """One session's dialogue.

    Args:
        rng: for dice and coins.
        history: (role, text) of an earlier conversation's turns.
    """

    def __init__(self, rng: random.Random, history: Iterable[tuple[str, str]] = ()) -> None:
        self._rng = rng
        self._history = deque(history, maxlen=_MAX_HISTORY)

    @property
    def history(self) -> History:
        """What a resumption handle stands for."""
        return tuple(self._history)

    def remember(self, turns: Iterable[tuple[str, str]]) -> None:
        """Add turns that were not spoken in this session."""
        self._history.extend((role, text) for role, text in turns if text)

    def take_question(self) -> str | None:
        """Remove and return the caller's words at the end of the history; None if the model spoke last."""
        if self._history and self._history[-1][0] == "user":
            return self._history.pop()[1]
        return None

    def reply(self, turn: Turn) -> Reply:
        """Answer a turn and remember both."""
        parts = self._answer(turn)
        if turn.text and (not turn.text.startswith(_UNSAID) or _NOTE.search(turn.text)):
            self._history.append(("user", turn.text))
        if said := words_in(parts):
            self._history.append(("model", said))
        return parts

    def interrupted(self, reply: Reply, sent: str) -> None:
        """Remember only the words of its last reply that were sent: the Live API discards the rest."""
        for at in reversed(range(len(self._history))):  # notes may have come in after it
            if self._history[at] == ("model", words_in(reply)):
                del self._history[at]
                if sent:
                    self._history.insert(at, ("model", sent))
                return

    def _answer(self, turn: Turn) -> Reply:
        if turn.unanswered:
            return (Say(phrases.TOOL_SILENT),)
        if turn.results:
            return tuple(Say(_result_words(result.name, result.response)) for result in turn.results)
        if turn.text is None:
            seconds = max(1, round(turn.voice_s))
            return (Say(f"I heard you for {_counted(seconds, 'second')}, {phrases.NO_RECOGNITION}"),)
        if note := _NOTE.search(turn.text):
            return self._answer(replace(turn, text=str(_read_json(note[1]))))
        if turn.text.startswith(_UNSAID):
            return (Say(_unsaid_words(turn.text)),)
        words = " ".join(re.findall(r"[\w'+*/\u00d7\u00f7.:{-]+", turn.text[:_MAX_READ_CHARS].lower())).strip(" .")
        if not words:
            return (Say(phrases.NOT_CAUGHT),)
        if self._history and self._history[-1] == ("model", phrases.WHICH_CITY):
            return _weather_in(words.removeprefix("in "), turn)
        for pattern, answer in _INTENTS:
            if (match := pattern.search(words)) and (reply := answer(self, turn, match)):
                return reply
        return (Say(phrases.NOT_UNDERSTOOD),)

    def _roll(self, turn: Turn, match: re.Match[str]) -> Reply:
        return (Say(f"You rolled a {self._rng.randint(1, 6)}."),)

    def _flip(self, turn: Turn, match: re.Match[str]) -> Reply:
        return (Say(self._rng.choice((phrases.HEADS, phrases.TAILS))),)

    def _callers_name(self, turn: Turn, match: re.Match[str]) -> Reply:
        for role, text in reversed(self._history):
            if role == "user" and (name := _NAME.search(text)):
                return (Say(f"Your name is {name[1].title()}."),)
        return (Say(phrases.NO_NAME),)

    def _callers_last_words(self, turn: Turn, match: re.Match[str]) -> Reply:
        for role, text in reversed(self._history):
            if role == "user" and not text.startswith(_UNSAID):
                return (Say(f"You said: {text}"),)
        return (Say(phrases.NOTHING_SAID),)


def words_in(reply: Reply) -> str:
    """All that a reply says, as the history holds it."""
    return " ".join(part.text for part in reply if isinstance(part, Say))


def _read_json(text: str) -> Any:
    """JSON in the caller's or the service's words; None if it cannot be read."""
    try:
        return read_json(text)
    except ValueError:
        return None


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _unsaid_words(text: str) -> str:
    """What the service asks the model to say, or to tell of a tool's late answer."""
    if (wanted := _SAY_THIS.search(text)) and isinstance(words := _read_json(wanted[1]), str):
        return words
    if (answered := _TOOL_ANSWERED.search(text)) and isinstance(answer := _read_json(answered[1]), dict):
        return _result_words("", answer)
    return phrases.GOODBYE if "Say goodbye" in text else phrases.NOT_UNDERSTOOD


def _result_words(name: str, response: Json) -> str:
    """A function's answer as a sentence."""
    if "error" in response:
        return phrases.TOOL_FAILED
    value = response.get("output", response.get("result", response))
    if name == "get_weather" and isinstance(value, dict):
        degrees = next((value[key] for key in ("temperature_c", "temperature", "temp_c") if key in value), None)
        sky = value.get("sky", value.get("conditions"))
        if isinstance(degrees, int | float) and abs(degrees) < _MAX_DEGREES:
            return f"It is {shown(float(degrees))} degrees{f' and {sky}' if sky else ''}."
    return f"The tool says: {_flat(value)}."


def _flat(value: object) -> str:
    if isinstance(value, dict):
        value = [f"{str(key).replace('_', ' ')} {_flat(inner)}" for key, inner in value.items()]
    if isinstance(value, list):
        return ", ".join(map(_flat, value)) or "nothing"
    return str(value)[:_MAX_SHOWN_CHARS]


Answer: TypeAlias = Callable[[DemoModel, Turn, re.Match[str]], Reply]
"""Answers a turn whose words matched; an empty reply leaves it to the next intent."""


def _fixed(*texts: str) -> Answer:
    return lambda model, turn, match: tuple(map(Say, texts))


def _repeat(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    wanted = _REPEAT.search(turn.text or "")
    return (Say(wanted[1][:_MAX_SHOWN_CHARS]),) if wanted else ()


def _meet(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    return (Say(f"Nice to meet you, {match[1].title()}."),)


def _time(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    hour = turn.wall.hour
    part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
    return (Say(f"It is {(hour - 1) % 12 + 1}:{turn.wall.minute:02} in the {part}."),)


def _date(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    wall = turn.wall
    return (Say(f"Today is {phrases.DAYS[wall.weekday()]}, {phrases.MONTHS[wall.month - 1]} {wall.day}."),)


def _sum(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    found = find_sum((turn.text or "")[:_MAX_READ_CHARS])
    if found is None:
        return ()
    if found.value is None:
        return (Say(phrases.ZERO_DIVISION),)
    return (Say(phrases.TOO_LARGE if found.too_large else f"{found.spoken} is {shown(found.value)}."),)


def _sight(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    if not turn.pictures:
        return (Say(phrases.NO_PICTURE),)
    seen = phrases.UNREADABLE_PICTURE
    if turn.picture_size is not None:
        seen = "I received a picture of {} by {} pixels.".format(*turn.picture_size)
    return (Say(f"{seen} I have {_counted(turn.pictures, 'picture')} so far."),)


def _weather(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    if "get_weather" in turn.functions and match["city"] is None:
        return (Say(phrases.WHICH_CITY),)
    return _weather_in(match["city"] or "", turn)


def _weather_in(city: str, turn: Turn) -> Reply:
    if "get_weather" not in turn.functions:
        return (Say(phrases.NO_WEATHER_TOOL),)
    return _call(CallFunction("get_weather", {"city": _WHEN.sub("", city).strip(" .").title()}), turn)


def _call_by_name(model: DemoModel, turn: Turn, match: re.Match[str]) -> Reply:
    """``call NAME {json}`` lets you try a tool of your own without a key."""
    wanted = _CALL.search(turn.text or "")
    if wanted is None or wanted["name"] not in turn.functions:
        return (Say(phrases.NO_SUCH_TOOL),)
    args = _read_json(wanted["args"] or "{}")
    return (
        _call(CallFunction(wanted["name"], args), turn) if isinstance(args, dict) else (Say(phrases.TOOL_FAILED),)
    )


def _call(call: CallFunction, turn: Turn) -> Reply:
    """A function that does not block leaves the model free to say that it is looking."""
    return (call, Say(phrases.LOOKING_UP)) if turn.functions.get(call.name) else (call,)


_INTENTS: tuple[tuple[re.Pattern[str], Answer], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), answer)
    for pattern, answer in (
        (r"^(?:please )?(?:repeat after me|say)\b(?! (?:that )?again)", _repeat),
        (r"^call \w+_\w+|^call \w+ *\{|^call (?!me\b)\w+$", _call_by_name),
        (r"\bwhat did i (?:just )?say\b|\bwhat i said\b", DemoModel._callers_last_words),
        (r"\bmy name\b(?! is \w)|\bwho am i\b", DemoModel._callers_name),
        (_NAME.pattern, _meet),
        (r"\bstory\b|\btale\b", _fixed(*phrases.STORY)),
        (r"\bweather\b(?:.*?\b(?:in|for|at)\s+(?P<city>.+))?", _weather),
        (r"\b(?:dice|die|roll)\b", DemoModel._roll),
        (r"\b(?:coin|heads or tails)\b", DemoModel._flip),
        (r".", _sum),
        (r"\btime\b(?! to\b)|\bo'clock\b|\bclock\b", _time),
        (r"\b(?:what|which) day\b|\b(?:the|today's|todays) date\b|\bwhat date\b", _date),
        (r"\b(?:see(?! you)|camera|picture|screen|look at)\b", _sight),
        (r"\bwho are you\b|\bwhat are you\b|\byour name\b", _fixed(phrases.WHO)),
        (r"\bwhat can you\b|\bhelp\b|\bwhat do you do\b", _fixed(phrases.ABILITIES)),
        (r"\bhow are you\b", _fixed(phrases.FINE)),
        (r"\bthank", _fixed(phrases.WELCOME)),
        (r"\b(?:bye|goodbye|see you)\b", _fixed(phrases.GOODBYE)),
        (r"\b(?:stop|quiet|enough|shut up|wait)\b", _fixed(phrases.STOPPED)),
        (r"\b(?:hello|hi|hey|good (?:morning|afternoon|evening)|greetings)\b", _fixed(phrases.GREETING)),
    )
)
"""In order of precedence."""
