"""docs/simmeters.md names the settings, objects and results that there are, and its commands can be read."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path

import pytest

from cosem_objects.token_gateway import DataValueMap
from sim_meters.__main__ import main
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.notices import LAB, LICENCE
from sim_meters.outcomes import token_status
from sim_meters.run_options import add_run_options, read_plan
from sim_meters.sts.machine.machine_settings import SETTING_HELP, MachineSettings
from sim_meters.sts.results import TokenResult
from tests.sim_meters.sts_command_line import VECTOR_FILE

PAGE_FILE = Path(__file__).parents[2] / "docs" / "simmeters.md"
PAGE = PAGE_FILE.read_text(encoding="utf-8")
SPELT = {
    TokenResult.DDTK_ERROR: "DDTKError",
    TokenResult.CRC_ERROR: "CRCError",
    TokenResult.LOCKOUT: "Lockout",
    TokenResult.NOT_READY: "NotReady",
}


def section(title: str) -> str:
    found = re.search(rf"^###? {re.escape(title)}$(.*?)(?=^###? |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/simmeters.md has no heading {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    lines = re.findall(r"^\| (.*) \|$", section(title), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def test_both_notices_stand_at_the_top() -> None:
    head = " ".join(PAGE.partition("\n## ")[0].split())
    assert LAB in head
    assert LICENCE in head


@pytest.mark.parametrize("command", ["run", "scenario"])
def test_the_notice_stands_in_help_too(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = capsys.readouterr().out
    assert LAB in told
    assert LICENCE in told or command == "scenario"


@pytest.mark.parametrize("words", [["scenario", "--schema"], ["sts", "verify-vectors", "--json", str(VECTOR_FILE)]])
def test_a_reader_that_had_enough_is_no_error_to_tell_of(words: list[str]) -> None:
    """As with ``| head``: nothing is read here at all."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "sim_meters", *words],
            cwd=PAGE_FILE.parents[1],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_every_setting_has_a_row_with_its_default_and_its_help() -> None:
    told = {row[0].strip("`"): (row[1].strip("`"), row[2]) for row in rows("Settings") if row[0].startswith("`")}
    assert {name: words for name, (_, words) in told.items()} == SETTING_HELP
    assert list(told) == list(SETTING_HELP)
    assert MachineSettings.parse(f"{name}={value}" for name, (value, _) in told.items()) == MachineSettings()


def test_every_result_has_a_row_with_its_status_and_its_bit() -> None:
    told: dict[str, tuple[str, str]] = {}
    for row in rows("What a meter does with a token"):
        if len(row) >= 3:
            told |= dict.fromkeys(row[1].split(", "), (row[2], [*row, ""][3]))
    results = [result for result in TokenResult if result.section is None and result is not TokenResult.FORMAT_ERROR]
    results.remove(TokenResult.KEY_TYPE_ERROR)  # of a set, and told there
    for result in results:
        name = SPELT.get(result, "".join(word.capitalize() for word in result.name.split("_")))
        shown = told[name]
        if result in (TokenResult.LOCKOUT, TokenResult.NOT_READY):
            assert shown[0].startswith("none: action-result 2")
            continue
        status = token_status(result, DataValueMap.ONEHOT16)
        bit = f"bit {status.data_value.index('1')}" if "1" in status.data_value else "all 0"
        assert shown == (str(int(status.code)), bit), name
    assert "KeyTypeError, bit 7" in PAGE
    key_type = token_status(TokenResult.KEY_TYPE_ERROR, DataValueMap.ONEHOT16)
    assert key_type.data_value.index("1") == 7


def test_every_object_of_a_meter_that_has_all_is_in_the_table() -> None:
    config = replace(lab_config(), debt=DebtRecovery(100, 2500), emergency=EmergencyCredit(50))
    made = SimMeter(config).association(config.client_sap)
    assert made is not None
    had = {(row.class_id, str(obis)) for obis, row in made[1].objects.items()}
    told = set()
    for _, classes, places in (row for row in rows("What a meter has") if re.match(r"\d", row[1])):
        numbers, objects = classes.split(", "), places.split(", ")
        told |= {(int(numbers[min(at, len(numbers) - 1)]), place) for at, place in enumerate(objects)}
    assert told == had


def test_the_commands_are_understood() -> None:
    parser = ArgumentParser()
    add_run_options(parser)
    (block,) = re.findall(r"^```\n(simmeters run.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        if "HEX" in words or "TEXT" in words or "--fleet" in words:
            continue
        assert read_plan(parser.parse_args(words[2:]), parser).fleet.count >= 1, line
