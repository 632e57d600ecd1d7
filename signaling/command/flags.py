"""A flag for every setting, generated from `agent.settings`, which defines name, help, default, range and group.

Flags pass on their text unchanged. `load_settings` parses and checks it like any other source, so that a bad value
gets the same message wherever it comes from.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agent.errors import ConfigError
from agent.settings import GROUPS, Settings, allowed, flag_of, load_settings

METAVARS = {"_s": "SECONDS", "_ms": "MS", "_px": "PIXELS", "_fps": "FPS", "_tokens": "TOKENS", "_file": "PATH"}
ALIASES: dict[str, tuple[str, bool | None]] = {
    "text_output": ("audio_output", False),
    "initial_message_delay": ("initial_message_delay_s", None),
}
"Other names for flags: the setting that each sets, and the value if it takes none itself."
MAX_DEFAULT_CHARS = 40


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag per setting, and pass it the checked settings as its parameter ``settings``."""

    @functools.wraps(command)
    def load_and_run(**given: Any) -> None:
        names = [*dict(_settings_with_flags()), *ALIASES]
        command(settings=_load({name: given.pop(name) for name in names}), **given)

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.name != "settings"]
    for name, group in _settings_with_flags():
        parameters.append(_parameter(name, group))
        parameters += [_alias_parameter(flag, name, group) for flag, (meant, _) in ALIASES.items() if meant == name]
    load_and_run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return load_and_run


def _load(given: Mapping[str, Any]) -> Settings:
    """Load the settings with the flags that were given, remembering how each was typed."""
    flags: dict[str, Any] = {}
    typed: dict[str, str] = {}
    for name, text in given.items():
        if text in (None, []):
            continue
        setting, fixed_value = ALIASES.get(name, (name, None))
        flag = flag_of(name, text)
        if setting in flags:
            raise ConfigError(f"flags {typed[setting]} and {flag} set the same thing: use one of them")
        flags[setting] = text if fixed_value is None else fixed_value
        typed[setting] = flag
    return load_settings(flags, typed)


def _settings_with_flags() -> Iterator[tuple[str, str]]:
    """Yield each setting and its group, except secrets: anyone on the machine can read a command line."""
    group = ""
    for name, field in Settings.model_fields.items():
        group = GROUPS.get(name, group)
        if SecretStr not in _kinds(field):
            yield name, group


def _parameter(name: str, group: str) -> inspect.Parameter:
    field = Settings.model_fields[name]
    flag = flag_of(name)
    kinds = _kinds(field)
    names = [flag]
    kind: Any = str | None
    if bool in kinds:
        names = [f"{flag}/{flag_of(name, False)}"]
        kind = bool | None
    elif list in kinds:
        kind = list[str] | None
    option = typer.Option(
        *names,
        help=_help(name),
        metavar=_metavar(name, kinds),
        show_default=False,  # the help text has it; the flag's own default is None
        rich_help_panel=group,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _alias_parameter(flag: str, name: str, group: str) -> inspect.Parameter:
    fixed_value = ALIASES[flag][1]
    option = typer.Option(
        flag_of(flag),
        help=f"Same as {flag_of(name, fixed_value)}.",
        metavar=_metavar(name, _kinds(Settings.model_fields[name])),
        show_default=False,
        rich_help_panel=group,
    )
    kind: Any = str | None if fixed_value is None else bool | None
    return inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _kinds(field: FieldInfo) -> set[object]:
    """Return the types that a field may have, without the types of list items."""
    return {get_origin(kind) or kind for kind in (field.annotation, *get_args(field.annotation))}


def _help(name: str) -> str:
    field = Settings.model_fields[name]
    shown = _shown(field.default)
    notes = [note for note in (allowed(name), f"default {shown}" if shown else "") if note]
    return f"{field.description} ({'; '.join(notes)})" if notes else str(field.description)


def _metavar(name: str, kinds: set[object]) -> str:
    if bool in kinds:
        return " "
    for ending, metavar in METAVARS.items():
        if name.endswith(ending):
            return metavar
    return "NUMBER" if kinds & {int, float} else "TEXT"


def _shown(default: object) -> str:
    """Return a default as it would be written on the command line; "" if there is none to show."""
    match default:
        case None | []:
            return ""
        case bool():
            return "on" if default else "off"
        case float():
            return f"{default:g}"
        case list():
            return ", ".join(default)
        case _:
            text = str(default)
            return text if len(text) <= MAX_DEFAULT_CHARS else f"{text[:MAX_DEFAULT_CHARS].rstrip()}..."
