"""Taking one step: what is done, the words for it, and what was found beside what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.names import spell
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import DataValueMap
from sim_meters.clock import VirtualClock
from sim_meters.issuing import IssuerKey
from sim_meters.outcomes import token_status
from sim_meters.scenario.bench import Bench, BenchMeter
from sim_meters.scenario.client import Entered, enter
from sim_meters.scenario.compare import check_number, check_one_of, check_program
from sim_meters.scenario.meters import MeterPlan
from sim_meters.scenario.observe import check_reason, look, look_until, reason_of, section_of
from sim_meters.scenario.placeholders import Filler
from sim_meters.scenario.program import run_program
from sim_meters.scenario.report import Check, StepError
from sim_meters.scenario.rules import fault_order
from sim_meters.scenario.snapshot import Snapshot
from sim_meters.scenario.step_tables import (
    AdvanceStep,
    EmergencyStep,
    EnterStep,
    ExpectStep,
    FaultStep,
    KeypadStep,
    LinkStep,
    MarkStep,
    MeterStep,
    RebootStep,
    RunStep,
    Step,
    TamperStep,
    TokenStep,
)
from sim_meters.scenario.tokens import MadeToken, make_tokens
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tid import BaseDate

_ACCEPTED = (TokenResult.ACCEPT, *SECTION_RESULTS)
_NOT_TAKEN = (TokenResult.LOCKOUT, TokenResult.NOT_READY)


@dataclass(slots=True)
class CaseState:
    """What the steps of a case have in common, and leave to the next one."""

    bench: Bench
    plans: Mapping[str, MeterPlan]
    """All meters of the scenario: also of those that are not on the bench there may be tokens."""
    meter: str
    """Which one is meant where none is named."""
    rng: Random
    folder: Path
    """Of the scenario file."""
    tokens: dict[str, MadeToken] = field(default_factory=dict, repr=False)
    keys: dict[str, tuple[str, IssuerKey]] = field(default_factory=dict, repr=False)
    """By the name of a key-change set: its meter, and the key that it brings."""
    last_tids: dict[str, dict[BaseDate, int]] = field(default_factory=dict)
    """By meter and base date."""
    marks: dict[str, Decimal] = field(default_factory=dict)

    def meter_of(self, step: MeterStep) -> BenchMeter:
        return self.bench.meters[step.meter or self.meter]


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken."""

    words: str
    checks: tuple[Check, ...] = ()


async def take(step: Step, state: CaseState) -> Taken:
    """Take one step. Raises ``StepError``, ``SettingError`` and the client's ``FAILED`` if it cannot be taken."""
    match step:
        case TokenStep():
            return _make(step, state)
        case EnterStep():
            return await _enter(step, state)
        case KeypadStep():
            return _key_in(step, state)
        case RunStep():
            return await _run(step, state)
        case MarkStep():
            return await _mark(step, state)
        case ExpectStep():
            return await _expect(step, state)
        case AdvanceStep():
            return _advance(step, state)
        case FaultStep() | LinkStep() | RebootStep() | TamperStep() | EmergencyStep():
            return Taken(await _disturb(step, state.meter_of(step)))
    raise AssertionError("the parser knows no other steps")


def _make(step: TokenStep, state: CaseState) -> Taken:
    plan = state.plans[step.meter or state.meter]
    last_tids = state.last_tids.setdefault(plan.name, {})
    made = make_tokens(step, plan, state.keys, now=state.bench.clock.now(), last_tids=last_tids, rng=state.rng)
    state.tokens |= made.tokens
    if made.new_key is not None:
        state.keys[step.token] = plan.name, made.new_key
    if made.tid is not None and step.minutes_ago is None:
        base_date, tid = made.tid
        last_tids[base_date] = tid
    return Taken(made.words)


async def _enter(step: EnterStep, state: CaseState) -> Taken:
    meter = state.meter_of(step)
    profile = meter.plan.profile
    if step.token is not None:
        token = state.tokens[step.token].token
        octets, what = profile.token_encoding.to_octets(token), f"{step.token} {token.masked}"
    else:
        octets = bytes.fromhex(step.octets or "")
        what = f"{len(octets)} octets that are no token"
    entered = await enter(meter.access, octets)
    words = f"enter {what} on {meter.plan.name}: {_entered_words(entered, profile)}"
    return Taken(words, tuple(_enter_checks(step, entered, profile)))


def _entered_words(entered: Entered, profile: MeterProfile) -> str:
    before, after = entered.before, entered.after
    section = section_of(after, profile)
    reason = reason_of(after, profile) if section is None else f"section {section} stored"
    said = [entered.result.replace("_", " ").upper()]
    if after.status is not None:
        said.append(f"status {after.status.code} {after.status.words}" + (f" ({reason})" if reason else ""))
    if entered.action_result not in (None, ActionResult.SUCCESS):
        said.append(f"action-result {spell(ActionResult, entered.action_result)}")
    if before.balance is not None and after.balance is not None:
        said.append(f"balance {before.balance:f} -> {after.balance:f} {after.unit}")
    if entered.detail and after.status is None:
        said.append(entered.detail)
    return "; ".join(said)


def _enter_checks(step: EnterStep, entered: Entered, profile: MeterProfile) -> Iterator[Check]:
    expect, before, after = step.expect, entered.before, entered.after
    status = after.status
    if expect.result is not None:
        yield check_one_of("result", expect.result, entered.result)
    if expect.reason is not None:
        yield check_reason(expect.reason, after, profile)
    if expect.section is not None:
        yield check_one_of("section", expect.section, section_of(after, profile))
    if expect.status_code is not None:
        yield check_one_of("status_code", expect.status_code, None if status is None else status.code)
    if expect.data_value is not None:
        yield check_one_of("data_value", expect.data_value, None if status is None else status.data_value)
    if expect.action_result is not None:
        yield check_one_of("action_result", expect.action_result, entered.action_result)
    if expect.balance is not None:
        yield check_number("balance", expect.balance, after.balance)
    if expect.balance_change is not None:
        yield check_number("balance_change", expect.balance_change, _change(before, after))


def _change(before: Snapshot, after: Snapshot) -> Decimal | None:
    return None if before.balance is None or after.balance is None else after.balance - before.balance


def _key_in(step: KeypadStep, state: CaseState) -> Taken:
    meter = state.meter_of(step)
    if step.token is not None:
        token = state.tokens[step.token].token
        shown, what = meter.simulated.meter.key_in(token), f"{step.token} {token.masked}"
    else:
        digits = step.digits or ""
        shown, what = meter.simulated.meter.key_in(digits), f"{len(digits)} digits that are no token"
    result = "accepted" if shown in _ACCEPTED else "refused" if shown in _NOT_TAKEN else "rejected"
    reason = None
    if shown not in _NOT_TAKEN:
        reason = DataValueMap.ONEHOT16.result(token_status(shown, DataValueMap.ONEHOT16).data_value)
    checks = []
    if step.expect.result is not None:
        checks.append(check_one_of("result", step.expect.result, result))
    if step.expect.reason is not None:
        checks.append(check_one_of("reason", step.expect.reason, reason))
    if step.expect.section is not None:
        checks.append(check_one_of("section", step.expect.section, shown.section))
    display = shown.name.lower().replace("_", " ")
    words = f"keypad of {meter.plan.name}: {what}: {result.upper()}; it shows {display}"
    return Taken(words, tuple(checks))


async def _run(step: RunStep, state: CaseState) -> Taken:
    filler = Filler(state.bench.meters, state.meter_of(step).plan.name, state.tokens, state.folder)
    command = filler.arguments(step.command)
    ended = await run_program(command, filler.text(step.stdin), state.folder, step.timeout_seconds)
    return Taken(f"run {' '.join(step.command)}: exit code {ended.exit_code}", tuple(check_program(step.expect, ended)))


async def _mark(step: MarkStep, state: CaseState) -> Taken:
    meter = state.meter_of(step)
    seen = await look(meter, over_wire=False)
    if seen.balance is None:
        raise StepError(f"meter {meter.plan.name} shows no balance")
    state.marks[meter.plan.name] = seen.balance
    return Taken(f"mark the balance of {meter.plan.name}: {seen.balance:f} {seen.unit}")


async def _expect(step: ExpectStep, state: CaseState) -> Taken:
    meter = state.meter_of(step)
    checks = await look_until(step, meter, state.tokens, state.marks.get(meter.plan.name))
    said = [f"{check.what} {check.found}" for check in checks if check.holds]
    return Taken(f"look at {meter.plan.name}: {', '.join(said) or 'nothing is as expected'}", checks)


def _advance(step: AdvanceStep, state: CaseState) -> Taken:
    clock = state.bench.clock
    assert isinstance(clock, VirtualClock), "the rules have seen to it"
    passed = timedelta(seconds=step.seconds or 0, minutes=step.minutes or 0, hours=step.hours or 0, days=step.days or 0)
    clock.advance(passed.total_seconds())
    return Taken(f"the clock goes on by {passed}, to {clock.now():%Y-%m-%d %H:%M:%S} UTC")


async def _disturb(step: FaultStep | LinkStep | RebootStep | TamperStep | EmergencyStep, meter: BenchMeter) -> str:
    simulated, name = meter.simulated, meter.plan.name
    match step:
        case LinkStep():
            await simulated.set_link(online=step.state == "online")
            return f"the link of {name} is {step.state}"
        case RebootStep():
            simulated.meter.reboot()
            return f"{name} loses its power and comes back"
        case TamperStep():
            simulated.meter.open_cover()
            return f"somebody opens the cover of {name}"
        case EmergencyStep():
            if not simulated.meter.take_emergency_credit():
                raise StepError(f"meter {name} has no emergency credit to take: none at all, not yet, or not paid back")
            return f"the customer of {name} takes emergency credit"
        case FaultStep():
            order = fault_order(step)
            if step.off:
                simulated.behaviour.cancel(order.fault, order.phase)
                return f"fault {order.fault} of {name}: no more"
            simulated.behaviour.order(order)
            often = {None: "always", 1: "once"}.get(order.count, f"{order.count} times")
            chance = "" if order.chance_percent == 100 else f", with a chance of {order.chance_percent:g} %"
            return f"fault {order.fault} of {name}: {often}{chance}"
