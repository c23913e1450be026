"""One transaction for many works: what is run, what is rolled back, what is told to whom. Nothing in here waits but for
the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from gateway.store.sqlite.failures import is_busy, store_error
from gateway.store.sqlite.order_counts import Counts, write_counts
from gateway.store.store import StoreError

_BUSY_MILLISECONDS = 30_000


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
    counts: Counts
    """How many more orders there are by this transaction."""


@dataclass(slots=True)
class Work:
    """One function that wants to write, and what came of it."""

    function: Callable[[WriteConnection], Any]
    answer: asyncio.Future[Any] | None = None
    size: int = 1
    """How much it does: as much as so many small works."""
    result: Any = None
    error: BaseException | None = None


class Batch:
    """Works that are committed together. ``begin``, ``run`` up to the last, ``end``, ``commit``; each once."""

    def __init__(
        self, writer: WriteConnection, path: Path, works: Sequence[Work], at_commit: Callable[[str], None]
    ) -> None:
        self._writer = writer
        self._path = path
        self.works = works
        self._at_commit = at_commit
        self.bells: set[Bell] = set()
        self.is_over = False
        """Given up: each work has its error."""

    def begin(self, *, patiently: bool) -> bool:
        """False if another process is writing, and there is no time to wait for it."""
        try:
            if patiently:
                self._writer.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if is_busy(error) and not patiently:
                return False
            self.give_up(error)
        finally:
            if patiently:
                self._writer.execute("PRAGMA busy_timeout = 0")
        self._writer.bells, self._writer.told_names, self._writer.counts = self.bells, None, Counter()
        return True

    def slice_end(self, start: int, size: int) -> int:
        """Where a slice of this size ends; one work is the least."""
        for stop in range(start, len(self.works)):
            size -= self.works[stop].size
            if size <= 0:
                return stop + 1
        return len(self.works)

    def run(self, start: int, stop: int) -> bool:
        """Some of the works. Savepoints cost as much as a write, and hardly any work raises once it has written: so it
        is tried without. False if that was too hopeful; then all works have been run, in savepoints."""
        for work in self.works[start:stop]:
            changes = self._writer.total_changes
            try:
                work.result = work.function(self._writer)
            except Exception as error:
                if isinstance(error, sqlite3.Error) or self._writer.total_changes != changes:
                    self._run_each(error)
                    return False
                work.error = error
            except BaseException as error:
                self.give_up(error)
                raise
        return True

    def end(self) -> None:
        """What all works together come to."""
        if self.is_over:
            return
        try:
            write_counts(self._writer, self._writer.counts)
        except sqlite3.Error as error:
            self.give_up(error)

    def commit(self) -> None:
        """On disk when this returns, or given up."""
        if self.is_over:
            return
        try:
            self._at_commit("before-commit")
            self._writer.execute("COMMIT")
        except BaseException as error:
            self.give_up(error)
            return
        try:
            self._at_commit("after-commit")
        except BaseException as error:
            for work in self.works:
                work.error = error

    def give_up(self, error: BaseException) -> None:
        """Nothing of it is written."""
        self.is_over = True
        self.bells.clear()
        if self._writer.in_transaction:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
        told = store_error(error, self._path) if isinstance(error, sqlite3.Error) else error
        for work in self.works:
            if work.error is None or isinstance(work.error, StoreError):
                work.error = told

    def _run_each(self, first_error: Exception) -> None:
        """All works once more from the start."""
        if not self._writer.in_transaction:  # SQLite gives up all of it when the disk fails
            self.give_up(first_error)
            return
        try:
            self._writer.execute("ROLLBACK")
            self._writer.execute("BEGIN IMMEDIATE")
            self.bells.clear()
            self._writer.told_names, self._writer.counts = None, Counter()
            for work in self.works:
                self._run_alone(work)
        except BaseException as error:
            self.give_up(error)
            if not isinstance(error, Exception):
                raise

    def _run_alone(self, work: Work) -> None:
        """Raises when the whole transaction is gone."""
        work.result = work.error = None
        bells, counts = set(self.bells), self._writer.counts.copy()
        self._writer.execute("SAVEPOINT work")
        try:
            work.result = work.function(self._writer)
        except Exception as error:
            if not self._writer.in_transaction:
                raise
            work.error = store_error(error, self._path) if isinstance(error, sqlite3.Error) else error
            self._writer.execute("ROLLBACK TO work")
            self.bells &= bells
            self._writer.counts = counts
        self._writer.execute("RELEASE work")
