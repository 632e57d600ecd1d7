"""A load test against a service whose delays, losses and refusals are known: the report says what was put in."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from signaling.load import report as reports
from signaling.load import trial as trials
from signaling.load.arrivals import Arrivals
from signaling.load.generator import Generator, Now, Plan
from signaling.load.light import LightCaller
from signaling.load.player import Script
from signaling.load.prepare import scripts_of
from signaling.load.processes import generate
from signaling.load.report import build
from signaling.load.scenario_text import parse_scenarios
from signaling.load.slo import Objective, objectives
from signaling.load.trial import Trial, search
from signaling.load.wheel import BUCKET_S, Wheel
from tests.support.known_service import Behaviour, Happened, KnownService, known_service

TALK = """
steps:
  - wait_for_reply
  - say: hello
  - wait_for_reply
  - say: hello
  - barge_in: {after_ms: 300, say: please stop}
  - wait_for_reply
"""
ASK = "steps: [{say: hello}, {wait_for_reply: {within_s: 3}}]"
MAX_ERROR_MS = 5.0
CODEC_MS = 2.5  # the low-delay mode of Opus plays everything so much later


async def scripts(text: str) -> list[Script]:
    return await scripts_of(parse_scenarios(text, "test", name="test"))


def plan(url: str, calls: int, *, duration_s: float | None = None, ramp_s: float = 0.5) -> Plan:
    return Plan(url, None, calls, Arrivals.CONSTANT, ramp_s, duration_s, (1.0,), 1)


async def load(service: KnownService, text: str, calls: int, *, ramp_s: float = 0.5) -> dict[str, Any]:
    done = await Generator(plan(service.url, calls, ramp_s=ramp_s), await scripts(text)).run()
    return build(done, (), objectives({}), {"url": service.url})


def assert_right(report: dict[str, Any], happened: Happened, network_ms: Mapping[str, float]) -> None:
    """Compare each figure's lowest value, to which a busy machine adds the least, with what was put in."""
    # A generator that is later than the promise says so in its report.
    allowed_ms = max(MAX_ERROR_MS, report["generator"]["late_p99_ms"])
    for name, by_network_ms in network_ms.items():
        put_in = getattr(happened, name)
        measured = [value for call in report["calls"] for value in call["figures"].get(name, ())]
        assert len(measured) == len(put_in) > 0
        codec_ms = 0.0 if name == "set_up_ms" else CODEC_MS
        error_ms = min(measured) - min(put_in) - codec_ms - by_network_ms
        assert abs(error_ms) <= allowed_ms, (name, measured, put_in)


async def test_the_report_says_what_was_put_in() -> None:
    behaviour = Behaviour(reply_frames=60, lost=3, late=2, refuse=3, transcript="please")
    async with known_service(behaviour) as service:
        report = await load(service, TALK, 6, ramp_s=2.0)
    happened, counts = service.happened, report["counts"]
    assert (counts["offered"], counts["failed"], report["outcomes"]["refused 503"]) == (6, 2, happened.refused)
    assert counts["completed"] == 4 == happened.deleted
    assert counts["lost_packets"] == happened.lost > 0
    assert counts["late_packets"] >= happened.late > 0
    if report["generator"]["late_max_ms"] < 30 and not happened.behind:  # else this machine was late by itself
        assert counts["late_packets"] == happened.late
    assert (counts["words"], counts["missing_words"]) == (16, 12)  # of "hello hello please stop" only one was heard
    assert counts["missing_replies"] == 0
    assert_right(report, happened, dict.fromkeys(("set_up_ms", "greeting_ms", "response_ms", "stop_ms"), 0.0))
    assert min(happened.set_up_ms) >= 1e3 * behaviour.media_s
    assert min(happened.response_ms) >= 1e3 * behaviour.response_s - 2
    assert 100 < min(happened.stop_ms) <= 1e3 * behaviour.stop_s


async def test_a_networks_delay_is_in_what_its_caller_hears() -> None:
    network = "network: {up: {delay_ms: 60}, down: {delay_ms: 40}}"
    async with known_service(Behaviour(reply_frames=60)) as service:
        report = await load(service, network + TALK, 2)
    assert report["counts"]["lost_packets"] == report["counts"]["missing_replies"] == 0
    both = {"set_up_ms": 40.0, "greeting_ms": 40.0, "response_ms": 100.0, "stop_ms": 100.0}
    assert_right(report, service.happened, both)


async def test_an_agent_that_says_nothing_misses_every_answer() -> None:
    async with known_service(Behaviour(silent=True, greeting_s=None)) as service:
        report = await load(service, ASK, 2)
    assert report["counts"]["missing_replies"] == 2
    figure = report["figures"]["response_ms"]
    assert (figure["count"], figure["missing"], figure["p50"]) == (2, 2, None)
    rows = {row["name"]: row["verdict"] for row in report["slos"]}
    assert rows["missing_replies"] in ("fail", "invalid")


async def test_every_delay_of_the_clock_is_noted_whoevers_turn_it_is() -> None:
    class Rider:
        def tick(self, _now: float) -> None:
            pass

    wheel = Wheel()
    wheel.join(Rider())  # nine of ten times it is nobody's turn
    turning = asyncio.create_task(wheel.run())
    for number in range(10):
        await asyncio.sleep(0.04 + 0.002 * number)
        time.sleep(0.15)  # noqa: ASYNC251 - that is the point
    await asyncio.sleep(0.05)
    turning.cancel()
    assert sum(wheel.lateness.counts[round(0.1 / BUCKET_S) :]) >= 10


async def test_a_clock_that_stops_ends_the_test_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_caller: LightCaller, _now: float) -> None:
        raise RuntimeError("a caller that cannot be ticked")

    monkeypatch.setattr(LightCaller, "tick", broken)
    async with known_service(Behaviour(greeting_s=None)) as service:
        with pytest.raises(RuntimeError, match="cannot be ticked"):
            await Generator(plan(service.url, 1), await scripts(ASK)).run()


async def test_a_generator_that_is_kept_from_its_core_says_that_nothing_is_known() -> None:
    async def hog() -> None:
        while True:
            await asyncio.sleep(0.05)
            time.sleep(0.1)  # noqa: ASYNC251 - that is the point

    async with known_service(Behaviour(greeting_s=None)) as service:
        hogging = asyncio.create_task(hog())
        report = await load(service, ASK, 2)
        hogging.cancel()
    assert (report["verdict"], report["exit_code"]) == ("invalid", 3)
    assert "late" in report["invalid"]
    assert {row["verdict"] for row in report["slos"]} == {"invalid"}


@asynccontextmanager
async def service_process() -> AsyncIterator[tuple[str, int]]:
    """Run a known service as a process of its own; yields its address and process id."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.known_service", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.kill()
        await process.wait()


async def test_a_service_that_is_kept_from_its_core_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LATE_P99_MS", 1e6)  # whatever this machine does meanwhile

    async def hog(pid: int) -> None:
        while True:
            await asyncio.sleep(0.3)
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0.3)
            os.kill(pid, signal.SIGCONT)

    async with service_process() as (url, pid):
        hogging = asyncio.create_task(hog(pid))
        try:
            done = await Generator(plan(url, 2), await scripts(ASK)).run()
        finally:
            hogging.cancel()
            os.kill(pid, signal.SIGCONT)
    report = build(done, (), objectives({"late_pct": 5.0}), {})
    late = next(row for row in report["slos"] if row["name"] == "late_pct")
    assert (late["verdict"], report["verdict"], report["exit_code"]) == ("fail", "failed", 1), report["counts"]


async def test_the_capacity_is_what_the_service_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LATE_P99_MS", 1e6)  # whatever this machine does meanwhile
    monkeypatch.setattr(trials, "PAUSE_S", 0.1)
    told: list[str] = []
    async with known_service(Behaviour(greeting_s=None, most=3)) as service:
        trial = Trial(
            plan(service.url, 2),
            await scripts("steps: [{silent: 1.5}]"),
            [Objective("set_up_pct", 99.5)],
            processes=1,
            by_rate=False,
            load=2,
            ramp_s=0.2,
            seconds=None,
        )
        found = await search(trial, asyncio.Event(), lambda _now: None, repeat=1, told=told.append)
    assert (found.held, found.limits, found.lowest_failed, found.highest_held) == (3, ["set_up_pct"], 4, 3)
    assert [line.partition(":")[0] for line in told] == ["2", "4", "3"]
    assert "set_up_pct 75" in told[1]


async def test_several_processes_do_what_one_does() -> None:
    async with known_service(Behaviour(greeting_s=None)) as service:
        seen: list[Now] = []
        done = await generate(plan(service.url, 5), await scripts(ASK), 2, asyncio.Event(), seen.append)
    report = build(done, (), objectives({}), {})
    assert report["counts"]["completed"] == 5 == service.happened.deleted
    assert [record.number for record in done.records] == [0, 1, 2, 3, 4]
    assert report["counts"]["replies_wanted"] == 5
    assert report["generator"]["packets"] > 0
    assert max(now.offered for now in seen) <= 5


async def test_callers_call_again_until_the_time_is_up_and_then_hang_up() -> None:
    async with known_service(Behaviour(greeting_s=None)) as service:
        done = await Generator(plan(service.url, 2, duration_s=4.0), await scripts(ASK)).run()
        report = build(done, (), objectives({}), {})
        assert service.happened.deleted == service.happened.offers  # nobody was left on the line
    counts = report["counts"]
    assert counts["offered"] + counts["stopped"] >= 4
    assert counts["completed"] >= 2
    assert counts["dropped"] == counts["failed"] == 0


async def test_nobody_misses_an_answer_to_what_the_end_of_the_test_cut_off() -> None:
    text = "steps: [{say: hello}, wait_for_reply, {tone: {hz: 440, for_ms: 20000}}, wait_for_reply]"
    async with known_service(Behaviour(greeting_s=None)) as service:
        done = await Generator(plan(service.url, 1, duration_s=4.0), await scripts(text)).run()
    [record] = done.records
    assert record.outcome == "stopped"
    assert len(record.turns) == 1
    assert build(done, (), objectives({}), {})["counts"]["missing_replies"] == 0


async def test_ctrl_c_ends_a_test_with_a_report(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    page = tmp_path / "report.html"
    async with known_service(Behaviour(greeting_s=None)) as service:
        command = (
            *(sys.executable, "-m", "signaling", "load", service.url, "--calls", "2", "--duration", "300"),
            *("--scenario", "smoke", "--json", str(file), "--html", str(page)),
        )
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(60):
            while service.happened.deleted < 2:  # noqa: ASYNC110 - the service is a double, and knows no events
                await asyncio.sleep(0.1)
            process.send_signal(signal.SIGINT)
            said, _ = await process.communicate()
        assert service.happened.deleted == service.happened.offers
    assert process.returncode in (0, 1, 3), said.decode()
    report = json.loads(file.read_text())
    assert report["about"]["stopped_early"]
    assert report["counts"]["completed"] >= 2
    assert report["exit_code"] == process.returncode
    assert b"verdict: " in said
    assert "<script" in page.read_text()
