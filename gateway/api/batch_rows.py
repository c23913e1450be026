"""Rows of a batch: lines out of octets, and orders' bodies out of lines of NDJSON or CSV. Pure."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.api.fields import ORDER_ID, looks_like_token
from gateway.api.problems import Problem, encode, invalid
from gateway.api.wrong_fields import shown_name, unknown_name

NDJSON_TYPE = "application/x-ndjson"
CSV_TYPE = "text/csv"
LINE_OCTETS_MAX = 64 * 1024
"""Of one row. guess: an order with twenty tokens has less than 4 kB."""

CSV_COLUMNS = ("id", "meter", "tokens", "kind", "amount", "unit", "priority", "not_before", "expires_at")
"""Several tokens in one cell have semicolons between them."""
_NEEDED = ("id", "meter", "tokens")
_COLUMNS_WORDS = f"{', '.join(_NEEDED)} and, as needed, {', '.join(CSV_COLUMNS[len(_NEEDED) :])}"
HEADER = "header"
"""Stands for the field where the first line of a CSV is wrong."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the body of an order, or what is wrong with it. ``number`` counts lines from 1; a CSV's head is 0."""

    number: int
    octets: bytes = field(default=b"", repr=False)
    problem: Problem | None = None
    given_id: str | None = field(default=None, repr=False)
    """Of a row that gives it, and is no order."""

    @property
    def shown_id(self) -> str | None:
        """The id that the row gives, whatever else is wrong with it, if it may be shown."""
        given = _id_in(self.octets) if self.given_id is None else self.given_id
        is_one = given is not None and re.fullmatch(ORDER_ID, given) and not looks_like_token(given)
        return given if is_one else None


def _id_in(octets: bytes) -> str | None:
    try:
        members = json.loads(octets.decode(), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return None
    ids = [value for name, value in members if name == "id"] if isinstance(members, tuple) else []
    return ids[0] if len(ids) == 1 and isinstance(ids[0], str) else None


RowReader = Callable[[bytes | None], Iterable[Row]]
"""Takes one line, None for one that was too long; gives its row, or nothing for an empty line."""


class Lines:
    """Cuts a stream into lines. The last one counts without its end, if the stream ended as it should."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False
        self.octets = 0
        """Received so far."""

    def receive(self, octets: bytes) -> list[bytes | None]:
        self.octets += len(octets)
        *lines, self._rest = (self._rest + octets).split(b"\n")
        whole: list[bytes | None] = []
        for line in lines:
            whole.append(None if self._is_skipping or len(line) > LINE_OCTETS_MAX else line)
            self._is_skipping = False
        if len(self._rest) > LINE_OCTETS_MAX:
            self._is_skipping, self._rest = True, b""
        return whole

    def end(self) -> list[bytes | None]:
        last: bytes | None = None if self._is_skipping else self._rest
        return [last] if last is None or last else []


def ndjson_rows() -> RowReader:
    """One JSON object in each line."""
    number = 0

    def read(line: bytes | None) -> Iterable[Row]:
        nonlocal number
        number += 1
        if line is None:
            return (_too_long(number),)
        return (Row(number, line),) if line.strip() else ()

    return read


def csv_rows() -> RowReader:
    """The first line names the columns. Raises ``Problem`` for a first line that does not. A row is one line: no cell
    holds a line break."""
    columns: list[str] = []
    number = 0

    def read(line: bytes | None) -> Iterable[Row]:
        nonlocal number
        if not columns:
            columns.extend(_head(line))
            return ()
        number += 1
        if line is None:
            return (_too_long(number),)
        return (_csv_row(number, line, columns),) if line.strip() else ()

    return read


def _head(line: bytes | None) -> list[str]:
    cells = None if line is None else _cells(line.removeprefix(b"\xef\xbb\xbf"))
    names = [cell.strip().lower() for cell in cells or ()]
    is_usable = len(set(names)) == len(names) and set(_NEEDED) <= set(names) <= set(CSV_COLUMNS)
    if not is_usable:
        raise invalid([(HEADER, _wrong_head(names))])
    return names


def _wrong_head(names: list[str]) -> str:
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and set(_NEEDED) & {name.strip() for name in names[0].split(sign)}:
            return f"its columns have {word} between them; commas are expected"
    if not set(_NEEDED) & set(names):
        return f"the first line of a CSV names its columns: {_COLUMNS_WORDS}"
    unknown = [name for name in dict.fromkeys(names) if name not in CSV_COLUMNS]
    wrong = [unknown_name(name, CSV_COLUMNS, "column") for name in unknown]
    wrong += [f"{shown_name(name)} stands there twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    wrong += [f"{name} is missing" for name in _NEEDED if name not in names]
    return f"{'; '.join(wrong)}; expected are {_COLUMNS_WORDS}"


def _csv_row(number: int, line: bytes, columns: list[str]) -> Row:
    cells = _cells(line)
    if cells is None:
        return Row(number, problem=Problem("malformed", "this line is no CSV in UTF-8"))
    if len(cells) != len(columns):
        words = f"{len(columns)} cells are expected, {len(cells)} were given"
        place = columns.index("id")
        given_id = cells[place].strip() if place < len(cells) else None
        return Row(number, problem=Problem("malformed", words), given_id=given_id)
    given: dict[str, Any] = {name: cell.strip() for name, cell in zip(columns, cells, strict=True) if cell.strip()}
    if "tokens" in given:
        given["tokens"] = [token.strip() for token in given["tokens"].split(";") if token.strip()]
    amount = {"value": given.pop("amount", None), "unit": given.pop("unit", None)}
    if any(amount.values()):
        given["amount"] = {name: value for name, value in amount.items() if value is not None}
    return Row(number, encode(given))


def _cells(line: bytes) -> list[str] | None:
    try:
        [cells] = csv.reader([line.decode().rstrip("\r")], strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        return None
    return cells


def _too_long(number: int) -> Row:
    return Row(number, problem=Problem("too-large", f"a row of at most {LINE_OCTETS_MAX} octets is expected"))
