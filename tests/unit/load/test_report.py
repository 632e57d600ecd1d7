"""Records as a report, and the report as a page."""

from __future__ import annotations

import json
from typing import Any

from signaling.load.figures import FIGURES
from signaling.load.generator import Generated, Sample
from signaling.load.hearing import Talk
from signaling.load.page import page
from signaling.load.record import COMPLETED, STOPPED, CallRecord, Turn
from signaling.load.report import LATE_P99_MS, build
from signaling.load.server import Scrape
from signaling.load.slo import objectives


def call(number: int, outcome: str = COMPLETED, scenario: str = "a", **more: Any) -> CallRecord:
    at = 100.0 + number
    up = {"answered_at": at + 0.1, "connected_at": at + 0.2, "first_packet_at": at + 0.25, "ended_at": at + 20}
    return CallRecord(number, scenario, at, outcome=outcome, **up | {"received": 500} | more)


def refused(number: int) -> CallRecord:
    return CallRecord(number, "a", 100.0 + number, ended_at=100.1 + number, outcome="refused 503", detail="full")


def generated(*records: CallRecord, late_s: float = 0.001) -> Generated:
    done = Generated(100.0, 160.0, list(records), [Sample(101.0, 1, 1.0, 2.0, 5.0)], cpu_s=6.0)
    done.lateness.note(late_s, 1000)
    return done


def report(*records: CallRecord, late_s: float = 0.001, scrapes: tuple[Scrape, ...] = (), **slos: float) -> Any:
    about = {"url": "http://x/", "started": "now", "summary": "test", "seed": 0}
    return build(generated(*records, late_s=late_s), scrapes, objectives(slos), about)


def test_every_call_is_counted_once() -> None:
    made = report(
        call(0), call(1, lost=5, late=2, received=495), call(2, "connection lost"), call(3, STOPPED), refused(4),
        CallRecord(5, "a", 105.0, outcome=STOPPED),
    )  # fmt: skip
    counts = made["counts"]
    assert (counts["offered"], counts["set_up"], counts["completed"]) == (5, 4, 2)
    assert (counts["failed"], counts["dropped"], counts["stopped"]) == (1, 1, 2)
    assert (counts["set_up_pct"], counts["completed_pct"]) == (80.0, 66.6667)
    assert (counts["packets"], counts["lost_packets"], counts["late_packets"]) == (1995, 5, 2)
    assert (counts["lost_pct"], counts["late_pct"]) == (0.25, 0.1003)
    assert made["outcomes"] == {COMPLETED: 2, STOPPED: 2, "connection lost": 1, "refused 503": 1}
    assert (made["verdict"], made["exit_code"]) == ("failed", 1)


def test_a_good_test_passes_and_a_late_generator_says_nothing() -> None:
    assert report(call(0))["verdict"] == "passed"
    late = report(refused(0), late_s=2 * LATE_P99_MS / 1000)
    assert (late["verdict"], late["exit_code"]) == ("invalid", 3)
    assert {row["verdict"] for row in late["slos"]} == {"invalid"}
    assert report()["exit_code"] == 3  # nobody called


def test_figures_stand_for_each_scenario_and_where_they_were_measured() -> None:
    turns: dict[str, Any] = {"turns": [Turn(110.0, 111.0, wants_reply=True)], "talks": [Talk(111.5, 112.0)]}
    made = report(
        call(0, **turns), call(1, scenario="b", turns=[Turn(110.0, 111.0, wants_reply=True)], ended_at=140.0)
    )
    assert made["figures"]["response_ms"]["count"] == 2
    assert made["counts"]["missing_replies"] == 1
    assert made["by_scenario"]["a"]["figures"]["response_ms"]["p50"] == 500.0
    assert made["by_scenario"]["b"]["counts"]["missing_replies"] == 1
    slices = {
        row["at_s"]: row["figures"]["response_ms"] for row in made["over_time"] if "response_ms" in row["figures"]
    }
    assert {at: (spread["count"], spread["missing"]) for at, spread in slices.items()} == {
        11.0: (1, 0),
        26.0: (1, 1),
    }


def test_the_services_own_figures_are_differences() -> None:
    scrapes = (
        Scrape(101.0, {"cpu_s": 1.0, "memory_bytes": 1e8, "calls": 1.0, "refused": 0.0}, {0.01: 10.0}),
        Scrape(103.0, {"cpu_s": 2.0, "memory_bytes": 1e8, "calls": 2.0, "refused": 3.0}, {0.01: 20.0}),
    )
    [row] = report(call(0), scrapes=scrapes)["server"]
    assert row == {
        "at_s": 3.0, "cpu_pct": 50.0, "memory_mb": 100.0, "loop_lag_p95_ms": 10.0, "calls": 2, "refused": 3,
    }  # fmt: skip


def test_a_caller_costs_what_the_generator_used_for_its_time_on_the_line() -> None:
    made = report(call(0), call(1))  # 19.8 s each, 6 s of processor time
    assert made["generator"]["cpu_pct_per_call"] == round(100 * 6 / 39.6, 3)


def test_a_call_without_a_word_has_a_timeline() -> None:
    [shown] = report(call(0, turns=[]))["calls"]
    assert (shown["offered_at_s"], shown["ended_at_s"], shown["turns"]) == (0.0, 20.0, [])


def test_the_page_holds_the_report_and_nothing_of_it_is_markup() -> None:
    hostile = "</script><script>alert(1)</script>/*plotly*/"
    made = report(call(0, hostile, detail=hostile, scenario=hostile))
    text = page(made, "PROGRAM")
    assert hostile not in text
    assert text.count("PROGRAM") == 1
    start = '<script type="application/json" id="report">'
    assert json.loads(text.partition(start)[2].partition("</script>")[0]) == made
    assert set(made["titles"]) == {figure.name for figure in FIGURES}
