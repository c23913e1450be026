"""The engine with a real store and simulated meters on real sockets: lanes, priorities, links, readback, and people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from cosem_objects.sts_token import Token
from gateway.delivery import Delivery
from gateway.dispatcher import DispatchLimits, MeterBusy
from gateway.meter_body import MeterBody
from gateway.orders import FINAL_STATES, Order, OrderedToken, OrderKind, OrderState, Priority
from gateway.service import Service, ServiceOptions
from gateway.store.records import LinkRecord, OrderRecord, Resolution, ResolveCredited
from gateway.store.sqlite.store import SqliteStore
from gateway.verdict import Credited, Outcome
from sim_meters.faults import Fault
from sim_meters.meter_config import lab_config
from tests.gateway.stores import open_vault
from tests.gateway.test_delivery import credit, faulty, meter_at

PATIENCE_SECONDS = 20
CONFIG = lab_config()
TOKENS = [credit(CONFIG, units=100 + number, tid=6_000_000 + number) for number in range(6)]
FOREIGN = credit(lab_config(1))
"""Made for another meter."""
SETTLED = (*FINAL_STATES, OrderState.HELD)


def now() -> datetime:
    return datetime.now(UTC)


class HeadEnd:
    """A store with one meter, ``m``, and an engine that is started when the test says so."""

    def __init__(self, store: SqliteStore, options: ServiceOptions) -> None:
        self.store = store
        self.service = Service(store, options, now=now, rng=Random(1))
        self._running: asyncio.Task[None] | None = None

    async def know(self, url: str, meter: str = "m", **settings: object) -> None:
        body = MeterBody.model_validate({"endpoint": url, "profile": "sim", **settings})
        await self.store.meters.put(body.record(meter), who="test")

    async def order(self, order_id: str, *tokens: Token, meter: str = "m", **more: object) -> None:
        ordered = tuple(OrderedToken(token, OrderKind.CREDIT) for token in tokens)
        order = Order(id=order_id, meter=meter, tokens=ordered, **more)  # type: ignore[arg-type]
        (added,) = await self.store.orders.add([(order, order_id.encode())], who="test")
        assert added.__class__.__name__ == "Added"

    async def start(self) -> None:
        self._running = asyncio.create_task(self.service.run())
        await self.service.is_working.wait()

    async def stop(self) -> None:
        if self._running is not None:
            self.service.drain()
            await self._running

    async def crash(self) -> None:
        """The engine ends wherever it is; what is written is all that is left of it."""
        assert self._running is not None
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        self._running = None

    async def until(self, order_id: str, *states: OrderState) -> OrderRecord:
        """The order, once it is in one of these states."""
        rung = asyncio.Event()
        self.store.on_events(rung.set)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                rung.clear()
                order = await self.store.orders.get(order_id)
                assert order is not None
                if order.state in (states or SETTLED):
                    return order
                await rung.wait()

    async def story(self, order_id: str) -> list[str]:
        return [event.name for event in await self.store.orders.timeline(order_id)]


@asynccontextmanager
async def head_end(folder: Path, options: ServiceOptions | None = None) -> AsyncIterator[HeadEnd]:
    store = await SqliteStore.open(folder, open_vault(), now)
    place = HeadEnd(store, options or ServiceOptions())
    try:
        yield place
        await place.stop()
    finally:
        await store.close()


async def test_one_association_drains_the_lane_and_urgent_orders_overtake_between_orders(tmp_path: Path) -> None:
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.order("campaign-1", TOKENS[0], priority=Priority.CAMPAIGN)
        await head.order("campaign-2", TOKENS[1], priority=Priority.CAMPAIGN)

        def rush() -> None:  # while the first one is being executed
            place.meter.right_after_enter = lambda: None
            rushed.append(asyncio.get_running_loop().create_task(head.order("credit", TOKENS[2])))

        rushed: list[asyncio.Task[None]] = []
        place.meter.right_after_enter = rush
        await head.start()
        for order_id in ("campaign-1", "campaign-2", "credit"):
            if order_id == "credit":
                await rushed[0]
            assert (await head.until(order_id)).state is OrderState.ACCEPTED
        events = await head.store.events.after(0)
        accepted = [event.order for event in events if event.name == "order.accepted"]
        assert accepted == ["campaign-1", "credit", "campaign-2"]
        assert [event.order for event in events if event.name == "meter.reached"] == ["campaign-1"]
        assert place.meter.callers == [1]


async def test_the_tokens_of_an_order_stop_at_the_first_that_is_not_accepted(tmp_path: Path) -> None:
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.order("set", TOKENS[0], FOREIGN, TOKENS[1])
        await head.start()
        order = await head.until("set")
        assert order.state is OrderState.REJECTED
        fates = [(token.verdict, token.credited, token.reason) for token in order.tokens]
        assert fates == [
            (Outcome.ACCEPTED, Credited.YES, None),
            (Outcome.REJECTED, Credited.NO, "crc"),
            (Outcome.UNREACHED, Credited.NO, "not-tried"),
        ]
        assert [place.times_credited(token) for token in (TOKENS[0], FOREIGN, TOKENS[1])] == [1, 0, 0]


async def test_a_meter_that_is_away_is_tried_again_as_soon_as_it_is_seen(tmp_path: Path) -> None:
    async with head_end(tmp_path) as head:
        await head.know("tcp://127.0.0.1:9")
        await head.order("early", TOKENS[0])
        await head.start()
        waiting = await head.until("early", OrderState.WAITING)
        assert (waiting.attempts, waiting.reason, waiting.maybe_delivered) == (1, "offline", False)
        assert waiting.due_at is not None
        assert waiting.due_at > now() + timedelta(seconds=10)
        async with meter_at() as place:
            await head.know(place.url)
            assert await head.store.meters.seen("m") == 1
            assert (await head.until("early")).state is OrderState.ACCEPTED


async def test_settings_that_cannot_be_used_any_more_hold_the_orders_of_the_meter(tmp_path: Path) -> None:
    async with head_end(tmp_path) as head:
        await head.know("tcp://127.0.0.1:9", profile="gone")
        await head.order("first", TOKENS[0])
        await head.order("second", TOKENS[1])
        await head.start()
        for order_id in ("first", "second"):
            order = await head.until(order_id)
            assert (order.state, order.reason, order.maybe_delivered) == (OrderState.HELD, "config", False)
            assert order.tokens[0].credited is Credited.NO


async def test_a_bug_costs_one_order_and_the_service_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver = Delivery.deliver

    async def break_once(self: Delivery, undelivered: object) -> object:
        monkeypatch.setattr(Delivery, "deliver", deliver)
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Delivery, "deliver", break_once)
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.order("unlucky", TOKENS[0])
        await head.order("next", TOKENS[1])
        await head.start()
        order = await head.until("unlucky")
        assert (order.state, order.reason) == (OrderState.HELD, "internal-error")
        assert order.tokens[0].credited is Credited.NO
        assert (await head.until("next")).state is OrderState.ACCEPTED
        await head.store.orders.resolve(
            "unlucky", Resolution(credited=ResolveCredited.RETRY, note="mended"), who="operator"
        )
        assert (await head.until("unlucky")).state is OrderState.ACCEPTED


async def test_a_lost_answer_is_read_back_and_not_sent_again(tmp_path: Path) -> None:
    async with (
        meter_at(behaviour=faulty(Fault.HANG_UP_AFTER_ENTER)) as place,
        head_end(tmp_path) as head,
    ):
        await head.know(place.url)
        await head.order("doubtful", TOKENS[0])
        await head.start()
        assert (await head.until("doubtful")).state is OrderState.ACCEPTED
        assert len(place.meter.entered) == 1
        story = await head.story("doubtful")
        assert story.index("order.sending") < story.index("order.in_doubt") < story.index("order.accepted")


async def test_after_its_time_a_doubtful_token_is_read_once_more_and_held(tmp_path: Path) -> None:
    moved = [timedelta(0)]
    async with meter_at(behaviour=faulty(Fault.HANG_UP_BEFORE_ENTER)) as place, head_end(tmp_path) as head:
        head.service = Service(
            head.store,
            replace(ServiceOptions(), doubt_rounds_max=0),
            now=lambda: now() + moved[0],
            rng=Random(1),
        )
        await head.know(place.url)
        await head.order("late", TOKENS[0], expires_at=now() + timedelta(hours=1))
        await head.start()
        assert (await head.until("late", OrderState.IN_DOUBT)).maybe_delivered
        moved[0] = timedelta(hours=2)
        await head.store.orders.reconcile("late", who="operator")
        held = await head.until("late", OrderState.HELD)
        assert (held.reason, held.tokens[0].credited) == ("expired", Credited.UNKNOWN)
        assert place.meter.entered == []


async def test_a_paused_link_is_left_alone_and_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url, link="dcu")
        await head.store.links.put(LinkRecord(id="dcu", paused=True), who="test")
        await head.order("waits", TOKENS[0])
        await head.start()
        head.service.reload(replace(ServiceOptions(), readback_wait_seconds=0.1))
        with pytest.raises(MeterBusy):
            await head.service.readback("m")
        assert place.meter.callers == []
        await head.store.links.put(LinkRecord(id="dcu"), who="test")
        assert (await head.until("waits")).state is OrderState.ACCEPTED


async def test_a_meter_with_many_orders_does_not_keep_the_line_from_the_others(tmp_path: Path) -> None:
    others = lab_config(1)
    async with meter_at() as busy, meter_at(config=others) as patient, head_end(tmp_path) as head:
        await head.know(busy.url, link="line")
        await head.know(patient.url, "patient", link="line")
        await head.store.links.put(LinkRecord(id="line", concurrency=1), who="test")
        for number in range(30):
            await head.order(f"busy-{number}", credit(CONFIG, tid=6_100_000 + number))
        await head.order("patient", credit(others), meter="patient")
        await head.start()
        settled = [await head.until(order) for order in ("patient", "busy-29")]
        assert [order.state for order in settled] == [OrderState.ACCEPTED] * 2
        assert settled[0].changed_at < settled[1].changed_at


async def test_a_readback_waits_for_the_lane_and_the_orders_for_the_readback(tmp_path: Path) -> None:
    async with meter_at(config=replace(CONFIG, status_delay_seconds=1.5)) as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.order("slow", TOKENS[0])
        await head.start()
        await head.until("slow", OrderState.PENDING)
        read = await head.service.readback("m")
        assert read["token_gateway"]["token_status"]["status_code"] == 3
        assert (await head.until("slow")).state is OrderState.ACCEPTED
        head.service.reload(replace(ServiceOptions(), readback_wait_seconds=0.1))
        await head.order("next", TOKENS[1])
        await head.until("next", OrderState.PENDING)
        with pytest.raises(MeterBusy):
            await head.service.readback("m")
        with pytest.raises(LookupError):
            await head.service.readback("nobody")
        await head.until("next")


async def test_campaigns_leave_places_for_urgent_orders(tmp_path: Path) -> None:
    limits = DispatchLimits(in_flight_max=2, campaign_share=0.5)
    slow = replace(CONFIG, status_delay_seconds=1.0)
    async with (
        meter_at(config=slow) as one,
        meter_at(config=slow) as two,
        meter_at() as three,
        head_end(tmp_path, replace(ServiceOptions(), limits=limits)) as head,
    ):
        for meter, place in (("m1", one), ("m2", two), ("m3", three)):
            await head.know(place.url, meter)
        await head.order("campaign-1", TOKENS[0], meter="m1", priority=Priority.CAMPAIGN)
        await head.order("campaign-2", TOKENS[0], meter="m2", priority=Priority.CAMPAIGN)
        await head.start()
        await head.until("campaign-1", OrderState.PENDING)
        await head.order("urgent", TOKENS[0], meter="m3")
        assert (await head.until("urgent")).state is OrderState.ACCEPTED
        second = await head.store.orders.get("campaign-2")
        assert second is not None
        assert second.state is OrderState.QUEUED
        for order_id in ("campaign-1", "campaign-2"):
            assert (await head.until(order_id)).state is OrderState.ACCEPTED


async def test_the_trace_of_an_order_shows_its_apdus_and_no_token(tmp_path: Path) -> None:
    async with meter_at() as place, head_end(tmp_path, replace(ServiceOptions(), traces_kept=1)) as head:
        await head.know(place.url)
        await head.order("traced", TOKENS[0])
        await head.start()
        await head.until("traced")
        trace = head.service.traces.of("traced")
        assert trace is not None
        assert {"frame", "apdu", "value"} <= {event["layer"] for event in trace}
        told = str(trace)
        assert TOKENS[0].digits not in told
        assert TOKENS[0].digits.encode().hex() not in told.lower()
        await head.order("next", TOKENS[1])
        await head.until("next")
        assert head.service.traces.of("traced") is None


async def test_a_cancelled_order_is_not_sent_though_its_lane_was_claimed(tmp_path: Path) -> None:
    async with meter_at() as place, head_end(tmp_path) as head:
        await head.know(place.url)
        await head.order("cancelled", TOKENS[0])
        add = place.meter.association
        cancelling: list[asyncio.Task[object]] = []

        def cancel(client_sap: int) -> object:  # the lane is claimed, the meter is being asked
            if not cancelling:
                work = head.store.orders.cancel("cancelled", who="operator")
                cancelling.append(asyncio.get_running_loop().create_task(work))
            return add(client_sap)

        place.meter.association = cancel  # type: ignore[method-assign]
        await head.start()
        order = await head.until("cancelled")
        await cancelling[0]
        assert order.state is OrderState.CANCELLED
        await head.order("next", TOKENS[1])
        assert (await head.until("next")).state is OrderState.ACCEPTED
        assert len(place.meter.entered) == 1
