"""``stsgate rotate-key``: another key-encryption key."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.store_commands import add_data_dir, add_key_file, key_source, said_in_one_line
from gateway.key_source import VARIABLE
from gateway.store.sqlite.rotation import rotate

DESCRIPTION = """\
Puts another key-encryption key into use, and makes a new data key for records to come; what is stored already stays
readable. Stop the service first: while it runs, this is refused. If this command is killed, either key works; run it
again.

--new-key-file names the new key, as base64 or 64 hexadecimal digits, mode 0600; if there is no such file, a key is made
there. It then takes the place of the key that the service reads (DIR/key-encryption.key, or --key-file), and the old
key is kept beside it. If the service has its key from STSGATE_KEY_ENCRYPTION_KEY, change that variable yourself: until
the first start with the new key both work.

Keep old keys for as long as backups from their time are kept.

Exit code: 0 done; 1 it could not be done; 2 wrong usage."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "rotate-key",
        help="put another key-encryption key into use",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data_dir(parser)
    add_key_file(parser)
    parser.add_argument("--new-key-file", required=True, metavar="FILE", help="the new key; made if it is not there")
    parser.set_defaults(func=said_in_one_line(run))


def run(args: argparse.Namespace) -> int:
    """Raises ``StoreError``, ``VaultError``."""
    source, new_file = key_source(args), Path(args.new_key_file)
    done = rotate(Path(args.data_dir), source, new_file, datetime.now(UTC))
    if done.was_in_use:
        print(f"{source.place}: holds the key of {new_file} already; older keys open the database no more")
    elif done.kept is None:
        print(f"{VARIABLE}: set it to what {new_file} holds; until the service has started with it, both keys work")
    else:
        print(f"{source.file}: holds the key of {new_file} now; keep a copy elsewhere")
        print(f"{done.kept}: the old key; keep it for as long as backups from its time are kept, not beside them")
    return 0
