"""A link's limits as a line of a CSV and as options of a command: the same checks as the API makes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from gateway.api.links import LinkBody
from gateway.api.wrong_fields import field_errors
from gateway.cli.service.sheets import Sheet, WrongColumns, whole_number_in
from gateway.client.answers import Json, ServiceRefused
from gateway.client.service_client import ServiceClient
from gateway.meter_body import LINK_ID

COLUMNS = ("concurrency", "rate_per_second", "burst", "paused")

_RATE = re.compile(r"\d{1,7}(\.\d{1,20})?(e-\d{1,2})?", re.ASCII)
"""Also as the API shows a small one, such as 5e-05."""
_WORDS = {"yes": True, "true": True, "no": False, "false": False}


def rate_in(text: str) -> float | None:
    """Associations in a second; None if it is no such number."""
    return float(text) or None if _RATE.fullmatch(text) else None


async def put_link(client: ServiceClient, link_id: str, body: Json) -> Json:
    """Limits are replaced as a whole. Whether the link is paused stays as it is, if ``body`` does not say it. Raises
    ``ServiceRefused``, ``ServiceUnreachable``."""
    if "paused" not in body:
        body = {**body, "paused": await _is_paused(client, link_id)}
    return await client.call("PUT", "links", link_id, json=body)


async def _is_paused(client: ServiceClient, link_id: str) -> bool:
    try:
        return bool((await client.get("links", link_id)).get("paused"))
    except ServiceRefused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return False  # nobody has given it limits so far


def _body_from_cells(cells: Mapping[str, str]) -> Json:
    """Raises ``WrongColumns``."""
    body: Json = {name: _VALUES[name](name, text) for name, text in cells.items() if text}
    try:
        LinkBody.model_validate_json(json.dumps(body))
    except ValidationError as error:
        raise WrongColumns(field_errors(error, LinkBody)) from None
    if not body.keys() - {"burst"}:
        raise WrongColumns([("", "a limit is needed, or yes or no under paused")])
    return body


def _rate(column: str, text: str) -> float:
    rate = rate_in(text)
    if rate is None:
        raise WrongColumns([(column, "expected a number such as 2.5")])
    return rate


def _yes_or_no(column: str, text: str) -> bool:
    if text.lower() not in _WORDS:
        raise WrongColumns([(column, "expected yes or no")])
    return _WORDS[text.lower()]


_VALUES = {"concurrency": whole_number_in, "rate_per_second": _rate, "burst": whole_number_in, "paused": _yes_or_no}


def _cells_of(link: Mapping[str, Any]) -> dict[str, str]:
    return {name: _cell(link.get(name)) for name in COLUMNS}


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case _:
            return str(value)


LINKS = Sheet(
    name="link",
    columns=COLUMNS,
    exported=COLUMNS,
    hint="for a limit that is left out the defaults hold; paused is yes or no, and stays as it is if it is left out",
    id_pattern=re.compile(LINK_ID),
    id_expected="expected 1 to 200 visible characters, of which the first is a letter or a digit",
    body_from_cells=_body_from_cells,
    cells_of=_cells_of,
    is_exported=lambda link: bool(link.get("is_configured")),
    put=put_link,
)
