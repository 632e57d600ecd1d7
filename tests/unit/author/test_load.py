"""An agent's file is loaded, or one sentence says why not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from agent import Agent
from agent.author.load import import_functions, load_agent
from agent.errors import ConfigError
from agent.settings import Settings

DEMO = Agent(instructions="demo")
GOOD = '''
from agent import Agent, CallContext, tool
import neighbour_of_the_agent

@tool(behavior="NON_BLOCKING")
def work(ctx: CallContext, n: int) -> int:
    """Work."""
    return n + neighbour_of_the_agent.ONE

agent = Agent(instructions="Be brief.", voice="Kore", greeting="Hi.", tools=[work])
other = Agent()
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "neighbour_of_the_agent.py").write_text("ONE = 1\ndef two() -> int: ...\n")
    (tmp_path / "json.py").write_text("PRICE = 1\n")
    return tmp_path


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "neighbour_of_the_agent", raising=False)


def test_an_agent_is_loaded_with_its_tools(folder: Path) -> None:
    agent = load_agent(write(folder, GOOD), (), DEMO)
    (work,) = agent.declared_tools()
    assert (work.name, work.description, work.context) == ("work", "Work.", "ctx")
    assert agent.greeting == "Hi."
    settings = agent.settings(Settings(language="de-DE"))
    assert (settings.system_instruction, settings.voice, settings.language) == ("Be brief.", "Kore", "de-DE")


def test_what_an_agent_leaves_open_is_the_settings(folder: Path) -> None:
    agent = load_agent(write(folder, GOOD) + ":other", (), DEMO)
    assert agent.settings(Settings(voice="Puck")) == Settings(voice="Puck")


def test_without_a_file_the_demo_answers() -> None:
    assert load_agent(None, (), DEMO).instructions == "demo"


def test_public_functions_of_a_file_are_tools(folder: Path) -> None:
    text = 'from neighbour_of_the_agent import two\ndef a(n: int) -> int:\n    "A."\n    return n\ndef _b(x): ...\n'
    (made,) = import_functions(Path(write(folder, text)))
    assert made.name == "a"
    agent = load_agent(write(folder, GOOD, "agent_file.py"), [folder / "mine.py"], DEMO)
    assert [tool.name for tool in agent.declared_tools()] == ["work", "a"]


ROOT = Path(__file__).parents[3]
BLOCKS = [
    block
    for page in (ROOT / "README.md", ROOT / "docs" / "agents.md")
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_manual_shows_can_be_served(folder: Path, block: str) -> None:
    agent = load_agent(write(folder, block), (), DEMO)
    assert agent.declared_tools() or agent.greeting or agent.mcp_servers


BAD = {
    "syntax": ("def a(:\n", ["mine.py, line 1", "SyntaxError"]),
    "failing": ("x = 1\n\nboom()\n", ["mine.py, line 3", "NameError", "boom"]),
    "exiting": ("raise SystemExit('no key')\n", ["mine.py, line 1", "no key"]),
    "missing module": ("import not_there_at_all\n", ["mine.py, line 1", "not_there_at_all"]),
    "nothing": ("x = 1\n", ["mine.py: there is no `agent` in it; write `agent = Agent(...)`"]),
    "another name": ("from agent import Agent\nbot = Agent()\n", ["did you mean", "mine.py:bot?"]),
    "no agent": ("agent = 3\n", ["`agent` is not an Agent but of type int; write `agent = Agent(...)`"]),
    "a class": ("from agent import Agent as agent\n", ["`agent` is not an Agent but the class itself; write"]),
    "hidden": (
        "from json import PRICE\n",
        ["mine.py, line 1: ImportError", "json.py beside it was not used", "rename it"],
    ),
    "broken neighbour": ("from neighbour_of_the_agent import three\n", ["cannot import name 'three'"]),
    "untyped": (
        "from agent import Agent\ndef f(city): ...\nagent = Agent(tools=[f])\n",
        ["mine.py, line 2", "f:", "city has no type"],
    ),
    "twice": (
        "from agent import Agent\ndef f() -> None: ...\nagent = Agent(tools=[f, f])\n",
        ["two tools called f"],
    ),
}


def test_a_broken_neighbour_is_not_said_to_be_hidden(folder: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_agent(write(folder, BAD["broken neighbour"][0]), (), DEMO)
    assert "rename" not in str(refused.value)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_in_one_line(folder: Path, what: str) -> None:
    text, words = BAD[what]
    with pytest.raises(ConfigError) as refused:
        load_agent(write(folder, text), (), DEMO)
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_are_none(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_agent(str(folder / "missing.py"), (), DEMO)
    with pytest.raises(ConfigError, match=r"it is a folder; name a file in it"):
        load_agent(str(folder), (), DEMO)
    with pytest.raises(ConfigError, match=r"a name is missing after the colon; did you mean .*:agent"):
        load_agent(write(folder, GOOD) + ":", (), DEMO)
    with pytest.raises(ConfigError, match="must end in"):
        load_agent(write(folder, "x = 1", "agent.txt"), (), DEMO)
    with pytest.raises(ConfigError, match="no public function"):
        import_functions(Path(write(folder, "x = 1\n")))
