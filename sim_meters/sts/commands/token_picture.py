"""A token in clear as people look at it: its bits in a line with the fields under them, and a table of the fields.

Both are made from the row of the token type (``token_table``), so they know every type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import amount_of
from sim_meters.sts.tokens.clear_token import ClearToken
from sim_meters.sts.tokens.coding import Secret, UnitAmount
from sim_meters.sts.tokens.token_kind import Field
from sim_meters.sts.tokens.token_table import TID

_SUBCLASS_SPAN, _CRC_SPAN = (63, 60), (15, 0)


def field_words(token: ClearToken, field: Field, base_date: BaseDate) -> str:
    """What a field says, for people."""
    raw = field.read(token.upper)
    words = field.coding.words(raw)
    if field is TID:
        return f"{words} ({base_date.moment(raw):%Y-%m-%d %H:%M} for base date {base_date:d})"
    if isinstance(field.coding, UnitAmount):
        return f"{words} (encoded {in_units(field.coding, token.meaning(field), field.coding.unit)})"
    return words


def in_units(coding: UnitAmount, units: int, unit: str) -> str:
    """So many token units; ``unit`` is what the amount is in, as a currency token does not say which currency."""
    return f"{units} x {amount_of(1, coding.decimals):f} {unit}"


def span_words(spans: Iterable[tuple[int, int]]) -> str:
    """Bits as they are counted in the clear block: ``55..32``."""
    return ", ".join(f"{high}..{low}" if high > low else f"{high}" for high, low in spans)


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring bits of one field."""

    label: str
    bits: str


def picture(token: ClearToken) -> list[str]:
    """The 66 bits in clear, class first, and under each field its name."""
    groups = list(_groups(token))
    columns, column = [], 0
    for group in groups:
        columns.append((column, group.label))
        column += len(group.bits) + 1
    return [" ".join(group.bits for group in groups), *_labels(columns)]


def _groups(token: ClearToken) -> Iterator[_Group]:
    yield _Group("class", f"{token.kind.token_class:02b}")
    spans = [(span, field.label) for field in token.kind.layout for span in field.spans]
    block = f"{token.clear_block:064b}"
    for (high, low), label in sorted(
        [(_SUBCLASS_SPAN, "subclass"), *spans, (_CRC_SPAN, "CRC")], key=lambda one: -one[0][0]
    ):
        yield _Group(label, block[63 - high : 64 - low])


def _labels(columns: Sequence[tuple[int, str]]) -> list[str]:
    """Lines that name columns. A name that would run into something right of it goes further down, below a bar."""
    placed: list[tuple[int, int, str]] = []
    for column, label in reversed(columns):
        row = 1
        while any(other >= row and column + len(label) >= right for other, right, _ in placed):
            row += 1
        placed.append((row, column, label))
    lines = []
    for row in range(1 + max(row for row, _, _ in placed)):
        line = ""
        for below, column, label in reversed(placed):
            if below >= row:
                line = line.ljust(column) + (label if below == row else "|")
        lines.append(line)
    return lines


def field_table(token: ClearToken, base_date: BaseDate) -> list[str]:
    """One line for each field: its bits, what stands there in hex, and what that means."""
    rows = [("field", "bits", "hex", "meaning")]
    kind = token.kind
    rows.append(("class", "(2 bits)", f"{kind.token_class:d}", kind.token_class.name.lower().replace("_", " ")))
    rows.append(("subclass", span_words([_SUBCLASS_SPAN]), f"{kind.subclass:x}", kind.name))
    for field in sorted(kind.layout, key=lambda field: field.spans, reverse=True):
        raw = f"{field.read(token.upper):0{-(-field.bits // 4)}x}"
        rows.append((field.label, span_words(field.spans), raw, field_words(token, field, base_date)))
    rows.append(("CRC", span_words([_CRC_SPAN]), f"{token.crc:04x}", f"fits ({kind.crc_rule.name})"))
    widths = [max(len(row[place]) for row in rows) for place in range(3)]
    return ["  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3])) for row in rows]


def open_fields(token: ClearToken) -> tuple[Field, ...]:
    """The fields that hold no part of a key."""
    return tuple(field for field in token.kind.layout if not isinstance(field.coding, Secret))
