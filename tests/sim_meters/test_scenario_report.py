"""The report of a scenario: JUnit as Jenkins and GitLab read it, JSON, the story; and no secrets in any of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.sts_token import Token
from sim_meters.scenario.junit import junit_xml
from sim_meters.scenario.report import CaseReport, Check, Hider, ScenarioReport, Status, StepReport
from sim_meters.scenario.story import case_lines, summary_lines

GOOD = Check("balance", "25.6", "25.6", holds=True)
BAD = Check("status_code", "3", "6", holds=False)


def a_report(*cases: CaseReport) -> ScenarioReport:
    return ScenarioReport(
        name="Credit & <debit>",
        file="some/folder/credit.v2.toml",
        properties={"seed": "7", "clock": "virtual", "stsgate": "0.1.0", "python": "3.11.7"},
        started=datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC),
        seconds=1.23456,
        cases=cases,
    )


PASSED = CaseReport("one", "A", (StepReport(1, "expect", "look at A", (GOOD,), seconds=0.5),), seconds=0.5)
FAILED = CaseReport("two", "A", (StepReport(1, "token", "made"), StepReport(2, "enter", "entered", (GOOD, BAD))))
ERROR = CaseReport("three", "A", (StepReport(1, "run", "run", error="x cannot be started"),))
SKIPPED = CaseReport("four", "A", skipped="the case before it did not pass")
NOT_SET_UP = CaseReport("five", "A", error="the meters cannot be set up: port taken")
ALL = a_report(PASSED, FAILED, ERROR, SKIPPED, NOT_SET_UP)


def document(report: ScenarioReport) -> Xml.Element:
    return Xml.fromstring(junit_xml(report))  # noqa: S314 - it is our own


def cases_of(report: ScenarioReport) -> dict[str, Xml.Element]:
    root = document(report)
    return {case.get("name", ""): case for case in root.iter("testcase")}


def test_it_is_one_testsuite_with_its_counts_and_properties() -> None:
    root = document(ALL)
    (suite,) = root
    counts = {"tests": "5", "failures": "1", "errors": "2", "skipped": "1", "time": "1.235"}
    assert root.tag == "testsuites"
    assert root.attrib == {"name": "simmeters scenario", **counts}
    assert suite.tag == "testsuite"
    assert suite.attrib == {"name": "Credit & <debit>", "timestamp": "2026-11-21T12:30:15", **counts}
    assert [child.tag for child in suite] == ["properties", *["testcase"] * 5]
    properties = {one.get("name"): one.get("value") for one in suite[0]}
    assert properties == dict(ALL.properties)


def test_every_testcase_has_what_readers_ask_for() -> None:
    for name, case in cases_of(ALL).items():
        # Jenkins groups by class name, and splits it at its last dot; GitLab shows file and time.
        assert case.attrib.keys() == {"classname", "name", "time", "file"}
        assert case.get("classname") == "simmeters.credit_v2"
        assert case.get("file") == "some/folder/credit.v2.toml"
        assert float(case.get("time", "")) >= 0
        assert (case.findtext("system-out") or "").startswith(f"case {name}\n")


def test_what_did_not_pass_says_why() -> None:
    found = cases_of(ALL)
    assert [child.tag for child in found["one"]] == ["system-out"]
    failure, error, skipped, not_set_up = (found[name][0] for name in ("two", "three", "four", "five"))
    assert [one.tag for one in (failure, error, skipped, not_set_up)] == ["failure", "error", "skipped", "error"]
    assert failure.attrib == {"message": "step 2 (enter): status_code: expected 3; found 6", "type": "Expectation"}
    assert failure.text == (
        "step 2 (enter): status_code: expected 3; found 6\nin: entered\n"
        "ok  balance: expected 25.6; found 25.6\nNOT  status_code: expected 3; found 6"
    )
    assert error.get("message") == "step 1 (run): x cannot be started"
    assert skipped.attrib == {"message": "the case before it did not pass"}
    assert not_set_up.text == "the meters cannot be set up: port taken"


@given(st.text())
def test_whatever_a_program_says_the_document_stays_readable(said: str) -> None:
    said = said.encode("utf-8", "replace").decode()
    bad = Check("exit_code", "0", f"1; it said:\n{said}", holds=False)
    report = a_report(CaseReport("a", "A", (StepReport(1, "run", said, (bad,), said),)))
    (case,) = document(report).iter("testcase")
    assert case.find("error" if said else "failure") is not None


def test_control_characters_are_told_and_not_written() -> None:
    said = "\x00\x1b[31mred\x7f\ufffe"
    case = cases_of(a_report(CaseReport("a", "A", error=said)))["a"]
    assert case[0].get("message") == "\\x00\\x1b[31mred\x7f\\xfffe"


def test_a_case_is_what_its_last_step_was() -> None:
    statuses = [case.status for case in ALL.cases]
    assert statuses == [Status.PASSED, Status.FAILED, Status.ERROR, Status.SKIPPED, Status.ERROR]
    assert not ALL.is_passed
    assert a_report(PASSED).is_passed
    assert not a_report(PASSED, SKIPPED).is_passed


def test_json_has_all_of_it() -> None:
    said = json.loads(json.dumps(ALL.to_json()))
    assert said["counts"] == {"passed": 1, "failed": 1, "error": 2, "skipped": 1}
    assert said["properties"]["seed"] == "7"
    assert said["started"] == "2026-11-21T12:30:15+00:00"
    assert [case["status"] for case in said["cases"]] == ["passed", "failed", "error", "skipped", "error"]
    assert said["cases"][0]["message"] is None
    assert said["cases"][1]["steps"][1]["checks"] == [
        {"what": "balance", "expected": "25.6", "found": "25.6", "holds": True},
        {"what": "status_code", "expected": "3", "found": "6", "holds": False},
    ]


def test_the_story_is_for_people() -> None:
    assert list(case_lines(FAILED)) == [
        "case two",
        "    1  made",
        "    2  entered",
        "       NOT as expected: status_code: expected 3; found 6",
        "       FAILED (0.00 s)",
    ]
    assert list(summary_lines(ALL)) == [
        "FAILED: two: step 2 (enter): status_code: expected 3; found 6",
        "ERROR: three: step 1 (run): x cannot be started",
        "ERROR: five: the meters cannot be set up: port taken",
        "Credit & <debit>: 1 passed, 1 failed, 2 in error, 1 skipped, in 1.23 s",
    ]


def test_a_long_outcry_is_cut_in_the_story() -> None:
    case = CaseReport("a", "A", (StepReport(1, "run", "run", error="\n".join(["line"] * 100)),))
    assert "       … 60 lines more" in list(case_lines(case))


# Secrets.

TOKENS = st.integers(0, 2**66 - 1).map(lambda number: f"{number:020d}")


@given(TOKENS, st.sampled_from(["", " ", "-"]), st.text(alphabet="ab:,=\"'\n", max_size=5), st.text("xy( ", max_size=5))
def test_tokens_are_hidden_however_they_are_written(token: str, between: str, before: str, after: str) -> None:
    written = between.join(token[at : at + 4] for at in range(0, 20, 4))
    hidden = Hider([]).hide(f"{before}{written}{after}")
    assert hidden == f"{before}…{token[-4:]}{after}"
    assert Token.parse(token).digits not in hidden.replace(" ", "").replace("-", "")


@pytest.mark.parametrize("number", ["600727000000000009", "2026", "4" * 19, "1" * 40])
def test_other_numbers_are_shown(number: str) -> None:
    assert Hider([]).hide(f"<{number}>") == f"<{number}>"


def test_keys_and_passwords_are_hidden_however_they_are_written() -> None:
    hider = Hider(["0F" * 16, "", "a.c", "pass+word"])
    assert hider.hide(f"{'0f' * 16} {'0F' * 16} PASS+WORD abc") == "(hidden) (hidden) (hidden) abc"
