"""Places: the URLs of many meters, counted up from the first one. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address

from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.errors import SettingError
from transports.endpoint import CALL_IN_SCHEMES, Endpoint, EndpointError
from transports.registry import TRANSPORTS

PORT_MAX = 65_535
LOGIN_SIZE_MAX = 100
_DIGITS_AT_THE_END = re.compile(r"\d+$", re.ASCII)


def parse_place(text: str, what: str) -> Endpoint:
    """A URL, with the name of the setting in its error. Raises ``SettingError``."""
    try:
        return Endpoint.parse(text)
    except EndpointError as error:
        raise SettingError(f"{what}: expected an endpoint: {error}") from None


def check_place(endpoint: Endpoint, what: str) -> None:
    """Meters can listen there. Raises ``SettingError``."""
    if endpoint.scheme not in TRANSPORTS:
        raise SettingError(f"{what}: expected one of {', '.join(TRANSPORTS)}; got {endpoint.scheme}")


def check_callee(endpoint: Endpoint, what: str) -> None:
    """Meters can call there. Raises ``SettingError``."""
    if endpoint.scheme not in CALL_IN_SCHEMES or not endpoint.port:
        raise SettingError(f"{what}: expected {' or '.join(f'{scheme}://host:port' for scheme in CALL_IN_SCHEMES)}")


def check_loopback(endpoint: Endpoint, what: str) -> None:
    """A device is part of this machine; a host has to be: everybody has the keys. Raises ``SettingError``."""
    if endpoint.host and not _is_loopback(endpoint.host):
        raise SettingError(
            f"{what}: expected a loopback address such as 127.0.0.1, because the keys are lab keys; "
            f"--allow-remote permits {endpoint.host}"
        )


def login_of(text: object, security: SecuritySettings, what: str) -> str:
    """What a meter says first that calls in; empty: a notification. ``None`` takes what fits: a notification in clear
    does not say whose it is, so such a meter has a modem that does. Raises ``SettingError``."""
    if text is None:
        return "{title}" if security.ciphering is Ciphering.NONE else ""
    is_line = isinstance(text, str) and len(text) <= LOGIN_SIZE_MAX and text.isprintable()
    if not isinstance(text, str) or not is_line or max(map(ord, text), default=0) > 0xFF:
        raise SettingError(f"{what}: expected a line of at most {LOGIN_SIZE_MAX} letters, digits and signs")
    return text


def place_plus(first: Endpoint, count: int) -> Endpoint:
    """The ``count``-th place after this one: another port, another name of a meter at the broker, another device file.
    Port 0, a free one, stays. Raises ``SettingError``: there is no such port."""
    if count == 0:
        return first
    if first.path:
        return replace(first, path=name_plus(first.path, count))
    if first.port and first.port + count > PORT_MAX:
        raise SettingError(f"expected {count + 1} ports up to {PORT_MAX}, beginning with {first.port}")
    return replace(first, port=first.port + count) if first.port else first


def name_plus(first: str, count: int) -> str:
    """The ``count``-th name after this one. Digits at its end count up, and keep their width as long as they can;
    without digits the second is NAME-2."""
    if count == 0:
        return first
    match = _DIGITS_AT_THE_END.search(first)
    if match is None:
        return f"{first}-{count + 1}"
    return first[: match.start()] + f"{int(match[0]) + count:0{len(match[0])}d}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
