"""The head-end's engine: a store, and what works on its orders. Knows no HTTP; ``stsgate serve`` puts an API beside it.

Crash-only: what breaks in here ends the process, and the next one starts from the disk. ``recover`` is the only start.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from pydantic import ValidationError

from cosem_objects.errors import SettingError
from gateway.consequence import MeterHours, RetryRules
from gateway.counters import CounterBook
from gateway.dispatcher import Dispatcher, DispatchLimits, MeterUnreached, Turn
from gateway.events import Judged
from gateway.lane import LaneRun, LaneTools, give_back, hold_unusable
from gateway.meter_body import MeterBody
from gateway.meters import Meter
from gateway.order_traces import OrderTraces
from gateway.orders import Change
from gateway.reading.meter_reading import REPORT, read_meter, to_json
from gateway.session import Connect, connect
from gateway.store.records import LaneClaim, LinkRecord, OrderWork
from gateway.store.store import Store, StoreBroken, StoreError
from gateway.vault import VaultError
from gateway.verdict import Outcome
from transports.channel import Link
from transports.endpoint import EndpointError
from transports.trace.trace import Trace

logger = logging.getLogger(__name__)

_METERS_REMEMBERED_MAX = 10_000
_AWAY_REMEMBERED_MAX = 100_000
_PURGE_BATCH = 200
_PURGE_PAUSE_SECONDS = 0.05
"""Orders of today go first."""
_LINKS_SECONDS = 60.0
"""Limits are read again at least so often, whoever changed them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How the engine works; all of it can be changed while it runs, but for the counters' block."""

    limits: DispatchLimits = field(default_factory=DispatchLimits)
    rules: RetryRules = field(default_factory=RetryRules)
    doubt_rounds_max: int = 1
    """Associations anew at once for a token in doubt, before the store's longer waits begin."""
    counter_block: int = 1000
    link_concurrency: Mapping[str, int | None] = field(default_factory=lambda: {"hdlc+tcp": 1, "tcp": 8})
    """By scheme, for links that several meters share and nobody gave a number to; None = no limit."""
    expire_seconds: float = 1.0
    repair_seconds: float = 60.0
    purge_seconds: float = 3600.0
    keep_closed: timedelta | None = timedelta(days=730)
    """How long orders are kept after they ended; None = for ever."""
    readback_wait_seconds: float = 30.0
    """How long a readback waits for a meter that is busy."""
    traces_kept: int = 0
    """Of how many orders the latest trace is kept in memory. Only when the service starts."""


OnSettled = Callable[[OrderWork, Change, Judged], None]


def _unheard(_work: OrderWork, _change: Change, _judged: Judged) -> None:
    """Nobody counts."""


def _not_counted(_mended: int) -> None:
    """Nobody counts."""


class Service:
    """Works on the orders of a store until it is drained. ``run`` in one task."""

    def __init__(
        self,
        store: Store,
        options: ServiceOptions,
        *,
        now: Callable[[], datetime],
        rng: Random,
        connect: Callable[..., Awaitable[Link]] = connect,
        on_settled: OnSettled = _unheard,
        on_mended: Callable[[int], None] = _not_counted,
    ) -> None:
        self._store = store
        self._options = options
        self._now = now
        self._rng = rng
        self._on_settled = on_settled
        self._on_mended = on_mended
        self._book = CounterBook(store.counters, options.counter_block)
        self._meters: OrderedDict[tuple[str, int], tuple[Meter, MeterHours]] = OrderedDict()
        self._away: dict[str, None] = {}
        self._links_changed = asyncio.Event()
        self.is_working = asyncio.Event()
        """What a crash left is freed, and lanes are claimed."""
        self._connect = connect
        self.traces = OrderTraces(options.traces_kept, now)
        self.dispatcher = Dispatcher(store.lanes, self._run_lane, options.limits, now=now)

    def reload(self, options: ServiceOptions) -> None:
        """Work with these from now on."""
        self._options = options
        self.dispatcher.limits = options.limits
        self._links_changed.set()
        self.dispatcher.ring()

    async def run(self) -> None:
        """Recover, then work until ``drain``. Raises whatever must end the process."""
        doubtful = await self._store.lanes.recover()
        if doubtful:
            logger.warning(
                "%d orders are in doubt after the last stop, or a restore; their meters are read first", doubtful
            )
        await self._read_links()
        self.is_working.set()
        self._store.on_work(self.dispatcher.ring)
        self._store.on_links(self._links_changed.set)
        housekeeping = [
            asyncio.create_task(self._housekeep(), name="housekeeping"),
            asyncio.create_task(self._watch_links(), name="links"),
        ]
        dispatching = asyncio.create_task(self.dispatcher.run(), name="dispatcher")
        try:
            await asyncio.wait((dispatching, *housekeeping), return_when=asyncio.FIRST_COMPLETED)
            for task in housekeeping:
                if task.done():
                    task.result()  # it never ends, so it raises
            await dispatching
            await self._book.save()
        finally:
            for task in (dispatching, *housekeeping):
                task.cancel()
            await asyncio.gather(dispatching, *housekeeping, return_exceptions=True)

    def drain(self) -> None:
        """Begin nothing more; ``run`` ends when the orders that are under way have come to a point."""
        self.dispatcher.drain()

    async def readback(self, meter_id: str) -> dict[str, Any]:
        """What the meter says about itself (``docs/readback.md``). Raises ``MeterBusy``, ``MeterUnreached``,
        ``LookupError`` for no such meter, ``SettingError``, ``EndpointError``, ``StoreError``."""
        async with self.dispatcher.meter_alone(meter_id, self._options.readback_wait_seconds) as (claim, turn):
            meter, _ = await self._meter(claim)
            links = self._links(turn)
            keeper = self._book.keeper(meter_id, meter, links)
            findings = await read_meter(meter, REPORT, links, keeper)
        if findings.obstacle is not None and not findings.report.sections:
            raise MeterUnreached(f"{findings.obstacle.reason}: {findings.obstacle.detail}")
        return to_json(meter, REPORT, findings)

    # One lane.

    def _links(self, turn: Turn, trace: Trace | None = None) -> Connect:
        async def links(meter: Meter) -> Link:
            await turn()
            return await (self._connect(meter) if trace is None else self._connect(meter, trace))

        return links

    async def _run_lane(self, claim: LaneClaim, turn: Turn) -> None:
        tools = self._tools(claim)
        try:
            meter, hours = await self._meter(claim)
        except (SettingError, EndpointError, ValidationError, LookupError, VaultError) as error:
            await hold_unusable(claim, tools, error)
            return
        except StoreBroken:
            raise
        except StoreError as error:
            logger.error("the store fails, nothing is sent: %s", error, extra={"meter": claim.meter})
            await give_back(claim, tools)
            return
        traced = self.traces.begin(meter)
        if traced is None:
            links = self._links(turn)
        else:
            trace, ring = traced
            links = self._links(turn, trace)
            tools = replace(tools, on_order=lambda work: self.traces.remember(work.id, ring))
        keeper = self._book.keeper(claim.meter, meter, links)
        await LaneRun(claim, meter, hours=hours, keeper=keeper, connect=links, tools=tools).run()

    def _tools(self, claim: LaneClaim) -> LaneTools:
        return LaneTools(
            lanes=self._store.lanes,
            now=self._now,
            rng=self._rng,
            rules=self._options.rules,
            doubt_rounds_max=self._options.doubt_rounds_max,
            must_stop=lambda: self.dispatcher.must_stop(claim.link),
            link_is_full=lambda: self.dispatcher.links.is_full(claim.link),
            on_settled=self._settled,
        )

    async def _meter(self, claim: LaneClaim) -> tuple[Meter, MeterHours]:
        key = (claim.meter, claim.meter_version)
        known = self._meters.get(key)
        if known is not None:
            self._meters.move_to_end(key)
            return known
        record = await self._store.meters.get(claim.meter)
        if record is None:
            raise LookupError(f"meter {claim.meter} is not in the registry any more")
        body = MeterBody.of_record(record)
        windows, zone = body.retry_windows()
        known = self._meters[claim.meter, record.version] = (body.meter(), MeterHours(windows=windows, zone=zone))
        if len(self._meters) > _METERS_REMEMBERED_MAX:
            self._meters.popitem(last=False)
        return known

    def _settled(self, work: OrderWork, change: Change, judged: Judged) -> None:
        meter = work.meter
        is_away = judged.verdict.outcome is Outcome.UNREACHED
        if is_away and meter not in self._away and len(self._away) < _AWAY_REMEMBERED_MAX:
            self._away[meter] = None
            logger.warning("meter away: %s", judged.verdict.detail, extra={"meter": meter, "order": work.id})
        elif not is_away and meter in self._away:
            del self._away[meter]
            logger.info("meter back", extra={"meter": meter, "order": work.id})
        if change is Change.HOLD:
            reason, detail = judged.verdict.reason, judged.verdict.detail
            logger.warning(
                "held (%s), a person has to decide: %s", reason, detail, extra={"meter": meter, "order": work.id}
            )
        elif change is Change.REJECT:
            logger.info("rejected (%s)", judged.verdict.reason, extra={"meter": meter, "order": work.id})
        self._on_settled(work, change, judged)

    # Housekeeping: what breaks here ends the process.

    async def _housekeep(self) -> None:
        clock = asyncio.get_running_loop().time
        repair_at = purge_at = clock()
        while True:
            options = self._options
            try:
                await self._store.lanes.expire()
                if clock() >= repair_at:
                    repair_at = clock() + options.repair_seconds
                    if mended := await self._store.lanes.repair():
                        logger.error("%d lanes had orders that nobody would have looked at; mended", mended)
                        self._on_mended(mended)
                if clock() >= purge_at and options.keep_closed is not None:
                    purge_at = clock() + options.purge_seconds
                    await self._purge(self._now() - options.keep_closed)
            except StoreBroken:
                raise
            except StoreError as error:
                logger.error("housekeeping waits for the store: %s", error)
            await asyncio.sleep(options.expire_seconds)

    async def _purge(self, closed_before: datetime) -> None:
        purged = _PURGE_BATCH
        while purged == _PURGE_BATCH:
            purged = await self._store.purge(closed_before=closed_before, limit=_PURGE_BATCH)
            await asyncio.sleep(_PURGE_PAUSE_SECONDS)

    async def _watch_links(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_LINKS_SECONDS):
                    await self._links_changed.wait()
            except TimeoutError:
                pass
            self._links_changed.clear()
            try:
                await self._read_links()
            except StoreBroken:
                raise
            except StoreError as error:
                logger.error("limits of links cannot be read: %s", error)

    async def _read_links(self) -> None:
        self.dispatcher.set_links(map(self._with_defaults, await self._store.links.shared()))

    def _with_defaults(self, link: LinkRecord) -> LinkRecord:
        return link if link.concurrency else replace(link, concurrency=self.effective_concurrency(link.id))

    def effective_concurrency(self, link_id: str) -> int | None:
        """What holds on a link that was given no limit of its own; None = no limit."""
        return self._options.link_concurrency.get(link_id.partition(":")[0])
