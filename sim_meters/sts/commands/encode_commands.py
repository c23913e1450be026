"""``simmeters sts encode KIND``: one command for each of those that the table of token types names.

Credit has options of its own, as its type follows from the unit; key changes stand in ``key_change_command``. Every
other command takes the options of its row's fields, so a new row needs nothing here. Chance is fetched here.
"""

from __future__ import annotations

import secrets
from argparse import ArgumentParser, Namespace
from decimal import Decimal
from functools import partial

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.commands.command_parser import Commands, add_command
from sim_meters.sts.commands.issue_options import add_tid_options, read_tid
from sim_meters.sts.commands.key_options import read_base_date, read_decoder_key
from sim_meters.sts.commands.shown import Shown, asked_and_encoded, grouped, show, token_json, token_lines
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import parse_amount, units_for
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, decode, encode, encode_credit
from sim_meters.sts.tokens.coding import UnitAmount
from sim_meters.sts.tokens.credit_units import kind_in, parse_unit
from sim_meters.sts.tokens.token_kind import Commodity, Field, TokenKind
from sim_meters.sts.tokens.token_table import KEY_CHANGE, RND, TID, TOKEN_KINDS

CREDIT = "credit"
SHORT_FORMS = {"kwh": "kWh", "m3": "m3", "min": "min"}
"""Options that give amount and unit in one."""

_NO_KEY = TokenClass.NON_METER_SPECIFIC_MANAGEMENT


def add_credit(kinds: Commands) -> None:
    """``encode credit``."""
    parser = add_command(kinds, CREDIT, "make a credit token and print it")
    parser.add_argument("--amount", metavar="DECIMAL", help="how much, for example 25.6; rounded up to what fits")
    parser.add_argument("--unit", metavar="UNIT", help="kWh, m3, min or an ISO 4217 currency code")
    for option, unit in SHORT_FORMS.items():
        parser.add_argument(f"--{option}", metavar="DECIMAL", help=f"short for --amount DECIMAL --unit {unit}")
    parser.add_argument(
        "--commodity",
        choices=[commodity.value for commodity in Commodity],
        help="where the unit alone does not tell; m3: water, currency: electricity",
    )
    add_tid_options(parser)
    _add_rnd(parser, "; not for currency")
    parser.set_defaults(func=_encode_credit)


def add_other_kinds(kinds: Commands) -> None:
    """One command for each row of the table that is neither credit nor a part of a key change."""
    for kind in TOKEN_KINDS:
        if kind.command in (CREDIT, KEY_CHANGE):
            continue
        has_key = kind.token_class is not _NO_KEY
        text = f"make a token of type {kind.name}" + ("" if has_key else ", for every meter: it needs no key")
        parser = add_command(kinds, kind.command, text, with_key=has_key)
        for field in kind.layout:
            _add_field(parser, field)
        parser.set_defaults(func=partial(_encode_one, kind))


def _add_field(parser: ArgumentParser, field: Field) -> None:
    if field is TID:
        add_tid_options(parser)
    elif field is RND:
        _add_rnd(parser)
    elif field.option:
        text = field.coding.expected if field.usual is None else f"{field.coding.expected}; default {field.usual}"
        parser.add_argument(
            f"--{field.option}",
            metavar="VALUE",
            dest=_destination(field),
            default=field.usual,
            help=f"{field.label}: {text}",
        )


def _add_rnd(parser: ArgumentParser, more: str = "") -> None:
    parser.add_argument(f"--{RND.option}", metavar="N", help=f"RND, {RND.coding.expected}, default random{more}")


def _destination(field: Field) -> str:
    return f"field_{field.name}"


def _encode_credit(options: Namespace) -> int:
    """Make one credit token and print it whole: that is what the command is for."""
    base_date = read_base_date(options)
    asked, unit = _asked_amount(options)
    kind = kind_in(unit, options.commodity, Commodity.ELECTRICITY)
    key = read_decoder_key(options)
    units = units_for(asked, kind.decimals)
    rnd = None if kind.is_currency and options.rnd is None else _rnd(options)
    token = encode_credit(key, kind, units, read_tid(options, base_date), rnd)
    made = decode(token, key)
    assert isinstance(made, ClearToken), "what was just encrypted opens under the same key"
    _show_made(options, token, made, base_date, (asked, unit))
    return 0


def _encode_one(kind: TokenKind, options: Namespace) -> int:
    """Make a token of one type from the options of its fields."""
    has_key = kind.token_class is not _NO_KEY
    base_date = read_base_date(options) if has_key else BaseDate.BASE_2014
    key = read_decoder_key(options) if has_key else None
    values: dict[str, int] = {}
    for field in kind.layout:
        if field is TID:
            values[field.name] = read_tid(options, base_date)
        elif field is RND:
            values[field.name] = _rnd(options)
        elif field.option:
            values[field.name] = _parsed(field, getattr(options, _destination(field)))
    coding = kind.value.coding
    asked = None
    if isinstance(coding, UnitAmount):
        asked = parse_amount(getattr(options, _destination(kind.value))), coding.unit
    made = clear_token(kind, values)
    _show_made(options, encode(made, key), made, base_date, asked)
    return 0


def _parsed(field: Field, text: str | None) -> int:
    if text is None:
        raise SettingError(f"{field.option}: is needed, expected {field.coding.expected}")
    try:
        return field.coding.parse(text)
    except SettingError as error:
        raise SettingError(f"{field.option}: {error}") from None


def _show_made(
    options: Namespace,
    token: Token,
    clear: ClearToken,
    base_date: BaseDate,
    asked: tuple[Decimal, str] | None,
) -> None:
    json_object: Shown = {"token": token.digits, **token_json(clear, base_date)}
    lines: Shown = {"token": grouped(token.digits), **token_lines(clear, base_date)}
    if asked is not None:
        json_object["amount"], lines[clear.kind.value.label] = asked_and_encoded(clear, *asked)
    show(options, json_object, lines)


def _asked_amount(options: Namespace) -> tuple[Decimal, str]:
    """The amount and its unit, from ``--amount`` and ``--unit`` or from one of the short forms."""
    asked = [(getattr(options, name), unit) for name, unit in SHORT_FORMS.items() if getattr(options, name) is not None]
    if options.amount is not None or options.unit is not None:
        asked.append((options.amount, options.unit))
    if len(asked) != 1 or None in asked[0]:
        short_forms = ", ".join(f"--{name}" for name in SHORT_FORMS)
        raise SettingError(f"amount: expected --amount with --unit, or one of {short_forms}")
    text, unit = asked[0]
    return parse_amount(text), parse_unit(unit)


def _rnd(options: Namespace) -> int:
    if options.rnd is None:
        return secrets.randbelow(1 << RND.bits)
    return _parsed(RND, options.rnd)
