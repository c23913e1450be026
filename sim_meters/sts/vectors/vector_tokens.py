"""The tokens in a vector file, checked in both directions: from the fields to the digits, and back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import TokenClass
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import amount_of
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, clear_token, decode, encode
from sim_meters.sts.tokens.coding import Padding, UnitAmount
from sim_meters.sts.tokens.crc import token_crc
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION
from sim_meters.sts.tokens.token_kind import Field
from sim_meters.sts.vectors.vector_entry import Entry
from sim_meters.sts.vectors.vector_key_changes import check_section
from sim_meters.sts.vectors.vector_keys import check_keys

_IN_CLEAR = TokenClass.NON_METER_SPECIFIC_MANAGEMENT


def check_token(entry: Entry) -> None:
    """Compare all that the entry states."""
    token = entry.token("token")
    # Class 1 needs no key, and its entries state none.
    key = check_keys(entry) if token.token_class is not _IN_CLEAR or "decoder_key_hex" in entry else None
    entry.integer("token_class")
    entry.compare("token_class", int(token.token_class), "token")
    decoded = decode(token, key)
    if isinstance(decoded, DecodeFailure):
        entry.differ("token", decoded.reason)
        return
    _check_block(entry, decoded)
    if decoded.kind in NUMBER_OF_SECTION:
        check_section(entry, decoded)
    else:
        _check_fields(entry, decoded, key)


def _check_block(entry: Entry, token: ClearToken) -> None:
    """What the entry says of the block several times over: subclass, clear block and CRC."""
    is_secret = token.kind in NUMBER_OF_SECTION
    entry.integer("token_subclass")
    entry.compare("token_subclass", token.kind.subclass, "token")
    entry.compare_block("clear_block_hex", token.clear_block, "token", is_secret=is_secret)
    entry.number("crc_hex", 2)
    entry.compare_hex("crc_hex", token.crc, 2, "token")
    stated = token_crc(token.kind.token_class, entry.number("clear_block_hex", 8) >> 16, token.kind.crc_rule)
    entry.compare_hex("crc_hex", stated, 2, "clear_block_hex")


def _check_fields(entry: Entry, token: ClearToken, key: DecoderKey | None) -> None:
    fields, kind = entry.group("fields"), token.kind
    stated = {field.name: _stated_raw(fields, field) for field in kind.layout if _is_needed(fields, field)}
    for field in kind.layout:
        if field.name in stated and stated[field.name] != token[field.name]:
            fields.differ(field.name, f"states {fields.integer(field.name)}; from token: {token.meaning(field)}")
    for name, value in token.details.items():
        fields.compare(name, value, "token")
    if token.tid is not None:
        fields.compare("amount_field" if kind.commodity else "value_field", token.upper & 0xFFFF, "token")
        _check_issued_at(fields, token.tid, _base_dates(entry))
    if "unit" in fields and isinstance(kind.value.coding, UnitAmount):
        _check_unit(fields, kind.value.coding)
    made = clear_token(kind, stated)
    entry.compare_block("clear_block_hex", made.clear_block, "fields", is_secret=False)
    entry.compare_token("token", encode(made, key), "fields")


def _is_needed(fields: Entry, field: Field) -> bool:
    return field.name in fields or not isinstance(field.coding, Padding)


def _stated_raw(fields: Entry, field: Field) -> int:
    """The bits that carry what the entry states: of an amount, what it was rounded to."""
    meaning = fields.integer(field.name)
    try:
        return field.coding.raw(meaning)
    except SettingError as error:
        raise SettingError(f"fields.{field.name}: {error}") from None


def _check_unit(fields: Entry, coding: UnitAmount) -> None:
    """A text such as ``0.1 kWh`` has to name the token unit."""
    size, _, unit = fields.text("unit").partition(" ")
    try:
        is_right = unit == coding.unit and Decimal(size) == amount_of(1, coding.decimals)
    except InvalidOperation:
        is_right = False
    if not is_right:
        token_unit = f"{amount_of(1, coding.decimals)} {coding.unit}"
        fields.differ("unit", f"states {fields.text('unit')!r}; this token counts in {token_unit}")


def _base_dates(entry: Entry) -> tuple[BaseDate, ...]:
    """The base date of the key; an entry that gives a bare decoder key leaves all of them open."""
    return (BaseDate.parse(entry.digits("base_date")),) if "base_date" in entry else tuple(BaseDate)


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
