"""API keys, and who did what."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.api_keys import ApiKey, ApiKeyFormatError, Scope, allows, digest
from gateway.store.records import ApiKeyRecord
from gateway.store.sqlite.store import FILE_NAME
from gateway.store.store import InUse
from tests.gateway.store.stores import BEGIN, Clock, opened

RECORD = ApiKeyRecord(
    id="vending", name="Vending system", scopes=("read", "orders"), created_at=BEGIN, expires_at=BEGIN + timedelta(365)
)
KEY = ApiKey.new("vending")


async def test_a_key_is_found_by_its_digest_and_by_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.access.add(RECORD, KEY.digest, who="admin")
        assert await store.access.by_digest(KEY.digest) == RECORD
        assert await store.access.by_digest(ApiKey.new("vending").digest) is None
        assert await store.access.by_digest(b"") is None
        assert await store.access.list() == [RECORD]


async def test_the_key_itself_is_nowhere_in_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.access.add(RECORD, KEY.digest, who="admin")
    octets = (tmp_path / FILE_NAME).read_bytes()
    assert b"Vending system" in octets
    assert KEY.text.encode() not in octets
    assert KEY.text[-43:].encode() not in octets


async def test_an_id_and_a_key_are_taken_once(tmp_path: Path) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.access.add(RECORD, KEY.digest, who="admin")
        for record, octets in ((RECORD, ApiKey.new().digest), (replace(RECORD, id="other"), KEY.digest)):
            with pytest.raises(InUse):
                await store.access.add(record, octets, who="admin")
        assert await store.access.list() == [RECORD]
        assert len(await store.audit.list()) == 1


async def test_a_revoked_key_is_shown_as_such_and_revoked_once(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.access.add(RECORD, KEY.digest, who="admin")
        at = clock.move(hours=1)
        assert await store.access.revoke("vending", who="admin")
        clock.move(hours=1)
        assert not await store.access.revoke("vending", who="admin")
        assert not await store.access.revoke("nobody", who="admin")
        assert await store.access.by_digest(KEY.digest) == replace(RECORD, revoked_at=at)
        assert [line.action for line in await store.audit.list()] == ["api_key.revoke", "api_key.add"]


async def test_when_a_key_was_used_last_is_remembered_and_never_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        await store.access.add(RECORD, KEY.digest, who="admin")
        at = clock.move(hours=1)
        await store.access.used(["vending", "nobody"])
        clock.move(hours=-2)
        await store.access.used(["vending"])
        assert (await store.access.list())[0].last_used_at == at


def test_keys_are_made_recognised_and_never_shown() -> None:
    made = ApiKey.new("vending-1")
    assert made.text.startswith("stsgate_vending-1_")
    assert ApiKey.parse(made.text) == made
    assert made.text not in repr(made)
    assert made.digest == digest(made.text)
    assert len({ApiKey.new().text for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text",
    ["", "stsgate_", "stsgate_a_b", KEY.text + "x", KEY.text[:-1], KEY.text.upper(), f" {KEY.text}", "ä" * 60],
    ids=range(8),  # the key is another one each time
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ApiKeyFormatError) as refusal:
        ApiKey.parse(text)
    assert len(text) < 20 or text not in str(refusal.value)


@pytest.mark.parametrize("key_id", ["", "Upper", "under_score", "-begins", "a" * 64, "spa ce"])
def test_an_id_that_would_make_a_key_ambiguous_is_refused(key_id: str) -> None:
    with pytest.raises(ApiKeyFormatError):
        ApiKey.new(key_id)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ((), set()),
        (("read",), {Scope.READ}),
        (("orders", "operate"), {Scope.ORDERS, Scope.OPERATE}),
        (("admin",), set(Scope)),
        (("root",), set()),
    ],
)
def test_a_scope_allows_itself_and_admin_allows_everything(scopes: tuple[str, ...], allowed: set[Scope]) -> None:
    assert {scope for scope in Scope if allows(scopes, scope)} == allowed


async def test_the_audit_is_read_page_by_page_newest_first(tmp_path: Path) -> None:
    clock = Clock()
    async with opened(tmp_path, clock) as store:
        for number in range(5):
            clock.move(seconds=1)
            await store.audit.append(who="Ada", action="test", subject=f"thing {number}", details={"n": number})
        newest = await store.audit.list(limit=2)
        rest = await store.audit.list(before=newest[-1].number)
        assert [line.subject for line in (*newest, *rest)] == [f"thing {number}" for number in (4, 3, 2, 1, 0)]
        assert newest[0].details == {"n": 4}
        assert (newest[0].who, newest[0].at) == ("Ada", BEGIN + timedelta(seconds=5))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (number, at, who, action, subject, details) VALUES (1, 0, '', '', '', '{}')",
    ],
)
async def test_the_database_itself_lets_nobody_change_the_audit(tmp_path: Path, statement: str) -> None:
    async with opened(tmp_path, Clock()) as store:
        await store.audit.append(who="Ada", action="test", subject="thing", details={})
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
        assert connection.execute("SELECT who FROM audit").fetchall() == [("Ada",)]
