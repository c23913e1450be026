"""``stsgate readback``: what one meter says about itself, in words."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import TextIO

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult
from cosem_objects.dlms.describe import Context, Node, Place, Source, describe_data
from cosem_objects.dlms.describe.node import Json
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError, SettingError
from cosem_objects.interface_classes import describe_attribute
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from gateway.cli.meter_options import add_meter_options, meter_from
from gateway.cli.parser import printable, whole_number
from gateway.meter_log import Between, Last, Log, LogUnreadable, Wanted, read_log
from gateway.meter_report import MeterReport, ReportReader, skipped_to_json
from gateway.meters import Meter
from gateway.object_list import ListedObject, ListUnreadable, read_object_list
from gateway.obstacles import obstacle_of
from gateway.session import open_session, read_counters
from gateway.verdict import Obstacle
from transports.channel import ChannelError
from transports.endpoint import EndpointError

DESCRIPTION = """\
Reads one meter and says in words what it is and what it shows: identity, clock, last token, account, credits, charges,
STS attributes, relay, association, security and push setup. What the meter does not have is skipped, and said. Nothing
in the meter is changed. With --list, --attribute or --log only these are read.

Exit code: 0 read; 3 the meter could not be reached, or refused what was asked for; 2 wrong usage, nothing was sent."""

_ATTRIBUTE = re.compile(r"(\d{1,5}):(.+):(\d{1,3})", re.ASCII)
_DATE_SIZE = len("2026-11-21")
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
    parser.set_defaults(func=run)


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be read; nothing of this: the report."""

    objects: bool
    attributes: tuple[AttributeDescriptor, ...]
    log: ObisCode | None
    wanted: Wanted

    @property
    def is_report(self) -> bool:
        return not (self.objects or self.attributes or self.log)


@dataclass(frozen=True, slots=True)
class _Read:
    """An attribute, and its value or why there is none."""

    place: AttributeDescriptor
    result: Data | int

    @property
    def node(self) -> Node | None:
        if not isinstance(self.result, Data):
            return None
        place = Place(self.place.class_id, self.place.attribute, obis=self.place.obis)
        return describe_data(Source(axdr.encode(self.result)), Context(), place)[0]

    @property
    def refusal(self) -> str:
        return "" if isinstance(self.result, Data) else spell(DataAccessResult, self.result)


@dataclass(slots=True)
class _Findings:
    """All that was read, and how it ended."""

    system_title: str = ""
    report: MeterReport = field(default_factory=MeterReport)
    objects: list[ListedObject] | None = None
    attributes: list[_Read] = field(default_factory=list)
    log: Log | None = None
    obstacle: Obstacle | None = None


def run(args: argparse.Namespace) -> int:
    """Check everything, read, print. Raises ``SettingError``, ``EndpointError``."""
    meter = meter_from(args)
    order = _order(args, meter)
    findings: _Findings = args.run_async(_read(meter, order))
    lines = [_as_json(meter, order, findings)] if args.json else _lines(meter, findings)
    try:
        _print(lines, sys.stdout)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if findings.obstacle is not None:
        print(printable(f"stsgate readback: {meter.endpoint}: {_told(findings.obstacle)}"), file=sys.stderr)
        return 3
    return 3 if any(one.refusal for one in findings.attributes) else 0


def _order(args: argparse.Namespace, meter: Meter) -> _Order:
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
    return _Order(args.list, tuple(map(_attribute, args.attribute)), log, wanted)


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
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(f"{name} {text[:40]!r}: expected a time such as 2026-11-21 or 2026-11-21T14:00") from None
    is_day = name == "to" and len(text) <= _DATE_SIZE
    return datetime.combine(moment, time(23, 59, 59)) if is_day else moment


async def _read(meter: Meter, order: _Order) -> _Findings:
    findings = _Findings()
    try:
        await _read_into(findings, meter, order)
    except (LogUnreadable, ListUnreadable) as refusal:
        findings.obstacle = Obstacle("refused", str(refusal))
    except (ChannelError, RemoteProtocolError, LocalProtocolError, EndpointError) as error:
        findings.obstacle = obstacle_of(error)
    return findings


async def _read_into(findings: _Findings, meter: Meter, order: _Order) -> None:
    counters = await read_counters(meter)
    async with await open_session(meter, counters) as session:
        findings.system_title = session.meter_system_title.hex().upper()
        reader = ReportReader(session, meter, lambda: datetime.now(UTC), findings.report)
        if order.is_report:
            await reader.read()
        elif meter.serial or meter.pan:
            await reader.read_identity()
        if order.objects:
            findings.objects = await read_object_list(session)
        if order.attributes:
            results = await session.get_many(order.attributes)
            findings.attributes = list(map(_Read, order.attributes, results))
        if order.log is not None:
            findings.log = await read_log(session, meter.profile, order.log, order.wanted)
        await session.release()


# For programs.


def _as_json(meter: Meter, order: _Order, findings: _Findings) -> str:
    shown: dict[str, Json] = {
        "endpoint": str(meter.endpoint),
        "meter_system_title": findings.system_title or None,
    }
    if order.is_report:
        shown |= findings.report.to_json()
    if order.objects:
        objects = findings.objects
        shown["objects"] = None if objects is None else [one.to_json() for one in objects]
    if order.attributes:
        shown["attributes"] = [_attribute_json(one) for one in findings.attributes]
    if order.log is not None:
        shown["log"] = None if findings.log is None else findings.log.to_json()
    shown["skipped"] = skipped_to_json(findings.report.skipped)
    obstacle = findings.obstacle
    shown["error"] = None if obstacle is None else {"reason": obstacle.reason, "detail": obstacle.detail}
    return json.dumps(_without_tokens(shown), ensure_ascii=False, indent=2)


def _attribute_json(one: _Read) -> dict[str, Json]:
    node = one.node
    return {
        "class_id": one.place.class_id,
        "obis": str(one.place.obis),
        "attribute": one.place.attribute,
        "name": describe_attribute(one.place.class_id, one.place.attribute),
        "value": None if node is None else node.to_json(),
        "refused": one.refusal or None,
    }


def _without_tokens(shown: Json, name: str = "") -> Json:
    """Texts of a meter may hold control characters, or a token; its data_value is bits."""
    if isinstance(shown, str):
        return shown if name == "data_value" else printable(shown)
    if isinstance(shown, Mapping):
        return {key: _without_tokens(value, key) for key, value in shown.items()}
    if isinstance(shown, Sequence):
        return [_without_tokens(value, name) for value in shown]
    return shown


# For people.


def _print(lines: Sequence[str] | Iterator[str], out: TextIO) -> None:
    for line in lines:
        print(line, file=out)
    out.flush()


def _lines(meter: Meter, findings: _Findings) -> Iterator[str]:
    """The screen; a line that a meter had a hand in shows no token and moves no cursor."""
    if findings.system_title or findings.obstacle is None:
        yield f"{meter.endpoint}" + (f", meter {findings.system_title}" if findings.system_title else "")
    for line in (*_report_lines(findings.report), *_list_lines(findings.objects)):
        yield printable(line)
    for one in findings.attributes:
        yield from _attribute_lines(one)
    for line in _log_lines(findings.log):
        yield printable(line)


def _report_lines(report: MeterReport) -> Iterator[str]:
    facts = [fact for section in report.sections for fact in section.facts if fact.label and fact.said.words]
    width = max((len(fact.label) for fact in facts), default=0) + 2
    for section in report.sections:
        shown = [fact for fact in section.facts if fact.label and fact.said.words]
        if not shown:
            continue
        yield ""
        yield f"{section.heading} {section.obis}".rstrip()
        for fact in shown:
            yield f"  {fact.label:<{width}}{fact.said.words}"
    if report.skipped:
        names = [one.what.replace("_", " ").replace(".", ": ") for one in report.skipped]
        width = max(map(len, names)) + 2
        yield ""
        yield "not read"
        for name, one in zip(names, report.skipped, strict=True):
            yield f"  {name:<{width}}{one.reason} ({one.place})"


def _list_lines(objects: Sequence[ListedObject] | None) -> Iterator[str]:
    if objects is None:
        return
    rows = [(str(one.class_id), str(one.version), str(one.obis), one.name) for one in objects]
    yield ""
    yield from _table(("class", "version", "OBIS", "name of the class"), rows, right=(0, 1))


def _attribute_lines(one: _Read) -> Iterator[str]:
    node = one.node
    yield ""
    if node is None:
        yield f"{one.place}: {one.refusal}"
    else:
        yield f"{one.place}: {describe_attribute(one.place.class_id, one.place.attribute)}"
        yield node.to_text()


def _log_lines(log: Log | None) -> Iterator[str]:
    if log is None:
        return
    count = len(log.entries)
    yield ""
    yield f"log {log.obis}, {count} {'entry' if count == 1 else 'entries'}{', oldest first' if count > 1 else ''}"
    if log.note:
        yield f"({log.note})"
    if log.entries:
        names = [column.name.replace("_", " ") for column in log.columns]
        yield from _table(names, [[said.words for said in entry] for entry in log.entries])


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (
            f"{cell:>{width}}" if place in right else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _told(obstacle: Obstacle) -> str:
    return f"{obstacle.reason}: {obstacle.detail}"
