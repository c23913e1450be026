"""The tokens in a vector file, checked in both directions: from the fields to the digits, and back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.amount import amount_of
from sim_meters.sts.crc import CrcRule, token_crc
from sim_meters.sts.decoder_key import DecoderKey
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens import TOKEN_KINDS, DecodedToken, DecodeFailure, TokenKind, credit_fields, decode, encode
from sim_meters.sts.vector_entry import Entry
from sim_meters.sts.vector_keys import check_keys, stated_key


def check_token(entry: Entry) -> str | None:
    """Compare all that the entry states; says what is not covered yet, if that is the case.

    Where the fields of a class or the cipher are not covered yet, the rest is compared all the same.
    """
    token = entry.token("token")
    _check_without_key(entry, token)
    if token.token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
        entry.compare_hex("clear_block_hex", token.block, 8, "token")
        return "class 1"
    not_covered = check_keys(entry)
    if not_covered is not None:
        return f"{not_covered} class {token.token_class}"
    key = stated_key(entry)
    entry.compare_hex("clear_block_hex", key.cipher.decrypt(token.block), 8, "token")
    if token.token_class is TokenClass.METER_SPECIFIC_MANAGEMENT:
        return "class 2"
    _check_credit(entry, token, key)
    return None


def _check_without_key(entry: Entry, token: Token) -> None:
    """What the entry says about itself twice: class and subclass, clear block and CRC."""
    block = entry.number("clear_block_hex", 8)
    token_class, subclass = token.token_class, block >> 60
    entry.integer("token_class")
    entry.compare("token_class", int(token_class), "token")
    entry.integer("token_subclass")
    entry.compare("token_subclass", subclass, "clear_block_hex")
    kind = TOKEN_KINDS.get((token_class, subclass))
    crc = token_crc(token_class, block >> 16, kind.crc_rule if kind else CrcRule.CRC)
    entry.number("crc_hex", 2)
    entry.compare_hex("crc_hex", crc, 2, "the CRC rule")
    entry.compare_hex("crc_hex", block & 0xFFFF, 2, "clear_block_hex")


def _check_credit(entry: Entry, token: Token, key: DecoderKey) -> None:
    decoded = decode(token, key)
    if isinstance(decoded, DecodeFailure):
        entry.differ("token", decoded.reason)
        return
    fields = entry.group("fields")
    _compare_fields(fields, decoded, "token")
    _check_issued_at(fields, decoded.tid, _base_dates(entry))
    made = _made_from(fields, decoded.kind)
    _compare_fields(fields, made, "fields")
    entry.compare_hex("clear_block_hex", made.clear_block, 8, "fields")
    entry.compare_token("token", encode(made, key), "fields")


def _made_from(fields: Entry, kind: TokenKind) -> DecodedToken:
    rnd = None if kind.is_currency else fields.integer("rnd")
    return credit_fields(kind, fields.integer("transfer_amount_units"), fields.integer("tid"), rnd)


def _compare_fields(fields: Entry, token: DecodedToken, origin: str) -> None:
    fields.compare("tid", token.tid, origin)
    fields.compare("amount_field", token.amount_field, origin)
    if token.rnd is not None:
        fields.compare("rnd", token.rnd, origin)
    money = token.currency_amount
    if money is not None:
        fields.compare("s", int(money.negative), origin)
        fields.compare("exponent", money.exponent, origin)
        fields.compare("mantissa", money.mantissa, origin)
        fields.compare("se_nibble", money.se_nibble, origin)
    if "unit" in fields and not _is_unit_of(fields.text("unit"), token.kind):
        unit = f"{amount_of(1, token.kind.decimals)} {token.kind.unit}"
        fields.differ("unit", f"states {fields.text('unit')!r}; {token.kind.name} counts in {unit}")


def _is_unit_of(text: str, kind: TokenKind) -> bool:
    """Whether a text such as ``0.1 kWh`` names the token unit of this kind."""
    size, _, unit = text.partition(" ")
    try:
        return unit == kind.unit and Decimal(size) == amount_of(1, kind.decimals)
    except InvalidOperation:
        return False


def _base_dates(entry: Entry) -> tuple[BaseDate, ...]:
    """The base date of the key; an entry that gives a bare decoder key leaves all of them open."""
    return (BaseDate.parse(str(entry.integer("base_date"))),) if "base_date" in entry else tuple(BaseDate)


def _check_issued_at(fields: Entry, tid: int, base_dates: tuple[BaseDate, ...]) -> None:
    """The TID has to be that of the minute of issue (for 00:01, of 00:02)."""
    if "issued_at" not in fields:
        return
    moment = fields.moment("issued_at")
    if not any(_explains(base_date, moment, tid) for base_date in base_dates):
        meant = " or ".join(f"{base_date.moment(tid):%Y-%m-%dT%H:%M}" for base_date in base_dates)
        fields.differ("issued_at", f"states {moment:%Y-%m-%dT%H:%M}; TID {tid} belongs to {meant}")


def _explains(base_date: BaseDate, moment: datetime, tid: int) -> bool:
    try:
        return base_date.tid_at(moment) == tid
    except SettingError:
        return False
