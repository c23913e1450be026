"""``stsgate backup`` and ``stsgate restore``: copies of the database, made and put back."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from cosem_objects.errors import SettingError
from gateway.cli.store_commands import add_data_dir, add_key_file, key_source, said_in_one_line, size
from gateway.store.sqlite.backup import back_up, mark_in_place, put_back

BACKUP_DESCRIPTION = """\
Writes a copy of the database into DEST, while the service goes on working. The copy holds everything that was committed
when this command began. It is checked before it gets its name; an existing file is never overwritten.

The key-encryption key is not in the copy. Without it the copy cannot be used: keep the key somewhere else, apart from
the copies, and keep old keys for as long as copies from their time are kept.

Exit code: 0 the copy is complete and on disk; 1 there is no copy; 2 wrong usage."""

RESTORE_DESCRIPTION = """\
Puts a copy that stsgate backup made in place of the database of a data directory. Stop the service first: while it
runs, this is refused. The database that was there is kept under another name.

What happened since the copy was made is not known any more. When the service starts, every order that was open then is
in doubt, its meter is read before anything is sent again, and invocation counters jump ahead, so that none is used
twice. Orders that were handed in after the copy was made are gone: hand them in again. With --in-place the database
that is there already is treated in this way; say so after putting back a snapshot of the whole machine.

Exit code: 0 it is in place; 1 it is not, nothing was changed; 2 wrong usage."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser(
        "backup",
        help="copy the database while the service runs",
        description=BACKUP_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(backup)
    backup.add_argument("destination", metavar="DEST", help="the file to write; it must not be there yet")
    backup.set_defaults(func=said_in_one_line(run_backup))
    restore = commands.add_parser(
        "restore",
        help="put a copy of the database in its place",
        description=RESTORE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(restore)
    add_key_file(restore)
    restore.add_argument("copy", metavar="FILE", nargs="?", help="the copy; it stays where it is")
    restore.add_argument("--in-place", action="store_true", help="the database that is there is an old one")
    restore.set_defaults(func=said_in_one_line(run_restore))


def run_backup(args: argparse.Namespace) -> int:
    """Raises ``StoreError``."""
    destination = Path(args.destination)
    octets = back_up(Path(args.data_dir), destination, datetime.now(UTC))
    print(f"{destination}: {size(octets)}, checked")
    print("The key-encryption key is not in it; without the key this copy is of no use. Keep the key apart from it.")
    return 0


def run_restore(args: argparse.Namespace) -> int:
    """Raises ``StoreError``, ``VaultError``, ``SettingError``."""
    if args.in_place == (args.copy is not None):
        raise SettingError("expected FILE, or --in-place")
    data_dir, now = Path(args.data_dir), datetime.now(UTC)
    if args.in_place:
        mark_in_place(data_dir, now)
        print(f"{data_dir}: will be taken for a copy of the past")
    else:
        restored = put_back(data_dir, Path(args.copy), key_source(args), now)
        print(f"{restored.database}: {size(restored.octets)}, checked, in place")
        if restored.kept is not None:
            print(f"{restored.kept}: the database that was there before")
    print("When the service starts, open orders are in doubt until their meters are read, and counters jump ahead.")
    return 0
