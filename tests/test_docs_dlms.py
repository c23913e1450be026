"""docs/dlms.md names what the code has, and nothing else: as far as a machine can tell."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cosem_objects import (
    association_ln,
    charge,
    disconnect_control,
    limiter,
    payment,
    profile_generic,
    push_setup,
    security_setup,
    token_gateway,
)
from cosem_objects.axdr import DataType
from cosem_objects.dlms import acse, apdu
from cosem_objects.dlms.acse import ApplicationContext, Mechanism
from cosem_objects.dlms.client import ClientAssociation
from cosem_objects.dlms.security import SecurityLayer
from cosem_objects.dlms.settings import Ciphering, Protection, SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.objects import objects_of
from transports.registry import TRANSPORTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/dlms.md").read_text(encoding="utf-8")
PEERS = {"dlms-cosem": "dlms-cosem==", "gurux-dlms": "gurux-dlms=="}


def section(title: str) -> str:
    """What stands under a heading."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/dlms.md has no heading {title!r}"
    return found[1]


def tables(text: str) -> list[list[dict[str, str]]]:
    """Each table as its rows, each row as its cells by the names of their columns."""
    found = re.findall(r"^(\|.*)\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[dict(zip(cells(head), cells(line), strict=True)) for line in body.splitlines()] for head, body in found]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(title: str, table: int = 0) -> list[dict[str, str]]:
    return tables(section(title))[table]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def is_supported(row: dict[str, str]) -> bool:
    return not re.match(r"no\b", row["ours"])


@cache
def names_in(name: str) -> frozenset[str]:
    """Names of the tests in ``test_NAME.py``, wherever it stands; NAME may begin with its folder."""
    folder, _, stem = name.rpartition("/")
    found = [path for path in (ROOT / "tests").rglob(f"test_{stem}.py") if not folder or path.parent.name == folder]
    functions = (ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for path in found)
    return frozenset(
        node.name.removeprefix("test_")
        for nodes in functions
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


SUPPORT = ("Association and security", "Services", "Below the APDU", "Data and objects")
NAMED_TESTS = sorted(set(re.findall(r"`([a-z0-9_/]+)::([a-z0-9_]+)`", PAGE)) - {("association", "x")})


@pytest.mark.parametrize(("file", "test"), NAMED_TESTS)
def test_a_named_test_exists(file: str, test: str) -> None:
    assert test in names_in(file)


SUPPORT_TABLES = [(title, 0) for title in SUPPORT] + [("Data and objects", 1)]


@pytest.mark.parametrize(("title", "table"), SUPPORT_TABLES)
def test_all_that_is_supported_names_a_test_and_who_else_says_so(title: str, table: int) -> None:
    for row in rows(title, table):
        if is_supported(row):
            assert row["outside"], row
            assert "::" in row["test"], row


def test_every_row_of_a_table_has_a_cell_for_each_column() -> None:
    heads = [line for line in PAGE.splitlines() if re.fullmatch(r"\|[-|]+", line)]
    assert len(tables(PAGE)) == len(heads) > len(SUPPORT)


def apdu_classes() -> set[str]:
    """The public classes that are an APDU by themselves, which all have a tag."""
    places: Iterable[Any] = (apdu, acse)
    return {
        name
        for place in places
        for name, kind in inspect.getmembers(place, inspect.isclass)
        if hasattr(kind, "TAG") and kind.__module__.startswith("cosem_objects.dlms.")
    }


def test_every_apdu_class_has_a_row_and_every_row_its_classes() -> None:
    listed = [name for row in rows("Services") for name in quoted(row["classes"]) if name[0].isupper()]
    assert sorted(listed) == sorted(apdu_classes())


def test_services_without_a_class_are_not_claimed() -> None:
    for row in rows("Services"):
        assert is_supported(row) == bool(quoted(row["classes"])), row
    assert not {0xD9, 0xDA, 0x05, 0x06, 0x0C, 0x0D, 0x18} & set(apdu.TAG_NAMES)  # access, read, write, report


def security_rows(first_word: str) -> dict[str, dict[str, str]]:
    return {row["what"]: row for row in rows("Association and security") if row["what"].startswith(first_word)}


def test_every_mechanism_is_claimed_as_far_as_settings_take_it() -> None:
    claimed = {}
    for what, row in security_rows("mechanism").items():
        for number in re.findall(r"\d+", what.partition(",")[0]):
            claimed[int(number)] = quoted(what) if is_supported(row) else []
    assert set(claimed) == set(Mechanism)
    keys = {"ek": "00" * 16, "ak": "11" * 16}
    for number, names in claimed.items():
        secrets = {**keys, "password": "12345678"} if number else keys
        parsed = [SecuritySettings.parse({"mechanism": name, **secrets}).mechanism for name in names]
        assert parsed == [number] * len(names)
    words = {name for names in claimed.values() for name in names}
    with pytest.raises(SettingError, match=f"expected one of {', '.join(words_in_order(words, claimed))}$"):
        SecuritySettings.parse({"mechanism": "another"})


def words_in_order(words: set[str], claimed: dict[int, list[str]]) -> list[str]:
    return [name for number in sorted(claimed) for name in claimed[number] if name in words]


def test_every_form_and_strength_of_ciphering_has_a_row() -> None:
    named = {name for row in rows("Association and security") for name in quoted(row["what"])}
    assert {str(form) for form in Ciphering if form is not Ciphering.NONE} <= named
    assert {str(strength) for strength in Protection} == {
        name for what in security_rows("protection") for name in quoted(what)
    }


def test_every_application_context_has_a_row_and_only_ln_is_used() -> None:
    contexts = {
        int(number): is_supported(row)
        for what, row in security_rows("context").items()
        for number in re.findall(r"\d", what)
    }
    assert set(contexts) == set(ApplicationContext)
    keys = {"ek": "00" * 16, "ak": "11" * 16}
    used = {SecuritySettings.parse(mapping).application_context for mapping in ({}, keys)}
    assert used == {context for context, is_used in contexts.items() if is_used}


@pytest.mark.parametrize("suite", [1, 2])
def test_other_suites_are_refused(suite: int) -> None:
    [what] = [what for what in security_rows("suites") if str(suite) in what]
    assert not is_supported(security_rows("suites")[what])
    with pytest.raises(SettingError):
        SecuritySettings.parse({"suite": suite})


def test_every_scheme_has_a_row() -> None:
    listed = {name for row in rows("Below the APDU") for name in quoted(row["what"])}
    assert listed == set(TRANSPORTS)


def test_every_type_of_data_is_listed_once() -> None:
    listed = [name for row in rows("Data and objects") for name in row["what"].split(", ")]
    assert sorted(listed) == sorted(data_type.standard_name for data_type in DataType)


def classes_in(row: dict[str, str]) -> set[int]:
    return {int(number) for number in re.findall(r"\b(\d+) [A-Z]", row["class"])}


def simulators_profile() -> MeterProfile:
    file = "config/meter_profiles/sim.toml"
    return MeterProfile.parse_toml((ROOT / file).read_text(encoding="utf-8"), file)


def test_every_class_of_the_simulated_meter_and_of_ours_has_a_row() -> None:
    table = rows("Data and objects", 1)
    simulated = {row.class_id for row in objects_of(simulators_profile(), has_debt=True, has_limiter=True).values()}
    modules = (
        association_ln,
        charge,
        disconnect_control,
        limiter,
        profile_generic,
        push_setup,
        security_setup,
        token_gateway,
    )
    meant = {module.CLASS_ID for module in modules}
    meant |= {payment.ACCOUNT_CLASS_ID, payment.CREDIT_CLASS_ID, payment.STS_CLASS_ID}
    assert set().union(*map(classes_in, table)) == simulated | meant
    assert set().union(*[classes_in(row) for row in table if row["ours"].startswith("meter")]) == simulated


NOT_ABOUT_DLMS = {
    *(
        "name",
        "key_change_proof",
        "key_change_timeout_seconds",
        "gateway_obis",
        "account_obis",
        "sts_obis",
        "disconnect_control_obis",
        "device_name_obis",
    ),
    "token_log_obis",
    *("token_encoding", "token_readback", "hidden_token_proof", "remote_delivery_methods", "status_map"),
    *("data_value_map", "currency_name", "unit_aliases", "deviation_sign"),
    *("poll_first_seconds", "poll_timeout_seconds", "doubt_rounds_max"),
}
"""Profile fields that say what tokens, accounts and objects are like, not how a meter is spoken to."""


def test_every_profile_field_about_dlms_is_listed() -> None:
    listed = [name for name in quoted(section("Profile fields about DLMS")) if "/" not in name]
    assert sorted({*listed, *NOT_ABOUT_DLMS}) == sorted(known.name for known in fields(MeterProfile))
    assert not NOT_ABOUT_DLMS & set(listed)


def test_every_argument_of_an_association_that_meters_differ_in_is_a_profile_field() -> None:
    quirks = {"association_obis", "pdu_size_max", "restart_dedicated_counter", "dedicated_key_in_hls"}
    assert quirks <= set(inspect.signature(ClientAssociation).parameters) & {
        known.name for known in fields(MeterProfile)
    }
    assert "restart_counters" in inspect.signature(SecurityLayer.add_dedicated_key).parameters


def vector_ids() -> list[str]:
    vectors = json.loads((ROOT / "tests/vectors/dlms_vectors.json").read_text(encoding="utf-8"))["vectors"]
    return sorted(vector["id"] for vector in vectors)


def test_every_vector_is_listed_once_with_its_origin() -> None:
    listed = [name for row in rows("What was checked against what") for name in quoted(row["ids"])]
    assert sorted(listed) == vector_ids()


def test_a_row_names_only_vectors_that_there_are() -> None:
    named = set(re.findall(r"\b(?:acse|sec|xd|hdlc|wrap|tok|acc)-\d\d\b", PAGE))
    assert named == set(vector_ids())


@pytest.mark.parametrize("peer", PEERS)
def test_the_versions_compared_with_are_those_that_the_tests_use(peer: str) -> None:
    lock = (ROOT / "requirements/peers.lock").read_text(encoding="utf-8")
    version = re.search(rf"^{re.escape(PEERS[peer])}(\S+)", lock, re.MULTILINE)
    assert version
    assert f"**{peer} {version[1]}**" in PAGE
