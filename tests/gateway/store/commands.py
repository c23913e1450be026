"""The commands that work on a data directory, as somebody types them."""

from __future__ import annotations

from gateway.cli import backup, migrate, rotate
from gateway.cli.parser import OneLineParser


def stsgate(*arguments: object) -> int:
    """Exit code. Wrong usage raises ``SystemExit(2)`` or ``SettingError``, as below the ``stsgate`` command."""
    parser = OneLineParser(prog="stsgate")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    for command in (migrate, backup, rotate):
        command.add_command(commands)
    args = parser.parse_args([str(argument) for argument in arguments])
    return int(args.func(args))
