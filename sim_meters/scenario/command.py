"""What ``simmeters scenario`` does, once its options are read by argparse."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from tempfile import TemporaryDirectory
from typing import Any

from cosem_objects.errors import SettingError
from sim_meters.fleet.group_table import is_shipped_name
from sim_meters.fleet.plan import SEED_MAX
from sim_meters.option_values import whole
from sim_meters.scenario.junit import junit_xml
from sim_meters.scenario.model import schema
from sim_meters.scenario.plan import ScenarioPlan, read_plan
from sim_meters.scenario.report import ScenarioReport
from sim_meters.scenario.run import ScenarioRun
from sim_meters.scenario.story import summary_lines
from transports.endpoint import EndpointError
from transports.wire_options import wire_settings_from
from transports.wire_settings import WireSettings

_SHIPPED = Path(__file__).resolve().parents[2] / "config" / "scenarios"


def run_command(options: Namespace, runner: Callable[[Coroutine[Any, Any, int]], int]) -> int:
    """The exit code. Raises ``SettingError``: then nothing was started."""
    if options.schema:
        print(json.dumps(schema(), indent=2))
        return 0
    if options.file is None:
        raise SettingError("expected FILE, a scenario")
    wires = _wires(options)
    seed = None if options.seed is None else whole(options, "seed", 0, SEED_MAX)
    with TemporaryDirectory(prefix="simmeters-") as directory:
        plan = read_plan(
            _path(options.file),
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


def _path(name: str) -> Path:
    """Of a shipped scenario by its name, or of a file."""
    if not is_shipped_name(name):
        return Path(name)
    path = _SHIPPED / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in _SHIPPED.glob("*.toml")))
        raise SettingError(f"expected {known} or a file; got {name[:60]!r}")
    return path


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
