"""The ``stsgate`` command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, TypeVar

from cosem_objects.errors import SettingError, TokenFormatError
from gateway import __version__
from gateway.cli.parser import OneLineParser, name_of, unexpected
from gateway.shown import without_secrets
from transports.endpoint import EndpointError
from transports.standard_descriptors import fill_standard_descriptors

T = TypeVar("T")

_COMMANDS = {
    "demo": "gateway.cli.demo",
    "serve": "gateway.cli.serve",
    "check-config": "gateway.cli.check_config",
    "migrate": "gateway.cli.migrate",
    "backup": "gateway.cli.backup",
    "restore": "gateway.cli.backup",
    "rotate-key": "gateway.cli.rotate",
    "push": "gateway.cli.service.push",
    "orders": "gateway.cli.service.orders",
    "meters": "gateway.cli.service.meters",
    "links": "gateway.cli.service.links",
    "api-keys": "gateway.cli.service.api_keys",
    "webhooks": "gateway.cli.service.webhooks",
    "deliver": "gateway.cli.deliver",
    "readback": "gateway.cli.readback",
    "dlms": "gateway.cli.dlms",
}
"""Where each command is: a command that is named needs no others, and starts at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code. Wrong input is one line and 2, never a traceback."""
    fill_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of few letters must not end a delivery
    parser = OneLineParser(prog="stsgate", description="Delivers STS prepayment tokens to DLMS/COSEM meters.")
    parser.add_argument("--version", action="version", version=f"stsgate {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser
    )
    for module in _modules(sys.argv[1:] if arguments is None else arguments):
        import_module(module).add_command(commands)
    parser.set_defaults(run_async=_run_async)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"unknown option or argument {name_of(unknown[0])}; see stsgate {args.command} --help")
    try:
        return int(args.func(args))
    except (SettingError, TokenFormatError, EndpointError) as error:
        _complain(f"stsgate {args.command}: {without_secrets(str(error))}")
        return 2
    except KeyboardInterrupt:  # before or after a delivery: while it runs, it tells by itself
        _complain(f"stsgate {args.command}: interrupted")
        return 130
    except Exception as error:  # the door: a bug is said in one line too, and is never taken for a success
        _complain(f"stsgate {args.command}: {unexpected(error)}")
        return 3


def _modules(arguments: Sequence[str]) -> Sequence[str]:
    """What has to be imported: the command that is named, or all."""
    named = _COMMANDS.get(arguments[0]) if arguments else None
    return list(dict.fromkeys(_COMMANDS.values())) if named is None else [named]


def _complain(line: str) -> None:
    """The last words; that nobody can hear them must not change the exit code."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _run_async(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, on a faster event loop where it is installed."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


if __name__ == "__main__":
    sys.exit(main())
