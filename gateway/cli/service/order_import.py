"""``stsgate orders import``: a file of orders, sent as a stream; what is wrong is reported row by row."""

from __future__ import annotations

import argparse
import asyncio
import os
import stat
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from cosem_objects.errors import SettingError
from gateway.api.batch_rows import CSV_COLUMNS, CSV_TYPE, HEADER, LINE_OCTETS_MAX, NDJSON_TYPE, csv_rows
from gateway.api.problems import Problem
from gateway.cli.service.group import IMPORT_EXIT_CODES, OPEN, REFUSED, SOME_FAILED, Group, complain
from gateway.cli.service.listing import as_line, show_answer
from gateway.cli.service.row_report import RowReport, add_report_option
from gateway.cli.service.tables import say
from gateway.client.answers import Json, ServiceUnreachable
from gateway.client.service_client import ServiceClient

STANDARD_INPUT = "-"
_PIECE = 64 * 1024
_DONE = {202: "taken", 200: "known"}
_HEAD_ROW = 0
"""What the service calls a CSV's line of names, where it cannot use it."""


def add_to(group: Group) -> None:
    parser = group.add(
        "import",
        "hand in the orders of a file; the same file again does no harm",
        work=_import,
        check=_check,
        exit_codes=IMPORT_EXIT_CODES,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help=f"a JSON object in each line, or a CSV with the columns {', '.join(CSV_COLUMNS)}, where several tokens "
        "have semicolons between them; - is standard input",
    )
    add_report_option(parser)


def _check(args: argparse.Namespace) -> None:
    with _opened(args.file), RowReport(args.report):
        pass


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """A file descriptor. Raises ``SettingError``."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise SettingError("file: standard input is closed")
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise SettingError(f"file: {path} cannot be read ({error.strerror})") from None
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise SettingError(f"file: {path} is a directory, and no file")
        yield descriptor
    finally:
        os.close(descriptor)


class _Rows:
    """The octets of a file, and how many rows were in them so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        kind = os.fstat(descriptor).st_mode
        self._is_slow = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(descriptor)
        self._first = b""
        self._has_text = False
        self.count = 0
        self.is_read = False

    async def is_csv(self) -> bool:
        """An object begins with a brace, and the names of columns do not; the service would read no row behind a first
        line that does not name them. Raises ``SettingError``."""
        while not (begun := self._first.lstrip()):
            if len(self._first) > LINE_OCTETS_MAX or not await self._read_on():
                raise SettingError("file: there is nothing in it, or it begins with too many blanks")
        if begun.startswith(b"{"):
            return False
        while b"\n" not in self._first and len(self._first) <= LINE_OCTETS_MAX and await self._read_on():
            pass
        try:
            csv_rows()(self._first.partition(b"\n")[0])
        except Problem as problem:
            raise SettingError(f"file: row 1: {problem.detail.removeprefix(f'{HEADER}: ')}; nothing was sent") from None
        return True

    async def _read_on(self) -> bool:
        piece = await self._piece()
        self._first += piece
        return bool(piece)

    async def pieces(self) -> AsyncIterator[bytes]:
        piece = self._first
        while piece:
            self._look_at(piece)
            yield piece
            piece = await self._piece()
        self.count += self._has_text
        self.is_read = True

    def _look_at(self, piece: bytes) -> None:
        rest, *others = piece.split(b"\n")
        self._has_text |= bool(rest.strip())
        for line in others:
            self.count += self._has_text
            self._has_text = bool(line.strip())

    async def _piece(self) -> bytes:
        if self._is_slow:
            await _readable(self._descriptor)
        try:
            return os.read(self._descriptor, _PIECE)
        except OSError as error:
            raise SettingError(f"file: it cannot be read ({error.strerror})") from None


async def _readable(descriptor: int) -> None:
    """Wait for it in a way that can be cancelled, as a thread that reads could not."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


async def _import(args: argparse.Namespace, client: ServiceClient) -> int:
    told: Counter[str] = Counter()
    with _opened(args.file) as descriptor, RowReport(args.report) as report:
        rows = _Rows(descriptor)
        head = 1 if await rows.is_csv() else 0
        media_type = CSV_TYPE if head else NDJSON_TYPE
        answers = client.report("orders:batch", content=rows.pieces(), media_type=media_type)
        try:
            async with aclosing(answers):
                async for answer in answers:
                    if args.json:
                        say(as_line(answer), sys.stdout)
                    if head and answer.get("row") == _HEAD_ROW:
                        _tell(answer, report, head)
                        complain(args, "nothing was taken")
                        return REFUSED
                    told[_tell(answer, report, head)] += 1
        except ServiceUnreachable as error:
            complain(args, f"{error}, {_again(told.total() + head)}")
            return OPEN
    if not args.json:
        show_answer(args, {name: told[name] for name in ("taken", "known", "refused")})
    if not rows.is_read or told.total() < rows.count - head:
        complain(args, f"the service ended it early, {_again(told.total() + head)}")
        return OPEN
    return SOME_FAILED if report.failed else 0


def _tell(answer: Json, report: RowReport, head: int) -> str:
    """What became of a row; a CSV's line of names is counted by us, and not by the service."""
    if answer.get("status") in _DONE:
        return _DONE[answer["status"]]
    problem = answer.get("problem") or {}
    errors = problem.get("errors") or [{"message": problem.get("detail")}]
    fields = ("" if error.get("field") == HEADER else str(error.get("field") or "") for error in errors)
    told = [(field, str(error.get("message"))) for field, error in zip(fields, errors, strict=True)]
    report.add(int(answer.get("row", 0)) + head, str(answer.get("id") or ""), told)
    return "refused"


def _again(row: int) -> str:
    return f"after row {row} or later; send the same rows again: what was taken stays as it is"
