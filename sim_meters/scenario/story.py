"""A scenario as people read it: a line for each step, and why a case did not pass."""

from __future__ import annotations

from collections.abc import Iterator

from sim_meters.scenario.report import CaseReport, ScenarioReport, Status, StepReport

_DETAIL_LINES_MAX = 40
_COUNTED = {
    Status.PASSED: "passed",
    Status.FAILED: "failed",
    Status.ERROR: "in error",
    Status.SKIPPED: "skipped",
}


def step_lines(step: StepReport) -> Iterator[str]:
    yield f"  {step.number:>3}  {step.words or step.do}"
    for check in step.failed:
        yield from _indented(f"NOT as expected: {check}")
    if step.error:
        yield from _indented(f"ERROR: {step.error}")


def end_line(case: CaseReport) -> str:
    reason = f": {case.skipped or case.error}" if case.skipped or case.error else ""
    return f"       {case.status.upper()}{reason} ({case.seconds:.2f} s)"


def case_lines(case: CaseReport) -> Iterator[str]:
    """The whole case."""
    yield f"case {case.title}"
    for step in case.steps:
        yield from step_lines(step)
    yield end_line(case)


def summary_lines(report: ScenarioReport) -> Iterator[str]:
    for case in report.cases:
        if case.status in (Status.FAILED, Status.ERROR):
            yield f"{case.status.upper()}: {case.title}: {case.message.partition(chr(10))[0]}"
    counts = [f"{count} {words}" for status, words in _COUNTED.items() if (count := report.count(status))]
    yield f"{report.name}: {', '.join(counts)}, in {report.seconds:.2f} s"


def _indented(text: str) -> Iterator[str]:
    lines = text.splitlines()
    yield from (f"       {line}" for line in lines[:_DETAIL_LINES_MAX])
    if len(lines) > _DETAIL_LINES_MAX:
        yield f"       … {len(lines) - _DETAIL_LINES_MAX} lines more"
