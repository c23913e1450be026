"""The whole service: HTTP in to verdict committed, on one core, with simulated meters on the other.

    python -m benchmarks.service [--orders N] [--meters N] [--open 1000,100000] [--security hls-gmac]

What is measured, and how to read it, stands in docs/performance.md. Every order of a measurement has to end as
accepted, or there is no figure. CPU is that of the service's process alone, all its threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import secrets
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.measure import cores
from benchmarks.service_load import (
    Connection,
    Cpu,
    RunningService,
    listen,
    order_body,
    post_batch,
    post_singly,
    put_meters,
    wait_until_settled,
)
from benchmarks.stock import METER_OPTIONS, SECURITIES, OtherSide
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import credit_kind

_KIND = credit_kind(Commodity.ELECTRICITY, currency=False)
_FIRST_TID = 6_000_000
_WAITING_METERS = 1000
_FAR = "2036-01-01T00:00:00Z"
_CREDITS = 100
"""Single orders whose latency is taken."""
_IN_FLIGHT = 5
_SLOW_SECONDS = 10
"""How long the meters that hold associations open show their tokens as pending."""


@dataclass
class Street:
    """Simulated meters in another process, and the orders made for them so far."""

    ports: Sequence[int]
    security: str
    sold: int = 0

    @classmethod
    @contextmanager
    def built(cls, count: int, security: str, core: int | None, *more: str) -> Iterator[Street]:
        options = ["--meters", str(count), "--listen", "tcp://127.0.0.1:0", "--security", security]
        command = ["meters", "run", *options, *METER_OPTIONS[security], *more]
        with OtherSide.started(core, command, "", count) as (side, lines), side.running():
            yield cls([int(line.rpartition(":")[2]) for line in lines], security)

    @property
    def ids(self) -> list[str]:
        return [f"meter-{number}" for number in range(len(self.ports))]

    def bodies(self) -> dict[str, dict[str, Any]]:
        security = SECURITIES[self.security]
        return {
            meter: {"endpoint": f"tcp://127.0.0.1:{port}", "profile": "sim", "security": security}
            for meter, port in zip(self.ids, self.ports, strict=True)
        }

    def orders(self, name: str, each: int, **more: Any) -> list[bytes]:
        """``each`` fresh orders for each meter, meter after meter."""
        first, self.sold = self.sold, self.sold + each
        return [
            order_body(f"{name}-{number}-{meter}", meter, self._digits(place, first + number), **more)
            for number in range(each)
            for place, meter in enumerate(self.ids)
        ]

    def _digits(self, place: int, number: int) -> str:
        return encode_credit(lab_config(place).decoder_key, _KIND, 1, _FIRST_TID + number, rnd=5).digits


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    orders: int
    wall_seconds: float
    cpu: Cpu
    memory_octets: int

    def __str__(self) -> str:
        each = self.cpu.total / self.orders * 1000
        return (
            f"| {self.name} | {self.orders:,} | {each:.3f} | {self.cpu.loop / self.orders * 1000:.3f} | "
            f"{1000 / each:,.0f} | {self.orders / self.wall_seconds:,.0f} | {self.memory_octets >> 20} MiB |"
        )


_HEAD = (
    "| what | orders | CPU ms each | of it the event loop's thread | /s of one core | /s wall | resident |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


async def throughput(service: RunningService, street: Street, name: str, each: int, *, singly: bool = False) -> Row:
    """From the first octet of the first order to the last verdict on disk."""
    slug = re.sub(r"\W+", "-", name)
    orders = street.orders(slug, each)
    cpu, wall = service.cpu, time.perf_counter()
    await (post_singly if singly else post_batch)(service, orders)
    await wait_until_settled(service, street.ids, f"{slug}-{each - 1}-{{meter}}")
    row = Row(name, len(orders), time.perf_counter() - wall, service.cpu.since(cpu), service.memory_octets)
    await _check_accepted(service, orders)
    return row


async def intake(service: RunningService, street: Street, name: str, count: int) -> Row:
    """Orders that wait for years: what taking them costs. They go to meters of their own, which nobody calls."""
    waiting = [f"waiting-{number}" for number in range(_WAITING_METERS)]
    await put_meters(service, {meter: {"endpoint": "tcp://127.0.0.1:9"} for meter in waiting})
    cpu, wall = service.cpu, time.perf_counter()
    for first in range(0, count, 50_000):
        orders = [
            order_body(f"waiting-{name.split()[-2]}-{n}", waiting[n % _WAITING_METERS], _any_token(), not_before=_FAR)
            for n in range(first, min(first + 50_000, count))
        ]
        await post_batch(service, orders)
    return Row(name, count, time.perf_counter() - wall, service.cpu.since(cpu), service.memory_octets)


def _any_token() -> str:
    """Of class 0: bits 28 and 27 are clear."""
    return f"{secrets.randbits(66) & ~(0b11 << 27):020d}"


async def _check_accepted(service: RunningService, orders: Sequence[bytes]) -> None:
    connection = await Connection.open(service)
    for octets in orders[:: max(1, len(orders) // 50)]:
        _, answer = await connection.ask("GET", f"/v1/orders/{json.loads(octets)['id']}")
        order = json.loads(answer)
        if order["state"] != "accepted":
            raise RuntimeError(f"an order that had to be accepted is {order['state']}: {order.get('reason')}")
    _, answer = await connection.ask("GET", "/v1/orders?state=rejected,held,in_doubt,expired&limit=1")
    if json.loads(answer)["orders"]:
        raise RuntimeError("not all orders were accepted")
    connection.close()


async def latency(service: RunningService, street: Street, name: str, *, behind: int) -> list[float]:
    """Milliseconds from sending one credit to hearing of its verdict, with campaign orders in the queue."""
    if behind:
        await post_batch(service, street.orders(f"{name}-campaign", behind, priority="campaign"))
    heard: dict[str, asyncio.Future[float]] = {}

    def on_heard(order_id: str) -> None:
        if order_id in heard:
            heard[order_id].set_result(time.perf_counter())

    connection = await Connection.open(service)
    listening = asyncio.create_task(listen(service, "order.accepted", on_heard))
    times = []
    for octets in street.orders(name, 1)[:_CREDITS]:
        future = heard[json.loads(octets)["id"]] = asyncio.get_running_loop().create_future()
        sent = time.perf_counter()
        status, answer = await connection.ask("POST", "/v1/orders", octets)
        if status != 202:
            raise RuntimeError(f"an order was answered with {status}: {answer[:200]!r}")
        times.append((await future - sent) * 1000)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    if behind:
        status, answer = await connection.ask("GET", "/v1/orders?state=queued,waiting&limit=1")
        if not json.loads(answer)["orders"]:
            raise RuntimeError("the queue was empty before the last credit: more campaign orders are needed")
        await wait_until_settled(service, street.ids, f"{name}-campaign-{behind - 1}-{{meter}}")
    connection.close()
    return times


async def in_flight(service: RunningService, street: Street) -> tuple[int, int]:
    """Memory with an association open to every meter: before, and then."""
    before = service.memory_octets
    await post_batch(service, street.orders("slow", 1))
    await asyncio.sleep(_SLOW_SECONDS / 2)
    most = service.memory_octets
    await wait_until_settled(service, street.ids, "slow-0-{meter}")
    return before, most


async def _measure(options: Namespace) -> None:
    first, other = cores()
    print(
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, {options.security}\n"
    )
    print(_HEAD, flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="stsgate-benchmark-") as directory,
        Street.built(options.meters, options.security, other) as street,
        RunningService.started(Path(directory), first) as service,
    ):
        await put_meters(service, street.bodies())
        each = max(1, options.orders // options.meters)
        await throughput(service, street, "warm-up", 1)
        print(await throughput(service, street, "batches, one order a meter", 1), flush=True)
        print(await throughput(service, street, "batches", each), flush=True)
        print(await throughput(service, street, "single POSTs", each, singly=True), flush=True)
        told = 0
        for count in options.open:
            print(await intake(service, street, f"intake up to {count} waiting", count - told), flush=True)
            told = count
            print(await throughput(service, street, f"batches, {count:,} waiting", each), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="stsgate-benchmark-") as directory,
        Street.built(options.meters, options.security, other) as street,
        # As many at a time as the meters can answer without delay: their core is the one that is busy.
        RunningService.started(Path(directory), first, STSGATE_DELIVERY_IN_FLIGHT_MAX=str(_IN_FLIGHT)) as service,
    ):
        await put_meters(service, street.bodies())
        await throughput(service, street, "warm-up", 1)
        print(f"\n| one credit, HTTP in to verdict heard, {_IN_FLIGHT} at a time | p50 ms | p99 ms |\n|---|---:|---:|")
        for name, behind in (("nothing else to do", 0), ("behind campaign orders", options.campaign)):
            times = await latency(service, street, name.replace(" ", "-"), behind=behind)
            print(f"| {name} | {median(times):.1f} | {quantiles(times, n=100)[-1]:.1f} |", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="stsgate-benchmark-") as directory,
        Street.built(1000, options.security, other, "--status-delay", str(_SLOW_SECONDS)) as street,
        RunningService.started(Path(directory), first) as service,
    ):
        await put_meters(service, street.bodies())
        before, most = await in_flight(service, street)
        print(f"\nResident: {before >> 20} MiB idle with 1,000 meters, {most >> 20} MiB with 1,000 associations open.")


def main() -> int:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=4000, help="of each measurement")
    parser.add_argument("--meters", type=int, default=200)
    parser.add_argument("--security", choices=tuple(SECURITIES), default="hls-gmac")
    parser.add_argument(
        "--open",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[1000, 100_000],
        help="orders that wait meanwhile; 1000000 takes some minutes",
    )
    parser.add_argument(
        "--campaign", type=int, default=20, help="campaign orders for each meter in the queue of latency"
    )
    _, other = cores()
    if other is not None:
        os.sched_setaffinity(0, {other})
    asyncio.run(_measure(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
