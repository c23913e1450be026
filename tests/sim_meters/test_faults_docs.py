"""docs/faults.md names the faults, phases, members and calls that there are, and its examples can be read."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path

from cosem_objects.sts_token import TokenClass
from sim_meters.fault_order import MEMBERS, FaultOrder
from sim_meters.faults import FAULTS, Fault, Phase
from sim_meters.fleet.files import load_fleet
from sim_meters.fleet.meters import FleetMeters
from sim_meters.issuing import OTHER_KINDS, fields_asked
from sim_meters.lab_api.options import add_lab_options
from sim_meters.lab_api.routes import CALLS
from sim_meters.lab_api.tokens import KINDS, LabIssuer
from sim_meters.lab_api.tokens import MEMBERS as TOKEN_MEMBERS
from sim_meters.run_options import add_run_options

DOCS = Path(__file__).parents[2] / "docs"
TOKENS = "Tokens of every type"
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
    bodies = [json.loads(words[words.index("-d") + 1]) for words in commands if "-d" in words]
    assert FaultOrder.parse_mapping(bodies[0]).fault is Fault.MUTE
    plan = load_fleet("key_change")
    with closing(FleetMeters(plan)) as meters:
        for body in bodies[1:]:
            member = plan.find(body["meter"])
            assert member is not None
            if body["kind"] == "key_change":
                assert len(LabIssuer(1).issue(member, meters.meter(member), body)["tokens"]) == 2
    assert len(bodies) == 3


def test_every_kind_of_token_has_a_row_with_its_commands_and_members() -> None:
    told = {row[0].partition(",")[0].strip("`"): set(re.findall(r"`([\w-]+)`", row[1])) for row in rows(TOKENS)}
    classes = {"management": TokenClass.METER_SPECIFIC_MANAGEMENT, "test": TokenClass.NON_METER_SPECIFIC_MANAGEMENT}
    assert tuple(told) == ("credit", "management", "test", "key_change") == tuple(sorted(KINDS, key=[*told].index))
    for name, token_class in classes.items():
        kinds = {command: kind for command, kind in OTHER_KINDS.items() if kind.token_class is token_class}
        members = {member for kind in kinds.values() for member in fields_asked(kind)}
        has_tid = {"expired"} if name == "management" else set()
        assert told[name] == {"command", *kinds, *members, *has_tid}
    assert told["credit"] | told["key_change"] | set().union(*map(told.get, classes)) == {  # type: ignore[arg-type]
        *(set(TOKEN_MEMBERS) - {"meter", "kind"}),
        *OTHER_KINDS,
    }


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
