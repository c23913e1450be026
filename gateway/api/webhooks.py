"""``/v1/webhooks``: who is told of events. The secret that signs what is sent can be written, and is never shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from aiohttp import web
from pydantic import AfterValidator, Field, SecretStr, WithJsonSchema

from cosem_objects.errors import SettingError
from gateway.api.call import Call, answer, nothing
from gateway.api.fields import SHORT_ID, Answer, Body
from gateway.api.path_ids import check_id
from gateway.api.problems import invalid, not_found
from gateway.api.queries import DeadQuery
from gateway.api.views import EventView
from gateway.store.records import WebhookDelivery, WebhookRecord
from gateway.webhooks.message import SECRET_LENGTHS, SECRETS_MAX, secrets_of
from gateway.webhooks.target import URL_LENGTH_MAX, check_url

SECRET_LENGTH_MIN = SECRET_LENGTHS[0]
SECRETS_LENGTH_MAX = SECRETS_MAX * SECRET_LENGTHS[-1] + SECRETS_MAX - 1
"""Of all of them, with blanks between them."""
EVENT_NAMES = (
    "order.created",
    "order.sending",
    "order.pending",
    "order.in_doubt",
    "order.reconciling",
    "order.postponed",
    "order.section_stored",
    "order.token_accepted",
    "order.accepted",
    "order.rejected",
    "order.expired",
    "order.cancelled",
    "order.held",
    "order.resolved",
    "order.retried",
    "order.reconcile_requested",
    "order.restored",
    "meter.reached",
    "meter.key_read",
)
"""All that a timeline may hold."""


def _event_name(name: str) -> str:
    if name not in EVENT_NAMES:
        raise ValueError(f"there is no such event; known are {', '.join(EVENT_NAMES)}")
    return name


EventName = Annotated[str, AfterValidator(_event_name), WithJsonSchema({"type": "string", "enum": list(EVENT_NAMES)})]


class WebhookBody(Body):
    """Where events are sent."""

    url: str = Field(max_length=URL_LENGTH_MAX, description="https://…; http to this machine only", repr=False)
    secret: SecretStr | None = Field(
        default=None,
        min_length=SECRET_LENGTH_MIN,
        max_length=SECRETS_LENGTH_MAX,
        description="what the signature is made with, or two with a blank between them; not given = as it was",
    )
    events: tuple[EventName, ...] = Field(
        default=(), max_length=50, description="names of events; empty = those that end or hold an order"
    )
    active: bool = True


class WebhookView(Answer):
    """One webhook."""

    id: str
    url: str
    secrets: list[str] = Field(description="which are set")
    events: list[str]
    active: bool
    created_at: datetime | None
    waiting: int = Field(description="deliveries that are due or will be")
    dead: int = Field(description="deliveries that were given up, until somebody replays them")

    @classmethod
    def of(cls, record: WebhookRecord) -> Self:
        return cls(
            id=record.id,
            url=record.url,
            secrets=["secret"] if record.secret else [],
            events=list(record.events),
            active=record.is_active,
            created_at=record.created_at,
            waiting=record.waiting,
            dead=record.dead,
        )


class WebhookList(Answer):
    webhooks: list[WebhookView]


class DeliveryView(Answer):
    """One event that did not get to a webhook."""

    number: int
    event: EventView
    attempts: int
    last_error: str | None

    @classmethod
    def of(cls, record: WebhookDelivery) -> Self:
        return cls(
            number=record.number,
            event=EventView.of(record.event),
            attempts=record.attempts,
            last_error=record.last_error,
        )


class DeadDeliveries(Answer):
    deliveries: list[DeliveryView]


class Replayed(Answer):
    replayed: int


async def list_webhooks(call: Call) -> web.Response:
    records = await call.store.webhooks.list()
    return answer(WebhookList(webhooks=[WebhookView.of(record) for record in records]))


async def get_webhook(call: Call) -> web.Response:
    return answer(WebhookView.of(await _webhook(call)))


async def put_webhook(call: Call) -> web.Response:
    check_id(call.id, SHORT_ID)
    body = await call.body(WebhookBody)
    try:
        check_url(body.url, call.api.parts.webhook_targets)
        if body.secret is not None:
            secrets_of(body.secret.get_secret_value())
    except SettingError as error:
        field, _, words = str(error).partition(": ")
        raise invalid([(field, words)]) from None
    async with call.api.changing:
        before = await call.store.webhooks.get(call.id)
        secret = body.secret.get_secret_value() if body.secret else before and before.secret
        if not secret:
            raise invalid([("secret", f"a new webhook needs one, of at least {SECRET_LENGTH_MIN} characters")])
        record = WebhookRecord(
            id=call.id, url=body.url, secret=secret, events=tuple(dict.fromkeys(body.events)), is_active=body.active
        )
        is_new = await call.store.webhooks.put(record, who=call.who)
    view = WebhookView.of(await _webhook(call))
    return answer(view, 201, {"Location": f"/v1/webhooks/{call.id}"}) if is_new else answer(view)


async def delete_webhook(call: Call) -> web.Response:
    if not await call.store.webhooks.remove(call.id, who=call.who):
        raise not_found("webhook")
    return nothing()


async def list_dead(call: Call) -> web.Response:
    query = call.query(DeadQuery)
    await _webhook(call)
    records = await call.store.webhooks.dead(call.id, limit=query.limit)
    return answer(DeadDeliveries(deliveries=[DeliveryView.of(record) for record in records]))


async def replay_dead(call: Call) -> web.Response:
    await _webhook(call)
    return answer(Replayed(replayed=await call.store.webhooks.replay(call.id, who=call.who)))


async def _webhook(call: Call) -> WebhookRecord:
    record = await call.store.webhooks.get(call.id)
    if record is None:
        raise not_found("webhook")
    return record
