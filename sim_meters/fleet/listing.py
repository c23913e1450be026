"""The meters of a fleet as a list for a head-end: the columns of ``stsgate meters import``, as CSV or as JSON lines.

Secrets are written on demand only, into a file for its owner alone. They are lab secrets; but a list is copied about.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.errors import SettingError
from sim_meters.fleet.plan import Member

JSON_LINES = (".jsonl", ".ndjson")
COLUMNS = (
    *("id", "endpoint", "profile", "token_encoding", "client_sap", "server_sap", "physical", "address_bytes"),
    *("hdlc_window", "behind", "serial", "security", "ciphering", "protection", "meter_system_title"),
    *("pan", "sgc", "krn", "ti", "ea", "base_date", "description"),
)
SECRETS = ("password", "ek", "ak")

Cells = dict[str, str | int]
UrlOf = Callable[[Member], str]


def check_list_file(path: Path) -> None:
    """Raises ``SettingError``."""
    if path.suffix not in (".csv", *JSON_LINES):
        raise SettingError(f"--list: expected a name that ends in .csv, {' or '.join(JSON_LINES)}; got {path.name!r}")


def write_list(path: Path, members: Iterator[Member], url_of: UrlOf, *, with_secrets: bool) -> None:
    """Write all meters. Raises ``SettingError`` if the file cannot be written."""
    names = (*COLUMNS, *SECRETS) if with_secrets else COLUMNS
    rows = (cells_of(member, url_of(member), with_secrets=with_secrets) for member in members)
    try:
        with open(path, "w", encoding="utf-8", newline="", opener=_for_its_owner if with_secrets else None) as file:
            if with_secrets:
                os.fchmod(file.fileno(), 0o600)  # it may have been there before
            _write(file, path, names, rows)
    except OSError as error:
        raise SettingError(f"--list: cannot write {path}: {error.strerror}") from None


def cells_of(member: Member, url: str, *, with_secrets: bool) -> Cells:
    """One meter, without what does not apply to it."""
    group, config = member.group, member.config
    security, key = config.security, config.key
    cells: dict[str, str | int | None] = {
        "id": member.name,
        "endpoint": f"inbound:{security.meter_system_title.hex().upper()}" if group.calls_in else url,
        "profile": group.profile_name or None,
        "token_encoding": config.profile.token_encoding.value,
        "client_sap": config.client_sap,
        "server_sap": config.server_sap,
        "physical": config.physical,
        "address_bytes": str(group.hdlc.address_bytes) if group.speaks_hdlc else None,
        "hdlc_window": group.hdlc.window_max if group.speaks_hdlc else None,
        "behind": None if config.behind is None else str(config.behind),
        "serial": config.device_name if config.profile.device_name_obis is not None else None,
        **_security_cells(security),
        "pan": key.pan.digits if config.profile.sts_obis is not None else None,
        "sgc": f"{key.sgc:06d}",
        "krn": key.krn,
        "ti": f"{key.ti:02d}",
        "ea": f"{key.ea:02d}",
        "base_date": int(key.base_date),
        "description": "LAB: simulated meter",
    }
    if with_secrets:
        # As the API takes them: keys in hex, a password as it is.
        cells |= {
            "password": security.password.decode() or None,
            "ek": security.ek.hex() or None,
            "ak": security.ak.hex() or None,
        }
    return {name: value for name, value in cells.items() if value is not None}


def _security_cells(security: SecuritySettings) -> dict[str, str | int | None]:
    # A meter that proves nothing with its title does not say it either.
    title = security.meter_system_title.hex().upper() if security.needs_titles else None
    return {
        "security": security.mechanism.name.lower().replace("_", "-"),
        "ciphering": security.ciphering.value,
        "protection": security.protection.value,
        "meter_system_title": title,
    }


def _write(file: TextIO, path: Path, names: tuple[str, ...], rows: Iterator[Cells]) -> None:
    if path.suffix == ".csv":
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
