"""Our invocation counters for one meter: reserved in blocks on disk before they are used, so that none is used twice.

A counter that is used twice under one key breaks AES-GCM. So what a crash leaves open is skipped, never tried again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from cosem_objects.dlms.security import InvocationCounters
from gateway.meters import Meter
from gateway.session import Connect, read_counters
from gateway.store.store import Counters

LEFT_MIN = 200
"""What an association with all its readings needs before somebody looks again. guess: a delivery takes some twenty."""
_REMEMBERED_MAX = 20_000
"""Meters of which the rest of a block is kept for the next association; of others it is let go."""


class CounterBook:
    """The counters of all meters, as far as this process has used them lately."""

    def __init__(self, store: Counters, block_size: int = 1000) -> None:
        self._store = store
        self._block_size = max(block_size, 2 * LEFT_MIN)
        self._open: OrderedDict[tuple[str, str], InvocationCounters] = OrderedDict()

    def keeper(self, meter_id: str, meter: Meter, connect: Connect) -> StoredCounters:
        """For one association after the other with this meter."""
        return StoredCounters(self, meter_id, meter, connect)

    async def counters(self, meter_id: str, meter: Meter, connect: Connect) -> InvocationCounters:
        key = (meter_id, _key_name(meter))
        known = self._open.get(key)
        if known is not None:
            self._open.move_to_end(key)
            return known
        block = await self._store.reserve(*key, at_least=meter.invocation_counter or 0, size=self._block_size)
        if block is None:
            asked = await read_counters(meter, connect)
            block = await self._store.reserve(*key, at_least=max(1, asked.next_own), size=self._block_size)
            assert block is not None  # at_least was given
        last = await self._store.last_received(*key)
        counters = InvocationCounters(block.start, last, reserved=block.stop - 1)
        await self._remember(key, counters)
        return counters

    async def ensure(self, meter_id: str, meter: Meter, counters: InvocationCounters) -> None:
        if counters.left >= LEFT_MIN:
            return
        key = (meter_id, _key_name(meter))
        block = await self._store.reserve(*key, at_least=counters.next_own, size=self._block_size)
        counters.refill(block or range(0))
        await self._store.received(*key, counters.last_received)

    async def save(self) -> None:
        """What meters' own counters came to, before the process ends."""
        # A readback may still be at work, and remember another one.
        for (meter_id, key_name), counters in list(self._open.items()):
            await self._store.received(meter_id, key_name, counters.last_received)

    async def _remember(self, key: tuple[str, str], counters: InvocationCounters) -> None:
        self._open[key] = counters
        if len(self._open) > _REMEMBERED_MAX:
            (meter_id, key_name), oldest = self._open.popitem(last=False)
            await self._store.received(meter_id, key_name, oldest.last_received)


class StoredCounters:
    """``CounterKeeper`` of one meter."""

    def __init__(self, book: CounterBook, meter_id: str, meter: Meter, connect: Connect) -> None:
        self._book = book
        self._meter_id = meter_id
        self._meter = meter
        self._connect = connect

    async def open(self) -> InvocationCounters:
        """Raises ``StoreError``; ``ChannelError``, ``RemoteProtocolError`` when the meter has to be asked."""
        if not self._meter.security.needs_keys:
            return InvocationCounters()
        return await self._book.counters(self._meter_id, self._meter, self._connect)

    async def ensure(self, counters: InvocationCounters) -> None:
        """Raises ``StoreError``."""
        if self._meter.security.needs_keys:
            await self._book.ensure(self._meter_id, self._meter, counters)


def _key_name(meter: Meter) -> str:
    """Tells keys apart without telling them: counters count under one key, and under one title of ours."""
    security = meter.security
    return hashlib.sha256(b"stsgate invocation counter" + security.client_system_title + security.ek).hexdigest()[:16]
