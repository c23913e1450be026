"""Commands of two words, ``stsgate orders show ID``: their parsers, and the one door in which they all end.

The second word may be left out where it is ``list``; the options of ``list`` are then those of the first word. So that
both ``orders --state held`` and ``orders list --state held`` are understood, they stand in both parsers; what a command
does not give is left as it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from cosem_objects.errors import SettingError
from gateway.cli.service.options import add_service_options, service_from
from gateway.cli.service.tables import OutputFailed
from gateway.client.answers import ServiceRefused, ServiceUnreachable
from gateway.client.service_client import DEFAULT_TIMEOUT_SECONDS, ServiceAddress, ServiceClient
from gateway.shown import printable

Work = Callable[[argparse.Namespace, ServiceClient], Awaitable[int]]
"""What a command does with the service; gives the exit code."""
Check = Callable[[argparse.Namespace], None]
"""Whether what was typed can be meant; raises ``SettingError`` before anything is sent."""

LIST_DEST = "list_"
"""Options of ``list`` keep their values under names that begin so."""
SOME_FAILED, REFUSED, OPEN = 1, 2, 3
"""Exit codes: of many, some were refused; all of it was; nobody knows yet, or the service cannot be reached."""

_NOT_DONE = "2 wrong usage, or the service refused it; 3 the service cannot be reached, or cannot do it now."
EXIT_CODES = f"Exit code: 0 done; {_NOT_DONE}"
IMPORT_EXIT_CODES = f"Exit code: 0 done; 1 some rows were refused, the others are taken; {_NOT_DONE}"


class Group:
    """The first word, with ``list`` under it."""

    def __init__(
        self,
        commands: argparse._SubParsersAction[argparse.ArgumentParser],
        name: str,
        *,
        summary: str,
        list_work: Work,
        add_list_options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
        check_list: Check | None = None,
    ) -> None:
        parser = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}. Without a COMMAND they are listed. {EXIT_CODES}",
        )
        add_service_options(parser)
        add_list_options(parser)
        self._dests = [action.dest for action in parser._actions if action.dest.startswith(LIST_DEST)]  # noqa: SLF001
        self._commands = parser.add_subparsers(title="commands", dest="action", metavar="COMMAND")
        parser.set_defaults(func=partial(run, check=check_list, work=list_work))
        listing = self._add("list", f"{name} in a table, or as JSON", partial(run, check=check_list, work=list_work))
        listing.argument_default = argparse.SUPPRESS
        add_list_options(listing)

    def add(
        self,
        name: str,
        summary: str,
        *,
        work: Work,
        check: Check | None = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        exit_codes: str = EXIT_CODES,
    ) -> argparse.ArgumentParser:
        """One second word; its own options are for the caller to add."""

        def check_all(args: argparse.Namespace) -> None:
            for dest in self._dests:
                if getattr(args, dest) is not None:
                    option = dest.removeprefix(LIST_DEST).replace("_", "-")
                    raise SettingError(f"{option}: it goes with list, not with {name}")
            if check is not None:
                check(args)

        func = partial(run, check=check_all, work=work, timeout_seconds=timeout_seconds)
        return self._add(name, summary, func, timeout_seconds, exit_codes)

    def _add(
        self,
        name: str,
        summary: str,
        func: Callable[..., int],
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        exit_codes: str = EXIT_CODES,
    ) -> argparse.ArgumentParser:
        parser = self._commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}. {exit_codes}",
            argument_default=argparse.SUPPRESS,
        )
        add_service_options(parser, f"how long to wait for an answer (default {timeout_seconds:g})")
        parser.argument_default = None
        parser.set_defaults(func=func)
        return parser


def add_id(parser: argparse.ArgumentParser, text: str) -> None:
    """The third word: which one."""
    parser.add_argument("id", metavar="ID", type=_given, help=text)


def _given(text: str) -> str:
    """Raises ``argparse.ArgumentTypeError``: a variable that is not set is no id."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def run(
    args: argparse.Namespace,
    *,
    work: Work,
    check: Check | None = None,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
) -> int:
    """Check what was typed, then do it. Raises ``SettingError``."""
    address = service_from(args, timeout_seconds)
    if check is not None:
        check(args)
    return run_at(address, args, work)


def run_at(address: ServiceAddress, args: argparse.Namespace, work: Work) -> int:
    """The door: what the service refuses is said in one line, and gets its exit code. An answer that cannot be shown
    leaves the caller as ignorant as one that was lost."""

    async def main() -> int:
        async with ServiceClient(address) as client:
            return await work(args, client)

    try:
        return int(args.run_async(main()))
    except ServiceRefused as error:
        complain(args, error)
        return OPEN if error.may_pass else REFUSED
    except (ServiceUnreachable, OutputFailed) as error:
        complain(args, error)
        return OPEN


def complain(args: argparse.Namespace, error: Exception | str) -> None:
    """One line on standard error; that nobody can hear it must not change the exit code."""
    with suppress(OSError, ValueError):
        print(f"stsgate {args.command}: {printable(str(error))}", file=sys.stderr, flush=True)
