"""``stsgate deliver``: tokens to one meter, without a service and without a store."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Sequence

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from gateway.cli.command_links import CommandLinks, add_link_options
from gateway.cli.kind_options import add_kind_options, key_change_from
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import unexpected
from gateway.cli.story import Teller
from gateway.cli.token_options import amount_from, tokens_in
from gateway.cli.trace_option import add_trace_options, trace_from
from gateway.delivery import Delivery
from gateway.events import Judged
from gateway.key_change import KeyChange
from gateway.verdict import Outcome

DESCRIPTION = """\
Delivers STS tokens to one meter and says what became of each: accepted, rejected, held, unreached or in doubt, and
whether its value was credited. Before a token leaves, the intent is printed; if the command is killed after that line,
run it again with --after-doubt: it then reads the meter first. With --kind key_change the tokens of class 2 are one
key-change set, judged as a whole by what class 116 shows afterwards.

Exit code: 0 all accepted; 1 one was rejected; 3 one is in doubt, held or unreached; 2 wrong usage, nothing was sent."""

_TOKENS_MAX = 1000
"""In one file. guess: nobody has so many for one meter."""


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "deliver",
        help="deliver tokens to one meter",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to deliver")
    what.add_argument(
        "--token",
        action="append",
        default=[],
        metavar="DIGITS",
        help="a token, 20 digits; may be repeated, the order counts",
    )
    what.add_argument(
        "--token-file",
        metavar="PATH",
        help="tokens from a file, one on each line, so that they are not on the command line; - is standard input",
    )
    what.add_argument("--amount", metavar="NUMBER", help="what the token is worth; its unit is checked with the meter")
    what.add_argument("--unit", metavar="UNIT", help="kWh, m3, min or an ISO currency code; goes with --amount")
    what.add_argument(
        "--after-doubt",
        action="store_true",
        help="an earlier try may have arrived: read the meter first, and take 'used' for its proof",
    )
    what.add_argument("--json", action="store_true", help="one JSON object for each token; the story on standard error")
    add_kind_options(parser, what)
    add_meter_options(parser)
    add_link_options(parser)
    add_trace_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, then deliver. Raises ``SettingError``, ``TokenFormatError``, ``EndpointError``."""
    tokens = _tokens(args)
    meter = meter_from(args)
    key_change, others = key_change_from(args, tokens, meter.profile)
    amount = amount_from(args.amount, args.unit, len(others))
    if amount is not None and not others:
        raise SettingError("amount: a key-change set is worth nothing, and there is no credit behind it")
    if sys.stdout is None or sys.stderr is None:
        raise SettingError("standard output and standard error must be open: the intent is told before a token is sent")
    sections = () if key_change is None else key_change.sections
    if args.json:
        teller = Teller(str(meter.endpoint), sys.stderr, amount, sections=sections, results=sys.stdout)
    else:
        teller = Teller(str(meter.endpoint), sys.stdout, amount, sections=sections)
    trace = trace_from(args, meter.security)
    try:
        links = CommandLinks(args, trace)
        delivery = Delivery(meter, teller.tell, amount=amount, after_doubt=args.after_doubt, connect=links.connect)
        work = _deliver(delivery, others, key_change, teller, links, after_doubt=args.after_doubt)
        judged, is_told = args.run_async(work)
    finally:
        if trace is not None:
            trace.close()
    return exit_code(judged) if is_told else 3


async def _deliver(
    delivery: Delivery,
    tokens: Sequence[Token],
    key_change: KeyChange | None,
    teller: Teller,
    links: CommandLinks,
    *,
    after_doubt: bool,
) -> tuple[list[Judged], bool]:
    """The verdicts, and whether all went as it must: delivered, and told."""
    given = [*(() if key_change is None else key_change.sections), *tokens]
    _stop_on_signals()
    async with links:
        try:
            return await delivery.run(tokens, key_change), True
        except asyncio.CancelledError:  # what was begun is in doubt, and must be said
            said = await teller.interrupted(given, "interrupted", "stopped by the user", after_doubt=after_doubt)
        except Exception as error:  # a bug must not hide that a token may have left
            print(f"stsgate deliver: {unexpected(error)}", file=sys.stderr)
            said = await teller.interrupted(given, "internal-error", "see the error", after_doubt=after_doubt)
    return said, False


def _stop_on_signals() -> None:
    """Ctrl-C and SIGTERM end the delivery, and not the telling of it."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals are the main thread's business
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)


def exit_code(judged: Sequence[Judged]) -> int:
    outcomes = {one.verdict.outcome for one in judged}
    if outcomes - {Outcome.ACCEPTED, Outcome.REJECTED}:
        return 3
    return 1 if Outcome.REJECTED in outcomes else 0


def _tokens(args: argparse.Namespace) -> list[Token]:
    tokens = [Token.parse(text) for text in args.token]
    if args.token_file is not None:
        tokens += tokens_in("token-file", args.token_file, _TOKENS_MAX)
    if not tokens:
        raise SettingError("token: at least one is needed, by --token or --token-file")
    for number, token in enumerate(tokens):
        if token.token_class is TokenClass.RESERVED:
            raise SettingError(f"token {token.masked}: class 3 is reserved, no meter takes it")
        if token in tokens[:number]:
            raise SettingError(f"token {token.masked} is given twice")
    return tokens
