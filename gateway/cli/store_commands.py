"""What the commands share that work on a data directory without the service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from gateway.key_source import KeySource
from gateway.store.store import StoreError
from gateway.vault import VaultError

Run = Callable[[argparse.Namespace], int]


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", required=True, metavar="DIR", help="the service's data directory")


def add_key_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        help="the key-encryption key in use, if the setting service.key_file names another than "
        "DIR/key-encryption.key; STSGATE_KEY_ENCRYPTION_KEY goes before both",
    )


def key_source(args: argparse.Namespace) -> KeySource:
    """The key that the service uses."""
    key_file = None if args.key_file is None else Path(args.key_file)
    return KeySource.of(Path(args.data_dir), os.environ, key_file)


def said_in_one_line(run: Run) -> Run:
    """What a store, a key or the file system refuses is one line, and exit code 1."""

    def command(args: argparse.Namespace) -> int:
        try:
            return run(args)
        except (StoreError, VaultError) as error:
            print(f"stsgate {args.command}: {error}", file=sys.stderr)
        except OSError as error:
            print(f"stsgate {args.command}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1

    return command


def size(octets: int) -> str:
    """For people."""
    if octets < 10_000_000:
        return f"{octets / 1000:.0f} kB"
    return f"{octets / 1_000_000:.0f} MB"
