"""Events for many readers: the store is asked once for all of them, and each reader goes at its own pace.

The hub keeps the last events in memory, without a gap from ``floor`` on. A reader knows the number of the last event
that it has sent. What it needs and the hub does not keep, it reads from the store itself, page by page, until it has
caught up. So a slow reader costs no memory, and nobody misses an event or gets one twice.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Sequence

from gateway.api.views import EventView
from gateway.store.records import EventRecord
from gateway.store.store import Events, StoreError

KEPT = 5000
"""Events in memory. guess: a reader that is further behind is better served by pages of the store."""
PAGE = 500
_RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


class SentEvent:
    """One event, and how it is sent: written down when the first reader needs it."""

    __slots__ = ("_octets", "record")

    def __init__(self, record: EventRecord) -> None:
        self.record = record
        self._octets: bytes | None = None

    @property
    def octets(self) -> bytes:
        if self._octets is None:
            number, name = self.record.number, self.record.name
            data = EventView.of(self.record).model_dump_json()
            self._octets = f"id: {number}\nevent: {name}\ndata: {data}\n\n".encode()
        return self._octets


class EventHub:
    """Runs as one task, ``run``; ``ring`` says that there is something new."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._rung = asyncio.Event()
        self._news = asyncio.Event()
        self._kept: list[SentEvent] = []
        self._numbers: list[int] = []
        self._floor = 0
        """All events behind this number, up to ``_last``, are kept."""
        self._last = 0
        self._readers = 0
        self.joining = 0
        """Readers that are about to be."""
        self.is_closed = False

    @property
    def readers(self) -> int:
        return self._readers

    def ring(self) -> None:
        """There are new events."""
        self._rung.set()

    async def join(self) -> int:
        """One reader more. The number of the last event there is."""
        self.joining += 1
        try:
            last = await self._events.last_number()
        finally:
            self.joining -= 1
        if self._readers == 0:  # nothing was kept while nobody read
            self._kept.clear()
            self._numbers.clear()
            self._floor = self._last = last
            self._rung.set()
        self._readers += 1
        return last

    def leave(self) -> None:
        self._readers -= 1

    def close(self) -> None:
        """All readers end."""
        self.is_closed = True
        self._wake()

    async def after(self, number: int, order: str | None = None) -> tuple[Sequence[SentEvent], int]:
        """Events behind this number, and up to where these are all there are; the number itself = none at the moment.
        Raises ``StoreError``."""
        if number >= self._floor:
            place = bisect_right(self._numbers, number)
            kept = self._kept[place : place + PAGE]
            reached = kept[-1].record.number if kept else number
            return [event for event in kept if order in (None, event.record.order)], reached
        there_were = self._last
        records = await self._events.after(number, limit=PAGE, order=order)
        reached = records[-1].number if records else number
        # A page that is not full is all there was; what is missing in it was purged, or is of other orders.
        return list(map(SentEvent, records)), reached if len(records) == PAGE else max(reached, there_were)

    async def wait(self, number: int, timeout_seconds: float) -> None:
        """Until there are events behind this number, or for so long."""
        if self._last > number or self.is_closed:
            return
        news = self._news
        try:
            async with asyncio.timeout(timeout_seconds):
                await news.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Ends by being cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            if self._readers:
                await self._fetch()

    async def _fetch(self) -> None:
        try:
            while records := await self._events.after(self._last, limit=PAGE):
                self._keep(list(map(SentEvent, records)))
        except StoreError:
            _log.warning("events cannot be read; trying again", exc_info=True)
            await asyncio.sleep(_RETRY_SECONDS)
            self._rung.set()

    def _keep(self, events: Sequence[SentEvent]) -> None:
        self._kept += events
        self._numbers += [event.record.number for event in events]
        self._last = self._numbers[-1]
        if len(self._kept) > 2 * KEPT:
            self._floor = self._numbers[-KEPT - 1]
            del self._kept[:-KEPT]
            del self._numbers[:-KEPT]
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
