from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.settings import load_settings
from signaling.process import machine
from signaling.process.machine import CALL_BYTES, CALLS_PER_CORE, PROCESS_BYTES, calls_that_fit
from signaling.webrtc import admission

GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "memory_bytes", "expected"),
    [
        (1.0, 64 * GIB, CALLS_PER_CORE),
        (16.0, 64 * GIB, CALLS_PER_CORE),
        (0.25, 64 * GIB, CALLS_PER_CORE // 4),
        (4.0, PROCESS_BYTES + 10.5 * CALL_BYTES, 10),
        (4.0, 1_000_000, 1),
        (0.001, 64 * GIB, 1),
        (2.0, float("inf"), CALLS_PER_CORE),
    ],
)
def test_the_scarcer_of_time_and_memory_decides(cores: float, memory_bytes: float, expected: int) -> None:
    assert calls_that_fit(cores, memory_bytes) == expected


@pytest.fixture
def machine_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 cores and 16 GiB; its files are in the folder that is returned."""
    (tmp_path / "meminfo").write_text(f"MemFree: 1 kB\nMemTotal:    {16 * GIB // 1024} kB\n")
    monkeypatch.setattr(machine, "MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "OWN_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    return tmp_path


def group(root: Path, path: str, **files: str) -> None:
    folder = root / "groups" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_without_control_groups_it_is_the_whole_machine(machine_files: Path) -> None:
    assert (machine.cores(), machine.memory_bytes()) == (8.0, 16 * GIB)
    (machine_files / "meminfo").unlink()
    assert machine.memory_bytes() == float("inf")


def test_a_container_has_what_its_groups_leave_it(machine_files: Path) -> None:
    (machine_files / "cgroup").write_text("0::/pod/container\n")
    group(machine_files, "pod/container", cpu__max="max 100000\n", memory__max="max\n")
    assert (machine.cores(), machine.memory_bytes()) == (8.0, 16 * GIB)
    group(machine_files, "pod", cpu__max="50000 100000\n", memory__max="536870912\n")
    assert (machine.cores(), machine.memory_bytes()) == (0.5, GIB / 2)


def test_so_has_one_of_version_1(machine_files: Path) -> None:
    (machine_files / "cgroup").write_text("4:memory:/a\n3:cpu,cpuacct:/a\n")
    group(machine_files, "memory/a", memory__limit_in_bytes="268435456\n")
    group(machine_files, "cpu/a", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert (machine.cores(), machine.memory_bytes()) == (8.0, GIB / 4)
    group(machine_files, "cpu/a", cpu__cfs_quota_us="150000\n")
    assert machine.cores() == 1.5


def test_a_setting_beats_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "room_for_calls", lambda: 1)
    for most, expected in ((None, True), (2, False)):
        room = admission.Admission(load_settings({"max_calls": most}), lambda: None, lambda _call_id: None)
        with room.slot(None, bounded=False):
            assert room.full is expected
