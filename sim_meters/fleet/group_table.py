"""One ``[[group]]`` of a fleet file, read into a ``MeterGroup``. Pure: profiles are loaded by who hands in how."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import TokenEncoding
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.fault_order import FaultOrder
from sim_meters.fleet.fields import Fields, named
from sim_meters.fleet.group import PHYSICAL_MAX, SERVER_SAP_MAX, MeterGroup
from sim_meters.fleet.identity_tables import SecurityTable, StsTable, read_system_title
from sim_meters.fleet.places import check_callee, check_place, login_of, parse_place
from sim_meters.meter_config import STATUS_DELAY_SECONDS_MAX, MeterConfig, PushTo
from sim_meters.objects import objects_of
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc.connection import ADDRESS_BYTES, HdlcSettings
from transports.serial.simulated_line import PERFECT_LINE, SimulatedLine
from transports.wire_options import checked_topic_root
from transports.wire_settings import MqttPayload, MqttProtocol, WireSettings

LoadProfile = Callable[[str], MeterProfile]
"""A profile by its name, or by its file. Raises ``SettingError``."""

METERS_MAX = 100_000
PDU_SIZE_MIN, PDU_SIZE_MAX = 64, 0xFFFF
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a group does not say itself."""

    load_profile: LoadProfile
    wires: WireSettings
    """Of the whole process: certificates, and the broker's password."""
    seed: int
    position: int
    """Among the groups of the file, from 0."""


def read_group(table: Mapping[str, Any], around: Surroundings) -> MeterGroup:
    """Raises ``SettingError``, as do all functions here."""
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SettingError(
            f"group {around.position + 1}: name: expected 1 to 40 letters, digits, dots, hyphens or underscores"
        )
    fields = Fields(f"group {name}", table)
    fields.take("name")
    with named(fields.what):
        group = _read(name, fields, around)
        fields.end()
        return group


def _read(name: str, fields: Fields, around: Surroundings) -> MeterGroup:
    count = fields.whole("count", 1, METERS_MAX, 1)
    endpoint, calls_in = _endpoint(fields)
    profile_name = fields.text("profile", "sim")
    profile = _profile(profile_name, fields, around.load_profile)
    sts = StsTable.read(fields.table("sts"), around.position)
    title = read_system_title(fields, around.position)
    security = SecurityTable.read(fields.table("security"), title)
    unit = _unit(fields)
    debt = fields.text("debt", None)
    emergency = fields.digits("emergency_credit", None)
    behind = fields.text("behind", None)
    first = MeterConfig(
        key=sts.key,
        decoder_key=sts.decoder_key,
        manufactured=sts.manufactured,
        ken=sts.ken,
        sts_settings=sts.settings,
        unit=unit,
        emergency=None if emergency is None else EmergencyCredit.parse(emergency, unit.kind.decimals),
        debt=None if debt is None else DebtRecovery.parse(debt, unit.kind.decimals),
        profile=profile,
        security=security.settings,
        master_key=security.master_key,
        answers_as_asked=security.answers_as_asked,
        client_sap=fields.whole("client_sap", 1, 127, 1),
        server_sap=fields.whole("server_sap", 1, SERVER_SAP_MAX, 1),
        physical=fields.whole("physical", 1, PHYSICAL_MAX, None),
        behind=None if behind is None else NetworkAddress.parse(behind),
        status_delay_seconds=fields.number("status_delay_seconds", 0, STATUS_DELAY_SECONDS_MAX, " s", 0.0),
        control_mode=fields.whole("control_mode", 0, 6, 6),
        associations_max=fields.whole("associations_max", 1, 1000, None),
        push_to=PushTo(fields.choice("push_to", tuple(PushTo), PushTo.NOBODY.value)),
    )
    first.new_machine()  # a date of manufacture that the base date does not reach is found here
    objects_of(profile, has_debt=first.debt is not None, has_emergency=first.emergency is not None, has_limiter=True)
    return MeterGroup(
        name=name,
        count=count,
        first=first,
        profile_name=profile_name if is_shipped_name(profile_name) else "",
        endpoint=endpoint,
        calls_in=calls_in,
        login=_login(fields, security.settings, calls_in=calls_in),
        share=fields.whole("share", 1, METERS_MAX, 1),
        hdlc=_hdlc(fields, profile),
        wires=_wires(fields, around.wires, around.seed),
        faults=_faults(fields),
        vending_key=sts.vending_key,
        secrets_seed=str(around.seed) if security.are_secrets_made else None,
    )


def _endpoint(fields: Fields) -> tuple[Endpoint, bool]:
    """Where they listen; or whom they call, and True."""
    listens, calls = fields.text("listen", None), fields.text("call_in", None)
    if (listens is None) == (calls is None):
        raise SettingError("expected listen, a URL, or call_in, but not both")
    if calls is not None:
        endpoint = parse_place(calls, "call_in")
        check_callee(endpoint, "call_in")
        return endpoint, True
    endpoint = parse_place(str(listens), "listen")
    check_place(endpoint, "listen")
    return endpoint, False


def _login(fields: Fields, security: SecuritySettings, *, calls_in: bool) -> str:
    value = fields.take("login")
    if value is not None and not calls_in:
        raise fields.error("login", "expected none with listen; it is what meters say that call in")
    return login_of(value, security, f"{fields.what}: login") if calls_in else ""


def is_shipped_name(profile_name: str) -> bool:
    """Whether this names one of the shipped meter models, and not a file."""
    return "/" not in profile_name and not profile_name.endswith(".toml")


def _profile(name: str, fields: Fields, load_profile: LoadProfile) -> MeterProfile:
    with named(fields.what):
        profile = load_profile(name)
    encoding = fields.choice("token_encoding", tuple(TokenEncoding), None)
    if encoding is not None:
        profile = replace(profile, token_encoding=TokenEncoding(encoding))
    pdu_max = fields.whole("pdu_max", PDU_SIZE_MIN, PDU_SIZE_MAX, None)
    return profile if pdu_max is None else replace(profile, pdu_size_max=pdu_max)


def _unit(fields: Fields) -> AccountUnit:
    return AccountUnit.parse(fields.text("currency", None), fields.text("commodity", None))


def _hdlc(fields: Fields, profile: MeterProfile) -> HdlcSettings:
    # In TOML a number need not stand in quotation marks.
    length = fields.take("address_bytes")
    if length is not None and str(length) not in ADDRESS_BYTES:
        raise fields.error("address_bytes", "expected auto, 1, 2 or 4")
    info_max = fields.whole("hdlc_info_max", 0, 0xFFFF, profile.hdlc_info_max)
    window_max = fields.whole("hdlc_window", 1, 7, profile.hdlc_window_max)
    is_pushed_at_once = fields.boolean("hdlc_push")
    try:
        return HdlcSettings(
            address_bytes=ADDRESS_BYTES["auto" if length is None else str(length)],
            info_max=info_max,
            window_max=window_max,
            unasked_at_once=is_pushed_at_once,
        )
    except ValueError as error:
        raise SettingError(f"hdlc_info_max: {error}") from None


def _wires(fields: Fields, wires: WireSettings, seed: int) -> WireSettings:
    """What is a matter of meter models and lines; certificates and passwords are the command's."""
    mqtt = fields.table("mqtt")
    payload = mqtt.choice("payload", tuple(MqttPayload), wires.mqtt.payload.value)
    protocol = mqtt.choice("protocol", tuple(MqttProtocol), wires.mqtt.protocol.value)
    root = mqtt.text("topic_root", wires.mqtt.topic_root)
    mqtt.end()
    line = fields.table("line")
    simulated = SimulatedLine(
        echo=line.boolean("echo"),
        noise=line.number("noise", 0, 1, "", 0.0),
        noise_octets_max=line.whole("noise_octets_max", 1, 255, PERFECT_LINE.noise_octets_max),
        gap_seconds=line.number("gap_seconds", 0, 10, " s", 0.0),
        seed=seed,
    )
    line.end()
    try:
        root = checked_topic_root(root)
    except EndpointError as error:
        raise SettingError(str(error)) from None
    return replace(
        wires,
        mqtt=replace(wires.mqtt, payload=MqttPayload(payload), protocol=MqttProtocol(protocol), topic_root=root),
        serial=replace(wires.serial, line=simulated),
    )


def _faults(fields: Fields) -> tuple[FaultOrder, ...]:
    return tuple(
        FaultOrder.parse_mapping(table, f"fault {place}") for place, table in enumerate(fields.tables("fault"), 1)
    )
