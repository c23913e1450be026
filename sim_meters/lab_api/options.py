"""The options of ``simmeters run`` for the lab: its HTTP API, and a virtual clock."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cosem_objects.errors import SettingError
from sim_meters.clock import CALENDAR, Clock, SystemClock, VirtualClock
from sim_meters.fleet.fleet import Fleet
from sim_meters.lab_api.address import LabAddress
from sim_meters.option_values import seconds

SPEED_MAX = 1e6


@dataclass(frozen=True, slots=True)
class LabPlan:
    """What the options say."""

    address: LabAddress | None = None
    """``None``: no API."""
    start: datetime | None = None
    """Of a virtual clock; ``None``: real time."""
    speed: float = 0.0
    """How many times as fast as real time the virtual clock goes by itself."""

    def new_clock(self) -> Clock:
        return SystemClock() if self.start is None else VirtualClock(self.start)


def add_lab_options(parser: ArgumentParser) -> None:
    add = parser.add_argument_group("the lab").add_argument
    add("--lab-api", metavar="ADDRESS:PORT", help="an HTTP API for faults, keypads and the clock, without any login")
    add("--clock-start", metavar="TIME", help="a virtual clock that begins there, such as 2026-11-21T12:00:00Z")
    add("--clock-speed", metavar="FACTOR", default="0", help="of the virtual clock; default 0: it stands until moved")


def read_lab_plan(options: Namespace) -> LabPlan:
    """Raises ``SettingError``."""
    address, start = None, None
    if options.lab_api is not None:
        address = LabAddress.parse(options.lab_api, allow_remote=options.allow_remote)
    if options.clock_start is not None:
        start = _moment(options.clock_start)
    speed = seconds(options, "clock_speed", SPEED_MAX)
    if speed and start is None:
        raise SettingError("--clock-speed: expected it with --clock-start; real time has its own speed")
    return LabPlan(address, start, speed)


def announce_lab(url: str, *, as_json: bool) -> None:
    """Says where the API is."""
    print(json.dumps({"event": "lab-api", "url": url}) if as_json else f"lab API {url}")


@asynccontextmanager
async def running_lab(plan: LabPlan, fleet: Fleet) -> AsyncIterator[str | None]:
    """Lets the clock go and serves the API; gives the API's URL, if there is one. Raises ``SettingError``."""
    clock = fleet.meters.clock
    async with AsyncExitStack() as stack:
        if plan.speed and isinstance(clock, VirtualClock):
            going = asyncio.create_task(clock.run(plan.speed))
            stack.callback(going.cancel)
        if plan.address is None:
            yield None
            return
        from sim_meters.lab_api.server import lab_api  # noqa: PLC0415 - an HTTP server takes a while to import

        yield await stack.enter_async_context(lab_api(plan.address, fleet))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not CALENDAR[0] <= moment < CALENDAR[1]:
        raise SettingError(f"--clock-start: expected a time with its zone, such as 2026-11-21T12:00:00Z; got {text!r}")
    return moment.astimezone(UTC)
