"""``stsgate webhooks``: who is told of events."""

from __future__ import annotations

import argparse

from cosem_objects.errors import SettingError
from gateway.cli.meter_options import secret_from
from gateway.cli.service.group import Group, add_id
from gateway.cli.service.listing import show_answer, show_items
from gateway.client.answers import Json, listed
from gateway.client.service_client import ServiceClient

DEAD_MAX = 1000
ID_HELP = "the webhook's id"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(commands, "webhooks", summary="who is told of events", list_work=_list)
    put = group.add("put", "enter or change one", work=_put, check=_check)
    add_id(put, ID_HELP)
    put.add_argument("--url", metavar="URL", required=True, help="where events are posted to")
    put.add_argument(
        "--secret-file", metavar="PATH", help="what they are signed with, in a file; else it stays as it was"
    )
    put.add_argument(
        "--event",
        action="append",
        metavar="NAME",
        help="such as order.accepted; may be repeated (default: those that end or hold an order)",
    )
    put.add_argument("--inactive", action="store_true", help="post nothing for now")
    for name, summary, work in (
        ("remove", "post nothing there any more", _remove),
        ("dead", "what could not be posted, and was given up", _dead),
        ("replay", "post what was given up once more", _replay),
    ):
        add_id(group.add(name, summary, work=work), ID_HELP)


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    heads = ("id", "url", "events", "active", "waiting", "dead")
    return show_items(args, listed(await client.get("webhooks"), "webhooks"), heads, _row)


def _row(webhook: Json) -> tuple[object, ...]:
    return tuple(webhook.get(name) for name in ("id", "url", "events", "active", "waiting", "dead"))


def _check(args: argparse.Namespace) -> None:
    """Raises ``SettingError``."""
    if "@" in args.url.partition("//")[2].partition("/")[0]:
        raise SettingError("url: no user and no password in an address")
    secret = secret_from(argparse.Namespace(secret=None, secret_file=args.secret_file), "secret")
    body = {"url": args.url, "secret": secret, "events": args.event, "active": not args.inactive}
    args.body = {name: value for name, value in body.items() if value is not None}


async def _put(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("PUT", "webhooks", args.id, json=args.body))


async def _remove(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("DELETE", "webhooks", args.id), "removed")


async def _replay(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("POST", "webhooks", args.id, "replay"))


async def _dead(args: argparse.Namespace, client: ServiceClient) -> int:
    answer = await client.get("webhooks", args.id, "dead", limit=DEAD_MAX)
    heads = ("number", "order", "event", "attempts", "last error")
    return show_items(args, listed(answer, "deliveries"), heads, _dead_row)


def _dead_row(delivery: Json) -> tuple[object, ...]:
    event = delivery.get("event") or {}
    return (
        delivery.get("number"),
        event.get("order"),
        event.get("name"),
        delivery.get("attempts"),
        delivery.get("last_error"),
    )
