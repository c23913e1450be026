"""docs/scenarios.md: its example runs and says what the page says, and its tables name what there is."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import get_args

import pytest

from sim_meters.issuing import KEY_TEXTS, OTHER_KINDS, fields_asked
from sim_meters.scenario.cli import add_scenario_command
from sim_meters.scenario.expectations import (
    EnterExpectation,
    KeypadExpectation,
    ProgramExpectation,
    Reason,
    Result,
    StsExpectation,
    SwitchState,
)
from sim_meters.scenario.file import parse_text
from sim_meters.scenario.meter_table import MeterTable
from sim_meters.scenario.meters import Place, read_meters
from sim_meters.scenario.model import CaseTable, MetersFile, ScenarioFile
from sim_meters.scenario.plan import read_plan
from sim_meters.scenario.rules import _NO_EXPECTATIONS
from sim_meters.scenario.step_tables import KINDS, AnyStep, ExpectStep, KeyTable, MeterStep, Step
from sim_meters.scenario.values import Table
from tests.sim_meters.scenarios import HEAD, ROOT, SHIPPED, planned, ran

PAGE = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLE, REAL, KEY_CHANGE = (text for language, text in BLOCKS if language == "toml")
STORY = next(text for language, text in BLOCKS if not language and text.startswith("first steps"))
STEPS: tuple[type[Step], ...] = get_args(get_args(AnyStep)[0])


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/scenarios.md has no heading {title!r}"
    return found[1]


def rows(title: str) -> dict[str, str]:
    """The tables of a section: first cell, and the second."""
    cells = re.findall(r"^\| (.+?) \| (.*?) \|", section(title), re.MULTILINE)
    return {first.strip("`*\\ "): second for first, second in cells}


def named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def members(kind: type[Table], beside: type[Table] | None = None) -> set[str]:
    return set(kind.model_fields) - set(() if beside is None else beside.model_fields) - {"do"}


def plain(line: str) -> str:
    return re.sub(r"\d+\.\d\d s", "N s", re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line))


async def test_the_example_runs_and_tells_the_story_of_the_page(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    lines: list[str] = []
    report = await ran(read_plan(path, tmp_path), lines)
    assert report.is_passed
    assert [plain(line) for line in lines] == [plain(line) for line in STORY.splitlines()[1:-1]]


async def test_the_key_change_of_the_page_works(tmp_path: Path) -> None:
    credit = '[[case.step]]\ndo = "enter"\ntoken = "credit"\nexpect = { result = "accepted" }\n'
    report = await ran(planned(f'{HEAD}\n[[case]]\nname = "a case"\n{KEY_CHANGE}\n{credit}', tmp_path))
    assert report.is_passed


def test_every_kind_of_token_and_every_field_is_named() -> None:
    text = section("Tokens of every type")
    assert set(re.findall(r"`([a-z0-9-]+)`", text.partition("|")[0])) >= set(KINDS)
    table = rows("Tokens of every type")
    assert (
        set(re.findall(r"`([a-z_]+)`", table["key changes"])) - {"new_key", "rollover", "with_sgc"}
        == members(KeyTable)
        == set(KEY_TEXTS)
    )
    fields = {name for kind in OTHER_KINDS.values() for name in fields_asked(kind)}
    assert set(re.findall(r"([a-z-]+) =", table["all others"])) == fields


def test_the_real_meter_of_the_page_is_one() -> None:
    file = parse_text(MetersFile, REAL)
    (meter,) = read_meters(file.meter, Place(ROOT, ROOT, 0)).values()
    assert not meter.is_simulated
    assert meter.config.physical == 17


def test_the_tables_name_all_members_and_no_others() -> None:
    assert {name for cell in rows("The file") for name in re.findall(r"[a-z]+", cell)} - {"member", "start"} == members(
        ScenarioFile
    )
    assert {*rows("Cases")} - {"member", "---"} == members(CaseTable)
    simulated = section("Meters").partition("A **real**")[0]
    ours = {"name", "endpoint", "response_timeout_seconds"}
    assert named(simulated) - {"name"} == members(MeterTable) - ours
    assert ours <= named(section("Meters"))


@pytest.mark.parametrize("kind", STEPS, ids=lambda kind: kind.__name__)
def test_every_step_has_a_row_with_its_members(kind: type[Step]) -> None:
    (name,) = get_args(kind.model_fields["do"].annotation)
    told = rows("Steps")[name]
    expected = members(kind, MeterStep)
    if kind is ExpectStep:
        expected = {"over_wire", "within_seconds"}
    assert named(told) == expected


def test_there_is_a_row_for_every_step_and_every_expectation() -> None:
    names = {get_args(kind.model_fields["do"].annotation)[0] for kind in STEPS}
    assert {*rows("Steps")} - {"do", "---"} == names
    table = rows("Expectations")
    assert named(table["enter"]) == members(EnterExpectation)
    assert named(table["keypad"]) == members(KeypadExpectation)
    assert named(table["run"]) == members(ProgramExpectation)
    assert named(table["expect"]) == set(ExpectStep.model_fields) - _NO_EXPECTATIONS
    assert named(table["sts"]) == members(StsExpectation)
    assert set(re.findall(r"`([a-z-]+)`", table["switch"])) == {*get_args(SwitchState)}
    assert named(table["result` of `enter"]) == {*get_args(Result)}
    assert set(re.findall(r"`([a-z-]+)`", table["reason"])) - {"data_value"} <= {*get_args(Reason)}


def test_every_shipped_scenario_has_a_row() -> None:
    assert [name for name in rows("Shipped scenarios") if name.endswith(".toml")] == [path.name for path in SHIPPED]


def test_the_page_names_the_options_that_there_are() -> None:
    parser = ArgumentParser()
    add_scenario_command(parser.add_subparsers(), lambda _coroutine: 0)
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    options = {name for action in commands["scenario"]._actions for name in action.option_strings}
    own = {name for name in options if not name.startswith(("--tls", "--mqtt", "--serial", "-h", "--help"))}
    without_code = re.sub(r"^```toml$.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    told = set(re.findall(r"(?<![\w\"-])--[a-z]+", without_code))
    assert own <= told
    assert told - own <= {"--tls", "--mqtt", "--token", "--after", "--kind"}, "groups of options, and stsgate's"
