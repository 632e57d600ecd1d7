"""What the offline demo model understands and answers: a few rules, no model. Pure: dice and clock are passed in.

A turn comes in, a reply goes out as parts in order. The only state is the history, so that a session that is
resumed, or seeded with an earlier conversation, knows what was said.
"""

from __future__ import annotations

import json
import random
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from agent.emulator.model import phrases
from agent.emulator.model.pcm import Pcm
from agent.emulator.model.sums import find_sum, shown
from agent.emulator.wire import FunctionResult, Json, ServerMessage

_MAX_HISTORY = 200


@dataclass(frozen=True)
class Turn:
    """The caller finished a turn, or a function that the model waits for was answered."""

    wall: datetime
    """The time of day, for whoever asks."""
    text: str | None = None
    """The words; None for a voice that nobody could transcribe."""
    voice_s: float = 0.0
    """How long the voice was; 0 for typed text."""
    functions: Mapping[str, bool] = field(default_factory=dict)
    """What the client declared; True for functions that do not block."""
    pictures: int = 0
    """How many pictures have arrived in this session."""
    picture_size: tuple[int, int] | None = None
    """Width and height of the newest one, if it could be read."""
    results: tuple[FunctionResult, ...] = ()
    """Answers of functions; then nothing was said."""
    unanswered: bool = False
    """The functions were waited for in vain; then nothing was said either."""


@dataclass(frozen=True)
class Say:
    """Speak this (or write it, when the session is a TEXT one)."""

    text: str


@dataclass(frozen=True)
class Call:
    """Ask the client to run a function."""

    name: str
    args: Json
    alone: bool = False
    """Not in one message with the call after it."""


@dataclass(frozen=True)
class Play:
    """Send this sound as the model's speech: int16, shape ``(samples,)``, mono, 24 kHz."""

    pcm: Pcm


@dataclass(frozen=True)
class Raw:
    """Send exactly this message; for scripts in tests."""

    message: ServerMessage


Part: TypeAlias = Say | Call | Play | Raw
Reply: TypeAlias = tuple[Part, ...]
OnTurn: TypeAlias = Callable[[Turn], Reply | None]
"""A script that answers in the brain's place; None leaves the turn to the brain."""


class Brain:
    """One session's dialogue.

    Args:
        rng: dice and coins.
        history: (role, text) pairs of an earlier conversation.
    """

    def __init__(self, rng: random.Random, history: Iterable[tuple[str, str]] = ()) -> None:
        self._rng = rng
        self._history = deque(history, maxlen=_MAX_HISTORY)

    @property
    def history(self) -> tuple[tuple[str, str], ...]:
        """(role, text) pairs, oldest first; what a resumption handle stands for."""
        return tuple(self._history)

    def remember(self, turns: Iterable[tuple[str, str]]) -> None:
        """Take over turns that were not spoken here."""
        self._history.extend((role, text) for role, text in turns if text)

    def take_question(self) -> str | None:
        """The caller's words at the end of the history, if they are still unanswered; they leave the history."""
        if self._history and self._history[-1][0] == "user":
            return self._history.pop()[1]
        return None

    def reply(self, turn: Turn) -> Reply:
        """Answer a turn and remember both."""
        parts = self._think(turn)
        if turn.text and (not turn.text.startswith(_ASIDE) or _NOTED.search(turn.text)):
            self._history.append(("user", turn.text))
        said = " ".join(part.text for part in parts if isinstance(part, Say))
        if said:
            self._history.append(("model", said))
        return parts

    def _think(self, turn: Turn) -> Reply:
        if turn.unanswered:
            return (Say(phrases.TOOL_SILENT),)
        if turn.results:
            return tuple(Say(_result_words(result)) for result in turn.results)
        if turn.text is None:
            seconds = max(1, round(turn.voice_s))
            return (Say(f"I heard you for {seconds} {_plural('second', seconds)}, {phrases.NO_RECOGNITION}"),)
        noted = _NOTED.search(turn.text)
        if noted:
            return self._think(replace(turn, text=str(json.loads(noted[1]))))
        aside = _aside(turn.text)
        if aside is not None:
            return (Say(aside),)
        words = " ".join(re.findall(r"[\w'+*/\u00d7\u00f7.:{-]+", turn.text.lower())).strip(" .")
        if not words:
            return (Say(phrases.NOT_CAUGHT),)
        if self._history and self._history[-1] == ("model", phrases.WHICH_CITY):
            return _weather(turn, words.removeprefix("in "))
        for pattern, answer in _INTENTS:
            match = pattern.search(words)
            if match:
                reply = answer(self, turn, match)
                if reply:
                    return reply
        return (Say(phrases.NOT_UNDERSTOOD),)

    def _dice(self, turn: Turn, match: re.Match[str]) -> Reply:
        return (Say(f"You rolled a {self._rng.randint(1, 6)}."),)

    def _coin(self, turn: Turn, match: re.Match[str]) -> Reply:
        return (Say(self._rng.choice((phrases.HEADS, phrases.TAILS))),)

    def _own_name(self, turn: Turn, match: re.Match[str]) -> Reply:
        for role, text in reversed(self._history):
            told = _NAME.search(text) if role == "user" else None
            if told:
                return (Say(f"Your name is {told[1].title()}."),)
        return (Say(phrases.NO_NAME),)

    def _last_words(self, turn: Turn, match: re.Match[str]) -> Reply:
        for role, text in reversed(self._history):
            if role == "user" and not text.startswith(_ASIDE):
                return (Say(f"You said: {text}"),)
        return (Say(phrases.NOTHING_SAID),)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _fixed(*texts: str) -> Callable[[Brain, Turn, re.Match[str]], Reply]:
    return lambda brain, turn, match: tuple(map(Say, texts))


def _time(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    hour = turn.wall.hour
    part = "morning" if hour < 12 else "afternoon" if hour < 18 else "evening"
    return (Say(f"It is {(hour - 1) % 12 + 1}:{turn.wall.minute:02} in the {part}."),)


def _date(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    wall = turn.wall
    return (Say(f"Today is {phrases.DAYS[wall.weekday()]}, {phrases.MONTHS[wall.month - 1]} {wall.day}."),)


def _sum(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    found = find_sum(turn.text or "")
    if found is None:
        return ()
    if found.value is None:
        return (Say(phrases.ZERO_DIVISION),)
    if found.too_large:
        return (Say(phrases.TOO_LARGE),)
    return (Say(f"{found.spoken} is {shown(found.value)}."),)


def _sight(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    if not turn.pictures:
        return (Say(phrases.NO_PICTURE),)
    so_far = f"I have {turn.pictures} {_plural('picture', turn.pictures)} so far."
    if turn.picture_size is None:
        return (Say(f"{phrases.UNREADABLE_PICTURE} {so_far}"),)
    width, height = turn.picture_size
    return (Say(f"I received a picture of {width} by {height} pixels. {so_far}"),)


def _ask_weather(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    if "get_weather" in turn.functions and match["city"] is None:
        return (Say(phrases.WHICH_CITY),)
    return _weather(turn, match["city"] or "")


def _weather(turn: Turn, city: str) -> Reply:
    if "get_weather" not in turn.functions:
        return (Say(phrases.NO_WEATHER_TOOL),)
    city = re.sub(r"\b(today|tomorrow|now|right now|please|like)\b", "", city).strip(" .")
    return _call(turn, Call("get_weather", {"city": city.title()}))


def _any_function(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    """``call NAME {json}``: lets an operator try a tool of their own without a key."""
    told = _CALL.search(turn.text or "")
    if told is None or told["name"] not in turn.functions:
        return (Say(phrases.NO_SUCH_TOOL),)
    try:
        args = json.loads(told["args"] or "{}")
    except ValueError:
        args = None
    return _call(turn, Call(told["name"], args)) if isinstance(args, dict) else (Say(phrases.TOOL_FAILED),)


def _call(turn: Turn, call: Call) -> Reply:
    """A function that does not block leaves the model free to say so."""
    return (call, Say(phrases.LOOKING_UP)) if turn.functions.get(call.name) else (call,)


def _result_words(result: FunctionResult) -> str:
    """A function's answer as a sentence, from whatever shape it has."""
    response = result.response
    if "error" in response:
        return phrases.TOOL_FAILED
    value = response.get("output", response.get("result", response))
    words = _weather_words(value) if result.name == "get_weather" and isinstance(value, dict) else None
    return words or f"The tool says: {_flat(value)}."


def _weather_words(value: Json) -> str | None:
    degrees = next((value[key] for key in ("temp_c", "temperature_c", "temperature", "temp") if key in value), None)
    sky = next((value[key] for key in ("conditions", "condition", "sky", "summary") if key in value), None)
    if not isinstance(degrees, int | float):
        return None
    return f"It is {shown(float(degrees))} degrees{f' and {sky}' if sky else ''}."


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(f"{str(key).replace('_', ' ')} {_flat(inner)}" for key, inner in value.items()) or "nothing"
        )
    if isinstance(value, list):
        return ", ".join(map(_flat, value)) or "nothing"
    return str(value)[:300]


def _echo(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    told = re.search(r"\b(?:say|after me)\b[:,]?\s+(.+)", turn.text or "", re.IGNORECASE | re.DOTALL)
    return (Say(told[1][:300]),) if told else ()


def _aside(text: str) -> str | None:
    """What to say to what the client told the model, and the caller did not say; None if it is the caller's."""
    if not text.startswith(_ASIDE):
        return None
    for pattern, words in ((_WANTED, str), (_TOLD, lambda answer: _result_words(FunctionResult("", "", answer)))):
        found = pattern.search(text)
        if found:
            try:
                return words(json.loads(found[1]))
            except ValueError:
                break
    return phrases.NOT_UNDERSTOOD


def _meet(brain: Brain, turn: Turn, match: re.Match[str]) -> Reply:
    return (Say(f"Nice to meet you, {match[1].title()}."),)


_ASIDE = "[Not said by the caller"
_WANTED = re.compile(r"in these words: (\".*\")\]$", re.DOTALL)
_NOTED = re.compile(r"^\[Not said by the caller\. (?:Take note|You have said before): (\"(?:[^\"\\]|\\.)*\")\]$")
_TOLD = re.compile(r": (\{.*\})\]$", re.DOTALL)
_NAME = re.compile(r"\b(?:my name is|call me)\s+(\w+)", re.IGNORECASE)
_CALL = re.compile(r"\bcall\s+(?P<name>[\w.-]+)\s*(?P<args>\{.*\})?", re.IGNORECASE | re.DOTALL)
_INTENTS: tuple[tuple[re.Pattern[str], Callable[[Brain, Turn, re.Match[str]], Reply]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), answer)
    for pattern, answer in (
        (r"^(?:please )?(?:repeat after me|say)\b(?! (?:that )?again)", _echo),
        (r"^call \w+_\w+|^call \w+ *\{|^call (?!me\b)\w+$", _any_function),
        (r"\bwhat did i (?:just )?say\b|\bwhat i said\b", Brain._last_words),
        (r"\bmy name\b(?! is \w)|\bwho am i\b", Brain._own_name),
        (_NAME.pattern, _meet),
        (r"\bstory\b|\btale\b", _fixed(*phrases.STORY)),
        (r"\bweather\b(?:.*?\b(?:in|for|at)\s+(?P<city>.+))?", _ask_weather),
        (r"\b(?:dice|die|roll)\b", Brain._dice),
        (r"\b(?:coin|heads or tails)\b", Brain._coin),
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
