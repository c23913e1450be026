"""``/v1/orders``: handed in one by one (many at a time: ``batches.py``), looked at, and decided about."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Protocol
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from gateway.api.call import Call, answer, told
from gateway.api.fields import NOTE, Body
from gateway.api.order_body import OrderBody, canonical, is_over
from gateway.api.problems import Problem, invalid, not_found
from gateway.api.queries import OrdersQuery
from gateway.api.views import OrderLine, OrderList, OrderTrace, OrderView
from gateway.orders import TRANSITIONS, IllegalChange, Order, OrderRefused, OrderState
from gateway.store.records import Added, Conflict, OrderFilter, OrderRecord, Resolution, ResolveCredited
from gateway.store.store import NoSuchOrder


class ResolutionBody(Body):
    """What a person decided about a held order."""

    credited: ResolveCredited = Field(description="yes, no: of its first open token; retry: try it again")
    note: Annotated[str, Field(min_length=1, max_length=1000, pattern=NOTE)] = Field(description="why; kept for ever")


async def add_order(call: Call) -> web.Response:
    body = await call.body(OrderBody)
    try:
        order = body.order()
    except OrderRefused as error:
        raise invalid([(error.field, error.message)]) from None
    if is_over(order, call.api.parts.now()) and await call.store.orders.get(order.id) is None:
        raise invalid([("expires_at", "it is over already")])
    [result] = await call.store.orders.add([(order, canonical(order))], who=call.who)
    match result:
        case Added():
            return told(_taken(order, call), 202, {"Location": _path(order.id)})
        case Conflict():
            raise refusal(result)
        case _:
            return answer(await _known(call, order.id), 200, {"Location": _path(order.id)})


def _taken(order: Order, call: Call) -> Mapping[str, Any]:
    """An ``OrderTaken``: the answer that is given most often."""
    waits = order.not_before is not None and order.not_before > call.api.parts.now()
    return {
        "id": order.id,
        "meter": order.meter,
        "state": OrderState.WAITING if waits else OrderState.QUEUED,
        "tokens": [ordered.token.masked for ordered in order.tokens],
    }


def refusal(conflict: Conflict) -> Problem:
    """A meter that is not there is a wrong field; anything else is there already."""
    if conflict.field == "meter":
        return invalid([(conflict.field, "there is no such meter")])
    return Problem("conflict", conflict.message, field=conflict.field, order=conflict.other)


async def list_orders(call: Call) -> web.Response:
    query = call.query(OrdersQuery)
    wanted = OrderFilter(states=query.state, meter=query.meter, reason=query.reason)
    records = await call.store.orders.list(wanted, before=query.cursor, limit=query.limit)
    cursor = str(records[-1].number) if len(records) == query.limit else None
    lines = [OrderLine.of(record) for record in records]
    return answer(OrderList.model_construct(orders=lines, next_cursor=cursor))


async def get_order(call: Call) -> web.Response:
    return answer(await _view(call, call.id))


async def cancel_order(call: Call) -> web.Response:
    return await _change(call, call.store.orders.cancel, "cancelled")


async def reconcile_order(call: Call) -> web.Response:
    return await _change(call, call.store.orders.reconcile, "reconciled")


async def resolve_order(call: Call) -> web.Response:
    body = await call.body(ResolutionBody)
    resolution = Resolution(credited=body.credited, note=body.note)

    async def resolve(order_id: str, *, who: str) -> OrderRecord:
        return await call.store.orders.resolve(order_id, resolution, who=who)

    return await _change(call, resolve, "resolved")


async def trace_order(call: Call) -> web.Response:
    if await call.store.orders.get(call.id) is None:
        raise not_found("order")
    trace = call.api.parts.order_trace
    frames = None if trace is None else trace(call.id)
    if frames is None:
        raise Problem("not-found", "no trace of this order is kept")
    return answer(OrderTrace(order=call.id, frames=[dict(frame) for frame in frames]))


class _ChangeOrder(Protocol):
    def __call__(self, order_id: str, *, who: str) -> Awaitable[OrderRecord]: ...


_WHICH_CAN_BE = {
    "cancelled": "an order that is queued, waiting or held, and of which nothing can have been delivered,",
    "reconciled": "an order that is in doubt or held",
    "resolved": "a held order",
}


async def _change(call: Call, change: _ChangeOrder, asked: str) -> web.Response:
    try:
        record = await change(call.id, who=call.who)
    except NoSuchOrder:
        raise not_found("order") from None
    except IllegalChange as error:
        raise Problem("illegal-change", _why_not(error, asked), state=error.state.value) from None
    return answer(OrderLine.of(record))


def _why_not(error: IllegalChange, asked: str) -> str:
    state = error.state.value.replace("_", " ")
    if (error.state, error.change) in TRANSITIONS:
        return f"the order is {state}, but may have been delivered: it can no longer be {asked}"
    return f"the order is {state}; only {_WHICH_CAN_BE[asked]} can be {asked}"


async def _known(call: Call, order_id: str) -> OrderView:
    try:
        return await _view(call, order_id)
    except Problem:
        words = "this order was taken before and has ended; its story was removed"
        raise Problem("gone", words, order=order_id) from None


async def _view(call: Call, order_id: str) -> OrderView:
    record = await call.store.orders.get(order_id)
    if record is None:
        raise not_found("order")
    return OrderView.told(record, await call.store.orders.timeline(order_id))


def _path(order_id: str) -> str:
    return f"/v1/orders/{quote(order_id, safe='')}"
