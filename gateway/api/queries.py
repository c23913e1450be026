"""Parameters of lists: what may be asked for, and cursors."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.api.fields import ORDER_ID, REASON
from gateway.api.problems import Problem
from gateway.api.wrong_fields import field_errors
from gateway.meter_body import LINK_ID, METER_ID
from gateway.orders import OrderState

Query = TypeVar("Query", bound=BaseModel)
NUMBER_MAX = 2**63 - 1
"""Numbers of orders, events and audit lines have 64 bits, signed."""


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _listed(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]
States = Annotated[tuple[OrderState, ...], BeforeValidator(_listed), Field(min_length=1, max_length=len(OrderState))]
Limit = Annotated[int, Field(default=100, ge=1, le=1000, description="how many at most")]


class NoQuery(_Query):
    pass


class OrdersQuery(_Query):
    state: States | None = Field(default=None, description="one state or several, with commas between them")
    meter: str | None = Field(default=None, pattern=METER_ID)
    reason: str | None = Field(default=None, pattern=REASON)
    limit: Limit
    cursor: Number | None = Field(default=None, description="next_cursor of the page before")


class MetersQuery(_Query):
    link: str | None = Field(default=None, pattern=LINK_ID)
    limit: Limit
    cursor: str | None = Field(default=None, pattern=METER_ID, description="next_cursor of the page before")


class LinksQuery(_Query):
    limit: Limit
    cursor: str | None = Field(default=None, pattern=LINK_ID, description="next_cursor of the page before")


class AuditQuery(_Query):
    limit: Limit
    cursor: Number | None = Field(default=None, description="next_cursor of the page before")


class DeadQuery(_Query):
    limit: Limit


class EventsQuery(_Query):
    after: Number | None = Field(
        default=None, description="events behind this number; 0 = from the beginning; none = from now on"
    )
    order: str | None = Field(default=None, pattern=ORDER_ID, description="of this order alone")


def parse(request: web.Request, model: type[Query]) -> Query:
    """Raises ``Problem`` 400."""
    given = request.query
    if len(set(given)) != len(given):
        raise Problem("invalid-parameter", "a parameter is given twice")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        errors = field_errors(error, model)
        field, message = errors[0]
        detail = f"{field}: {message}" if field else f"{message}; expected: {', '.join(model.model_fields) or 'none'}"
        raise Problem("invalid-parameter", detail, errors=errors) from None
