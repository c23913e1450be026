"""What ``simmeters run`` is told, read into values before anything is opened. Every refusal is one sentence."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import TokenEncoding
from sim_meters.account import AccountUnit
from sim_meters.debt import DebtRecovery
from sim_meters.emergency import EmergencyCredit
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.fleet.files import load_profile
from sim_meters.fleet.group import MeterGroup
from sim_meters.fleet.group_table import is_shipped_name
from sim_meters.fleet.options import ListFile, add_fleet_options, read_fleet_plan, read_list_file
from sim_meters.fleet.plan import SEED_MAX, FleetPlan
from sim_meters.lab import LAB_PAN, LAB_SGC, LAB_VENDING_KEYS
from sim_meters.lab_api.options import LabPlan, add_lab_options, read_lab_plan
from sim_meters.meter_config import STATUS_DELAY_SECONDS_MAX, MeterConfig, PushTo
from sim_meters.objects import objects_of
from sim_meters.option_values import seconds, whole
from sim_meters.place_options import add_place_options, read_behind, read_endpoint, read_hdlc, read_login, read_physical
from sim_meters.security_options import add_security_options, read_master_key, read_security
from sim_meters.sts.commands.key_options import add_key_options, read_attributes, read_decoder_key, read_vending_key
from sim_meters.sts.keys.decoder_key import VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.machine.machine_settings import SETTING_HELP, MachineSettings
from sim_meters.trace_option import add_trace_options
from transports.wire_options import add_wire_options, wire_settings_from

METERS_MAX = 20_000
ASSOCIATIONS_MAX = 1000
PDU_SIZES = (64, 0xFFFF)
"""As in a profile."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All meters of one command."""

    fleet: FleetPlan
    state_dir: Path | None
    list: ListFile | None
    as_json: bool
    is_fleet: bool
    """Of a file: its meters are made when somebody speaks to them."""
    has_lab_key: bool
    """No key was given: the published one is used."""
    lab: LabPlan


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options of ``run``. Their values are read by ``read_plan``, which explains better than argparse."""
    add_place_options(parser)
    add_wire_options(parser)
    add_security_options(parser)
    meter = parser.add_argument_group("the meter")
    add = meter.add_argument
    add("--profile", metavar="NAME|FILE", default="sim", help="meter model, default sim")
    add("--token-encoding", metavar="NAME", help="ascii20, bcd10, digits20 or binary9, instead of the profile's")
    add("--manufactured", metavar="DATE", help="tokens from before are too old; default the base date")
    add("--currency", metavar="CODE[:SCALE]", help="account in money, such as ZAR or ZAR:-2, instead of kWh")
    add(
        "--commodity",
        metavar="NAME",
        help="what the meter sells: electricity (default), water, gas or time; without --currency the account is in "
        "kWh, m3 or min",
    )
    add(
        "--emergency-credit",
        metavar="AMOUNT",
        help="the customer of an empty meter may take AMOUNT in advance, which tokens pay back first",
    )
    add(
        "--ken",
        metavar="N",
        default=str(KEN_NEVER),
        help="key expiry number, 0 to 255 (default, never): no tokens are taken whose TID is beyond it",
    )
    add(
        "--sts-setting",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what the standard leaves open; " + "; ".join(f"{name}: {words}" for name, words in SETTING_HELP.items()),
    )
    add(
        "--debt",
        metavar="AMOUNT:PERCENT",
        help="the customer owes AMOUNT, and every credit token pays PERCENT of itself back, such as 100:25",
    )
    add(
        "--pdu-max", metavar="N", help="longest APDU that the meter takes, 64 to 65535 octets, instead of the profile's"
    )
    add("--status-delay", metavar="SECONDS", default="0", help="show a token as received for so long; default 0")
    add("--associations-max", metavar="N", help="so many management associations at once; default any number")
    add("--push-to", metavar="WHOM", default="nobody", help=f"who hears of a token unasked: {', '.join(PushTo)}")
    add("--state-dir", metavar="DIR", help="keep a ledger for each meter there; default: in memory")
    add(
        "--fault",
        metavar="FAULT",
        action="append",
        default=[],
        help=f"NAME[=VALUE][:COUNT|:PERCENT%%][@PHASE]: {_FAULTS}",
    )
    add("--seed", metavar="N", help="of all chance, default 0; with --fleet, instead of the file's")
    add_key_options(parser)
    add_fleet_options(parser)
    add_lab_options(parser)
    add_trace_options(parser)
    parser.set_defaults(pan=LAB_PAN, sgc=LAB_SGC)


_FAULTS = ", ".join(Fault)


def read_plan(options: Namespace, parser: ArgumentParser) -> RunPlan:
    """Everything that the options say. Raises ``SettingError`` or ``EndpointError`` naming what is wrong."""
    has_lab_key = False
    if options.fleet is None:
        fleet, has_lab_key = _counted_meters(options)
    else:
        fleet = read_fleet_plan(options, parser)
    _check_certificate(fleet)
    return RunPlan(
        fleet=fleet,
        state_dir=_state_dir(options),
        list=read_list_file(options),
        as_json=options.json,
        is_fleet=options.fleet is not None,
        has_lab_key=has_lab_key,
        lab=read_lab_plan(options),
    )


def _check_certificate(fleet: FleetPlan) -> None:
    for group in fleet.groups:
        is_tls_server = group.endpoint.scheme == "tcps" and not group.calls_in
        if is_tls_server and group.wires.tls.certificate_file is None:
            raise SettingError("--tls-certificate and --tls-key: expected both; meters that listen with tcps need them")


def _state_dir(options: Namespace) -> Path | None:
    if options.state_dir == "":  # as of a variable of the shell that is not set; to Path it is the current directory
        raise SettingError("--state-dir: expected a directory; got ''")
    return None if options.state_dir is None else Path(options.state_dir)


def _counted_meters(options: Namespace) -> tuple[FleetPlan, bool]:
    """One group, of meters that are all as the options say; and whether no key was given."""
    endpoint, calls_in = read_endpoint(options)
    profile = _profile(options)
    unit = AccountUnit.parse(options.currency, options.commodity)
    has_lab_key, vending_key, key = _keys(options)
    first = MeterConfig(
        key=key,
        decoder_key=read_decoder_key(options) if vending_key is None else derive_decoder_key(vending_key, key),
        manufactured=_manufactured(options),
        unit=unit,
        ken=whole(options, "ken", 0, 255),
        sts_settings=_sts_settings(options),
        emergency=_emergency(options, unit),
        debt=None if options.debt is None else DebtRecovery.parse(options.debt, unit.kind.decimals),
        profile=profile,
        security=read_security(options),
        master_key=read_master_key(options),
        answers_as_asked=options.ciphering is None,
        client_sap=whole(options, "client_sap", 1, 127),
        server_sap=whole(options, "server_sap", 1, 0xFFFF),
        physical=read_physical(options),
        behind=read_behind(options),
        status_delay_seconds=seconds(options, "status_delay", STATUS_DELAY_SECONDS_MAX),
        associations_max=_associations_max(options),
        push_to=_push_to(options),
    )
    first.new_machine()  # a date of manufacture that the base date does not reach is found here
    objects_of(profile, has_debt=first.debt is not None, has_emergency=first.emergency is not None, has_limiter=True)
    count = whole(options, "meters", 1, METERS_MAX)
    group = _group(
        name="meter",
        count=count,
        first=first,
        profile_name=options.profile if is_shipped_name(options.profile) else "",
        endpoint=endpoint,
        calls_in=calls_in,
        login=read_login(options, first.security, calls_in=calls_in),
        share=1 if endpoint.host else count,
        hdlc=read_hdlc(options, profile, endpoint),
        wires=wire_settings_from(options),
        faults=tuple(FaultOrder.parse(text) for text in options.fault),
        vending_key=vending_key,
    )
    seed = 0 if options.seed is None else whole(options, "seed", 0, SEED_MAX)
    return FleetPlan((group,), seed), has_lab_key


def _sts_settings(options: Namespace) -> MachineSettings:
    try:
        return MachineSettings.parse(options.sts_setting)
    except SettingError as error:
        raise SettingError(f"--sts-setting: {error}") from None


def _emergency(options: Namespace, unit: AccountUnit) -> EmergencyCredit | None:
    given = options.emergency_credit
    return None if given is None else EmergencyCredit.parse(given, unit.kind.decimals)


def _associations_max(options: Namespace) -> int | None:
    return None if options.associations_max is None else whole(options, "associations_max", 1, ASSOCIATIONS_MAX)


def _push_to(options: Namespace) -> PushTo:
    try:
        return PushTo(options.push_to)
    except ValueError:
        raise SettingError(f"--push-to: expected one of {', '.join(PushTo)}; got {options.push_to!r}") from None


def _group(**values: Any) -> MeterGroup:
    """A group whose errors name options."""
    try:
        return MeterGroup(**values)
    except SettingError as error:
        words = str(error)
        match = _FIELD_NAMES.match(words)
        if match is None:
            raise
        options = match[1].replace("_", "-").replace(" and ", " and --")
        raise SettingError(f"--{options}{words[match.end(1) :]}") from None


_FIELD_NAMES = re.compile(r"(listen|physical|server_sap(?: and physical)?): ")


def _profile(options: Namespace) -> MeterProfile:
    try:
        profile = load_profile(options.profile)
    except SettingError as error:
        message = str(error)
        raise SettingError(f"--{message}" if message.startswith("profile: ") else message) from None
    if options.token_encoding is not None:
        try:
            profile = replace(profile, token_encoding=TokenEncoding(options.token_encoding))
        except ValueError:
            expected = ", ".join(TokenEncoding)
            raise SettingError(
                f"--token-encoding: expected one of {expected}; got {options.token_encoding!r}"
            ) from None
    if options.pdu_max is not None:
        profile = replace(profile, pdu_size_max=whole(options, "pdu_max", *PDU_SIZES))
    return profile


def _keys(options: Namespace) -> tuple[bool, VendingKey | None, KeyAttributes]:
    """Whether the published vending key is used; the vending key, if the meters' keys are made of one; and what else
    goes into the first one's."""
    attributes = read_attributes(options)
    given = [options.vending_key, options.vending_key_file, options.decoder_key, options.decoder_key_file]
    if given == [None] * 4:
        return True, VendingKey.parse(LAB_VENDING_KEYS[attributes.dkga], attributes.dkga), attributes
    return False, read_vending_key(options), attributes


def _manufactured(options: Namespace) -> datetime | None:
    if options.manufactured is None:
        return None
    try:
        moment = datetime.fromisoformat(options.manufactured)
    except ValueError:
        raise SettingError(
            f"--manufactured: expected a date such as 2024-11-24; got {options.manufactured!r}"
        ) from None
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
