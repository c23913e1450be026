"""The store on SQLite, put together: one file in a data directory that one process owns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from gateway.store.records import Figures
from gateway.store.sqlite.access import SqliteAccess
from gateway.store.sqlite.audit import SqliteAudit
from gateway.store.sqlite.counters import SqliteCounters
from gateway.store.sqlite.database import Bell, Database, VaultLike, WriteConnection
from gateway.store.sqlite.events import SqliteEvents
from gateway.store.sqlite.figures import figures
from gateway.store.sqlite.lanes import SqliteLanes
from gateway.store.sqlite.links import SqliteLinks
from gateway.store.sqlite.meters import SqliteMeters
from gateway.store.sqlite.orders import SqliteOrders
from gateway.store.sqlite.purge import purge_in_steps
from gateway.store.sqlite.times import micros
from gateway.store.sqlite.webhooks import SqliteWebhooks
from gateway.store.store import Store

FILE_NAME = "stsgate.sqlite"


def _nothing(_moment: str) -> None:
    pass


class SqliteStore(Store):
    """Made by ``open``."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.meters = SqliteMeters(database)
        self.links = SqliteLinks(database)
        self.orders = SqliteOrders(database)
        self.lanes = SqliteLanes(database)
        self.counters = SqliteCounters(database)
        self.events = SqliteEvents(database)
        self.access = SqliteAccess(database)
        self.audit = SqliteAudit(database)
        self.webhooks = SqliteWebhooks(database)

    @classmethod
    async def open(
        cls,
        directory: Path,
        vault: VaultLike,
        now: Callable[[], datetime],
        *,
        inline: bool = False,
        at_commit: Callable[[str], None] = _nothing,
    ) -> SqliteStore:
        """Take the directory, and bring the file in it up to date, or make it. Raises ``StoreError``."""
        database = Database(directory / FILE_NAME, vault, now, inline=inline, at_commit=at_commit)
        await database.open()
        return cls(database)

    def on_work(self, ring: Callable[[], None]) -> None:
        self.database.on(Bell.WORK, ring)

    def on_events(self, ring: Callable[[], None]) -> None:
        self.database.on(Bell.EVENTS, ring)

    def on_links(self, ring: Callable[[], None]) -> None:
        self.database.on(Bell.LINKS, ring)

    async def figures(self) -> Figures:
        path = self.database.path
        return await self.database.read(lambda connection: figures(connection, path))

    async def check(self) -> None:
        at = micros(self.database.now())

        def write(connection: WriteConnection) -> None:
            connection.execute(
                "INSERT INTO setting (key, value) VALUES ('checked_at', ?1) ON CONFLICT (key) DO UPDATE SET value = ?1",
                (str(at),),
            )

        await self.database.write(write)

    async def purge(self, *, closed_before: datetime, limit: int) -> int:
        return await purge_in_steps(self.database, closed_before, limit)

    async def close(self) -> None:
        await self.database.close()
