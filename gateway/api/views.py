"""What is answered about orders, events and people's doings. Tokens by their last four digits; secrets not at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import Field, PlainSerializer, WithJsonSchema

from gateway.api.fields import Answer
from gateway.orders import OrderKind, OrderState, Priority
from gateway.store.records import AuditRecord, EventRecord, OrderRecord, TokenRecord
from gateway.verdict import Credited, Outcome

Decimals = Annotated[
    Decimal,
    PlainSerializer(lambda value: f"{value.normalize():f}", return_type=str),
    WithJsonSchema({"type": "string"}, mode="serialization"),
]
Cursor = Annotated[str | None, Field(description="give it back for the next page; null = there is none")]


class AmountView(Answer):
    value: Decimals
    unit: str


class TokenView(Answer):
    """One token and what became of it."""

    token: str = Field(description="its last four digits")
    kind: OrderKind
    amount: AmountView | None
    tries: int = Field(description="how often enter may have been sent")
    verdict: Outcome | None = Field(description="null: nothing is known yet; final once the order is")
    credited: Credited | None = Field(description="whether the meter's ledger has it; refund on no alone")
    status_code: int | None
    reason: str | None
    evidence: str | None
    details: dict[str, Any]

    @classmethod
    def of(cls, record: TokenRecord) -> Self:
        amount = record.amount
        return cls.model_construct(
            token=record.masked,
            kind=record.kind,
            amount=None if amount is None else AmountView.model_construct(value=amount.value, unit=amount.unit),
            tries=record.tries,
            verdict=record.verdict,
            credited=record.credited,
            status_code=record.status_code,
            reason=record.reason,
            evidence=record.evidence,
            details=dict(record.details),
        )


class EventView(Answer):
    """One line of an order's story."""

    number: int
    order: str
    meter: str
    at: datetime
    name: str
    position: int | None = Field(description="which token it is about, from 0")
    details: dict[str, Any] = Field(description="text is a line for people; the rest depends on name")

    @classmethod
    def of(cls, record: EventRecord) -> Self:
        return cls.model_construct(
            number=record.number,
            order=record.order,
            meter=record.meter,
            at=record.at,
            name=record.name,
            position=record.position,
            details=dict(record.details),
        )


class OrderLine(Answer):
    """An order, without its story."""

    id: str
    meter: str
    state: OrderState
    reason: str | None
    maybe_delivered: bool = Field(description="true: it can no longer be cancelled, and no longer expire")
    priority: Priority
    created_at: datetime
    changed_at: datetime
    due_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None
    attempts: int = Field(description="tries that reached nobody")
    doubts: int = Field(description="rounds of reading back that settled nothing")
    key: dict[str, Any] | None
    new_key: dict[str, Any] | None
    tokens: list[TokenView]

    @classmethod
    def of(cls, record: OrderRecord) -> Self:
        return cls.model_construct(**_members(record))


class OrderView(OrderLine):
    """An order, with all that happened to it, oldest first."""

    timeline: list[EventView]

    @classmethod
    def told(cls, record: OrderRecord, timeline: Sequence[EventRecord]) -> Self:
        return cls.model_construct(**_members(record), timeline=[EventView.of(event) for event in timeline])


def _members(record: OrderRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "meter": record.meter,
        "state": record.state,
        "reason": record.reason,
        "maybe_delivered": record.maybe_delivered,
        "priority": record.priority,
        "created_at": record.created_at,
        "changed_at": record.changed_at,
        "due_at": record.due_at,
        "not_before": record.not_before,
        "expires_at": record.expires_at,
        "attempts": record.attempts,
        "doubts": record.doubts,
        "key": None if record.key is None else dict(record.key),
        "new_key": None if record.new_key is None else dict(record.new_key),
        "tokens": [TokenView.of(token) for token in record.tokens],
    }


class OrderTaken(Answer):
    """The order is on disk. Its story is at ``Location``."""

    id: str
    meter: str
    state: OrderState
    tokens: list[str] = Field(description="the last four digits of each")


class OrderList(Answer):
    orders: list[OrderLine]
    next_cursor: Cursor


class OrderTrace(Answer):
    """What went over the wire for an order, oldest first; secrets masked."""

    order: str
    frames: list[dict[str, Any]]


class AuditView(Answer):
    """Who did what."""

    number: int
    at: datetime
    who: str
    action: str
    subject: str
    details: dict[str, Any]

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        return cls(
            number=record.number,
            at=record.at,
            who=record.who,
            action=record.action,
            subject=record.subject,
            details=dict(record.details),
        )


class AuditList(Answer):
    audit: list[AuditView]
    next_cursor: Cursor


class ProblemView(Answer):
    """RFC 9457. ``type`` is one of a closed list of words."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorView] | None = Field(default=None, description="every field that is wrong")
    field: str | None = Field(default=None, description="which field is in conflict")
    order: str | None = Field(default=None, description="the order in the way")
    state: str | None = Field(default=None, description="of the order that does not allow it")
    scope: str | None = Field(default=None, description="the scope that is needed")
    error_id: str | None = Field(default=None, description="stands in the log, too")


class FieldErrorView(Answer):
    field: str = Field(description="as a path, such as tokens[1].amount; empty = the body as a whole")
    message: str


ProblemView.model_rebuild()
