"""The sender of webhooks on a real store, against real receivers. The clock is the test's; nobody sleeps."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from cosem_objects.errors import SettingError
from gateway.orders import OrderState
from gateway.schedule import Backoff
from gateway.store.records import WebhookDelivery, WebhookRecord
from gateway.store.store import Store, StoreError
from gateway.vault import VaultError
from gateway.webhooks.message import DELIVERY, SIGNATURE, verify
from gateway.webhooks.post import WebhookPoster
from gateway.webhooks.retry import Fate, RetryRule
from gateway.webhooks.sender import PAGE, Attempt, WebhookOptions, WebhookSender
from gateway.webhooks.target import TargetRule
from tests.gateway.receivers import LIMIT_SECONDS, Received, Receiver, behaving, hangs, receiving
from tests.gateway.stores import START, Clock, open_store, open_vault, order

SECRET, OTHER = "correct-horse-battery", "staple-of-another-kind"
OPTIONS = WebhookOptions(
    installation="north", look_pause_seconds=0.0, store_wait_seconds=0.0, close_seconds=LIMIT_SECONDS
)
TOLD = ("order.created", "order.cancelled")


@dataclass
class Office:
    """A store, a clock, and senders between it and receivers."""

    store: Store
    clock: Clock
    attempts: asyncio.Queue[Attempt] = field(default_factory=asyncio.Queue)

    async def webhook(self, name: str, url: str, secret: str = SECRET, events: Sequence[str] = TOLD) -> None:
        await self.store.webhooks.put(WebhookRecord(id=name, url=url, secret=secret, events=tuple(events)), who="test")

    async def sell(self, *names: str) -> None:
        """Each is one event: order.created."""
        for result in await self.store.orders.add([order(name) for name in names], who="test"):
            assert result.order_id in names

    def sender(self, options: WebhookOptions = OPTIONS, timeout_seconds: float = LIMIT_SECONDS) -> WebhookSender:
        return WebhookSender(
            self.store,
            options,
            WebhookPoster(TargetRule(), timeout_seconds=timeout_seconds),
            now=self.clock.now,
            rng=Random(1),
            on_attempt=self.attempts.put_nowait,
        )

    @asynccontextmanager
    async def sending(
        self, options: WebhookOptions = OPTIONS, timeout_seconds: float = LIMIT_SECONDS
    ) -> AsyncIterator[WebhookSender]:
        """A sender that works; killed at the end, as by a crash."""
        sender = self.sender(options, timeout_seconds)
        run = asyncio.create_task(sender.run())
        try:
            yield sender
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    async def attempt(self) -> Attempt:
        """The next try whose outcome is in the store."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.attempts.get()

    async def waiting(self, webhook: str) -> int:
        record = await self.store.webhooks.get(webhook)
        assert record is not None
        return record.waiting

    async def due(self) -> Sequence[WebhookDelivery]:
        return (await self.store.webhooks.due(limit=100))[0]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = Clock()
    async with open_store(tmp_path, clock.now, open_vault()) as store:
        yield Office(store, clock)


def event_of(received: Received) -> tuple[str, str]:
    """What happened to which order."""
    message = json.loads(received.body)
    return message["type"].removeprefix("stsgate.order."), message["subject"]


def id_of(received: Received) -> str:
    return str(json.loads(received.body)["id"])


def signed_at(received: Received) -> float:
    return float(received.headers[SIGNATURE].removeprefix("t=").partition(",")[0])


def answers(*statuses: int, **headers: str) -> Iterator[web.Response]:
    """These, and 204 for ever after."""
    for status in statuses:
        yield web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})
    while True:
        yield web.Response(status=204)


def answer_with(receiver: Receiver, *statuses: int, **headers: str) -> None:
    responses = answers(*statuses, **headers)
    receiver.answer = lambda _: next(responses)


@contextmanager
def broken(part: object, method: str, *errors: Exception) -> Iterator[None]:
    """A method that raises these first, and then works."""
    left = list(errors)
    original = getattr(part, method)

    async def call(*arguments: object, **named: object) -> object:
        if left:
            raise left.pop(0)
        return await original(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, method, call)
        yield


# Delivered.


async def test_an_event_is_told_signed_and_struck_off(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        await office.webhook("w", f"{receiver.url}?key=1")
        await office.sell("A-1")
        received = await receiver.next()
        assert await office.attempt() == Attempt("w", Fate.DELIVERED, 0.0)
    assert verify(received.headers, received.body, SECRET, office.clock.now())
    assert received.headers["Content-Type"] == "application/cloudevents+json"
    assert received.headers[DELIVERY].isdigit()
    message = json.loads(received.body)
    assert (message["subject"], message["data"]["state"]) == ("A-1", OrderState.QUEUED.value)
    assert (message["id"], message["sequence"]) == ("north/1", "00000000000000000001")
    assert received.path == "/hook?key=1"
    assert await office.waiting("w") == 0


async def test_no_whole_token_leaves(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        received = await receiver.next()
    (ordered,) = order("A-1")[0].tokens
    assert ordered.token.masked in json.loads(received.body)["data"]["tokens"][0]["token"]
    assert f"{ordered.token.number:020d}"[:16].encode() not in received.body


async def test_what_was_due_before_the_start_is_told(office: Office) -> None:
    async with receiving() as receiver:
        await office.webhook("w", receiver.url)
        await office.sell("A-1", "A-2")
        async with office.sending():
            assert {event_of(await receiver.next()) for _ in range(2)} == {("created", "A-1"), ("created", "A-2")}


async def test_more_than_a_page_is_told_each_once(office: Office) -> None:
    names = [f"A-{number}" for number in range(2 * PAGE + 1)]
    async with receiving() as receiver:
        await office.webhook("w", receiver.url)
        await office.sell(*names)
        async with office.sending():
            told = [event_of(await receiver.next())[1] for _ in names]
            for _ in names:
                await office.attempt()
        assert receiver.inbox.empty()
    assert sorted(told) == sorted(names)
    assert await office.waiting("w") == 0


async def test_while_secrets_change_a_message_is_good_under_both(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        await office.webhook("w", receiver.url, f"{OTHER} {SECRET}")
        await office.sell("A-1")
        received = await receiver.next()
    for secret in (SECRET, OTHER):
        assert verify(received.headers, received.body, secret, office.clock.now())


async def test_a_new_secret_and_url_are_used_from_the_next_message_on(office: Office) -> None:
    async with receiving() as old, receiving() as new, office.sending():
        await office.webhook("w", old.url)
        await office.sell("A-1")
        await old.next()
        await office.webhook("w", new.url, OTHER)
        office.clock.advance(1)
        await office.sell("A-2")
        received = await new.next()
    assert verify(received.headers, received.body, OTHER, office.clock.now())


# Tried again.


async def test_a_failure_is_tried_again_later_with_the_same_id_and_a_new_signature(office: Office) -> None:
    async with receiving() as receiver, office.sending() as sender:
        answer_with(receiver, 500)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        first = await receiver.next()
        assert (await office.attempt()).fate is Fate.RETRY
        office.clock.advance(14)
        assert await office.due() == []
        office.clock.advance(17)
        (delivery,) = await office.due()
        assert (delivery.attempts, delivery.last_error) == (1, "answered 500")
        sender.ring()
        second = await receiver.next()
        assert (await office.attempt()).fate is Fate.DELIVERED
    assert id_of(first) == id_of(second)
    assert first.headers[DELIVERY] == second.headers[DELIVERY]
    assert signed_at(second) - signed_at(first) == 31
    assert await office.waiting("w") == 0


async def test_what_was_tried_too_often_is_dead_until_somebody_replays_it(office: Office) -> None:
    options = replace(OPTIONS, retries=RetryRule(attempts_max=3))
    async with receiving() as receiver, office.sending(options) as sender:
        answer_with(receiver, 500, 404, 503)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        fates = []
        for _ in range(3):
            fates.append((await office.attempt()).fate)
            office.clock.advance(24 * 3600)
            sender.ring()
        assert fates == [Fate.RETRY, Fate.RETRY, Fate.DEAD]
        (dead,) = await office.store.webhooks.dead("w")
        assert (dead.attempts, dead.is_dead, dead.last_error) == (3, True, "answered 503")
        assert await office.due() == []

        assert await office.store.webhooks.replay("w", who="test") == 1
        sender.ring()
        assert (await office.attempt()).fate is Fate.DELIVERED
        ids = {id_of(await receiver.next()) for _ in range(4)}
    assert len(ids) == 1
    assert await office.store.webhooks.dead("w") == []


async def test_gone_switches_the_webhook_off_and_its_message_can_be_replayed(office: Office) -> None:
    async with receiving() as receiver, office.sending() as sender:
        answer_with(receiver, 410)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.GONE
        webhook = await office.store.webhooks.get("w")
        assert webhook is not None
        assert (webhook.is_active, webhook.secret) == (False, SECRET)
        (dead,) = await office.store.webhooks.dead("w")
        assert dead.last_error == "answered 410 (gone): the webhook was switched off"
        (written, *_) = await office.store.audit.list()
        assert (written.who, written.action, written.subject) == ("webhooks", "webhook.put", "w")

        await office.webhook("w", receiver.url)
        await office.store.webhooks.replay("w", who="test")
        sender.ring()
        assert (await office.attempt()).fate is Fate.DELIVERED


async def test_after_gone_nothing_more_is_sent(office: Office) -> None:
    async with receiving() as receiver, receiving() as fence:
        answer_with(receiver, 410)
        await office.webhook("w", receiver.url)
        await office.webhook("fence", fence.url)
        await office.sell("A-1", "A-2", "A-3")
        async with office.sending(replace(OPTIONS, in_flight_per_webhook_max=1)):
            assert sorted([(await office.attempt()).fate for _ in range(4)]) == ["delivered"] * 3 + ["gone"]
            await office.sell("A-4")
            assert await office.attempt() == Attempt("fence", Fate.DELIVERED, 0.0)
        assert receiver.inbox.qsize() == 1
    assert await office.waiting("w") == 2


async def test_gone_of_a_url_that_was_changed_meanwhile_switches_nothing_off(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        receiver.gate.clear()
        answer_with(receiver, 410)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        await receiver.next()
        await office.webhook("w", f"{receiver.url}/new")
        receiver.gate.set()
        assert (await office.attempt()).fate is Fate.GONE
    webhook = await office.store.webhooks.get("w")
    assert webhook is not None
    assert webhook.is_active


async def test_a_receiver_that_asks_for_quiet_gets_it_for_all_its_messages(office: Office) -> None:
    async with receiving() as slow, receiving() as healthy, office.sending() as sender:
        answer_with(slow, 429, Retry_After="600")
        await office.webhook("slow", slow.url)
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.RETRY
        await slow.next()
        await office.webhook("healthy", healthy.url)
        await office.sell("A-2")
        await healthy.next()  # one look took both
        office.clock.advance(599)
        sender.ring()
        await office.sell("A-3")
        await healthy.next()
        assert slow.inbox.empty()
        office.clock.advance(1)
        sender.ring()
        told = [await slow.next() for _ in range(3)]
    assert {event_of(received)[1] for received in told} == {"A-1", "A-2", "A-3"}
    assert {signed_at(received) for received in told} == {START.timestamp() + 600}


async def test_a_receiver_that_hangs_or_is_not_there_is_tried_again(office: Office) -> None:
    async with behaving(hangs) as url, office.sending(timeout_seconds=0.1):
        await office.webhook("w", url)
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.RETRY
    office.clock.advance(60)
    (delivery,) = await office.due()
    assert delivery.last_error == "no answer within 0.1 s"
    async with office.sending():
        assert (await office.attempt()).fate is Fate.RETRY
    office.clock.advance(3600)
    (delivery,) = await office.due()
    assert delivery.last_error == "no connection: Connection refused"


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "1"}], ids=["by the waits", "by Retry-After"])
async def test_the_next_try_needs_no_bell(office: Office, headers: dict[str, str]) -> None:
    rule = RetryRule(backoff=Backoff(first_seconds=0.01), retry_after_seconds_max=0.02)
    options = replace(OPTIONS, retries=rule, idle_seconds=10 * LIMIT_SECONDS)
    office.clock.follow_real_time()
    async with receiving() as receiver, office.sending(options):
        answer_with(receiver, 503, 503, **headers)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        assert [(await office.attempt()).fate for _ in range(3)] == [Fate.RETRY, Fate.RETRY, Fate.DELIVERED]


# Who holds up whom.


async def test_a_stuck_receiver_holds_back_no_other(office: Office) -> None:
    names = [f"A-{number}" for number in range(30)]
    async with receiving() as stuck, receiving() as healthy, office.sending():
        stuck.gate.clear()
        await office.webhook("stuck", stuck.url)
        await office.webhook("healthy", healthy.url)
        await office.sell(*names)
        assert {event_of(await healthy.next())[1] for _ in names} == set(names)
        for _ in range(OPTIONS.in_flight_per_webhook_max):
            await stuck.next()
        assert stuck.inbox.empty()
        stuck.gate.set()
        for _ in range(len(names) - OPTIONS.in_flight_per_webhook_max):
            await stuck.next()


async def test_no_more_calls_than_allowed_are_under_way(office: Office) -> None:
    async with receiving() as receiver:
        receiver.gate.clear()
        for name in ("first", "second"):
            await office.webhook(name, f"{receiver.url}/{name}")
        await office.sell("A-1", "A-2", "A-3")
        async with office.sending(replace(OPTIONS, in_flight_max=3, in_flight_per_webhook_max=2)):
            paths = sorted([(await receiver.next()).path for _ in range(3)])
            assert paths in (["/hook/first", "/hook/first", "/hook/second"], ["/hook/first", *["/hook/second"] * 2])
            assert receiver.inbox.empty()
            receiver.gate.set()
            for _ in range(6):
                assert (await office.attempt()).fate is Fate.DELIVERED


async def test_messages_on_one_order_come_as_they_happened_though_one_has_to_be_repeated(office: Office) -> None:
    async with receiving() as receiver, office.sending() as sender:
        answer_with(receiver, 500)
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.RETRY
        await office.store.orders.cancel("A-1", who="test")
        await office.sell("A-2")
        assert (await office.attempt()).fate is Fate.DELIVERED
        office.clock.advance(31)
        sender.ring()
        told = [event_of(await receiver.next()) for _ in range(4)]
    assert told == [("created", "A-1"), ("created", "A-2"), ("created", "A-1"), ("cancelled", "A-1")]


async def test_messages_that_wait_for_an_earlier_one_hide_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.webhooks.sender.PAGE", 1)
    async with receiving() as receiver, office.sending() as sender:
        answer_with(receiver, 500, 500, 500)
        await office.webhook("w", receiver.url)
        for name in ("A-1", "A-2", "A-3"):
            await office.sell(name)
            assert (await office.attempt()).fate is Fate.RETRY
            await office.store.orders.cancel(name, who="test")
        office.clock.advance(1)
        await office.sell("A-4")
        assert (await office.attempt()).fate is Fate.DELIVERED
        office.clock.advance(31)
        sender.ring()
        told = [event_of(await receiver.next()) for _ in range(10)]
    assert told[3] == ("created", "A-4")
    for name in ("A-1", "A-2", "A-3"):
        assert [what for what, order_id in told if order_id == name] == ["created", "created", "cancelled"]


# Crashes, and the store's bad days.


async def test_a_crash_between_the_answer_and_its_note_sends_it_again_with_the_same_id(office: Office) -> None:
    async with receiving() as receiver:
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        with broken(office.store.webhooks, "delivered", *[StoreError("power is out")] * 1000):
            async with office.sending(replace(OPTIONS, store_wait_seconds=LIMIT_SECONDS)):
                first = await receiver.next()
        async with office.sending():
            second = await receiver.next()
            assert (await office.attempt()).fate is Fate.DELIVERED
    assert first.body == second.body
    assert id_of(first) == id_of(second)


async def test_a_crash_during_the_call_sends_it_again(office: Office) -> None:
    async with receiving() as receiver:
        receiver.gate.clear()
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        async with office.sending():
            first = await receiver.next()
        receiver.gate.set()
        async with office.sending():
            assert id_of(first) == id_of(await receiver.next())


async def test_everything_is_still_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    clock, vault = Clock(), open_vault()
    async with receiving() as receiver:
        answer_with(receiver, 500)
        async with open_store(tmp_path, clock.now, vault) as store:
            office = Office(store, clock)
            await office.webhook("w", receiver.url)
            async with office.sending():
                await office.sell("A-1")
                await office.attempt()
        first = await receiver.next()
        clock.advance(60)
        async with open_store(tmp_path, clock.now, vault) as store, Office(store, clock).sending():
            second = await receiver.next()
    assert id_of(first) == id_of(second)
    assert verify(second.headers, second.body, SECRET, clock.now())


async def test_a_store_that_fails_costs_the_receiver_no_second_call(office: Office) -> None:
    async with receiving() as receiver:
        await office.webhook("w", receiver.url)
        errors = [StoreError("the disk is full")] * 3
        with (
            broken(office.store.webhooks, "due", *errors),
            broken(office.store.webhooks, "list", VaultError("webhook:w cannot be opened"), *errors),
            broken(office.store.orders, "get", *errors),
            broken(office.store.webhooks, "delivered", *errors),
        ):
            async with office.sending():
                await office.sell("A-1")
                assert (await office.attempt()).fate is Fate.DELIVERED
        assert receiver.inbox.qsize() == 1
    assert await office.waiting("w") == 0


class Heard(logging.Handler):
    """Rings when an error is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.bell = asyncio.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.bell.set()


async def test_a_defect_of_ours_costs_one_webhook_a_pause_and_is_in_the_log(office: Office) -> None:
    heard = Heard()
    logging.getLogger("gateway.webhooks.sender").addHandler(heard)
    async with receiving() as receiver, receiving() as fence, asyncio.timeout(LIMIT_SECONDS):
        await office.webhook("w", receiver.url)
        with broken(office.store.orders, "get", RuntimeError("a defect")):
            async with office.sending() as sender:
                await office.sell("A-1")
                await heard.bell.wait()
                await office.webhook("fence", fence.url)
                await office.sell("A-2")
                await fence.next()  # the store was looked at meanwhile
                office.clock.advance(60)
                sender.ring()
                received = [await receiver.next() for _ in range(2)]
    logging.getLogger("gateway.webhooks.sender").removeHandler(heard)
    assert heard.messages == ["webhook w: event 1 met a defect"]
    assert {signed_at(one) for one in received} == {START.timestamp() + 60}


async def test_an_order_that_is_not_kept_any_more_is_no_reason_to_stop(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(office.store.orders, "get", nothing)
    async with receiving() as receiver, office.sending():
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.RETRY
        assert receiver.inbox.empty()
    office.clock.advance(60)
    assert [delivery.last_error for delivery in await office.due()] == ["its order is not kept any more"]


async def test_a_stored_secret_that_is_none_is_said_and_sends_nothing(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        await office.webhook("w", receiver.url, "short")
        await office.sell("A-1")
        assert (await office.attempt()).fate is Fate.RETRY
        assert receiver.inbox.empty()
    office.clock.advance(60)
    (delivery,) = await office.due()
    assert delivery.last_error is not None
    assert delivery.last_error.startswith("secret: expected 16 to 200")


# Its end.


async def test_close_lets_what_is_under_way_finish_and_begins_nothing(office: Office) -> None:
    async with receiving() as receiver:
        receiver.gate.clear()
        await office.webhook("w", receiver.url)
        sender = office.sender(replace(OPTIONS, in_flight_per_webhook_max=1))
        run = asyncio.create_task(sender.run())
        await office.sell("A-1", "A-2")
        await receiver.next()
        close = asyncio.create_task(sender.close())
        await asyncio.sleep(0)
        receiver.gate.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(close, run)
        assert (await office.attempt()).fate is Fate.DELIVERED
        assert receiver.inbox.empty()
    assert await office.waiting("w") == 1


async def test_close_begins_nothing_while_it_waits_for_somebody_else(office: Office) -> None:
    async with receiving() as quick, receiving() as slow:
        for name, receiver in (("quick", quick), ("slow", slow)):
            receiver.gate.clear()
            await office.webhook(name, receiver.url)
        await office.sell("A-1", "A-2")
        sender = office.sender(replace(OPTIONS, in_flight_per_webhook_max=1))
        run = asyncio.create_task(sender.run())
        await quick.next()
        await slow.next()
        close = asyncio.create_task(sender.close())
        quick.gate.set()
        await office.attempt()
        slow.gate.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(close, run)
        assert quick.inbox.empty()
    assert await office.waiting("quick") == await office.waiting("slow") == 1


def _senders_tasks() -> set[str]:
    return {name for task in asyncio.all_tasks() if "WebhookSender" in (name := repr(task.get_coro()))}


async def test_being_cancelled_begins_nothing_and_leaves_no_task_behind(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        receiver.gate.clear()
        await office.webhook("w", receiver.url)
        await office.sell("A-1", "A-2")
        async with office.sending(replace(OPTIONS, in_flight_per_webhook_max=1)):
            await receiver.next()
            assert _senders_tasks() != set()
        assert _senders_tasks() == set()
        assert caplog.messages == []
    assert await office.waiting("w") == 2


async def test_close_does_not_wait_for_ever(office: Office) -> None:
    async with behaving(hangs) as url, receiving() as receiver:
        await office.webhook("w", url)
        await office.webhook("fence", receiver.url)
        sender = office.sender(replace(OPTIONS, close_seconds=0.0))
        run = asyncio.create_task(sender.run())
        await office.sell("A-1")
        await receiver.next()
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(sender.close(), run)
    assert await office.waiting("w") == 1
    assert office.attempts.qsize() <= 1


async def test_a_sender_that_never_ran_can_be_closed(office: Office) -> None:
    sender = office.sender()
    async with asyncio.timeout(LIMIT_SECONDS):
        await sender.close()
        await sender.run()
    assert office.attempts.empty()


async def test_an_installation_without_a_usable_name_does_not_start(office: Office) -> None:
    with pytest.raises(SettingError, match="installation"):
        office.sender(replace(OPTIONS, installation="no name"))


# What is written about it.


async def test_logs_say_once_that_a_webhook_fails_and_works_again_and_show_no_secret(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    options = replace(OPTIONS, retries=RetryRule(attempts_max=3))
    async with receiving() as receiver, office.sending(options) as sender:
        answer_with(receiver, 500, 500, 204, 410)
        await office.webhook("w", f"{receiver.url}?key=hunter2")
        await office.sell("A-1")
        for _ in range(3):
            await office.attempt()
            office.clock.advance(3600)
            sender.ring()
        await office.sell("A-2")
        await office.attempt()
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("gateway.webhook")]
    assert ours == [
        "webhook w fails: answered 500",
        "webhook w takes events again",
        "webhook w fails: answered 410 (gone): the webhook was switched off",
        "webhook w: event 2 is put aside: answered 410 (gone): the webhook was switched off",
    ]
    assert "hunter2" not in caplog.text
    assert SECRET not in caplog.text


async def test_the_seconds_of_a_try_are_told(office: Office) -> None:
    async with receiving() as receiver, office.sending():
        receiver.gate.clear()
        await office.webhook("w", receiver.url)
        await office.sell("A-1")
        await receiver.next()
        office.clock.advance(2.5)
        receiver.gate.set()
        assert await office.attempt() == Attempt("w", Fate.DELIVERED, timedelta(seconds=2.5).total_seconds())
