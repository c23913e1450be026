"""Who did what, in SQLite. The database refuses to change or remove a line (``migrations/0002_service.sql``)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from gateway.store.records import AuditRecord, Details
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.times import micros, moment
from gateway.store.store import Audit

_NEWEST = 2**63 - 1


def audit_in(  # noqa: PLR0917 - in the sequence in which a line is read
    connection: sqlite3.Connection, at: int, who: str, action: str, subject: str, details: Details
) -> None:
    """One line, in the transaction of what it tells of; ``at`` in microseconds."""
    connection.execute(
        "INSERT INTO audit (at, who, action, subject, details) VALUES (?, ?, ?, ?, ?)",
        (at, who, action, subject, json.dumps(details, separators=(",", ":"), ensure_ascii=False)),
    )


class SqliteAudit(Audit):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, *, who: str, action: str, subject: str, details: Details) -> None:
        at = micros(self._database.now())
        await self._database.write(lambda connection: audit_in(connection, at, who, action, subject, details))

    async def list(self, *, before: int | None = None, limit: int = 100) -> Sequence[AuditRecord]:
        def read(connection: sqlite3.Connection) -> Sequence[AuditRecord]:
            rows = connection.execute(
                "SELECT number, at, who, action, subject, details FROM audit WHERE number < ? "
                "ORDER BY number DESC LIMIT ?",
                (_NEWEST if before is None else before, limit),
            )
            return [_record(row) for row in rows]

        return await self._database.read(read)


def _record(row: tuple[int, int, str, str, str, str]) -> AuditRecord:
    number, at, who, action, subject, details = row
    return AuditRecord(
        number=number, at=moment(at), who=who, action=action, subject=subject, details=json.loads(details)
    )
