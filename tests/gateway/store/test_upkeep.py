"""What the store does for itself: data keys are changed before their time is over, and only once that is on disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store.sqlite.opening import open_store
from gateway.store.sqlite.restored import read_generation
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.sqlite.upkeep import keep_up
from gateway.store.store import StoreError
from gateway.vault import RECORDS_MAX, Vault
from tests.gateway.store.stores import SOURCE, Clock, opened, put_meter


def use_up(directory: Path) -> None:
    """As if the first data key had sealed as much as it may, less what a start counts for a crash."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE data_key_use SET records = ?", (RECORDS_MAX - 2**20 - 3,))


async def test_a_data_key_that_is_used_up_is_replaced_while_the_service_runs(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await put_meter(store, "old")
    use_up(tmp_path)
    async with opened(tmp_path, Clock()) as store:
        vault = store.database.vault
        assert isinstance(vault, Vault)
        for number in range(3):
            await put_meter(store, f"meter-{number}")
        assert vault.current_key == 1
        await keep_up(store.database)
        assert vault.current_key == 2
        await put_meter(store, "new")
    async with opened(tmp_path, Clock()) as store:
        for meter_id in ("old", "meter-0", "new"):
            meter = await store.meters.get(meter_id)
            assert meter is not None
            assert meter.secrets == {"ek": "00"}


async def test_a_data_key_whose_commit_failed_seals_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()):
        pass
    use_up(tmp_path)
    fails: list[str] = []

    def at_commit(moment: str) -> None:
        if moment in fails:
            raise StoreError("the disk is gone")

    store = await open_store(tmp_path, SOURCE, Clock(), at_commit=at_commit)
    vault = store.database.vault
    assert isinstance(vault, Vault)
    for number in range(3):
        await put_meter(store, f"meter-{number}")
    fails.append("before-commit")
    with pytest.raises(StoreError, match="the disk is gone"):
        await keep_up(store.database)
    assert vault.current_key == 1
    await store.close()


async def test_the_generation_grows_at_every_start_and_with_every_upkeep(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with opened(tmp_path, Clock()) as store:
            seen.append(read_generation(tmp_path))
            await keep_up(store.database)
            seen.append(read_generation(tmp_path))
    assert seen == [1, 2, 3, 4]


async def test_a_start_that_fails_leaves_the_directory_free_for_the_next(tmp_path: Path) -> None:
    (tmp_path / "generation").write_text("x")
    with pytest.raises(StoreError):
        await open_store(tmp_path, SOURCE, Clock())
    (tmp_path / "generation").unlink()
    async with opened(tmp_path, Clock()) as store:
        assert await store.meters.list() == []
