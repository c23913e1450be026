"""Invocation counters: no number is ever handed out twice under one key, whatever happens in between."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, one_of, sampled_from, tuples

from gateway.store.sqlite.backup import mark_in_place
from gateway.store.sqlite.counters import JUMP
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from tests.gateway.store.stores import BEGIN, Clock, opened

LAST = 0xFFFF_FFFF

reservations = tuples(
    sampled_from(["key-1", "key-2"]), one_of(integers(0, 5000), integers(LAST - 3000, LAST)), integers(1, 2000)
)
steps = lists(one_of(sampled_from(["crash", "restore"]), reservations), max_size=12)


@settings(max_examples=40, deadline=None)
@given(steps)
async def test_no_counter_is_handed_out_twice_over_crashes_and_restores(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[str | tuple[str, int, int]]
) -> None:
    directory, clock = tmp_path_factory.mktemp("store"), Clock()
    free: dict[str, int] = {}
    """The lowest counter of each key that was never handed out."""
    for number, (how, run) in enumerate(_runs(chosen)):
        if how == "restore" and number:
            mark_in_place(directory, BEGIN)
            free = {key: min(first + JUMP, LAST + 1) for key, first in free.items()}
        async with opened(directory, clock) as store:
            await store.lanes.recover()
            for key, at_least, size in run:
                block = await store.counters.reserve("meter", key, at_least=at_least, size=size)
                if block is None:
                    assert at_least == 0
                    assert key not in free
                    continue
                assert block.start >= free.get(key, 0)
                assert block.start >= at_least or not block
                assert len(block) == min(size, LAST + 1 - block.start)
                free[key] = block.stop


def _runs(chosen: list[str | tuple[str, int, int]]) -> Iterator[tuple[str, list[tuple[str, int, int]]]]:
    """Reservations between one start and the next, and how each run began."""
    how, run = "crash", list[tuple[str, int, int]]()
    for step in chosen:
        if isinstance(step, str):
            yield how, run
            how, run = step, []
        else:
            run.append(step)
    yield how, run


async def test_a_key_of_which_nothing_is_known_gives_no_counter_until_somebody_says_where_to_begin(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.received("meter", "key", 17)
        assert await store.counters.reserve("meter", "key", at_least=0, size=10) is None
        assert await store.counters.reserve("meter", "key", at_least=500, size=10) == range(500, 510)
        assert await store.counters.reserve("meter", "key", at_least=0, size=10) == range(510, 520)
        assert await store.counters.reserve("meter", "other key", at_least=0, size=10) is None
        assert await store.counters.reserve("other meter", "key", at_least=0, size=10) is None


async def test_counters_end_at_32_bits_and_are_used_up_then(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        assert await store.counters.reserve("meter", "key", at_least=LAST - 2, size=10) == range(LAST - 2, LAST + 1)
        for at_least in (0, 5, LAST):
            assert not await store.counters.reserve("meter", "key", at_least=at_least, size=10)


@pytest.mark.parametrize(("at_least", "size"), [(-1, 10), (0, 0), (5, -3)])
async def test_a_block_that_makes_no_sense_is_refused(tmp_path: Path, at_least: int, size: int) -> None:
    async with opened(tmp_path, Clock()) as store:
        with pytest.raises(ValueError, match="expected at least one, from 0 on"):
            await store.counters.reserve("meter", "key", at_least=at_least, size=size)


async def test_the_meters_own_counter_never_goes_back_and_outlives_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        assert await store.counters.last_received("meter", "key") == -1
        await store.counters.received("meter", "key", 100)
        await store.counters.received("meter", "key", 99)
        assert await store.counters.last_received("meter", "key") == 100
    async with opened(tmp_path, Clock()) as store:
        assert await store.counters.last_received("meter", "key") == 100
        assert await store.counters.last_received("meter", "other key") == -1


@asynccontextmanager
async def restored(directory: Path, *settings_of_the_copy: tuple[str, str]) -> AsyncIterator[SqliteStore]:
    mark_in_place(directory, BEGIN)
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection, connection:
        connection.executemany("INSERT INTO setting (key, value) VALUES (?, ?)", settings_of_the_copy)
    async with opened(directory, Clock()) as store:
        await store.lanes.recover()
        yield store


async def test_after_a_restore_every_counter_goes_on_far_above_what_was_known(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.reserve("meter", "key", at_least=100, size=10)
        await store.counters.received("meter", "unknown", 5)
    async with restored(tmp_path) as store:
        assert await store.counters.reserve("meter", "key", at_least=0, size=10) == range(110 + JUMP, 120 + JUMP)
        assert await store.counters.reserve("meter", "unknown", at_least=0, size=10) is None


async def test_how_far_counters_jump_is_a_setting_of_the_store(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.reserve("meter", "key", at_least=100, size=10)
    async with restored(tmp_path, ("restore_jump", "7")) as store:
        assert await store.counters.reserve("meter", "key", at_least=0, size=10) == range(117, 127)


async def test_a_counter_without_room_for_the_jump_is_used_up(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.reserve("meter", "key", at_least=LAST - 1000, size=10)
    async with restored(tmp_path) as store:
        assert await store.counters.reserve("meter", "key", at_least=0, size=10) == range(LAST + 1, LAST + 1)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE counter SET next_own = next_own - 1",
        "UPDATE counter SET next_own = NULL",
        "UPDATE counter SET last_received = last_received - 1",
        "UPDATE counter SET last_received = 4294967296",
        "UPDATE counter SET next_own = 4294967297",
        "UPDATE counter SET meter = 'another'",
        "UPDATE counter SET key_name = 'another'",
        "DELETE FROM counter",
        "INSERT OR REPLACE INTO counter (meter, key_name, next_own) VALUES ('meter', 'key', 0)",
    ],
)
async def test_the_database_itself_lets_no_counter_go_back(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.counters.reserve("meter", "key", at_least=100, size=10)
        await store.counters.received("meter", "key", 20)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
        assert connection.execute("SELECT * FROM counter").fetchall() == [("meter", "key", 110, 20)]
