"""``simmeters sts key | encode | decode | verify-vectors``: look into tokens, and make some for the lab.

Commands return their exit code: 0, or 1 for a token that does not verify and for vectors that failed. Wrong usage is
a ``SettingError`` or ``TokenFormatError`` (exit code 2, one line), which is the business of ``simmeters`` itself.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction

from sim_meters.notices import LAB, LICENCE
from sim_meters.sts.commands.decode_command import add_decode
from sim_meters.sts.commands.encode_commands import add_credit, add_other_kinds
from sim_meters.sts.commands.key_change_command import add_key_change
from sim_meters.sts.commands.key_commands import add_key, add_verify_vectors

_WHAT = "derive STS keys, make tokens of every type, and open them"
_TOKENS = "make a token, or a key-change set"


def add_sts_commands(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Add ``sts`` and its commands; each sets ``func``, which takes the options and returns the exit code."""
    sts = subparsers.add_parser(
        "sts", help="STS keys and tokens, for the lab", description=f"{_WHAT}. {LAB}.", epilog=LICENCE
    )
    commands = sts.add_subparsers(required=True, metavar="COMMAND")
    add_key(commands)
    encode = commands.add_parser("encode", help=_TOKENS, description=f"{_TOKENS}. {LAB}.", epilog=LICENCE)
    kinds = encode.add_subparsers(required=True, metavar="KIND")
    add_credit(kinds)
    add_other_kinds(kinds)
    add_key_change(kinds)
    add_decode(commands)
    add_verify_vectors(commands)
