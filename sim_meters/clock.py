"""Clocks: what a meter calls the time, and what wakes it. Real, virtual, or wrong.

A meter never asks the system for the time. It is given a ``Clock``, so that an hour's wait can be over in a
millisecond, and so that one meter's clock can go wrong while the others' go right.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from cosem_objects.errors import SettingError

_log = logging.getLogger(__name__)

DRIFT_PPM_MAX = 100_000
"""A clock that is wrong by more than a tenth is no clock."""

_TICK_SECONDS = 0.02
_WRONG_MAX = timedelta(days=36_525)
_TIMERS_MIN = 64

CALENDAR = (datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
"""Of a virtual clock: its years have four digits, also for a meter whose clock is a hundred years wrong."""
_YEARS = f"{CALENDAR[0].year} to {CALENDAR[1].year - 1}"


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """It will not happen. Without effect if it has happened, or was cancelled before."""


class Clock(ABC):
    """The time, and a way to be woken."""

    @abstractmethod
    def now(self) -> datetime:
        """An aware time in UTC."""

    @abstractmethod
    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, when so many seconds of this clock have passed; at once, but not before this returns, for
        0 or less."""

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of this clock."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await waiter
        finally:
            timer.cancel()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SystemClock(Clock):
    """The event loop's timers, and the system's time unless ``now`` gives another one."""

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(max(seconds, 0.0), callback)


class VirtualClock(Clock):
    """A clock that stands still until it is told to go on. It needs no event loop, except for ``sleep`` and ``run``."""

    def __init__(self, start: datetime) -> None:
        """``start`` is an aware time."""
        if start.tzinfo is None:
            raise SettingError("virtual clock: expected a start with a time zone, such as 2026-11-21T12:00:00Z")
        if not CALENDAR[0] <= start < CALENDAR[1]:
            raise SettingError(f"virtual clock: expected a start of the years {_YEARS}; got {start.isoformat()}")
        self._now = start.astimezone(UTC)
        self._due: list[tuple[datetime, int, _VirtualTimer]] = []
        self._due_max = _TIMERS_MIN
        self._numbers = count()

    def now(self) -> datetime:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = _VirtualTimer(callback)
        if len(self._due) >= self._due_max:
            self._sweep()
        # The number keeps those of one moment in the order in which they were asked for.
        heappush(self._due, (self._after(max(seconds, 0.0)), next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass. What falls due is called in its order, each at its own time; also what is asked for
        meanwhile. Time does not go back. Raises ``SettingError`` for less than 0, and at the end of the calendar."""
        if not seconds >= 0:
            raise SettingError(f"virtual clock: expected 0 seconds or more; got {seconds:g}")
        end = self._after(seconds)
        if end >= CALENDAR[1]:
            raise SettingError(
                f"virtual clock: {seconds:g} s from {self._now.isoformat()} are beyond the years {_YEARS}"
            )
        while self._due and self._due[0][0] <= end:
            moment, _, timer = heappop(self._due)
            self._now = max(self._now, moment)
            timer.ring()
        self._now = max(self._now, end)

    async def run(self, speed: float) -> None:
        """Let it go ``speed`` times as fast as real time, until cancelled, or until the end of the calendar."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            last, passed = loop.time(), loop.time() - last
            try:
                self.advance(passed * speed)
            except SettingError as error:
                _log.warning("%s; it stands still", error)
                return

    def _sweep(self) -> None:
        """Cancelled timers are forgotten: while the clock stands still none of them falls due."""
        self._due = [entry for entry in self._due if not entry[2].is_cancelled]
        heapify(self._due)
        self._due_max = max(_TIMERS_MIN, 2 * len(self._due))

    def _after(self, seconds: float) -> datetime:
        with suppress(OverflowError):
            return self._now + timedelta(seconds=seconds)
        raise SettingError(f"virtual clock: {seconds:g} seconds from {self._now.isoformat()} are beyond all calendars")


class _VirtualTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    @property
    def is_cancelled(self) -> bool:
        return self._callback is None

    def cancel(self) -> None:
        self._callback = None

    def ring(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class DriftingClock(Clock):
    """A clock that is wrong by ``offset``, and gains ``ppm`` millionths of the time that passes (or loses them)."""

    def __init__(self, right: Clock, offset: timedelta, ppm: float) -> None:
        if not abs(ppm) <= DRIFT_PPM_MAX:
            raise SettingError(f"clock drift: expected -{DRIFT_PPM_MAX} to {DRIFT_PPM_MAX} ppm; got {ppm:g}")
        self.right = right
        self.ppm = ppm
        self._start = right.now()
        self._offset = max(min(offset, _WRONG_MAX), -_WRONG_MAX)
        self._gain = ppm / 1e6

    def now(self) -> datetime:
        real = self.right.now()
        wrong = self._offset + (real - self._start) * self._gain
        return real + max(min(wrong, _WRONG_MAX), -_WRONG_MAX)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        return self.right.call_later(seconds / (1 + self._gain), callback)


def drifting(clock: Clock, seconds: float = 0.0, ppm: float | None = None) -> Clock:
    """This clock, made wrong by so much more from now on, with this drift or the one that it has. Others that use it
    stay right. No clock is ever wrong by more than a hundred years."""
    more = timedelta(seconds=seconds)
    if not isinstance(clock, DriftingClock):
        return DriftingClock(clock, more, ppm or 0.0)
    wrong = clock.now() - clock.right.now()
    return DriftingClock(clock.right, wrong + more, clock.ppm if ppm is None else ppm)
