"""All routes, in one table."""

from __future__ import annotations

from gateway.api import api_keys, audit, batches, event_streams, links, meters, orders, service, webhooks
from gateway.api.batch_rows import CSV_TYPE, NDJSON_TYPE
from gateway.api.fields import SHORT_ID
from gateway.api.order_body import OrderBody
from gateway.api.queries import AuditQuery, DeadQuery, EventsQuery, LinksQuery, MetersQuery, OrdersQuery
from gateway.api.route import Content, Route
from gateway.api.views import AuditList, OrderLine, OrderList, OrderTaken, OrderTrace, OrderView
from gateway.api_keys import Scope
from gateway.meter_body import LINK_ID, METER_ID, MeterBody

_READ, _ORDERS, _OPERATE, _ADMIN = Scope.READ, Scope.ORDERS, Scope.OPERATE, Scope.ADMIN

_REPORT = Content(NDJSON_TYPE, "a line for each row: row, id, status, and problem if it was refused")
_EVENTS = Content("text/event-stream", "id: the event's number; event: its name; data: as in an order's timeline")
_FIGURES = Content("text/plain", "Prometheus text")
_DOCUMENT = Content("application/json", "OpenAPI 3.1")
_HEALTH = Content("application/json", "ok, and what was looked at")

_ORDER_ROUTES = (
    Route(
        method="POST",
        path="/v1/orders",
        handler=orders.add_order,
        scope=_ORDERS,
        summary="Hand in an order",
        body=OrderBody,
        answers={202: OrderTaken, 200: OrderView},
        problems=("conflict", "gone"),
    ),
    Route(
        method="POST",
        path="/v1/orders:batch",
        handler=batches.add_batch,
        scope=_ORDERS,
        summary="Hand in many orders",
        media_types=(NDJSON_TYPE, CSV_TYPE),
        answers={200: _REPORT},
        waits_itself=True,
    ),
    Route(
        method="GET",
        path="/v1/orders",
        handler=orders.list_orders,
        scope=_READ,
        summary="Orders, newest first",
        query=OrdersQuery,
        answers={200: OrderList},
    ),
    Route(
        method="GET",
        path="/v1/orders/{id}",
        handler=orders.get_order,
        scope=_READ,
        summary="An order and its story",
        answers={200: OrderView},
    ),
    Route(
        method="POST",
        path="/v1/orders/{id}/cancel",
        handler=orders.cancel_order,
        scope=_ORDERS,
        summary="Cancel an order of which nothing can have arrived",
        answers={200: OrderLine},
        problems=("illegal-change",),
    ),
    Route(
        method="POST",
        path="/v1/orders/{id}/reconcile",
        handler=orders.reconcile_order,
        scope=_OPERATE,
        summary="Let the meter be read again, now",
        answers={200: OrderLine},
        problems=("illegal-change",),
    ),
    Route(
        method="POST",
        path="/v1/orders/{id}/resolve",
        handler=orders.resolve_order,
        scope=_OPERATE,
        summary="Decide about a held order",
        body=orders.ResolutionBody,
        answers={200: OrderLine},
        problems=("illegal-change",),
    ),
    Route(
        method="GET",
        path="/v1/orders/{id}/trace",
        handler=orders.trace_order,
        scope=_OPERATE,
        summary="What went over the wire for an order",
        answers={200: OrderTrace},
    ),
    Route(
        method="GET",
        path="/v1/events",
        handler=event_streams.stream_events,
        scope=_READ,
        summary="Events as they happen",
        query=EventsQuery,
        answers={200: _EVENTS},
        waits_itself=True,
    ),
)
_METER_ROUTES = (
    Route(
        method="GET",
        path="/v1/meters",
        handler=meters.list_meters,
        scope=_READ,
        summary="Meters, by id",
        query=MetersQuery,
        answers={200: meters.MeterList},
    ),
    Route(
        method="GET",
        path="/v1/meters/{id}",
        handler=meters.get_meter,
        scope=_READ,
        summary="A meter",
        answers={200: meters.MeterView},
    ),
    Route(
        method="PUT",
        path="/v1/meters/{id}",
        handler=meters.put_meter,
        scope=_OPERATE,
        summary="Enter a meter, or replace what is known of it",
        body=MeterBody,
        answers={201: meters.MeterView, 200: meters.MeterView},
        id_pattern=METER_ID,
    ),
    Route(
        method="DELETE",
        path="/v1/meters/{id}",
        handler=meters.delete_meter,
        scope=_OPERATE,
        summary="Remove a meter without open orders; its history stays",
        answers={204: None},
        problems=("in-use",),
    ),
    Route(
        method="POST",
        path="/v1/meters/{id}/seen",
        handler=meters.meter_seen,
        scope=_OPERATE,
        summary="The meter is there: wake its orders",
        answers={200: meters.Woken},
    ),
    Route(
        method="POST",
        path="/v1/meters/{id}/readback",
        handler=meters.read_meter_back,
        scope=_OPERATE,
        summary="Read what the meter says about itself",
        answers={200: meters.Readback},
        problems=("meter-busy", "invalid", "meter-unreached"),
        waits_itself=True,
    ),
    Route(
        method="GET",
        path="/v1/links",
        handler=links.list_links,
        scope=_READ,
        summary="Links, by id",
        query=LinksQuery,
        answers={200: links.LinkList},
    ),
    Route(
        method="GET",
        path="/v1/links/{id}",
        handler=links.get_link,
        scope=_READ,
        summary="A link",
        answers={200: links.LinkView},
    ),
    Route(
        method="PUT",
        path="/v1/links/{id}",
        handler=links.put_link,
        scope=_OPERATE,
        summary="Give a link its limits",
        body=links.LinkBody,
        answers={201: links.LinkView, 200: links.LinkView},
        id_pattern=LINK_ID,
    ),
    Route(
        method="DELETE",
        path="/v1/links/{id}",
        handler=links.delete_link,
        scope=_OPERATE,
        summary="Take a link's limits away",
        answers={204: None},
    ),
    Route(
        method="POST",
        path="/v1/links/{id}/pause",
        handler=links.pause_link,
        scope=_OPERATE,
        summary="Begin no more associations on a link",
        answers={200: links.LinkView},
    ),
    Route(
        method="POST",
        path="/v1/links/{id}/resume",
        handler=links.resume_link,
        scope=_OPERATE,
        summary="Go on with a paused link",
        answers={200: links.LinkView},
    ),
)
_ADMIN_ROUTES = (
    Route(
        method="GET",
        path="/v1/webhooks",
        handler=webhooks.list_webhooks,
        scope=_ADMIN,
        summary="Webhooks",
        answers={200: webhooks.WebhookList},
    ),
    Route(
        method="GET",
        path="/v1/webhooks/{id}",
        handler=webhooks.get_webhook,
        scope=_ADMIN,
        summary="A webhook",
        answers={200: webhooks.WebhookView},
    ),
    Route(
        method="PUT",
        path="/v1/webhooks/{id}",
        handler=webhooks.put_webhook,
        scope=_ADMIN,
        summary="Enter or change a webhook",
        body=webhooks.WebhookBody,
        answers={201: webhooks.WebhookView, 200: webhooks.WebhookView},
        id_pattern=SHORT_ID,
    ),
    Route(
        method="DELETE",
        path="/v1/webhooks/{id}",
        handler=webhooks.delete_webhook,
        scope=_ADMIN,
        summary="Remove a webhook",
        answers={204: None},
    ),
    Route(
        method="GET",
        path="/v1/webhooks/{id}/dead",
        handler=webhooks.list_dead,
        scope=_ADMIN,
        summary="Deliveries that were given up",
        query=DeadQuery,
        answers={200: webhooks.DeadDeliveries},
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{id}/replay",
        handler=webhooks.replay_dead,
        scope=_ADMIN,
        summary="Try deliveries that were given up once more",
        answers={200: webhooks.Replayed},
    ),
    Route(
        method="GET",
        path="/v1/api-keys",
        handler=api_keys.list_api_keys,
        scope=_ADMIN,
        summary="API keys, without the keys themselves",
        answers={200: api_keys.ApiKeyList},
    ),
    Route(
        method="POST",
        path="/v1/api-keys",
        handler=api_keys.add_api_key,
        scope=_ADMIN,
        summary="Make an API key; it is shown this once",
        body=api_keys.ApiKeyBody,
        answers={201: api_keys.NewApiKey},
    ),
    Route(
        method="DELETE",
        path="/v1/api-keys/{id}",
        handler=api_keys.delete_api_key,
        scope=_ADMIN,
        summary="Revoke an API key",
        answers={204: None},
    ),
    Route(
        method="POST",
        path="/v1/api-keys/{id}/rotate",
        handler=api_keys.rotate_api_key,
        scope=_ADMIN,
        summary="Replace an API key; the old one is good for a while longer",
        body=api_keys.RotationBody,
        answers={201: api_keys.NewApiKey},
    ),
    Route(
        method="GET",
        path="/v1/audit",
        handler=audit.list_audit,
        scope=_READ,
        summary="Who did what, newest first",
        query=AuditQuery,
        answers={200: AuditList},
    ),
)


def all_routes(*, metrics_open: bool) -> tuple[Route, ...]:
    """The table. Whether metrics need a key is a setting."""
    return (
        *_ORDER_ROUTES,
        *_METER_ROUTES,
        *_ADMIN_ROUTES,
        Route(
            method="GET",
            path="/metrics",
            handler=service.metrics,
            scope=None if metrics_open else _READ,
            summary="Figures",
            answers={200: _FIGURES},
        ),
        Route(
            method="GET",
            path="/healthz",
            handler=service.healthz,
            scope=None,
            summary="Whether the process lives",
            answers={200: _HEALTH, 503: _HEALTH},
        ),
        Route(
            method="GET",
            path="/readyz",
            handler=service.readyz,
            scope=None,
            summary="Whether orders can be taken and delivered now",
            answers={200: _HEALTH, 503: _HEALTH},
        ),
        Route(
            method="GET",
            path="/openapi.json",
            handler=service.openapi,
            scope=None,
            summary="This document",
            answers={200: _DOCUMENT},
        ),
    )
