"""Decide which telephones may be called: the numbers and SIP addresses that the operator allows.

A pattern is

- a number, such as ``+4930*`` or ``+49 30 1234 ???``: ``*`` stands for any digits, ``?`` for one;
- a SIP address, such as ``sip:*@pbx.example`` or ``sip:ann@*.example:5070``: ``*`` stands for anything within the
  name or within the host, ``?`` for one character;
- ``*`` alone, for every number and every address.

A number is dialled at the line's own domain, and only a number pattern (or ``*``) allows it, however it is written:
``sip:*@my.domain`` must not allow every number that a carrier dials.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import unquote

from agent.errors import ConfigError
from agent.settings import Settings

ALL = "*"
Switch = Literal["dial", "transfer"]
SWITCHES: tuple[Switch, ...] = get_args(Switch)

_NUMBER_PATTERN = re.compile(r"\+?[0-9*?][0-9*?().\- ]*", re.ASCII)
_URI_PATTERN = re.compile(r"sips?:[\w\-.!~*'()%&=+$,?]+@[A-Za-z0-9.\-*?\[\]]+(:[0-9*?]+)?", re.ASCII)
_SEPARATORS = re.compile(r"[().\- ]")
_DIALLED = re.compile(r"[+0-9*#A-Da-d,]+", re.ASCII)  # a carrier takes this for a number or a service code
_HARMLESS = re.compile(r"(transport=(udp|tcp|tls)|user=(phone|ip))", re.IGNORECASE | re.ASCII)
_WILD = {  # what * and ? match, by where in a pattern they stand
    "number": ("[0-9]*", "[0-9]"),
    "name": ("[^@:;?]*", "[^@:;?]"),
    "host": ("[A-Za-z0-9.-]*", "[A-Za-z0-9.-]"),
}


@dataclass(frozen=True, slots=True)
class Callees:
    """The telephones that may be called.

    Attributes:
        setting: the name of the list, for messages.
        domain: the SIP domain of plain numbers.
        everything: True if every telephone may be called.
        numbers: the patterns for numbers.
        uris: the patterns for SIP addresses, without parameters.
    """

    setting: str
    domain: str
    everything: bool
    numbers: tuple[re.Pattern[str], ...]
    uris: tuple[re.Pattern[str], ...]

    def allow(self, uri: str) -> bool:
        """Return whether a SIP address, as `telephone.address` returns it, may be called."""
        if self.everything:
            return True
        address, *parameters = uri.split(";")
        if not all(_HARMLESS.fullmatch(parameter) for parameter in parameters):
            return False  # a parameter such as maddr leads elsewhere
        user, _, host = address.partition(":")[2].rpartition("@")
        name = _SEPARATORS.sub("", unquote(user))
        if _name(host) == _name(self.domain) and _DIALLED.fullmatch(name):
            return any(pattern.fullmatch(name) for pattern in self.numbers)
        return any(pattern.fullmatch(address) for pattern in self.uris)


def callees_of(settings: Settings, switch: Switch) -> Callees | None:
    """Return which telephones may be dialled or transferred to; None if that is switched off.

    Raises:
        ConfigError: the list is empty, or something in it is not a pattern.
    """
    if not getattr(settings, switch):
        return None
    setting = f"{switch}_allowed"
    patterns: list[str] = getattr(settings, setting)
    if not patterns:
        raise ConfigError(
            f"{settings.source(switch)}: {setting} is empty, so nobody could be called: list numbers and addresses "
            "in it, such as +4930* and sip:*@pbx.example, or * for all"
        )
    domain = settings.sip_user.partition("@")[2]
    numbers, uris = [], []
    for pattern in patterns:
        if _NUMBER_PATTERN.fullmatch(pattern):
            numbers.append(_compiled(_SEPARATORS.sub("", pattern), "number"))
        elif _URI_PATTERN.fullmatch(pattern):
            name, _, host = pattern.rpartition("@")
            uris.append(re.compile(f"{_regex(name, 'name')}@(?i:{_regex(host, 'host')})", re.ASCII))
        else:
            raise ConfigError(
                f"{settings.source(setting)}: {pattern!r} is no number, such as +4930*, no SIP address, such as "
                "sip:*@pbx.example, and not *"
            )
    return Callees(setting, domain, ALL in patterns, tuple(numbers), tuple(uris))


def _name(host: str) -> str:
    """Return a host without its port, normalised for comparison."""
    return re.sub(r":\d*$", "", host).lower().rstrip(".")


def _compiled(pattern: str, kind: str) -> re.Pattern[str]:
    return re.compile(_regex(pattern, kind), re.ASCII)


def _regex(pattern: str, kind: str) -> str:
    many, one = _WILD[kind]
    return "".join(many if letter == "*" else one if letter == "?" else re.escape(letter) for letter in pattern)
