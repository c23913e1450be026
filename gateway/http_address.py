"""Where an HTTP server listens: host and port. Pure."""

from __future__ import annotations

import ipaddress
import re

HttpAddress = tuple[str, int]
FORM = "HOST:PORT, such as 127.0.0.1:8321 or [::1]:8321"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def split_http_address(text: str) -> HttpAddress:
    """Host and port of ``127.0.0.1:8321`` or ``[::1]:8321``. Raises ``ValueError``, which says what was expected."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    is_host = _is_ip_address(bare, 6) if is_bracketed else _HOST.fullmatch(bare)
    if not (colon and is_host and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 0xFFFF):
        raise ValueError(f"expected {FORM}")
    return bare, int(port)


def join_http_address(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can reach the address."""
    return host == "localhost" or (_is_ip_address(host, 4, 6) and ipaddress.ip_address(host).is_loopback)


def _is_ip_address(text: str, *versions: int) -> bool:
    try:
        return ipaddress.ip_address(text).version in versions
    except ValueError:
        return False
