"""How ``simmeters sts`` commands answer: lines for people, or one JSON object."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from sim_meters.notices import LAB
from sim_meters.sts.commands.token_picture import field_words, in_units, open_fields, span_words
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.coding import Padding, UnitAmount
from sim_meters.sts.tokens.token_kind import Field, TokenKind

Shown = dict[str, object]
Lines = Mapping[str, object]
"""By what stands in front; a sequence of texts takes a line each."""

_NAME_WIDTH = 13


def show(options: Namespace, json_object: Shown, lines: Lines, *, below: Iterable[str] = ()) -> None:
    """Print the answer, with the notice that this is a laboratory."""
    if options.json:
        print(json.dumps({"lab": LAB, **json_object}, indent=2))
        return
    print(LAB)
    width = max(_NAME_WIDTH, *(len(name) + 2 for name in lines))
    for name, value in lines.items():
        texts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        for place, text in enumerate(texts):
            print(f"{'' if place else name:{width}}{text}")
    for line in below:
        print(line)


def grouped(digits: str) -> str:
    """20 digits as they are printed for a customer."""
    return " ".join(digits[place : place + 4] for place in range(0, 20, 4))


def token_json(token: ClearToken, base_date: BaseDate) -> Shown:
    """What a token says, for JSON: its fields by name, and all about each in a list."""
    kind = token.kind
    shown: Shown = {"class": int(kind.token_class), "subclass": kind.subclass, "kind": kind.name}
    if kind.commodity is not None:
        shown |= {"commodity": kind.commodity.value, "amount_field": token.upper & 0xFFFF}
    for field in kind.layout:
        if not isinstance(field.coding, Padding):
            shown[field.name] = token.meaning(field)
    if token.tid is not None:
        shown |= {"tid_time": f"{base_date.moment(token.tid):%Y-%m-%dT%H:%M}", "base_date": int(base_date)}
    return {
        **shown,
        **token.details,
        "crc_hex": f"{token.crc:04x}",
        "clear_block_hex": f"{token.clear_block:016x}",
        "fields": fields_json(token, kind.layout, base_date),
    }


def fields_json(token: ClearToken, fields: Iterable[Field], base_date: BaseDate) -> list[Shown]:
    """All about these fields."""
    return [
        {
            "name": field.name,
            "label": field.label,
            "bits": span_words(field.spans),
            "raw": field.read(token.upper),
            "meaning": token.meaning(field),
            "words": field_words(token, field, base_date),
        }
        for field in fields
    ]


def token_lines(token: ClearToken, base_date: BaseDate) -> Shown:
    """What a token says, for people; without parts of keys."""
    fields = {field.label: field_words(token, field, base_date) for field in open_fields(token)}
    return {"kind": kind_words(token.kind), **fields, "CRC": f"{token.crc:04x}"}


_ABBREVIATIONS = frozenset({"ea", "dkga", "pan", "sgc", "ti", "krn", "kt", "ken"})


def key_word(name: str) -> str:
    """The name of a key's attribute for people: abbreviations in capitals."""
    return " ".join(word.upper() if word in _ABBREVIATIONS else word for word in name.split("_"))


def kind_words(kind: TokenKind) -> str:
    """A token type with its numbers."""
    return f"{kind.name} (class {kind.token_class:d}, subclass {kind.subclass})"


def amount_of_token(token: ClearToken, unit: str | None = None) -> Shown | None:
    """The amount that a token carries, for JSON; ``None`` if its type has none. ``unit``: if more is known of it."""
    coding, raw = token.kind.value.coding, token.kind.value.read(token.upper)
    if not isinstance(coding, UnitAmount):
        return None
    units = {"encoded_units": coding.meaning(raw), "decoded": f"{coding.amount(raw):f}"}
    return {**units, "unit": unit or coding.unit}


def asked_and_encoded(token: ClearToken, asked: Decimal, unit: str) -> tuple[Shown, str]:
    """What became of an amount on its way into a token: for JSON, and for people."""
    coding, raw = token.kind.value.coding, token.kind.value.read(token.upper)
    assert isinstance(coding, UnitAmount), "asked only of tokens that carry an amount"
    decoded = coding.amount(raw)
    encoded = in_units(coding, coding.meaning(raw), unit)
    text = f"asked {asked:f} {unit} / encoded {encoded} / decoded {decoded:f} {unit}"
    if decoded != asked:
        text += " (rounded in the customer's favour)"
    return {"asked": f"{asked:f}", **(amount_of_token(token, unit) or {})}, text
