"""JUnit XML, as Jenkins and GitLab read it: one testsuite for the scenario, one testcase for each case."""

from __future__ import annotations

import re
from xml.etree import ElementTree as Xml

from sim_meters.scenario.report import CaseReport, ScenarioReport, Status
from sim_meters.scenario.story import case_lines

# XML 1.0, production 2: what a document may hold. Not even as a reference may the others stand there.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CLASS = "simmeters"


def junit_xml(report: ScenarioReport) -> bytes:
    """The whole document, in UTF-8."""
    root = Xml.Element("testsuites", {"name": "simmeters scenario", **_counts(report)})
    stamp = f"{report.started:%Y-%m-%dT%H:%M:%S}"
    suite = Xml.SubElement(root, "testsuite", {"name": _clean(report.name), "timestamp": stamp, **_counts(report)})
    properties = Xml.SubElement(suite, "properties")
    for name, value in report.properties.items():
        Xml.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    class_name = f"{_CLASS}.{_clean(report.file.rpartition('/')[2].removesuffix('.toml').replace('.', '_'))}"
    for case in report.cases:
        _add_case(suite, case, class_name, _clean(report.file))
    Xml.indent(root)
    return bytes(Xml.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(report: ScenarioReport) -> dict[str, str]:
    return {
        "tests": str(len(report.cases)),
        "failures": str(report.count(Status.FAILED)),
        "errors": str(report.count(Status.ERROR)),
        "skipped": str(report.count(Status.SKIPPED)),
        "time": f"{report.seconds:.3f}",
    }


_ELEMENTS = {Status.FAILED: "failure", Status.ERROR: "error", Status.SKIPPED: "skipped"}


def _add_case(suite: Xml.Element, case: CaseReport, class_name: str, file: str) -> None:
    found = Xml.SubElement(
        suite, "testcase", classname=class_name, name=_clean(case.title), time=f"{case.seconds:.3f}", file=file
    )
    element = _ELEMENTS.get(case.status)
    if element is not None:
        told = Xml.SubElement(found, element, message=_clean(case.message))
        if element != "skipped":
            told.set("type", "Expectation" if element == "failure" else "StepError")
            told.text = _clean("\n".join(_reasons(case)))
    Xml.SubElement(found, "system-out").text = _clean("\n".join(case_lines(case)))


def _reasons(case: CaseReport) -> list[str]:
    """What GitLab shows: the message, and the step with all that was looked at."""
    if not case.steps:
        return [case.message]
    last = case.steps[-1]
    looked_at = [f"{'ok' if check.holds else 'NOT'}  {check}" for check in last.checks]
    return [case.message, f"in: {last.words}", *looked_at]


def _clean(text: str) -> str:
    return _NO_XML.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
