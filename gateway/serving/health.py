"""Whether the service is alive, and whether it does its work: found out by looking, not by having started once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.settings.sections import HealthSection
from gateway.store.store import Store, StoreError

STORE_CACHE_SECONDS = 1.5
"""A check writes to the disk: many who ask at a time share one."""
STORE_ANSWER_SECONDS_MAX = 5.0
LAG_INTERVAL_SECONDS = 0.5
CLOCK_BACK_SECONDS_MAX = 5.0
SOFTWARE_BORN = datetime(2026, 11, 1, tzinfo=UTC)
"""A clock that shows an earlier time is wrong: this program did not exist."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question, its answer, and a line that says why."""

    name: str
    is_good: bool
    detail: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What ``/healthz`` and ``/readyz`` answer."""

    is_good: bool
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, object]:
        checks = {check.name: {"ok": check.is_good, "detail": check.detail} for check in self.checks}
        return {"ok": self.is_good, "checks": checks}


@dataclass(frozen=True, slots=True)
class DispatcherState:
    """What the dispatcher says of itself."""

    is_running: bool
    is_draining: bool = False
    claimed_at: datetime | None = None
    """When it looked for work last; None = not yet."""


class LoopLag:
    """How late the event loop is with what it should have done: the worst of the last two looks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lags = (0.0, 0.0)
        self._looked_at = clock()

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            due = self._looked_at + LAG_INTERVAL_SECONDS
            await asyncio.sleep(max(0.0, due - self._clock()))
            now = self._clock()
            self._lags = (self._lags[1], max(0.0, now - due))
            self._looked_at = now

    @property
    def seconds(self) -> float:
        overdue = self._clock() - self._looked_at - LAG_INTERVAL_SECONDS
        return max(*self._lags, overdue)


class Health:
    """The checks. That the schema is current needs none: a store with another one does not open."""

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        limits: HealthSection,
        *,
        dispatcher: Callable[[], DispatcherState],
        now: Callable[[], datetime],
        lag: LoopLag,
    ) -> None:
        self._store = store
        self._data_dir = data_dir
        self.limits = limits
        self._dispatcher = dispatcher
        self._now = now
        self._lag = lag
        self._latest = now()
        self._store_check: tuple[float, Check] | None = None
        self._lock = asyncio.Lock()

    def alive(self) -> HealthReport:
        """Somebody answers: that is what ``/healthz`` is about."""
        return HealthReport(is_good=True, checks=(self._loop_check(),))

    async def ready(self) -> HealthReport:
        """Whether orders are taken and delivered."""
        checks = (
            await self._checked_store(),
            self._dispatcher_check(),
            self._disk_check(),
            self._clock_check(),
            self._loop_check(),
        )
        return HealthReport(is_good=all(check.is_good for check in checks), checks=checks)

    async def _checked_store(self) -> Check:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._store_check is None or now - self._store_check[0] > STORE_CACHE_SECONDS:
                self._store_check = (now, await self._store_now())
            return self._store_check[1]

    async def _store_now(self) -> Check:
        try:
            async with asyncio.timeout(STORE_ANSWER_SECONDS_MAX):
                await self._store.check()
        except TimeoutError:
            return Check("store", is_good=False, detail=f"it did not answer within {STORE_ANSWER_SECONDS_MAX:g} s")
        except StoreError as error:
            return Check("store", is_good=False, detail=str(error))
        return Check("store", is_good=True, detail="it can be written")

    def _dispatcher_check(self) -> Check:
        state = self._dispatcher()
        if not state.is_running or state.is_draining:
            detail = "it is stopping" if state.is_draining else "it does not run"
            return Check("dispatcher", is_good=False, detail=detail)
        if state.claimed_at is None:
            return Check("dispatcher", is_good=False, detail="it has not looked for work yet")
        age = (self._now() - state.claimed_at).total_seconds()
        is_good = age <= self.limits.claim_age_seconds_max
        return Check("dispatcher", is_good, f"it looked for work {age:.1f} s ago")

    def _disk_check(self) -> Check:
        try:
            status = os.statvfs(self._data_dir)
        except OSError as error:
            return Check("disk", is_good=False, detail=f"the data directory cannot be looked at ({error.strerror})")
        free = status.f_bavail * status.f_frsize >> 20
        least = self.limits.disk_free_mib_min
        return Check("disk", free >= least, f"{free} MiB free, at least {least} expected")

    def _clock_check(self) -> Check:
        """Orders are due, and expire, by the wall clock: it must not go back."""
        now = self._now()
        self._latest = max(self._latest, now)
        back = (self._latest - now).total_seconds()
        if now < SOFTWARE_BORN:
            return Check("clock", is_good=False, detail=f"it shows {now:%Y-%m-%d}: expected a later date")
        if back > CLOCK_BACK_SECONDS_MAX:
            return Check("clock", is_good=False, detail=f"it was set back by {back:.0f} s")
        return Check("clock", is_good=True, detail=f"it shows {now.isoformat(timespec='seconds')}")

    def _loop_check(self) -> Check:
        lag = self._lag.seconds
        return Check("event_loop", lag <= self.limits.loop_lag_seconds_max, f"{lag * 1000:.0f} ms late")
