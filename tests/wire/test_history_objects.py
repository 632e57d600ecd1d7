"""Where recordings are kept: a folder, and a store that speaks S3 (moto's server); both by the same code."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import requests
from moto.server import ThreadedMotoServer

from agent.errors import ConfigError
from signaling.history import objects as objects_module
from signaling.history.objects import CHUNK_BYTES, NotStored, Objects, StoreError

ROOT = Path(__file__).parents[2]
SOUND = random.Random(2).randbytes(11 << 20)  # three parts of an upload
BUCKET = "calls"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    requests.put(f"{endpoint}/{BUCKET}", timeout=10).raise_for_status()
    yield endpoint
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "recordings")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return f"s3://{BUCKET}/of/talkspurt?endpoint={request.getfixturevalue('s3')}&region=eu-central-1"


@pytest.fixture
async def objects(store_url: str) -> AsyncIterator[Objects]:
    opened = Objects(store_url)
    yield opened
    opened.close()


def written(folder: Path, sound: bytes = SOUND) -> Path:
    path = folder / "rtc_1.webm.part"
    path.write_bytes(sound)
    return path


async def test_a_file_moves_in_and_can_be_read_in_parts(objects: Objects, tmp_path: Path) -> None:
    path, key = written(tmp_path), "2026/09/21/rtc_1.webm"
    assert await objects.move_in(key, path) == len(SOUND)
    assert not path.exists()
    stored = await objects.look(key)
    assert stored.size_bytes == len(SOUND)
    assert stored.etag
    for start, end in ((0, len(SOUND)), (5, CHUNK_BYTES + 7), (len(SOUND) - 1, len(SOUND))):
        chunks = [chunk async for chunk in objects.read(key, start, end)]
        assert b"".join(chunks) == SOUND[start:end]
        assert max(map(len, chunks)) <= CHUNK_BYTES
    await objects.delete(key)
    await objects.delete(key)
    with pytest.raises(NotStored):
        await objects.look(key)


async def test_a_file_that_was_not_stored_whole_is_left(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, b"sound")
    with monkeypatch.context() as patched:
        patched.setattr("obstore.head", lambda *_: {"size": 3})
        with pytest.raises(StoreError, match="3 of 5 bytes"):
            await objects.move_in("k.webm", path)
    assert path.read_bytes() == b"sound"
    with pytest.raises(NotStored):
        await objects.move_in("k.webm", tmp_path / "nothing.part")


@pytest.mark.parametrize("key", ["../outside.webm", "a/../../outside.webm"])
async def test_no_key_leads_out_of_the_store(objects: Objects, tmp_path: Path, key: str) -> None:
    path = written(tmp_path, b"sound")
    with pytest.raises(StoreError):
        await objects.move_in(key, path)
    assert not (tmp_path / "outside.webm").exists()
    with pytest.raises(StoreError):
        await objects.look(key)


async def test_a_store_that_is_not_there_says_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    monkeypatch.setattr(objects_module, "REQUEST_TIMEOUT_S", 1)
    opened = Objects("s3://calls/x?endpoint=http://127.0.0.1:9")
    with pytest.raises(StoreError) as failed:
        await opened.move_in("k.webm", written(tmp_path))
    assert "secret" not in str(failed.value)
    opened.close()


async def test_the_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    opened = Objects(f"file://{tmp_path}/recordings")
    await opened.move_in("a/b.webm", written(tmp_path, b"sound"))
    opened.close()
    assert (tmp_path / "recordings").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "recordings" / "a" / "b.webm").read_bytes() == b"sound"


def test_the_store_is_checked_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="record_store"):
        Objects(str(tmp_path / "file"))


ENDS = """
import asyncio, sys
from pathlib import Path
from signaling.history.objects import Objects

async def main() -> None:
    objects = Objects(sys.argv[1])
    path = Path(sys.argv[2])
    path.write_bytes(b"x" * 100_000)
    await objects.move_in("a/b.webm", path)
    print(len([chunk async for chunk in objects.read("a/b.webm", 0, 100_000)]))

asyncio.run(main())
"""


def test_the_interpreter_ends_well_after_the_store_was_used(store_url: str, tmp_path: Path) -> None:
    """obstore's asynchronous calls may abort it; without `close`, too."""
    for _ in range(5):
        ended = subprocess.run(
            [sys.executable, "-c", ENDS, store_url, str(tmp_path / "part")],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"1\n", b"")
