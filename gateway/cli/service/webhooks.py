"""``stsgate webhooks``: who is told of events."""

from __future__ import annotations

import argparse
import sys

from cosem_objects.errors import SettingError
from gateway.cli.meter_options import secret_from
from gateway.cli.service.group import Group
from gateway.cli.service.listing import add_limit_option, as_line, show_answer, show_list
from gateway.cli.service.tables import say, show, table, terminal_width
from gateway.client import Json, ServiceClient


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(
        commands, "webhooks", summary="who is told of events", add_list_options=add_limit_option, list_work=_list
    )
    put = group.add("put", "enter or change one", work=_put, check=_check)
    put.add_argument("id", metavar="ID")
    put.add_argument("--url", metavar="URL", required=True, help="where events are posted to")
    put.add_argument("--secret-file", metavar="PATH", required=True, help="what they are signed with, in a file")
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
        group.add(name, summary, work=work).add_argument("id", metavar="ID")


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    return await show_list(args, client, "webhooks", ("id", "url", "events", "active", "waiting", "dead"), _row)


def _row(webhook: Json) -> tuple[object, ...]:
    return tuple(webhook.get(name) for name in ("id", "url", "events", "is_active", "waiting", "dead"))


def _check(args: argparse.Namespace) -> None:
    if "@" in args.url.partition("//")[2].partition("/")[0]:
        raise SettingError("url: no user and no password in an address")
    _secret(args)


def _secret(args: argparse.Namespace) -> str | None:
    return secret_from(args, "secret")


async def _put(args: argparse.Namespace, client: ServiceClient) -> int:
    body = {
        "url": args.url,
        "secret": _secret(args),
        "events": args.event or [],
        "is_active": not args.inactive,
    }
    return show_answer(args, await client.call("PUT", "webhooks", args.id, json=body))


async def _remove(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("DELETE", "webhooks", args.id), "removed")


async def _replay(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("POST", "webhooks", args.id, "replay"))


async def _dead(args: argparse.Namespace, client: ServiceClient) -> int:
    deliveries = (await client.get("webhooks", args.id, "dead")).get("dead", [])
    if args.json:
        for delivery in deliveries:
            say(as_line(delivery), sys.stdout)
        return 0
    heads = ("number", "order", "event", "attempts", "last error")
    show(table(heads, [_dead_row(delivery) for delivery in deliveries], terminal_width()))
    return 0


def _dead_row(delivery: Json) -> tuple[object, ...]:
    event = delivery.get("event") or {}
    return (
        delivery.get("number"),
        event.get("order"),
        event.get("name"),
        delivery.get("attempts"),
        delivery.get("last_error"),
    )
