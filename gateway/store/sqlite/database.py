"""The file: one writer that commits for many at a time, and a reader beside it.

What wants to write is a plain function of a connection. All functions that are waiting run in one transaction, and one
commit, in a thread, serves them all; only then anybody hears of a result. The disk is waited for once per batch: that
is what makes ``synchronous=FULL`` affordable. The functions themselves run on the event loop, a few at a time: in a
thread, each of their many small statements would let go of the interpreter's lock, and wait for the busy loop to get it
back (measured: 350 orders a second instead of 5,000).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from gateway.store.sqlite.batch import Batch, Bell, Work, WriteConnection
from gateway.store.sqlite.failures import store_error
from gateway.store.sqlite.lock import DirectoryLock
from gateway.store.sqlite.migrations import migrate
from gateway.store.store import StoreError

BATCH_MAX = 500
"""Works in one commit."""
SLICE_MAX = 32
"""Small works that run before the event loop has its turn again: one or two milliseconds."""
WAITING_MAX = 10_000
"""Works that wait for the next transaction; who comes later waits before the door."""
_READ_BUSY_SECONDS = 30.0
_STATEMENTS_MAX = 400
_JOURNAL_OCTETS_MAX = 64 << 20
_CACHE_KIBIBYTES = 64 << 10

__all__ = ["Bell", "Database", "VaultLike", "WriteConnection"]

T = TypeVar("T")
Connection = TypeVar("Connection", bound=sqlite3.Connection)


class VaultLike(Protocol):
    """What the store needs of ``gateway.vault.Vault``."""

    def seal(self, plain: bytes, identity: str) -> bytes: ...

    def open(self, sealed: bytes, identity: str) -> bytes: ...

    def digest(self, purpose: str, octets: bytes) -> bytes: ...


def _nothing(_moment: str) -> None:
    pass


class Database:
    """``write`` and ``read`` take a function of a connection, which must not keep it. With ``inline`` there are no
    threads, and nothing waits: each work is a transaction of its own, at once, in the calling task."""

    def __init__(
        self,
        path: Path,
        vault: VaultLike,
        now: Callable[[], datetime],
        *,
        inline: bool = False,
        at_commit: Callable[[str], None] = _nothing,
    ) -> None:
        self.path = path
        self.vault = vault
        self.now = now
        self._inline = inline
        self._at_commit = at_commit
        self._lock = DirectoryLock(path.parent)
        self._writer: WriteConnection | None = None
        self._reader: sqlite3.Connection | None = None
        self._committer: ThreadPoolExecutor | None = None
        self._read_thread: ThreadPoolExecutor | None = None
        self._waiting: deque[Work] = deque()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closing = False
        self._rings: list[tuple[Bell, Callable[[], None]]] = []
        self.batches = 0
        """Transactions since it was opened, counted before their commit."""
        self.works = 0
        """What they held."""

    async def open(self) -> None:
        """Lock the directory, bring the schema up to date, and start. Raises ``StoreError``."""
        self._lock.take()
        try:
            migrate(self.path)
            self._writer = self._connect(WriteConnection, 0.0)
            self._reader = self._connect(sqlite3.Connection, _READ_BUSY_SECONDS)
            self._reader.execute("PRAGMA query_only = ON")
        except BaseException as error:
            self._let_go()
            if isinstance(error, sqlite3.Error):
                raise store_error(error, self.path) from error
            raise
        if not self._inline:
            self._committer = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
            self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")

    async def close(self) -> None:
        """Commit what is waiting, and let go of the file. Once more does no harm."""
        self._is_closing = True
        await self._idle.wait()
        for threads in (self._committer, self._read_thread):
            if threads is not None:
                threads.shutdown(wait=True)
        self._let_go()

    def on(self, bell: Bell, ring: Callable[[], None]) -> None:
        """``ring`` is called on the event loop after each commit that rings this bell."""
        self._rings.append((bell, ring))

    async def write(self, function: Callable[[WriteConnection], T], *, size: int = 1) -> T:
        """Run it in a transaction; its result once that is on disk. What it raises rolls back its own changes alone.
        It may be run again from its start, when another one of its batch has failed. ``size``: it does as much as so
        many small ones, all before the event loop has its turn again.

        Raises ``StoreError`` when nothing was written, or, after a failed commit, when that is not known. A caller who
        is cancelled while waiting does not stop it.
        """
        writer = self._open_writer()
        if self._inline:
            return self._write_now(writer, function)
        while len(self._waiting) >= WAITING_MAX:
            self._room.clear()
            await self._room.wait()
            self._open_writer()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append(Work(function, answer, size))
        if self._idle.is_set():
            self._idle.clear()
            loop.call_soon(self._begin_batch)
        return await answer

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run it on one snapshot of all that is committed. Raises ``StoreError``."""
        self._open_writer()
        if self._read_thread is None:
            return self._snapshot(function)
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, self._snapshot, function)

    # A batch.

    def _write_now(self, writer: WriteConnection, function: Callable[[WriteConnection], T]) -> T:
        work = Work(function)
        batch = Batch(writer, self.path, [work], self._at_commit)
        batch.begin(patiently=True)
        if not batch.is_over:
            batch.run(0, 1)
        batch.end()
        self._count(batch)
        batch.commit()
        self._ring(batch)
        if work.error is not None:
            raise work.error
        return work.result  # type: ignore[no-any-return]

    def _begin_batch(self) -> None:
        works = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
        assert self._writer is not None
        batch = Batch(self._writer, self.path, works, self._at_commit)
        if batch.begin(patiently=False):
            self._go_on(batch, 0)
        else:
            self._in_thread(lambda: batch.begin(patiently=True), lambda: self._go_on(batch, 0))

    def _go_on(self, batch: Batch, start: int) -> None:
        """The next slice; after the last, the commit."""
        stop = batch.slice_end(start, SLICE_MAX)
        if batch.is_over:
            self._hand_back(batch)
        elif batch.run(start, stop) and stop < len(batch.works):
            asyncio.get_running_loop().call_soon(self._go_on, batch, stop)
        else:
            batch.end()
            self._count(batch)
            self._in_thread(batch.commit, lambda: self._hand_back(batch))

    def _in_thread(self, function: Callable[[], object], then: Callable[[], None]) -> None:
        assert self._committer is not None
        done = asyncio.get_running_loop().run_in_executor(self._committer, function)
        done.add_done_callback(lambda _done: then())

    def _hand_back(self, batch: Batch) -> None:
        """The answers; then the next batch."""
        for work in batch.works:
            answer = work.answer
            if answer is None or answer.done():
                continue
            if work.error is not None:
                answer.set_exception(work.error)
            else:
                answer.set_result(work.result)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._begin_batch)
        else:
            self._idle.set()
        self._room.set()
        self._ring(batch)

    def _count(self, batch: Batch) -> None:
        self.batches += 1
        self.works += len(batch.works)

    def _ring(self, batch: Batch) -> None:
        for bell, ring in self._rings:
            if bell in batch.bells:
                ring()

    def _snapshot(self, function: Callable[[sqlite3.Connection], T]) -> T:
        reader = self._reader
        assert reader is not None
        try:
            reader.execute("BEGIN")
            try:
                return function(reader)
            finally:
                reader.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    # The file.

    def _open_writer(self) -> WriteConnection:
        if self._is_closing or self._writer is None:
            raise StoreError(f"{self.path}: it is closed")
        return self._writer

    def _connect(self, kind: type[Connection], busy_seconds: float) -> Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS_MAX,
            factory=kind,
        )
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "recursive_triggers = ON",
            "temp_store = MEMORY",
            f"journal_size_limit = {_JOURNAL_OCTETS_MAX}",
            f"cache_size = -{_CACHE_KIBIBYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _let_go(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        self._lock.free()
