"""Real processes, killed: one service on one data directory, meters with ledgers on disk, callers who do not give up.

A run is a number of lives of the service. Each ends in some violent way; the next one starts on what the last one left
on the disk. After the last kill everybody comes to rest: then what is still open is lost.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.callers import OPEN_STATES, Callers, Door, Load
from tests.chaos.failpoints import Failpoint
from tests.chaos.head_end import API_KEY, HeadEnd
from tests.chaos.journal import Journal
from tests.chaos.listeners import WEBHOOK, EventReader, WebhookReceiver
from tests.chaos.operators import Operators
from tests.chaos.street import GROUPS, MeterGroup, StreetMeter, ports_of, street
from tests.chaos.wire import Wire, WireLog
from tests.sim_meters.meter_client import free_ports

_OCCURRENCES_MAX = {
    Failpoint.BEFORE_CLAIM: 40,
    Failpoint.AFTER_CLAIM: 15,
    Failpoint.MID_BATCH: 10,
    Failpoint.BEFORE_COMMIT: 80,
    Failpoint.AFTER_COMMIT: 80,
}
_OCCURRENCES = 12
"""Of the others: about as many tokens."""
_METER_KILL_SECONDS = 4.0
_DRAIN_SECONDS_MAX = 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is."""

    seed: int
    kills: int
    groups: tuple[MeterGroup, ...] = GROUPS
    load: Load = field(default_factory=Load)
    life_seconds_max: float = 2.5
    failpoint_seconds_max: float = 6.0
    """For a fail-point to be reached, before the life ends all the same."""
    stop_seconds_max: float = 3.0
    first_starts_killed: int = 4
    """While the data directory, its key and its database are being made."""
    kills_meters: bool = True
    quiet_seconds_max: float = 300.0


@dataclass
class Tally:
    """What was done to whom."""

    kills: Counter[str] = field(default_factory=Counter)
    """SIGKILL of the service, by where it struck."""
    pauses: int = 0
    drains: int = 0
    meter_kills: int = 0
    starts: int = 0
    troubles: list[str] = field(default_factory=list)
    """What a service must not do, whatever its database says afterwards."""
    quiet_seconds: float = 0.0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        return {**self.__dict__, "kills": dict(self.kills)}


class Rig:
    """Everything that runs, in one directory."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.plan = plan
        self.rng = Random(plan.seed)
        self.tally = Tally()
        self.journal = Journal(directory / "api.jsonl")
        self.wire_log = WireLog()
        port = free_ports(ports_of(plan.groups) + 3)
        self.processes = street(directory, plan.seed, plan.groups, port + 3)
        self.meters: list[StreetMeter] = [meter for process in self.processes for meter in process.meters]
        self.wires = [Wire(meter, self.wire_log) for meter in self.meters]
        self.head_end = HeadEnd(directory, port, second_port=port + 1)
        self.door = Door(self.head_end.port, API_KEY)
        self.callers = Callers(self.door, self.meters, self.journal, Random(plan.seed + 1), plan.load)
        self.operators = Operators(self.door, self.meters, plan.groups, self.callers.note, Random(plan.seed + 3))
        self.stopped_at: list[float] = []
        """When the service was made to stand still, by the event loop's clock."""
        self.reader = EventReader(self.door)
        self.receiver = WebhookReceiver(port + 2, Random(plan.seed + 2))

    async def prepare(self) -> None:
        """Meters listen, the service knows them."""
        await asyncio.gather(*(process.start() for process in self.processes))
        for wire in self.wires:
            await wire.start()
        await self.receiver.start()
        for _ in range(min(self.plan.first_starts_killed, self.plan.kills)):
            await self._die_starting("at the very first start")
        await self.head_end.start()
        if not await self.head_end.ready(self.door):
            raise RuntimeError(f"the service does not start: see {self.head_end.log}")
        for group in self.plan.groups:
            if group.link is not None:
                await self._must("PUT", f"/v1/links/{group.link}", group.limits())
        await self._must("PUT", f"/v1/webhooks/{WEBHOOK}", self.receiver.body())
        for meter in self.meters:
            await self._must("PUT", f"/v1/meters/{meter.id}", meter.body())

    async def _must(self, method: str, path: str, body: dict[str, Any]) -> None:
        answer = await self.door.ask(method, path, body)
        if answer is None or answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer}")

    async def run(self) -> None:
        """All kills, then quiet. What was seen is on disk afterwards, for the checker."""
        began = time.monotonic()
        await self.prepare()
        reading = asyncio.create_task(self.reader.run())
        try:
            await self._trouble()
            await self._come_to_rest()
        finally:
            await _end(reading)
        self.tally.seconds = round(time.monotonic() - began, 1)
        self.tally.starts = self.head_end.starts
        self.write_down()

    async def _trouble(self) -> None:
        """Kills, with everybody at work."""
        calling = asyncio.gather(self.callers.run(), self.operators.run())
        cutting = asyncio.create_task(self._cut_power())
        try:
            await self._lives()
        finally:
            self.callers.stop()
            self.operators.stop()
            await _end(cutting)
            await calling

    def write_down(self) -> None:
        links = {group.link: group.limits() for group in self.plan.groups if group.link is not None}
        meters = {meter.id: {"group": meter.group.name, "device": meter.config.device_name} for meter in self.meters}
        seen = {
            "seed": self.plan.seed,
            "links": links,
            "meters": meters,
            "tally": self.tally.as_json(),
            "wire": self.wire_log.as_json(),
            "link_pauses": self.operators.pauses,
            "readbacks": self.operators.readbacks,
            "stopped_at": self.stopped_at,
            "operators": dict(self.operators.answers),
            "events_read": self.reader.numbers,
            "events_called": sorted(self.receiver.taken),
            "called_again": self.receiver.taken.total() - len(self.receiver.taken),
        }
        (self.directory / "rig.json").write_text(json.dumps(seen, indent=1))

    # Lives and their ends.

    async def _lives(self) -> None:
        """The service is running when this begins, and when it ends."""
        head_end, plan, rng = self.head_end, self.plan, self.rng
        failpoint: Failpoint | None = None
        while self.tally.kills.total() < plan.kills:
            chance = rng.random()
            if failpoint is not None:
                await self._die_at(failpoint)
            elif chance < 0.6:
                await self._die_anywhere("anywhere")
            elif chance < 0.8:
                await self._stand_still()
            else:
                await self._drain()
            # The next life: some die while they start, and half of the others at a fail-point.
            if rng.random() < 0.1:
                await self._die_starting("at its start")
            failpoint = rng.choice(list(Failpoint)) if rng.random() < 0.6 else None
            most = _OCCURRENCES_MAX.get(failpoint, _OCCURRENCES) if failpoint else 1
            await head_end.start(failpoint, 1 + rng.randrange(most))
            if not await head_end.ready(self.door) and head_end.reached is None:
                self.tally.troubles.append(f"start {head_end.starts}: it ended by itself: see {head_end.log}")
                await head_end.start()
                await head_end.ready(self.door)
        await head_end.kill()
        await head_end.start()
        await head_end.ready(self.door)

    async def _die_starting(self, where: str) -> None:
        """Somewhere between the first octet of the process and its first answers."""
        await self.head_end.start()
        await asyncio.sleep(0.2 + 1.5 * self.rng.random())
        await self.head_end.kill()
        self.tally.kills[where] += 1

    async def _die_anywhere(self, where: str) -> None:
        await asyncio.sleep(0.05 + self.plan.life_seconds_max * self.rng.random())
        await self.head_end.kill()
        self.tally.kills[where] += 1

    async def _die_at(self, failpoint: Failpoint) -> None:
        code = await self.head_end.ended(self.plan.failpoint_seconds_max)
        if code is None:
            await self.head_end.kill()
            self.tally.kills["anywhere"] += 1
        elif self.head_end.reached is failpoint:
            self.tally.kills[failpoint] += 1
        else:
            self.tally.troubles.append(f"start {self.head_end.starts}: it ended by itself, {code}")

    async def _stand_still(self) -> None:
        """As if the machine slept: everybody else goes on meanwhile."""
        await asyncio.sleep(self.plan.life_seconds_max * self.rng.random())
        self.head_end.signal(signal.SIGSTOP)
        self.stopped_at.append(asyncio.get_running_loop().time())
        if self.tally.pauses % 5 == 0 and not await self.head_end.second_is_refused():
            self.tally.troubles.append("a second service worked in the same data directory")
        await asyncio.sleep(self.plan.stop_seconds_max * self.rng.random())
        self.head_end.signal(signal.SIGCONT)
        self.tally.pauses += 1
        await self._die_anywhere("after a pause")

    async def _drain(self) -> None:
        """SIGTERM; now and then nobody waits for the end of it."""
        await asyncio.sleep(self.plan.life_seconds_max * self.rng.random())
        self.head_end.signal(signal.SIGTERM)
        if self.rng.random() < 0.3:
            await asyncio.sleep(0.3 * self.rng.random())
            await self.head_end.kill()
            self.tally.kills["draining"] += 1
            return
        code = await self.head_end.ended(_DRAIN_SECONDS_MAX)
        if code != 0:
            self.tally.troubles.append(f"start {self.head_end.starts}: it did not drain, {code}")
            await self.head_end.kill()
        self.tally.drains += 1

    async def _cut_power(self) -> None:
        while self.plan.kills_meters:
            await asyncio.sleep(_METER_KILL_SECONDS * (0.5 + self.rng.random()))
            await self.rng.choice(self.processes).kill_and_start(self.rng)
            self.tally.meter_kills += 1

    async def _come_to_rest(self) -> None:
        """Until nothing is open but what is held. What stays open is for the checker."""
        began = time.monotonic()
        for process in self.processes:
            if not process.is_running:  # its power cut was cut short
                await process.start()
        await self.callers.ask_again()
        await self.rest()
        self.tally.quiet_seconds = round(time.monotonic() - began, 1)
        await self.stop()

    async def rest(self) -> bool:
        """Wait until nothing is open but what is held, and all who want to be told are; False if that never came."""
        deadline = time.monotonic() + self.plan.quiet_seconds_max
        while time.monotonic() < deadline:
            if await self._is_quiet():
                return True
            await asyncio.sleep(0.2)
        return False

    async def stop(self) -> None:
        """The service, with SIGTERM; it has nothing to do any more."""
        self.head_end.signal(signal.SIGTERM)
        code = await self.head_end.ended(_DRAIN_SECONDS_MAX)
        if code != 0:
            self.tally.troubles.append(f"the last drain ended with {code}")

    async def _is_quiet(self) -> bool:
        orders = await self.door.ask("GET", f"/v1/orders?state={OPEN_STATES}&limit=1")
        webhook = await self.door.ask("GET", f"/v1/webhooks/{WEBHOOK}")
        if orders is None or webhook is None or orders.status != 200 or webhook.status != 200:
            return False
        return not orders.body["orders"] and not webhook.body["waiting"]

    async def close(self) -> None:
        await self.door.close()
        await self.receiver.close()
        self.head_end.kill_now()
        for wire in self.wires:
            wire.close()
        await asyncio.gather(*(process.end(signal.SIGTERM) for process in self.processes))
        if self.head_end.process is not None:
            await self.head_end.process.wait()
        self.journal.close()

    def kill_now(self) -> None:
        """All processes, without waiting."""
        self.head_end.kill_now()
        for process in self.processes:
            process.kill_now()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def rig(directory: Path, plan: Plan) -> AsyncIterator[Rig]:
    """Whatever happens, no process of it stays."""
    made = Rig(directory, plan)
    try:
        yield made
    finally:
        try:
            await made.close()
        finally:
            made.kill_now()
