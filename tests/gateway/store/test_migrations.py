"""Databases of every schema there ever was come up to date.

The kept ones in ``tests/vectors/stores`` were made by ``python -m tests.gateway.store.make_old_stores``.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from gateway.orders import OrderState
from gateway.store.records import OrderFilter
from gateway.store.sqlite.lock import DirectoryLock
from gateway.store.sqlite.migrations import migrate, newest_version
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.store import StoreBroken
from tests.gateway.store.commands import stsgate
from tests.gateway.store.make_old_stores import old_store
from tests.gateway.store.stores import Clock, opened

VERSIONS = range(1, newest_version() + 1)


def put_old_store(directory: Path, version: int) -> Path:
    path = directory / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(old_store(version).read_text(encoding="utf-8"))
    return path


def schema(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_database_comes_up_to_date_and_a_second_time_does_no_harm(tmp_path: Path, version: int) -> None:
    path = put_old_store(tmp_path, version)
    assert migrate(path) == (version, newest_version())
    after_once = contents(path)
    assert migrate(path) == (newest_version(), newest_version())
    assert contents(path) == after_once
    fresh = tmp_path / "fresh"
    migrate(fresh)
    assert schema(path) == schema(fresh)


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_order_of_an_old_database_is_in_its_state_and_counted(tmp_path: Path, version: int) -> None:
    put_old_store(tmp_path, version)
    async with opened(tmp_path, Clock()) as store:
        records = await store.orders.list(OrderFilter())
        assert {record.id: record.state for record in records} == {f"order-{state}": state for state in OrderState}
        by_state = Counter[OrderState]()
        figures = await store.figures()
        for (state, _), orders in figures.orders.items():
            by_state[state] += orders
        assert by_state == Counter(OrderState)
        assert figures.oldest_doubt_at is not None


async def test_what_an_old_database_keeps_sealed_opens_with_its_key(tmp_path: Path) -> None:
    put_old_store(tmp_path, 2)
    async with opened(tmp_path, Clock()) as store:
        meter, hook = await store.meters.get("meter-1"), await store.webhooks.get("erp")
        assert meter is not None
        assert hook is not None
        assert (meter.secrets, hook.secret) == ({"ek": "00"}, "kept secret")
        assert await store.counters.reserve("meter-1", "key", at_least=0, size=10) == range(1100, 1110)


def make_newer(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    return path.read_bytes()


async def test_a_database_of_a_newer_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = put_old_store(tmp_path, newest_version())
    octets = make_newer(path)
    with pytest.raises(StoreBroken, match="run a newer stsgate"):
        migrate(path)
    with pytest.raises(StoreBroken, match="run a newer stsgate"):
        async with opened(tmp_path, Clock()):
            pass
    assert path.read_bytes() == octets


def test_the_command_says_from_and_to_which_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_old_store(tmp_path, 1)
    assert stsgate("migrate", "--data-dir", tmp_path) == 0
    assert stsgate("migrate", "--data-dir", tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: the schema was 1 and is {newest_version()} now",
        f"{path}: the schema is {newest_version()} already, nothing to do",
    ]


def test_the_command_says_in_one_line_why_it_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stsgate("migrate", "--data-dir", tmp_path) == 1
    assert stsgate("migrate", "--data-dir", tmp_path / "nowhere") == 1
    make_newer(put_old_store(tmp_path, 2))
    assert stsgate("migrate", "--data-dir", tmp_path) == 1
    lock = DirectoryLock(tmp_path)
    lock.take()
    assert stsgate("migrate", "--data-dir", tmp_path) == 1
    lock.free()
    (tmp_path / FILE_NAME).write_bytes(b"not a database " * 100)
    assert stsgate("migrate", "--data-dir", tmp_path) == 1
    lines = capsys.readouterr().err.splitlines()
    expected = ("holds no stsgate.sqlite", "holds no", "run a newer stsgate", "another process", "no SQLite file")
    assert len(lines) == len(expected)
    assert all(
        part in line and line.startswith("stsgate migrate: ") for line, part in zip(lines, expected, strict=True)
    )
