"""The ``simmeters`` command."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.ledger import LedgerError
from sim_meters.run import add_run_command
from sim_meters.scenario.cli import add_scenario_command
from sim_meters.sts.commands.cli import add_sts_commands
from transports.endpoint import EndpointError
from transports.standard_descriptors import fill_standard_descriptors

_WRONG_USAGE = 2
_FAILED = 1


class _Parser(ArgumentParser):
    """Errors are one line, without a usage text before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(_WRONG_USAGE, f"{self.prog}: {message.removeprefix('argument ')}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the result is the exit code."""
    try:
        code = _run_command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who read it had enough, as with ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return _FAILED
    return code


def _run_command(arguments: Sequence[str] | None) -> int:
    fill_standard_descriptors()
    parser: ArgumentParser = _Parser(
        prog="simmeters", description="Simulated DLMS meters that decrypt STS tokens. Lab keys only."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_run_command(subparsers, _run_to_its_end)
    add_scenario_command(subparsers, _run_to_its_end)
    add_sts_commands(subparsers)
    options, unknown = parser.parse_known_args(arguments)
    program = f"simmeters {options.command}"
    if unknown:
        return _refuse(f"{program}: unknown option or argument {_name_of(unknown[0])}", _WRONG_USAGE)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        code: int = options.func(options)
    except (SettingError, TokenFormatError) as error:
        return _refuse(f"{program}: {error}", _WRONG_USAGE)
    except (EndpointError, LedgerError) as error:
        return _refuse(f"{program}: {error}", _FAILED)
    return code


def _name_of(argument: str) -> str:
    """An option without its value, which may be a secret given to a misspelt name."""
    return argument.partition("=")[0] if argument.startswith("-") else "(not shown, it may be a secret)"


def _refuse(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


def _run_to_its_end(command: Coroutine[Any, Any, int]) -> int:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(command)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - a faster loop, where it is installed
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
