"""Whose names in login lines, and whose source wPorts, are: CSV files of two columns, the second a system title."""

from __future__ import annotations

import csv
from pathlib import Path

from cosem_objects.errors import SettingError
from transports.endpoint import parse_system_title
from transports.wrapper import SAP_MAX

_SIZE_MAX = 64 << 20


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
        if Path(path).stat().st_size > _SIZE_MAX:
            raise SettingError(f"{path}: more than {_SIZE_MAX >> 20} MiB")
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
        title = parse_system_title(cells[1]) if len(cells) == 2 else None
        if title is None or not cells[0]:
            raise SettingError(f"{path}, line {number}: expected two columns, a name and 16 hexadecimal digits")
        if cells[0] in found:
            raise SettingError(f"{path}, line {number}: its first column stands there twice")
        found[cells[0]] = title
    return list(found.items())
