"""Webhooks: takes what is due from the store, sends it, and writes what became of it.

The event's own transaction wrote the delivery down, so nothing is lost; a delivery is struck off after the receiver
said 2xx, so a crash in between sends it twice, with the same CloudEvents id. Nothing here is remembered that would be
missed after a crash: what is due, how often it was tried and what is dead stands in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from cosem_objects.errors import SettingError
from gateway.store.records import WebhookDelivery, WebhookRecord
from gateway.store.store import Store, StoreError
from gateway.vault import VaultError
from gateway.webhooks.backlog import WebhookBacklog
from gateway.webhooks.message import check_installation, encode, envelope, headers
from gateway.webhooks.post import WebhookPoster
from gateway.webhooks.retry import Answer, Decision, Fate, RetryRule, decide

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

PAGE = 100
"""How many deliveries of one webhook are asked for at a time; no more of one wait in memory."""
_PAGE_MAX = 10_000
_RECORDS_AGE = timedelta(seconds=1)
"""A webhook that was changed is known as such after this time at the latest."""
_DEFECT_PAUSE = timedelta(minutes=1)
_WHO = "webhooks"
"""In the audit, where a receiver's 410 switches a webhook off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Limits of the sender. Times in seconds."""

    installation: str
    """Under this name receivers know us: part of every message's id and source."""
    retries: RetryRule = field(default_factory=RetryRule)
    in_flight_max: int = 64
    in_flight_per_webhook_max: int = 8
    idle_seconds: float = 10.0
    """The store is asked at least this often, bell or not."""
    look_pause_seconds: float = 0.05
    """Between two looks into the store, so that the events of many commits are taken together."""
    store_wait_seconds: float = 1.0
    """Before a store that failed is asked again."""
    close_seconds: float = 10.0
    """How long ``close`` waits for what is under way."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, for metrics."""

    webhook: str
    fate: Fate
    seconds: float


def _nobody(_: Attempt) -> None:
    """Nobody wants to know."""


class WebhookSender:
    """Sends what is due until it is closed; one for each store."""

    def __init__(
        self,
        store: Store,
        options: WebhookOptions,
        poster: WebhookPoster,
        *,
        now: Callable[[], datetime],
        rng: Random,
        on_attempt: Callable[[Attempt], None] = _nobody,
    ) -> None:
        """Raises ``SettingError`` for a name of the installation that cannot be one. ``on_attempt`` is called after
        the outcome of a try was written."""
        check_installation(options.installation)
        self._store = store
        self._options = options
        self._poster = poster
        self._now = now
        self._rng = rng
        self._on_attempt = on_attempt
        self._backlog = WebhookBacklog(
            total_max=options.in_flight_max, webhook_max=options.in_flight_per_webhook_max, waiting_max=PAGE
        )
        self._webhooks: dict[str, WebhookRecord] = {}
        """Those that are active, as they were lately."""
        self._webhooks_read_at: datetime | None = None
        self._behind = 0
        self._store_failed = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._bell = asyncio.Event()
        self._is_closing = False
        self._ended = asyncio.Event()
        self._ended.set()

    def ring(self) -> None:
        """Something may be due: the store has new events, or a person replayed dead ones."""
        self._bell.set()

    async def run(self) -> None:
        """Send until ``close``. Being cancelled leaves the store right: what was under way is due again."""
        self._ended.clear()
        self._store.on_events(self.ring)
        try:
            async with self._poster:
                try:
                    while not self._is_closing:
                        await self._round()
                    if self._tasks:
                        await asyncio.wait(self._tasks, timeout=self._options.close_seconds)
                finally:
                    self._is_closing = True
                    await self._cancel_tasks()
        finally:
            self._ended.set()

    async def close(self) -> None:
        """Begin nothing new, and return when what is under way has ended, or its time is over."""
        self._is_closing = True
        self.ring()
        await self._ended.wait()

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _round(self) -> None:
        self._bell.clear()
        until = await self._look()
        self._start()
        await asyncio.sleep(self._options.look_pause_seconds)
        seconds = min(max((until - self._now()).total_seconds(), 0.0), self._options.idle_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            pass  # then it is time to look by ourselves

    async def _look(self) -> datetime:
        """Take what is due; when to look again at the latest."""
        self._backlog.start_look()
        try:
            # A page for each webhook, and room for those that stood in front last time and could not go.
            limit = min((PAGE + self._behind) * max(1, len(self._webhooks)), _PAGE_MAX)
            due, next_due = await self._store.webhooks.due(limit=limit)
            await self._read_webhooks({delivery.webhook for delivery in due})
        except (StoreError, VaultError) as error:  # a secret that cannot be opened must not end the service
            self._store_fails(error)
            return self._now() + timedelta(seconds=self._options.store_wait_seconds)
        self._store_failed = False
        self._behind = self._backlog.add(due, self._webhooks)
        now = self._now()
        times = (next_due, self._backlog.next_pause_end(now), now + timedelta(seconds=self._options.idle_seconds))
        return min(time for time in times if time is not None)

    async def _read_webhooks(self, named: set[str]) -> None:
        now, read_at = self._now(), self._webhooks_read_at
        if named and (read_at is None or now - read_at >= _RECORDS_AGE or not named <= self._webhooks.keys()):
            records = await self._store.webhooks.list()
            made_at = {record.id: record.created_at for record in records}
            for known in self._webhooks.values():
                if made_at.get(known.id) != known.created_at:
                    self._backlog.forget(known.id)
            self._webhooks = {record.id: record for record in records if record.is_active}
            self._webhooks_read_at = now

    def _store_fails(self, error: Exception) -> None:
        if not self._store_failed:
            _log.warning("webhooks wait for the store: %s", error)
        self._store_failed = True

    def _start(self) -> None:
        """Begin as much as there is room for."""
        while not self._is_closing:
            delivery = self._backlog.next(self._webhooks, self._now())
            if delivery is None:
                return
            task = asyncio.create_task(self._deliver(delivery, self._webhooks[delivery.webhook]))
            self._tasks.add(task)
            task.add_done_callback(self._ended_task)

    def _ended_task(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._start()
        self._bell.set()

    async def _deliver(self, delivery: WebhookDelivery, webhook: WebhookRecord) -> None:
        """One try. A defect of ours costs this webhook a pause, and no other anything."""
        try:
            await self._try(delivery, webhook)
        except Exception:
            _log.exception("webhook %s: event %d met a defect", webhook.id, delivery.event.number)
            self._backlog.paused[webhook.id] = self._now() + _DEFECT_PAUSE
        finally:
            self._backlog.dropped(delivery)

    async def _try(self, delivery: WebhookDelivery, webhook: WebhookRecord) -> None:
        """From the order's record to the outcome in the store."""
        started = self._now()
        answer = await self._send(delivery, webhook)
        decision = decide(answer, delivery.attempts, self._options.retries, self._now(), self._rng.random())
        await self._patiently(lambda: self._write(delivery, webhook, decision))
        self._backlog.settled(delivery, again=decision.fate is Fate.RETRY)
        if decision.pause_until is not None:
            self._backlog.paused[webhook.id] = decision.pause_until
        self._tell(delivery, webhook, decision)
        self._on_attempt(Attempt(webhook.id, decision.fate, (self._now() - started).total_seconds()))

    async def _send(self, delivery: WebhookDelivery, webhook: WebhookRecord) -> Answer:
        order = await self._patiently(lambda: self._store.orders.get(delivery.event.order))
        if order is None:
            return Answer(error="its order is not kept any more")
        body = encode(envelope(delivery.event, order, self._options.installation))
        try:
            signed = headers(body, webhook.secret, delivery.number, self._now())
        except SettingError as error:
            return Answer(error=str(error))
        return await self._poster.post(webhook.url, signed, body)

    async def _write(self, delivery: WebhookDelivery, webhook: WebhookRecord, decision: Decision) -> None:
        if decision.fate is Fate.DELIVERED:
            await self._store.webhooks.delivered([delivery.number])
            return
        if decision.fate is Fate.GONE:
            current = await self._store.webhooks.get(webhook.id)
            if current is not None and current.is_active and current.url == webhook.url:
                await self._store.webhooks.put(replace(current, is_active=False), who=_WHO)
            self._webhooks.pop(webhook.id, None)
        await self._store.webhooks.failed(delivery.number, error=decision.error, due_at=decision.due_at)

    async def _patiently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Ask until the store works again, rather than trouble the receiver once more; ``close`` cancels it."""
        while True:
            try:
                return await call()
            except StoreError as error:
                self._store_fails(error)
                await asyncio.sleep(self._options.store_wait_seconds)

    def _tell(self, delivery: WebhookDelivery, webhook: WebhookRecord, decision: Decision) -> None:
        """One line when a receiver begins to fail, one when it works again, and one for each event given up."""
        failing = self._backlog.failing
        if decision.fate is Fate.DELIVERED:
            if webhook.id in failing:
                _log.info("webhook %s takes events again", webhook.id)
            failing.discard(webhook.id)
            return
        if webhook.id not in failing:
            _log.warning("webhook %s fails: %s", webhook.id, decision.error)
        failing.add(webhook.id)
        if decision.fate is not Fate.RETRY:
            _log.warning("webhook %s: event %d is put aside: %s", webhook.id, delivery.event.number, decision.error)
