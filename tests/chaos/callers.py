"""Those who order: singly and in batches, again when they got no answer, and sometimes not what they should.

Every order is written into the journal before it is sent, and every answer when it comes. Who gets no answer sends the
same order again, under the same id, until there is one.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp

from sim_meters.records import token_digest
from tests.chaos.journal import Journal
from tests.chaos.street import StreetMeter

OPEN_STATES = "queued,waiting,sending,pending,in_doubt,reconciling"
_ANSWER_SECONDS_MAX = 8.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """What the service said."""

    status: int
    body: Any

    @property
    def is_taken(self) -> bool:
        return self.status in (200, 202)


class Door:
    """The service's API, as one caller sees it. None as an answer: nobody knows what became of the request."""

    def __init__(self, port: int, key: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"}, timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)
        )

    async def ask(self, method: str, path: str, body: Any = None) -> Answer | None:
        try:
            async with self.session.request(method, self.url + path, json=body) as response:
                return Answer(response.status, await response.json(content_type=None))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def send_rows(self, rows: bytes, cut_at: int | None = None) -> list[dict[str, Any]]:
        """The lines of the report that came, however it ended. With ``cut_at``, the line breaks there."""
        lines: list[dict[str, Any]] = []

        async def body() -> AsyncIterator[bytes]:
            yield rows[:cut_at]
            if cut_at is not None:
                raise ConnectionResetError

        try:
            async with self.session.post(
                self.url + "/v1/orders:batch", data=body(), headers={"Content-Type": "application/x-ndjson"}
            ) as response:
                lines.extend([json.loads(line) async for line in response.content])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            pass
        return lines

    async def close(self) -> None:
        await self.session.close()


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much is ordered."""

    orders_max: int = 1_000_000
    open_max: int = 120
    open_per_meter_max: int = 12
    """Far below the 50 TIDs that a meter remembers, so that no token grows old in the queue."""
    singles: int = 3
    batch_rows: int = 25
    pause_seconds: float = _PAUSE_SECONDS


@dataclass
class Callers:
    """All of them. ``run`` until ``stop``; then ``ask_again`` for what stayed unanswered."""

    door: Door
    meters: Sequence[StreetMeter]
    journal: Journal
    rng: Random
    load: Load = field(default_factory=Load)
    orders: int = 0
    unanswered: dict[str, dict[str, Any]] = field(default_factory=dict)
    _open: Counter[str] = field(default_factory=Counter)
    _known: list[str] = field(default_factory=list)
    _stopped: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.load.singles):
                group.create_task(self._single())
            for worker in (self._batches(), self._look(), self._count_open()):
                group.create_task(worker)

    def stop(self) -> None:
        self._stopped = True

    async def ask_again(self) -> None:
        """Once more for every order without an answer."""
        for body in tuple(self.unanswered.values()):
            await self.post(body)

    # Those who order.

    def _new_order(self) -> dict[str, Any] | None:
        rng, load = self.rng, self.load
        free = [meter for meter in self.meters if self._open[meter.id] < load.open_per_meter_max]
        if not free or self.orders >= load.orders_max or self._open.total() >= load.open_max:
            return None
        self.orders += 1
        meter = rng.choice(free)
        self._open[meter.id] += 1
        tokens = [meter.token(is_bad=rng.random() < 0.05) for _ in range(rng.choice((1, 1, 1, 1, 1, 1, 2, 3)))]
        body: dict[str, Any] = {
            "id": f"order-{self.orders}",
            "meter": meter.id,
            "tokens": [token.digits for token in tokens],
            "priority": rng.choice(("credit", "credit", "credit", "operator", "campaign")),
        }
        now = datetime.now(UTC)
        chance = rng.random()
        if chance < 0.08:
            body["not_before"] = (now + timedelta(seconds=2 * rng.random())).isoformat()
        elif chance < 0.2:
            body["expires_at"] = (now + timedelta(seconds=0.3 + 4 * rng.random())).isoformat()
        self.offer(body, [token_digest(token) for token in tokens])
        return body

    def offer(self, body: dict[str, Any], digests: list[str]) -> None:
        """Write down what is about to be ordered."""
        self.journal.write("offer", order=body["id"], meter=body["meter"], tokens=digests)
        self.unanswered[body["id"]] = body

    async def _single(self) -> None:
        while not self._stopped:
            body = self._new_order()
            if body is None:
                await asyncio.sleep(self.load.pause_seconds)
                continue
            answer = await self.post(body)
            if answer is not None and answer.is_taken:
                await self._next_idea(body)
            await asyncio.sleep(self.load.pause_seconds * self.rng.random())

    async def post(self, body: dict[str, Any]) -> Answer | None:
        """Again and again until there is an answer that means something, or everybody goes home."""
        while True:
            answer = await self.door.ask("POST", "/v1/orders", body)
            self.note("post", body["id"], answer)
            if answer is not None and answer.status not in (429, 503):
                self.unanswered.pop(body["id"], None)
                return answer
            if self._stopped:
                return None
            await asyncio.sleep(self.load.pause_seconds * (0.5 + self.rng.random()))

    async def _next_idea(self, body: dict[str, Any]) -> None:
        """Once more; with another body; the same token under another id; cancel."""
        chance, order = self.rng.random(), body["id"]
        if chance < 0.08:
            self.note("again", order, await self.door.ask("POST", "/v1/orders", body))
        elif chance < 0.11:
            other = {**body, "priority": "campaign" if body["priority"] != "campaign" else "credit"}
            self.note("other-body", order, await self.door.ask("POST", "/v1/orders", other))
        elif chance < 0.14:
            copy = {**body, "id": f"{order}-copy"}
            self.journal.write("offer", order=copy["id"], meter=body["meter"], tokens=[], copy_of=order)
            self.note("copy", copy["id"], await self.door.ask("POST", "/v1/orders", copy))
        elif chance < 0.24:
            await asyncio.sleep(self.rng.choice((0.0, 0.0, 0.05, 0.5)))
            self.note("cancel", order, await self.door.ask("POST", f"/v1/orders/{order}/cancel"))

    async def _batches(self) -> None:
        while not self._stopped:
            await asyncio.sleep(self.load.pause_seconds * 10 * self.rng.random())
            size = self.rng.randint(2, self.load.batch_rows)
            rows = [body for _ in range(size) if (body := self._new_order()) is not None]
            while rows and not self._stopped:
                octets = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
                cut_at = self.rng.randrange(len(octets)) if self.rng.random() < 0.1 else None
                for line in await self.door.send_rows(octets, cut_at):
                    self._note_row(line)
                rows = [row for row in rows if row["id"] in self.unanswered]
                await asyncio.sleep(self.load.pause_seconds)

    def _note_row(self, line: dict[str, Any]) -> None:
        if line.get("id") is None:
            return  # the batch ended early
        self.note("batch", line["id"], Answer(line["status"], line.get("problem")))
        if line["status"] not in (429, 503):
            self.unanswered.pop(line["id"], None)

    # Those who look.

    async def _look(self) -> None:
        while not self._stopped:
            await asyncio.sleep(self.load.pause_seconds / 2)
            if self._known:
                order = self.rng.choice(self._known[-200:])
                self.note("get", order, await self.door.ask("GET", f"/v1/orders/{order}"))

    async def _count_open(self) -> None:
        while not self._stopped:
            answer = await self.door.ask("GET", f"/v1/orders?state={OPEN_STATES}&limit=1000")
            if answer is not None and answer.status == 200:
                self._open = Counter(order["meter"] for order in answer.body["orders"])
            await asyncio.sleep(4 * self.load.pause_seconds)

    def note(self, call: str, order: str, answer: Answer | None) -> None:
        """Into the journal."""
        if answer is None:
            self.journal.write("lost", call=call, order=order)
            return
        said: dict[str, Any] = {}
        if isinstance(answer.body, dict) and answer.status in (200, 202):
            said["state"] = answer.body.get("state")
            tokens = answer.body.get("tokens") or ()
            said["tokens"] = [[one["verdict"], one["credited"]] for one in tokens if isinstance(one, dict)]
        self.journal.write("answer", call=call, order=order, status=answer.status, **said)
        if answer.is_taken and call in ("post", "batch"):
            self._known.append(order)
