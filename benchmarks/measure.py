"""How one contender is measured: a process of its own, told what to do on standard input, on a core of its own.

Nothing but the standard library is imported here, because the peers' interpreters run it too. The contender is warmed
up first; then client CPU (user and system time of this process alone) and the clock on the wall are taken around the
deliveries, and nothing else. Standard output carries one JSON object: the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

COUNTERS_PER_DELIVERY = 100
"""Invocation counters set aside for one delivery: more than any contender uses."""

HOST = "127.0.0.1"

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sale:
    """One token for one meter, and the first invocation counter of its association."""

    url: str
    token: bytes = field(repr=False)
    counter: int
    physical: int | None = None
    """The meter's HDLC address, where several share a line."""

    @property
    def port(self) -> int:
        """Where there is one."""
        return int(self.url.rpartition(":")[2])


@dataclass(frozen=True)
class Job:
    """What a contender has to do. Each lane is a meter, or the canned replies, and is served one sale at a time."""

    kind: str
    """Which of its forms the contender takes: ``bare``, ``session`` or ``delivery``; the floor also ``streams``."""
    wire: str
    security: str
    uvloop: bool
    core: int | None
    lanes: list[list[Sale]]
    warm_up: int
    """The first so many sales of each lane are not timed."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    recording: list[list[str]] = field(default_factory=list, repr=False)
    """Of the canned replies: pairs of request and reply, in hex."""
    fixed_challenge: bool = False
    """Canned replies answer one challenge only."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self), default=bytes.hex).encode()

    @classmethod
    def decode(cls, text: str) -> Job:
        mapping = json.loads(text)
        lanes = [
            [Sale(**{**sale, "token": bytes.fromhex(sale["token"])}) for sale in lane] for lane in mapping.pop("lanes")
        ]
        return cls(lanes=lanes, **mapping)

    @property
    def timed(self) -> int:
        return sum(len(lane) - self.warm_up for lane in self.lanes)


@dataclass(frozen=True)
class Figures:
    """What one run of one contender took."""

    count: int
    cpu_seconds: float
    wall_seconds: float

    @classmethod
    def decode(cls, text: str) -> Figures:
        return cls(**json.loads(text))

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds / self.count * 1000

    @property
    def per_second(self) -> float:
        return self.count / self.wall_seconds


def cores() -> tuple[int | None, int | None]:
    """One for the contenders and one for the other side; None where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[-1]) if len(allowed) > 1 else (None, None)


def cpu_seconds(task: Path) -> float:
    """User and system time so far of a process, or of one of its threads: a directory in /proc."""
    fields = (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def read_job() -> Job:
    job = Job.decode(sys.stdin.read())
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    return job


def run_async(job: Job, deliver: Callable[[Sale], Awaitable[None]]) -> None:
    """``measure`` on the event loop that the job wants."""
    with asyncio.Runner(loop_factory=loop_factory(uses_uvloop=job.uvloop)) as runner:
        runner.run(measure(job, deliver))


async def measure(job: Job, deliver: Callable[[Sale], Awaitable[None]]) -> None:
    """All lanes at once on one event loop; prints the figures."""

    async def serve(lane: list[Sale]) -> None:
        for sale in lane:
            await deliver(sale)

    await asyncio.gather(*(serve(lane[: job.warm_up]) for lane in job.lanes))
    clock = _Clock()
    await asyncio.gather(*(serve(lane[job.warm_up :]) for lane in job.lanes))
    clock.report(job.timed)


def run_threads(job: Job, deliver: Callable[[Sale], None]) -> None:
    """Each lane in a thread of its own; prints the figures."""

    def serve(lane: list[Sale]) -> None:
        for sale in lane:
            deliver(sale)

    with ThreadPoolExecutor(len(job.lanes)) as pool:
        list(pool.map(serve, [lane[: job.warm_up] for lane in job.lanes]))
        clock = _Clock()
        list(pool.map(serve, [lane[job.warm_up :] for lane in job.lanes]))
        clock.report(job.timed)


def loop_factory(*, uses_uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    if not uses_uvloop:
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 - optional

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


class _Clock:
    """Begins at once. ``process_time`` is this process, all its threads, user and system."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def report(self, count: int) -> None:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        sys.stdout.write(json.dumps(asdict(Figures(count, cpu, wall))) + "\n")
