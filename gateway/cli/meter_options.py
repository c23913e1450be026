"""The options that say which meter, and how to speak to it; ``simmeters run`` has the same names and values."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosem_objects.dlms.apdu import NetworkAddress
from cosem_objects.dlms.security import COUNTER_MAX
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.errors import SettingError
from cosem_objects.token_gateway import TokenEncoding
from gateway.cli.parser import whole_number
from gateway.meters import DEFAULT_CLIENT_SYSTEM_TITLE, Meter
from gateway.profiles import load_profile
from transports.endpoint import FORMS, Endpoint
from transports.hdlc.connection import ADDRESS_BYTES, HdlcSettings
from transports.registry import check_callable


def add_meter_options(parser: argparse.ArgumentParser, *, is_for_tokens: bool = True) -> None:
    """``is_for_tokens``: else the options of tokens are not shown, and the command refuses them."""

    def told(text: str) -> str:
        return text if is_for_tokens else argparse.SUPPRESS

    where = parser.add_argument_group("where the meter is")
    where.add_argument("--endpoint", required=True, metavar="URL", help=f"one of {FORMS}")
    where.add_argument(
        "--client-sap", type=whole_number(1, 0xFFFF), default=1, metavar="N", help="our SAP (default %(default)s)"
    )
    where.add_argument(
        "--server-sap",
        type=whole_number(0, 0xFFFF),
        default=1,
        metavar="N",
        help="the meter's logical device (default %(default)s)",
    )
    where.add_argument(
        "--physical", type=whole_number(0, 0x3FFF), metavar="N", help="HDLC physical address (default: none)"
    )
    where.add_argument(
        "--address-bytes", choices=tuple(ADDRESS_BYTES), default="auto", help="length of the HDLC server address"
    )
    where.add_argument(
        "--hdlc-window",
        type=whole_number(1, 7),
        metavar="N",
        help="HDLC frames in a row before an acknowledgement, 1 to 7 (default: the profile's, else 1)",
    )
    where.add_argument(
        "--behind",
        metavar="NETWORK:HEX",
        help="the meter is behind a concentrator at the endpoint: network id and physical device address, such as "
        "0:0102 (default: it is not)",
    )

    how = parser.add_argument_group("how it is secured")
    how.add_argument(
        "--security",
        default="none",
        metavar="MECHANISM",
        help="none, lls, hls-gmac or hls-sha256 (default %(default)s); hls-ecdsa is not supported yet",
    )
    how.add_argument("--suite", default="0", metavar="N", help="security suite; only 0 so far")
    how.add_argument(
        "--ciphering",
        metavar="FORM",
        help=f"{', '.join(Ciphering)}; default service-glo when keys are given, else none; -ded: under a key made for "
        "each association",
    )
    how.add_argument(
        "--protection",
        default="both",
        metavar="STRENGTH",
        help="auth, enc or both (default %(default)s); enc has no tag, so anybody on the wire can forge",
    )
    for option, metavar, text in (
        ("--password", "TEXT", "LLS password, or the secret of hls-sha256"),
        ("--ek", "HEX", "global unicast encryption key, 32 hex digits"),
        ("--ak", "HEX", "authentication key, 32 hex digits"),
    ):
        one = how.add_mutually_exclusive_group()
        one.add_argument(option, metavar=metavar, help=text)
        one.add_argument(f"{option}-file", metavar="PATH", help="the same, read from a file")
    how.add_argument(
        "--system-title", metavar="HEX", help=f"our own, 16 hex digits (default {DEFAULT_CLIENT_SYSTEM_TITLE})"
    )
    how.add_argument(
        "--invocation-counter",
        default="read",
        metavar="N|read",
        help="first counter that we use; read = ask the meter as public client 16 (default %(default)s)",
    )

    who = parser.add_argument_group(
        "which meter it must be",
        "What is given is checked before anything is sent; what the meter does not have is skipped, and said.",
    )
    who.add_argument("--meter-system-title", metavar="HEX", help="its system title, 16 hex digits")
    who.add_argument("--serial", default="", metavar="TEXT", help=told("its device name, object 0-0:42.0.0.255"))
    who.add_argument("--pan", default="", metavar="DIGITS", help=told("its MeterPAN, 18 digits, from class 116"))

    model = parser.add_argument_group("its model")
    model.add_argument(
        "--profile", default="default", metavar="NAME|FILE", help="a name of config/meter_profiles, or a TOML file"
    )
    model.add_argument(
        "--token-encoding", metavar="ENCODING", help=told(f"{', '.join(TokenEncoding)}; overrides the profile's")
    )


def meter_from(args: argparse.Namespace) -> Meter:
    """The meter that the options describe. Raises ``SettingError``, ``EndpointError``."""
    profile = load_profile(args.profile)
    if args.token_encoding is not None:
        profile = replace(profile, token_encoding=_token_encoding(args.token_encoding))
    if args.pan and not (len(args.pan) == 18 and args.pan.isascii() and args.pan.isdigit()):
        raise SettingError("pan: expected the 18 digits of a MeterPAN")
    hdlc = HdlcSettings(
        address_bytes=ADDRESS_BYTES[args.address_bytes],
        info_max=profile.hdlc_info_max,
        window_max=profile.hdlc_window_max if args.hdlc_window is None else args.hdlc_window,
        response_timeout_seconds=profile.response_timeout_seconds,
    )
    meter = Meter(
        endpoint=Endpoint.parse(args.endpoint),
        profile=profile,
        security=_security_from(args),
        client_sap=args.client_sap,
        server_sap=args.server_sap,
        physical=args.physical,
        behind=None if args.behind is None else NetworkAddress.parse(args.behind),
        hdlc=hdlc,
        invocation_counter=_invocation_counter(args.invocation_counter),
        serial=args.serial,
        pan=args.pan,
    )
    check_callable(meter.endpoint)
    if args.hdlc_window is not None and meter.endpoint.speaks_hdlc is False:
        raise SettingError(f"hdlc-window: {meter.endpoint.scheme} has no windows, HDLC has")
    meter.check()
    return meter


def _security_from(args: argparse.Namespace) -> SecuritySettings:
    mapping: dict[str, Any] = {
        "mechanism": args.security,
        "suite": args.suite,
        "ciphering": args.ciphering,
        "protection": args.protection,
        "client_system_title": args.system_title or DEFAULT_CLIENT_SYSTEM_TITLE,
        "meter_system_title": args.meter_system_title,
    }
    for secret in ("password", "ek", "ak"):
        mapping[secret] = secret_from(args, secret)
    return SecuritySettings.parse(mapping)


def secret_from(args: argparse.Namespace, name: str) -> str | None:
    """A secret given as ``--name TEXT`` or in ``--name-file PATH``. Raises ``SettingError``."""
    path: str | None = getattr(args, f"{name}_file")
    if path is None:
        text: str | None = getattr(args, name)
        return text
    option = f"{name}_file".replace("_", "-")
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{option}: {path} cannot be read ({error})") from None
    if not text:
        raise SettingError(f"{option}: {path} is empty")
    return text


def _invocation_counter(text: str) -> int | None:
    if text == "read":
        return None
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= COUNTER_MAX:
        return int(text)
    raise SettingError(f"invocation-counter: expected 'read' or a number up to {COUNTER_MAX}, got {text[:20]!r}")


def _token_encoding(name: str) -> TokenEncoding:
    try:
        return TokenEncoding(name)
    except ValueError:
        raise SettingError(f"token-encoding {name!r}: expected one of {', '.join(TokenEncoding)}") from None
