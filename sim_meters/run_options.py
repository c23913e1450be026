"""What ``simmeters run`` is told, read into values before anything is opened. Every refusal is one sentence."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import TITLE_SIZE, SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import TokenEncoding
from sim_meters.account import AccountUnit
from sim_meters.behaviour import Fault, FaultOrder
from sim_meters.lab import LAB_PAN, LAB_SGC, LAB_SYSTEM_TITLE, LAB_VENDING_KEYS
from sim_meters.meter_config import STATUS_DELAY_SECONDS_MAX, MeterConfig, title_plus
from sim_meters.objects import objects_of
from sim_meters.sts.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes
from sim_meters.sts.key_options import add_key_options, read_attributes, read_decoder_key, read_vending_key
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc import ADDRESS_BYTES, HdlcSettings
from transports.registry import TRANSPORTS

PROFILES = Path(__file__).resolve().parent.parent / "config" / "meter_profiles"
METERS_MAX = 20_000
_PORT_MAX = 65_535


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
    where = parser.add_argument_group("where it listens")
    add = where.add_argument
    add("--listen", metavar="URL", default="tcp://127.0.0.1:4059", help="tcp or hdlc+tcp; port 0 takes a free one")
    add("--meters", metavar="N", default="1", help="N meters on port .. port+N-1; serials, titles and PANs count up")
    add("--allow-remote", action="store_true", help="listen beyond this machine, in spite of lab keys")
    add("--client-sap", metavar="N", default="1", help="the management client, default 1; 16 is the public one")
    add("--server-sap", metavar="N", default="1", help="the logical device, default 1")
    add("--physical", metavar="N", help="physical HDLC address of the first meter, default none")
    add("--address-bytes", metavar="N", default="auto", help="length of the HDLC address: auto (default), 1, 2 or 4")
    add("--hdlc-info-max", metavar="N", help="longest HDLC information field, default as in the profile")
    add("--hdlc-window", metavar="N", help="HDLC frames in a row, 1 to 7, default as in the profile, else 1")
    add("--hdlc-push", action="store_true", help="send HDLC notifications at once, not only when it is our turn")
    add("--behind", metavar="NETWORK:HEX", help="be a concentrator with the first meter behind it, such as 0:0102")
    security = parser.add_argument_group("security of the management client")
    add = security.add_argument
    add("--security", metavar="NAME", default="none", help="none (default), lls, hls-gmac or hls-sha256")
    add("--suite", metavar="N", default="0", help="security suite, 0 (default)")
    add(
        "--ciphering",
        metavar="FORM",
        help="none, or service- or general-, -glo or -ded; when not given, as the client asks",
    )
    add("--protection", metavar="NAME", default="both", help="auth, enc or both (default)")
    for name, value in (("password", "TEXT"), ("ek", "HEX"), ("ak", "HEX")):
        add(f"--{name}", metavar=value)
        add(f"--{name}-file", metavar="PATH", help="the same from a file, so that it is not on the line")
    add("--system-title", metavar="HEX", help="of the first meter, 16 digits")
    meter = parser.add_argument_group("the meter")
    add = meter.add_argument
    add("--profile", metavar="NAME|FILE", default="sim", help="meter model, default sim")
    add("--token-encoding", metavar="NAME", help="ascii20, bcd10, digits20 or binary9, instead of the profile's")
    add("--manufactured", metavar="DATE", help="tokens from before are too old; default the base date")
    add("--currency", metavar="CODE[:SCALE]", help="account in money, such as ZAR or ZAR:-2, instead of kWh")
    add("--status-delay", metavar="SECONDS", default="0", help="show a token as received for so long; default 0")
    add("--state-dir", metavar="DIR", help="keep a ledger for each meter there; default: in memory")
    add("--fault", metavar="FAULT", action="append", default=[], help=f"NAME, NAME:COUNT or NAME:PERCENT%%: {_FAULTS}")
    add("--seed", metavar="N", default="0", help="of the chance in --fault NAME:PERCENT%%, default 0")
    add_key_options(parser)
    parser.set_defaults(pan=LAB_PAN, sgc=LAB_SGC)


_FAULTS = ", ".join(Fault)


def read_plan(options: Namespace) -> RunPlan:
    """Everything that the options say. Raises ``SettingError`` or ``EndpointError`` naming what is wrong."""
    count = _whole(options, "meters", 1, METERS_MAX)
    endpoints = _endpoints(options, count)
    profile = _profile(options)
    hdlc = _hdlc(options, profile)
    has_lab_key, keys = _keys(options, count)
    first = MeterConfig(
        key=keys[0][0],
        decoder_key=keys[0][1],
        manufactured=_manufactured(options),
        unit=AccountUnit.kwh() if options.currency is None else AccountUnit.parse(options.currency),
        profile=profile,
        security=_security(options),
        answers_as_asked=options.ciphering is None,
        client_sap=_whole(options, "client_sap", 1, 127),
        server_sap=_whole(options, "server_sap", 1, 0xFFFF),
        physical=_physical(options, endpoints[0]),
        behind=None if options.behind is None else NetworkAddress.parse(options.behind),
        status_delay_seconds=_seconds(options, "status_delay"),
    )
    first.new_machine()  # a date of manufacture that the base date does not reach is found here
    objects_of(profile)
    configs = tuple(_counted_up(first, number, *keys[number]) for number in range(count))
    if endpoints[0].scheme.startswith("hdlc"):
        _check_hdlc_addresses(hdlc, configs)
    return RunPlan(
        endpoints=endpoints,
        configs=configs,
        hdlc=hdlc,
        faults=tuple(FaultOrder.parse(text) for text in options.fault),
        state_dir=None if options.state_dir is None else Path(options.state_dir),
        seed=_whole(options, "seed", 0, 1 << 63),
        has_lab_key=has_lab_key,
    )


def _endpoints(options: Namespace, count: int) -> tuple[Endpoint, ...]:
    try:
        first = Endpoint.parse(options.listen)
    except EndpointError as error:
        raise SettingError(f"--listen: expected an endpoint: {error}") from None
    if first.scheme not in TRANSPORTS:
        raise SettingError(f"--listen: expected one of {', '.join(TRANSPORTS)}; {first.scheme} is not supported yet")
    if not (options.allow_remote or _is_loopback(first.host)):
        raise SettingError(
            f"--listen: expected a loopback address such as 127.0.0.1, because the keys are lab keys; "
            f"--allow-remote permits {first.host}"
        )
    if not first.port:
        return (first,) * count
    if first.port + count - 1 > _PORT_MAX:
        raise SettingError(f"--listen: expected {count} ports up to {_PORT_MAX}, beginning with {first.port}")
    return tuple(replace(first, port=first.port + number) for number in range(count))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
    return profile


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--profile: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"--profile: expected text in {path}") from None


def _hdlc(options: Namespace, profile: MeterProfile) -> HdlcSettings:
    if options.address_bytes not in ADDRESS_BYTES:
        raise SettingError(f"--address-bytes: expected auto, 1, 2 or 4; got {options.address_bytes!r}")
    info_max = profile.hdlc_info_max
    if options.hdlc_info_max is not None:
        info_max = _whole(options, "hdlc_info_max", 0, 0xFFFF)
    window_max = profile.hdlc_window_max if options.hdlc_window is None else _whole(options, "hdlc_window", 1, 7)
    try:
        return HdlcSettings(
            address_bytes=ADDRESS_BYTES[options.address_bytes],
            info_max=info_max,
            window_max=window_max,
            unasked_at_once=options.hdlc_push,
        )
    except ValueError as error:
        raise SettingError(f"--hdlc-info-max: {error}") from None


def _physical(options: Namespace, endpoint: Endpoint) -> int | None:
    if options.physical is None:
        return None
    if not endpoint.scheme.startswith("hdlc"):
        raise SettingError(f"--physical: expected none with {endpoint.scheme}; only HDLC has physical addresses")
    return _whole(options, "physical", 1, 0x3FFF)


def _check_hdlc_addresses(hdlc: HdlcSettings, configs: tuple[MeterConfig, ...]) -> None:
    for config in configs:
        try:
            hdlc.server_address(config.server_sap, config.physical)
        except ValueError as error:
            raise SettingError(f"--server-sap and --physical: {error}") from None


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


def _security(options: Namespace) -> SecuritySettings:
    try:
        title = LAB_SYSTEM_TITLE if options.system_title is None else bytes.fromhex(options.system_title)
    except ValueError:
        title = b""
    if len(title) != TITLE_SIZE:
        raise SettingError(f"--system-title: expected {2 * TITLE_SIZE} hex digits; got {options.system_title!r}")
    return SecuritySettings.parse(
        {
            "mechanism": options.security,
            "suite": options.suite,
            "ciphering": options.ciphering,
            "protection": options.protection,
            "password": _secret(options, "password"),
            "ek": _secret(options, "ek"),
            "ak": _secret(options, "ak"),
            "meter_system_title": title.hex(),
        }
    )


def _secret(options: Namespace, name: str) -> str | None:
    text: str | None = getattr(options, name)
    path: str | None = getattr(options, f"{name}_file")
    if path is None:
        return text
    if text is not None:
        raise SettingError(f"--{name}: expected it once, not also with --{name}-file")
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingError(f"--{name}-file: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingError(f"--{name}-file: expected text in {path}") from None
    if not text:
        raise SettingError(f"--{name}-file: {path} is empty")
    return text


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


def _whole(options: Namespace, name: str, low: int, high: int) -> int:
    text: str = getattr(options, name)
    is_number = text.isascii() and text.isdigit() and len(text) <= 20
    if not is_number or not low <= int(text) <= high:
        raise SettingError(f"--{name.replace('_', '-')}: expected a whole number from {low} to {high}; got {text!r}")
    return int(text)


def _seconds(options: Namespace, name: str) -> float:
    text: str = getattr(options, name)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= STATUS_DELAY_SECONDS_MAX:  # also false for NaN
        expected = f"expected seconds from 0 to {STATUS_DELAY_SECONDS_MAX}"
        raise SettingError(f"--{name.replace('_', '-')}: {expected}; got {text!r}")
    return seconds
