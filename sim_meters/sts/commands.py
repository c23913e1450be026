"""What the ``simmeters sts`` commands do. The clock and chance are fetched here, and nowhere else in this package."""

from __future__ import annotations

import json
import secrets
from argparse import Namespace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.sts.amount import amount_of, parse_amount, units_for
from sim_meters.sts.decoder_key import derive_decoder_key
from sim_meters.sts.key_attributes import parse_digits
from sim_meters.sts.key_options import read_attributes, read_base_date, read_decoder_key, read_vending_key
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens import (
    Commodity,
    DecodedToken,
    DecodeFailure,
    TokenKind,
    credit_kind,
    decode,
    encode_credit,
)
from sim_meters.sts.vectors import read_vector_file, verify

LAB = "LAB ONLY: for lab keys; not STS-certified, never for real vending"
SHORT_FORMS = {"kwh": "kWh", "m3": "m3", "min": "min"}
"""Options that give amount and unit in one."""

_COMMODITIES = {
    "kWh": (Commodity.ELECTRICITY,),
    "m3": (Commodity.WATER, Commodity.GAS),
    "min": (Commodity.TIME,),
}
"""What each unit can mean, the default first. Currency can mean any commodity, electricity by default."""

Shown = dict[str, object]


def derive_key(options: Namespace) -> int:
    """Print the decoder key that the options give."""
    vending_key = read_vending_key(options)
    if vending_key is None:
        raise SettingError("key: expected a vending key, to derive the decoder key from it")
    attributes = read_attributes(options)
    shown: Shown = {
        "decoder_key": derive_decoder_key(vending_key, attributes).octets.hex(),
        "ea": f"{attributes.ea:02d}",
        "dkga": f"{attributes.dkga:02d}",
        "pan": attributes.pan.digits,
        "sgc": f"{attributes.sgc:06d}",
        "ti": f"{attributes.ti:02d}",
        "krn": attributes.krn,
        "kt": int(attributes.kt),
        "base_date": int(attributes.base_date),
    }
    _show(options, shown, shown)
    return 0


def encode_credit_token(options: Namespace) -> int:
    """Make one credit token and print it whole: that is what the command is for."""
    base_date = read_base_date(options)
    asked, unit = _asked_amount(options)
    kind = _kind(unit, options.commodity)
    decoder_key = read_decoder_key(options)
    token = encode_credit(
        decoder_key,
        kind,
        units_for(asked, kind.decimals),
        _tid(options, base_date),
        _rnd(options, kind),
    )
    made = decode(token, decoder_key)
    assert isinstance(made, DecodedToken), "what was just encrypted opens under the same key"
    amount = {"asked": f"{asked:f}", "encoded_units": made.units, "decoded": f"{made.amount:f}", "unit": unit}
    text = f"asked {asked:f} {unit} / encoded {_in_units(made, unit)} / decoded {made.amount:f} {unit}"
    if made.amount != asked:
        text += " (rounded in the customer's favour)"
    json_object: Shown = {"token": token.digits, **_fields(made, base_date), "amount": amount}
    groups = " ".join(token.digits[place : place + 4] for place in range(0, 20, 4))
    _show(options, json_object, {"token": groups, **_lines(made, base_date), "amount": text})
    return 0


def decode_token(options: Namespace) -> int:
    """Open one token and print what it says; 1 if it does not verify."""
    base_date = read_base_date(options)
    token = _given_token(options)
    decoded = decode(token, read_decoder_key(options))
    if isinstance(decoded, DecodeFailure):
        answer: Shown = {"class": int(token.token_class), "result": decoded.result.name}
        failure: Shown = {"verified": False, **answer, "reason": decoded.reason}
        _show(options, failure, {"NOT VERIFIED": decoded.reason, **answer})
        return 1
    unit = decoded.kind.unit
    amount = {"decoded": f"{decoded.amount:f}", "encoded_units": decoded.units, "unit": unit}
    text = f"{decoded.amount:f} {unit} (encoded {_in_units(decoded, unit)})"
    _show(
        options,
        {"verified": True, **_fields(decoded, base_date), "amount": amount},
        {"verified": "the CRC fits this key", **_lines(decoded, base_date), "amount": text},
    )
    return 0


def verify_vectors(options: Namespace) -> int:
    """Check a vector file; 1 if anything in it failed."""
    report = verify(read_vector_file(Path(options.file)))
    failed = len(report.mismatches)
    if options.json:
        mismatches = [{"id": one.name, "differences": one.differences} for one in report.mismatches]
        counts = {"passed": report.passed, "failed": failed, "not_covered": report.not_covered}
        print(json.dumps({**counts, "not_compared": report.not_compared, "mismatches": mismatches}, indent=2))
        return 1 if failed else 0
    for one in report.mismatches:
        print(f"FAILED {one.name}: {'; '.join(one.differences)}")
    if report.not_covered:
        kinds = ", ".join(f"{kind}: {count}" for kind, count in report.not_covered.items())
        print(f"not covered yet: {sum(report.not_covered.values())} ({kinds})")
    if report.not_compared:
        print(f"fields that nothing was compared with: {', '.join(report.not_compared)}")
    print(f"{report.passed} passed, {failed} failed")
    return 1 if failed else 0


def _asked_amount(options: Namespace) -> tuple[Decimal, str]:
    """The amount and its unit, from ``--amount`` and ``--unit`` or from one of the short forms."""
    asked = [(getattr(options, name), unit) for name, unit in SHORT_FORMS.items() if getattr(options, name) is not None]
    if options.amount is not None or options.unit is not None:
        asked.append((options.amount, options.unit))
    if len(asked) != 1 or None in asked[0]:
        short_forms = ", ".join(f"--{name}" for name in SHORT_FORMS)
        raise SettingError(f"amount: expected --amount with --unit, or one of {short_forms}")
    text, unit = asked[0]
    return parse_amount(text), _unit(unit)


def _unit(text: str) -> str:
    for unit in _COMMODITIES:
        if text.lower() == unit.lower():
            return unit
    if len(text) == 3 and text.isascii() and text.isalpha() and text.isupper():
        return text
    raise SettingError(f"unit: expected kWh, m3, min or a currency code of three capitals; got {text!r}")


def _kind(unit: str, commodity: str | None) -> TokenKind:
    possible = _COMMODITIES.get(unit, tuple(Commodity))
    chosen = possible[0] if commodity is None else Commodity(commodity)
    if chosen not in possible:
        raise SettingError(f"commodity: {unit} does not measure {chosen.value}")
    return credit_kind(chosen, currency=unit not in _COMMODITIES)


def _tid(options: Namespace, base_date: BaseDate) -> int:
    if options.tid is not None:
        if options.issued_at is not None:
            raise SettingError("tid: expected --tid or --issued-at, not both")
        return parse_digits("tid", options.tid)
    if options.issued_at is None:
        return base_date.tid_at(datetime.now(UTC).replace(tzinfo=None))
    try:
        moment = datetime.fromisoformat(options.issued_at)
    except ValueError:
        raise SettingError(f"issued-at: expected a time such as 2014-03-01T13:00; got {options.issued_at!r}") from None
    return base_date.tid_at(moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None))


def _rnd(options: Namespace, kind: TokenKind) -> int | None:
    if options.rnd is not None:
        return parse_digits("rnd", options.rnd)
    return None if kind.is_currency else secrets.randbelow(16)


def _given_token(options: Namespace) -> Token:
    given = "".join(options.digits)
    if bool(given) == (options.token is not None):
        raise SettingError("token: expected 20 digits, as an argument or with --token")
    return Token.parse(given or options.token)


def _fields(token: DecodedToken, base_date: BaseDate) -> Shown:
    """What a token says, for JSON."""
    kind, money = token.kind, token.currency_amount
    random: Shown = {"rnd": token.rnd}
    if money is not None:
        random = {"se_nibble": money.se_nibble, "exponent": money.exponent, "mantissa": money.mantissa}
    return {
        "class": int(kind.token_class),
        "subclass": kind.subclass,
        "kind": kind.name,
        "commodity": kind.commodity.value,
        "tid": token.tid,
        "tid_time": f"{base_date.moment(token.tid):%Y-%m-%dT%H:%M}",
        "base_date": int(base_date),
        **random,
        "amount_field": token.amount_field,
        "crc_hex": f"{token.crc:04x}",
        "clear_block_hex": f"{token.clear_block:016x}",
    }


def _lines(token: DecodedToken, base_date: BaseDate) -> Shown:
    """What a token says, for people."""
    kind, money = token.kind, token.currency_amount
    time = f"{base_date.moment(token.tid):%Y-%m-%d %H:%M}"
    return {
        "kind": f"{kind.name} (class {kind.token_class:d}, subclass {kind.subclass})",
        "TID": f"{token.tid} ({time} for base date {base_date:d})",
        **({"RND": token.rnd} if money is None else {"S&E": f"{money.se_nibble} (which currency is not in the token)"}),
        "CRC": f"{token.crc:04x}",
    }


def _in_units(token: DecodedToken, unit: str) -> str:
    return f"{token.units} x {amount_of(1, token.kind.decimals):f} {unit}"


def _show(options: Namespace, json_object: Shown, lines: Shown) -> None:
    if options.json:
        print(json.dumps({"lab": LAB, **json_object}, indent=2))
        return
    print(LAB)
    for name, value in lines.items():
        print(f"{name.replace('_', ' '):13}{value}")
