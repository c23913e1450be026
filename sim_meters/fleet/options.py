"""The options of ``simmeters run`` that are about a whole fleet, and what they come to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from pathlib import Path

from cosem_objects.errors import SettingError
from sim_meters.fleet.files import FLEETS, load_fleet
from sim_meters.fleet.listing import check_list_file
from sim_meters.fleet.places import check_loopback
from sim_meters.fleet.plan import SEED_MAX, FleetPlan
from sim_meters.option_values import whole
from transports.wire_options import wire_settings_from

_WITH_A_FLEET = (
    *("fleet", "seed", "state_dir", "allow_remote", "list", "list_secrets", "json", "trace", "trace_secrets"),
    *("tls_ca", "tls_certificate", "tls_key", "tls_any_host", "mqtt_username", "mqtt_password", "mqtt_password_file"),
    *("lab_api", "clock_start", "clock_speed"),
    *("mqtt_protocol", "mqtt_payload", "mqtt_topic_root", "serial_echo"),
)
"""The other options describe one meter, and the file describes them all."""


@dataclass(frozen=True, slots=True)
class ListFile:
    path: Path
    with_secrets: bool


def add_fleet_options(parser: ArgumentParser) -> None:
    known = ", ".join(sorted(file.stem for file in FLEETS.glob("*.toml")))
    fleet = parser.add_argument_group("a fleet of meters")
    add = fleet.add_argument
    add("--fleet", metavar="NAME|FILE", help=f"the meters of a fleet file (TOML); NAME is one of {known}")
    add(
        "--list",
        metavar="FILE",
        help="write a list of all meters, as stsgate meters import takes it: FILE.csv, or FILE.jsonl for JSON lines",
    )
    add("--list-secrets", action="store_true", help="with passwords and keys in the list, which only you can read then")
    add("--json", action="store_true", help="say what is listening, and that all is ready, as JSON lines")


def read_fleet_plan(options: Namespace, parser: ArgumentParser) -> FleetPlan:
    """The fleet of ``--fleet``. Raises ``SettingError``, ``EndpointError``."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of what it knows
        name = action.dest
        if name in options and name not in _WITH_A_FLEET and getattr(options, name) != parser.get_default(name):
            raise SettingError(f"{action.option_strings[0]}: expected none with --fleet; the file says how meters are")
    seed = None if options.seed is None else whole(options, "seed", 0, SEED_MAX)
    plan = load_fleet(options.fleet, wires=wire_settings_from(options), seed=seed)
    if not options.allow_remote:
        for group in plan.groups:
            check_loopback(group.endpoint, f"group {group.name}: {'call_in' if group.calls_in else 'listen'}")
    return plan


def read_list_file(options: Namespace) -> ListFile | None:
    """Raises ``SettingError``."""
    if options.list is None:
        if options.list_secrets:
            raise SettingError("--list-secrets: expected together with --list")
        return None
    path = Path(options.list)
    check_list_file(path)
    return ListFile(path, options.list_secrets)
