"""A CSV of what the service keeps under an id: what its rows may say, and how it is read."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from cosem_objects.errors import SettingError
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient

ROWS_MAX = 1_000_000
_DIGITS_MAX = 19


class WrongColumns(Exception):
    """What is wrong with a row, by column; an empty name: with several of them together."""

    def __init__(self, errors: Iterable[tuple[str, str]]) -> None:
        self.errors = tuple((name, message.removeprefix(f"{name}: ")) for name, message in errors)
        super().__init__("; ".join(f"{name}: {message}" if name else message for name, message in self.errors))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What the rows are, beside the column ``id`` that every sheet has."""

    name: str
    """What one row is, such as ``meter``; with an s, the API's name for all of them."""
    columns: Sequence[str]
    required: Sequence[str] = ()
    """Columns that must be there."""
    exported: Sequence[str]
    """Columns that may be shown."""
    hint: str
    """What else to know about the columns."""
    id_pattern: re.Pattern[str]
    id_expected: str
    body_from_cells: Callable[[Mapping[str, str]], Json]
    """What is sent for a row's cells, of which an empty one says nothing. Raises ``WrongColumns``."""
    cells_of: Callable[[Json], Mapping[str, str]]
    """What the API shows, as cells."""
    is_exported: Callable[[Json], bool] = lambda _: True
    column_of: Callable[[str], str] = lambda field: field
    """The column of what the API calls by its path."""
    put: Callable[[ServiceClient, str, Json], Awaitable[Json]]
    """Raises ``ServiceRefused``, ``ServiceUnreachable``."""


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    """The line with the names is row 1."""
    id: str
    body: Json = field(repr=False)


def row_from(sheet: Sheet, cells: Mapping[str, str], number: int) -> Row:
    """Raises ``WrongColumns``."""
    if "" in cells:
        raise WrongColumns([("", "it has more cells than there are columns")])
    row_id = cells.get("id", "")
    if not sheet.id_pattern.fullmatch(row_id):
        raise WrongColumns([("id", sheet.id_expected)])
    return Row(number, row_id, sheet.body_from_cells({name: text for name, text in cells.items() if name != "id"}))


def rows_of(sheet: Sheet, path: str) -> Iterator[tuple[dict[str, str], int]]:
    """Cells by column, and the row's number; cells without a column stand under an empty name. Raises
    ``SettingError``."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield from _rows_in(sheet, path, file)
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingError(f"{path} cannot be read: UTF-8 is expected") from None
    except csv.Error as error:
        raise SettingError(f"{path} cannot be read as a CSV ({error})") from None


def whole_number_in(column: str, text: str) -> int:
    """Raises ``WrongColumns``."""
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise WrongColumns([(column, "expected a whole number")])
    return int(text)


def _rows_in(sheet: Sheet, path: str, file: TextIO) -> Iterator[tuple[dict[str, str], int]]:
    reader = csv.reader(file, strict=True)
    names = [name.strip() for name in next(reader, [])]
    _check_names(sheet, path, names)
    for number, row in enumerate(reader, 2):
        if number > ROWS_MAX + 1:
            raise SettingError(f"{path}: more than {ROWS_MAX} rows")
        texts = [text.strip() for text in row]
        if not any(texts):
            continue
        cells = dict(zip(names, texts, strict=False))
        yield (cells | {"": "more"} if any(texts[len(names) :]) else cells), number


def _check_names(sheet: Sheet, path: str, names: Sequence[str]) -> None:
    """An unknown name is not repeated: in a file without names it may be a key."""
    known = ("id", *sheet.columns)
    for place, name in enumerate(names, 1):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; expected id, and of {', '.join(sheet.columns)}"
            raise SettingError(f"{path}: row 1, column {place}: there is no such column{hint}")
    twice = [name for name in names if names.count(name) > 1]
    missing = [name for name in ("id", *sheet.required) if name not in names]
    if twice or missing:
        raise SettingError(f"{path}: row 1: column {(twice or missing)[0]} is {'there twice' if twice else 'missing'}")
