"""Who is next: claims due lanes within the limits of links, and runs each in a task of its own.

One loop decides, and decides without waiting: how many places are free, on which links, for which priorities. The store
gives lanes for them in one transaction. It is asked again when somebody rings (a new order, a lane that ended), or when
the earliest order it knows of falls due. Nothing is kept here that the store does not know: after a crash the next
process finds every claimed lane, and frees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.links import LinkUse
from gateway.orders import Priority
from gateway.store.records import LaneClaim, LinkRecord
from gateway.store.store import Lanes, StoreBroken, StoreError
from gateway.visits import Visits
from transports.channel import NotSentError

logger = logging.getLogger(__name__)

_ASK_AGAIN_SECONDS = 1.0
"""The store is asked at least so often, so that a bell that nobody heard is no order that nobody sends."""
_GATHER_SECONDS = 0.002
"""Claims are gathered for so long while most places are taken: one transaction for several."""

_URGENT_RANKS = (Priority.CREDIT.rank, Priority.OPERATOR.rank)
_ALL_RANKS = (*_URGENT_RANKS, Priority.CAMPAIGN.rank)

Turn = Callable[[], Awaitable[None]]
"""Awaited before each association that is begun. Raises ``NotSentError``."""
RunLane = Callable[[LaneClaim, Turn], Coroutine[Any, Any, None]]


class MeterBusy(Exception):
    """The meter's lane, or its link, stayed busy with others for as long as one was willing to wait, or the link is
    paused."""


class MeterUnreached(Exception):
    """Nothing of the meter could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchLimits:
    """How much is done at a time."""

    in_flight_max: int = 1000
    """Lanes, over all links."""
    campaign_share: float = 0.8
    """Of these places, how many campaigns may take."""

    @property
    def campaign_max(self) -> int:
        return max(1, int(self.in_flight_max * self.campaign_share))


class Dispatcher:
    """Claims and runs lanes until it is told to drain. ``run`` in one task."""

    def __init__(
        self,
        lanes: Lanes,
        run_lane: RunLane,
        limits: DispatchLimits,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._lanes = lanes
        self._run_lane = run_lane
        self.limits = limits
        self._now = now
        self.links = LinkUse()
        self._running: set[asyncio.Task[None]] = set()
        self._by_meter: dict[str, asyncio.Task[None]] = {}
        self._campaigns = 0
        self._first = 0
        """Of the links, which one is asked first."""
        self._bell = asyncio.Event()
        self._ended = asyncio.Event()
        """Set each time that a lane ends; for who waits for a place."""
        self._next_due: dict[str | None, datetime | None] = {}
        """When a link has work again, as far as the store told; a link that is not here has to be asked."""
        self._claiming = asyncio.Lock()
        """Held from the look at free places until they are taken: nobody else takes one of them meanwhile."""
        self._visits = Visits(lanes)
        self.is_draining = False
        self.last_claim_at: datetime | None = None
        """When the store was last asked for work: the sign that this loop lives."""

    def ring(self) -> None:
        """There may be work that is due."""
        self._next_due.clear()
        self._bell.set()

    def set_links(self, links: Iterable[LinkRecord]) -> None:
        """Limits as they are from now on."""
        self.links.set_limits(links, asyncio.get_running_loop().time())
        self.ring()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    def must_stop(self, link: str) -> bool:
        """Asked by lanes between two orders."""
        return self.is_draining or self.links.is_paused(link)

    async def run(self) -> None:
        """Until ``drain``. Raises whatever must end the process; then no lane is left running."""
        async with asyncio.TaskGroup() as group:
            while not self.is_draining:
                self._bell.clear()
                try:
                    wait_seconds = await self._claim(group)
                except StoreBroken:
                    raise
                except StoreError as error:
                    logger.error("no lane can be claimed, trying again: %s", error)
                    wait_seconds = _ASK_AGAIN_SECONDS
                await self._rest(wait_seconds)

    def drain(self) -> None:
        """Claim nothing more; ``run`` ends when the lanes that run have come to the end of their orders."""
        self.is_draining = True
        self._bell.set()

    async def _claim(self, group: asyncio.TaskGroup) -> float:
        """Fill the free places; gives for how long there is nothing to do, if nobody rings."""
        now = self._now()
        asked = [name for name in self._in_turn() if self._may_have_work(name, now)]
        for ranks, places in ((_ALL_RANKS, self._campaign_places), (_URGENT_RANKS, self._places)):
            async with self._claiming:
                most = min(places, self._places)
                loop_time = asyncio.get_running_loop().time()
                quotas = self.links.quotas(most, asked, loop_time) if most > 0 else ()
                if quotas:
                    claimed = await self._lanes.claim(quotas, limit=most, ranks=ranks)
                    self._next_due.update(claimed.next_due)
                    for claim in claimed.claims:
                        self._start(group, claim)
                    asked = [name for name in asked if self._may_have_work(name, now)]
        self.last_claim_at = now
        return self._seconds_to_next(now)

    def _in_turn(self) -> list[str | None]:
        """All links, each time with another one first: where places are few, none of them takes all."""
        names = [None, *self.links.shared]
        self._first = (self._first + 1) % len(names)
        return names[self._first :] + names[: self._first]

    def _may_have_work(self, name: str | None, now: datetime) -> bool:
        if name not in self._next_due:
            return True
        due = self._next_due[name]
        return due is not None and due <= now

    @property
    def _places(self) -> int:
        return self.limits.in_flight_max - len(self._running)

    @property
    def _campaign_places(self) -> int:
        return self.limits.campaign_max - self._campaigns

    def _seconds_to_next(self, now: datetime) -> float:
        upcoming = [due for due in self._next_due.values() if due is not None]
        if not upcoming or self._places <= 0:
            return _ASK_AGAIN_SECONDS  # a lane that ends rings
        # What is due already waits for a place on its link, or for one of the campaigns': such a lane rings, too.
        later = [due for due in upcoming if due > now]
        return min(_ASK_AGAIN_SECONDS, (min(later) - now).total_seconds()) if later else _ASK_AGAIN_SECONDS

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            self._next_due.clear()
        if self._places < self.limits.in_flight_max // 2:
            await asyncio.sleep(_GATHER_SECONDS)

    # Lanes.

    def _start(self, group: asyncio.TaskGroup, claim: LaneClaim) -> None:
        is_campaign = claim.work is not None and claim.work.priority is Priority.CAMPAIGN
        task = group.create_task(self._run(claim, self._by_meter.get(claim.meter)))
        self._running.add(task)
        self._by_meter[claim.meter] = task
        self._campaigns += is_campaign
        self.links.enter(claim.link)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if self._by_meter.get(claim.meter) is task:
                del self._by_meter[claim.meter]
            self._campaigns -= is_campaign
            self._leave(claim.link)

        task.add_done_callback(ended)

    async def _run(self, claim: LaneClaim, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            # The lane was given back in the commit of its last order; its association is still saying good-bye.
            await asyncio.wait((previous,))
        await self._run_lane(claim, self._turns(claim.link))

    def _leave(self, link: str) -> None:
        was_full = self._places <= 1
        self.links.leave(link)
        if was_full:
            self._next_due.clear()
        else:
            self._next_due.pop(link if self.links.is_shared(link) else None, None)
        self._bell.set()
        self._ended.set()

    def _turns(self, link: str) -> Turn:
        """Waits for the next turn to begin an association on the link; where it is paused, there is none."""

        async def turn() -> None:
            self._check(link)
            wait = self.links.seconds_to_turn(link, asyncio.get_running_loop().time())
            if wait:
                try:
                    await asyncio.sleep(wait)
                    self._check(link)  # its limits may be others by now
                except (asyncio.CancelledError, NotSentError):
                    self.links.give_back_turn(link)
                    raise

        return turn

    def _check(self, link: str) -> None:
        """Raises ``NotSentError`` where no association may begin."""
        if self.links.is_paused(link):
            raise NotSentError(f"link {link} is paused")
        if self.links.is_over(link):
            raise NotSentError(f"link {link} may carry fewer associations by now")

    @asynccontextmanager
    async def meter_alone(self, meter_id: str, wait_seconds: float) -> AsyncIterator[tuple[LaneClaim, Turn]]:
        """A meter's lane for something else than its orders, within its link's limits. Raises ``MeterBusy``,
        ``LookupError``, ``StoreError``."""
        claim = await self._claim_meter(meter_id, wait_seconds)
        try:
            if previous := self._by_meter.get(meter_id):
                await asyncio.wait((previous,))
            yield claim, self._turns(claim.link)
        finally:
            self._leave(claim.link)
            await self._visits.give_back(claim)

    async def _claim_meter(self, meter_id: str, wait_seconds: float) -> LaneClaim:
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            self._ended.clear()
            if self.is_draining:
                raise MeterBusy("the service is stopping")
            async with self._claiming:
                claim = await self._visits.take(meter_id)
                if claim is not None and not self.links.is_full(claim.link):
                    self.links.enter(claim.link)
                    return claim
            if claim is not None:
                await self._visits.give_back(claim)
                if self.links.is_paused(claim.link):
                    raise MeterBusy(f"link {claim.link} is paused")
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise MeterBusy(f"meter {meter_id}, or its link, is busy with others; try again later")
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, _ASK_AGAIN_SECONDS)):
                    await self._ended.wait()
