"""Endpoint: where a meter, or a listener for meters, is to be found, written as a URL.

Pure text handling: nothing is resolved or opened here. Every refusal is one sentence that names the thing and what
was expected; it repeats only those parts of the URL that cannot be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from reprlib import repr as shown
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SCHEMES = ("tcp", "tcps", "hdlc+tcp", "serial", "pty", "mqtt", "mqtts", "inbound")
CALL_IN_SCHEMES = ("tcp", "tcps")
"""With these a meter may open the connection itself."""
FORMS = (
    "tcp://host:port, tcps://host:port, hdlc+tcp://host:port, serial:///dev/ttyX?baud=9600&mode=e, pty:///path, "
    "mqtt://host:1883/site/meter, mqtts://host:8883/site/meter, inbound:SYSTEMTITLE"
)
"""All forms, for messages and help texts."""

# Mode E announces 300 to 19200 (IEC 62056-21, baud rate identification); the others are what serial drivers offer.
BAUDS = (300, 600, 1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)
MODES = ("hdlc", "e")
PARITIES = ("none", "even", "odd")

_LINE_OPTIONS = ("baud", "mode", "parity", "address")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SYSTEM_TITLE = re.compile(r"[0-9A-Fa-f]{16}")
# Up to 32 characters that end no request message (IEC 62056-21, device address).
_DEVICE_ADDRESS = re.compile(r"[ -~]{1,32}")


class EndpointError(ValueError):
    """This is not an endpoint that we can use; the message says what is wrong with it."""


def parse_system_title(text: str) -> bytes | None:
    """From 16 hexadecimal digits; ``None`` for anything else."""
    return bytes.fromhex(text) if _SYSTEM_TITLE.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One URL, taken apart. What a scheme does not use stays empty; ``str()`` gives the URL back."""

    scheme: str
    host: str = ""
    """A name or an address; an IPv6 address stands here without its brackets."""
    port: int = 0
    """0 only where it is listened: the system then chooses a free port."""
    path: str = ""
    """serial, pty: the device file. mqtt, mqtts: ``site/meter``."""
    system_title: bytes = b""
    baud: int | None = None
    """``None``: not said, the transport's default."""
    mode: str | None = None
    """serial, pty: ``hdlc`` starts in HDLC at once, ``e`` with the IEC 62056-21 handshake. ``None``: not said."""
    parity: str | None = None
    """serial, pty: in HDLC; ``None``: not said. Mode E shakes hands with its own."""
    device_address: str | None = None
    """serial, pty, mode E: who is asked to answer, of several under one head."""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Take a URL apart. Raises ``EndpointError``."""
        if any(character.isspace() or not character.isprintable() for character in url):
            raise EndpointError("an endpoint URL has no blanks or control characters in it")
        try:
            parts = urlsplit(url)
        except ValueError:  # unbalanced brackets, or something in them that is no address
            raise EndpointError("the host of an endpoint is a name, an IPv4 address or an IPv6 address in []") from None
        if not parts.scheme:
            raise EndpointError(f"an endpoint is a URL, one of: {FORMS}")
        if parts.scheme not in SCHEMES:
            raise EndpointError(f"unknown scheme {shown(parts.scheme)}; an endpoint is one of: {FORMS}")
        if "@" in parts.netloc or "@" in parts.path:
            # A URL ends up in logs, process lists and browser histories.
            raise EndpointError("no passwords in URLs: give user name and password as settings of their own")
        if "#" in url:
            raise EndpointError("an endpoint URL has no '#' part")
        match parts.scheme:
            case "serial" | "pty":
                return _parse_device(parts)
            case "inbound":
                return _parse_inbound(parts, url)
            case _:
                return _parse_network(parts)

    def __str__(self) -> str:
        match self.scheme:
            case "inbound":
                return f"inbound:{self.system_title.hex().upper()}"
            case "serial" | "pty":
                values = (self.baud, self.mode, self.parity, self.device_address)
                said = [(name, value) for name, value in zip(_LINE_OPTIONS, values, strict=True) if value is not None]
                options = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in said)
                return f"{self.scheme}://{quote(self.path)}{'?' if options else ''}{options}"
            case _:
                return f"{self.scheme}://{self.authority}" + (f"/{quote(self.path)}" if self.path else "")

    @property
    def speaks_hdlc(self) -> bool | None:
        """Whether HDLC frames are on this wire; ``None``: settings beyond the URL say so."""
        if self.scheme in {"hdlc+tcp", "serial", "pty"}:
            return True
        return None if self.scheme in {"mqtt", "mqtts", "inbound"} else False

    @property
    def authority(self) -> str:
        """``host:port``, as people read it in messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_network(parts: SplitResult) -> Endpoint:
    host, port = _host_and_port(parts)
    _options(parts, ())
    path = ""
    if parts.scheme in {"mqtt", "mqtts"}:
        path = _site_and_meter(parts)
    elif parts.path:
        raise EndpointError(f"{parts.scheme}://host:port has no path after the port")
    return Endpoint(parts.scheme, host, port, path)


def _parse_device(parts: SplitResult) -> Endpoint:
    if parts.netloc:
        raise EndpointError(f"{parts.scheme} takes a file of this machine, with three slashes: {parts.scheme}:///path")
    path = unquote(parts.path)
    if len(path) < 2 or not path.startswith("/") or "\0" in path:
        raise EndpointError(f"{parts.scheme} takes the whole path of a file: {parts.scheme}:///path")
    options = _options(parts, _LINE_OPTIONS)
    baud, mode, parity, address = (options.get(name) for name in _LINE_OPTIONS)
    if baud is not None and (not _is_number(baud) or int(baud) not in BAUDS):
        raise EndpointError(f"baud is one of {', '.join(map(str, BAUDS))}")
    if mode is not None and mode not in MODES:
        raise EndpointError(f"mode is one of {', '.join(MODES)}")
    if parity is not None and parity not in PARITIES:
        raise EndpointError(f"parity is one of {', '.join(PARITIES)}")
    if address is not None:
        _check_device_address(address, mode)
    return Endpoint(parts.scheme, "", 0, path, b"", None if baud is None else int(baud), mode, parity, address)


def _check_device_address(address: str, mode: str | None) -> None:
    if mode != "e":
        raise EndpointError("address goes with mode=e; in HDLC the physical address says who is meant")
    if not _DEVICE_ADDRESS.fullmatch(address) or set(address) & set("/?!"):
        raise EndpointError("address is up to 32 printable characters other than / ? and !")


def _parse_inbound(parts: SplitResult, url: str) -> Endpoint:
    _options(parts, ())
    title = parse_system_title(url.partition(":")[2].removeprefix("//"))
    if title is None:
        raise EndpointError("inbound takes the meter's system title, 16 hexadecimal digits: inbound:4D4D4D0000BC614E")
    return Endpoint("inbound", system_title=title)


def _host_and_port(parts: SplitResult) -> tuple[str, int]:
    form = f"{parts.scheme}://host:port"
    bracketed, closed, after = parts.netloc.partition("]")
    if closed:
        host, colon, port = bracketed.removeprefix("["), after[:1], after[1:]
        _check_ipv6(host)
    else:
        host, colon, port = parts.netloc.rpartition(":")
        if not colon:  # no colon at all: everything is the host
            host, port = parts.netloc, ""
        _check_name(host, form)
    if colon != ":" or not port:
        raise EndpointError(f"the port is missing: {form}")
    if not _is_number(port) or int(port) > 65_535:
        raise EndpointError(f"the port is a number from 0 to 65535: {form}")
    return host.lower(), int(port)


def _check_ipv6(host: str) -> None:
    try:
        IPv6Address(host)
    except AddressValueError:
        raise EndpointError(f"{shown(host)} is not an IPv6 address; only those stand in []") from None


def _check_name(host: str, form: str) -> None:
    if not host:
        raise EndpointError(f"the host is missing: {form}")
    if ":" in host:
        raise EndpointError(f"an IPv6 address stands in []: {form.replace('host', '[::1]')}")
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise EndpointError(f"{shown(host)} is not a host name or IPv4 address")
    last_label = host.removesuffix(".").rpartition(".")[2]
    if last_label[:1].isdigit():
        # Short and hexadecimal forms of IPv4 addresses call another host than the one that was mistyped.
        try:
            IPv4Address(host)
        except AddressValueError:
            raise EndpointError(f"{shown(host)} is not an IPv4 address: four numbers up to 255") from None


def _site_and_meter(parts: SplitResult) -> str:
    levels = [unquote(level) for level in parts.path.removeprefix("/").split("/")]
    # "+" and "#" are wildcards, "/" divides levels and NUL is forbidden in a topic (MQTT 5.0, 4.7).
    if len(levels) != 2 or any(not level or set(level) & set("+#/\0") for level in levels):
        raise EndpointError(f"{parts.scheme} names one meter of one site: {parts.scheme}://host:port/site/meter")
    return "/".join(levels)


def _options(parts: SplitResult, known: tuple[str, ...]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            expected = f"it knows {' and '.join(known)}" if known else "it takes none"
            raise EndpointError(f"unknown parameter {shown(name)} for {parts.scheme}; {expected}")
        if name in options:
            raise EndpointError(f"the parameter {shown(name)} stands there twice")
        options[name] = value
    return options


def _is_number(text: str) -> bool:
    return len(text) <= 7 and text.isascii() and text.isdigit()
