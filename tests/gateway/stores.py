"""A real store on a temporary folder, under a clock that the test moves, and orders to put into it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cosem_objects.sts_token import Token
from gateway.orders import Order, OrderedToken, OrderKind
from gateway.store.records import MeterRecord
from gateway.store.sqlite.store import SqliteStore
from gateway.vault import DATA, DIGEST, DataKey, KeyEncryptionKey, Vault

START = datetime(2026, 11, 21, 14, 0, tzinfo=UTC)
METER = "M-1"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = START
        self._follows_real_time = False

    def now(self) -> datetime:
        return datetime.now(UTC) if self._follows_real_time else self._now

    def follow_real_time(self) -> None:
        self._follows_real_time = True

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@asynccontextmanager
async def open_store(folder: Path, now: Callable[[], datetime], vault: Vault) -> AsyncIterator[SqliteStore]:
    """The store in this folder, with one meter in it."""
    store = await SqliteStore.open(folder, vault, now)
    try:
        await store.meters.put(MeterRecord(id=METER, link="tcp://127.0.0.1:1", settings={}), who="test")
        yield store
    finally:
        await store.close()


def open_vault() -> Vault:
    """With keys of its own, for as long as it lives."""
    vault = Vault()
    keys = {number: DataKey.new(number, purpose, START) for number, purpose in enumerate((DATA, DIGEST), 1)}
    vault.unlock(KeyEncryptionKey.new(), keys)
    return vault


def order(order_id: str) -> tuple[Order, bytes]:
    """An order of one credit token that no other order has, and its body."""
    # The lower 30 bits hold the class: 0, credit.
    token = Token(zlib.crc32(order_id.encode()) << 30)
    return Order(id=order_id, meter=METER, tokens=(OrderedToken(token, OrderKind.CREDIT),)), order_id.encode()
