"""One suite that every store must pass: the registry, links, orders as people see them, and their story."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cosem_objects.sts_token import Token, TokenClass
from gateway.events import Judged, SendStarted
from gateway.orders import Amount, Change, IllegalChange, Order, OrderedToken, OrderKind, OrderState, Priority
from gateway.store.records import (
    Added,
    Conflict,
    Known,
    LaneClaim,
    LinkRecord,
    MeterRecord,
    NextHead,
    OrderFilter,
    OrderWork,
    Resolution,
    ResolveCredited,
    Step,
)
from gateway.store.store import InUse, NoSuchOrder, Store, StoreError
from gateway.verdict import Credited, Outcome, Verdict
from tests.contract.stores import (
    ACCOUNT,
    BEFORE,
    START,
    Place,
    add,
    an_order,
    claim_all,
    claim_one,
    credit,
    deliver,
    put_meters,
    record_of,
    send,
    state_of,
    step,
)

S, C = OrderState, Change
YES, NO, RETRY = (Resolution(credited=word, note="asked the customer") for word in ResolveCredited)

# The registry.


async def test_a_meter_comes_back_as_it_went_in(place: Place, store: Store) -> None:
    meter = MeterRecord(id="m1", link="line-1", settings={"endpoint": "tcp://a:1"}, secrets={"ek": "11", "ak": "22"})
    assert await store.meters.put(meter, who="ann") is True
    assert await store.meters.get("m1") == replace(meter, version=1, created_at=START, changed_at=START)
    assert list(await store.meters.list()) == [
        replace(meter, secrets={}, version=1, created_at=START, changed_at=START)
    ]
    assert await store.meters.get("m2") is None

    place.clock.move(5)
    changed = MeterRecord(
        id="m1", link="line-1", settings={"endpoint": "tcp://b:1"}, secrets={"ak": "", "password": "p"}
    )
    assert await store.meters.put(changed, who="ann") is False
    found = await store.meters.get("m1")
    assert found is not None
    assert found.secrets == {"ek": "11", "password": "p"}
    assert (found.version, found.created_at, found.changed_at) == (2, START, place.clock.now())


async def test_meters_are_listed_by_id_in_pages_and_by_link(store: Store) -> None:
    await put_meters(store, "a", "b", "c", link="line-1")
    await put_meters(store, "d")
    assert [meter.id for meter in await store.meters.list(after="a", limit=2)] == ["b", "c"]
    assert [meter.id for meter in await store.meters.list(link="line-1", after="a")] == ["b", "c"]
    assert [meter.id for meter in await store.meters.list(link="nobody")] == []


async def test_meters_are_found_by_where_they_are_and_by_their_system_title(store: Store) -> None:
    behind, title = "inbound:4C41420000000001", bytes.fromhex("4C4142000000000A")
    for meter_id, settings in (
        ("m1", {"endpoint": behind}),
        ("m2", {"endpoint": "tcp://m2:4059", "security": {"meter_system_title": title.hex()}}),
        ("m3", {"endpoint": behind, "security": {"meter_system_title": title.hex().upper()}}),
        ("m4", {"endpoint": "tcp://m4:4059"}),
        ("m5", {"endpoint": behind}),
    ):
        await store.meters.put(MeterRecord(id=meter_id, link="l", settings=settings, secrets={"ek": "1"}), who="ann")
    await store.meters.remove("m5", who="ann")

    async def found(**question: Any) -> list[str]:
        records = await store.meters.find(**question)
        assert all(not record.secrets for record in records)
        return [record.id for record in records]

    assert await found(endpoint=behind) == ["m1", "m3"]
    assert await found(system_title=title) == ["m2", "m3"]
    assert await found(endpoint=behind, system_title=title) == ["m1", "m2", "m3"]
    assert await found(endpoint=behind, system_title=title, limit=2) == ["m1", "m2"]
    assert await found(endpoint="inbound:4C41420000000002", system_title=bytes(8)) == []
    assert await found() == []


async def test_a_meter_with_open_orders_stays_and_its_history_outlives_it(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    with pytest.raises(InUse, match="m1 has 1 open order"):
        await store.meters.remove("m1", who="ann")
    await deliver(store, "o1", C.HOLD)
    with pytest.raises(InUse):
        await store.meters.remove("m1", who="ann")
    await store.orders.resolve("o1", YES, who="ann")
    assert await store.meters.remove("m1", who="ann") is True
    assert await store.meters.remove("m1", who="ann") is False
    assert await store.meters.get("m1") is None
    assert (await record_of(store, "o1")).meter == "m1"
    (result,) = await store.orders.add([(an_order("o2"), b"")], who="ann")
    assert result == Conflict("o2", "meter", "there is no meter m1")

    assert await store.meters.put(MeterRecord(id="m1", link="l", settings={}), who="ann") is True
    (again,) = await store.orders.add([(an_order("o3", tokens=an_order("o1").tokens), b"")], who="ann")
    assert isinstance(again, Conflict), "what the meter's tokens were is not forgotten"


async def test_the_lane_of_a_removed_meter_is_nobodys(store: Store) -> None:
    await put_meters(store, "m1")
    assert await store.lanes.claim_meter("m1") is not None
    await store.meters.remove("m1", who="ann")
    with pytest.raises(LookupError):
        await store.lanes.claim_meter("m1")
    await put_meters(store, "m1")
    second = await store.lanes.claim_meter("m1")
    assert second is not None
    assert second.fence > 1


# Links.


async def test_links_are_those_with_limits_and_those_that_meters_name(store: Store) -> None:
    await put_meters(store, "a", "b", link="line-1")
    await put_meters(store, "c", link="line-2")
    limits = LinkRecord(id="line-9", concurrency=2, rate_per_second=0.5, burst=3, paused=True)
    assert await store.links.put(limits, who="ann") is True
    named = LinkRecord(id="line-1", meters=2, is_configured=False)
    alone = LinkRecord(id="line-2", meters=1, is_configured=False)
    assert list(await store.links.list()) == [named, alone, limits]
    assert list(await store.links.list(after="line-1", limit=1)) == [alone]
    assert list(await store.links.shared()) == [named, limits]
    assert await store.links.get("line-9") == limits
    assert await store.links.get("line-2") == alone
    assert await store.links.get("nobody") is None
    assert await store.links.put(replace(limits, paused=False), who="ann") is False
    assert await store.links.remove("line-9", who="ann") is True
    assert await store.links.remove("line-9", who="ann") is False
    assert await store.links.get("line-9") is None


async def test_a_lane_follows_its_meter_and_the_limits_of_its_link(store: Store) -> None:
    async def found_on(link: str | None) -> list[str]:
        claimed = await claim_all(store, link)
        for claim in claimed.claims:
            await store.lanes.release(claim)
        return sorted(claim.meter for claim in claimed.claims)

    await put_meters(store, "a", "b", "c", link="line-1")
    await put_meters(store, "d", link="line-2")
    for meter in "abcd":
        await add(store, an_order(f"o-{meter}", meter))
    assert await found_on("line-1") == ["a", "b", "c"]
    assert await found_on(None) == ["d"]
    await put_meters(store, "a", link="line-2")  # now both are shared
    assert await found_on("line-1") == ["b", "c"]
    assert await found_on("line-2") == ["a", "d"]
    await put_meters(store, "b", link="line-2")  # and c is alone
    assert await found_on(None) == ["c"]
    await store.links.put(LinkRecord(id="line-1", concurrency=1), who="ann")
    assert await found_on(None) == []
    assert await found_on("line-1") == ["c"]
    await store.links.remove("line-1", who="ann")
    assert await found_on(None) == ["c"]


# Taking orders.


async def test_an_order_comes_back_as_it_went_in(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    order = replace(
        an_order("o1", not_before=place.clock.later(60), expires_at=place.clock.later(3600)),
        tokens=(replace(credit(1 << 40), amount=Amount(Decimal("25.60"), "kWh")), credit(2 << 40)),
        priority=Priority.OPERATOR,
        key={"sgc": "123456", "krn": 1},
    )
    await add(store, order)
    record = await record_of(store, "o1")
    assert (record.id, record.meter, record.priority, record.state) == ("o1", "m1", Priority.OPERATOR, S.WAITING)
    assert (record.created_at, record.due_at) == (START, place.clock.later(60))
    assert (record.not_before, record.expires_at) == (order.not_before, order.expires_at)
    assert (record.key, record.new_key, record.maybe_delivered) == ({"sgc": "123456", "krn": 1}, None, False)
    assert [token.masked for token in record.tokens] == [ordered.token.masked for ordered in order.tokens]
    assert [token.amount for token in record.tokens] == [order.tokens[0].amount, None]
    assert all(token.verdict is None and token.tries == 0 for token in record.tokens)
    (event,) = await store.orders.timeline("o1")
    assert (event.name, event.order, event.meter, event.at) == ("order.created", "o1", "m1", START)


async def test_the_same_order_again_is_known_and_another_one_under_its_id_is_not_taken(store: Store) -> None:
    await put_meters(store, "m1")
    order = an_order("o1")
    results = await store.orders.add([(order, b"x"), (order, b"x"), (order, b"y")], who="ann")
    assert results[:2] == [Added("o1"), Known("o1")]
    conflict = results[2]
    assert isinstance(conflict, Conflict)
    assert (conflict.field, conflict.other) == ("id", "o1")
    assert list(await store.orders.add([(order, b"x")], who="ann")) == [Known("o1")]
    assert len(await store.orders.timeline("o1")) == 1


async def test_a_token_that_works_once_belongs_to_one_order_of_its_meter(store: Store) -> None:
    await put_meters(store, "m1", "m2")
    token = credit(1 << 40)
    await add(store, an_order("o1", tokens=[token]))
    second = an_order("o2", tokens=[credit(2 << 40), token])
    (conflict,) = await store.orders.add([(second, b"")], who="ann")
    assert isinstance(conflict, Conflict)
    assert (conflict.field, conflict.other) == ("tokens[1]", "o1")
    assert token.token.digits not in conflict.message
    assert await store.orders.get("o2") is None, "half an order is none"
    await add(store, an_order("o3", tokens=[credit(2 << 40)]), an_order("o4", "m2", tokens=[token]))
    await store.orders.cancel("o1", who="ann")
    (still,) = await store.orders.add([(replace(second, id="o5"), b"")], who="ann")
    assert isinstance(still, Conflict), "for ever"


@pytest.mark.parametrize(
    ("kind", "token_class"),
    [
        (OrderKind.TEST, TokenClass.NON_METER_SPECIFIC_MANAGEMENT),
        (OrderKind.KEY_CHANGE, TokenClass.METER_SPECIFIC_MANAGEMENT),
    ],
)
async def test_what_may_be_repeated_may_stand_in_many_orders(
    store: Store, kind: OrderKind, token_class: TokenClass
) -> None:
    await put_meters(store, "m1")
    token = OrderedToken(Token.from_block(token_class, 1 << 40), kind)
    await add(store, an_order("o1", tokens=[token]), an_order("o2", tokens=[token]))
    assert await state_of(store, "o2") is S.QUEUED


async def test_each_order_of_many_is_taken_or_not_by_itself(store: Store) -> None:
    await put_meters(store, "m1")
    orders = [an_order("o1"), an_order("o2", "nowhere"), an_order("o3")]
    results = await store.orders.add([(order, b"") for order in orders], who="ann")
    assert [type(result) for result in results] == [Added, Conflict, Added]
    assert results[1] == Conflict("o2", "meter", "there is no meter nowhere")


async def test_orders_are_listed_newest_first_by_state_meter_and_reason(store: Store) -> None:
    await put_meters(store, "m1", "m2")
    for number in range(6):
        await add(store, an_order(f"o{number}", "m2" if number % 2 else "m1"))
    await store.orders.cancel("o0", who="ann")
    claim, work = await claim_one_of(store, "m2")
    await step(store, claim, work, C.HOLD, NextHead.LEAVE, reason="config")
    await store.orders.cancel("o4", who="ann")

    async def ids(order_filter: OrderFilter, before: int | None = None, limit: int = 100) -> list[str]:
        return [record.id for record in await store.orders.list(order_filter, before=before, limit=limit)]

    assert await ids(OrderFilter()) == ["o5", "o4", "o3", "o2", "o1", "o0"]
    assert await ids(OrderFilter(), limit=2) == ["o5", "o4"]
    fourth = await record_of(store, "o4")
    assert await ids(OrderFilter(), before=fourth.number, limit=2) == ["o3", "o2"]
    assert await ids(OrderFilter(meter="m2")) == ["o5", "o3", "o1"]
    assert await ids(OrderFilter(states=(S.CANCELLED, S.HELD))) == ["o4", "o1", "o0"]
    assert await ids(OrderFilter(states=(S.CANCELLED,), meter="m1"), before=fourth.number) == ["o0"]
    assert await ids(OrderFilter(states=(S.QUEUED,))) == ["o5", "o3", "o2"]
    assert await ids(OrderFilter(reason="config")) == ["o1"]
    assert await ids(OrderFilter(states=(S.ACCEPTED, S.REJECTED, S.EXPIRED, S.WAITING))) == []
    assert await ids(OrderFilter(meter="nowhere")) == []


async def claim_one_of(store: Store, meter: str) -> tuple[LaneClaim, OrderWork]:
    claims = (await claim_all(store)).claims
    for claim in claims:
        if claim.meter != meter:
            await store.lanes.release(claim)
    (claim,) = [claim for claim in claims if claim.meter == meter]
    assert claim.work is not None
    return claim, claim.work


# What people do to orders.


async def test_a_waiting_order_can_be_cancelled_once_and_nothing_of_it_was_credited(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    cancelled = await store.orders.cancel("o1", who="ann")
    assert (cancelled.state, cancelled.due_at) == (S.CANCELLED, None)
    (token,) = cancelled.tokens
    assert (token.verdict, token.credited, token.reason) == (Outcome.UNREACHED, Credited.NO, "cancelled")
    assert await store.orders.cancel("o1", who="ann") == cancelled
    assert [event.name for event in await store.orders.timeline("o1")] == ["order.created", "order.cancelled"]
    assert (await claim_all(store)).claims == ()
    with pytest.raises(NoSuchOrder):
        await store.orders.cancel("o2", who="ann")


async def test_what_may_have_been_delivered_is_not_cancelled(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    with pytest.raises(IllegalChange):
        await store.orders.cancel("o1", who="ann")
    await step(store, claim, work, C.HOLD)
    with pytest.raises(IllegalChange, match="may have been delivered"):
        await store.orders.cancel("o1", who="ann")
    assert await state_of(store, "o1") is S.HELD


async def test_an_order_that_was_cancelled_under_the_holders_hands_is_not_sent(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await store.orders.cancel("o1", who="ann")
    with pytest.raises(IllegalChange):
        await send(store, claim, work)
    assert (await record_of(store, "o1")).tokens[0].tries == 0


@pytest.mark.parametrize(
    ("resolution", "state", "verdict", "credited"),
    [(YES, S.ACCEPTED, Outcome.ACCEPTED, Credited.YES), (NO, S.REJECTED, Outcome.REJECTED, Credited.NO)],
)
async def test_a_person_decides_about_a_held_order(
    store: Store, resolution: Resolution, state: OrderState, verdict: Outcome, credited: Credited
) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    await deliver(store, "o1", C.HOLD, reason="doubt")
    record = await store.orders.resolve("o1", resolution, who="ann")
    assert record.state is state
    (token,) = record.tokens
    assert (token.verdict, token.credited, token.evidence) == (verdict, credited, "operator")
    assert token.details == {"detail": "asked the customer"}
    names = [event.name for event in await store.orders.timeline("o1")]
    assert names[-2:] == ["order.resolved", f"order.{state.value}"]
    with pytest.raises(IllegalChange):
        await store.orders.resolve("o1", resolution, who="ann")


async def test_a_decision_about_the_first_part_leads_to_the_next_or_ends_it_all(store: Store) -> None:
    await put_meters(store, "m1")
    parts = [credit(1 << 40), credit(2 << 40), credit(3 << 40)]
    await add(store, an_order("o1", tokens=parts))
    await deliver(store, "o1", C.HOLD)
    record = await store.orders.resolve("o1", YES, who="ann")
    assert (record.state, [token.verdict for token in record.tokens[:2]]) == (S.QUEUED, [Outcome.ACCEPTED, None])
    claim, work = await claim_one(store)
    assert [token.position for token in work.tokens] == [1, 2]
    await step(store, claim, work, C.HOLD)
    record = await store.orders.resolve("o1", NO, who="ann")
    assert record.state is S.REJECTED
    assert [(token.verdict, token.credited, token.reason) for token in record.tokens[1:]] == [
        (Outcome.REJECTED, Credited.NO, None),
        (Outcome.UNREACHED, Credited.NO, "not-tried"),
    ]


async def test_retry_sends_what_cannot_have_arrived_and_reads_what_may_have(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await step(store, claim, work, C.HOLD, reason="config")
    assert (await store.orders.resolve("o1", RETRY, who="ann")).state is S.QUEUED
    await deliver(store, "o1", C.HOLD)
    assert (await store.orders.resolve("o1", RETRY, who="ann")).state is S.IN_DOUBT
    names = [event.name for event in await store.orders.timeline("o1")]
    assert names.count("order.retried") == names.count("order.reconcile_requested") == 1
    _, work = await claim_one(store)
    assert work.state is S.RECONCILING


async def test_only_a_held_order_is_decided_about(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    for resolution in (YES, NO, RETRY):
        with pytest.raises(IllegalChange):
            await store.orders.resolve("o1", resolution, who="ann")
    await send(store, claim, work)
    for resolution in (YES, NO, RETRY):
        with pytest.raises(IllegalChange):
            await store.orders.resolve("o1", resolution, who="ann")
    with pytest.raises(NoSuchOrder):
        await store.orders.resolve("o2", YES, who="ann")
    assert await state_of(store, "o1") is S.SENDING


async def test_a_meter_is_read_again_at_once_when_a_person_wants_it(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await step(store, claim, work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(3600))
    assert (await claim_all(store)).claims == ()
    record = await store.orders.reconcile("o1", who="ann")
    assert (record.state, record.due_at, record.doubts) == (S.IN_DOUBT, place.clock.now(), 0)
    _, work = await claim_one(store)
    assert work.state is S.RECONCILING
    with pytest.raises(IllegalChange):
        await store.orders.reconcile("o1", who="ann")
    with pytest.raises(NoSuchOrder):
        await store.orders.reconcile("o2", who="ann")


async def test_what_people_did_stands_in_the_audit(store: Store) -> None:
    await put_meters(store, "m1")
    await store.links.put(LinkRecord(id="l1", concurrency=1), who="bob")
    await store.links.remove("l1", who="bob")
    await add(store, an_order("o1"), an_order("o2"))
    await store.orders.cancel("o2", who="ann")
    await deliver(store, "o1", C.HOLD)
    await store.orders.reconcile("o1", who="ann")
    with pytest.raises(IllegalChange):
        await store.orders.cancel("o1", who="ann")
    await store.orders.cancel("o2", who="ann")
    claim, work = await claim_one(store)
    await step(store, claim, work, C.HOLD)
    await store.orders.resolve("o1", YES, who="ann")
    await store.meters.remove("m1", who="bob")
    lines = [(line.who, line.action, line.subject) for line in await store.audit.list()]
    assert lines[::-1] == [
        ("tests", "meter.put", "m1"),
        ("bob", "link.put", "l1"),
        ("bob", "link.remove", "l1"),
        ("ann", "order.cancel", "o2"),
        ("ann", "order.reconcile", "o1"),
        ("ann", "order.resolve", "o1"),
        ("bob", "meter.remove", "m1"),
    ]


# The story.


async def test_events_are_one_sequence_that_can_be_read_on(store: Store) -> None:
    assert await store.events.last_number() == 0
    await put_meters(store, "m1", "m2")
    await add(store, an_order("o1"), an_order("o2", "m2"))
    await store.orders.cancel("o1", who="ann")
    events = await store.events.after(0)
    assert [(event.order, event.name) for event in events] == [
        ("o1", "order.created"),
        ("o2", "order.created"),
        ("o1", "order.cancelled"),
    ]
    numbers = [event.number for event in events]
    assert numbers == sorted(set(numbers))
    assert await store.events.last_number() == numbers[-1]
    assert await store.events.after(numbers[0], limit=1) == events[1:2]
    assert await store.events.after(numbers[0], order="o1") == events[2:]
    assert await store.events.after(numbers[-1]) == []
    assert await store.orders.timeline("o1") == [events[0], events[2]]
    assert await store.orders.timeline("nobody") == []


async def test_numbers_of_events_are_not_given_out_again_after_a_purge(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    await store.orders.cancel("o1", who="ann")
    last = await store.events.last_number()
    assert await store.purge(closed_before=place.clock.later(1), limit=10) == 1
    assert await store.events.last_number() == last
    await add(store, an_order("o2"))
    (event,) = await store.events.after(last)
    assert event.number > last


async def test_bells_ring_after_the_commits_that_they_are_for(store: Store) -> None:
    heard: list[str] = []
    store.on_work(lambda: heard.append("work"))
    store.on_events(lambda: heard.append("events"))
    store.on_links(lambda: heard.append("links"))

    async def hears(*bells: str) -> None:
        await asyncio.sleep(0)
        assert sorted(set(heard)) == sorted(bells)
        heard.clear()

    await put_meters(store, "m1")
    await hears()
    await add(store, an_order("o1"))
    await hears("events", "work")
    assert await store.orders.add([(an_order("o1"), b"o1")], who="ann") == [Known("o1")]
    await hears()
    claim, work = await claim_one(store)
    await hears()
    await send(store, claim, work)
    await hears("events")
    await step(store, claim, work, C.DOUBT, NextHead.LEAVE)
    await hears("events", "work")
    await store.links.put(LinkRecord(id="l1", concurrency=1), who="ann")
    await hears("links", "work")
    assert await store.audit.list()
    await hears()


# The file.


async def test_what_was_answered_is_there_after_closing_and_opening(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1")
        await add(store, an_order("o1"))
        await deliver(store, "o1", C.ACCEPT)
        before, story = await store.orders.get("o1"), await store.orders.timeline("o1")
    async with place.opened() as store:
        assert await store.orders.get("o1") == before
        assert await store.orders.timeline("o1") == story


async def test_a_closed_store_says_so_and_closing_again_does_no_harm(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1")
    await store.close()
    for call in (store.orders.get("o1"), store.meters.remove("m1", who="ann"), store.check()):
        with pytest.raises(StoreError, match="closed"):
            await call


async def test_what_waits_for_its_commit_is_written_before_the_store_closes(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1")
        writes = [asyncio.ensure_future(store.orders.add([(an_order(f"o{n}"), b"")], who="a")) for n in range(700)]
        await asyncio.sleep(0)
    assert [result for write in writes for result in await write] == [Added(f"o{n}") for n in range(700)]
    async with place.opened() as store:
        assert len(await store.orders.list(OrderFilter(), limit=1000)) == 700


async def test_one_work_that_fails_takes_nothing_of_its_neighbours_with_it(store: Store) -> None:
    await put_meters(store, "m1", "m2")
    await add(store, an_order("o1"), an_order("o2", "m2"))
    results = await asyncio.gather(
        store.orders.cancel("o1", who="ann"),
        store.orders.cancel("nobody", who="ann"),
        store.orders.resolve("o2", YES, who="ann"),
        store.orders.cancel("o2", who="ann"),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == [
        "OrderRecord",
        "NoSuchOrder",
        "IllegalChange",
        "OrderRecord",
    ]
    assert await state_of(store, "o1") is await state_of(store, "o2") is S.CANCELLED
    assert [len(await store.orders.timeline(order)) for order in ("o1", "o2")] == [2, 2]


# Key-change sets of one meter.


def a_set(order_id: str, *numbers: int) -> Order:
    sections = [Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, number) for number in numbers]
    return an_order(order_id, tokens=[OrderedToken(section, OrderKind.KEY_CHANGE) for section in sections])


@pytest.mark.parametrize(
    ("change", "verdict", "sent", "is_in_meter"),
    [
        (Change.HOLD, Verdict(Outcome.HELD, Credited.UNKNOWN, "crc"), 1, True),
        (Change.HOLD, Verdict(Outcome.HELD, Credited.UNKNOWN, "crc"), 2, True),
        (Change.REJECT, Verdict(Outcome.REJECTED, Credited.NO, "crc"), 1, False),
        (Change.REJECT, Verdict(Outcome.REJECTED, Credited.UNKNOWN, "crc"), 2, True),
        (Change.ACCEPT, Verdict(Outcome.ACCEPTED, Credited.YES), 2, False),
    ],
)
async def test_a_set_that_may_have_left_sections_in_its_meter_is_remembered(
    store: Store, change: Change, verdict: Verdict, sent: int, is_in_meter: bool
) -> None:
    """One that took effect left none, and neither did one whose first section was refused."""
    await put_meters(store, "m1", "m2")
    await add(store, a_set("o1", 1, 2))
    claim, work = await claim_one_of(store, "m1")
    assert await store.lanes.other_set_at(work.number) is None
    for token in work.tokens[:sent]:
        started = SendStarted(token.token, 1, BEFORE, ACCOUNT)
        await store.lanes.begin_send(claim, work.number, token.position, started, [])
    outcomes = [(token.position, Judged(token.token, verdict)) for token in work.tokens]
    await store.lanes.step(claim, work.number, Step(change=change, outcomes=outcomes), NextHead.LEAVE)
    await add(store, a_set("other", 3, 4), a_set("same", 1, 2))
    claim, other = await claim_one_of(store, "m1")
    assert other.id == "other"
    assert (await store.lanes.other_set_at(other.number) is not None) == is_in_meter
    await store.lanes.step(claim, other.number, Step(change=Change.HOLD), NextHead.LEAVE)
    _, same = await claim_one_of(store, "m1")
    assert same.id == "same"
    assert await store.lanes.other_set_at(same.number) is None, "the same sections mix without harm"
