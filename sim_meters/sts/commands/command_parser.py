"""What the commands of ``simmeters sts`` have in common on the command line."""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from typing import TypeAlias

from sim_meters.notices import LAB, LICENCE
from sim_meters.sts.commands.key_options import add_key_options

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"


def add_command(commands: Commands, name: str, text: str, *, with_key: bool = True) -> ArgumentParser:
    """One more command. ``with_key``: it has the options that say which key a meter has."""
    parser = commands.add_parser(name, help=text, description=f"{text}. {LAB}.", epilog=LICENCE, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if with_key:
        add_key_options(parser)
    return parser
