"""The text of a scenario file: what is read of it, and whether the published schema agrees."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from cosem_objects.errors import SettingError
from sim_meters.scenario.file import parse_text
from sim_meters.scenario.meters import Place, read_meters
from sim_meters.scenario.model import ScenarioFile
from sim_meters.scenario.plan import make_plan
from tests.fuzz.properties import assert_harmless

SIZE_MAX = 800
_CONFIG = Path(__file__).resolve().parents[3] / "config"
_SCHEMA = json.loads((_CONFIG / "scenario.schema.json").read_text(encoding="utf-8"))
_VALIDATOR = jsonschema_rs.Draft202012Validator(_SCHEMA)
_HEAD = 'name = "a"\nclock.start = 2026-11-21T12:30:00Z\n[[meter]]\nname = "A"\n'
_CASE = '[[case]]\nname = "c"\n[[case.step]]\n'
_TOKEN = _CASE + 'do = "token"\ntoken = "t"\namount = 1\n[[case.step]]\n'
_EXPECT = 'do = "expect"\nbalance = 1\n'
_WRONG = ("[1]", '"x"', "-1", "nan", "{ a = 1 }", "1e99", "true", "2024-11-24", "99999999999999999999")
_NO_PLACE = Path("/nowhere")


def seeds() -> list[bytes]:
    """Each step of the shipped scenarios in a case of its own, and each of its members right and wrong."""
    texts = [file.read_text(encoding="utf-8") for file in sorted((_CONFIG / "scenarios").glob("*.toml"))]
    cases = [case for text in texts for case in text.split("[[case]]")[1:]]
    steps = sorted({step.partition("\n\n\n")[0].strip() for case in cases for step in case.split("[[case.step]]")[1:]})
    members = sorted({line for step in steps for line in step.splitlines() if " = " in line and line[0] != "#"})
    names = sorted({member.partition(" = ")[0] for member in members})
    wrong = [f"{name} = {value}" for name in names for value in _WRONG]
    kinds = [member for member in members if member.startswith("do = ")]
    meters = [
        "profile",
        "currency",
        "commodity",
        "emergency_credit",
        "system_title",
        "physical",
        "sts",
        "security",
        "line",
        "debt",
        "listen",
        "endpoint",
    ]
    texts = [_HEAD + _TOKEN + step + "\n[[case.step]]\n" + _EXPECT for step in steps]
    texts += [f"{_HEAD}{_TOKEN}{kind}\n{row}" for kind in kinds for row in (*members, *wrong[:: len(kinds)])]
    texts += [f"{_HEAD}{name} = {value}\n{_CASE}{_EXPECT}" for name in meters for value in _WRONG]
    texts += [_HEAD + "[[case]]" + case for case in cases]
    return [text.encode() for text in texts if len(text) <= SIZE_MAX]


def one_input(octets: bytes) -> None:
    text = octets.decode("utf-8", "replace")
    mapping, file = _toml(text), _read(text)
    assert mapping is None or is_valid(mapping) is (file is not None), "schema and parser do not agree"
    if file is None:
        return
    if file.fleet is not None or any(meter.profile is not None for meter in file.meter):
        return  # files are not read here
    try:
        plan = make_plan(file, _NO_PLACE, read_meters(file.meter, Place(_NO_PLACE, _NO_PLACE, file.seed)), file.seed)
    except SettingError as error:
        assert_harmless(error)
        return
    assert {run.case.name for run in plan.runs} == {case.name for case in file.case}
    assert all(run.meter in plan.meters for run in plan.runs)


def is_valid(mapping: dict[str, Any]) -> bool:
    return bool(_VALIDATOR.is_valid(mapping))


def _read(text: str) -> ScenarioFile | None:
    try:
        return parse_text(ScenarioFile, text)
    except SettingError as error:
        assert_harmless(error)
        return None


def _toml(text: str) -> dict[str, Any] | None:
    """As JSON; ``None`` if it is none, or has numbers that JSON tells apart otherwise than TOML does."""
    try:
        mapping: dict[str, Any] = json.loads(json.dumps(tomllib.loads(text), default=lambda time: time.isoformat()))
    except (ValueError, RecursionError):
        return None
    is_plain = all(math.isfinite(number) and not number.is_integer() for number in _floats(mapping))
    return mapping if is_plain else None


def _floats(value: object) -> Iterator[float]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _floats(one)
    if isinstance(value, float):
        yield value
