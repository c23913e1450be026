"""Where a webhook may point, so that nobody uses this service to reach what he cannot reach himself. Pure.

A name is no address: it may mean another one a second later. The URL is looked at when it is entered and before each
try; the address that a connection goes to is looked at after the name was resolved (``gateway/webhooks/post.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from yarl import URL

from cosem_objects.errors import SettingError

URL_LENGTH_MAX = 2000
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1: the last 32 bits are an IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRule:
    """What an installation allows. Without more: https to public addresses; and this machine, where it is named as
    such (``localhost``, ``127.0.0.1``, ``[::1]``)."""

    allow_http: bool = False
    """Plain HTTP to other machines too."""
    allow_private_addresses: bool = False
    """Addresses of private networks, of the local link, and whatever else is not public."""


def check_url(text: str, rule: TargetRule) -> URL:
    """Read a webhook's URL. Raises ``SettingError``, which repeats nothing of it: a path or query may be a secret."""
    if len(text) > URL_LENGTH_MAX or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingError(f"url: expected at most {URL_LENGTH_MAX} printable ASCII characters without blanks")
    try:
        url = URL(text)
        host = url.host
    except ValueError:
        raise SettingError("url: expected https://host/path") from None
    if url.scheme not in ("https", "http") or not host or not url.port:
        raise SettingError("url: expected https://host/path")
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        raise SettingError("url: no user and password in it; what is sent is signed instead")
    if "#" in text:
        raise SettingError("url: no fragment (#) in it, it would not be sent")
    if url.scheme == "http" and not rule.allow_http and not names_this_machine(host):
        raise SettingError("url: https is needed, except to this machine (or where the settings allow http)")
    refused = None if _is_name(host) else refusal(host, host, rule)
    if refused is not None:
        raise SettingError(f"url: {refused}")
    return url


def _is_name(host: str) -> bool:
    """A name that has to be resolved. Short forms such as 127.1 or 2130706433 are none, though resolvers take them."""
    return _address(host) is None and not host.replace(".", "").isdigit()


def names_this_machine(host: str) -> bool:
    """Whether a URL says by its host that it means this machine; a name that merely resolves to it does not."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def refusal(address: str, host: str, rule: TargetRule) -> str | None:
    """Why a connection to this address, to which ``host`` was resolved, must not be made; None if it may."""
    known = _address(address)
    if known is None:
        return "its address cannot be read"
    if known.is_multicast:
        return "a multicast address is nobody's"
    if rule.allow_private_addresses or (known.is_global and not known.is_reserved):
        return None
    if known.is_loopback and names_this_machine(host):
        return None
    return "its address is not public, and the settings do not allow private ones"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that is meant in the end: IPv6 has several ways of wrapping an IPv4 one."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(address.packed[-4:])
    wrapped = address.ipv4_mapped or address.sixtofour
    return wrapped or (address.teredo[1] if address.teredo else address)
