"""The store's lanes, watched: who claims what, and what is about to be written; and places to die at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from gateway.events import SendStarted
from gateway.orders import Change
from gateway.store.records import Claimed, LaneClaim, NewEvent, NextHead, OrderWork, Quota, Step
from gateway.store.store import Lanes
from tests.scenarios.killable import Point, Process
from tests.scenarios.service_checker import Checker


class WatchedLanes(Lanes):
    """Says everything to the real ones."""

    def __init__(
        self,
        inner: Lanes,
        process: Process,
        checker: Checker,
        *,
        now: Callable[[], datetime],
        claims: list[LaneClaim],
        stale: Sequence[LaneClaim],
    ) -> None:
        """``claims`` gathers those of this life; ``stale`` are of a life that is over."""
        self.inner = inner
        self.is_claiming = False
        self._process = process
        self._checker = checker
        self._now = now
        self._claims = claims
        self._stale = stale

    async def recover(self) -> int:
        doubtful = await self.inner.recover()
        for claim in self._stale:
            await self._checker.try_stale(self.inner, claim)
        return doubtful

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """A claim whose answer is lost is nobody's until the next start, so its commit is not one of those."""
        self.is_claiming = True
        try:
            yield
        finally:
            self.is_claiming = False

    async def claim(self, quotas: Sequence[Quota], *, limit: int, ranks: Sequence[int]) -> Claimed:
        with self.claiming():
            claimed = await self.inner.claim(quotas, limit=limit, ranks=ranks)
        self._claims += claimed.claims
        for claim in claimed.claims:
            self._checker.looked_up(claim.meter)
        return claimed

    async def claim_meter(self, meter_id: str) -> LaneClaim | None:
        with self.claiming():
            return await self.inner.claim_meter(meter_id)

    async def begin_send(
        self, claim: LaneClaim, order: int, position: int, started: SendStarted, events: Sequence[NewEvent]
    ) -> None:
        self._process.pass_by(Point.BEFORE_INTENT)
        now = self._now()
        await self.inner.begin_send(claim, order, position, started, events)
        self._checker.begun(position, started, now)
        self._process.pass_by(Point.AFTER_INTENT)

    async def other_set_at(self, order: int) -> datetime | None:
        return await self.inner.other_set_at(order)

    async def step(self, claim: LaneClaim, order: int, step: Step, then: NextHead) -> OrderWork | None:
        self._process.pass_by(Point.BEFORE_OUTCOME)
        following = await self.inner.step(claim, order, step, then)
        self._process.pass_by(Point.AFTER_OUTCOME)
        if then is NextHead.NEXT or step.change is Change.CONTINUE:
            self._checker.looked_up(claim.meter)
        return following

    async def release(self, claim: LaneClaim, *, not_before: datetime | None = None) -> None:
        await self.inner.release(claim, not_before=not_before)

    async def expire(self) -> int:
        return await self.inner.expire()

    async def repair(self) -> int:
        mended = await self.inner.repair()
        if mended:
            self._checker.violate(f"{mended} lanes had orders that nobody would have looked at")
        return mended
