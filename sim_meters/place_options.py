"""Where ``simmeters run`` listens: sockets, addresses on them, and the HDLC that is spoken there."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.meter_config import MeterConfig
from sim_meters.option_values import whole
from transports.endpoint import Endpoint, EndpointError
from transports.hdlc import ADDRESS_BYTES, HdlcSettings
from transports.registry import TRANSPORTS

_PORT_MAX = 65_535


def add_place_options(parser: ArgumentParser) -> None:
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
    add(
        "--behind",
        metavar="NETWORK:HEX",
        help="be a concentrator with the first meter behind it, such as 0:0102; the next meters count up",
    )


def read_endpoints(options: Namespace, count: int) -> tuple[Endpoint, ...]:
    """One for each meter. Raises ``SettingError``, as do all functions here."""
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


def read_physical(options: Namespace, endpoint: Endpoint) -> int | None:
    if options.physical is None:
        return None
    if not endpoint.scheme.startswith("hdlc"):
        raise SettingError(f"--physical: expected none with {endpoint.scheme}; only HDLC has physical addresses")
    return whole(options, "physical", 1, 0x3FFF)


def read_behind(options: Namespace) -> NetworkAddress | None:
    """The address of the first meter behind its concentrator; ``None`` without one."""
    return None if options.behind is None else NetworkAddress.parse(options.behind)


def read_hdlc(options: Namespace, profile: MeterProfile, endpoint: Endpoint) -> HdlcSettings:
    if options.address_bytes not in ADDRESS_BYTES:
        raise SettingError(f"--address-bytes: expected auto, 1, 2 or 4; got {options.address_bytes!r}")
    info_max = profile.hdlc_info_max
    if options.hdlc_info_max is not None:
        info_max = whole(options, "hdlc_info_max", 0, 0xFFFF)
    window_max = profile.hdlc_window_max if options.hdlc_window is None else whole(options, "hdlc_window", 1, 7)
    if options.hdlc_window is not None and not endpoint.scheme.startswith("hdlc"):
        raise SettingError(f"--hdlc-window: expected none with {endpoint.scheme}; only HDLC has windows")
    try:
        return HdlcSettings(
            address_bytes=ADDRESS_BYTES[options.address_bytes],
            info_max=info_max,
            window_max=window_max,
            unasked_at_once=options.hdlc_push,
        )
    except ValueError as error:
        raise SettingError(f"--hdlc-info-max: {error}") from None


def check_hdlc_addresses(hdlc: HdlcSettings, configs: Sequence[MeterConfig]) -> None:
    for config in configs:
        try:
            hdlc.server_address(config.server_sap, config.physical)
        except ValueError as error:
            raise SettingError(f"--server-sap and --physical: {error}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
