"""Store recordings in a folder on this machine or in a cloud store, through one interface (obstore).

obstore's asynchronous calls can abort the interpreter when it exits, so its blocking calls run in threads. Each
store has threads of its own, so that one that hangs keeps no other part of the service waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, from_url

from agent.errors import ConfigError
from agent.record.repair import delete_leftovers
from agent.redact import shown_url

THREADS = 4
CHUNK_BYTES = 1 << 20  # read at a time, and held in memory, per listener
REQUEST_TIMEOUT_S = 30
UPLOAD_PART_BYTES = 5 << 20
OPTIONS = frozenset({"endpoint", "region", "virtual_hosted_style_request"})
"""Query parameters that a cloud store's URL may have; secrets come from the usual variables and files instead."""

T = TypeVar("T")


class StoreError(Exception):
    """The store cannot be reached, or refused the request."""


class NotStored(StoreError):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the store.

    Attributes:
        size_bytes: its length.
        etag: identifies its content; "" if the store gives none.
    """

    size_bytes: int
    etag: str


def recording_key(call_id: str, started_ms: int, suffix: str) -> str:
    """Return the key of a call's recording in the store, which names the day (UTC) on which the call began.

    Args:
        call_id: the call's id.
        started_ms: when the call began, in Unix milliseconds.
        suffix: the suffix of its file, such as ``.webm``.
    """
    return f"{datetime.fromtimestamp(started_ms / 1000, UTC):%Y/%m/%d}/{call_id}{suffix}"


class Objects:
    """A store of recordings.

    Args:
        url: a folder, or ``s3://bucket/folder``, ``gs://...``, ``az://...``; ``?endpoint=https://...&region=...``
            names another store that is compatible with S3.
        lazy: open it only when it is needed, so that no folder is made for nothing.
        written_in: the folder in which recordings are written before they are stored; None if there is none here.

    Raises:
        ConfigError: it cannot be used.
    """

    def __init__(self, url: str, *, lazy: bool = False, written_in: str | None = None) -> None:
        self.shown = shown_url(url)
        "The URL without its secrets, for messages."
        self._url, self._written_in = url, written_in
        self._opened = None if lazy else _open(url)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="record-store")

    async def move_in(self, key: str, path: Path) -> int:
        """Store a file under a key, and delete it once the store has all of it; return its size in bytes.

        Raises:
            StoreError: the file was not stored, or only in part; it is kept.
        """

        def move() -> int:
            wanted = path.stat().st_size
            obstore.put(self._store, key, path, chunk_size=UPLOAD_PART_BYTES)
            size = obstore.head(self._store, key)["size"]
            if size != wanted:
                raise StoreError(f"the store has {size} of {wanted} bytes")
            path.unlink()
            return size

        return await self._run(move)

    async def look(self, key: str) -> Stored:
        """Return an object's size and ETag.

        Raises:
            StoreError: the store failed; `NotStored` if there is no such object.
        """

        def look() -> Stored:
            meta = obstore.head(self._store, key)
            return Stored(meta["size"], (meta["e_tag"] or "").removeprefix("W/").strip('"'))

        return await self._run(look)

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes of an object from ``start`` up to but not including ``end``, `CHUNK_BYTES` at a time.

        Raises:
            StoreError: the object cannot be read.
        """
        for at in range(start, end, CHUNK_BYTES):
            until = min(at + CHUNK_BYTES, end)
            yield await self._run(lambda at=at, until=until: self._range(key, at, until))  # type: ignore[misc]

    async def delete(self, key: str) -> None:
        """Delete an object, if it exists, and what is left of it where it was written.

        Raises:
            StoreError: the object may still exist.
        """
        with suppress(NotStored):
            await self._run(lambda: obstore.delete(self._store, key))
        folder = None if self._written_in is None else Path(self._written_in)
        if folder is not None:
            await self._run(lambda: delete_leftovers(folder / key))

    def close(self) -> None:
        """Start no further requests; those under way end within `REQUEST_TIMEOUT_S`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _store(self) -> Any:
        if self._opened is None:
            self._opened = _open(self._url)
        return self._opened

    def _range(self, key: str, start: int, end: int) -> bytes:
        return bytes(obstore.get_range(self._store, key, start=start, end=end))

    async def _run(self, work: Callable[[], T]) -> T:
        def translated() -> T:
            with _own_errors():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._threads, translated)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn errors of obstore and the file system into ours, without their texts, which hold keys and addresses."""
    try:
        yield
    except FileNotFoundError:
        raise NotStored("there is no such recording") from None
    except (BaseError, OSError, ValueError, ConfigError) as error:
        raise StoreError(f"the record store failed: {type(error).__name__}") from error


def _open(url: str) -> Any:
    scheme = urlsplit(url).scheme
    if scheme in ("", "file"):
        folder = Path(urlsplit(url).path if scheme else url)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return LocalStore(folder.resolve())
        except (BaseError, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no folder"
            raise ConfigError(f"record_store: {folder} cannot be used: {reason}") from None
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise ConfigError(
            "record_store: leave keys out of the URL; they are read from the environment (AWS_ACCESS_KEY_ID, ...)"
        )
    options = dict(parse_qsl(parts.query))
    if options.keys() - OPTIONS:
        unknown = ", ".join(sorted(options.keys() - OPTIONS))
        raise ConfigError(f"record_store: {unknown} is none of the options {', '.join(sorted(OPTIONS))}")
    config: Any = options or None
    client: Any = {
        "timeout": f"{REQUEST_TIMEOUT_S}s",
        "allow_http": options.get("endpoint", "").startswith("http:"),
    }
    retries: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=REQUEST_TIMEOUT_S)}
    bare = url.partition("?")[0]
    try:
        return from_url(bare, config=config, client_options=client, retry_config=retries)
    except (BaseError, ValueError, TypeError) as error:
        raise ConfigError(f"record_store {shown_url(url)} cannot be used: {type(error).__name__}") from None
