"""A fleet in one process: start time, memory for each meter, deliveries while many are connected at a time.

    python -m benchmarks.fleet [--meters N] [--connected N] [--behind-each N] [--security hls-gmac]

The meters run as people start them, ``simmeters run --fleet``, on one core; the deliveries come from this process, on
another. Every meter gets one token, by all the steps of a delivery; each has to end as accepted, or there is no figure.
Memory is that of the meters' whole process, the interpreter and its libraries included, divided by the meters.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.measure import cores, loop_factory
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import DEFAULT_CLIENT_SYSTEM_TITLE, Meter
from gateway.session import open_session
from gateway.verdict import Outcome
from sim_meters.fleet.files import load_fleet
from sim_meters.fleet.plan import FleetPlan, Member
from sim_meters.sts.tokens.clear_token import encode_credit
from transports.endpoint import Endpoint

METER_KILOBYTES_MAX = 20.0
START_SECONDS_MAX = 10.0
"""The bars of a fleet."""

_TID = 6_000_000
_TIMEOUT_SECONDS = 120.0
_READY = "fleet of "
_FLEET = """\
seed = 1

[[group]]
name = "meter"
count = {meters}
listen = "tcp://127.0.0.1:0"
share = {share}
server_sap = 1001

[group.security]
mechanism = "{security}"
"""


class NotAcceptedError(Exception):
    """A figure of a delivery that failed would be worth nothing."""


@dataclass(frozen=True)
class Figures:
    """What was measured; memory in octets of the whole process."""

    meters: int
    wires: int
    connected: int
    start_seconds: float
    memory_started: int
    memory_connected: int
    memory_all: int
    memory_most: int
    deliveries_seconds: float


class RunningFleet:
    """``simmeters run --fleet`` in a process of its own."""

    def __init__(self, process: Process, plan: FleetPlan, urls: list[str], start_seconds: float) -> None:
        self.plan = plan
        self.urls = urls
        self.start_seconds = start_seconds
        self._process = process

    def meter(self, member: Member, counter: int) -> Meter:
        """As a head-end has it in its registry."""
        config = member.config
        security = config.security
        parsed = SecuritySettings.parse(
            {
                "mechanism": security.mechanism.name.lower().replace("_", "-"),
                "password": security.password.decode(),
                "ek": security.ek.hex(),
                "ak": security.ak.hex(),
                "client_system_title": DEFAULT_CLIENT_SYSTEM_TITLE,
                "meter_system_title": security.meter_system_title.hex() if security.needs_titles else "",
            }
        )
        return Meter(
            endpoint=Endpoint.parse(self.urls[member.group.place_of(member.number)]),
            profile=replace(config.profile, response_timeout_seconds=_TIMEOUT_SECONDS),
            security=parsed,
            server_sap=config.server_sap,
            invocation_counter=counter,
            serial=config.device_name,
            pan=config.pan.digits,
        )

    def memory(self, field: str = "VmRSS") -> int:
        """Of the process, in octets; ``VmHWM``: the most that it ever was."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024


@asynccontextmanager
async def running(file: Path, core: int | None) -> AsyncIterator[RunningFleet]:
    """The fleet of a file, listening."""
    command = [sys.executable, "-m", "sim_meters", "run", "--fleet", str(file)]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    begin = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        urls = []
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while not (line := (await process.stdout.readline()).decode()).startswith(_READY):
                if not line:
                    raise NotAcceptedError("the meters did not start")
                if line.startswith("listening "):
                    urls.append(line.removeprefix("listening ").strip())
        yield RunningFleet(process, load_fleet(str(file)), urls, time.perf_counter() - begin)
    finally:
        process.terminate()
        await process.wait()


async def measure(options: Namespace) -> Figures:
    ours, theirs = cores()
    if ours is not None:
        os.sched_setaffinity(0, {ours})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fleet.toml"
        file.write_text(
            _FLEET.format(meters=options.meters, share=options.behind_each, security=options.security), encoding="utf-8"
        )
        async with running(file, theirs) as fleet:
            started = fleet.memory()
            connected = await _with_many_connected(fleet, options.connected)
            # Round the places, not one after the other: nobody's queue of callers is longer than it must be.
            members = sorted(fleet.plan.members, key=lambda member: member.number % options.behind_each)
            work = [(fleet.meter(member, 1000), _token(member)) for member in members]
            begin = time.perf_counter()
            await _deliver_all(work, options.connected)
            seconds = time.perf_counter() - begin
            return Figures(
                meters=fleet.plan.count,
                wires=fleet.plan.places,
                connected=options.connected,
                start_seconds=fleet.start_seconds,
                memory_started=started,
                memory_connected=connected,
                memory_all=fleet.memory(),
                memory_most=fleet.memory("VmHWM"),
                deliveries_seconds=seconds,
            )


async def _with_many_connected(fleet: RunningFleet, count: int) -> int:
    """The memory while so many associations are open at once."""
    step = max(1, fleet.plan.count // count)
    members = [member for place, member in enumerate(fleet.plan.members) if place % step == 0][:count]
    sessions = await asyncio.gather(
        *(open_session(fleet.meter(member, 1), InvocationCounters(1)) for member in members)
    )
    memory = fleet.memory()
    await asyncio.gather(*(session.release() for session in sessions))
    return memory


async def _deliver_all(work: list[tuple[Meter, Token]], connected: int) -> None:
    """One token to each meter, so many at a time."""
    waiting = iter(work)

    async def caller(waiting: Iterator[tuple[Meter, Token]]) -> None:
        for meter, token in waiting:
            (judged,) = await Delivery(meter, _forget).run([token])
            if judged.verdict.outcome is not Outcome.ACCEPTED:
                raise NotAcceptedError(f"{meter.serial}: {judged}")

    async with asyncio.TaskGroup() as group:
        for _ in range(connected):
            group.create_task(caller(waiting))


def _token(member: Member) -> Token:
    config = member.config
    return encode_credit(config.decoder_key, config.unit.kind, 100, _TID, 5)


async def _forget(_event: Event) -> None:
    """The benchmark keeps no story."""


def table(figures: Figures) -> str:
    """What was measured, and whether the bars are met."""

    def each(memory: int) -> float:
        return memory / figures.meters / 1000

    def said(value: float, most: float) -> str:
        return "met" if value <= most else "NOT MET"

    memories = (
        (f"memory of each, {figures.connected:,} of them connected", figures.memory_connected),
        ("memory of each, all were spoken to", figures.memory_all),
        ("memory of each, at the most", figures.memory_most),
    )
    rows = [
        (
            "start, process and all",
            f"{figures.start_seconds:.2f} s",
            f"at most {START_SECONDS_MAX:g} s",
            said(figures.start_seconds, START_SECONDS_MAX),
        ),
        ("process, nobody spoken to", f"{figures.memory_started / 1e6:.0f} MB", "", ""),
        *(
            (
                name,
                f"{each(memory):.1f} kB",
                f"at most {METER_KILOBYTES_MAX:g} kB",
                said(each(memory), METER_KILOBYTES_MAX),
            )
            for name, memory in memories
        ),
        (
            f"deliveries, {figures.connected:,} at a time",
            f"{figures.meters / figures.deliveries_seconds:,.0f}/s",
            "",
            "",
        ),
    ]
    head = [f"| {figures.meters:,} meters on {figures.wires} wires | measured | bar | |", "| --- | ---: | --- | --- |"]
    return "\n".join((*head, *(f"| {' | '.join(row)} |" for row in rows)))


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__.split("\n", 1)[0])
    add: Callable[..., object] = parser.add_argument
    add("--meters", type=_whole, default=20_000, metavar="N", help="default %(default)s")
    add("--connected", type=_whole, default=1000, metavar="N", help="so many at a time, default %(default)s")
    add("--behind-each", type=_whole, default=1000, metavar="N", help="meters behind one listener, default %(default)s")
    add("--security", default="hls-gmac", choices=("none", "lls", "hls-gmac"), help="default %(default)s")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory(uses_uvloop=True)) as runner:
        figures = runner.run(measure(options))
    print(table(figures))


if __name__ == "__main__":
    main()
