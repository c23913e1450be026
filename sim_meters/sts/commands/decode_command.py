"""``simmeters sts decode``: open one token and show every field; where it does not open, say what might be wrong."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.commands.command_parser import Commands, add_command
from sim_meters.sts.commands.diagnosis import Fit, Search, check_crc, search_digits, search_keys
from sim_meters.sts.commands.key_options import (
    has_key,
    read_attributes,
    read_base_date,
    read_decoder_key,
    read_vending_key,
)
from sim_meters.sts.commands.shown import Shown, amount_of_token, kind_words, show, token_json
from sim_meters.sts.commands.token_picture import field_table, picture
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_expiry import KEN_NEVER, is_expired, last_moment, parse_ken
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, decode
from sim_meters.sts.tokens.token_table import SECTION_3_OF_3

_FITS_SHOWN = 5

_AMBIGUOUS = "under EA07 a third section of four whose last 20 bits are zero looks the same: only its set can tell"


def add_decode(commands: Commands) -> None:
    """``decode``."""
    parser = add_command(commands, "decode", "open a token and show what it says, or why it does not open")
    parser.add_argument("digits", nargs="*", metavar="TOKEN", help="20 digits, in groups or in one piece")
    parser.add_argument("--token", metavar="DIGITS", help="the same as an option")
    parser.add_argument("--ken", metavar="N", help="key expiry number, 0 to 255: say whether a meter's key had expired")
    parser.set_defaults(func=decode_token)


def decode_token(options: Namespace) -> int:
    """Open one token and print what it says; 1 if it does not verify."""
    token = _given_token(options)
    base_date = read_base_date(options)
    ken = None if options.ken is None else parse_ken(options.ken)
    is_for_every_meter = token.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    key = None if is_for_every_meter and not has_key(options) else read_decoder_key(options)
    decoded = decode(token, key)
    if isinstance(decoded, DecodeFailure):
        _show_failure(options, token, key, decoded)
        return 1
    _show_opened(options, decoded, base_date, ken)
    return 0


def _given_token(options: Namespace) -> Token:
    given = "".join(options.digits)
    if bool(given) == (options.token is not None):
        raise SettingError("token: expected 20 digits, as an argument or with --token")
    return Token.parse(given or options.token)


def _show_opened(options: Namespace, token: ClearToken, base_date: BaseDate, ken: int | None) -> None:
    is_clear = token.kind.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    json_object: Shown = {"verified": True, **token_json(token, base_date)}
    lines: Shown = {
        "verified": "the CRC fits; class 1 needs no key" if is_clear else "the CRC fits this key",
        "kind": kind_words(token.kind),
        "clear block": f"{token.clear_block:016x}",
    }
    if token.details:
        lines["details"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in token.details.items())
    amount = amount_of_token(token)
    if amount is not None:
        json_object["amount"] = amount
    if ken is not None and token.tid is not None:
        json_object["expired"], lines["key expiry"] = _expiry(token.tid, ken, base_date)
    if token.kind is SECTION_3_OF_3:
        lines["note"] = _AMBIGUOUS
    drawn = [
        "",
        *(f"  {line}" for line in picture(token)),
        "",
        *(f"  {line}" for line in field_table(token, base_date)),
    ]
    show(options, json_object, lines, below=drawn)


def _expiry(tid: int, ken: int, base_date: BaseDate) -> tuple[bool, str]:
    """Whether a key of this KEN had expired when the token was issued, and that in words."""
    if ken == KEN_NEVER:
        return False, f"KEN {KEN_NEVER}: the key never expires"
    last = f"{last_moment(ken, base_date):%Y-%m-%d %H:%M}"
    if is_expired(ken, tid):
        return True, f"KEN {ken}: EXPIRED, the key ended at {last}, before this token was issued"
    return False, f"KEN {ken}: the key is good until {last}"


def _show_failure(options: Namespace, token: Token, key: DecoderKey | None, failure: DecodeFailure) -> None:
    answer: Shown = {"class": int(token.token_class), "result": failure.result.name}
    json_object: Shown = {"verified": False, **answer, "reason": failure.reason}
    lines: Shown = {"NOT VERIFIED": failure.reason, **answer}
    if token.token_class is not TokenClass.RESERVED:
        crc = check_crc(token, key)
        json_object["crc"] = {"stated_hex": f"{crc.stated:04x}", "computed_hex": f"{crc.computed:04x}"}
        lines["CRC"] = f"stated {crc.stated:04x}, computed {crc.computed:04x}"
    for name, search in _searches(options, token, key, failure):
        json_object[name] = _search_json(search)
        lines[f"{name.replace('_', ' ')}?"] = _search_lines(search)
    show(options, json_object, lines)


def _searches(
    options: Namespace, token: Token, key: DecoderKey | None, failure: DecodeFailure
) -> Sequence[tuple[str, Search]]:
    is_reserved_class = token.token_class is TokenClass.RESERVED  # two bits, which a wrong digit can make
    if failure.result is not TokenResult.CRC_ERROR and not is_reserved_class:
        return ()  # the CRC fits: the digits and the key are right
    searches = [("mistyped", search_digits(token, key, read_base_date(options)))]
    is_encrypted = token.token_class in (TokenClass.CREDIT, TokenClass.METER_SPECIFIC_MANAGEMENT)
    vending_key = read_vending_key(options) if key is not None else None
    if vending_key is not None and is_encrypted:
        searches.append(("another_key", search_keys(token, vending_key, read_attributes(options))))
    return searches


def _search_json(search: Search) -> Shown:
    fits = [{"change": fit.change, "token": _fit_words(fit)} for fit in search.fits]
    return {"tried": search.tried, "tries": search.tries, "by_chance": search.by_chance, "fits": fits}


def _search_lines(search: Search) -> list[str]:
    tried = f"({search.tries} tries: {search.tried})"
    if not search.fits:
        return ["nothing fits", tried]
    fits = [f"{fit.change}: {_fit_words(fit)}" for fit in search.fits[:_FITS_SHOWN]]
    if len(search.fits) > _FITS_SHOWN:
        fits.append(f"and {len(search.fits) - _FITS_SHOWN} more")
    return [*fits, tried, f"caution: {search.by_chance}"]


def _fit_words(fit: Fit) -> str:
    tid = fit.token.tid
    issued = "" if tid is None else f", issued {fit.base_date.moment(tid):%Y-%m-%d %H:%M}"
    return f"{fit.token.words}{issued}"
