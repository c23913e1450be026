"""What the parts of the running service tell the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from random import Random

from gateway.dispatcher import Dispatcher
from gateway.events import Judged
from gateway.orders import Change
from gateway.serving.metrics import LinkFigures, Metrics
from gateway.serving.order_times import OrderTimes
from gateway.settings.sections import Settings
from gateway.store.records import OrderWork
from gateway.store.store import Store, StoreError
from gateway.webhooks.retry import Fate
from gateway.webhooks.sender import Attempt

_ENDS = (Change.ACCEPT, Change.REJECT, Change.HOLD)


class Gauges:
    """Hears what happens, and reads now and then what stands in the store."""

    def __init__(
        self,
        metrics: Metrics,
        store: Store,
        *,
        settings: Callable[[], Settings],
        now: Callable[[], datetime],
        rng: Random,
    ) -> None:
        """``settings``: as they are at the moment."""
        self._metrics = metrics
        self._store = store
        self._settings = settings
        self._now = now
        self._times = OrderTimes(store.orders, metrics, rng)

    def judged(self, work: OrderWork, change: Change, judged: Judged) -> None:
        """A try came to this."""
        verdict = judged.verdict
        self._metrics.delivery_judged(verdict.outcome, verdict.reason, judged.elapsed_seconds)
        if change in _ENDS:
            self._times.ended(work.id)

    def webhook_called(self, attempt: Attempt) -> None:
        self._metrics.webhook_called(is_delivered=attempt.fate is Fate.DELIVERED)

    async def watch(self, dispatcher: Dispatcher) -> None:
        """Until it is cancelled. A store that fails is shown as such; whether that is for good, others find out."""
        self._metrics.watch_links(lambda: self._link_figures(dispatcher))
        while True:
            try:
                await self._times.read()
                self._metrics.figures_read(await self._store.figures(), self._now())
            except StoreError:
                self._metrics.figures_read(None, self._now())
            self._metrics.in_flight_changed(dispatcher.in_flight, dispatcher.limits.in_flight_max)
            await asyncio.sleep(self._settings().metrics.refresh_seconds)

    def _link_figures(self, dispatcher: Dispatcher) -> Iterator[LinkFigures]:
        for link, in_flight in dispatcher.links.under_way():
            yield LinkFigures(link.id, in_flight, link.concurrency, is_paused=link.paused)
