"""``simmeters sts key | encode | decode | verify-vectors``: look into tokens, and make some for the lab.

Commands return their exit code: 0, or 1 for a token that does not verify and for vectors that failed. Wrong usage is
a ``SettingError`` or ``TokenFormatError`` (exit code 2, one line), which is the business of ``simmeters`` itself.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction

from sim_meters.sts.commands import LAB, SHORT_FORMS, decode_token, derive_key, encode_credit_token, verify_vectors
from sim_meters.sts.key_options import add_key_options
from sim_meters.sts.tokens import Commodity


def add_sts_commands(subparsers: _SubParsersAction[ArgumentParser]) -> None:
    """Add ``sts`` and its commands; each sets ``func``, which takes the options and returns the exit code."""
    sts = subparsers.add_parser("sts", help="STS keys and tokens, for the lab", description=LAB)
    commands = sts.add_subparsers(required=True, metavar="COMMAND")
    _add_key(commands)
    _add_encode(commands)
    _add_decode(commands)
    _add_verify(commands)


def _add_command(
    commands: _SubParsersAction[ArgumentParser], name: str, text: str, *, with_key: bool = True
) -> ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text}. {LAB}.", allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    if with_key:
        add_key_options(parser)
    return parser


def _add_key(commands: _SubParsersAction[ArgumentParser]) -> None:
    _add_command(commands, "key", "derive a decoder key and print it").set_defaults(func=derive_key)


def _add_encode(commands: _SubParsersAction[ArgumentParser]) -> None:
    kinds = commands.add_parser("encode", help="make a token", description=LAB).add_subparsers(
        required=True, metavar="KIND"
    )
    parser = _add_command(kinds, "credit", "make a credit token and print it")
    parser.add_argument("--amount", metavar="DECIMAL", help="how much, for example 25.6")
    parser.add_argument("--unit", metavar="UNIT", help="kWh, m3, min or an ISO 4217 currency code")
    for option, unit in SHORT_FORMS.items():
        parser.add_argument(f"--{option}", metavar="DECIMAL", help=f"short for --amount DECIMAL --unit {unit}")
    parser.add_argument(
        "--commodity",
        choices=[commodity.value for commodity in Commodity],
        help="where the unit alone does not tell; m3: water, currency: electricity",
    )
    parser.add_argument("--issued-at", metavar="ISO", help="date and time of issue, UTC; default now")
    parser.add_argument("--tid", metavar="N", help="the TID itself, instead of a time of issue")
    parser.add_argument("--rnd", metavar="N", help="0 to 15, default random; not for currency")
    parser.set_defaults(func=encode_credit_token)


def _add_decode(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = _add_command(commands, "decode", "open a token and show what it says")
    parser.add_argument("digits", nargs="*", metavar="TOKEN", help="20 digits, in groups or in one piece")
    parser.add_argument("--token", metavar="DIGITS", help="the same as an option")
    parser.set_defaults(func=decode_token)


def _add_verify(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = _add_command(commands, "verify-vectors", "check every key and token of a vector file", with_key=False)
    parser.add_argument("file", metavar="FILE", help="a file in the format of tests/vectors/sts_vectors.json")
    parser.set_defaults(func=verify_vectors)
