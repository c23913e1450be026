"""API keys in SQLite: who may call, known by the SHA-256 of the key alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from gateway.store.records import ApiKeyRecord
from gateway.store.sqlite.audit import audit_in
from gateway.store.sqlite.database import Database
from gateway.store.sqlite.times import micros, micros_or_none, moment, moment_or_none
from gateway.store.store import Access, InUse

_COLUMNS = "id, name, scopes, created_at, expires_at, last_used_at, revoked_at"


class SqliteAccess(Access):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, key: ApiKeyRecord, digest: bytes, *, who: str) -> None:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> None:
            taken = connection.execute("SELECT 1 FROM api_key WHERE id = ? OR digest = ?", (key.id, digest)).fetchone()
            if taken:
                raise InUse(f"there is an API key {key.id}, or the same key under another id")
            connection.execute(
                f"INSERT INTO api_key ({_COLUMNS}, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants of ours
                (
                    key.id,
                    key.name,
                    json.dumps(key.scopes),
                    micros(key.created_at),
                    micros_or_none(key.expires_at),
                    micros_or_none(key.last_used_at),
                    micros_or_none(key.revoked_at),
                    digest,
                ),
            )
            audit_in(connection, at, who, "api_key.add", key.id, {"name": key.name, "scopes": list(key.scopes)})

        await self._database.write(write)

    async def by_digest(self, digest: bytes) -> ApiKeyRecord | None:
        # Looked up by a hash of what was offered: how long that takes tells nothing of any key.
        found = await self._list("WHERE digest = ?", digest)
        return found[0] if found else None

    async def list(self) -> Sequence[ApiKeyRecord]:
        return await self._list("ORDER BY created_at, id")

    async def _list(self, which: str, *values: bytes) -> Sequence[ApiKeyRecord]:
        query = f"SELECT {_COLUMNS} FROM api_key {which}"  # noqa: S608 - one of two constants

        def read(connection: sqlite3.Connection) -> Sequence[ApiKeyRecord]:
            return [_record(row) for row in connection.execute(query, values)]

        return await self._database.read(read)

    async def revoke(self, key_id: str, *, who: str) -> bool:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> bool:
            revoke = "UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
            if connection.execute(revoke, (at, key_id)).rowcount == 0:
                return False
            audit_in(connection, at, who, "api_key.revoke", key_id, {})
            return True

        return await self._database.write(write)

    async def expire(self, key_id: str, *, at: datetime, who: str) -> bool:
        now, until = micros(self._database.now()), micros(at)

        def write(connection: sqlite3.Connection) -> bool:
            expire = (
                "UPDATE api_key SET expires_at = min(?1, ifnull(expires_at, ?1)) WHERE id = ?2 AND revoked_at IS NULL"
            )
            if connection.execute(expire, (until, key_id)).rowcount == 0:
                return False
            audit_in(connection, now, who, "api_key.expire", key_id, {"at": at.isoformat()})
            return True

        return await self._database.write(write)

    async def used(self, key_ids: Sequence[str]) -> None:
        at = micros(self._database.now())

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE api_key SET last_used_at = max(?, ifnull(last_used_at, 0)) WHERE id = ?",
                [(at, key_id) for key_id in key_ids],
            )

        await self._database.write(write)


def _record(row: tuple[str, str, str, int, int | None, int | None, int | None]) -> ApiKeyRecord:
    key_id, name, scopes, created_at, expires_at, last_used_at, revoked_at = row
    return ApiKeyRecord(
        id=key_id,
        name=name,
        scopes=tuple(json.loads(scopes)),
        created_at=moment(created_at),
        expires_at=moment_or_none(expires_at),
        last_used_at=moment_or_none(last_used_at),
        revoked_at=moment_or_none(revoked_at),
    )
