"""What ``stsgate readback`` shows: a screen for people, an object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import AttributeDescriptor, DataAccessResult
from cosem_objects.dlms.describe import Context, Node, Place, Source, describe_data
from cosem_objects.dlms.describe.node import Json
from cosem_objects.interface_classes import describe_attribute
from cosem_objects.names import spell
from cosem_objects.obis import ObisCode
from gateway.cli.parser import printable
from gateway.meter_log import Log, Wanted
from gateway.meter_report import MeterReport, skipped_to_json
from gateway.meters import Meter
from gateway.object_list import ListedObject
from gateway.verdict import Obstacle

_LINE_WIDTH = 118


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be read; nothing of this: the report."""

    objects: bool
    attributes: tuple[AttributeDescriptor, ...]
    log: ObisCode | None
    wanted: Wanted

    @property
    def is_report(self) -> bool:
        return not (self.objects or self.attributes or self.log)


@dataclass(frozen=True, slots=True)
class ReadAttribute:
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
class Findings:
    """All that was read, and how it ended."""

    system_title: str = ""
    report: MeterReport = field(default_factory=MeterReport)
    objects: list[ListedObject] | None = None
    attributes: list[ReadAttribute] = field(default_factory=list)
    log: Log | None = None
    obstacle: Obstacle | None = None


# For programs.


def as_json(meter: Meter, choice: Choice, findings: Findings) -> str:
    shown: dict[str, Json] = {
        "endpoint": str(meter.endpoint),
        "meter_system_title": findings.system_title or None,
    }
    if choice.is_report:
        shown |= findings.report.to_json()
    if choice.objects:
        objects = findings.objects
        shown["objects"] = None if objects is None else [one.to_json() for one in objects]
    if choice.attributes:
        shown["attributes"] = [_attribute_json(one) for one in findings.attributes]
    if choice.log is not None:
        shown["log"] = None if findings.log is None else findings.log.to_json()
    shown["skipped"] = skipped_to_json(findings.report.skipped)
    obstacle = findings.obstacle
    shown["error"] = None if obstacle is None else {"reason": obstacle.reason, "detail": obstacle.detail}
    return json.dumps(_without_tokens(shown), ensure_ascii=False, indent=2)


def _attribute_json(one: ReadAttribute) -> dict[str, Json]:
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


def screen(meter: Meter, findings: Findings) -> Iterator[str]:
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
            yield from _wrapped(f"  {fact.label:<{width}}", fact.said.words)
    if report.skipped:
        names = [one.what.replace("_", " ").replace(".", ": ") for one in report.skipped]
        width = max(map(len, names)) + 2
        yield ""
        yield "Not read"
        for name, one in zip(names, report.skipped, strict=True):
            yield f"  {name:<{width}}{one.reason} ({one.place})"


def _wrapped(head: str, words: str) -> Iterator[str]:
    lines = wrap(words, _LINE_WIDTH - len(head), break_long_words=False, break_on_hyphens=False)
    yield head + lines[0]
    yield from (" " * len(head) + line for line in lines[1:])


def _list_lines(objects: Sequence[ListedObject] | None) -> Iterator[str]:
    if objects is None:
        return
    rows = [(str(one.class_id), str(one.version), str(one.obis), one.name) for one in objects]
    yield ""
    yield from _table(("class", "version", "OBIS", "name of the class"), rows, right=(0, 1))


def _attribute_lines(one: ReadAttribute) -> Iterator[str]:
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
