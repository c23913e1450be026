"""Tables and facts for people: aligned, no wider than the terminal, and nothing in them that moves a cursor."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from gateway.shown import printable

_NARROWEST = 8
"""A column is not cut shorter."""


class OutputFailed(Exception):
    """What was to be shown cannot be written, such as on a full disk."""


def say(line: str, out: TextIO) -> None:
    """Print a line now; that nobody reads it any more (``head`` has seen enough) is no error. Raises
    ``OutputFailed``."""
    try:
        print(line, file=out, flush=True)
    except OSError as error:
        # What is still in the buffer would fail once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        if not isinstance(error, BrokenPipeError):
            name = "error" if out is sys.stderr else "output"
            raise OutputFailed(f"standard {name} cannot be written ({error.strerror})") from None


def show(lines: Iterable[str]) -> None:
    """Print all of them on standard output."""
    say("\n".join(lines), sys.stdout)


def terminal_width() -> int | None:
    """None: standard output is a file or a pipe, which has room for everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None = None) -> Iterator[str]:
    """Numbers stand right, text left. What is too wide for ``width`` is cut in the middle, in the widest columns; in
    the first one, which names the row, only if that is not enough."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    if width is not None:
        widths = _narrowed(widths, width - 2 * (len(widths) - 1))
    is_number = [_are_numbers(column) for column in zip(*rows, strict=True)] or [False] * len(heads)
    for line in (list(heads), *cells):
        fitted = (_fitted(text, room, right) for text, room, right in zip(line, widths, is_number, strict=True))
        yield "  ".join(fitted).rstrip()


def facts(values: Mapping[str, Any]) -> Iterator[str]:
    """One fact a line; nothing is left out, and what is inside of another has its name before it."""
    named = list(_flat("", values))
    width = max((len(name) for name, _ in named), default=0)
    for name, value in named:
        yield f"{name:<{width}}  {cell(value)}".rstrip()


def cell(value: Any) -> str:
    """A value of the API in one line."""
    if value is None or (isinstance(value, list | dict) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(one) for one in value)
    return printable(str(value))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        for number, inner in enumerate(value):
            yield from _flat(f"{prefix}[{number}]", inner)
    else:
        yield printable(prefix), value


def _are_numbers(column: Sequence[Any]) -> bool:
    return {type(value) for value in column} - {type(None)} in ({int}, {float}, {int, float})


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Take from the widest, as long as it helps; from the first one last."""
    first, *others = widths
    while first + sum(others) > room and max(others, default=0) > _NARROWEST:
        others[others.index(max(others))] -= 1
    return [max(min(first, _NARROWEST), min(first, room - sum(others))), *others]


def _fitted(text: str, room: int, is_right: bool) -> str:
    if len(text) > room:
        end = room // 2
        return f"{text[: room - 1 - end]}…{text[-end:]}"
    return f"{text:>{room}}" if is_right else f"{text:<{room}}"
