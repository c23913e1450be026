"""``import`` and ``export`` of what a CSV can hold. Every row is checked before the first is sent."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import sys
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice

from cosem_objects.errors import SettingError
from gateway.cli.service.group import IMPORT_EXIT_CODES, SOME_FAILED, Group
from gateway.cli.service.listing import LIMIT_MAX, as_line, show_answer
from gateway.cli.service.row_report import RowReport, add_report_option
from gateway.cli.service.sheets import Row, Sheet, WrongColumns, row_from, rows_of
from gateway.cli.service.tables import say
from gateway.client.answers import ServiceRefused
from gateway.client.service_client import ServiceClient

AT_A_TIME = 8

_WRONG_KEY = (401, 403)


def add_sheet_commands(group: Group, sheet: Sheet, *, import_summary: str, export_summary: str) -> None:
    parser = group.add(
        "import",
        import_summary,
        work=partial(_import, sheet=sheet),
        check=partial(_check, sheet=sheet),
        exit_codes=IMPORT_EXIT_CODES,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"its first line names the columns: id, and of {', '.join(sheet.columns)}; an empty cell says nothing; "
        f"{sheet.hint}",
    )
    add_report_option(parser)
    group.add("export", export_summary, work=partial(_export, sheet=sheet))


def _check(args: argparse.Namespace, *, sheet: Sheet) -> None:
    """Read all of it; nothing is sent if a row is wrong. Raises ``SettingError``."""
    known: dict[str, int] = {}
    with RowReport(args.report) as report:
        for cells, number in rows_of(sheet, args.file):
            try:
                row = row_from(sheet, cells, number)
                if row.id in known:
                    raise WrongColumns([("id", f"the same as in row {known[row.id]}")])
                known[row.id] = number
            except WrongColumns as error:
                row_id = cells.get("id", "")
                report.add(number, row_id if sheet.id_pattern.fullmatch(row_id) else "", error.errors)
    if report.failed:
        rows = "row is" if report.failed == 1 else "rows are"
        raise SettingError(f"{args.file}: {report.failed} {rows} wrong, nothing was sent")
    if not known:
        raise SettingError(f"{args.file}: there is no {sheet.name} in it")


async def _import(args: argparse.Namespace, client: ServiceClient, *, sheet: Sheet) -> int:
    written = 0
    with RowReport(args.report) as report:
        rows = (row_from(sheet, cells, number) for cells, number in rows_of(sheet, args.file))
        while some := list(islice(rows, AT_A_TIME)):
            sending = (_send(client, sheet, row, is_begun=written + report.failed > 0) for row in some)
            results = await asyncio.gather(*sending, return_exceptions=True)
            for row, result in zip(some, results, strict=True):
                if isinstance(result, BaseException):
                    raise result
                written += result is None
                if result is not None:
                    report.add(row.number, row.id, result)
    show_answer(args, {"written": written, "refused": report.failed})
    return SOME_FAILED if report.failed else 0


async def _send(client: ServiceClient, sheet: Sheet, row: Row, *, is_begun: bool) -> Sequence[tuple[str, str]] | None:
    """What the service has against it."""
    try:
        await client.patiently(lambda: sheet.put(client, row.id, row.body), is_begun=is_begun)
    except ServiceRefused as error:
        if error.may_pass or error.status in _WRONG_KEY:
            raise
        return [(sheet.column_of(name), words) for name, words in error.fields.items()] or [("", str(error))]
    return None


async def _export(args: argparse.Namespace, client: ServiceClient, *, sheet: Sheet) -> int:
    if not args.json:
        say(_csv_line(("id", *sheet.exported)), sys.stdout)
    async with aclosing(client.pages(f"{sheet.name}s", limit=LIMIT_MAX)) as items:
        async for item in items:
            if sheet.is_exported(item):
                cells = sheet.cells_of(item)
                line = _csv_line((str(item.get("id")), *(cells[name] for name in sheet.exported)))
                say(as_line(item) if args.json else line, sys.stdout)
    return 0


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
