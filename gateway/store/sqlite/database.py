"""The file: one writer that commits for many at a time, and readers beside it.

What wants to write is a plain function of a connection. The writer's thread takes all functions that are waiting into
one transaction, each in a savepoint of its own, so that one that raises takes nothing of the others with it; then it
commits once, and only then anybody hears of a result. The disk is waited for once per batch: that is what makes
``synchronous=FULL`` affordable.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from gateway.store.sqlite.failures import store_error
from gateway.store.sqlite.lock import DirectoryLock
from gateway.store.sqlite.migrations import migrate
from gateway.store.store import StoreError

BATCH_MAX = 500
"""Works in one commit."""
WAITING_MAX = 10_000
"""Works that wait for the writer; who comes later waits before its door."""
_BUSY_SECONDS = 30.0
_STATEMENTS_MAX = 400
_JOURNAL_OCTETS_MAX = 64 << 20
_CACHE_KIBIBYTES = 64 << 10

T = TypeVar("T")


class VaultLike(Protocol):
    """What the store needs of ``gateway.vault.Vault``."""

    def seal(self, plain: bytes, identity: str) -> bytes: ...

    def open(self, sealed: bytes, identity: str) -> bytes: ...

    def digest(self, purpose: str, octets: bytes) -> bytes: ...


class Bell(Enum):
    """What somebody may want to hear of when it is committed."""

    WORK = auto()
    """A lane may have become due earlier."""
    EVENTS = auto()
    """Events were appended."""
    LINKS = auto()
    """Limits changed, or which links are shared."""


class WriteConnection(sqlite3.Connection):
    """The writer's connection. A work says in ``bells`` what its commit has to ring."""

    bells: set[Bell]
    told_names: frozenset[str] | None
    """Names of events that webhooks want, once somebody asked in this transaction."""


@dataclass(slots=True)
class _Work:
    """One function that waits for the writer, and what came of it."""

    function: Callable[[WriteConnection], Any]
    answer: asyncio.Future[Any] | None
    result: Any = None
    error: BaseException | None = None


def _nothing(_moment: str) -> None:
    pass


class Database:
    """``write`` and ``read`` take a function of a connection, which runs in a thread; it must not keep what it was
    given. With ``inline`` there are no threads: everything happens at once, in the calling task."""

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
        self._thread: threading.Thread | None = None
        self._read_threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: SimpleQueue[_Work | None] = SimpleQueue()
        self._room = asyncio.Event()
        self._is_closing = False
        self._rings: list[tuple[Bell, Callable[[], None]]] = []
        self.batches = 0
        """Commits since it was opened."""
        self.works = 0
        """What they held."""

    async def open(self) -> None:
        """Lock the directory, bring the schema up to date, and start. Raises ``StoreError``."""
        self._loop = asyncio.get_running_loop()
        self._lock.take()
        try:
            migrate(self.path)
            self._writer = self._connect(WriteConnection)
            self._reader = self._connect(sqlite3.Connection)
            self._reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            self._let_go()
            raise store_error(error, self.path) from error
        except BaseException:
            self._let_go()
            raise
        if not self._inline:
            self._read_threads = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
            self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """Commit what is waiting, and let go of the file. Once more does no harm."""
        self._is_closing = True
        self._waiting.put(None)
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
            self._thread = None
        if self._read_threads is not None:
            self._read_threads.shutdown(wait=True)
            self._read_threads = None
        await asyncio.sleep(0)  # the last batch's answers are on their way
        self._let_go()

    def on(self, bell: Bell, ring: Callable[[], None]) -> None:
        """``ring`` is called on the event loop after each commit that rings this bell."""
        self._rings.append((bell, ring))

    async def write(self, function: Callable[[WriteConnection], T]) -> T:
        """Run it in a transaction; its result once that is on disk. What it raises rolls back its own changes alone.
        It may be run again from its start, when another one of its batch has failed.

        Raises ``StoreError`` when nothing was written, or, after a failed commit, when that is not known. A caller who
        is cancelled while waiting does not stop it.
        """
        self._check_open()
        if self._inline:
            assert self._writer is not None
            work = _Work(function, None)
            self._ring(self._commit(self._writer, [work]))
            if work.error is not None:
                raise work.error
            return work.result  # type: ignore[no-any-return]
        while self._waiting.qsize() >= WAITING_MAX:
            self._room.clear()
            await self._room.wait()
            self._check_open()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Work(function, answer))
        return await answer

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run it on one snapshot of all that is committed. Raises ``StoreError``."""
        self._check_open()
        assert self._reader is not None
        if self._read_threads is None:
            return self._snapshot(self._reader, function)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, self._snapshot, self._reader, function)

    # In the writer's thread.

    def _run(self) -> None:
        writer, loop = self._writer, self._loop
        assert writer is not None
        assert loop is not None
        is_open = True
        while is_open:
            batch = []
            following = self._waiting.get()
            while following is not None:
                batch.append(following)
                if len(batch) == BATCH_MAX or self._waiting.empty():
                    break
                following = self._waiting.get()
            is_open = following is not None
            bells = self._commit(writer, batch) if batch else set()
            with suppress(RuntimeError):  # the loop is closed: nobody waits for answers any more
                loop.call_soon_threadsafe(self._hand_back, batch, bells)

    def _commit(self, writer: WriteConnection, batch: list[_Work]) -> set[Bell]:
        """One transaction. Every work has its result or its error afterwards; the bells to ring."""
        try:
            if not self._all_done(writer, batch):
                writer.execute("ROLLBACK")
                self._each_done(writer, batch)
            self._at_commit("before-commit")
            writer.execute("COMMIT")
        except BaseException as error:
            self._give_up(writer, batch, error)
            return set()
        self.batches += 1
        self.works += len(batch)
        try:
            self._at_commit("after-commit")
        except BaseException as error:
            for work in batch:
                work.error = error
        return writer.bells

    def _all_done(self, writer: WriteConnection, batch: list[_Work]) -> bool:
        """Savepoints cost as much as a write, and hardly any work raises after it has written: so try without them.
        False if that was too hopeful."""
        self._begin(writer)
        for work in batch:
            changes = writer.total_changes
            try:
                work.result = work.function(writer)
            except BaseException as error:
                if isinstance(error, sqlite3.Error) or writer.total_changes != changes:
                    if not writer.in_transaction:  # SQLite gives up all of it when the disk fails
                        raise
                    return False
                work.error = error
        return True

    def _each_done(self, writer: WriteConnection, batch: list[_Work]) -> None:
        """Once more from the start, each in its savepoint. Raises only when the whole transaction is gone."""
        self._begin(writer)
        for work in batch:
            work.result = work.error = None
            writer.execute("SAVEPOINT work")
            try:
                work.result = work.function(writer)
            except BaseException as error:
                if not writer.in_transaction:
                    raise
                work.error = store_error(error, self.path) if isinstance(error, sqlite3.Error) else error
                writer.execute("ROLLBACK TO work")
            writer.execute("RELEASE work")

    @staticmethod
    def _begin(writer: WriteConnection) -> None:
        writer.execute("BEGIN IMMEDIATE")
        writer.bells, writer.told_names = set(), None

    def _give_up(self, writer: WriteConnection, batch: list[_Work], error: BaseException) -> None:
        if writer.in_transaction:
            with suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
        told = store_error(error, self.path) if isinstance(error, sqlite3.Error) else error
        for work in batch:
            if work.error is None or isinstance(work.error, StoreError):
                work.error = told

    def _snapshot(self, reader: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            reader.execute("BEGIN")
            try:
                return function(reader)
            finally:
                reader.execute("COMMIT")
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error

    # On the event loop.

    def _hand_back(self, batch: list[_Work], bells: set[Bell]) -> None:
        self._room.set()
        for work in batch:
            answer = work.answer
            if answer is None or answer.done():
                continue
            if work.error is not None:
                answer.set_exception(work.error)
            else:
                answer.set_result(work.result)
        self._ring(bells)

    def _ring(self, bells: set[Bell]) -> None:
        for bell, ring in self._rings:
            if bell in bells:
                ring()

    # The file.

    def _check_open(self) -> None:
        if self._is_closing or self._writer is None:
            raise StoreError(f"{self.path}: it is closed")

    def _connect(self, kind: type[Connection]) -> Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_SECONDS,
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


Connection = TypeVar("Connection", bound=sqlite3.Connection)
