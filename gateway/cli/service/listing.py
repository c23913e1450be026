"""How answers are shown: lists as tables, one thing as facts, and everything as the API said it with ``--json``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from gateway.cli.parser import whole_number
from gateway.cli.service.moments import with_shown_times
from gateway.cli.service.tables import facts, say, show, table, terminal_width
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient

LIMIT_DEFAULT = 100
LIMIT_MAX = 1_000_000
Row = Callable[[Json], Sequence[Any]]


def add_limit_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit",
        dest="list_limit",
        type=whole_number(1, LIMIT_MAX),
        metavar="N",
        help=f"how many at most (default {LIMIT_DEFAULT})",
    )


async def show_pages(
    args: argparse.Namespace, client: ServiceClient, name: str, heads: Sequence[str], row: Row, **query: str | None
) -> int:
    """A list that may be long: a table, or a line of JSON for each as soon as it is there."""
    limit = args.list_limit or LIMIT_DEFAULT
    shown, items = 0, []
    async with aclosing(client.pages(name, limit=limit + 1, **query)) as pages:
        async for item in pages:
            shown += 1
            if shown <= limit and args.json:
                say(as_line(item), sys.stdout)
            elif shown <= limit:
                items.append(item)
    if not args.json:
        show_items(args, items, heads, row)
    if shown > limit:
        print(f"there are more than {limit}: --limit N shows them", file=sys.stderr)
    return 0


def show_items(args: argparse.Namespace, items: Sequence[Json], heads: Sequence[str], row: Row) -> int:
    """A list that is here: a table, or a line of JSON for each."""
    if args.json:
        for item in items:
            say(as_line(item), sys.stdout)
    else:
        show(table(heads, [row(item) for item in items], terminal_width()) if items else ["none"])
    return 0


def show_answer(args: argparse.Namespace, answer: Mapping[str, Any], done: str = "done") -> int:
    """One thing; ``done`` stands for an answer without content."""
    if args.json:
        say(as_line(answer), sys.stdout)
    elif answer:
        show(facts(with_shown_times(answer)))
    else:
        say(done, sys.stdout)
    return 0


def as_line(answer: Mapping[str, Any]) -> str:
    """Exactly what the API said, in one line of ASCII."""
    return json.dumps(answer)
