"""Looking at a meter, once or until it is as expected."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import DataValueMap, onehot16
from sim_meters.faults import Fault
from sim_meters.scenario.bench import BenchMeter
from sim_meters.scenario.client import FAILED, associated
from sim_meters.scenario.compare import check_number, check_one_of
from sim_meters.scenario.report import Check
from sim_meters.scenario.snapshot import Snapshot, take_snapshot
from sim_meters.scenario.step_tables import ExpectStep
from sim_meters.scenario.tokens import MadeToken
from sim_meters.sts.results import SECTION_RESULTS

_PAUSE_SECONDS = (0.05, 1.0)
"""Between two looks: the first pause, and the longest."""


async def look(meter: BenchMeter, *, over_wire: bool) -> Snapshot:
    """At all that a meter shows. Raises ``FAILED`` of the client if it has to be asked over its wire."""
    profile = meter.plan.profile
    if meter.is_simulated and not over_wire:
        return await take_snapshot(meter.simulated.get, profile, with_switch=True, with_sts=True)
    async with associated(meter.access) as client:
        return await take_snapshot(client.get, profile, with_switch=True, with_sts=True)


async def look_until(
    step: ExpectStep, meter: BenchMeter, tokens: Mapping[str, MadeToken], mark: Decimal | None
) -> tuple[Check, ...]:
    """What was found at last. Raises like ``look``."""
    now = asyncio.get_running_loop().time
    end, pause = now() + step.within_seconds, _PAUSE_SECONDS[0]
    while True:
        try:
            seen = await look(meter, over_wire=step.over_wire)
        except FAILED:
            if now() >= end:
                raise
        else:
            checks = tuple(_checks(step, meter, seen, tokens, mark))
            if all(check.holds for check in checks) or now() >= end:
                return checks
        await asyncio.sleep(min(pause, max(end - now(), 0.0)))
        pause = min(2 * pause, _PAUSE_SECONDS[1])


def reason_of(seen: Snapshot, profile: MeterProfile) -> str | None:
    """Which STS check refused the token, if this model's bits tell."""
    return None if seen.status is None else profile.data_value_map.result(seen.status.data_value)


def section_of(seen: Snapshot, profile: MeterProfile) -> int | None:
    """Which section of a key-change set was stored, if this model's bits tell."""
    if seen.status is None or profile.data_value_map is not DataValueMap.ONEHOT16:
        return None
    numbers = range(1, len(SECTION_RESULTS) + 1)
    return next((number for number in numbers if seen.status.data_value == onehot16(None, section=number)), None)


def check_reason(expected: object, seen: Snapshot, profile: MeterProfile) -> Check:
    check = check_one_of("reason", expected, reason_of(seen, profile))
    if profile.data_value_map in (DataValueMap.RAW, DataValueMap.NONE):
        return replace(check, found=f"{check.found}: the profile {profile.name} does not say what data_value means")
    return check


def _checks(
    step: ExpectStep, meter: BenchMeter, seen: Snapshot, tokens: Mapping[str, MadeToken], mark: Decimal | None
) -> Iterator[Check]:
    yield from _gateway_checks(step, seen, meter.plan.profile, tokens)
    if step.balance is not None:
        yield check_number("balance", step.balance, seen.balance)
    if step.balance_change is not None:
        change = None if seen.balance is None or mark is None else seen.balance - mark
        yield check_number("balance_change", step.balance_change, change)
    if step.unit is not None:
        yield check_one_of("unit", step.unit, seen.unit)
    if step.switch is not None:
        yield check_one_of("switch", step.switch, seen.switch)
    if step.power_limit is not None:
        yield check_one_of("power_limit", step.power_limit, seen.power_limit)
    if step.sts is not None:
        for name, expected in step.sts.model_dump(exclude_none=True).items():
            meant = expected if name == "pan" else int(expected)  # 01 and 1 are the same number
            yield check_one_of(f"sts.{name}", meant, seen.sts.get(name))
    yield from _inside_checks(step, meter, tokens)


def _inside_checks(step: ExpectStep, meter: BenchMeter, tokens: Mapping[str, MadeToken]) -> Iterator[Check]:
    """What no wire can tell."""
    if step.sections is not None:
        held = meter.simulated.sections_held
        yield Check("sections", _numbers(step.sections), _numbers(held), held == tuple(sorted(step.sections)))
    if step.times_credited:
        ledger = meter.simulated.meter.ledger
        for name, times in step.times_credited.items():
            yield check_one_of(f"times_credited of {name}", times, ledger.times_credited(tokens[name].token))
    if step.strikes:
        strikes = meter.simulated.behaviour.strikes
        for name, times in step.strikes.items():
            yield check_one_of(f"strikes of {name}", times, strikes.get(Fault(name), 0))


def _gateway_checks(
    step: ExpectStep, seen: Snapshot, profile: MeterProfile, tokens: Mapping[str, MadeToken]
) -> Iterator[Check]:
    status = seen.status
    if step.token is not None:
        octets = profile.token_encoding.to_octets(tokens[step.token].token)
        is_shown = seen.token is not None and profile.readback_octets_match(seen.token, octets)
        yield Check("token", step.token, step.token if is_shown else "another one, or none", is_shown)
    if step.status_code is not None:
        yield check_one_of("status_code", step.status_code, None if status is None else status.code)
    if step.data_value is not None:
        yield check_one_of("data_value", step.data_value, None if status is None else status.data_value)
    if step.reason is not None:
        yield check_reason(step.reason, seen, profile)
    if step.delivery is not None:
        yield check_one_of("delivery", step.delivery, seen.delivery)
    if step.display_has:
        missing = [text for text in step.display_has if text not in seen.display]
        yield Check("display_has", ", ".join(missing or step.display_has), seen.display or "nothing", not missing)


def _numbers(sections: Sequence[int]) -> str:
    return ", ".join(map(str, sections)) or "none"
