"""``simmeters scenario``: the command."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter, _SubParsersAction
from collections.abc import Callable, Coroutine
from typing import Any

from sim_meters.notices import LAB
from transports.wire_options import add_wire_options

DESCRIPTION = f"""\
Runs the cases of a TOML file on simulated meters, or on real ones in a lab: tokens are made and entered, things go
wrong, and what is found is compared with what is expected. See docs/scenarios.md.

{LAB}.

Exit code: 0 all cases passed; 1 one did not; 2 wrong usage or a file that cannot be used, nothing was started."""


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
    add(
        "file",
        nargs="?",
        metavar="FILE",
        help="a scenario, in TOML: a file, or the name of a shipped one such as credit",
    )
    add("--case", action="append", default=[], metavar="NAME", help="run this case only; may be repeated")
    add("--list", action="store_true", help="check the file and name its cases; run nothing")
    add("--schema", action="store_true", help="print the JSON Schema of scenario files; needs no file")
    add("--seed", metavar="N", help="of all chance, instead of the file's")
    add("--meters", metavar="FILE", help="meters that stand in for those of the same names, such as another firmware's")
    add("--junit", metavar="FILE", help="write the report as JUnit XML")
    add("--json", metavar="FILE", help="write the report as JSON")
    add("--trace", metavar="DIR", help="write what went over the wires into DIR, a file for each case and meter")
    add_wire_options(parser)
    parser.set_defaults(func=lambda options: _run(options, runner))


def _run(options: Namespace, runner: Callable[[Coroutine[Any, Any, int]], int]) -> int:
    from sim_meters.scenario.command import run_command  # noqa: PLC0415 - the other commands start without its tables

    return run_command(options, runner)
