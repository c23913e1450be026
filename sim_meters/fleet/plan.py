"""FleetPlan: all groups of meters of one process, and the seed of everything that is left to chance. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from cosem_objects.errors import SettingError
from sim_meters.fault_order import EVERY_METER, MeterSelector
from sim_meters.fleet.fields import Fields
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.group_table import LoadProfile, Surroundings, read_group
from sim_meters.meter_config import MeterConfig
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

SEED_MAX = (1 << 63) - 1
"""As large as the whole numbers of TOML."""
GROUPS_MAX = 90
"""A million serials for each that does not say its own, and there are a hundred million."""


@dataclass(frozen=True, slots=True)
class Member:
    """One meter of a fleet, alive or not: the how-manieth of which group, counted from 0."""

    group: MeterGroup
    number: int

    @property
    def config(self) -> MeterConfig:
        """Made anew for everybody who asks, with the derivation of its keys."""
        return self.group.config(self.number)

    @property
    def name(self) -> str:
        return self.group.name_of(self.number)

    def is_meant_by(self, selector: MeterSelector) -> bool:
        """Its number counts from 1 there, as in its name."""
        if selector is EVERY_METER:  # without working out what the meter is called
            return True
        _, device_name, _ = self.group.names_of(self.number)
        return selector.matches(device_name, self.group.name, self.number + 1)


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """Names, PANs and system titles of the groups' meters are all different."""

    groups: tuple[MeterGroup, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        for name in names:
            if names.count(name) > 1:
                raise SettingError(f"group {name}: expected a name that no other group has")
        _check_apart(self.groups, "PAN", lambda group: (group.first.pan.manufacturer_code, group.first.pan.serial))
        _check_apart(self.groups, "system title", _title)
        _check_places(self.groups)

    @classmethod
    def parse(
        cls,
        mapping: Mapping[str, Any],
        load_profile: LoadProfile,
        *,
        wires: WireSettings = WIRE_DEFAULTS,
        seed: int | None = None,
    ) -> FleetPlan:
        """What a fleet file says. ``seed`` instead of the file's. Raises ``SettingError`` naming what is wrong."""
        fields = Fields("fleet", mapping)
        fields.text("description", "")
        own_seed = fields.whole("seed", 0, SEED_MAX, 0)
        used_seed = own_seed if seed is None else seed
        tables = fields.tables("group")
        fields.end()
        if not 1 <= len(tables) <= GROUPS_MAX:
            raise SettingError(f"fleet: expected 1 to {GROUPS_MAX} groups, [[group]]; got {len(tables)}")
        return cls(
            tuple(
                read_group(table, Surroundings(load_profile, wires, used_seed, position))
                for position, table in enumerate(tables)
            ),
            used_seed,
        )

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def places(self) -> int:
        """How many listeners it takes."""
        return sum(group.places for group in self.groups)

    @property
    def members(self) -> Iterator[Member]:
        """All meters, one after the other."""
        return (Member(group, number) for group in self.groups for number in range(group.count))

    def find(self, text: str) -> Member | None:
        """The meter of this name, serial (COSEM logical device name) or PAN; ``None``: there is none."""
        for group in self.groups:
            number = group.number_of(text)
            if number is not None:
                return Member(group, number)
        return None


def _check_apart(
    groups: Sequence[MeterGroup], what: str, begin_of: Callable[[MeterGroup], tuple[str | bytes, int]]
) -> None:
    """What counts up in one group does not come again in another. ``begin_of``: the part that stays, and the number
    of the first meter."""
    for one, other in combinations(groups, 2):
        (part, begin), (other_part, other_begin) = begin_of(one), begin_of(other)
        if part == other_part and begin < other_begin + other.count and other_begin < begin + one.count:
            raise SettingError(f"group {other.name}: {what}: expected other ones than those of group {one.name}")


def _check_places(groups: Sequence[MeterGroup]) -> None:
    """Every port, line and name at a broker is of one group."""
    seen: dict[tuple[str, str], str] = {}
    for group in groups:
        for key in _places_of(group):
            other = seen.setdefault(key, group.name)
            if other != group.name:
                what = "names at the broker that no other meter has" if all(key) else "places that no other group has"
                shown = (key[1] or key[0])[:60]
                raise SettingError(f"group {group.name}: listen: expected {what}; group {other} has {shown}")


def _places_of(group: MeterGroup) -> Iterator[tuple[str, str]]:
    """Host and port, or path; of a broker both, without the site: it knows a meter by its name alone, and lets the last
    one in throw the first one out."""
    if group.calls_in:
        return
    is_at_broker = group.endpoint.scheme.startswith("mqtt")
    for place in range(group.places):
        endpoint = group.endpoint_of(place)
        if is_at_broker:
            yield endpoint.authority, endpoint.path.rpartition("/")[2]
        elif endpoint.path:
            yield "", endpoint.path
        elif endpoint.port:
            yield endpoint.authority, ""


def _title(group: MeterGroup) -> tuple[bytes, int]:
    title = group.title_of(0)
    return title[:3], int.from_bytes(title[3:], "big")
