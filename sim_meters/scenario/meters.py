"""The meters of a scenario: who each is, how a client reaches it, and what key its tokens need.

A simulated meter is described as a group of a fleet file is, and read by the same reader. A real one is described in
the same words; only its endpoint is its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.account import AccountUnit
from sim_meters.fault_order import FaultOrder
from sim_meters.fleet.files import load_fleet, load_profile
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.group_table import Surroundings, is_shipped_name, read_group
from sim_meters.fleet.places import check_loopback
from sim_meters.issuing import IssuerKey
from sim_meters.meter_config import MeterConfig
from sim_meters.scenario.meter_table import MeterTable
from sim_meters.sts.keys.decoder_key import VendingKey
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import HdlcSettings
from transports.registry import check_callable
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

_CLIENT_SYSTEM_TITLE = bytes.fromhex("5354534741544501")
"""``STSGATE`` and 01, as ``stsgate deliver`` has it."""
_ANY_PLACE = "tcp://127.0.0.1:0"
_OUR_OWN = {"endpoint", "response_timeout_seconds"}
"""What a group of a fleet does not have."""
_SIMULATED_ONLY = {
    *("listen", "debt", "emergency_credit", "pdu_max", "status_delay_seconds", "control_mode", "associations_max"),
    *("hdlc_push", "line"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterPlan:
    """One meter of a scenario."""

    name: str
    endpoint: Endpoint
    """Where it is, or, if it is simulated, where it listens."""
    config: MeterConfig
    """All that is known of it; a simulated one is made by it."""
    is_simulated: bool
    vending_key: VendingKey | None
    """``None``: only the decoder key is known, and no other key can be derived."""
    profile: MeterProfile
    """As its client has it."""
    profile_option: str
    security: SecuritySettings = field(repr=False)
    """As its client has it."""
    hdlc: HdlcSettings
    """As the meter has it."""
    wires: WireSettings = WIRE_DEFAULTS
    faults: tuple[FaultOrder, ...] = ()
    """Those that a simulated one has from the beginning."""

    @property
    def key(self) -> IssuerKey:
        """The one that it begins with."""
        return IssuerKey.of(self.config, self.vending_key)

    @property
    def unit(self) -> AccountUnit:
        return self.config.unit

    @property
    def client_hdlc(self) -> HdlcSettings:
        return replace(self.hdlc, response_timeout_seconds=self.profile.response_timeout_seconds)

    def options(self, endpoint: Endpoint) -> list[str]:
        """All options with which ``stsgate`` speaks to this meter."""
        security, config = self.security, self.config
        said = {
            "endpoint": str(endpoint),
            "client-sap": config.client_sap,
            "server-sap": config.server_sap,
            "physical": config.physical,
            "security": security.mechanism.name.lower().replace("_", "-"),
            "ciphering": security.ciphering.value,
            "protection": security.protection.value,
            "ek": security.ek.hex(),
            "ak": security.ak.hex(),
            "password": security.password.decode(),
            "profile": self.profile_option,
            "token-encoding": self.profile.token_encoding.value,
        }
        return [text for name, value in said.items() if value not in (None, "") for text in (f"--{name}", str(value))]

    @property
    def secrets(self) -> list[str]:
        """What is never shown, wherever it stands."""
        return [self.security.ek.hex(), self.security.ak.hex(), self.security.password.decode()]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file with meters is read, and for which run."""

    folder: Path
    """Of the file: profiles and fleets are looked for from there."""
    directory: Path
    """Of the run: for the pseudo-terminals of simulated meters."""
    seed: int
    wires: WireSettings = WIRE_DEFAULTS
    """Certificates, and the broker's password."""


def read_meters(tables: Sequence[MeterTable], place: Place) -> dict[str, MeterPlan]:
    """By name. Raises ``SettingError`` naming the meter."""
    meters: dict[str, MeterPlan] = {}
    for position, table in enumerate(tables):
        if table.name in meters:
            raise SettingError(f"meter {table.name}: expected it once")
        around = Surroundings(partial(load_profile, folder=place.folder), place.wires, place.seed, position)
        try:
            meters[table.name] = _read(table, around, place)
        except (SettingError, EndpointError) as error:
            message = str(error).removeprefix(f"group {table.name}: ")
            raise SettingError(f"meter {table.name}: {message}") from None
    return meters


def read_fleet(name: str, place: Place, wanted: Collection[str]) -> dict[str, MeterPlan]:
    """Those of a fleet's meters that are wanted, by name: ``GROUP-NUMBER``. Raises ``SettingError``."""
    path = name if is_shipped_name(name) else str(place.folder / name)
    fleet = load_fleet(path, wires=place.wires, seed=place.seed)
    found: dict[str, MeterPlan] = {}
    for meter in sorted(wanted):
        member = fleet.find(meter)
        if member is None or member.name != meter:
            continue
        group, number = member.group, member.number
        if group.calls_in:
            raise SettingError(f"meter {meter}: it calls in, and here nobody listens for it")
        if group.first.behind is not None:
            raise SettingError(f"meter {meter}: it is behind a concentrator, which our client cannot speak through")
        config = group.config(number)
        found[meter] = MeterPlan(
            name=meter,
            endpoint=group.endpoint_of(group.place_of(number)),
            config=config,
            is_simulated=True,
            vending_key=group.vending_key,
            profile=group.first.profile,
            profile_option=group.profile_name or "default",
            security=_of_client(config.security, title_is_known=True),
            hdlc=group.hdlc,
            wires=group.wires,
            faults=tuple(order for order in group.faults if member.is_meant_by(order.selector)),
        )
    return found


def _read(table: MeterTable, around: Surroundings, place: Place) -> MeterPlan:
    is_simulated = table.endpoint is None
    said = table.model_dump(exclude_unset=True, exclude_none=True, exclude=_OUR_OWN)
    said["listen"] = table.endpoint or (table.listen or _ANY_PLACE).replace("{directory}", str(place.directory))
    if not is_simulated and _SIMULATED_ONLY & table.model_fields_set:
        name = min(_SIMULATED_ONLY & table.model_fields_set)
        raise SettingError(f"{name}: expected none with an endpoint; it is for simulated meters")
    if not is_simulated and table.sts.settings:
        raise SettingError("sts, settings: expected none with an endpoint; they are for simulated meters")
    group = read_group(said, around)
    config = group.config(0)
    if is_simulated:
        check_loopback(group.endpoint, "listen")
    else:
        _check_real(group)
    profile, name = config.profile, table.profile or "sim"
    if table.response_timeout_seconds is not None:
        profile = replace(profile, response_timeout_seconds=table.response_timeout_seconds)
    return MeterPlan(
        name=table.name,
        endpoint=group.endpoint,
        config=config,
        is_simulated=is_simulated,
        vending_key=group.vending_key,
        profile=profile,
        profile_option=name if is_shipped_name(name) else str(place.folder / name),
        security=_of_client(config.security, title_is_known=is_simulated or table.system_title is not None),
        hdlc=group.hdlc,
        wires=group.wires,
    )


def _of_client(security: SecuritySettings, *, title_is_known: bool) -> SecuritySettings:
    """The other side of a meter's. What nobody said of a real meter is not checked."""
    title = security.meter_system_title if title_is_known and security.needs_titles else b""
    return replace(security, client_system_title=_CLIENT_SYSTEM_TITLE, meter_system_title=title)


def _check_real(group: MeterGroup) -> None:
    check_callable(group.endpoint)
    if group.secrets_seed is not None and (group.first.security.needs_keys or group.first.security.password):
        raise SettingError("security: expected the meter's own keys, or its password")
