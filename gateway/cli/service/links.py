"""``stsgate links``: what meters share, and how much of it may be used at a time."""

from __future__ import annotations

import argparse

from cosem_objects.errors import SettingError
from gateway.cli.parser import whole_number
from gateway.cli.service.group import Group, add_id
from gateway.cli.service.link_columns import LINKS, put_link, rate_in
from gateway.cli.service.listing import add_limit_option, show_answer, show_pages
from gateway.cli.service.sheet_commands import add_sheet_commands
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient

ID_HELP = "the link's id, as stsgate links shows it"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(
        commands,
        "links",
        summary="what meters share, and its limits",
        add_list_options=add_limit_option,
        list_work=_list,
    )
    limits = group.add(
        "set", "give a link limits of its own; for what is left out the defaults hold", work=_set, check=_check_limits
    )
    add_id(limits, ID_HELP)
    limits.add_argument("--concurrency", type=whole_number(1, 20_000), metavar="N", help="associations at a time")
    limits.add_argument("--rate", metavar="R", help="associations begun in a second, on average, such as 2.5")
    limits.add_argument(
        "--burst", type=whole_number(1, 1_000_000), metavar="B", help="how many may begin at once; goes with --rate"
    )
    for name, summary, work in (
        ("pause", "speak to no meter over a link until it is resumed", _pause),
        ("resume", "go on with a paused link", _resume),
        ("remove", "take a link's limits away", _remove),
    ):
        add_id(group.add(name, summary, work=work), ID_HELP)
    add_sheet_commands(
        group,
        LINKS,
        import_summary="give the links of a CSV their limits",
        export_summary="all links with limits as CSV; links import reads it",
    )


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    heads = ("link", "concurrency", "rate/s", "burst", "paused", "meters", "own limits")
    return await show_pages(args, client, "links", heads, _row)


def _row(link: Json) -> tuple[object, ...]:
    names = ("id", "concurrency", "rate_per_second", "burst", "paused", "meters", "is_configured")
    return tuple(link.get(name) for name in names)


def _check_limits(args: argparse.Namespace) -> None:
    if args.concurrency is None and args.rate is None:
        raise SettingError("concurrency, rate: at least one limit is needed; remove takes them away")
    if args.rate is not None and rate_in(args.rate) is None:
        raise SettingError(f"rate {args.rate[:20]!r}: expected a number like 2.5")
    if args.burst is not None and args.rate is None:
        raise SettingError("burst: it goes with --rate")


async def _set(args: argparse.Namespace, client: ServiceClient) -> int:
    body = {
        "concurrency": args.concurrency,
        "rate_per_second": None if args.rate is None else rate_in(args.rate),
        "burst": args.burst,
    }
    given = {name: value for name, value in body.items() if value is not None}
    return show_answer(args, await put_link(client, args.id, given))


async def _pause(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("POST", "links", args.id, "pause"))


async def _resume(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("POST", "links", args.id, "resume"))


async def _remove(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("DELETE", "links", args.id), "removed; the defaults hold")
