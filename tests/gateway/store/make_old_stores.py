"""Writes the kept old databases into ``tests/vectors/stores``, for the schema that this program has today and for those
before it: ``python -m tests.gateway.store.make_old_stores``.

A file of a schema that was ever released is never made again: it is the proof that what is out there can be brought up
to date. So files that are there are left alone, unless their version is given: ``... make_old_stores 1 2``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.orders import OrderState
from gateway.store.records import WebhookRecord
from gateway.store.sqlite.migrations import APPLICATION_ID, newest_version
from gateway.store.sqlite.store import FILE_NAME
from tests.gateway.store.stores import Clock, opened, order_in

FOLDER = Path(__file__).resolve().parents[2] / "vectors" / "stores"


def old_store(version: int) -> Path:
    return FOLDER / f"schema_{version}.sql"


async def fill(directory: Path) -> None:
    """An order in every state, a webhook, a counter, an entry in the audit for each meter."""
    clock = Clock()
    async with opened(directory, clock) as store:
        hook = WebhookRecord(id="erp", url="https://erp.example/hook", secret="kept secret", events=())
        await store.webhooks.put(hook, who="tests")
        for number, state in enumerate(OrderState, 1):
            await order_in(store, clock, state, number, f"order-{state.value}")
        await store.counters.reserve("meter-1", "key", at_least=100, size=1000)


def script(connection: sqlite3.Connection, version: int) -> Iterator[str]:
    yield f"PRAGMA application_id = {APPLICATION_ID};"
    yield f"PRAGMA user_version = {version};"
    yield from connection.iterdump()


def as_of(version: int, source: sqlite3.Connection) -> sqlite3.Connection:
    """The same rows in the schema of an earlier version, as far as it has the tables."""
    earlier = sqlite3.connect(":memory:")
    for file in sorted((resources.files("gateway.store.sqlite") / "migrations").iterdir(), key=lambda file: file.name):
        if file.name[:4].isdigit() and int(file.name[:4]) <= version:
            earlier.executescript(file.read_text(encoding="utf-8"))
    triggers = earlier.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    tables = earlier.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE%STRICT%'")
    for name, _ in triggers:
        earlier.execute(f"DROP TRIGGER {name}")
    for (table,) in [*tables.fetchall(), ("sqlite_sequence",)]:
        earlier.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from the schema
        rows = source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        if rows:
            places = ", ".join("?" * len(rows[0]))
            earlier.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608
    for _, sql in triggers:
        earlier.execute(sql)
    earlier.commit()
    return earlier


def main(chosen: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as directory:
        asyncio.run(fill(Path(directory)))
        with closing(sqlite3.connect(Path(directory) / FILE_NAME)) as source:
            for version in range(1, newest_version() + 1):
                if str(version) in chosen or not old_store(version).exists():
                    with closing(as_of(version, source)) as earlier:
                        old_store(version).write_text("\n".join(script(earlier, version)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
