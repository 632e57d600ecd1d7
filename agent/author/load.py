"""Loads an agent's file or a file of functions. This is the operator's code, so whatever it raises is reported."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from agent.author.agent import Agent, check_names
from agent.errors import ConfigError
from agent.tools.declare import Tool
from agent.tools.function import as_tool

DEFAULT_NAME = "agent"


def load_agent(where: str | None, function_files: Sequence[Path], demo: Agent) -> Agent:
    """Return the agent that the command line names, with all its functions turned into tools.

    Args:
        where: ``FILE.py`` or ``FILE.py:NAME``; None for the demo.
        function_files: files whose public functions become tools too.
        demo: the agent that answers when no file is given.

    Raises:
        ConfigError: a file, a name in it, a function or a hook cannot be used.
    """
    agent = demo if where is None else _agent_in(where)
    tools = agent.declared_tools()
    agent.hooks()  # only for the checks
    agent.summary_wish()  # only for the checks
    for path in function_files:
        tools += import_functions(path)
    check_names(tools)
    return replace(agent, tools=tools)


def import_functions(path: Path) -> list[Tool]:
    """Return a tool for each public function that a file defines.

    Raises:
        ConfigError: the file cannot be loaded, defines no public function, or one that cannot be a tool.
    """
    module = _run(path)
    functions = [
        value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]
    if not functions:
        raise ConfigError(f"{path}: it defines no public functions to use as tools")
    return [as_tool(function) for function in functions]


def _agent_in(where: str) -> Agent:
    path, colon, name = where.rpartition(":")
    if not colon or name.endswith(".py"):
        path, name = where, DEFAULT_NAME
    module = _run(Path(path))
    agent = getattr(module, name, None)
    if isinstance(agent, Agent):
        return agent
    others = [other for other, value in vars(module).items() if isinstance(value, Agent)]
    advice = f"did you mean {path}:{others[0]}?" if others else f"write `{name or DEFAULT_NAME} = Agent(...)`"
    raise ConfigError(f"{path}: {_what_it_is(name, agent)}; {advice}")


def _what_it_is(name: str, value: object) -> str:
    """Describe what was found instead of an agent."""
    if not name:
        return "a name is missing after the colon"
    if value is None:
        return f"there is no `{name}` in it"
    if value is Agent:
        return f"`{name}` is not an Agent but the class itself"
    return f"`{name}` is not an Agent but of type {type(value).__name__}"


def _run(path: Path) -> ModuleType:
    """Import a file. It can import the files next to it, unless an installed module has the same name.

    Installed modules come first because this process imports more of them later: a file called ``json.py`` next to
    the agent's, or the agent's own file if it is called ``agent.py``, must not hide them.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: it is a folder; name a file in it")
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"_talkspurt_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and forward references look up their module
    folder = path.resolve().parent
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    try:
        spec.loader.exec_module(module)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}{_hidden_neighbour(error, folder)}"
        raise ConfigError(f"{path}{_line(error, path)}: {reason}") from error
    return module


def _hidden_neighbour(error: BaseException, folder: Path) -> str:
    """Return a hint if an import found an installed module although a file of that name is next to the agent's."""
    if not isinstance(error, ImportError) or error.name is None:
        return ""
    neighbour = folder / f"{error.name.partition('.')[0]}.py"
    if not neighbour.is_file() or error.path == str(neighbour):
        return ""
    return f"; {neighbour.name} beside it was not used because an installed module has the same name: rename it"


def _line(error: BaseException, path: Path) -> str:
    """Return the line of the file in which the error happened, or "" if that is not known."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f", line {error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f", line {lines[-1]}" if lines else ""
