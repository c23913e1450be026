"""docs/faults.md names the faults, phases, members and calls that there are, and its examples can be read."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from argparse import ArgumentParser
from pathlib import Path

from sim_meters.fault_order import MEMBERS, FaultOrder
from sim_meters.faults import FAULTS, Fault, Phase
from sim_meters.lab_api.options import add_lab_options
from sim_meters.lab_api.routes import CALLS
from sim_meters.run_options import add_run_options

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "faults.md").read_text(encoding="utf-8")


def section(title: str, page: str = PAGE) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    lines = re.findall(r"^\| (`.*) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def test_every_fault_has_a_row_with_its_phases_and_its_usual_value() -> None:
    told = {name.strip("`"): (phases.split(", "), value) for name, _, phases, value in rows("What")}
    assert list(told) == list(FAULTS) == list(Fault)
    for fault, kind in FAULTS.items():
        amount = kind.amount
        usual = "" if amount is None else f"{amount.usual:g} {amount.unit}".strip()
        assert told[fault] == ([phase for phase in Phase if phase in kind.phases], usual)


def test_every_phase_has_a_row() -> None:
    assert [row[0].strip("`") for row in rows("When")] == list(Phase)


def test_every_member_of_an_order_is_explained() -> None:
    named = [name for row in rows("Which meters: fleet files, scenarios and HTTP") for name in row[0].split(", ")]
    assert {name.strip("`") for name in named} == set(MEMBERS)
    (table,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (order,) = tomllib.loads(table)["group"]["fault"]
    assert FaultOrder.parse_mapping(order).chance_percent == 5


def test_every_call_of_the_api_has_a_row() -> None:
    told = [tuple(row[0].strip("`").partition("?")[0].split(" ")) for row in rows("Over HTTP")]
    assert told == [(call.method, call.path) for call in CALLS]
    for row in rows("Over HTTP"):
        for body in re.findall(r"`(\{[^`.]*(?:\.\d[^`.]*)?\})`", row[1]):
            assert isinstance(json.loads(body), dict)


def test_the_commands_are_understood() -> None:
    parser = ArgumentParser()
    add_run_options(parser)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines]
    runs = [words[2:] for words in commands if words[0] == "simmeters"]
    assert len(runs) + sum(words[0] == "curl" for words in commands) == len(commands)
    orders = [order for run in runs for order in parser.parse_args(run).fault]
    assert len([FaultOrder.parse(order) for order in orders]) >= 5
    (body,) = (words[words.index("-d") + 1] for words in commands if "-d" in words)
    assert FaultOrder.parse_mapping(json.loads(body)).fault is Fault.MUTE


def test_the_options_of_the_lab_are_on_the_page() -> None:
    parser = ArgumentParser(add_help=False)
    add_lab_options(parser)
    for action in parser._actions:
        assert action.option_strings[0] in PAGE


def test_the_page_about_the_meters_leads_here() -> None:
    told = section("Failing on order", (DOCS / "simmeters.md").read_text(encoding="utf-8"))
    assert "faults.md" in told
    names = re.findall(r"`([a-z]+(?:-[a-z]+)+)`", told)
    assert set(names) <= set(Fault)
