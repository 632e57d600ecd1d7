"""The alerts and the dashboard in `deploy/` against Prometheus's and Grafana's own tools, and real metrics."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from signaling.load.server import WANTED, read_metrics
from tests.support.line import on_line

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "deploy" / "prometheus" / "talkspurt.rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "talkspurt.json"
DOCS = ROOT / "docs" / "metrics.md"
PROMTOOL = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
NAME = re.compile(r"\btalkspurt_\w+")
HISTOGRAM_PARTS = ("_bucket", "_count", "_sum")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="no promtool here: `sh deploy/system-packages.sh test` unpacks it from Debian's package",
)


def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run(
        [PROMTOOL, *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def expressions(of: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in of["panels"] for target in panel.get("targets", ())]


def misunderstood(given: Any, understood: Any, where: str = "") -> Iterator[str]:
    """Yield what of a JSON value is not in another."""
    if isinstance(given, dict) and isinstance(understood, dict):
        for key, value in given.items():
            if key in understood:
                yield from misunderstood(value, understood[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}"
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        for number, (one, other) in enumerate(zip(given, understood, strict=True)):
            yield from misunderstood(one, other, f"{where}[{number}]")
    elif given != understood:
        yield where


def unknown_to_grafana(of: dict[str, Any]) -> list[str]:
    """Return the keys of a dashboard that Grafana's schema does not have."""
    plugins.register_default_plugins()
    understood = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(of)))
    return list(misunderstood(of, understood))


def as_rules(expressions: list[str]) -> str:
    """Return expressions of panels as recording rules, which promtool reads; JSON is YAML."""
    plain = [each.replace("$__rate_interval", "5m").replace("$instance", ".*") for each in expressions]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    return json.dumps({"groups": [{"name": "panels", "rules": rules}]})


async def real_metrics() -> str:
    async with on_line() as line:
        await line.hears()
        async with aiohttp.ClientSession() as http, http.get(f"{line.url}metrics") as response:
            return await response.text()


def families(metrics: str) -> dict[str, str]:
    """Return the kind of each metric by its name."""
    found = dict(re.findall(r"^# TYPE (talkspurt_\w+) (\w+)$", metrics, re.MULTILINE))
    return {name: kind for name, kind in found.items() if not name.endswith("_created")}


def series(metrics: str) -> set[str]:
    """Return the names that an expression may use."""
    names: set[str] = set()
    for name, kind in families(metrics).items():
        names.update(name + part for part in HISTOGRAM_PARTS) if kind == "histogram" else names.add(name)
    return names


@needs_promtool
def test_the_rules_are_valid_and_do_what_their_test_says() -> None:
    for check in (("check", "rules", str(RULES)), ("check", "config", str(RULES.with_name("prometheus.yml")))):
        checked = promtool(*check)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", str(RULES.with_name("talkspurt.rules.test.yml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_the_test_of_the_rules_can_fail(tmp_path: Path) -> None:
    changed = RULES.read_text(encoding="utf-8").replace("histogram_quantile(0.95", "histogram_quantile(0.5")
    (tmp_path / RULES.name).write_text(changed, encoding="utf-8")
    shutil.copy(RULES.with_name("talkspurt.rules.test.yml"), tmp_path)
    assert promtool("test", "rules", str(tmp_path / "talkspurt.rules.test.yml")).returncode == 1


def test_every_alert_has_a_test_and_says_what_to_do() -> None:
    rules, tests = (
        RULES.read_text(encoding="utf-8"),
        RULES.with_name("talkspurt.rules.test.yml").read_text(encoding="utf-8"),
    )
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) == len(set(alerts)) > 10
    assert [alert for alert in alerts if alert not in tests] == []
    for part in ("severity:", "summary:", "description:"):
        assert rules.count(part) - (part == "severity:" and "`severity:" in rules) == len(alerts)


def test_grafana_understands_the_whole_dashboard() -> None:
    assert unknown_to_grafana(dashboard()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda board: board["panels"][1].update(gridpos={}),
        lambda board: board["panels"][1]["fieldConfig"]["defaults"].update(units="s"),
        lambda board: board["templating"]["list"][0].update(lable="x"),
        lambda board: board["time"].update(until="now"),
    ],
)
def test_a_typo_in_the_dashboard_is_found(spoil: Callable[[dict[str, Any]], None]) -> None:
    spoiled = copy.deepcopy(dashboard())
    spoil(spoiled)
    assert len(unknown_to_grafana(spoiled)) == 1


@needs_promtool
def test_the_panels_ask_what_prometheus_can_answer(tmp_path: Path) -> None:
    file = tmp_path / "panels.yml"
    file.write_text(as_rules(expressions(dashboard())), encoding="utf-8")
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    file.write_text(as_rules([expressions(dashboard())[0] + ")"]), encoding="utf-8")
    assert promtool("check", "rules", str(file)).returncode != 0


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    identities = [panel["id"] for panel in dashboard()["panels"]]
    assert len(identities) == len(set(identities))


async def test_what_is_asked_for_and_told_of_is_there() -> None:
    metrics = await real_metrics()
    there = series(metrics)
    asked = expressions(dashboard()) + re.findall(
        r"expr: (.*?)\n(?:        \w|      -)", RULES.read_text(), re.DOTALL
    )
    named = {name for expression in asked for name in NAME.findall(expression)}
    assert named - there == set(), "metrics that the service does not have"
    shown = {name for name in families(metrics) if any(name in each for each in named)}
    assert set(families(metrics)) - shown == set(), "metrics that neither a panel nor an alert uses"

    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `talkspurt_")]
    rows = [line.strip("| ").split(" | ") for line in lines]
    assert all(len(row) == 3 and all(cell.strip() for cell in row) for row in rows), "a metric without a use"
    told = [name for row in rows for name in NAME.findall(row[0])]
    assert sorted(told) == sorted(families(metrics))
    labels = {
        name: set(given.split(",")) for row in rows for name, given in re.findall(r"(\w+)\{([\w,]+)\}", row[0])
    }
    for name, given in re.findall(r"^(talkspurt_\w+)\{(.*)\} ", metrics, re.MULTILINE):
        family = re.sub(r"_(bucket|count|sum|created)$", "", name) if name not in told else name
        assert set(re.findall(r'(\w+)="', given)) - {"le"} == labels.get(family, set()), name


async def test_a_load_test_finds_what_it_reads() -> None:
    scrape = read_metrics(await real_metrics(), at=0.0)
    assert set(WANTED.values()) - {"refused"} == set(scrape.values)  # nobody was refused: there is no series yet
    assert scrape.values["cpu_s"] > 0
    assert scrape.values["memory_bytes"] > 1e7
    assert scrape.lag


@needs_promtool
async def test_prometheus_has_no_objection_to_the_metrics() -> None:
    checked = promtool("check", "metrics", text=await real_metrics())
    assert checked.returncode == 0, checked.stdout + checked.stderr
