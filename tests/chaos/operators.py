"""Those who run the head-end: they pause links, read meters, change their entries, and decide about held orders."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.callers import Answer, Door
from tests.chaos.street import MeterGroup, StreetMeter

_RETRIES_MAX = 2
"""That an operator asks for, of one held order."""
_TRIES_MAX = 1000
_SAY_AGAIN_SECONDS = 0.1


@dataclass
class Operators:
    """``run`` until ``stop``. ``note`` writes what was answered about orders into the journal."""

    door: Door
    meters: Sequence[StreetMeter]
    groups: Sequence[MeterGroup]
    note: Callable[[str, str, Answer | None], None]
    rng: Random
    pauses: list[tuple[str, float, float]] = field(default_factory=list)
    """Link; from when to when it was paused for certain, by the event loop's clock."""
    readbacks: list[tuple[str, float, float]] = field(default_factory=list)
    """Meter; from the request to its answer."""
    answers: Counter[str] = field(default_factory=Counter)
    """To what is not about orders: what was asked, and the status."""
    _decided: Counter[str] = field(default_factory=Counter)
    _stopped: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for work in (self._decide, self._pause_a_link, self._read_a_meter, self._change_a_meter):
                group.create_task(self._often(work))

    def stop(self) -> None:
        self._stopped = True

    async def _often(self, work: Callable[[], Any]) -> None:
        while not self._stopped:
            await asyncio.sleep(2 * self.rng.random())
            await work()

    async def _ask(self, what: str, method: str, path: str, body: Any = None) -> Answer | None:
        answer = await self.door.ask(method, path, body)
        if answer is not None:
            self.answers[f"{what} {answer.status}"] += 1
        return answer

    async def _decide(self) -> None:
        """Let a held order be tried, or read, once more."""
        answer = await self.door.ask("GET", "/v1/orders?state=held&limit=1000")
        if answer is None or answer.status != 200:
            return
        held = [order["id"] for order in answer.body["orders"]]
        undecided = [order for order in held if self._decided[order] < _RETRIES_MAX]
        if not undecided:
            return
        order = self.rng.choice(undecided)
        self._decided[order] += 1
        said = {"credited": "retry", "note": "once more"}
        self.note("resolve", order, await self.door.ask("POST", f"/v1/orders/{order}/resolve", said))

    async def _pause_a_link(self) -> None:
        linked = [group for group in self.groups if group.link is not None]
        if not linked or self.rng.random() < 0.7:
            return
        group = self.rng.choice(linked)
        path, clock = f"/v1/links/{group.link}", asyncio.get_running_loop().time
        answer = await self._ask("link", "PUT", path, {**group.limits(), "paused": True})
        began = clock()
        await asyncio.sleep(1.5 + 1.5 * self.rng.random())
        if answer is not None and answer.status in (200, 201):
            self.pauses.append((str(group.link), began, clock()))
        for _ in range(_TRIES_MAX):
            answer = await self._ask("link", "PUT", path, group.limits())
            if answer is not None and answer.status in (200, 201):
                return
            await asyncio.sleep(_SAY_AGAIN_SECONDS)
        raise RuntimeError(f"link {group.link} stays paused: {answer}")

    async def _read_a_meter(self) -> None:
        meter, clock = self.rng.choice(self.meters).id, asyncio.get_running_loop().time
        began = clock()
        await self._ask("readback", "POST", f"/v1/meters/{meter}/readback")
        self.readbacks.append((meter, began, clock()))

    async def _change_a_meter(self) -> None:
        meter = self.rng.choice(self.meters)
        body = {**meter.body(), "description": f"changed {self.rng.randrange(1000)} times"}
        await self._ask("meter", "PUT", f"/v1/meters/{meter.id}", body)
