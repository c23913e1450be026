"""``stsgate meters``: the registry of the running service."""

from __future__ import annotations

import argparse

from cosem_objects.errors import SettingError
from gateway.cli.meter_options import add_meter_options, secret_from
from gateway.cli.service.group import LIST_DEST, OPEN, Group, add_id, complain
from gateway.cli.service.listing import add_limit_option, show_answer, show_pages
from gateway.cli.service.meter_columns import COLUMNS, METERS, NUMBERS, body_from, cells_of
from gateway.cli.service.moments import shown_time
from gateway.cli.service.sheet_commands import add_sheet_commands
from gateway.cli.service.sheets import WrongColumns, whole_number_in
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient
from gateway.meter_body import SECRETS

READBACK_TIMEOUT_SECONDS = 150.0
"""Longer than the service itself waits for a meter."""
ID_HELP = "the meter's id"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(
        commands, "meters", summary="meters of the service", add_list_options=_add_list_options, list_work=_list
    )
    _add_put(group)
    for name, summary, work in (
        ("show", "one meter, without its secrets", _show),
        ("remove", "take a meter out of the registry; its orders' stories stay", _remove),
        ("seen", "the meter is there: try now what waits because it was out of reach", _seen),
    ):
        add_id(group.add(name, summary, work=work), ID_HELP)
    readback = group.add(
        "readback", "read the meter now, over the service", work=_readback, timeout_seconds=READBACK_TIMEOUT_SECONDS
    )
    add_id(readback, ID_HELP)
    add_sheet_commands(
        group,
        METERS,
        import_summary="enter or change the meters of a CSV",
        export_summary="all meters as CSV, without secrets; meters import reads it",
    )


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--link", dest=f"{LIST_DEST}link", metavar="ID", help="meters of this link alone")
    add_limit_option(parser)


def _add_put(group: Group) -> None:
    parser = group.add("put", "enter a meter, or describe it anew", work=_put, check=_check_put)
    add_id(parser, ID_HELP)
    add_meter_options(parser)
    for action in parser._actions:  # noqa: SLF001 - a file of this machine is none of the service's
        if action.dest == "profile":
            action.metavar, action.help = "NAME", "a name that the service knows: one of config/meter_profiles"
    more = parser.add_argument_group("more of it; a secret that is not given stays as it was, an empty one is removed")
    more.add_argument("--link", metavar="ID", help="what it shares with other meters (default: its host and port)")
    more.add_argument(
        "--window",
        dest="windows",
        action="append",
        metavar="HH:MM-HH:MM",
        help="hours for retries and campaigns; may be repeated (default: always)",
    )
    more.add_argument("--time-zone", metavar="NAME", help="of the windows, such as Africa/Johannesburg (default: UTC)")
    more.add_argument("--gateway-obis", metavar="OBIS", help="its Token gateway, if not the profile's")
    more.add_argument("--description", metavar="TEXT", help="for people")
    for option, text in (
        ("sgc", "supply group code, 6 digits; for people, as the next ones"),
        ("krn", "key revision number"),
        ("ti", "tariff index, 2 digits"),
        ("ea", "encryption algorithm, 07 or 11"),
        ("base-date", "1993, 2014 or 2035"),
    ):
        more.add_argument(f"--{option}", metavar="N", help=text)


# Lists and single meters.


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    heads = ("meter", "endpoint", "link", "profile", "security", "last seen")
    return await show_pages(args, client, "meters", heads, _row, link=args.list_link)


def _row(meter: Json) -> tuple[object, ...]:
    mechanism = cells_of(meter)["security"]
    names = ("id", "endpoint", "link", "profile")
    return (*(meter.get(name) for name in names), mechanism, shown_time(meter.get("last_seen_at")))


async def _show(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.get("meters", args.id))


async def _remove(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("DELETE", "meters", args.id), "removed")


async def _seen(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("POST", "meters", args.id, "seen"))


async def _readback(args: argparse.Namespace, client: ServiceClient) -> int:
    answer = await client.call("POST", "meters", args.id, "readback")
    report = answer.get("report") or {}
    shown = {name: value for name, value in report.items() if value not in (None, [], {}) and name != "error"}
    show_answer(args, answer if args.json else shown)
    error = report.get("error")
    if error is None:
        return 0
    complain(args, f"{args.id}: {error.get('reason')}: {error.get('detail')}")
    return OPEN


# One meter, from options.


def _check_put(args: argparse.Namespace) -> None:
    args.body = _body(args)


async def _put(args: argparse.Namespace, client: ServiceClient) -> int:
    return show_answer(args, await client.call("PUT", "meters", args.id, json=args.body), "changed")


def _body(args: argparse.Namespace) -> Json:
    """Raises ``SettingError``."""
    values = {name: getattr(args, name, None) for name in COLUMNS}
    values |= {name: secret_from(args, name) for name in SECRETS}
    if args.invocation_counter == "read":
        values["invocation_counter"] = None
    try:
        numbers = {name: whole_number_in(name, text) for name in NUMBERS if isinstance(text := values[name], str)}
        texts = {name: None if value == "" and name not in SECRETS else value for name, value in values.items()}
        return body_from(texts | numbers)
    except WrongColumns as error:
        raise SettingError("; ".join(f"{name.replace('_', '-')}: {words}" for name, words in error.errors)) from None
