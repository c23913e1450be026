"""What ``stsgate readback`` shows: a screen for people, an object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from cosem_objects.interface_classes import describe_attribute
from gateway.meters import Meter
from gateway.reading.meter_log import Log
from gateway.reading.meter_reading import Findings, ReadAttribute
from gateway.reading.meter_report import MeterReport
from gateway.reading.object_list import ListedObject
from gateway.shown import printable

_LINE_WIDTH = 118


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
