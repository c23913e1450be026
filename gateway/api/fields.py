"""Kinds of fields that bodies and answers share."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
)

from gateway.meter_body import ON_ONE_LINE

ORDER_ID = r"^[A-Za-z0-9][A-Za-z0-9._:@+=-]{0,99}$"
SHORT_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Of API keys and webhooks."""
REASON = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Why an order waits or is held, as a word."""
NOTE = r"^[^\x00-\x08\x0b-\x1f\x7f]*$"

_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:?[0-9]{2})")
_FLOAT_DIGITS = 15
"""As many decimal digits as a double keeps, whatever they are (IEEE 754 binary64)."""
_YEARS = range(1990, 2200)
_TWENTY_DIGITS = re.compile(r"[0-9](?:[ -]*[0-9]){19}")
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
NO_TOKENS_IN_IDS = "20 digits in a row look like a token; an id stands in logs and URLs, where a token must not be"


class Body(BaseModel):
    """What a caller sends: nothing unknown in it, and never repeated in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def looks_like_token(text: str) -> bool:
    """Whether 20 digits follow each other, blanks and hyphens apart, as they do in a token. A UUID is none: one in two
    thousand has so many digits by chance, but hardly one has no letter."""
    if len(text) < 20:
        return False
    without_uuids = _UUID.sub(lambda uuid: uuid[0] if uuid[0].replace("-", "").isdigit() else "_", text)
    return _TWENTY_DIGITS.search(without_uuids) is not None


def _not_a_token(text: str) -> str:
    if looks_like_token(text):
        raise ValueError(NO_TOKENS_IN_IDS)
    return text


def _amount(value: Any) -> Decimal:
    text = repr(value) if isinstance(value, float) else value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_FLOAT_DIGITS:
        text = str(value)
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise ValueError("a number such as 25.6 is expected, with at most 15 digits before the point and 9 behind it")
    if isinstance(value, float) and sum(map(str.isdigit, text)) > _FLOAT_DIGITS:
        raise ValueError("a number of more than 15 digits is expected as text")
    number = Decimal(text)
    if not number:
        raise ValueError("a number other than 0 is expected")
    return number


def _moment(value: Any) -> datetime:
    try:
        if isinstance(value, str) and _MOMENT.fullmatch(value):
            return datetime.fromisoformat(value.upper())
    except ValueError:
        pass
    raise ValueError("a time with its zone is expected, such as 2026-11-21T12:00:00Z or 2026-11-21T14:00:00+02:00")


def _in_utc(value: datetime) -> datetime:
    if value.year not in _YEARS:
        raise ValueError(f"a year from {_YEARS.start} to {_YEARS.stop - 1} is expected")
    return value.astimezone(UTC)


AmountValue = Annotated[
    Decimal,
    PlainValidator(_amount),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": f"^{_AMOUNT.pattern}$"}, {"type": "number"}]}, mode="validation"
    ),
]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc), BeforeValidator(_moment)]
"""ISO 8601 with its zone; kept in UTC."""

OrderId = Annotated[str, Field(pattern=ORDER_ID), AfterValidator(_not_a_token)]

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=ON_ONE_LINE)]
"""Text of people, on one line."""
