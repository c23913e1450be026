"""What has to hold between the steps of a case: every name was given before, and every step can be taken."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.issuing import IssuerKey
from sim_meters.scenario.expectations import ProgramExpectation, StsExpectation
from sim_meters.scenario.meters import MeterPlan
from sim_meters.scenario.model import CaseTable
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
from sim_meters.scenario.tokens import check_token_step

PLACEHOLDER = re.compile(r"\{([a-z]+)(?::([A-Za-z0-9][A-Za-z0-9_.-]{0,63}))?\}")
METER_OPTIONS = "meter"
"""Stands for several arguments, so it has to be one of its own."""
_OF_THE_METER = ("endpoint", "pan", "serial")
_SIMULATED_ONLY = (KeypadStep, FaultStep, LinkStep, RebootStep, TamperStep, EmergencyStep)
_SEEN_INSIDE = ("times_credited", "strikes", "sections")
"""Expectations that no wire can tell."""
_NO_FAULT = "there is no fault {!r}; docs/faults.md names them"
_NO_EXPECTATIONS = {"do", "name", "meter", "over_wire", "within_seconds"}


@dataclass(slots=True)
class _Known:
    """What the steps so far have given names to."""

    meters: Mapping[str, MeterPlan]
    meter: str
    has_clock: bool
    tokens: set[str] = field(default_factory=set, repr=False)  # their names alone
    keys: dict[str, tuple[str, IssuerKey]] = field(default_factory=dict, repr=False)
    marked: set[str] = field(default_factory=set)


def check_chain(cases: Sequence[CaseTable], meter: str, meters: Mapping[str, MeterPlan], *, has_clock: bool) -> None:
    """Cases that follow one another on the same meters. Raises ``SettingError`` naming case and step."""
    known = _Known(meters, meter, has_clock)
    for case in cases:
        expectations = 0
        for number, step in enumerate(case.step, 1):
            try:
                expectations += _check(step, known)
            except (SettingError, TokenFormatError) as error:
                what = getattr(step, "do", "")
                raise SettingError(f"case {case.shown}, step {number} ({what}): {error}") from None
        if not expectations:
            raise SettingError(f"case {case.shown}: expected at least one expectation; it can never fail")


def meters_named(step: Step) -> Iterator[str]:
    """Those that a step names, or fills into a command."""
    if isinstance(step, MeterStep) and step.meter is not None:
        yield step.meter
    if isinstance(step, RunStep):
        for text in (*step.command, step.stdin):
            yield from (match[2] for match in PLACEHOLDER.finditer(text) if match[1] != "token" and match[2])


def expectations_of(step: Step) -> set[str]:
    """The names of what a step expects. What is there and empty expects nothing, but for an ``output`` without objects
    and ``sections`` of which none is held."""
    expect = step if isinstance(step, ExpectStep) else getattr(step, "expect", None)
    if expect is None:
        return set()
    names: set[str] = expect.model_fields_set - _NO_EXPECTATIONS
    return {
        name
        for name in names
        if name in ("output", "sections") or getattr(expect, name) not in ((), {}, StsExpectation())
    }


def fault_order(step: FaultStep) -> FaultOrder:
    """Raises ``SettingError``."""
    if step.fault not in list(Fault):
        raise SettingError(_NO_FAULT.format(step.fault))
    said = step.model_dump(exclude_none=True, include={"fault", "count", "percent", "phase", "value", "skip"})
    return FaultOrder.parse_mapping(said)


def _check(step: Step, known: _Known) -> int:
    """How many expectations the step has. Raises ``SettingError``."""
    if isinstance(step, MeterStep):
        _check_meter(step, known)
    match step:
        case TokenStep():
            _check_token(step, known.meters[step.meter or known.meter], known)
        case EnterStep():
            if (step.token is None) == (step.octets is None):
                raise SettingError("expected token or octets, one of them")
            _check_tokens([step.token] if step.token is not None else [], known)
        case KeypadStep():
            if (step.token is None) == (step.digits is None):
                raise SettingError("expected token or digits, one of them")
            _check_tokens([step.token] if step.token is not None else [], known)
        case RunStep():
            _check_run(step, known)
        case FaultStep():
            fault_order(step)
        case AdvanceStep():
            _check_advance(step, known)
        case MarkStep():
            known.marked.add(step.meter or known.meter)
        case ExpectStep():
            _check_expect(step, known)
    return len(expectations_of(step))


def _check_meter(step: MeterStep, known: _Known) -> None:
    name = step.meter or known.meter
    meter = known.meters.get(name)
    if meter is None:
        raise SettingError(f"there is no meter {name!r}")
    if not meter.is_simulated and isinstance(step, _SIMULATED_ONLY):
        raise SettingError(f"meter {name} is a real one; this step needs a simulated one")


def _check_token(step: TokenStep, meter: MeterPlan, known: _Known) -> None:
    made = check_token_step(step, meter, known.keys)
    known.tokens.update(made.tokens)
    if made.new_key is not None:
        known.keys[step.token] = meter.name, made.new_key


def _check_tokens(names: Collection[str], known: _Known) -> None:
    for name in names:
        if name not in known.tokens:
            raise SettingError(f'there is no token {name!r} yet; a step with do = "token" makes one')


def _check_advance(step: AdvanceStep, known: _Known) -> None:
    if not known.has_clock:
        raise SettingError("expected a virtual clock; [clock] with a start gives one")
    if not known.meters[known.meter].is_simulated:
        raise SettingError(f"meter {known.meter} is a real one; its clock cannot be moved")
    if not (step.seconds or step.minutes or step.hours or step.days):
        raise SettingError("expected seconds, minutes, hours or days")


def _check_expect(step: ExpectStep, known: _Known) -> None:
    name = step.meter or known.meter
    if not expectations_of(step):
        raise SettingError("expected something to be expected")
    if step.balance_change is not None and name not in known.marked:
        raise SettingError('balance_change: expected a step with do = "mark" before; it counts from there')
    if not known.meters[name].is_simulated and expectations_of(step) & {*_SEEN_INSIDE}:
        raise SettingError(f"meter {name} is a real one; {', '.join(_SEEN_INSIDE)} need a simulated one")
    _check_tokens([*step.times_credited, *([] if step.token is None else [step.token])], known)
    for fault in step.strikes:
        if fault not in list(Fault):
            raise SettingError(f"strikes: {_NO_FAULT.format(fault)}")


def _check_run(step: RunStep, known: _Known) -> None:
    for text in (*step.command, step.stdin):
        for match in PLACEHOLDER.finditer(text):
            _check_placeholder(match[1], match[2], known)
            if match[1] == METER_OPTIONS and (match[0] != text or text is step.stdin):
                raise SettingError("{meter}: expected as an argument of its own")
    expect: ProgramExpectation = step.expect
    for text in (*expect.stdout_has, *expect.stderr_has):
        if not text:
            raise SettingError("stdout_has, stderr_has: expected texts that are not empty")


def _check_placeholder(kind: str, name: str | None, known: _Known) -> None:
    if kind == "token" and name is not None:
        _check_tokens([name], known)
    elif kind in (*_OF_THE_METER, METER_OPTIONS):
        if name is not None and name not in known.meters:
            raise SettingError(f"{{{kind}:{name}}}: there is no meter {name!r}")
    elif kind != "folder" or name is not None:
        expected = ", ".join(f"{{{one}}}" for one in ("token:NAME", *_OF_THE_METER, "meter", "folder"))
        raise SettingError(f"{{{kind}}}: expected one of {expected}")
