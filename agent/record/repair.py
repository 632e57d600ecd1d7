"""Complete the recordings of a killed process, which lack their length and an index for seeking."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from agent.record.file import MUX_ERRORS, PART, SUFFIXES

logger = logging.getLogger(__name__)

REPAIRED = ".repaired"
UNREADABLE = ".unreadable"


def repair_folder(folder: Path) -> list[Path]:
    """Repair all recordings that no process is writing any more; return the files that are complete now.

    A file that cannot be read is renamed to ``.unreadable`` and kept.
    """
    repaired = []
    for path in sorted(each for suffix in SUFFIXES for each in folder.rglob(f"*{suffix}{PART}")):
        try:
            with _unused(path) as unused:
                if unused and _repair(path):
                    repaired.append(path.with_suffix(""))
        except OSError as error:
            logger.warning("the recording %s cannot be repaired: %s", path.name, error.strerror)
    return repaired


def length_ms(path: Path) -> int | None:
    """Return the length of a complete recording; None if there is no such file, or it cannot be read."""
    try:
        with av.open(str(path), "r") as file:
            return None if file.duration is None else round(file.duration / 1000)
    except MUX_ERRORS:
        return None


def delete_leftovers(whole: Path) -> None:
    """Delete what a recording that failed has left behind, unless a process is still writing it.

    Args:
        whole: where the recording would be if it were complete.
    """
    for suffix in ("", UNREADABLE, REPAIRED, PART):
        path = whole.with_name(f"{whole.name}{suffix}")
        if path.exists():
            with _unused(path) as unused:
                if unused:
                    path.unlink(missing_ok=True)


@contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Yield whether no running process is writing the file; meanwhile no other process can repair it."""
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield path.exists()
    finally:
        os.close(file)


def _repair(path: Path) -> bool:
    whole, new = path.with_suffix(""), path.with_suffix(REPAIRED)
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    try:
        packets = _remux(path, new, "webm" if whole.suffix == ".webm" else "matroska")
    except MUX_ERRORS as error:
        if isinstance(error, OSError) and not isinstance(error, av.FFmpegError):
            raise
        packets = 0
    if not packets:
        new.unlink()
        logger.error("the recording %s cannot be read: it is left as %s", path.name, UNREADABLE)
        path.rename(path.with_suffix(UNREADABLE))
        return False
    new.rename(whole)
    path.unlink()
    logger.info("the recording %s is repaired", whole.name)
    return True


def _remux(path: Path, new: Path, container: str) -> int:
    """Copy all readable packets; return how many there were."""
    packets = 0
    with av.open(str(path), "r") as source, av.open(str(new), "w", format=container) as target:
        streams = {}
        for stream in source.streams.audio:
            streams[stream.index] = target.add_stream_from_template(stream)
            streams[stream.index].metadata.update(stream.metadata)
        for packet in _readable(source):
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
            packets += 1
    return packets


def _readable(source: av.container.InputContainer) -> Iterator[av.Packet[Any]]:
    """Yield the packets up to the end, or up to where the file is damaged."""
    try:
        for packet in source.demux():
            if packet.dts is not None:
                yield packet
    except av.FFmpegError:
        return


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    repair_folder(Path(sys.argv[1]))
