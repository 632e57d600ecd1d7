"""Captures as files: private, bounded, and readable as far as they go."""

from __future__ import annotations

import gzip
import logging
import stat
from pathlib import Path

import pytest

from agent.capture import MAX_WAITING, Capture
from agent.errors import ConfigError
from agent.events import CallerStartedSpeaking
from agent.replay.file import SUFFIX, read, save
from agent.replay.writer import CaptureWriter

HEADER = {"talkspurt_capture": 1, "call_id": "c1"}


def test_only_the_owner_may_read_a_capture(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "captures"
    writer = CaptureWriter(folder)
    capture = writer.begin("c1", HEADER, lambda: 1.5)
    capture.note("connecting")
    capture.note("event", CallerStartedSpeaking())
    capture.end()
    writer.finish()
    path = folder / f"c1{SUFFIX}"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    found = read(path)
    assert (found.header, found.whole) == (HEADER, True)
    assert found.lines == [[1.5, "connecting"], [1.5, "event", "CallerStartedSpeaking", {}]]


def test_a_caller_who_never_connects_leaves_no_file(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path)
    writer.begin("c1", HEADER, lambda: 0.0).note("codecs", {})
    writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_notes_are_bounded_and_a_hole_ends_the_capture(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path)
    stopped = Capture(lambda: 0.0)
    for _ in range(MAX_WAITING + 5):
        stopped.note("pull")
    assert stopped.cut_short
    assert len(stopped.waiting) == MAX_WAITING
    stopped.waiting.clear()
    stopped.note("pull")
    assert not stopped.waiting
    capture = writer.begin("c1", HEADER, lambda: 0.0)
    capture.note("connecting")
    capture.cut_short = True
    writer.finish()
    assert not read(tmp_path / f"c1{SUFFIX}").whole


def test_a_folder_that_cannot_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="capture_folder: cannot write"):
        CaptureWriter(tmp_path / "file")


def test_a_file_that_is_there_already_is_not_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"c1{SUFFIX}").write_text("precious")
    writer = CaptureWriter(tmp_path)
    capture = writer.begin("c1", HEADER, lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        capture.note("connecting")
        writer.finish()
    assert (tmp_path / f"c1{SUFFIX}").read_text() == "precious"
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"", mtime=0), gzip.compress(b"hello", mtime=0), gzip.compress(b"{}\n", mtime=0)],
)
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no capture of a call"):
        read(path)


def test_a_file_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    save(path, HEADER, [[float(number), "pull"] for number in range(5000)])
    assert len(read(path).lines) == 5000
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    found = read(path)
    assert not found.whole
    assert found.lines == [[float(number), "pull"] for number in range(len(found.lines))]
