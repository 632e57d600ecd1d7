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
ASKS = frozenset(  # for the time, for chance, for anything outside the process
    {
        "asyncio", "concurrent", "datetime", "logging", "os", "pathlib", "random", "secrets", "select", "shutil",
        "signal", "socket", "subprocess", "tempfile", "threading", "time",
    }
)  # fmt: skip
ALL = ("*",)


@dataclass(frozen=True)
class Folder:
    """The rule of one folder; folders inside it have rules of their own.

    Attributes:
        knows: folders of ours that its files may import, besides itself and the ground floor.
        needs: packages of others that they may import.
        edge: the files that may ask for time, chance and I/O; every other file is pure. `ALL` if every file may.
    """

    knows: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    edge: tuple[str, ...] = ()


GROUND_FLOOR = "agent"
PUBLIC_FACE = "agent"  # what agents' files import, from all over the package
DOMAINS = ("agent.media", "agent.dialog", "agent.live", "agent.tools")
CALL = ("agent.call", "agent.author", *DOMAINS)
FOLDERS = {
    "agent": Folder(
        needs=("annotated_types", "pydantic", "pydantic_core", "pydantic_settings", "uvloop"),
        edge=("clock", "event_loop", "isolate", "settings"),
    ),
    "agent.author": Folder(("agent.tools",), needs=("jsonschema", "pydantic", "referencing"), edge=("load",)),
    "agent.call": Folder(
        ("agent.author", "agent.record", *DOMAINS),
        needs=("pydantic",),
        edge=(
            "briefing",
            "call",
            "farewell",
            "greeting",
            "hearing",
            "hooks",
            "host",
            "limits",
            "observers",
            "sessions",
            "speaking",
            "stats",
            "summary",
            "tool_calls",
        ),
    ),
    "agent.media": Folder(
        ("agent.media.tap",),
        needs=("aiortc", "av", "cffi", "numpy", "scipy"),
        edge=("inbound", "track", "video"),
    ),
    "agent.media.tap": Folder(
        ("agent.media",), needs=("aioice", "aiortc", "av", "pylibsrtp"), edge=("guard", "ice")
    ),
    "agent.dialog": Folder(),
    "agent.live": Folder(
        needs=("aiohttp", "google", "websockets"),  # aiohttp: what the SDK raises over HTTP
        edge=("connect", "departure", "link", "sender", "session", "summary", "uplink"),
    ),
    "agent.tools": Folder(
        needs=("mcp", "pydantic", "pydantic_core", "typing_extensions"), edge=("function", "mcp", "runner")
    ),
    "agent.replay": Folder(
        (
            "agent.call",
            "agent.dialog",
            "agent.emulator",
            "agent.emulator.wire",
            "agent.live",
            "agent.media",
            "agent.tools",
        ),
        needs=("aiortc", "numpy", "pydantic"),
        edge=("as_test", "file", "loop", "run", "writer"),
    ),
    "agent.record": Folder(needs=("av", "numpy"), edge=("file", "recorder", "repair")),
    # The emulator stands for a server on the other end of a wire: it shares no code with what it tests.
    "agent.emulator": Folder(
        ("agent.emulator.faults", "agent.emulator.model", "agent.emulator.wire"),
        needs=("aiohttp", "cryptography", "numpy", "typer"),
        edge=ALL,
    ),
    "agent.emulator.wire": Folder(),
    "agent.emulator.faults": Folder(
        ("agent.emulator", "agent.emulator.model", "agent.emulator.wire"),
        needs=("numpy",),
        edge=("hooks", "schedule", "script"),
    ),
    "agent.emulator.model": Folder(
        ("agent.emulator.wire",),
        needs=("av", "numpy", "pocketsphinx"),
        edge=("answers", "known", "render_pack", "speech", "transcribe", "turn", "voice"),
    ),
    "signaling": Folder(
        (
            *CALL,
            "agent.media.tap",
            "agent.record",
            "signaling.command",
            "signaling.dialects",
            "signaling.dialects.openai",
            "signaling.history",
            "signaling.http",
            "signaling.phone",
            "signaling.process",
            "signaling.traces",
            "signaling.webrtc",
        ),
        needs=("aiohttp",),
        edge=("app", "offline", "prices"),
    ),
    "signaling.webrtc": Folder(
        (*CALL, "agent.media.tap", "agent.record", "agent.replay", "signaling.http", "signaling.process"),
        needs=("aiortc",),
        edge=("admission", "calls", "client_leg", "leg", "offer", "peer", "summaries", "watch", "wiring"),
    ),
    "signaling.http": Folder(
        (
            "agent.call",
            "agent.media",
            "agent.media.tap",
            "agent.record",
            "signaling.dialects",
            "signaling.dialects.openai",
            "signaling.phone",
            "signaling.process",
            "signaling.webrtc",
        ),
        needs=("aiohttp", "aiortc", "itsdangerous", "prometheus_client"),
        edge=(
            "assets",
            "client_secrets",
            "connections",
            "ice",
            "kept_calls",
            "metrics",
            "origins",
            "pipecat",
            "problem",
            "tickets",
            "tokens",
        ),
    ),
    "signaling.dialects": Folder(
        ("agent.call", "agent.media", "agent.media.tap", "agent.record", "signaling.http", "signaling.webrtc"),
        needs=("aiortc",),
        edge=("channel", "rtvi"),
    ),
    "signaling.dialects.openai": Folder(
        ("agent.author", "agent.live", "agent.media", "agent.tools", "signaling.dialects", "signaling.webrtc"),
        needs=("aiortc",),
        edge=("functions", "talk"),
    ),
    "signaling.phone": Folder(
        ("agent.call", "agent.dialog", "agent.media", "agent.tools", "signaling.http", "signaling.webrtc"),
        needs=("aiohttp", "aiortc"),
        edge=("janus", "sip_call", "sip_line", "sip_setup", "stream", "twilio"),
    ),
    "signaling.client": Folder(
        ("agent.media", "signaling.webrtc"),
        needs=("aiohttp", "aiortc", "av", "numpy", "rich"),
        edge=("call", "caller", "camera", "dial", "files", "keyboard"),
    ),
    "signaling.load": Folder(
        (
            "agent.author",
            "agent.emulator",
            "agent.emulator.faults",
            "agent.emulator.model",
            "agent.live",
            "agent.media",
            "agent.media.tap",
            "signaling",
            "signaling.client",
            "signaling.webrtc",
        ),
        needs=(
            "aiohttp",
            "aiortc",
            "av",
            "numpy",
            "plotly",
            "prometheus_client",
            "pydantic",
            "pytest",
            "rich",
            "yaml",
        ),
        edge=(
            "arrivals",
            "camera",
            "generator",
            "impairment",
            "light",
            "microphone",
            "on_call",
            "page",
            "play",
            "player",
            "prepare",
            "processes",
            "pytest_fixtures",
            "relay",
            "run",
            "scenario_file",
            "scripted_call",
            "server",
            "tape",
            "target",
            "trial",
            "voices",
            "wheel",
        ),
    ),
    "signaling.command": Folder(
        (
            "agent.author",
            "agent.emulator",
            "agent.live",
            "agent.media",
            "agent.media.tap",
            "agent.record",
            "agent.replay",
            "signaling",
            "signaling.client",
            "signaling.history",
            "signaling.http",
            "signaling.load",
            "signaling.phone",
            "signaling.process",
            "signaling.traces",
        ),
        needs=("aiohttp", "aioice", "pydantic", "rich", "typer"),
        edge=("beyond", "calls", "cli", "doctor", "load", "scenarios"),
    ),
    "signaling.history": Folder(
        ("agent.record", "signaling.dialects", "signaling.http", "signaling.process", "signaling.webrtc"),
        needs=("aiohttp", "asyncpg", "obstore", "sqlalchemy", "standardwebhooks"),
        edge=(
            "complaints",
            "database",
            "deliver",
            "history",
            "http",
            "objects",
            "outbox",
            "recordings",
            "retention",
        ),
    ),
    "signaling.traces": Folder(
        ("agent.call", "signaling.dialects", "signaling.process", "signaling.webrtc"),
        needs=("opentelemetry",),
        edge=("export",),
    ),
    "signaling.process": Folder(("agent.call", "signaling.webrtc"), needs=("aiohttp",), edge=ALL),
}
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
        folder: where it is, dotted.
        file: its own name.
    """

    name: str
    tree: ast.Module
    folder: str
    file: str

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
        folder = ".".join(parts[:-1])
        modules.append(Module(name, ast.parse(path.read_text(encoding="utf-8")), folder, parts[-1]))
    return modules


MODULES = load("agent") + load("signaling")
FOLDER_OF = {module.name: module.folder for module in MODULES}


def folder_of(name: str) -> str:
    """Return the folder of the module that an import of ours names: ``a.b``, or ``a.b.what_is_in_it``."""
    return FOLDER_OF.get(name) or FOLDER_OF[name.rpartition(".")[0]]


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


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_each_file_keeps_to_the_rule_of_its_folder(module: Module) -> None:
    if module.name == PUBLIC_FACE:
        return
    assert module.folder in FOLDERS, f"{module.folder} has no rule in FOLDERS: which folders may it know?"
    rule = FOLDERS[module.folder]
    known = {GROUND_FLOOR, module.folder, *rule.knows}
    ours = {folder_of(name) for name in module.imports if under(name, "agent", "signaling")}
    assert ours - known == set(), "a folder that it must not know"
    others = {name.split(".")[0] for name in module.imports} - {"agent", "signaling", *sys.stdlib_module_names}
    assert others - set(rule.needs) == set(), "a package that this folder does without"
    if not (rule.edge == ALL or module.file in rule.edge):
        asked = {name.split(".")[0] for name in module.imports} & ASKS
        assert asked == set(), "it is pure: let it take the time, or what it reads, as an argument"


def test_what_stands_at_the_edge_has_to() -> None:
    """Each file that a rule excepts is there and asks for something."""
    asking = {
        f"{module.folder}.{module.file}" for module in MODULES if {n.split(".")[0] for n in module.imports} & ASKS
    }
    excepted = {f"{name}.{file}" for name, rule in FOLDERS.items() if rule.edge != ALL for file in rule.edge}
    assert excepted - asking == set()


def test_the_four_domains_never_import_each_other() -> None:
    assert [(one, other) for one in DOMAINS for other in DOMAINS if other in FOLDERS[one].knows] == []


def test_the_call_stays_small() -> None:
    """It runs, observes and routes; whatever else a call does is a part of its own."""
    assert len((ROOT / "agent/call/call.py").read_text(encoding="utf-8").splitlines()) < 300


def test_each_rule_is_used() -> None:
    """A rule names only folders that are imported and packages that are needed."""
    for name, rule in FOLDERS.items():
        imports = {imported for module in MODULES if module.folder == name for imported in module.imports}
        assert set(rule.knows) - {folder_of(i) for i in imports if under(i, "agent", "signaling")} == set(), name
        assert set(rule.needs) - {i.split(".")[0] for i in imports} == set(), name


def test_only_the_clock_reads_the_clock() -> None:
    assert found(importing("time"), inside=("agent",), outside=("agent.clock", "agent.emulator")) == []


def test_private_names_of_aiortc_are_for_the_taps() -> None:
    seen = [
        f"{module.name}:{node.lineno}"
        for module in MODULES
        if not under(module.name, "agent.media.tap")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, str) and MANGLED.match(node.value))
        or (isinstance(node, ast.Attribute) and MANGLED.match(node.attr))
    ]
    assert seen == []


def test_private_attributes_are_used_by_their_owner() -> None:
    """Of another object only what a class in the same file defines."""
    seen = []
    for module in MODULES:
        if under(module.name, "agent.media.tap"):
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


def test_no_test_module_imports_another_one() -> None:
    """What several tests share lies in tests/support."""
    shared = re.compile(r"^tests\..*\b(test_\w+|conftest)\b")
    seen = [
        f"{module.name}: {name}"
        for module in load("tests")
        for name in sorted(module.imports)
        if shared.match(name)
    ]
    assert seen == []
