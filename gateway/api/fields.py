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

ORDER_ID = r"^[A-Za-z0-9][A-Za-z0-9._:@+=-]{0,99}$"
SHORT_ID = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Of API keys and webhooks."""

_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[+-][0-9]{2}:?[0-9]{2})")
_FLOAT_DIGITS = 15
"""As many decimal digits as a double keeps, whatever they are (IEEE 754 binary64)."""
_YEARS = range(1990, 2200)


class Body(BaseModel):
    """What a caller sends: nothing unknown in it, and never repeated in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""Text of people, on one line."""
