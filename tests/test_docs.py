"""Every verb and setting is documented as it is, and no link is broken."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from pydantic import AliasChoices
from typer.models import CommandInfo

from agent.live.languages import LANGUAGES
from agent.live.models import MODELS
from agent.live.voices import VOICES
from agent.settings import ENV_PREFIX, GROUPS, Settings
from signaling.command.cli import app
from signaling.dialects.openai.asked import COMMANDS
from tests.survival import registry

ROOT = Path(__file__).parent.parent
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = sorted(ROOT.glob("*.md")) + DOCS
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ALIKE_CHARS = 50  # of rows that are about different things, not so many are the same


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def relative_links(page: Path) -> list[str]:
    links = [link.partition("#")[0] for link in LINK.findall(prose(page))]
    return [link for link in links if link and not re.match(r"[a-z]+:", link)]


def verb(command: CommandInfo) -> str:
    assert command.callback is not None
    return command.name or command.callback.__name__.replace("_", "-")


def commands(of: typer.Typer, before: str = "") -> dict[str, CommandInfo]:
    """Return the verbs of the command, and those of its groups, such as ``calls list``."""
    found = {before + verb(command): command for command in of.registered_commands}
    for group in of.registered_groups:
        assert group.typer_instance is not None
        name = group.name or group.typer_instance.info.name
        assert isinstance(name, str)
        found |= commands(group.typer_instance, f"{before}{name} ")
    return found


VERBS = commands(app)


def test_the_verbs_of_groups_are_known() -> None:
    assert {"serve", "calls list", "calls erase"} <= VERBS.keys()


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_documented(name: str) -> None:
    assert any(f"talkspurt {name}" in page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *DOCS])


@pytest.mark.parametrize("command", VERBS.values(), ids=VERBS)
def test_every_verb_says_what_it_does(command: CommandInfo) -> None:
    assert command.help or (command.callback is not None and command.callback.__doc__)


class Row(NamedTuple):
    """One line of a table of docs/settings.md."""

    name: str
    variables: str
    default: str
    unit: str
    reason: str


def rows() -> list[Row]:
    lines = SETTINGS_PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines if line.startswith("| `")]
    return [Row(*row) for row in cells]


def variables(name: str) -> list[str]:
    """Return the environment variables of a setting as they are to be shown."""
    alias = Settings.model_fields[name].validation_alias
    if not isinstance(alias, AliasChoices):
        return [f"{ENV_PREFIX}{name.upper()}"]
    return [choice for choice in alias.choices if isinstance(choice, str) and choice.isupper()]


def shown_default(name: str) -> str:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    if value is None:
        return "unset"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value).removesuffix('.0')}`"


def test_the_settings_page_has_each_setting_once_in_order() -> None:
    assert [row.name.strip("`") for row in rows()] == list(Settings.model_fields)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name.strip("`"))
def test_a_setting_is_shown_as_it_is(row: Row) -> None:
    name = row.name.strip("`")
    assert re.findall(r"`([A-Z_]+)`", row.variables) == variables(name)
    assert row.default == shown_default(name)
    assert (row.unit == "s") == name.endswith("_s")
    assert row.reason.endswith(".")


def test_every_page_is_reached_from_the_readme_or_the_architecture() -> None:
    doors = [page for page in PAGES if page.name in ("README.md", "ARCHITECTURE.md")]
    linked = {(page.parent / link).resolve() for page in doors for link in relative_links(page)}
    assert [page.name for page in DOCS if page.resolve() not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in relative_links(page) if not (page.parent / link).exists()] == []


def test_the_page_of_faults_is_what_the_tests_say() -> None:
    """To make it again: `python -m tests.survival.registry > docs/faults.md`."""
    assert (ROOT / "docs" / "faults.md").read_text(encoding="utf-8") == registry.page()


PATH = re.compile(r"`((?:agent|deploy|docs|examples|signaling|tests|web)/[\w./-]+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """The changelog tells of former times."""
    named = [] if page.name == "CHANGELOG.md" else PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def headings() -> dict[str, str]:
    """Return the heading over each group of settings by the group's first setting."""
    found, heading = {}, ""
    for line in SETTINGS_PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("| `") and heading:
            found[line.split("`")[1]] = heading
            heading = ""
    return found


def test_the_settings_page_has_the_groups_of_the_command() -> None:
    assert list(headings().items())[: len(GROUPS)] == list(GROUPS.items())


def test_every_voice_and_model_is_on_a_page() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert [
        name for name, character in VOICES.items() if not re.search(rf"\| {character} \|.*\b{name}\b", page)
    ] == []
    assert [name for name in MODELS if name not in page] == []


def test_every_language_is_on_a_page() -> None:
    page = " ".join((ROOT / "docs" / "models.md").read_text(encoding="utf-8").split())
    assert [code for code, name in LANGUAGES.items() if f"{name} `{code}`" not in page] == []


def test_nothing_says_to_install_what_no_index_has() -> None:
    """The distribution is not published, and others own the names of its packages."""
    files = [*PAGES, *ROOT.glob("agent/**/*.py"), *ROOT.glob("signaling/**/*.py"), *ROOT.glob("examples/*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert re.findall(r"""(?:pip|pipx|uv) (?:tool )?install ["']?(?:talkspurt|agent|signaling)\b.*""", text) == []


class Feature(NamedTuple):
    """One line of the table of docs/features.md."""

    number: str
    what: str
    how: str
    tests: str


def features() -> list[Feature]:
    lines = (ROOT / "docs" / "features.md").read_text(encoding="utf-8").splitlines()
    return [
        Feature(*(cell.strip() for cell in line[1:-1].split("|"))) for line in lines if re.match(r"\| \d+ \|", line)
    ]


def importable(name: str) -> bool:
    """Tell whether a dotted name is a module of ours, or something in one."""
    if not name.startswith(("agent.", "signaling.")):
        return False
    module, rest = name, list[str]()
    while module:
        try:
            found: object = importlib.import_module(module)
        except ImportError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
            continue
        for part in rest:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def with_its_commands(command: Any) -> Iterator[Any]:
    """Yield a command, and if it is a group, those in it."""
    yield command
    if isinstance(command, typer.core.TyperGroup):
        for each in command.commands.values():
            yield from with_its_commands(each)


def flags() -> set[str]:
    options = [option for command in with_its_commands(typer.main.get_command(app)) for option in command.params]
    return {name.strip() for option in options for name in (*option.opts, *option.secondary_opts)}


def exists(name: str, known_flags: set[str]) -> bool:
    if name.startswith("--"):
        return name in known_flags
    if name.startswith("#"):
        return f'id="{name[1:]}"' in (ROOT / "web" / "index.html").read_text(encoding="utf-8")
    messages = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    documented = re.search(
        rf'^\| .*(`{re.escape(name)}`|"(?:t|type)": "{re.escape(name)}")', messages, re.MULTILINE
    )
    return name in Settings.model_fields or bool(documented) or importable(name)


def has_test(name: str) -> bool:
    file, _, function = name.partition("::")
    path = ROOT / file
    return path.is_file() and bool(
        re.search(rf"^(async )?def {function}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


def test_the_features_are_numbered() -> None:
    assert [feature.number for feature in features()] == [str(number) for number in range(1, 57)]


@pytest.mark.parametrize("feature", features(), ids=lambda feature: f"feature-{feature.number}")
def test_a_feature_is_there_and_tested(feature: Feature) -> None:
    known_flags = flags()
    doing, showing = re.findall(r"`([^`]+)`", feature.how), re.findall(r"`([^`]+)`", feature.tests)
    assert doing
    assert showing
    assert [name for name in doing if not exists(name, known_flags)] == []
    assert [name for name in showing if not has_test(name)] == []


@pytest.mark.parametrize(
    "name",
    ["agent.nothing", "agent.Agent.nothing", "agent.nothing.Agent", "agnt", "--nothing", "no-message", "#nothing"],
)
def test_what_does_not_exist_would_be_noticed(name: str) -> None:
    assert not exists(name, flags())
    assert not has_test(f"tests/test_docs.py::{name}")


def test_each_event_of_openais_api_is_on_the_page_of_the_clients() -> None:
    page = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    transcripts = (ROOT / "tests" / "data" / "openai").glob("*.txt")
    told = {
        json.loads(line[2:])["type"]
        for path in transcripts
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("<")
    }
    assert "response.done" in told
    assert [kind for kind in sorted(told | COMMANDS.keys()) if f"`{kind}`" not in page] == []


def test_each_client_on_the_page_of_clients_is_tried() -> None:
    """Each row of the first table names tests that are there, and each test of a client is on the page."""
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    rows = [
        line for line in text.partition("| --- |")[2].partition("\n\n")[0].splitlines() if line.startswith("| ")
    ]
    assert rows
    assert [row for row in rows if not re.search(r"`tests/[^`]+::", row)] == []
    assert [name for name in re.findall(r"`(tests/[^`]+::[^`]+)`", text) if not has_test(name)] == []
    for page in (ROOT / "tests" / "e2e").glob("test_*_client*.py"):
        for test in re.findall(r"^async def (test_\w+)", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert f"{page.relative_to(ROOT)}::{test}" in text


def tables(page: Path) -> list[list[str]]:
    """Return the rows of each table."""
    found: list[list[str]] = [[]]
    for line in prose(page).splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_two_rows_of_a_table_begin_alike(page: Path) -> None:
    """Rows that say the same thing twice come from merges, and will contradict each other one day."""
    beginnings = [[row[:ALIKE_CHARS] for row in table] for table in tables(page)]
    assert [row for table in beginnings for row in set(table) if table.count(row) > 1] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_heading_stands_twice_in_its_chapter(page: Path) -> None:
    for chapter in re.split(r"^## ", prose(page), flags=re.MULTILINE):
        found = re.findall(r"^### .*$", chapter, re.MULTILINE)
        assert len(found) == len(set(found))


def layout() -> str:
    """Return what ARCHITECTURE.md says of the folders."""
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return page.partition("## Layout and direction\n")[2].partition("\n## ")[0]


def test_the_layout_names_each_folder_once() -> None:
    folders = re.findall(r"^ +(\w+)/ ", layout(), re.MULTILINE)
    assert sorted(folders) == sorted(set(folders))


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 140


def test_no_two_lines_of_the_architecture_begin_alike() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    beginnings = [line.strip()[:30] for line in page.splitlines() if len(line) > 30 and not line.startswith("|")]
    assert [each for each in set(beginnings) if beginnings.count(each) > 1] == []


def test_the_layout_names_every_module() -> None:
    modules = [
        file
        for package in ("agent", "signaling")
        for file in ROOT.glob(f"{package}/**/*.py")
        if "__" not in file.name and "emulator" not in file.parts
    ]
    named = set(re.findall(r"\w+", layout()))
    assert [str(file.relative_to(ROOT)) for file in modules if file.stem not in named] == []
