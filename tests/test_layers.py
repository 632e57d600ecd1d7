"""Import fences: which module may know which, by reading the source (DESIGN section 2)."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOMAINS = ("agent.media", "agent.dialog", "agent.live", "agent.tools")
PURE = (
    *(
        "agent.media.fir",
        "agent.media.rtp",
        "agent.media.reorder",
        "agent.media.chunker",
        "agent.media.playout",
        "agent.media.level",
        "agent.media.dtmf",
    ),
    *("agent.media.downlink", "agent.media.throttle", "agent.live.wire", "agent.live.config", "agent.live.models"),
    *(
        "agent.tools.schema",
        "agent.tools.arguments",
        "signaling.dialects.shorten",
        "signaling.dialects.mask",
        "signaling.dialects.rates",
        "agent.redact",
    ),
    *(
        "agent.live.resumption",
        "agent.live.replay",
        "agent.live.refusals",
        "agent.tools.declare",
        "agent.dialog",
        "agent.events",
    ),
    *(
        "agent.errors",
        "agent.unicode",
        "agent.call.kept",
        "agent.call.shown",
        "agent.call.drawn",
        "agent.overload",
        "agent.bucket",
        "signaling.webrtc.sdp",
    ),
    *(
        "signaling.webrtc.candidates",
        "signaling.webrtc.pending",
        "signaling.webrtc.ended",
        "signaling.webrtc.trickle",
    ),
    *("signaling.webrtc.offered", "signaling.webrtc.codecs", "signaling.webrtc.transport"),
    *("signaling.webrtc.rewrite", "signaling.webrtc.sdp_edits"),
    *("signaling.phone.caller_id", "signaling.phone.chunks"),
)
MAY_CATCH_EVERYTHING = (
    "agent.isolate",
    "agent.author.load",
    "agent.tools.runner",
    "signaling.webrtc.calls",
    "signaling.http.problem",
)
BANNED_NAMES = ("utils", "util", "helpers", "helper", "manager", "base", "core", "handler", "handlers")
MANGLED = re.compile(r"^_[A-Z]\w*?__\w+$")  # how one reaches a class's private attribute from outside


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: dotted.
        tree: parsed.
    """

    name: str
    tree: ast.Module

    @cached_property
    def imports(self) -> set[str]:
        """What it imports anywhere, dotted; of ``from a import b`` it is ``a.b``."""
        return set(imported(self.tree))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def load(package: str) -> list[Module]:
    modules = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules.append(Module(name, ast.parse(path.read_text(encoding="utf-8"))))
    return modules


MODULES = load("agent") + load("signaling")


def under(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def found(
    matches: Callable[[str], bool], *, outside: tuple[str, ...] = (), inside: tuple[str, ...] = ()
) -> list[str]:
    """Return "module: import" for each import that matches, of the modules that are meant."""
    return [
        f"{module.name}: {name}"
        for module in MODULES
        if not under(module.name, *outside) and (not inside or under(module.name, *inside))
        for name in sorted(module.imports)
        if matches(name)
    ]


def importing(*packages: str) -> Callable[[str], bool]:
    return lambda name: under(name, *packages)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os.path", {"os.path"}),
        ("from google import genai", {"google.genai"}),
        ("from google.genai import types as t", {"google.genai.types"}),
        ("def f():\n    import aiohttp", {"aiohttp"}),
        ("if TYPE_CHECKING:\n    from agent.media import fir, opus", {"agent.media.fir", "agent.media.opus"}),
        ("from . import x", {"..x"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, expected: set[str]) -> None:
    assert set(imported(ast.parse(source))) == expected


def test_the_source_was_found() -> None:
    names = {module.name for module in MODULES}
    assert {"agent.call.call", "agent.dialog.turns", "agent.emulator", "signaling.webrtc.offer"} <= names


def test_imports_are_absolute() -> None:
    assert found(lambda name: name.startswith(".")) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_four_domains_never_import_each_other(domain: str) -> None:
    others = tuple(other for other in DOMAINS if other != domain)
    assert found(importing(*others), inside=(domain,)) == []


def test_domains_know_nothing_of_the_call_that_joins_them() -> None:
    assert (
        found(
            importing(
                "agent.call.call",
                "agent.call.tool_calls",
                "agent.author.agent",
                "agent.author.load",
                "agent.call.stats",
                "agent.emulator",
            ),
            inside=DOMAINS,
        )
        == []
    )


def test_dialog_needs_only_the_standard_library() -> None:
    ours = ("agent.dialog", "agent.events", "agent.errors", "agent.clock")
    assert (
        found(lambda n: n.split(".")[0] not in sys.stdlib_module_names and not under(n, *ours), inside=ours) == []
    )


def test_the_agent_knows_no_signaling() -> None:
    assert found(importing("signaling"), inside=("agent",)) == []


def test_http_is_for_signaling_and_the_emulator() -> None:
    assert found(importing("aiohttp"), outside=("signaling", "agent.emulator")) == []


def test_the_sdk_is_for_the_live_domain() -> None:
    assert found(importing("google", "websockets"), outside=("agent.live",)) == []


def test_webrtc_is_for_media_and_signaling() -> None:
    assert found(importing("aiortc", "aioice", "pylibsrtp"), outside=("agent.media", "signaling")) == []


def test_av_is_for_media_and_signaling_and_the_emulators_voice() -> None:
    assert found(importing("av"), outside=("agent.media", "signaling", "agent.emulator")) == []


def test_the_emulator_is_started_by_signaling_only() -> None:
    """The emulator stands for a server on the other end of a wire: it shares no code with what it tests."""
    assert found(importing("agent.emulator"), inside=("agent",), outside=("agent.emulator",)) == []
    assert found(importing("agent.live", "agent.call.call", "agent.dialog"), inside=("agent.emulator",)) == []


def test_pure_modules_ask_for_no_time_and_no_input() -> None:
    asking = ("asyncio", "time", "datetime", "random", "secrets", "socket", "threading", "os", "pathlib", "logging")
    assert found(importing(*asking), inside=PURE) == []


def test_only_the_clock_reads_the_clock() -> None:
    assert found(importing("time"), inside=("agent",), outside=("agent.clock", "agent.emulator")) == []


TAPS = ("agent.media.tap",)


def test_aiortcs_private_names_are_for_the_taps() -> None:
    seen = [
        f"{module.name}:{node.lineno}"
        for module in MODULES
        if not under(module.name, *TAPS)
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, str) and MANGLED.match(node.value))
        or (isinstance(node, ast.Attribute) and MANGLED.match(node.attr))
    ]
    assert seen == []


def test_private_attributes_are_used_by_their_owner() -> None:
    """Of another object only what a class in the same file defines."""
    seen = []
    for module in MODULES:
        if under(module.name, *TAPS):
            continue
        own = {name for node in ast.walk(module.tree) for name in private_names(node)}
        seen += [
            f"{module.name}:{node.lineno}: {ast.unparse(node)}"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own
        ]
    assert seen == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_names(node: ast.AST) -> Iterator[str]:
    """Yield the private names that this file itself defines: methods, and attributes set on self."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            yield node.attr
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def test_only_settings_read_the_environment() -> None:
    seen = [
        f"{module.name}:{node.lineno}"
        for module in MODULES
        if module.name not in ("agent.settings", "agent.emulator.__main__")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id)
        in ("environ", "environb", "getenv", "putenv")
    ]
    assert seen == []


def test_names_say_what_is_inside() -> None:
    assert [module.name for module in MODULES if module.name.rpartition(".")[2] in BANNED_NAMES] == []
    banned = re.compile(r"(Manager|Helper|Base|Core|Utils?)$")
    classes = [
        f"{module.name}: {node.name}"
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and banned.search(node.name)
    ]
    assert classes == []


def catchers() -> Iterator[tuple[str, str, ast.ExceptHandler]]:
    """Yield module, caught class and handler, for each class that is caught."""
    for module in MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler):
                caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                for each in caught:
                    yield module.name, ast.unparse(each) if each else "", node


def test_everything_is_caught_in_five_places_only() -> None:
    """The HTTP middleware, the call's owner, the tool runner, the agent's loader, `isolated`: each tells."""
    seen = {module for module, caught, _ in catchers() if caught == "Exception"}
    assert seen <= set(MAY_CATCH_EVERYTHING)


def test_what_is_not_an_error_is_never_kept() -> None:
    """``except BaseException`` tidies up and raises again; a bare ``except`` says nothing.

    What a tool or a hook raises is its own affair, ``exit()`` too; two files tell that from a cancelled task.
    """
    kept = [
        f"{module}:{handler.lineno}"
        for module, caught, handler in catchers()
        if caught in ("", "BaseException") and not isinstance(handler.body[-1], ast.Raise)
        if module not in ("agent.isolate", "agent.tools.runner")
    ]
    assert kept == []


def test_errors_are_not_suppressed_wholesale() -> None:
    seen = [
        f"{module.name}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] == "suppress"
        and any(ast.unparse(argument) in ("Exception", "BaseException") for argument in node.args)
    ]
    assert seen == []


def test_printing_is_for_the_command() -> None:
    seen = {
        module.name
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {name for name in seen if not under(name, "signaling.command.cli", "agent.emulator")} == set()


def test_clean_up_is_not_limited_by_a_timeout_that_cancelling_breaks() -> None:
    """Before Python 3.11.4 `asyncio.timeout` raises CancelledError there, if the task is being cancelled."""
    seen = [
        f"{module.name}:{node.lineno}"
        for module in MODULES
        for trying in ast.walk(module.tree)
        if isinstance(trying, ast.Try | ast.TryStar)
        for statement in trying.finalbody
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.timeout", "asyncio.timeout_at")
    ]
    assert seen == []


def test_nothing_is_raised_while_a_group_is_handled() -> None:
    """Before Python 3.11.4 what is raised inside ``except*`` comes out in a group of its own."""
    seen = [
        f"{module.name}:{node.lineno}"
        for module in (*MODULES, *load("tests"), *load("examples"))
        for handling in ast.walk(module.tree)
        if isinstance(handling, ast.TryStar)
        for handler in handling.handlers
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
    ]
    assert seen == []
