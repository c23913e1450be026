"""The published schema and the parser: one source, one opinion."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from sim_meters.fleet.fields import Fields
from sim_meters.scenario.file import parse_mapping
from sim_meters.scenario.meter_table import LineTable, MeterTable, MqttTable, SecurityTable, StsTable
from sim_meters.scenario.meters import Place, read_meters
from sim_meters.scenario.model import ScenarioFile, schema
from sim_meters.scenario.values import Table
from tests.fuzz.properties import assert_harmless
from tests.sim_meters.scenarios import ROOT, SHIPPED, loaded

PUBLISHED = ROOT / "config" / "scenario.schema.json"
VALIDATOR = jsonschema_rs.Draft202012Validator(schema())
FILES = [loaded(path) for path in SHIPPED]
SECRET = "0F" * 16


def parses(mapping: Any) -> bool:
    try:
        parse_mapping(ScenarioFile, mapping)
    except SettingError as error:
        assert_harmless(error, [SECRET.encode()])
        return False
    return True


def test_the_published_schema_is_the_parsers() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema(), (
        "write it anew: simmeters scenario --schema > config/scenario.schema.json"
    )


def test_it_is_a_schema_of_its_dialect() -> None:
    assert jsonschema_rs.meta.is_valid(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_scenarios_are_valid(path: Any) -> None:
    assert VALIDATOR.is_valid(loaded(path))


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in _places(one, (*at, key)))]


# Values that some member takes, and others do not. JSON cannot tell 1.0 from 1, so there is no such number here.
ODD = st.one_of(
    st.sampled_from(
        [
            *(
                "",
                "x",
                "A",
                "token",
                "enter",
                "expect",
                "none",
                "1",
                "25.6",
                "1e3",
                "online",
                "accepted",
                "used",
                SECRET,
            ),
            *("600727000000000009", "2026-11-21", "2026-11-21T12:30:00Z", "00", "0g", "4864 3202 7813 1401 0686"),
            *(0, 1, -1, 3, 255, 256, 1 << 63, 0.5, -0.5, 1e300, True, False),
            *([], [3, 5], [[3]], ["A"], {}, {"x": 1}, {"result": "accepted"}, {"A": 1}),
        ]
    ),
    st.text(max_size=5),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not number.is_integer()),
)
NAMES = st.sampled_from(["x", "do", "name", "meter", "token", "expect", "balance", "listen", "security", "on", "keep"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_parser_and_schema_agree_on_files_with_mistakes(data: st.DataObject) -> None:
    file = json.loads(json.dumps(data.draw(st.sampled_from(FILES))))
    file["case"] = file["case"][:2]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(_places(file)[1:]))
        inside: Any = file
        for key in place[:-1]:
            inside = inside[key]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                inside[place[-1]] = data.draw(ODD)
            case "remove":
                del inside[place[-1]]
            case "add" if isinstance(inside, dict):
                inside[data.draw(NAMES)] = data.draw(ODD)
            case "add":
                inside.append(data.draw(ODD))
    assert parses(file) == VALIDATOR.is_valid(file)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10) | NAMES, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=10) | st.sampled_from(["name", "meter", "case"]), JUNK, max_size=5))
def test_any_mapping_at_all_is_read_or_refused_in_one_sentence(mapping: dict[str, Any]) -> None:
    assert not parses({**mapping, "case": [{"name": "no steps"}]})
    assert parses(mapping) in (True, False)


def test_a_mapping_without_end_is_refused() -> None:
    endless: dict[str, Any] = {"name": "x"}
    endless["case"] = [endless]
    assert not parses(endless)
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    assert not parses({"name": "x", "case": deep})


def _members(kind: type[Table]) -> set[str]:
    return set(kind.model_fields)


def test_a_meter_has_the_words_of_a_fleets_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reader of fleet files asks for can be said here, but what belongs to many meters."""
    asked: dict[str, set[str]] = {}

    take = Fields.take

    def watched(fields: Fields, name: str) -> Any:
        asked.setdefault(fields.what.partition(": ")[2], set()).add(name)
        return take(fields, name)

    monkeypatch.setattr(Fields, "take", watched)
    read_meters([MeterTable(name="A")], Place(ROOT, ROOT, 0))
    of_many = {"count", "share", "call_in", "login", "behind", "push_to", "fault"}
    ours = {"name", "endpoint", "response_timeout_seconds"}
    assert asked[""] - of_many | ours == _members(MeterTable)
    assert asked["security"] == _members(SecurityTable)
    assert asked["sts"] == _members(StsTable)
    assert asked["mqtt"] == _members(MqttTable)
    assert asked["line"] == _members(LineTable)
