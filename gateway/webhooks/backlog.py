"""Which delivery goes next: fair among webhooks, in sequence within an order. Pure.

The store says what is due. Here stands what only this process knows: what is under way, whose receiver asked for
quiet, and which orders have an event that was not delivered yet, so that their later events have to wait for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from gateway.store.records import WebhookDelivery

FAILING_ORDERS_MAX = 100_000
"""Remembered at most; beyond that the oldest is forgotten, and its later events may overtake."""


class WebhookBacklog:
    """What is due and not delivered yet, as far as it was taken from the store."""

    def __init__(self, *, total_max: int, webhook_max: int, waiting_max: int) -> None:
        """At most so many under way in all and for one webhook, and so many of one webhook waiting here."""
        self._total_max = total_max
        self._webhook_max = webhook_max
        self._waiting_max = waiting_max
        self._waiting: dict[str, dict[int, WebhookDelivery]] = {}
        self._under_way: dict[str, dict[int, WebhookDelivery]] = {}
        self._settled: set[int] = set()
        self._failing_orders: dict[tuple[str, str], int] = {}
        self.failing: set[str] = set()
        """Webhooks whose last try failed: one try at a time until one succeeds."""
        self.paused: dict[str, datetime] = {}

    def start_look(self) -> None:
        """The store is about to be asked: what is settled from here on may still be in its answer."""
        self._settled.clear()

    def add(self, due: Iterable[WebhookDelivery], active: Collection[str]) -> int:
        """Take what may be sent of this answer; how many of it have to wait for an earlier event of their order, and
        so will stand in front of others in the next one."""
        behind = 0
        for delivery in due:
            if delivery.number > self._failing_orders.get(_order(delivery), delivery.number):
                behind += 1
            elif delivery.webhook in active and self._is_wanted(delivery):
                self._waiting.setdefault(delivery.webhook, {})[delivery.number] = delivery
        return behind

    def _is_wanted(self, delivery: WebhookDelivery) -> bool:
        waiting = self._waiting.get(delivery.webhook, {})
        if delivery.number in self._settled or len(waiting) >= self._waiting_max:
            return False
        return delivery.number not in waiting and delivery.number not in self._under_way.get(delivery.webhook, {})

    def next(self, active: Collection[str], now: datetime) -> WebhookDelivery | None:
        """The next one to send, which is under way from here on; None while there is no place, or nothing to send.
        The webhook with the least under way goes first."""
        if sum(map(len, self._under_way.values())) >= self._total_max:
            return None
        for webhook in sorted(self._waiting, key=lambda one: len(self._under_way.get(one, {}))):
            places = 1 if webhook in self.failing else self._webhook_max
            if webhook not in active:
                del self._waiting[webhook]
            elif len(self._under_way.get(webhook, {})) < places and self.paused.get(webhook, now) <= now:
                delivery = self._take(webhook)
                if delivery is not None:
                    return delivery
        return None

    def _take(self, webhook: str) -> WebhookDelivery | None:
        waiting, under_way = self._waiting[webhook], self._under_way.setdefault(webhook, {})
        busy = {delivery.event.order for delivery in under_way.values()}
        chosen = next((one for number, one in sorted(waiting.items()) if one.event.order not in busy), None)
        if chosen is not None:
            under_way[chosen.number] = waiting.pop(chosen.number)
        return chosen

    def settled(self, delivery: WebhookDelivery, *, again: bool) -> None:
        """Its outcome is in the store; ``again``: it will be tried once more, and its order's later events wait."""
        self.dropped(delivery)
        self._settled.add(delivery.number)
        order = _order(delivery)
        if not again:
            if self._failing_orders.get(order) == delivery.number:
                del self._failing_orders[order]
            return
        if len(self._failing_orders) >= FAILING_ORDERS_MAX:
            del self._failing_orders[next(iter(self._failing_orders))]
        self._failing_orders[order] = delivery.number
        waiting = self._waiting.get(delivery.webhook, {})
        for number in [number for number, one in waiting.items() if one.event.order == delivery.event.order]:
            del waiting[number]

    def forget(self, webhook: str) -> None:
        """It was removed, and perhaps put again: what failed before is gone, and holds up nothing."""
        self._failing_orders = {order: number for order, number in self._failing_orders.items() if order[0] != webhook}
        self.failing.discard(webhook)
        self.paused.pop(webhook, None)

    def dropped(self, delivery: WebhookDelivery) -> None:
        """It is not under way any more."""
        self._under_way.get(delivery.webhook, {}).pop(delivery.number, None)

    def next_pause_end(self, now: datetime) -> datetime | None:
        """When the first receiver that asked for quiet may be disturbed again."""
        self.paused = {webhook: until for webhook, until in self.paused.items() if until > now}
        return min(self.paused.values(), default=None)


def _order(delivery: WebhookDelivery) -> tuple[str, str]:
    return delivery.webhook, delivery.event.order
