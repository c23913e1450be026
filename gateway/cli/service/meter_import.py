"""``stsgate meters import``: a CSV of meters. Every row is checked before the first is sent."""

from __future__ import annotations

import argparse
import asyncio
import csv
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

from cosem_objects.errors import SettingError
from gateway.cli.service.group import SOME_FAILED, Group
from gateway.cli.service.listing import show_answer
from gateway.cli.service.meter_columns import COLUMNS, WrongColumns, body_from, column_of, values_from_cells
from gateway.cli.service.row_report import RowReport, add_report_option
from gateway.client.answers import Json, ServiceRefused
from gateway.client.service_client import ServiceClient
from gateway.meter_body import METER_ID

ROWS_MAX = 1_000_000
AT_A_TIME = 8

_METER_ID = re.compile(METER_ID)
_WRONG_KEY = (401, 403)


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    """The line with the names is row 1."""
    id: str
    body: Json = field(repr=False)


def add_to(group: Group) -> None:
    parser = group.add("import", "enter or change the meters of a CSV", work=_import, check=_check)
    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"its first line names the columns: id, and of {', '.join(COLUMNS)}; an empty cell says nothing; "
        "several windows stand with blanks between them",
    )
    add_report_option(parser)


def _check(args: argparse.Namespace) -> None:
    """Read all of it; nothing is sent if a row is wrong. Raises ``SettingError``."""
    known: dict[str, int] = {}
    with RowReport(args.report) as report:
        for cells, number in _rows(args.file):
            try:
                row = _row(cells, number)
                if row.id in known:
                    raise WrongColumns([("id", f"the same as in row {known[row.id]}")])
                known[row.id] = number
            except WrongColumns as error:
                meter_id = cells.get("id", "")
                report.add(number, meter_id if _METER_ID.fullmatch(meter_id) else "", error.errors)
    if report.failed:
        rows = "row is" if report.failed == 1 else "rows are"
        raise SettingError(f"{args.file}: {report.failed} {rows} wrong, nothing was sent")
    if not known:
        raise SettingError(f"{args.file}: there is no meter in it")


async def _import(args: argparse.Namespace, client: ServiceClient) -> int:
    written = 0
    with RowReport(args.report) as report:
        rows = (_row(cells, number) for cells, number in _rows(args.file))
        while some := list(islice(rows, AT_A_TIME)):
            sending = (_send(client, row, is_begun=written + report.failed > 0) for row in some)
            results = await asyncio.gather(*sending, return_exceptions=True)
            for row, result in zip(some, results, strict=True):
                if isinstance(result, BaseException):
                    raise result
                written += result is None
                if result is not None:
                    report.add(row.number, row.id, result)
    show_answer(args, {"written": written, "refused": report.failed})
    return SOME_FAILED if report.failed else 0


async def _send(client: ServiceClient, row: _Row, *, is_begun: bool) -> Sequence[tuple[str, str]] | None:
    """What the service has against it."""
    try:
        await client.patiently(lambda: client.call("PUT", "meters", row.id, json=row.body), is_begun=is_begun)
    except ServiceRefused as error:
        if error.may_pass or error.status in _WRONG_KEY:
            raise
        return [(column_of(name), words) for name, words in error.fields.items()] or [("", str(error))]
    return None


def _row(cells: Mapping[str, str], number: int) -> _Row:
    """Raises ``WrongColumns``."""
    if "" in cells:
        raise WrongColumns([("", "it has more cells than there are columns")])
    meter_id = cells.get("id", "")
    if not _METER_ID.fullmatch(meter_id):
        raise WrongColumns([("id", "expected 1 to 64 letters, digits, dots, colons, hyphens or underscores")])
    values = values_from_cells({name: text for name, text in cells.items() if name != "id"})
    return _Row(number, meter_id, body_from(values))


def _rows(path: str) -> Iterator[tuple[dict[str, str], int]]:
    """Cells by column, and the row's number; cells without a column stand under an empty name."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield from _rows_in(path, file)
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingError(f"{path} cannot be read: UTF-8 is expected") from None
    except csv.Error as error:
        raise SettingError(f"{path} cannot be read as a CSV ({error})") from None


def _rows_in(path: str, file: TextIO) -> Iterator[tuple[dict[str, str], int]]:
    reader = csv.reader(file, strict=True)
    names = [name.strip() for name in next(reader, [])]
    _check_names(path, names)
    for number, row in enumerate(reader, 2):
        if number > ROWS_MAX + 1:
            raise SettingError(f"{path}: more than {ROWS_MAX} rows")
        texts = [text.strip() for text in row]
        if not any(texts):
            continue
        cells = dict(zip(names, texts, strict=False))
        yield (cells | {"": "more"} if any(texts[len(names) :]) else cells), number


def _check_names(path: str, names: Sequence[str]) -> None:
    """An unknown name is not repeated: in a file without names it may be a key."""
    known = ("id", *COLUMNS)
    for place, name in enumerate(names, 1):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; expected id, and of {', '.join(COLUMNS)}"
            raise SettingError(f"{path}: row 1, column {place}: there is no such column{hint}")
    twice = [name for name in names if names.count(name) > 1]
    missing = [name for name in ("id", "endpoint") if name not in names]
    if twice or missing:
        raise SettingError(f"{path}: row 1: column {(twice or missing)[0]} is {'there twice' if twice else 'missing'}")
