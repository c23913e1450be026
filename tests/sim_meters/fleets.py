"""Fleets for tests, and head-ends that deliver to their meters as a list describes them."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.cli.service.meter_columns import METERS
from gateway.cli.service.sheets import row_from, rows_of
from gateway.delivery import Delivery
from gateway.events import Event, Judged
from gateway.meter_body import MeterBody
from gateway.meters import Meter
from sim_meters.clock import Clock
from sim_meters.fleet.files import load_profile
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.listing import write_list
from sim_meters.fleet.meters import FleetMeters
from sim_meters.fleet.plan import FleetPlan, Member
from sim_meters.sts.tokens.clear_token import encode_credit
from transports.channel import Link
from transports.link_pool import LinkPool
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

TCP = '[[group]]\nname = "a"\nlisten = "tcp://127.0.0.1:0"\n'
UNITS = 256
"""25.6 kWh, or less than a cent."""
_TID = 6_000_000


def fleet_plan(text: str, *, wires: WireSettings = WIRE_DEFAULTS, seed: int | None = None) -> FleetPlan:
    return FleetPlan.parse(tomllib.loads(text), load_profile, wires=wires, seed=seed)


@asynccontextmanager
async def living(
    plan: FleetPlan | str, *, state_dir: Path | None = None, clock: Clock | None = None
) -> AsyncIterator[Fleet]:
    """A fleet in this process."""
    plan = fleet_plan(plan) if isinstance(plan, str) else plan
    with closing(FleetMeters(plan, state_dir=state_dir, clock=clock)) as meters:
        async with Fleet(meters) as fleet:
            yield fleet


def member(fleet: Fleet, name: str) -> Member:
    found = fleet.plan.find(name)
    assert found is not None
    return found


def listed(fleet: Fleet, path: Path) -> dict[str, Meter]:
    """All meters as a head-end knows them that was given the fleet's list."""
    write_list(path, fleet.plan.members, fleet.url_of, with_secrets=True)
    return read_list(path)


def read_list(path: Path) -> dict[str, Meter]:
    rows = [row_from(METERS, cells, number) for cells, number in rows_of(METERS, str(path))]
    return {row.id: _patient(MeterBody.model_validate(row.body).meter()) for row in rows}


def _patient(meter: Meter) -> Meter:
    return replace(meter, profile=replace(meter.profile, poll_first_seconds=0.05))


async def credit(pool: LinkPool, meter: Meter, member: Member, tid: int = _TID) -> Judged:
    """One token for one meter, by our own delivery."""

    async def connect(meter: Meter) -> Link:
        return await pool.open_link(meter.endpoint, hdlc=meter.hdlc)

    config = member.config
    is_money = config.unit.kind.is_currency
    token = encode_credit(config.decoder_key, config.unit.kind, UNITS, tid, None if is_money else 5)
    (judged,) = await Delivery(meter, _forget, connect=connect).run([token])
    return judged


async def _forget(_event: Event) -> None:
    """Nobody keeps the story."""


@asynccontextmanager
async def head_end(wires: WireSettings = WIRE_DEFAULTS, **options: Any) -> AsyncIterator[LinkPool]:
    pool = LinkPool(wires, **options)
    try:
        yield pool
    finally:
        await pool.close()
