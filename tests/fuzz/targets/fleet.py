"""The text of a fleet file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.fleet.plan import FleetPlan
from tests.fuzz.properties import assert_harmless
from transports.channel import Address

SIZE_MAX = 800
_FLEETS = Path(__file__).resolve().parents[3] / "config" / "fleets"
_HEAD = '[[group]]\nname = "a"\nlisten = "tcp://127.0.0.1:4059"\n'
_WRONG = ("[1]", '"x"', "-1", "nan", "{ a = 1 }", "1e99", "true", "2024-11-24", "99999999999999999999")
_TABLES = ("sts", "sts.settings", "security", "line", "mqtt")
_ADDRESSES = [Address(1, sap, physical) for sap in (0, 1, 1001, 0xFFFF) for physical in (None, 0, 1, 17, 0x3FFF)]


def seeds() -> list[bytes]:
    """Each group of the shipped fleets, and each of their members in a group of its own, right and wrong."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(_FLEETS.glob("*.toml"))]
    groups = ["[[group]]" + group for text in texts for group in text.split("[[group]]")[1:]]
    lines = {line.removeprefix("# ").partition("  #")[0].rstrip() for text in texts for line in text.splitlines()}
    members = sorted(line for line in lines if " = " in line and not line.startswith(("#", "[", "name", "listen")))
    names = [member.partition(" = ")[0] for member in members]
    rows = [*members, *(f"{name} = {value}" for name in names for value in _WRONG)]
    few = [*members, *(f"{name} = {value}" for name in names for value in _WRONG[:3])]
    tables = [f"[group.{table}]\n{row}" for table in _TABLES for row in few]
    faults = [f"[[group.fault]]\n{row}" for row in members]
    more = ["count = 2\nshare = 2\nphysical = 126", 'call_in = "tcp://127.0.0.1:1"', "count = 3\nserver_sap = 65534"]
    twice = _HEAD + "count = 9\n" + _HEAD.replace('"a"', '"b"') + '[group.sts]\npan = "600727000000000009"\n'
    return [
        text.encode()
        for text in (*groups, twice, "seed = 1", *(_HEAD + one for one in (*rows, *tables, *faults, *more)))
    ]


def one_input(octets: bytes) -> None:
    try:
        mapping = tomllib.loads(octets.decode("utf-8", "replace"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    try:
        plan = FleetPlan.parse(mapping, _any_profile)
    except SettingError as error:
        assert_harmless(error)
        return
    for group in plan.groups:
        assert 1 <= group.count <= 100_000
        assert (group.places - 1) * group.share < group.count <= group.places * group.share
        for number in {0, group.count // 2, group.count - 1}:
            config = group.config(number)
            place = group.place_of(number)
            assert group.endpoint_of(place)
            address = Address(config.client_sap, config.server_sap, config.physical)
            assert group.number_at(place, address) == number
            member = plan.find(config.pan.digits)
            assert member is not None
            assert (member.group, member.number) == (group, number)
        for address in _ADDRESSES:
            found = group.number_at(0, address)
            assert found is None or 0 <= found < min(group.share, group.count)


def _any_profile(name: str) -> MeterProfile:
    """Files are not read here."""
    if name != "sim":
        raise SettingError("there is no such profile")
    return MeterProfile()
