"""The one writer: works of many callers in one commit, each for itself."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import pytest

from gateway.store.sqlite.database import BATCH_MAX, SLICE_MAX, Bell, Database, WriteConnection
from gateway.store.store import LaneLost, StoreError
from tests.contract.stores import KINDS, Clock, a_vault


@asynccontextmanager
async def opened(folder: Path, kind: str) -> AsyncIterator[Database]:
    database = Database(folder / "test.sqlite", a_vault(), Clock().now, inline=kind.endswith("inline"))
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture(params=KINDS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path, request.param) as found:
        yield found


def note(connection: WriteConnection, key: str) -> str:
    connection.execute("INSERT INTO setting (key, value) VALUES (?, 'x')", (key,))
    return key


async def notes(database: Database) -> list[str]:
    rows = await database.read(lambda connection: connection.execute("SELECT key FROM setting ORDER BY key").fetchall())
    return [key for (key,) in rows]


def lose_after_writing(connection: WriteConnection) -> str:
    note(connection, "half")
    connection.bells.add(Bell.WORK)
    raise LaneLost("after it has written")


async def test_what_a_work_wrote_before_it_raised_is_rolled_back_and_nothing_else(database: Database) -> None:
    rings: list[str] = []
    database.on(Bell.WORK, lambda: rings.append("work"))
    results = await asyncio.gather(
        database.write(lambda connection: note(connection, "a")),
        database.write(lose_after_writing),
        database.write(lambda connection: note(connection, "b")),
        database.write(lambda connection: note(connection, "a")),
        database.write(lambda connection: note(connection, "c")),
        return_exceptions=True,
    )
    assert [result if isinstance(result, str) else type(result) for result in results] == [
        "a",
        LaneLost,
        "b",
        StoreError,
        "c",
    ]
    assert await notes(database) == ["a", "b", "c"]
    assert rings == [], "what was rolled back rings no bell"


async def test_a_message_names_the_file_and_no_value(database: Database) -> None:
    await database.write(lambda connection: note(connection, "a secret value"))
    with pytest.raises(StoreError, match=r"test\.sqlite: UNIQUE constraint failed: setting\.key") as raised:
        await database.write(lambda connection: note(connection, "a secret value"))
    assert "secret value" not in str(raised.value)


async def test_many_works_share_a_commit_and_none_waits_for_ever(tmp_path: Path) -> None:
    async with opened(tmp_path, "sqlite") as database:
        count = 2 * BATCH_MAX + 7
        keys = [f"{number:06d}" for number in range(count)]
        results = await asyncio.gather(*(database.write(lambda c, key=key: note(c, key)) for key in keys))
        assert results == keys
        assert (database.works, database.batches) == (count, 3)
        assert await notes(database) == keys


async def test_between_large_works_others_have_their_turn(tmp_path: Path) -> None:
    seen: list[str] = []

    def work(name: str) -> Callable[[WriteConnection], None]:
        return lambda _connection: seen.append(name)

    async def others(done: asyncio.Event) -> None:
        while not done.is_set():
            seen.append("others")
            await asyncio.sleep(0)

    async with opened(tmp_path, "sqlite") as database:
        done = asyncio.Event()
        beside = asyncio.create_task(others(done))
        sizes = {"a": SLICE_MAX, "b": SLICE_MAX - 1, "c": 1, "d": 5 * SLICE_MAX, "e": 1}
        await asyncio.gather(*(database.write(work(name), size=size) for name, size in sizes.items()))
        done.set()
        await beside
    turns = [name for name, _ in groupby("".join("." if name == "others" else name for name in seen).strip("."))]
    assert "".join(turns) == "a.bc.d.e"


async def test_inline_each_work_is_a_commit(tmp_path: Path) -> None:
    async with opened(tmp_path, "sqlite inline") as database:
        await asyncio.gather(*(database.write(lambda c, key=key: note(c, key)) for key in "abc"))
        assert (database.works, database.batches) == (3, 3)


async def test_a_reader_sees_one_moment_and_writes_nothing(database: Database) -> None:
    await database.write(lambda connection: note(connection, "a"))
    with pytest.raises(StoreError):
        await database.read(lambda connection: connection.execute("DELETE FROM setting"))
    assert await notes(database) == ["a"]


async def test_every_commit_waits_for_the_disk(database: Database) -> None:
    def asked(connection: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.write(asked) == ["wal", 2, 1, 1]


async def test_nothing_is_answered_before_its_commit(tmp_path: Path) -> None:
    moments: list[str] = []
    clock = Clock()
    database = Database(tmp_path / "test.sqlite", a_vault(), clock.now, at_commit=moments.append)
    await database.open()
    await database.write(lambda connection: note(connection, "a"))
    assert moments == ["before-commit", "after-commit"]
    await database.close()


class PowerCut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(("moment", "is_there"), [("before-commit", []), ("after-commit", ["a"])])
async def test_a_cut_before_the_commit_loses_it_and_a_cut_after_does_not(
    tmp_path: Path, moment: str, is_there: list[str]
) -> None:
    def cut(now: str) -> None:
        if now == moment:
            raise PowerCut

    database = Database(tmp_path / "test.sqlite", a_vault(), Clock().now, inline=True, at_commit=cut)
    await database.open()
    with pytest.raises(PowerCut):
        await database.write(lambda connection: note(connection, "a"))
    await database.close()
    async with opened(tmp_path, "sqlite inline") as again:
        assert await notes(again) == is_there
