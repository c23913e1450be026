"""Running a scenario: case after case, each on meters of its own, and a report of everything that was seen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from cosem_objects.errors import SettingError
from sim_meters.clock import Clock, SystemClock, VirtualClock
from sim_meters.ledger import LedgerError
from sim_meters.scenario.bench import Bench
from sim_meters.scenario.client import FAILED
from sim_meters.scenario.meters import MeterPlan
from sim_meters.scenario.plan import CaseRun, Chain, ScenarioPlan
from sim_meters.scenario.report import CaseReport, Hider, ScenarioReport, Status, StepError, StepReport
from sim_meters.scenario.rules import meters_named
from sim_meters.scenario.step_tables import Step, TokenStep
from sim_meters.scenario.steps import CaseState, Taken, take
from sim_meters.scenario.story import end_line, step_lines
from sim_meters.trace_option import trace_to
from transports.endpoint import EndpointError
from transports.trace.trace import Trace

_CANNOT = (StepError, SettingError, LedgerError, *FAILED)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")
_INTERRUPTED = "interrupted"


@dataclass(slots=True)
class ScenarioRun:
    """One run of a scenario. ``tell`` gets the story, line by line, as it happens."""

    plan: ScenarioPlan
    tell: Callable[[str], None]
    trace_directory: Path | None = None
    _cases: list[CaseReport] = field(default_factory=list)

    async def run(self, properties: dict[str, str]) -> ScenarioReport:
        """All cases. When cancelled, what was done is reported all the same, and the rest as skipped."""
        now, started = asyncio.get_running_loop().time, datetime.now(UTC)
        begun = now()
        plan = self.plan
        try:
            for chain in plan.chains:
                await self._run_chain(chain)
        except asyncio.CancelledError:
            left = plan.runs[len(self._cases) :]
            self._cases += [CaseReport(run.title, run.meter, skipped=_INTERRUPTED) for run in left]
        return ScenarioReport(
            name=plan.name,
            file=str(plan.path),
            properties={"seed": str(plan.seed), "clock": _clock_words(plan), **properties},
            started=started,
            seconds=now() - begun,
            cases=tuple(self._cases),
        )

    async def _run_chain(self, chain: Chain) -> None:
        plan = self.plan
        meters = _meters_of(chain, plan)
        first = chain.runs[0]
        clock: Clock = SystemClock() if plan.start is None else VirtualClock(plan.start)
        with ExitStack() as opened:
            traces = self._open_traces(opened, first, meters)
            bench = Bench(meters, clock, f"{plan.seed}/{first.title}", traces)
            try:
                async with bench:
                    rng = Random(f"{plan.seed}/{first.title}")  # noqa: S311 - chance of a lab, not a secret
                    folder = plan.path.parent.resolve()
                    await self._run_cases(chain.runs, CaseState(bench, plan.meters, first.meter, rng, folder))
            except (EndpointError, LedgerError) as error:
                done = len(self._cases) - plan.runs.index(first)
                for run in chain.runs[done:]:
                    self.tell(f"case {run.title}")
                    self._end(CaseReport(run.title, run.meter, error=f"the meters cannot be set up: {error}"))

    async def _run_cases(self, runs: Sequence[CaseRun], state: CaseState) -> None:
        may_go_on = True
        for run in runs:
            self.tell(f"case {run.title}")
            if not may_go_on:
                self._end(CaseReport(run.title, run.meter, skipped="the case before it did not pass"))
                continue
            report = await self._run_case(run, state)
            may_go_on = report.status is Status.PASSED
            self._end(report)

    async def _run_case(self, run: CaseRun, state: CaseState) -> CaseReport:
        now = asyncio.get_running_loop().time
        hider = Hider(secret for meter in state.bench.meters.values() for secret in meter.plan.secrets)
        begun, steps = now(), list[StepReport]()
        for number, step in enumerate(run.case.step, 1):
            begun_step = now()
            taken, error = await _take(step, state)
            report = StepReport(
                number,
                getattr(step, "do", ""),
                hider.hide(f"{step.name}: {taken.words}" if step.name else taken.words),
                tuple(map(hider.hide_check, taken.checks)),
                hider.hide(error),
                now() - begun_step,
            )
            steps.append(report)
            for line in step_lines(report):
                self.tell(line)
            if report.status is not Status.PASSED:
                break
        return CaseReport(run.title, run.meter, tuple(steps), seconds=now() - begun)

    def _end(self, report: CaseReport) -> None:
        self._cases.append(report)
        self.tell(end_line(report))

    def _open_traces(self, opened: ExitStack, first: CaseRun, meters: Sequence[MeterPlan]) -> dict[str, Trace]:
        if self.trace_directory is None:
            return {}
        number = self.plan.runs.index(first) + 1
        name = _NOT_IN_NAMES.sub("-", first.case.name).strip("-").lower()[:60]
        traces = {}
        for meter in meters:
            path = self.trace_directory / f"{number:03d}-{name}-{meter.name}.jsonl"
            traces[meter.name] = trace = trace_to([str(path)], meter.security)
            opened.callback(trace.close)
        return traces


async def _take(step: Step, state: CaseState) -> tuple[Taken, str]:
    """What was taken, and why it could not be; a step is never lost between the two."""
    try:
        return await take(step, state), ""
    except _CANNOT as error:
        return Taken(getattr(step, "do", "")), str(error)


def _meters_of(chain: Chain, plan: ScenarioPlan) -> list[MeterPlan]:
    """Those that are looked at, spoken to or disturbed."""
    steps = [step for run in chain.runs for step in run.case.step if not isinstance(step, TokenStep)]
    names = {chain.runs[0].meter, *(name for step in steps for name in meters_named(step))}
    return [meter for name, meter in plan.meters.items() if name in names]


def _clock_words(plan: ScenarioPlan) -> str:
    return "real" if plan.start is None else f"virtual, from {plan.start:%Y-%m-%dT%H:%M:%SZ}"
