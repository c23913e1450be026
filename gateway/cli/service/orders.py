"""``stsgate orders``: what became of orders, and a person's word on those that are held."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from cosem_objects.errors import SettingError
from gateway.cli.service import order_import
from gateway.cli.service.group import LIST_DEST, Group, add_id
from gateway.cli.service.listing import add_limit_option, as_line, show_pages
from gateway.cli.service.moments import shown_time, with_shown_times
from gateway.cli.service.order_words import event_line, token_facts, what_next
from gateway.cli.service.tables import facts, say, show
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient
from gateway.orders import OrderState
from gateway.store.records import ResolveCredited

NOTE_MAX = 1000
ID_HELP = "the order's id"


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    group = Group(
        commands,
        "orders",
        summary="what became of orders",
        add_list_options=_add_list_options,
        list_work=_list,
        check_list=_check_list,
    )
    for name, summary, work in (
        ("show", "one order, with its story", _show),
        ("cancel", "cancel an order that cannot have been delivered", _cancel),
        ("reconcile", "read the meter of an order in doubt, or held, again", _reconcile),
    ):
        add_id(group.add(name, summary, work=work), ID_HELP)
    resolve = group.add("resolve", "decide about a held order", work=_resolve, check=_check_note)
    add_id(resolve, ID_HELP)
    resolve.add_argument(
        "--credited",
        required=True,
        choices=[answer.value for answer in ResolveCredited],
        help="yes or no: whether the meter credited the order's first open token; retry: send again what cannot have "
        "arrived, and read again what may have",
    )
    resolve.add_argument("--note", required=True, metavar="TEXT", help="compulsory: why; it stays in the order's story")
    order_import.add_to(group)


def _add_list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        dest=f"{LIST_DEST}state",
        metavar="STATE",
        help=f"one or several, with commas between them: {', '.join(OrderState)}",
    )
    parser.add_argument("--meter", dest=f"{LIST_DEST}meter", metavar="ID", help="orders of this meter alone")
    parser.add_argument("--reason", dest=f"{LIST_DEST}reason", metavar="REASON", help="such as unreached")
    add_limit_option(parser)


def _check_list(args: argparse.Namespace) -> None:
    for name in args.list_state.split(",") if args.list_state is not None else ():
        if name not in set(OrderState):
            raise SettingError(f"state {name[:20]!r}: expected one of {', '.join(OrderState)}")


async def _list(args: argparse.Namespace, client: ServiceClient) -> int:
    heads = ("order", "meter", "state", "reason", "tokens", "credited", "changed")
    filters = {"state": args.list_state, "meter": args.list_meter, "reason": args.list_reason}
    return await show_pages(args, client, "orders", heads, _row, **filters)


def _row(order: Json) -> tuple[object, ...]:
    tokens = order.get("tokens", [])
    credited = [token.get("credited") or "-" for token in tokens]
    return (
        *(order.get(name) for name in ("id", "meter", "state", "reason")),
        [token.get("token") for token in tokens],
        credited,
        shown_time(order.get("changed_at")),
    )


async def _show(args: argparse.Namespace, client: ServiceClient) -> int:
    return _show_order(args, await client.get("orders", args.id))


def _show_order(args: argparse.Namespace, order: Json) -> int:
    if args.json:
        say(as_line(order), sys.stdout)
    else:
        show(_screen(order))
    return 0


def _screen(order: Json) -> Iterator[str]:
    """What it is, what became of its tokens, what happened."""
    known = {name: value for name, value in order.items() if value not in (None, {}, [])}
    yield from facts(with_shown_times({name: known[name] for name in known if name not in ("tokens", "timeline")}))
    for token in order.get("tokens", ()):
        yield ""
        yield from token_facts(token)
    if "timeline" in order:
        yield ""
        yield from map(event_line, order["timeline"])
    if hints := [*what_next(order)]:
        yield ""
        yield from hints


async def _cancel(args: argparse.Namespace, client: ServiceClient) -> int:
    return await _change(args, client, "cancel")


async def _reconcile(args: argparse.Namespace, client: ServiceClient) -> int:
    return await _change(args, client, "reconcile")


def _check_note(args: argparse.Namespace) -> None:
    if not args.note.strip() or len(args.note) > NOTE_MAX:
        raise SettingError(f"note: expected a reason, of up to {NOTE_MAX} characters")


async def _resolve(args: argparse.Namespace, client: ServiceClient) -> int:
    return await _change(args, client, "resolve", {"credited": args.credited, "note": args.note})


async def _change(args: argparse.Namespace, client: ServiceClient, what: str, body: Json | None = None) -> int:
    content = {} if body is None else {"json": body}
    return _show_order(args, await client.call("POST", "orders", args.id, what, **content))
