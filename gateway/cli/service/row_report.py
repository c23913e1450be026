"""What went wrong with rows of a file: the first ones told, all of them written down if asked, and counted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from cosem_objects.errors import SettingError
from gateway.shown import printable

TOLD_MAX = 50


def add_report_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report", metavar="PATH", help="write the rows that failed to this file, an object of JSON for each mistake"
    )


class RowReport:
    """A ``with``. Rows are counted from 1, the line with the names included, as a spreadsheet does."""

    def __init__(self, path: str | None) -> None:
        """Raises ``SettingError``."""
        self.failed = 0
        self._told = 0
        self._is_broken = False
        self._file: TextIO | None = None
        if path is not None:
            try:
                self._file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
            except OSError as error:
                raise SettingError(f"report: {path} cannot be written ({error.strerror})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._told > TOLD_MAX:
            print(f"and {self._told - TOLD_MAX} more mistakes", file=sys.stderr)
        if self._file is not None:
            self._write("")
            with suppress(OSError):
                self._file.close()

    def add(self, row: int, row_id: str, errors: Iterable[tuple[str, str]]) -> None:
        """One row that failed; each mistake with its column, or an empty name."""
        self.failed += 1
        for column, message in errors:
            self._told += 1
            if self._told <= TOLD_MAX:
                place = f"row {row}{f' ({row_id})' if row_id else ''}{f', column {column}' if column else ''}"
                print(printable(f"{place}: {message}"), file=sys.stderr)
            if self._file is not None:
                mistake = {"row": row, "id": row_id or None, "column": column or None, "message": message}
                self._write(f"{json.dumps(mistake)}\n")

    def _write(self, line: str) -> None:
        """A report that cannot be written must not end what it is about."""
        assert self._file is not None, "there is no report"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            if not self._is_broken:
                print(f"report: it cannot be written ({error.strerror})", file=sys.stderr)
            self._is_broken = True
