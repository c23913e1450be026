"""The disk and other processes at their worst: what is said, what is lost (nothing), and whether it goes on."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import pytest

from gateway.orders import Change, OrderState
from gateway.store.records import Added, NextHead, OrderFilter
from gateway.store.sqlite.migrations import APPLICATION_ID, migrate, newest_version
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from gateway.store.store import StoreBroken, StoreError, StoreFull
from tests.contract.stores import Place, add, an_order, claim_one, put_meters, send, state_of, step

C, S = Change, OrderState


def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the file grow by so many pages and no further: SQLite then says what it says on a full disk."""
    writer = store.database._writer
    assert writer is not None
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + more}")


async def fill(store: SqliteStore, first: int = 0) -> int:
    """Orders one by one until there is no room; how many were taken."""
    for number in range(first, 10_000):
        try:
            await add(store, an_order(f"full-{number:06d}"))
        except StoreFull:
            return number
    raise AssertionError("it never became full")


async def test_on_a_full_disk_it_says_so_loses_nothing_and_goes_on_when_there_is_room(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1")
        await add(store, an_order("o1"))
        claim, work = await claim_one(store)
        limit_pages(store, 40)
        taken = await fill(store)
        assert taken > 10
        await store.orders.get("o1")
        with pytest.raises(StoreFull, match=f"{FILE_NAME}: there is no room"):
            await put_meters(store, *(f"more-{n}" for n in range(100)))
        limit_pages(store, 1000)
        await store.check()
        assert await fill_some(store, taken) == taken + 5
        await send(store, claim, work)
        assert await state_of(store, "o1") is S.SENDING
        assert len(await store.orders.list(OrderFilter(), limit=10_000)) == taken + 6
        await check_file(place)


async def fill_some(store: SqliteStore, first: int) -> int:
    for number in range(first, first + 5):
        await add(store, an_order(f"full-{number:06d}"))
    return first + 5


async def check_file(place: Place) -> None:
    with closing(sqlite3.connect(place.directory / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


async def test_on_a_full_disk_each_of_a_batch_hears_what_became_of_his(tmp_path: Path) -> None:
    async with Place("sqlite", tmp_path).opened() as store:
        await put_meters(store, "m1")
        limit_pages(store, 10)
        orders = [an_order(f"o{number:06d}") for number in range(400)]
        results = await asyncio.gather(
            *(store.orders.add([(order, b"")], who="a") for order in orders), return_exceptions=True
        )
        assert any(isinstance(result, StoreFull) for result in results)
        taken = {order.id for order, result in zip(orders, results, strict=True) if result == [Added(order.id)]}
        assert {record.id for record in await store.orders.list(OrderFilter(), limit=1000)} == taken
        limit_pages(store, 1000)
        await add(store, *(order for order in orders if order.id not in taken))


async def test_a_file_that_cannot_be_written_is_named_and_is_written_again_later(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path)
    async with place.opened() as store:
        await put_meters(store, "m1")
        writer = store.database._writer
        assert writer is not None
        writer.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreFull, match=f"{FILE_NAME}: the file is read-only"):
            await add(store, an_order("o1"))
        with pytest.raises(StoreFull):
            await store.check()
        assert await store.orders.get("o1") is None
        writer.execute("PRAGMA query_only = OFF")
        await add(store, an_order("o1"))


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match="nowhere"):
        async with Place("sqlite", tmp_path / "nowhere").opened():
            pass


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda octets: b"this is no database at all, but some text" * 200, "no SQLite file"),
        (lambda octets: octets[:100] + bytes(4000) + octets[4100:], "damaged"),
    ],
    ids=["another-file", "its-first-page"],
)
async def test_a_damaged_file_is_said_to_be_damaged(
    tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    place = Place("sqlite", tmp_path)
    async with place.opened() as store:
        await put_meters(store, "m1")
    file = tmp_path / FILE_NAME
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(StoreBroken, match=words):
        async with place.opened():
            pass


async def test_damage_that_is_met_later_is_said_then(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path)
    async with place.opened() as store:
        await put_meters(store, "m1")
        await add(store, *(an_order(f"o{n:06d}") for n in range(300)))
    file = tmp_path / FILE_NAME
    octets = bytearray(file.read_bytes())
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'orders'").fetchone()
    octets[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    file.write_bytes(octets)
    async with place.opened() as store:
        with pytest.raises(StoreBroken, match=f"{FILE_NAME}: the file is damaged"):
            await store.orders.list(OrderFilter())
        with pytest.raises(StoreBroken):
            await add(store, an_order("new"))


async def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE music (title TEXT)")
    before = file.read_bytes()
    with pytest.raises(StoreBroken, match="belongs to another program"):
        migrate(file)
    assert file.read_bytes() == before


async def test_a_newer_schema_is_refused_by_the_numbers_of_both(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    assert migrate(file) == (0, newest_version())
    assert migrate(file) == (newest_version(), newest_version())
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        connection.execute(f"PRAGMA user_version = {newest_version() + 7}")
    with pytest.raises(StoreBroken, match=f"schema is {newest_version() + 7}.* up to {newest_version()};"):
        async with Place("sqlite", tmp_path).opened():
            pass


async def test_a_failed_commit_is_told_to_everybody_and_nothing_of_it_is_there(tmp_path: Path) -> None:
    fails = False

    def at_commit(moment: str) -> None:
        if fails and moment == "before-commit":
            raise sqlite3.OperationalError("the disk is gone")

    place = Place("sqlite", tmp_path)
    store = await SqliteStore.open(tmp_path, place.vault, place.clock.now, at_commit=at_commit)
    await put_meters(store, "m1")
    fails = True
    results = await asyncio.gather(
        *(store.orders.add([(an_order(f"o{n}"), b"")], who="a") for n in range(50)), return_exceptions=True
    )
    assert all(type(result) is StoreError for result in results)
    fails = False
    assert await store.orders.list(OrderFilter()) == []
    await add(store, an_order("o1"))
    await store.close()


async def test_who_is_cancelled_while_waiting_takes_nobody_with_him(tmp_path: Path) -> None:
    async with Place("sqlite", tmp_path).opened() as store:
        await put_meters(store, "m1")
        writes = [asyncio.create_task(store.orders.add([(an_order(f"o{n}"), b"")], who="a")) for n in range(20)]
        await asyncio.sleep(0)
        for write in writes[::2]:
            write.cancel()
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert results[1::2] == [[Added(f"o{n}")] for n in range(1, 20, 2)]
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])


async def test_another_process_that_writes_is_waited_for(tmp_path: Path) -> None:
    async with Place("sqlite", tmp_path).opened() as store:
        await put_meters(store, "m1")
        other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        with closing(other):
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.orders.add([(an_order("o1"), b"")], who="a"))
            for _ in range(20):
                await store.orders.get("o1")
            assert not waiting.done(), "and the loop goes on meanwhile"
            other.execute("ROLLBACK")
            assert list(await waiting) == [Added("o1")]


# Secrets.


def all_files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


async def test_no_token_and_no_secret_can_be_read_in_the_files(tmp_path: Path) -> None:
    place = Place("sqlite", tmp_path)
    async with place.opened() as store:
        await put_meters(store, "m1")
        meter = await store.meters.get("m1")
        assert meter is not None
        secrets = {"ek": "00112233445566778899AABBCCDDEEFF", "password": "open sesame"}
        await store.meters.put(type(meter)(id="m1", link="l", settings={}, secrets=secrets), who="a")
        await add(store, an_order("o1"))
        claim, work = await claim_one(store)
        await send(store, claim, work)
        token = work.tokens[0].token
        await step(store, claim, work, C.PEND, NextHead.STAY)
        whole = all_files(tmp_path)
    whole += all_files(tmp_path)
    assert token.digits[-4:].encode() in whole, "the story does name it"
    forms = [token.digits.encode(), bytes.fromhex(token.digits), token.number.to_bytes(9), token.number.to_bytes(8)]
    forms += [token.digits[:12].encode(), bytes.fromhex(secrets["ek"]), b"01" * 20, b"\x01" * 20]
    forms += [value.encode() for value in secrets.values()]
    assert [form for form in forms if form in whole] == []


# Other processes.

_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.contract.stores import Clock, a_vault, an_order, put_meters
from gateway.store.sqlite.store import SqliteStore

async def main(directory, run):
    store = await SqliteStore.open(Path(directory), a_vault(), Clock().now)
    await put_meters(store, "m1")
    print("ready", flush=True)
    async def one(lane):
        for number in range(100_000):
            order_id = f"{run}-{lane}-{number}"
            await store.orders.add([(an_order(order_id, tokens=[]), b"")], who="writer")
            sys.stdout.write(order_id + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(one(lane) for lane in range(20)))

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@contextmanager
def writing(directory: Path, run: int) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that takes orders until it is killed, and names each once its commit is done."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory), str(run)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def acknowledged_until_killed(directory: Path, run: int, lines: int) -> list[str]:
    """What it had named when it was killed: at a moment that the number of lines and the machine choose."""
    with writing(directory, run) as process:
        assert process.stdout is not None
        known = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        known += process.stdout.readlines()
    return [line.rstrip() for line in known if line.endswith("\n")]


@pytest.fixture
def rng() -> Random:
    return Random(20261121)


async def test_what_was_acknowledged_survives_kill_minus_nine(tmp_path: Path, rng: Random) -> None:
    place = Place("sqlite", tmp_path)
    acknowledged: list[str] = []
    for run in range(10):
        acknowledged += await asyncio.to_thread(acknowledged_until_killed, tmp_path, run, rng.randrange(1, 400))
        await check_file(place)
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            there = {order_id for (order_id,) in connection.execute("SELECT id FROM orders")}
            stories = connection.execute("SELECT count(DISTINCT order_number) FROM event").fetchone()
        assert set(acknowledged) <= there
        assert stories == (len(there),), "an order and its story are written together"
    assert len(acknowledged) > 1000
    async with place.opened() as store:
        assert await store.lanes.repair() == 0
        assert await state_of(store, acknowledged[-1]) is S.QUEUED


async def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    refused = pytest.raises(StoreError, match=f"{tmp_path}: another process works in this data directory")
    with writing(tmp_path, 0), refused:
        async with Place("sqlite", tmp_path).opened():
            pass
    async with Place("sqlite", tmp_path).opened() as store:
        await store.check()
