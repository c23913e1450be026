"""How long orders were in each state, for metrics: read off the stories of some of the orders that ended lately.

Every order would cost a reading each; a sample drawn evenly tells the same distribution. How many there were altogether
is counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from gateway.orders import FINAL_STATES, OrderState
from gateway.serving.metrics import Metrics
from gateway.store.records import EventRecord
from gateway.store.store import Orders

SAMPLE_MAX = 50
"""Orders that are read each time; guess: a few milliseconds of work."""
_ROUNDS = 3
"""An order is heard of before its end is written: it is looked for so often."""
_ENDS = (*FINAL_STATES, OrderState.HELD)
_S = OrderState
STATE_AFTER = {
    "order.created": _S.QUEUED,
    "order.retried": _S.QUEUED,
    "order.token_accepted": _S.QUEUED,
    "order.postponed": _S.WAITING,
    "order.sending": _S.SENDING,
    "order.section_stored": _S.SENDING,
    "order.pending": _S.PENDING,
    "order.in_doubt": _S.IN_DOUBT,
    "order.reconcile_requested": _S.IN_DOUBT,
    "order.restored": _S.IN_DOUBT,
    "order.reconciling": _S.RECONCILING,
    "order.held": _S.HELD,
    "order.accepted": _S.ACCEPTED,
    "order.rejected": _S.REJECTED,
    "order.expired": _S.EXPIRED,
    "order.cancelled": _S.CANCELLED,
}
"""The state that an order is in after an event of this name; others change nothing."""


class OrderTimes:
    """Hears of orders that ended, and reads some of them when it is told to."""

    def __init__(self, orders: Orders, metrics: Metrics, rng: Random, sample_max: int = SAMPLE_MAX) -> None:
        self._orders = orders
        self._metrics = metrics
        self._rng = rng
        self._sample_max = sample_max
        self._sample: list[str] = []
        self._heard = 0
        self._unwritten: list[tuple[str, int]] = []
        """Whose end was not in the store yet, and how often they are looked at again."""

    def ended(self, order_id: str) -> None:
        """Each has the same chance to be in the sample, however many come."""
        self._heard += 1
        if len(self._sample) < self._sample_max:
            self._sample.append(order_id)
        elif (place := self._rng.randrange(self._heard)) < self._sample_max:
            self._sample[place] = order_id

    async def read(self) -> None:
        """Into the metrics; then a new sample begins. Raises ``StoreError``."""
        sample = [*self._unwritten, *((order_id, _ROUNDS) for order_id in self._sample)]
        self._sample, self._unwritten, self._heard = [], [], 0
        for order_id, rounds in sample:
            story = await self._orders.timeline(order_id)
            state = STATE_AFTER.get(story[-1].name) if story else None
            if state in _ENDS:
                for before, seconds in seconds_in_states(story):
                    self._metrics.order_left(before, seconds)
                self._metrics.order_ended(state, (story[-1].at - story[0].at).total_seconds())
            elif rounds > 1:
                self._unwritten.append((order_id, rounds - 1))


def seconds_in_states(story: Sequence[EventRecord]) -> Iterator[tuple[OrderState, float]]:
    """Each stay in a state that is over, in their sequence."""
    state, since = None, None
    for event in story:
        following = STATE_AFTER.get(event.name)
        if following is None or following is state:
            continue
        if state is not None and since is not None:
            yield state, (event.at - since).total_seconds()
        state, since = following, event.at
