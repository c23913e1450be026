"""The first API key: one is made where no valid one is, and a key that was revoked never comes back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gateway.api_keys import digest
from gateway.serving.first_start import KEY_FILE, KEY_VARIABLE, ensure_admin_key, is_bootstrap_key
from gateway.store.records import ApiKeyRecord
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import InUse
from tests.gateway.store.stores import BEGIN, Clock, opened

CHOSEN = "a-bootstrap-key-of-some-length"


async def scopes_of(store: SqliteStore, key: str) -> tuple[str, ...]:
    found = await store.access.by_digest(digest(key))
    return () if found is None or found.revoked_at else found.scopes


def left_in(directory: Path) -> str:
    path = directory / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(directory.glob("*.new"))
    return path.read_text(encoding="ascii").strip()


async def test_a_key_is_made_once_and_left_in_a_file(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        assert await ensure_admin_key(store.access, tmp_path, {}, clock) == tmp_path / KEY_FILE
        key = left_in(tmp_path)
        assert is_bootstrap_key(key)
        assert await scopes_of(store, key) == ("admin",)
        assert await ensure_admin_key(store.access, tmp_path, {}, clock) is None
        assert await ensure_admin_key(store.access, tmp_path, {KEY_VARIABLE: CHOSEN}, clock) is None
        assert left_in(tmp_path) == key
        assert await scopes_of(store, CHOSEN) == ()


async def test_a_key_that_is_chosen_is_in_no_file(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        assert await ensure_admin_key(store.access, tmp_path, {KEY_VARIABLE: CHOSEN}, Clock()) is None
        assert await scopes_of(store, CHOSEN) == ("admin",)
        assert (await store.access.list())[0].id == "bootstrap"
    assert not [path.name for path in tmp_path.iterdir() if path.name == KEY_FILE]  # noqa: ASYNC240 - over by now


async def test_after_a_crash_between_file_and_store_another_key_is_made(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        (tmp_path / KEY_FILE).write_text("left by a start that did not come to its end")
        (tmp_path / KEY_FILE).chmod(0o600)
        await ensure_admin_key(store.access, tmp_path, {}, Clock())
        assert await scopes_of(store, left_in(tmp_path)) == ("admin",)


async def test_where_all_admin_keys_are_over_another_one_is_made(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await ensure_admin_key(store.access, tmp_path, {}, clock)
        first = left_in(tmp_path)
        await store.access.revoke("bootstrap", who="tests")
        expired = ApiKeyRecord(
            id="old", name="old", scopes=("admin",), created_at=BEGIN, expires_at=BEGIN + timedelta(days=1)
        )
        await store.access.add(expired, digest("old"), who="tests")
        reader = ApiKeyRecord(id="reader", name="reader", scopes=("read",), created_at=BEGIN)
        await store.access.add(reader, digest("reader"), who="tests")
        assert await ensure_admin_key(store.access, tmp_path, {}, clock) is None
        clock.move(days=2)
        assert await ensure_admin_key(store.access, tmp_path, {}, clock) == tmp_path / KEY_FILE
        second = left_in(tmp_path)
        assert second != first
        assert await scopes_of(store, second) == ("admin",)
        assert await scopes_of(store, first) == ()


async def test_a_chosen_key_that_was_revoked_does_not_come_back(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await ensure_admin_key(store.access, tmp_path, {KEY_VARIABLE: CHOSEN}, Clock())
        await store.access.revoke("bootstrap", who="tests")
        with pytest.raises(InUse):
            await ensure_admin_key(store.access, tmp_path, {KEY_VARIABLE: CHOSEN}, Clock())
        assert await scopes_of(store, CHOSEN) == ()


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 23, "x" * 201, "with a blank in its middle ", "ümlaut" * 5, "x\n" * 20]
)
def test_what_can_be_guessed_or_mistyped_is_no_key(text: str) -> None:
    assert not is_bootstrap_key(text)
    assert is_bootstrap_key(CHOSEN)
