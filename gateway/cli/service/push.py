"""``stsgate push``: tokens to one meter through the running service, and the order's story as it happens."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TextIO

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from gateway.cli.kind_options import add_kind_options, new_key_body, split
from gateway.cli.service.group import OPEN, REFUSED, complain, run_at
from gateway.cli.service.listing import as_line
from gateway.cli.service.moments import moment_from
from gateway.cli.service.options import add_service_options, seconds_from, service_from
from gateway.cli.service.order_words import ending, event_line
from gateway.cli.service.tables import OutputFailed, cell, say
from gateway.cli.token_options import amount_from, check_tokens, tokens_from
from gateway.client.answers import Json, ServiceRefused, ServiceUnreachable
from gateway.client.service_client import DEFAULT_TIMEOUT_SECONDS, ServiceClient
from gateway.orders import FINAL_STATES, OrderKind, OrderState, Priority
from gateway.timeline import FINAL_OR_HELD

DESCRIPTION = """\
Hands tokens to the service, which delivers them to the meter. The order's id is printed first: after a lost answer the
same command with the same --id asks again, and cannot deliver twice. With --watch, its story is told until it ends or
is held, with times in UTC; a service that is restarted meanwhile is waited for.

Exit code: 0 accepted, or without --watch: the service has it; 1 rejected, expired or cancelled; 3 held, in doubt, still
open at the time-out, or the service cannot be reached; 2 wrong usage, or the service refused it."""

WATCH_TIMEOUT_SECONDS = 600.0
LAST_QUESTION_SECONDS = 5.0

_ID_LETTERS, _ID_LENGTH = "ghjkmnpqrstvwxz", 16
"""62 bits, in letters that are no hex digits: such an id is never taken for a key or a token, and hidden."""
_DONE = {*FINAL_STATES, OrderState.HELD}


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "push",
        help="tokens to one meter, through the running service",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("meter", metavar="METER", help="the meter's id in the service")
    parser.add_argument(
        "tokens", nargs="*", metavar="TOKEN", help="20 digits; their sequence counts; - is standard input"
    )
    what = parser.add_argument_group("what to deliver")
    what.add_argument("--token-file", metavar="PATH", help="tokens from a file, one on each line; - is standard input")
    what.add_argument("--amount", metavar="NUMBER", help="what the token is worth; its unit is checked with the meter")
    what.add_argument("--unit", metavar="UNIT", help="kWh, m3, min or an ISO currency code; goes with --amount")
    add_kind_options(parser, what)
    what.add_argument("--id", metavar="ID", help="the order's id (default: a new one, which is printed first)")
    what.add_argument(
        "--priority", choices=[priority.value for priority in Priority], help="who goes first (default: credit)"
    )
    what.add_argument(
        "--not-before", metavar="TIME", help="2026-11-21T22:00, in this machine's time zone; with Z or +02:00 in that"
    )
    what.add_argument("--expires-at", metavar="TIME", help="what was not sent until then is never sent")
    what.add_argument("--watch", action="store_true", help="tell the order's story until it ends, or is held")
    add_service_options(parser, "how long to wait at most (default 30; with --watch, for the order's end: 600)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, then send. Raises ``SettingError``, ``TokenFormatError``."""
    seconds = seconds_from(args.timeout, WATCH_TIMEOUT_SECONDS if args.watch else DEFAULT_TIMEOUT_SECONDS)
    address = service_from(args, seconds)
    order = order_from(args)
    if sys.stdout is None or sys.stderr is None:
        raise SettingError("standard output and standard error must be open: the order's id is told before it is sent")
    address = replace(address, timeout_seconds=min(seconds, DEFAULT_TIMEOUT_SECONDS))
    return run_at(address, args, partial(_push, order=order, seconds=seconds))


def order_from(args: argparse.Namespace) -> Json:
    """The body of ``POST /v1/orders``. Raises ``SettingError``, ``TokenFormatError``."""
    tokens = tokens_from(args)
    sections, others = split(args, tokens)
    new_key = new_key_body(args)
    if sections and not new_key:
        raise SettingError("key_change: one of the --new-… options is needed: class 116 must show it afterwards")
    check_tokens(args.meter, tokens, None)
    amount = amount_from(args.amount, args.unit, len(others) if sections else len(tokens))
    not_before, expires_at = moment_from("not-before", args.not_before), moment_from("expires-at", args.expires_at)
    if not_before and expires_at and not_before >= expires_at:
        raise SettingError("expires-at: it is not later than not-before")
    order = {
        "id": args.id or f"push-{''.join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))}",
        "meter": args.meter,
        "tokens": [*(token.digits for token in sections), *(_behind(token, sections) for token in others)],
        "kind": args.kind,
        "new_key": new_key or None,
        "amount": None if amount is None else {"value": f"{amount.value:f}", "unit": amount.unit},
        "priority": args.priority,
        "not_before": not_before and not_before.isoformat(),
        "expires_at": expires_at and expires_at.isoformat(),
    }
    return {name: value for name, value in order.items() if value is not None}


def _behind(token: Token, sections: Sequence[Token]) -> Json | str:
    """A token as the order has it; behind a key-change set it says itself what it is."""
    return {"token": token.digits, "kind": OrderKind.CREDIT.value} if sections else token.digits


@dataclass(slots=True)
class _Known:
    """What is known of an order that is being handed in."""

    may_have_arrived: bool = False
    is_taken: bool = False

    def words(self, order_id: str) -> str:
        if self.is_taken:
            return _goes_on(order_id)
        return _ask_again(order_id) if self.may_have_arrived else "nothing was sent"


async def _push(args: argparse.Namespace, client: ServiceClient, *, order: Json, seconds: float) -> int:
    """Where nothing can be printed any more, what is known of the order is said on standard error."""
    known = _Known()
    try:
        return await _hand_in_and_tell(args, client, order, seconds, known)
    except OutputFailed as error:
        complain(args, f"{error}; {known.words(order['id'])}")
        return OPEN if known.is_taken or known.may_have_arrived else REFUSED


async def _hand_in_and_tell(
    args: argparse.Namespace, client: ServiceClient, order: Json, seconds: float, known: _Known
) -> int:
    story, order_id = sys.stderr if args.json else sys.stdout, order["id"]
    say(f"order {cell(order_id)}", story)
    try:
        async with asyncio.timeout(seconds):
            taken = await client.patiently(lambda: _hand_in(client, order, known))
            if args.watch:
                taken = await _watch(args, client, order_id, story)
    except TimeoutError:
        if known.is_taken:
            return await _still_open(args, client, order_id, seconds)
        complain(args, f"no answer within {seconds:g} s; {_ask_again(order_id)}")
        return OPEN
    except (ServiceUnreachable, ServiceRefused) as error:
        if not (known.is_taken or known.may_have_arrived):
            raise
        complain(args, f"{error}; {known.words(order_id)}")
        return OPEN
    except asyncio.CancelledError:
        complain(args, _goes_on(order_id) if known.is_taken else _ask_again(order_id))
        raise
    if args.json:
        say(as_line(taken), sys.stdout)
    else:
        told = f"it is taken: {cell(taken.get('state'))}; stsgate orders show {cell(order_id)} tells its story"
        say(ending(taken) if args.watch else told, sys.stdout)
    return exit_code(taken) if args.watch else 0


async def _hand_in(client: ServiceClient, order: Json, known: _Known) -> Json:
    """One try. A refusal of a later one says nothing about an earlier one."""
    try:
        taken = await client.call("POST", "orders", json=order)
    except ServiceUnreachable as error:
        known.may_have_arrived |= error.has_left
        raise
    except ServiceRefused as error:
        known.may_have_arrived |= error.may_pass
        raise
    known.is_taken = True
    return taken


async def _watch(args: argparse.Namespace, client: ServiceClient, order_id: str, out: TextIO) -> Json:
    """The order as it ended, or was held; its events are told as they come."""

    def broken(reason: str) -> None:
        complain(args, f"{reason}; asking again; the order is safe in the service")

    async with aclosing(client.events(order=order_id, on_break=broken)) as events:
        async for event in events:
            say(event_line(event), out)
            if event.get("name") not in FINAL_OR_HELD:
                continue
            order = await client.patiently(lambda: client.get("orders", order_id), is_begun=True)
            last = max((line["number"] for line in order.get("timeline", ())), default=0)
            if order.get("state") in _DONE and event["number"] >= last:
                return order
    raise AssertionError("a stream of events has no end")


async def _still_open(args: argparse.Namespace, client: ServiceClient, order_id: str, seconds: float) -> int:
    try:
        async with asyncio.timeout(LAST_QUESTION_SECONDS):
            order = await client.get("orders", order_id)
    except (TimeoutError, ServiceUnreachable, ServiceRefused):
        complain(args, f"the service does not answer; {_goes_on(order_id)}")
        return OPEN
    if args.json:
        say(as_line(order), sys.stdout)
    complain(args, f"{order_id} is {cell(order.get('state'))} after {seconds:g} s; {_goes_on(order_id)}")
    return exit_code(order)


def _ask_again(order_id: str) -> str:
    return f"whether the service has it is not known: push again with --id {order_id}, which cannot deliver twice"


def _goes_on(order_id: str) -> str:
    return f"the order goes on in the service: stsgate orders show {order_id}"


def exit_code(order: Mapping[str, Any]) -> int:
    """By the state that it is in."""
    match order.get("state"):
        case OrderState.ACCEPTED:
            return 0
        case OrderState.REJECTED | OrderState.EXPIRED | OrderState.CANCELLED:
            return 1
        case _:
            return OPEN
