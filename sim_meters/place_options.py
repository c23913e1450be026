"""Where ``simmeters run`` listens: wires, addresses on them, and the HDLC that is spoken there."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.profile import MeterProfile
from sim_meters.fleet.places import check_callee, check_loopback, check_place, login_of, parse_place
from sim_meters.option_values import whole
from transports.endpoint import Endpoint
from transports.hdlc.connection import ADDRESS_BYTES, HdlcSettings

DEFAULT_PLACE = "tcp://127.0.0.1:4059"


def add_place_options(parser: ArgumentParser) -> None:
    where = parser.add_argument_group("where it listens")
    add = where.add_argument
    add(
        "--listen",
        metavar="URL",
        help=f"default {DEFAULT_PLACE}; tcp, tcps, hdlc+tcp://HOST:PORT (port 0 takes a free one), "
        "serial:///DEVICE?baud=N&mode=e, pty:///PATH, mqtt, mqtts://BROKER:PORT/SITE/METER",
    )
    add(
        "--call-in",
        metavar="URL",
        help="instead of listening: each meter opens a connection to tcp:// or tcps://HOST:PORT, says who it is, and "
        "is spoken to on that; when it ends, it calls again",
    )
    add(
        "--login",
        metavar="TEXT",
        help="with --call-in: the line that it says first, with {title}, {name} or {serial} for the meter's own; "
        "default {title}, and a notification for meters with ciphering",
    )
    add(
        "--meters",
        metavar="N",
        default="1",
        help="N meters whose serials, titles and PANs count up: on port .. port+N-1, at METER, METER+1 .. of a "
        "broker, or with --physical .. physical+N-1 on one serial line",
    )
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


def read_endpoint(options: Namespace) -> tuple[Endpoint, bool]:
    """Where the first meter listens; or whom it calls, and True. Raises ``SettingError``, as do all functions here."""
    if options.call_in is not None and options.listen is not None:
        raise SettingError("--call-in: expected without --listen; a meter calls, or is called")
    calls_in = options.call_in is not None
    option = "--call-in" if calls_in else "--listen"
    listen = DEFAULT_PLACE if options.listen is None else options.listen
    endpoint = parse_place(options.call_in if calls_in else listen, option)
    (check_callee if calls_in else check_place)(endpoint, option)
    if not options.allow_remote:
        check_loopback(endpoint, option)
    return endpoint, calls_in


def read_login(options: Namespace, security: SecuritySettings, *, calls_in: bool) -> str:
    """What a meter that calls in says first; empty: a notification."""
    if options.login is not None and not calls_in:
        raise SettingError("--login: expected together with --call-in")
    return login_of(options.login, security, "--login") if calls_in else ""


def read_physical(options: Namespace) -> int | None:
    return None if options.physical is None else whole(options, "physical", 1, 0x3FFF)


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
    if endpoint.speaks_hdlc is False:
        _check_no_hdlc(options, endpoint.scheme)
    try:
        return HdlcSettings(
            address_bytes=ADDRESS_BYTES[options.address_bytes],
            info_max=info_max,
            window_max=window_max,
            unasked_at_once=options.hdlc_push,
        )
    except ValueError as error:
        raise SettingError(f"--hdlc-info-max: {error}") from None


def _check_no_hdlc(options: Namespace, scheme: str) -> None:
    given = {
        "--address-bytes": options.address_bytes != "auto",
        "--hdlc-info-max": options.hdlc_info_max is not None,
        "--hdlc-window": options.hdlc_window is not None,
        "--hdlc-push": options.hdlc_push,
    }
    for option, is_given in given.items():
        if is_given:
            raise SettingError(f"{option}: expected none with {scheme}, which does not speak HDLC")
