"""A meter as a line of a CSV and as options of a command: the same names, and the same checks as the API makes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cosem_objects.dlms.settings import Ciphering
from gateway.api.wrong_fields import field_errors
from gateway.cli.service.sheets import Sheet, WrongColumns, whole_number_in
from gateway.client.answers import Json
from gateway.client.service_client import ServiceClient
from gateway.meter_body import METER_ID, SECRETS, MeterBody
from gateway.meter_fields import MeterFieldError
from transports.endpoint import EndpointError

_TOP = (
    *("endpoint", "profile", "link", "client_sap", "server_sap", "physical", "address_bytes", "hdlc_window", "behind"),
    *("gateway_obis", "token_encoding", "serial", "windows", "time_zone", "description"),
)
_SECURITY = ("suite", "ciphering", "protection", *SECRETS, "meter_system_title", "invocation_counter")
_STS = ("pan", "sgc", "krn", "ti", "ea", "base_date")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in _TOP},
    "security": ("security", "mechanism"),
    "system_title": ("security", "client_system_title"),
    **{name: ("security", name) for name in _SECURITY},
    **{name: ("sts", name) for name in _STS},
}
"""Name of the column, and with hyphens of the option; and where its value stands in the body."""
OPEN_COLUMNS = tuple(name for name in COLUMNS if name not in SECRETS)
NUMBERS = ("client_sap", "server_sap", "physical", "hdlc_window", "suite", "invocation_counter", "krn", "base_date")
LISTS = ("windows",)

_COLUMN_OF_FIELD = {".".join(path): name for name, path in COLUMNS.items()}
_PLACEHOLDERS = {"password": "00000000", "ek": "00" * 16, "ak": "00" * 16}
"""For secrets that the service may have already: all but them can be checked."""


def body_from(values: Mapping[str, Any]) -> Json:
    """The body of ``PUT /v1/meters/{id}``; what is None is left out. Raises ``WrongColumns``."""
    body: Json = {}
    for name, path in COLUMNS.items():
        value = values.get(name)
        if value is None:
            continue
        place = body
        for part in path[:-1]:
            place = place.setdefault(part, {})
        place[path[-1]] = value
    _check(body)
    return body


def column_of(field: str) -> str:
    """What the API calls by its path, as it is called here."""
    return _COLUMN_OF_FIELD.get(field.partition("[")[0], field)


def cells_of(meter: Mapping[str, Any]) -> dict[str, str]:
    """A meter of the API as cells, without secrets. A link that nobody named is no value: it follows the endpoint."""
    cells = {}
    for name in OPEN_COLUMNS:
        value: Any = meter
        for part in COLUMNS[name]:
            value = value.get(part) if isinstance(value, Mapping) else None
        cells[name] = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
    return cells | {"link": ""} if cells["link"] == _own_link(cells["endpoint"]) else cells


def _values_from_cells(cells: Mapping[str, str]) -> dict[str, Any]:
    """Texts as the values that they stand for; an empty cell is no value. Raises ``WrongColumns``."""
    return {name: _value(name, text) for name, text in cells.items() if text}


def _value(name: str, text: str) -> Any:
    if name in NUMBERS:
        return whole_number_in(name, text)
    return text.split() if name in LISTS else text


def _own_link(endpoint: str) -> str | None:
    try:
        return MeterBody(endpoint=endpoint).link_name
    except (ValidationError, EndpointError):
        return None


def _check(body: Json) -> None:
    try:
        meter = MeterBody.model_validate_json(json.dumps(body), strict=True)
        needed = _needed_secrets(meter)
        meter.with_secrets({name: _PLACEHOLDERS[name] for name in needed}).meter()
    except ValidationError as error:
        raise WrongColumns((column_of(name), words) for name, words in field_errors(error, MeterBody)) from None
    except MeterFieldError as error:
        raise WrongColumns([(column_of(error.field), error.message)]) from None
    except EndpointError as error:
        raise WrongColumns([("endpoint", str(error))]) from None


def _needed_secrets(meter: MeterBody) -> list[str]:
    security = meter.security
    needed = ["password"] if security.mechanism in ("lls", "hls-sha256") else []
    if security.mechanism == "hls-gmac" or security.ciphering not in (None, Ciphering.NONE):
        needed += ["ek", "ak"]
    return needed


async def _put(client: ServiceClient, meter_id: str, body: Json) -> Json:
    return await client.call("PUT", "meters", meter_id, json=body)


METERS = Sheet(
    name="meter",
    columns=tuple(COLUMNS),
    required=("endpoint",),
    exported=OPEN_COLUMNS,
    hint="several windows stand with blanks between them",
    id_pattern=re.compile(METER_ID),
    id_expected="expected 1 to 64 letters, digits, dots, colons, hyphens or underscores",
    body_from_cells=lambda cells: body_from(_values_from_cells(cells)),
    cells_of=cells_of,
    column_of=column_of,
    put=_put,
)
