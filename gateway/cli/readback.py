"""``stsgate readback``: what one meter says about itself, in words."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import datetime, time

from cosem_objects.dlms.apdu import AttributeDescriptor
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from gateway.cli.command_links import CommandLinks, add_link_options
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import whole_number
from gateway.cli.readback_screen import screen
from gateway.cli.trace_option import add_trace_options, trace_from
from gateway.meters import Meter
from gateway.reading.meter_log import Between, Last, Wanted
from gateway.reading.meter_reading import Choice, Findings, read_meter, to_json
from gateway.shown import printable

DESCRIPTION = """\
Reads one meter and says in words what it is and what it shows: identity, clock, last token, account, credits, charges,
STS attributes, relay, association, security and push setup. What the meter does not have is skipped, and said. Nothing
in the meter is changed. With --list, --attribute or --log only these are read.

Exit code: 0 read; 3 the meter could not be reached, or refused what was asked for; 2 wrong usage, nothing was sent."""

_ATTRIBUTE = re.compile(r"(\d{1,5}):(.+):(\d{1,3})", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_ENTRIES_MAX = 0xFFFF_FFFF


def add_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "readback",
        help="read one meter, and say in words what it shows",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what to read, instead of all that has words")
    what.add_argument("--list", action="store_true", help="the objects that the meter shows in this association")
    what.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="CLASS:OBIS:ATTRIBUTE",
        help="any attribute, such as 8:0-0:1.0.0.255:2; may be repeated",
    )
    what.add_argument(
        "--log",
        nargs="?",
        const="",
        metavar="OBIS",
        help="a log (Profile generic, class 7); without OBIS the profile's log of tokens",
    )
    what.add_argument(
        "--from",
        dest="first",
        metavar="TIME",
        help="with --log: entries from 2026-11-21 or 2026-11-21T14:00 on, by the meter's clock; with +01:00 behind it "
        "the zone is sent, too",
    )
    what.add_argument("--to", dest="last_time", metavar="TIME", help="with --log: up to this time, or all of this day")
    what.add_argument(
        "--last", type=whole_number(1, _ENTRIES_MAX), metavar="N", help="with --log: the newest N entries"
    )
    what.add_argument("--json", action="store_true", help="one JSON object, described in docs/readback.md")
    add_meter_options(parser)
    add_link_options(parser)
    add_trace_options(parser)
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check everything, read, print. Raises ``SettingError``, ``EndpointError``."""
    if sys.stdout is None:
        raise SettingError("standard output is closed: nothing can be shown there")
    meter = meter_from(args)
    choice = _choice(args, meter)
    trace = trace_from(args, meter.security)
    try:
        findings: Findings = args.run_async(_read(meter, choice, CommandLinks(args, trace)))
    finally:
        if trace is not None:
            trace.close()
    lines = [_as_json(meter, choice, findings)] if args.json else screen(meter, findings)
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if findings.obstacle is not None:
        told = f"{findings.obstacle.reason}: {findings.obstacle.detail}"
        print(printable(f"stsgate readback: {meter.endpoint}: {told}"), file=sys.stderr)
        return 3
    return 3 if any(one.refusal for one in findings.attributes) else 0


async def _read(meter: Meter, choice: Choice, links: CommandLinks) -> Findings:
    async with links:
        return await read_meter(meter, choice, links.connect)


def _as_json(meter: Meter, choice: Choice, findings: Findings) -> str:
    return json.dumps(to_json(meter, choice, findings), ensure_ascii=False, indent=2)


def _choice(args: argparse.Namespace, meter: Meter) -> Choice:
    log: ObisCode | None = None
    if args.log is not None:
        log = ObisCode.parse(args.log) if args.log else meter.profile.token_log_obis
        if log is None:
            raise SettingError(
                f"log: the profile {meter.profile.name} has no token_log_obis; give --log OBIS, see --list for class 7"
            )
    wanted = _wanted(args)
    if log is None and wanted is not None:
        raise SettingError("from, to and last choose entries of a log: they go with --log")
    return Choice(args.list, tuple(map(_attribute, args.attribute)), log, wanted)


def _attribute(text: str) -> AttributeDescriptor:
    match = _ATTRIBUTE.fullmatch(text)
    if match is None or int(match[1]) > 0xFFFF or not 1 <= int(match[3]) <= 127:
        raise SettingError(f"attribute {text[:40]!r}: expected CLASS:OBIS:ATTRIBUTE such as 8:0-0:1.0.0.255:2")
    return AttributeDescriptor(int(match[1]), ObisCode.parse(match[2]), int(match[3]))


def _wanted(args: argparse.Namespace) -> Wanted:
    if args.last is not None:
        if args.first is not None or args.last_time is not None:
            raise SettingError("last: the newest entries, or those of a time (--from, --to), not both")
        return Last(args.last)
    if args.first is None and args.last_time is None:
        return None
    first, last = _moment("from", args.first), _moment("to", args.last_time)
    if first is not None and last is not None:
        if (first.tzinfo is None) != (last.tzinfo is None):
            raise SettingError("from and to: both with a zone, or both by the meter's clock")
        if first > last:
            raise SettingError("from is later than to")
    return Between(first, last)


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    try:
        moment = datetime.fromisoformat(text if match else "")
    except ValueError:
        raise SettingError(f"{name} {text[:40]!r}: expected a time such as 2026-11-21 or 2026-11-21T14:00") from None
    is_day = match is not None and not match[2]
    return datetime.combine(moment, time(23, 59, 59)) if is_day and name == "to" else moment
