"""``stsgate migrate``: bring the database of a data directory to this program's schema."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.store_commands import add_data_dir, said_in_one_line
from gateway.store.sqlite.backup import held
from gateway.store.sqlite.files import database_in
from gateway.store.sqlite.migrations import migrate

DESCRIPTION = """\
Brings the database to the schema that this version of stsgate works with. The service does the same when it starts;
this command is for those who want to see it happen before. A second time, it does nothing. There is no way back: make a
backup first. A database of a newer stsgate is refused and stays as it is.

Exit code: 0 done, or nothing to do; 1 it could not be done, nothing was changed; 2 wrong usage."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "migrate",
        help="bring the database to this version's schema",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(parser)
    parser.set_defaults(func=said_in_one_line(run))


def run(args: argparse.Namespace) -> int:
    """Raises ``StoreError``."""
    data_dir = Path(args.data_dir)
    path = database_in(data_dir)
    with held(data_dir):
        before, after = migrate(path)
    if before == after:
        print(f"{path}: the schema is {after} already, nothing to do")
    else:
        print(f"{path}: the schema was {before} and is {after} now")
    return 0
