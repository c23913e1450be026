"""What ``simmeters run`` is told, read into values before anything is opened. Every refusal is one sentence."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import TokenEncoding
from sim_meters.account import AccountUnit
from sim_meters.behaviour import Fault, FaultOrder
from sim_meters.debt import DebtRecovery
from sim_meters.lab import LAB_PAN, LAB_SGC, LAB_VENDING_KEYS
from sim_meters.meter_config import STATUS_DELAY_SECONDS_MAX, MeterConfig, title_plus
from sim_meters.objects import objects_of
from sim_meters.option_values import seconds, whole
from sim_meters.place_options import (
    add_place_options,
    check_hdlc_addresses,
    read_behind,
    read_endpoints,
    read_hdlc,
    read_physical,
)
from sim_meters.security_options import add_security_options, read_master_key, read_security
from sim_meters.sts.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes
from sim_meters.sts.key_options import add_key_options, read_attributes, read_decoder_key, read_vending_key
from sim_meters.trace_option import add_trace_options
from transports.endpoint import Endpoint
from transports.hdlc import HdlcSettings

PROFILES = Path(__file__).resolve().parent.parent / "config" / "meter_profiles"
METERS_MAX = 20_000
PDU_SIZES = (64, 0xFFFF)
"""As in a profile."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """All meters of one command, each with its place."""

    endpoints: tuple[Endpoint, ...]
    configs: tuple[MeterConfig, ...]
    hdlc: HdlcSettings
    faults: tuple[FaultOrder, ...]
    state_dir: Path | None
    seed: int
    has_lab_key: bool
    """No key was given: the published one is used."""


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options of ``run``. Their values are read by ``read_plan``, which explains better than argparse."""
    add_place_options(parser)
    add_security_options(parser)
    meter = parser.add_argument_group("the meter")
    add = meter.add_argument
    add("--profile", metavar="NAME|FILE", default="sim", help="meter model, default sim")
    add("--token-encoding", metavar="NAME", help="ascii20, bcd10, digits20 or binary9, instead of the profile's")
    add("--manufactured", metavar="DATE", help="tokens from before are too old; default the base date")
    add("--currency", metavar="CODE[:SCALE]", help="account in money, such as ZAR or ZAR:-2, instead of kWh")
    add(
        "--debt",
        metavar="AMOUNT:PERCENT",
        help="the customer owes AMOUNT, and every credit token pays PERCENT of itself back, such as 100:25",
    )
    add(
        "--pdu-max", metavar="N", help="longest APDU that the meter takes, 64 to 65535 octets, instead of the profile's"
    )
    add("--status-delay", metavar="SECONDS", default="0", help="show a token as received for so long; default 0")
    add("--state-dir", metavar="DIR", help="keep a ledger for each meter there; default: in memory")
    add("--fault", metavar="FAULT", action="append", default=[], help=f"NAME, NAME:COUNT or NAME:PERCENT%%: {_FAULTS}")
    add("--seed", metavar="N", default="0", help="of the chance in --fault NAME:PERCENT%%, default 0")
    add_key_options(parser)
    add_trace_options(parser)
    parser.set_defaults(pan=LAB_PAN, sgc=LAB_SGC)


_FAULTS = ", ".join(Fault)


def read_plan(options: Namespace) -> RunPlan:
    """Everything that the options say. Raises ``SettingError`` or ``EndpointError`` naming what is wrong."""
    count = whole(options, "meters", 1, METERS_MAX)
    endpoints = read_endpoints(options, count)
    profile = _profile(options)
    hdlc = read_hdlc(options, profile, endpoints[0])
    unit = AccountUnit.kwh() if options.currency is None else AccountUnit.parse(options.currency)
    has_lab_key, keys = _keys(options, count)
    first = MeterConfig(
        key=keys[0][0],
        decoder_key=keys[0][1],
        manufactured=_manufactured(options),
        unit=unit,
        debt=None if options.debt is None else DebtRecovery.parse(options.debt, unit.kind.decimals),
        profile=profile,
        security=read_security(options),
        master_key=read_master_key(options),
        answers_as_asked=options.ciphering is None,
        client_sap=whole(options, "client_sap", 1, 127),
        server_sap=whole(options, "server_sap", 1, 0xFFFF),
        physical=read_physical(options, endpoints[0]),
        behind=read_behind(options),
        status_delay_seconds=seconds(options, "status_delay", STATUS_DELAY_SECONDS_MAX),
    )
    first.new_machine()  # a date of manufacture that the base date does not reach is found here
    objects_of(profile, has_debt=first.debt is not None)
    configs = tuple(_counted_up(first, number, *keys[number]) for number in range(count))
    if endpoints[0].scheme.startswith("hdlc"):
        check_hdlc_addresses(hdlc, configs)
    return RunPlan(
        endpoints=endpoints,
        configs=configs,
        hdlc=hdlc,
        faults=tuple(FaultOrder.parse(text) for text in options.fault),
        state_dir=None if options.state_dir is None else Path(options.state_dir),
        seed=whole(options, "seed", 0, 1 << 63),
        has_lab_key=has_lab_key,
    )


def _profile(options: Namespace) -> MeterProfile:
    name = options.profile
    is_file = "/" in name or name.endswith(".toml")
    path = Path(name) if is_file else PROFILES / f"{name}.toml"
    if not is_file and not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.toml")))
        raise SettingError(f"--profile: expected {known} or a file; got {name!r}")
    profile = MeterProfile.parse_toml(_text(path), str(path))
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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--profile: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"--profile: expected text in {path}") from None


def _keys(options: Namespace, count: int) -> tuple[bool, list[tuple[KeyAttributes, DecoderKey]]]:
    """Attributes and decoder key of each meter; first, whether the published vending key was used."""
    first = read_attributes(options)
    attributes = [replace(first, pan=first.pan.plus(number)) for number in range(count)]
    given = [options.vending_key, options.vending_key_file, options.decoder_key, options.decoder_key_file]
    has_lab_key = given == [None] * 4
    vending_key = (
        VendingKey.parse(LAB_VENDING_KEYS[first.dkga], first.dkga) if has_lab_key else read_vending_key(options)
    )
    if vending_key is None:
        decoder_key = read_decoder_key(options)
        return False, [(each, decoder_key) for each in attributes]
    return has_lab_key, [(each, derive_decoder_key(vending_key, each)) for each in attributes]


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


def _counted_up(first: MeterConfig, number: int, key: KeyAttributes, decoder_key: DecoderKey) -> MeterConfig:
    title = title_plus(first.security.meter_system_title, number)
    return replace(
        first,
        key=key,
        decoder_key=decoder_key,
        physical=None if first.physical is None else first.physical + number,
        behind=None if first.behind is None else first.behind.plus(number),
        security=replace(first.security, meter_system_title=title),
    )
