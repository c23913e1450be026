"""Fleet files: found by name or by path, read, and parsed. Here, and nowhere deeper, files are opened."""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.fleet.group_table import is_shipped_name
from sim_meters.fleet.plan import FleetPlan
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

_CONFIG = Path(__file__).resolve().parents[2] / "config"
FLEETS = _CONFIG / "fleets"
PROFILES = _CONFIG / "meter_profiles"


def load_fleet(name: str, *, wires: WireSettings = WIRE_DEFAULTS, seed: int | None = None) -> FleetPlan:
    """A fleet by the name of a shipped one, or by its file. Raises ``SettingError``."""
    path = _path(name, FLEETS, "fleet")
    text = _text(path, "fleet")
    try:
        mapping = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # of tables in tables without end
        raise SettingError(f"fleet: {path} is no valid TOML: {str(error) or 'too deep'}") from None
    load = partial(load_profile, folder=path.parent)
    try:
        return FleetPlan.parse(mapping, load, wires=wires, seed=seed)
    except SettingError as error:
        raise SettingError(f"{path}: {error}") from None


def load_profile(name: str, folder: Path = Path()) -> MeterProfile:
    """A meter model by the name of a shipped one, or by its file, seen from a folder. Raises ``SettingError``."""
    path = _path(name, PROFILES, "profile", folder)
    return MeterProfile.parse_toml(_text(path, "profile"), str(path))


def _path(name: str, shipped: Path, what: str, folder: Path = Path()) -> Path:
    if not is_shipped_name(name):
        return folder / name
    path = shipped / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in shipped.glob("*.toml")))
        raise SettingError(f"{what}: expected {known} or a file; got {name!r}")
    return path


def _text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"{what}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"{what}: expected text in {path}") from None
