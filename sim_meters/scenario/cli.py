"""``simmeters scenario``: the command."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import Any

from cosem_objects.errors import SettingError
from sim_meters.option_values import whole
from sim_meters.scenario.junit import junit_xml
from sim_meters.scenario.model import schema
from sim_meters.scenario.plan import ScenarioPlan, read_plan
from sim_meters.scenario.report import ScenarioReport
from sim_meters.scenario.run import ScenarioRun
from sim_meters.scenario.story import summary_lines
from transports.endpoint import EndpointError
from transports.wire_options import add_wire_options, wire_settings_from
from transports.wire_settings import WireSettings

DESCRIPTION = """\
Runs the cases of a TOML file on simulated meters, or on real ones in a lab: tokens are made and entered, things go
wrong, and what is found is compared with what is expected. See docs/scenarios.md.

LAB: lab keys only; not STS-certified, never for real credit.

Exit code: 0 all cases passed; 1 one did not; 2 wrong usage or a file that cannot be used, nothing was started."""

_SEED_MAX = (1 << 63) - 1


def add_scenario_command(
    subparsers: _SubParsersAction[ArgumentParser], runner: Callable[[Coroutine[Any, Any, int]], int]
) -> None:
    """Add ``scenario``; it sets ``func``, which takes the options and returns the exit code."""
    parser = subparsers.add_parser(
        "scenario",
        help="run steps and expectations from a file, and report as JUnit",
        description=DESCRIPTION,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", nargs="?", metavar="FILE", help="a scenario, in TOML")
    add("--case", action="append", default=[], metavar="NAME", help="run this case only; may be repeated")
    add("--list", action="store_true", help="check the file and name its cases; run nothing")
    add("--schema", action="store_true", help="print the JSON Schema of scenario files; needs no file")
    add("--seed", metavar="N", help="of all chance, instead of the file's")
    add("--meters", metavar="FILE", help="meters that stand in for those of the same names, such as another firmware's")
    add("--junit", metavar="FILE", help="write the report as JUnit XML")
    add("--json", metavar="FILE", help="write the report as JSON")
    add("--trace", metavar="DIR", help="write what went over the wires into DIR, a file for each case and meter")
    add_wire_options(parser)
    parser.set_defaults(func=lambda options: _command(options, runner))


def _command(options: Namespace, runner: Callable[[Coroutine[Any, Any, int]], int]) -> int:
    if options.schema:
        print(json.dumps(schema(), indent=2))
        return 0
    if options.file is None:
        raise SettingError("expected FILE, a scenario")
    wires = _wires(options)
    seed = None if options.seed is None else whole(options, "seed", 0, _SEED_MAX)
    with TemporaryDirectory(prefix="simmeters-") as directory:
        plan = read_plan(
            Path(options.file),
            Path(directory),
            meters_path=None if options.meters is None else Path(options.meters),
            seed=seed,
            wires=wires,
            only=options.case,
        )
        if options.list:
            print("\n".join(run.title for run in plan.runs))
            return 0
        _check_targets(options)
        return runner(_run(plan, options))


def _wires(options: Namespace) -> WireSettings:
    try:
        return wire_settings_from(options)
    except EndpointError as error:
        raise SettingError(str(error)) from None


async def _run(plan: ScenarioPlan, options: Namespace) -> int:
    _stop_on_signals()
    logging.getLogger("sim_meters").setLevel(logging.WARNING)  # what meters do stands in the story
    print(f"{plan.name}: {len(plan.runs)} cases, seed {plan.seed}")
    run = ScenarioRun(plan, _tell, None if options.trace is None else Path(options.trace))
    report = await run.run(_versions())
    for line in summary_lines(report):
        print(line)
    _write(options, report)
    return 0 if report.is_passed else 1


def _tell(line: str) -> None:
    print(line, flush=True)


def _stop_on_signals() -> None:
    """Ctrl-C and SIGTERM end the run, and not the report of it."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _versions() -> dict[str, str]:
    try:
        own = version("stsgate")
    except PackageNotFoundError:  # run from a source tree
        own = "unknown"
    return {"stsgate": own, "python": python_version(), "platform": sys.platform}


def _check_targets(options: Namespace) -> None:
    """A long run must not end with a report that cannot be written."""
    for name in ("junit", "json"):
        path = getattr(options, name)
        if path is not None:
            try:
                Path(path).write_bytes(b"")
            except OSError as error:
                raise SettingError(f"--{name}: {path} cannot be written: {error.strerror}") from None
    if options.trace is not None:
        try:
            Path(options.trace).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"--trace: {options.trace} cannot be made: {error.strerror}") from None


def _write(options: Namespace, report: ScenarioReport) -> None:
    if options.junit is not None:
        Path(options.junit).write_bytes(junit_xml(report))
    if options.json is not None:
        Path(options.json).write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
