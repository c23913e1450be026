"""The profiles that come with the package."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields

from cosem_objects.profile import MeterProfile
from sim_meters.fleet.files import PROFILES
from sim_meters.meter_config import SIM_PROFILE


def read(name: str) -> str:
    return (PROFILES / f"{name}.toml").read_text(encoding="utf-8")


def test_the_default_profile_changes_nothing() -> None:
    assert tomllib.loads(read("default")) == {}


def test_the_default_profile_shows_every_field_with_its_default_and_a_meaning() -> None:
    lines = [line.removeprefix("# ") for line in read("default").splitlines() if re.match(r"# [a-z_]+ = ", line)]
    shown = {line.partition(" = ")[0] for line in lines}
    assert shown == {field.name for field in fields(MeterProfile)}
    assert len(lines) == len(shown)
    for line in lines:
        assert re.search(r" # \S.{10}", line), f"no meaning: {line}"
    assert MeterProfile.parse(tomllib.loads("\n".join(lines))) == MeterProfile()


def test_the_simulators_profile() -> None:
    assert MeterProfile.parse(tomllib.loads(read("sim"))) == SIM_PROFILE


def test_every_profile_is_readable() -> None:
    for file in PROFILES.glob("*.toml"):
        MeterProfile.parse(tomllib.loads(file.read_text(encoding="utf-8")))
