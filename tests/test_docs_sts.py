"""docs/sts.md says what the table of token types and the commands say; its examples are run."""

from __future__ import annotations

import re
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from sim_meters.notices import LAB, LICENCE
from sim_meters.sts.ciphers.algorithms import ALGORITHMS, NOT_OFFERED
from sim_meters.sts.machine.tid_store import DEPTH
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import TID_MAX, BaseDate
from sim_meters.sts.tokens.amount import AMOUNT16_MAX, CurrencyAmount, decode_amount16, encode_amount16
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import TOKEN_KINDS
from tests.sim_meters.sts_command_line import whole_command

PAGE = (Path(__file__).parents[1] / "docs" / "sts.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/sts.md has no heading {title!r}"
    return found[1]


def examples() -> list[tuple[str, str]]:
    """Each command of the page with the output below it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.replace("\\\n", " ").partition("\n")
            found.append((command, output))
    return found


VARIABLES = dict(re.findall(r'^\$ (\w+)="(.*)"$', PAGE, re.MULTILINE))
COMMANDS = [(command, output) for command, output in examples() if command.startswith("simmeters sts ")]


def test_the_page_has_examples_of_the_commands() -> None:
    assert {command.split()[2] for command, _ in COMMANDS} >= {"decode", "encode"}
    assert len(COMMANDS) == len(re.findall(r"^\$ simmeters", PAGE, re.MULTILINE))


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[command[:40] for command, _ in COMMANDS])
def test_an_example_prints_what_stands_below_it(command: str, output: str) -> None:
    for name, text in VARIABLES.items():
        command = command.replace(f"${name}", text)
    _, out, error = whole_command(*shlex.split(command)[2:])
    assert error == ""
    assert out.rstrip() == output.rstrip()


def row_of(kind: TokenKind) -> str:
    spans = sorted(((span, field.label) for field in kind.layout for span in field.spans), reverse=True)
    fields = ", ".join(f"{label} {high - low + 1}" for (high, low), label in spans)
    return f"| {kind.token_class:d} | {kind.subclass} | {kind.name} | `{kind.command}` | {fields} |"


def test_the_table_of_types_has_the_rows_of_the_code() -> None:
    rows = [line for line in section("Every type").splitlines() if re.match(r"\| \d", line)]
    assert rows == [row_of(kind) for kind in TOKEN_KINDS]


def test_both_notices_stand_at_the_top() -> None:
    head = " ".join(PAGE.partition("\n## ")[0].split())
    assert LAB in head
    assert LICENCE in head


def test_every_result_is_named_with_its_number() -> None:
    named = re.findall(r"(\d+) `([A-Z_]+)`", " ".join(section("What a meter checks").split()))
    assert named == [(str(int(result)), result.name) for result in TokenResult]


def test_what_is_said_about_rounding_is_so() -> None:
    assert "50 ZAR becomes 50.00624, -1 becomes -0.99994" in WORDS
    assert CurrencyAmount.encode(50 * 10**5).units == 5000624
    assert CurrencyAmount.encode(-(10**5)).units == -99994
    assert f"up to {Decimal(AMOUNT16_MAX) / 10}" in WORDS
    assert "exact up to 1638.3 kWh, then in steps of 1, 10 and 100 kWh" in WORDS
    assert all(decode_amount16(encode_amount16(units)) == units for units in (0, 1, 16383))
    steps = [decode_amount16((exponent << 14) + 1) - decode_amount16(exponent << 14) for exponent in range(4)]
    assert steps == [1, 10, 100, 1000]


def test_what_is_said_about_tids_is_so() -> None:
    ends = [f"{base_date.moment(TID_MAX):%Y-%m-%d}" for base_date in (BaseDate.BASE_1993, BaseDate.BASE_2014)]
    assert "TIDs of 1993 ended on {}, those of 2014 end on {}".format(*ends) in WORDS
    assert f"the {DEPTH} highest TIDs" in WORDS
    assert ", ".join(str(int(base_date)) for base_date in BaseDate).replace(", 2035", " or 2035") in WORDS


def test_algorithms_are_told_and_those_that_are_refused_too() -> None:
    for algorithm in ALGORITHMS.values():
        assert f"{algorithm.ea:02d}: {algorithm.name}, keys of {8 * algorithm.key_bytes} bits" in section("Keys")
    assert all(f"EA{ea:02d}" in section("Limits") for ea in NOT_OFFERED)
