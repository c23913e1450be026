"""Settings for meters that call in, and for hints, as people write them. Each refusal says what was expected."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from cosem_objects.dlms.settings import TITLE_SIZE
from cosem_objects.errors import SettingError
from transports.endpoint import Endpoint
from transports.inbound_listener import SCHEMES
from transports.wrapper import SAP_MAX

TITLE_LINE = "(?P<title>[0-9A-Fa-f]{16})"
"""A login line that is the system title alone."""
_GROUP = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TITLE_DIGITS = 2 * TITLE_SIZE
_TABLE_SIZE_MAX = 64 << 20


def checked_listen(text: str) -> str:
    """Empty, or where to listen. Raises ``ValueError``."""
    if text:
        endpoint = Endpoint.parse(text)
        if endpoint.scheme not in SCHEMES:
            raise ValueError("meters call in by tcp or tcps")
    return text


def checked_login_pattern(text: str) -> str:
    """Raises ``ValueError``."""
    if text:
        login_pattern(text)
    return text


def login_pattern(text: str) -> re.Pattern[str]:
    """Raises ``ValueError`` for what is no expression, or has no group that says who calls."""
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    if not {"title", "name"} & set(pattern.groupindex):
        raise ValueError("it has no group named title or name")
    return pattern


def checked_brokers(text: str) -> str:
    """Raises ``ValueError``."""
    brokers(text)
    return text


def brokers(text: str) -> tuple[Endpoint, ...]:
    """Of each, scheme, host and port count. Raises ``ValueError``."""
    found = tuple([Endpoint.parse(f"{url}/-/-") for url in text.split()])
    if any(one.scheme not in {"mqtt", "mqtts"} or not one.port for one in found):
        raise ValueError("a broker is mqtt://host:port or mqtts://host:port")
    return found


def checked_group(text: str) -> str:
    """Raises ``ValueError``."""
    if not _GROUP.fullmatch(text):
        raise ValueError("letters, digits, dashes or underscores were expected")
    return text


def read_names(path: str) -> dict[str, bytes]:
    """Names of login lines, and whose they are. Raises ``SettingError`` naming the line."""
    return dict(_rows(path))


def read_wports(path: str) -> dict[int, bytes]:
    """Source wPorts, and whose they are. Raises ``SettingError`` naming the line."""
    found: dict[int, bytes] = {}
    for number, (name, title) in enumerate(_rows(path), 1):
        if not (name.isascii() and name.isdigit() and len(name) <= 5 and int(name) <= SAP_MAX):
            raise SettingError(f"{path}, entry {number}: expected a wPort, 0 to {SAP_MAX}")
        found[int(name)] = title
    return found


def _rows(path: str) -> list[tuple[str, bytes]]:
    try:
        if Path(path).stat().st_size > _TABLE_SIZE_MAX:
            raise SettingError(f"{path}: more than {_TABLE_SIZE_MAX >> 20} MiB")
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise SettingError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, csv.Error):
        raise SettingError(f"{path}: expected a CSV file in UTF-8") from None
    found: dict[str, bytes] = {}
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) != 2 or not cells[0] or not _is_title(cells[1]):
            raise SettingError(f"{path}, line {number}: expected two columns, a name and 16 hexadecimal digits")
        if cells[0] in found:
            raise SettingError(f"{path}, line {number}: its first column stands there twice")
        found[cells[0]] = bytes.fromhex(cells[1])
    return list(found.items())


def _is_title(text: str) -> bool:
    return re.fullmatch(rf"[0-9A-Fa-f]{{{_TITLE_DIGITS}}}", text) is not None
