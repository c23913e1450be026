"""A town whose head-end is the service, on its real SQLite store, from one seed: it is killed, restarted, restored.

    python -m tests.scenarios.service_town SEED            tell what happened
    python -m tests.scenarios.service_town SEED COUNT      play so many seeds, and count how their orders ended

The clock is virtual. The store writes at once, in the calling task (``inline``), into a directory that should be in
memory: then its ``fsync`` costs nothing, and ``synchronous`` can stay as it is. When a life of the head-end ends by a
kill, its directory is copied in that moment, with the log that SQLite has not played back yet; the next life begins on
the copy, so that whatever the dead one might still do can reach nothing.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest import mock

from gateway import dispatcher
from gateway.consequence import RetryRules
from gateway.dispatcher import DispatchLimits
from gateway.key_source import KeySource
from gateway.schedule import Backoff
from gateway.service import Service, ServiceOptions
from gateway.store.records import LaneClaim, LinkRecord, OrderRecord
from gateway.store.sqlite.backup import back_up, put_back
from gateway.store.sqlite.store import SqliteStore
from gateway.store.store import StoreError
from gateway.vault import DATA, DIGEST, DataKey, KeyEncryptionKey, Vault
from tests.scenarios.killable import Doom, Down, Killed, Point, Process, task_factory
from tests.scenarios.service_checker import Checker, Copy
from tests.scenarios.service_lanes import WatchedLanes
from tests.scenarios.service_people import Caller, Operator, keep_limits, post_again, read_back
from tests.scenarios.service_plan import Plan, moment, plan_of
from tests.scenarios.service_street import Street
from tests.scenarios.virtual_clock import run_in_virtual_time

T = TypeVar("T")

_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of our own in it
_ASK_AGAIN_SECONDS = 30.0
"""Instead of one: a lost bell shows, and empty hours cost less."""
_QUIET_SECONDS_MAX = 24 * 3600.0
_LOOK_SECONDS = 20.0
_DRAIN_SECONDS_MAX = 1800.0
_STALE_CLAIMS = 3


@dataclass(frozen=True)
class Outcome:
    """What came of one town."""

    plan: Plan
    violations: tuple[str, ...]
    counts: Mapping[str, int]
    story: tuple[str, ...]
    records: Mapping[str, OrderRecord | None]
    times_credited: Mapping[str, tuple[int, ...]]


def play(plan: Plan) -> Outcome:
    """The whole life of a town, in virtual time."""
    with (
        tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as directory,
        mock.patch.object(dispatcher, "_ASK_AGAIN_SECONDS", _ASK_AGAIN_SECONDS),
    ):
        return run_in_virtual_time(_play(plan, Path(directory)))


async def _play(plan: Plan, directory: Path) -> Outcome:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(task_factory)
    handler = loop.get_exception_handler()
    assert handler is not None

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # What was gathered by a coroutine that died: nobody is left to be told that it was cancelled.
        if not isinstance(context.get("exception"), asyncio.CancelledError):
            handler(loop, context)

    loop.set_exception_handler(handle)
    return await Town(plan, directory).play()


class Town:
    """The world: it outlives every head-end."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.story: list[str] = []
        self.checker = Checker(plan, self.tell)
        rng = Random(plan.rng_seed)
        self.street = Street(plan, self.checker, Random(rng.getrandbits(64)))
        self.checker.ledgers = {name: house.ledger for name, house in self.street.houses.items()}
        self.head_end = HeadEnd(self, directory, rng)

    def tell(self, text: str) -> None:
        self.story.append(f"{self.loop.time():10.3f} {text}")

    @property
    def is_busy(self) -> bool:
        return self.loop.time() < self.plan.busy_seconds

    async def play(self) -> Outcome:
        plan, head_end = self.plan, self.head_end
        await head_end.set_up()
        living = asyncio.create_task(head_end.live())
        callers = [Caller(self, order) for order in plan.orders]
        async with asyncio.TaskGroup() as people:
            for house in self.street.houses.values():
                people.create_task(house.live(plan.busy_seconds))
            for caller in callers:
                people.create_task(caller.live())
            if plan.operator_seconds is not None:
                people.create_task(Operator(self, Random(plan.rng_seed + 1), plan.operator_seconds).live())
            people.create_task(keep_limits(self))
            for at, meter in plan.readbacks:
                people.create_task(read_back(self, at, plan.meters[meter].id))
            people.create_task(post_again(self))
            people.create_task(asyncio.sleep(plan.busy_seconds))
        await self._until_quiet()
        records = await head_end.records()
        self.checker.finish(records)
        await head_end.stop()
        await living
        await self.street.close()
        ledgers = self.checker.ledgers
        return Outcome(
            plan,
            tuple(self.checker.violations),
            self.checker.counts,
            tuple(self.story),
            records,
            {
                order.id: tuple(ledgers[order.meter].times_credited(ordered.token) for ordered in order.tokens)
                for order in self.checker.orders.values()
            },
        )

    async def _until_quiet(self) -> None:
        """Nothing goes wrong any more: sooner or later everything is settled, or held."""
        ends_at = self.loop.time() + _QUIET_SECONDS_MAX
        while self.loop.time() < ends_at:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.head_end.is_in_last_life and all(map(self.checker.is_at_rest, self.checker.standings.values())):
                return


class HeadEnd:
    """The head-end, life after life."""

    def __init__(self, town: Town, directory: Path, rng: Random) -> None:
        self._town = town
        self._plan = town.plan
        self._directory = directory
        self._rng = rng
        self._store_rng = Random(rng.getrandbits(64))
        self._loop = town.loop
        self._vault = _new_vault()
        self._image = directory / "image-0"
        self._images = 0
        self._tail: sqlite3.Connection | None = None
        self._changes_seen = -1
        self._offset = timedelta()
        self._is_stopping = False
        self._is_spared = False
        self._claims: list[LaneClaim] = []
        self._backup: tuple[Path, Copy] | None = None
        self._restore_now = asyncio.Event()
        self.was_restored = asyncio.Event()
        self.process: Process | None = None
        self.store: SqliteStore | None = None
        self.service: Service | None = None

    def now(self) -> datetime:
        """By its own clock."""
        return moment(self._loop.time()) + self._offset

    @property
    def is_up(self) -> bool:
        return self.process is not None and not self.process.is_dead and self.service is not None

    @property
    def is_in_last_life(self) -> bool:
        """Nobody will kill it any more."""
        return self.is_up and self._is_spared and not self._town.is_busy

    async def call(self, what: Callable[[SqliteStore], Coroutine[Any, Any, T]]) -> T:
        """Ask its API. Raises ``Down`` when the answer is not heard, ``StoreError``, and what the call raises."""
        process, store = self.process, self.store
        if not self.is_up or process is None or store is None:
            raise Down
        return await process.ask(lambda: what(store))

    async def set_up(self) -> None:
        """Meters and links that are there from the start."""
        self._image.mkdir()
        store = await SqliteStore.open(self._image, self._vault, self.now, inline=True)
        for meter in self._plan.meters:
            await store.meters.put(meter.record, who="town")
        first = [change.record for change in self._plan.links if change.at == 0]
        for record in first:
            await store.links.put(record, who="town")
        self._town.checker.links.known([*self._bus_limits(), *first])
        await store.close()

    def _bus_limits(self) -> list[LinkRecord]:
        """Links that several meters share, and nobody gave limits to, have the scheme's."""
        options = self._options()
        meters = Counter(meter.record.link for meter in self._plan.meters)
        return [
            LinkRecord(id=name, concurrency=options.link_concurrency[name.partition(":")[0]])
            for name, count in meters.items()
            if count > 1 and name.startswith("hdlc+tcp:")
        ]

    async def live(self) -> None:
        async with asyncio.TaskGroup() as group:
            jumping = group.create_task(self._jump())
            copying = group.create_task(self._copy_and_restore())
            life = 0
            while not self._is_stopping:
                await self._life(life)
                life += 1
            jumping.cancel()
            copying.cancel()

    async def _life(self, number: int) -> None:
        plan, town = self._plan, self._town
        was_busy = town.is_busy
        has_doom = number < len(plan.dooms) and was_busy
        doom: Doom | None = plan.dooms[number] if has_doom else None
        process = self.process = Process(f"life {number}", doom, self._died)
        town.tell(f"life {number} begins, doom {doom}")
        town.checker.counts["lives"] += 1
        serving = process.spawn(self._serve(process, self._image, Random(self._rng.getrandbits(64))), "service")
        restoring = asyncio.create_task(self._restore_now.wait())
        seconds = plan.lives_max_seconds if has_doom else max(0.1, plan.busy_seconds - self._loop.time())
        await asyncio.wait((serving, restoring), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        # A lane whose last write may or may not be on disk is nobody's until the next start.
        is_last = not has_doom and (not plan.store_errors or not was_busy)
        if is_last and not serving.done() and not restoring.done():
            process.spare()
            self._is_spared = True
            await asyncio.wait((serving,))
        restoring.cancel()
        if not serving.done() and not restoring.done() and self._rng.random() < plan.drains:
            await self._drain(process, serving)
        if not serving.done():
            process.kill()
        await process.gone()
        self._account(process, serving)
        if self.store is not None:
            self.store.database._let_go()
        self.store = self.service = None
        if not process.is_dead:
            self._died(process)
        if self._restore_now.is_set():
            self._restore()
        elif not self._is_stopping:
            await asyncio.sleep(plan.down_seconds[number % len(plan.down_seconds)])

    async def _drain(self, process: Process, serving: asyncio.Task[None]) -> None:
        """SIGTERM: what is under way comes to a point."""
        self._town.tell(f"{process.name} drains")
        self._town.checker.counts["drains"] += 1
        if self.service is not None:
            process.run(self.service.drain)
            await asyncio.wait((serving,), timeout=_DRAIN_SECONDS_MAX)
            if not serving.done():
                self._town.checker.violate(f"{process.name} does not come to its end")

    def _account(self, process: Process, serving: asyncio.Task[None]) -> None:
        """Why it ended, if it was not killed."""
        error = None if serving.cancelled() else serving.exception()
        if process.is_dead:
            return
        if error is not None and not (self._plan.store_errors and isinstance(error, StoreError)):
            self._town.checker.violate(f"{process.name} ended by itself: {error!r}")
        if error is not None:
            process.kill()

    async def _serve(self, process: Process, directory: Path, rng: Random) -> None:
        store = await SqliteStore.open(
            directory, self._vault, self.now, inline=True, at_commit=partial(self._at_commit, process)
        )
        self._tail = sqlite3.connect(f"{(directory / 'stsgate.sqlite').as_uri()}?mode=ro", uri=True)
        self._changes_seen = -1
        self.store = store
        stale, self._claims = self._claims[-_STALE_CLAIMS:], []
        store.lanes = WatchedLanes(
            store.lanes, process, self._town.checker, now=self.now, claims=self._claims, stale=stale
        )
        connect = partial(self._town.street.connect, process)
        self.service = Service(store, self._options(), now=self.now, rng=rng, connect=connect)
        await self.service.run()
        await store.close()

    def _options(self) -> ServiceOptions:
        chance = Random(self._plan.rng_seed)
        return ServiceOptions(
            limits=DispatchLimits(in_flight_max=chance.choice((1, 3, 1000))),
            rules=RetryRules(
                backoff=Backoff(first_seconds=5.0, longest_seconds=300.0),
                doubt_backoff=Backoff(first_seconds=3.0, longest_seconds=120.0),
                doubt_rounds_max=chance.choice((3, 12, 100)),
            ),
            doubt_rounds_max=chance.choice((0, 1, 3)),
            counter_block=chance.choice((1, 1000)),
            expire_seconds=20.0,
            repair_seconds=300.0,
        )

    # Commits, and the end of a life.

    def _at_commit(self, process: Process, point: str) -> None:
        if process.is_dead:
            raise Killed
        fails = self._town.is_busy and self._store_rng.random() < self._plan.store_errors / 2
        if point == Point.BEFORE_COMMIT:
            process.pass_by(Point.BEFORE_COMMIT)
            if fails:
                self._town.checker.counts["commits that failed"] += 1
                raise sqlite3.OperationalError("database or disk is full")
            return
        self._look()
        process.pass_by(Point.AFTER_COMMIT)
        lanes = None if self.store is None else self.store.lanes
        if fails and not (isinstance(lanes, WatchedLanes) and lanes.is_claiming):
            self._town.checker.counts["commits whose answer was lost"] += 1
            raise StoreError("nobody heard what became of the commit")

    def _look(self) -> None:
        writer = None if self.store is None else self.store.database._writer
        if self._tail is None or writer is None or writer.total_changes == self._changes_seen:
            return
        self._changes_seen = writer.total_changes
        self._town.checker.committed(self._tail)

    def _died(self, process: Process) -> None:
        """In the moment of its death: the disk as it is now is all that is left of it."""
        if process.is_dead:
            self._town.tell(f"{process.name} is killed after {dict(process.reached)}")
            self._town.checker.counts["kills"] += 1
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        self._images += 1
        image = self._directory / f"image-{self._images}"
        shutil.copytree(self._image, image, ignore=shutil.ignore_patterns("*-shm", "lock"))
        self._image = image

    # Clocks and copies.

    async def _jump(self) -> None:
        for at, seconds in self._plan.clock_jumps:
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            self._offset = timedelta(seconds=seconds)
            self._town.tell(f"the head-end's clock is {seconds:+.0f} s off")

    async def _copy_and_restore(self) -> None:
        plan = self._plan
        if plan.backup_at is None or plan.restore_at is None:
            return
        await asyncio.sleep(plan.backup_at)
        file = self._directory / "backup.sqlite"
        back_up(self._image, file, self.now())
        self._backup = file, self._town.checker.copy()
        self._town.tell("a backup is taken")
        await asyncio.sleep(plan.restore_at - self._loop.time())
        self._restore_now.set()

    def _restore(self) -> None:
        assert self._backup is not None
        file, copy = self._backup
        self._town.tell("the backup is put back")
        put_back(self._image, file, KeySource(self._directory / "no.key"), self.now())
        self._town.checker.restored(copy)
        self._town.checker.counts["restores"] += 1
        self._claims.clear()
        self._restore_now.clear()
        self.was_restored.set()

    # The end.

    async def records(self) -> dict[str, OrderRecord | None]:
        ids = list(self._town.checker.orders)
        return {order: await self.call(lambda store, order=order: store.orders.get(order)) for order in ids}  # type: ignore[misc]

    async def stop(self) -> None:
        self._is_stopping = True
        assert self.service is not None
        assert self.process is not None
        self.process.run(self.service.drain)


def _new_vault() -> Vault:
    vault, at = Vault(), moment(0)
    vault.unlock(KeyEncryptionKey.new(), {0: DataKey.new(0, DIGEST, at), 1: DataKey.new(1, DATA, at)})
    return vault


def main(arguments: list[str]) -> int:
    """Play one seed and tell its story, or several and count."""
    logging.disable()
    first, count = int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 1
    counts, failed = Counter[str](), 0
    for seed in range(first, first + count):
        outcome = play(plan_of(seed))
        counts.update(outcome.counts)
        if count == 1:
            print(outcome.plan, *outcome.story, sep="\n")
        if outcome.violations:
            failed += 1
            print(f"seed {seed}:", *outcome.violations, sep="\n    ")
    for what, number in sorted(counts.items()):
        print(f"{number:8} {what}")
    print(f"{count} seeds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
