"""Copies made while the service works, put back while it does not, and known for what they are."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.key_source import KeySource, make_key_file
from gateway.orders import OPEN_STATES, OrderState
from gateway.store.records import OrderFilter
from gateway.store.sqlite.backup import back_up, mark_in_place, put_back
from gateway.store.sqlite.counters import JUMP
from gateway.store.sqlite.restored import read_generation, restored_at, write_generation
from gateway.store.sqlite.store import FILE_NAME, SqliteStore
from gateway.store.sqlite.upkeep import keep_up
from gateway.store.store import StoreBroken, StoreError, StoreFull
from gateway.vault import KeyEncryptionKey, VaultError
from tests.gateway.store.commands import stsgate
from tests.gateway.store.stores import BEGIN, KEY_TEXT, SOURCE, Clock, add, opened, order_in, order_of, put_meter

BACK_UP = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gateway.store.sqlite.backup import back_up
print("begins", flush=True)
sys.stdin.readline()
back_up(Path(sys.argv[1]), Path(sys.argv[2]), datetime.now(UTC))
"""


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def write_orders(store: SqliteStore, taken: list[str], stop: asyncio.Event) -> None:
    """As fast as it can; what is in ``taken`` is on disk."""
    number = 0
    while not stop.is_set():
        number += 1
        await add(store, order_of(f"order-{number}", "meter", number))
        taken.append(f"order-{number}")


async def test_a_copy_made_by_another_process_holds_every_order_that_was_taken_before(tmp_path: Path) -> None:
    taken: list[str] = []
    stop = asyncio.Event()
    clock, directory, copy = Clock(), tmp_path / "data", tmp_path / "copy"
    async with opened(directory, clock) as store, asyncio.TaskGroup() as tasks:
        await put_meter(store, "meter")
        tasks.create_task(write_orders(store, taken, stop))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            BACK_UP,
            directory,
            copy,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        before = list(taken)
        await process.communicate(b"go\n")
        after = len(taken)
        stop.set()
    assert process.returncode == 0
    assert 0 < len(before) < after
    put_back(tmp_path / "other", copy, SOURCE, BEGIN)
    async with opened(tmp_path / "other", clock) as store:
        found = [record.id for record in await store.orders.list(OrderFilter(), limit=100_000)]
        assert len(found) == len(set(found))
        assert set(before) <= set(found)
        assert found == [f"order-{number}" for number in range(len(found), 0, -1)]  # a moment, and no patchwork
        for order_id in (found[0], found[-1]):
            record = await store.orders.get(order_id)
            assert record is not None
            assert len(record.tokens) == 1
            assert len(await store.orders.timeline(order_id)) == 1


async def filled(directory: Path) -> Clock:
    """An order in every state, and a counter."""
    clock = Clock()
    async with opened(directory, clock) as store:
        for number, state in enumerate(OrderState, 1):
            await order_in(store, clock, state, number, f"order-{state.value}")
        await store.counters.reserve("meter-1", "key", at_least=100, size=10)
    return clock


async def states(store: SqliteStore) -> dict[OrderState, int]:
    found = dict.fromkeys(OrderState, 0)
    for record in await store.orders.list(OrderFilter()):
        found[record.state] += 1
    return found


async def assert_taken_for_a_copy(directory: Path, clock: Clock) -> None:
    """Every open order is in doubt, but those that a person has to look at anyway and those whose time is still to
    come, and counters have jumped."""
    async with opened(directory, clock) as store:
        doubts = await store.lanes.recover()
        assert doubts == len(OPEN_STATES) - 2
        found = await states(store)
        assert found[OrderState.IN_DOUBT] == doubts
        assert found[OrderState.HELD] == found[OrderState.ACCEPTED] == found[OrderState.CANCELLED] == 1
        block = await store.counters.reserve("meter-1", "key", at_least=0, size=1)
        assert block == range(110 + JUMP, 111 + JUMP)
    await assert_taken_as_it_is(directory, clock, in_doubt=doubts)


async def assert_taken_as_it_is(directory: Path, clock: Clock, in_doubt: int) -> None:
    async with opened(directory, clock) as store:
        assert await store.database.read(restored_at) is None
        await store.lanes.recover()
        assert (await states(store))[OrderState.IN_DOUBT] == in_doubt


async def test_the_first_start_with_a_copy_knows_that_it_is_one(tmp_path: Path) -> None:
    clock = await filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "copy", BEGIN)
    put_back(tmp_path / "other", tmp_path / "copy", SOURCE, clock())
    await assert_taken_for_a_copy(tmp_path / "other", clock)


async def test_the_database_that_was_copied_stays_as_it_is(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    back_up(tmp_path, tmp_path / "copy", BEGIN)
    await assert_taken_as_it_is(tmp_path, clock, in_doubt=4)


async def test_a_copy_that_was_renamed_into_place_by_hand_is_one_all_the_same(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    back_up(tmp_path, tmp_path / "copy", BEGIN)
    (tmp_path / "copy").replace(tmp_path / FILE_NAME)
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_a_raw_copy_of_the_file_from_before_the_last_start_is_recognised(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    shutil.copyfile(tmp_path / FILE_NAME, tmp_path / "raw")
    async with opened(tmp_path, clock):
        pass
    (tmp_path / "raw").replace(tmp_path / FILE_NAME)
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_a_raw_copy_from_the_same_run_is_recognised_once_the_service_has_written_its_generation(
    tmp_path: Path,
) -> None:
    clock = await filled(tmp_path)
    async with opened(tmp_path, clock) as store:
        with (
            closing(sqlite3.connect(tmp_path / FILE_NAME)) as source,
            closing(sqlite3.connect(tmp_path / "raw")) as raw,
        ):
            source.backup(raw)
        await keep_up(store.database)
    (tmp_path / "raw").replace(tmp_path / FILE_NAME)
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_a_second_raw_copy_is_recognised_after_a_first_older_one(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    shutil.copyfile(tmp_path / FILE_NAME, tmp_path / "first")
    for name in ("second", "unused"):
        async with opened(tmp_path, clock):
            pass
        shutil.copyfile(tmp_path / FILE_NAME, tmp_path / name)
    (tmp_path / "first").replace(tmp_path / FILE_NAME)
    async with opened(tmp_path, clock) as store:
        await store.lanes.recover()
    (tmp_path / "second").replace(tmp_path / FILE_NAME)
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_a_crash_between_database_and_generation_file_is_no_restore(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    before = read_generation(tmp_path)
    async with opened(tmp_path, clock) as store:
        await keep_up(store.database)
    write_generation(tmp_path, before)
    await assert_taken_as_it_is(tmp_path, clock, in_doubt=4)
    (tmp_path / "generation").unlink()
    await assert_taken_as_it_is(tmp_path, clock, in_doubt=4)


async def test_a_snapshot_of_the_whole_machine_is_one_when_somebody_says_so(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    assert stsgate("restore", "--data-dir", tmp_path, "--in-place") == 0
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_an_unreadable_generation_is_said(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()):
        pass
    (tmp_path / "generation").write_text("x")
    with pytest.raises(StoreBroken, match="generation: expected a number"):
        async with opened(tmp_path, Clock()):
            pass
    (tmp_path / "generation").unlink()
    (tmp_path / "generation").mkdir()
    with pytest.raises(StoreFull, match="generation cannot be read"):
        async with opened(tmp_path, Clock()):
            pass


async def test_the_database_that_was_there_is_kept_whole_under_another_name(tmp_path: Path) -> None:
    clock = await filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "copy", BEGIN)
    async with opened(tmp_path / "data", clock) as store:
        await add(store, order_of("late", "meter-1", 99))
    done = put_back(tmp_path / "data", tmp_path / "copy", SOURCE, clock())
    assert done.kept is not None
    async with opened(tmp_path / "data", clock) as store:
        assert await store.orders.get("late") is None
    (tmp_path / "again").mkdir()
    shutil.copyfile(done.kept, tmp_path / "again" / FILE_NAME)
    async with opened(tmp_path / "again", clock) as store:
        assert await store.orders.get("late") is not None
    assert (tmp_path / "copy").exists()


async def test_the_log_of_the_old_database_is_not_played_into_the_copy(tmp_path: Path) -> None:
    clock, data = Clock(), tmp_path / "data"
    async with opened(data, clock) as store:
        back_up(data, tmp_path / "copy", BEGIN)
        await put_meter(store, "late")
        crashed = tmp_path / "crashed"
        shutil.copytree(data, crashed)  # as a crash leaves it: what was committed last is in the log alone
    assert (crashed / f"{FILE_NAME}-wal").stat().st_size > 0
    done = put_back(crashed, tmp_path / "copy", SOURCE, BEGIN)
    assert done.kept is not None
    async with opened(crashed, clock) as store:
        assert await store.meters.get("late") is None
    with closing(sqlite3.connect(done.kept)) as kept:
        assert kept.execute("SELECT id FROM meter").fetchall() == [("late",)]


async def test_a_damaged_database_gives_way_to_a_copy(tmp_path: Path) -> None:
    clock = await filled(tmp_path)
    back_up(tmp_path, tmp_path / "copy", BEGIN)
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"rest of a log")
    done = put_back(tmp_path, tmp_path / "copy", SOURCE, clock())
    assert done.kept is not None
    assert done.kept.read_bytes() == b"no database" * 1000
    assert f"{FILE_NAME}-wal" not in names_in(tmp_path)
    await assert_taken_for_a_copy(tmp_path, clock)


async def test_nothing_is_put_in_place_while_a_service_works_there(tmp_path: Path) -> None:
    await filled(tmp_path)
    back_up(tmp_path, tmp_path / "copy", BEGIN)
    async with opened(tmp_path, Clock()) as store:
        with pytest.raises(StoreError, match="another process works in this data directory"):
            put_back(tmp_path, tmp_path / "copy", SOURCE, BEGIN)
        with pytest.raises(StoreError, match="another process works in this data directory"):
            mark_in_place(tmp_path, BEGIN)
        assert await store.orders.get("order-held") is not None
    assert not [name for name in names_in(tmp_path) if "partial" in name]


@pytest.mark.parametrize("key", [None, KeyEncryptionKey.new()])
async def test_a_copy_that_the_key_in_place_does_not_open_is_refused(
    tmp_path: Path, key: KeyEncryptionKey | None
) -> None:
    await filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "copy", BEGIN)
    other = tmp_path / "other"
    other.mkdir()
    if key is not None:
        make_key_file(other / "key-encryption.key", key)
    with pytest.raises(VaultError, match="is missing" if key is None else "is not this database's"):
        put_back(other, tmp_path / "copy", KeySource.of(other, {}), BEGIN)
    assert not (other / FILE_NAME).exists()


async def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    await filled(tmp_path)
    back_up(tmp_path, tmp_path / "copy", BEGIN)
    octets = bytearray((tmp_path / "copy").read_bytes())
    octets[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    (tmp_path / "copy").write_bytes(octets)
    with pytest.raises(StoreError, match="damaged"):
        put_back(tmp_path, tmp_path / "copy", SOURCE, BEGIN)
    back_up(tmp_path, tmp_path / "second", BEGIN)
    with closing(sqlite3.connect(tmp_path / "second")) as connection, connection:
        # An index that is not its table's: nothing but an integrity check sees it.
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'counter_near_end') "
            "WHERE name = 'orders_closed'"
        )
    with pytest.raises(StoreError, match="damaged"):
        put_back(tmp_path, tmp_path / "second", SOURCE, BEGIN)
    (tmp_path / "copy").write_bytes(b"")
    with pytest.raises(StoreError):
        put_back(tmp_path, tmp_path / "copy", SOURCE, BEGIN)


async def test_no_file_is_ever_overwritten_and_no_half_copy_is_left(tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    (tmp_path / "copy").write_text("something precious")
    with pytest.raises(StoreError, match="is there already"):
        back_up(tmp_path / "data", tmp_path / "copy", BEGIN)
    with pytest.raises(StoreFull, match="No such file or directory"):
        back_up(tmp_path / "data", tmp_path / "nowhere" / "copy", BEGIN)
    with pytest.raises(StoreError, match=r"holds no stsgate\.sqlite"):
        back_up(tmp_path, tmp_path / "second", BEGIN)
    assert (tmp_path / "copy").read_text() == "something precious"
    assert names_in(tmp_path) == {"data", "copy"}


async def test_a_damaged_database_gives_no_copy(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / FILE_NAME
    octets = bytearray(path.read_bytes())
    octets[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    path.write_bytes(octets)
    with pytest.raises(StoreError, match="damaged"):
        back_up(tmp_path, tmp_path / "copy", BEGIN)
    assert not [name for name in names_in(tmp_path) if name.startswith("copy")]


async def test_only_the_owner_may_read_what_the_store_writes(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    async with opened(directory, Clock(), KeySource.of(directory, {})) as store:
        await put_meter(store, "meter")
        back_up(directory, tmp_path / "copy", BEGIN)
        modes = {path.name: path.stat().st_mode & 0o777 for path in (*directory.iterdir(), tmp_path / "copy")}
    names = {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", "lock", "generation", "key-encryption.key", "copy"}
    assert modes == dict.fromkeys(names, 0o600)
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_the_key_is_not_in_the_copy_and_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "data"
    async with opened(directory, Clock(), KeySource.of(directory, {})):
        assert stsgate("backup", "--data-dir", directory, tmp_path / "copy") == 0
    told = capsys.readouterr().out
    assert f"{tmp_path / 'copy'}: " in told
    assert "The key-encryption key is not in it" in told
    key = KeySource.of(directory, {}).find()
    assert key is not None
    octets = (tmp_path / "copy").read_bytes()
    assert key.octets not in octets
    assert key.octets.hex().encode() not in octets


async def test_the_commands_put_a_copy_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STSGATE_KEY_ENCRYPTION_KEY", KEY_TEXT)
    clock = await filled(tmp_path / "data")
    assert stsgate("backup", "--data-dir", tmp_path / "data", tmp_path / "copy") == 0
    assert stsgate("restore", "--data-dir", tmp_path / "data", tmp_path / "copy") == 0
    assert "the database that was there before" in capsys.readouterr().out
    await assert_taken_for_a_copy(tmp_path / "data", clock)


async def test_the_commands_say_in_one_line_why_they_cannot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await filled(tmp_path / "data")
    back_up(tmp_path / "data", tmp_path / "copy", BEGIN)
    for arguments in (
        ("backup", "--data-dir", tmp_path / "data", tmp_path / "copy"),
        ("backup", "--data-dir", tmp_path / "nowhere", tmp_path / "second"),
        ("restore", "--data-dir", tmp_path / "data", tmp_path / "nothing"),
        ("restore", "--data-dir", tmp_path / "data", tmp_path / "copy"),  # the key is not here
        ("restore", "--data-dir", tmp_path / "nowhere", "--in-place"),
    ):
        assert stsgate(*arguments) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.count("\n") == 1
        assert told.err.startswith(f"stsgate {arguments[0]}: ")


@pytest.mark.parametrize("more", [(), ("copy", "--in-place")])
def test_a_restore_is_of_one_thing(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    assert stsgate("restore", "--data-dir", tmp_path, *more) == 2
    assert capsys.readouterr().err == "stsgate restore: expected FILE, or --in-place\n"


@pytest.mark.parametrize(
    "arguments",
    [("backup",), ("backup", "copy"), ("backup", "--data-dir", "x"), ("restore",), ("migrate",), ("rotate-key",)],
)
def test_what_is_missing_is_said_and_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as end:
        stsgate(*arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
