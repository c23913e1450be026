"""``stsgate api-keys``: who may ask the service."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TextIO

from cosem_objects.errors import SettingError
from gateway.api.api_keys import OVERLAP_SECONDS_MAX
from gateway.api_keys import Scope
from gateway.cli.parser import whole_number
from gateway.cli.service.group import Group, add_id
from gateway.cli.service.listing import show_answer, show_items
from gateway.cli.service.moments import moment_from, shown_time
from gateway.client.answers import Json, listed
from gateway.client.service_client import ServiceClient

ID_HELP = "the key's id, as stsgate api-keys shows it"
SCOPE_HELP = "what it may do; may be repeated, at least one is needed"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(commands, "api-keys", summary="who may ask the service", list_work=_list)
    make = group.add("make", "make an API key; it is shown once, now", work=_make, check=_check)
    make.add_argument("name", metavar="NAME", help="whose it is; the audit shows it")
    make.add_argument("--scope", action="append", choices=[scope.value for scope in Scope], help=SCOPE_HELP)
    make.add_argument("--expires-at", metavar="TIME", help="such as 2027-11-21T00:00 (default: never)")
    rotate = group.add("rotate", "replace an API key; the old one ends after a while", work=_rotate)
    add_id(rotate, ID_HELP)
    rotate.add_argument(
        "--overlap",
        type=whole_number(0, OVERLAP_SECONDS_MAX),
        metavar="SECONDS",
        help="how long the old one is still good (default: a day)",
    )
    for parser in (make, rotate):
        parser.add_argument("--key-file", metavar="PATH", help="write the key to a new file, and do not show it")
    add_id(group.add("remove", "take an API key no more, from now on", work=_remove), ID_HELP)


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    heads = ("id", "name", "scopes", "created", "last used", "expires", "revoked")
    return show_items(args, listed(await client.get("api-keys"), "api-keys"), heads, _row)


def _row(key: Json) -> tuple[object, ...]:
    times = ("created_at", "last_used_at", "expires_at", "revoked_at")
    return (key.get("id"), key.get("name"), key.get("scopes"), *(shown_time(key.get(name)) for name in times))


def _check(args: argparse.Namespace) -> None:
    if not args.scope:
        raise SettingError("scope: at least one --scope is needed")
    moment_from("expires-at", args.expires_at)


async def _make(args: argparse.Namespace, client: ServiceClient) -> int:
    expires_at = moment_from("expires-at", args.expires_at)
    body = {"name": args.name, "scopes": args.scope}
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat()
    return await _new_key(args, lambda: client.call("POST", "api-keys", json=body))


async def _rotate(args: argparse.Namespace, client: ServiceClient) -> int:
    body = {} if args.overlap is None else {"overlap_seconds": args.overlap}
    return await _new_key(args, lambda: client.call("POST", "api-keys", args.id, "rotate", json=body))


async def _new_key(args: argparse.Namespace, ask: Callable[[], Awaitable[Json]]) -> int:
    """The file is made before the key, which is shown once."""
    with nullcontext() if args.key_file is None else _new_file(args.key_file) as file:
        made = await ask()
        if file is not None:
            file.write(f"{made.pop('key', '')}\n")
    return show_answer(args, made)


async def _remove(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("DELETE", "api-keys", args.id), "removed")


@contextmanager
def _new_file(path: str) -> Iterator[TextIO]:
    """For the owner's eyes; gone again if nothing came to stand in it. Raises ``SettingError``; nothing is written
    over."""
    try:
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"key-file: {path} cannot be made ({error.strerror})") from None
    try:
        with file:
            yield file
    except BaseException:
        Path(path).unlink()
        raise
