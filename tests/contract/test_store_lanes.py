"""One suite that every store must pass: who may speak to a meter, about which order, and when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from gateway.events import Judged
from gateway.orders import Change, IllegalChange, OrderState, Priority
from gateway.store.records import LaneClaim, LinkRecord, NextHead, Quota, Step
from gateway.store.store import LaneLost, Store
from gateway.verdict import Credited, Outcome, Verdict
from tests.contract.stores import (
    ACCOUNT,
    BEFORE,
    RANKS,
    Place,
    a_step,
    add,
    an_order,
    claim_all,
    claim_one,
    credit,
    put_meters,
    record_of,
    send,
    state_of,
    step,
)

S, C = OrderState, Change


async def orders_claimed(store: Store, *links: str | None, free: int = 100, limit: int = 1000) -> list[str]:
    claimed = await claim_all(store, *links, free=free, limit=limit)
    return [claim.work.id for claim in claimed.claims if claim.work]


async def next_due(store: Store, link: str | None = None) -> datetime | None:
    return (await claim_all(store, link, free=0)).next_due[link]


# Claims.


async def test_a_lane_has_one_holder_and_each_claim_a_higher_fence(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("o2"))
    claim, work = await claim_one(store)
    assert (claim.meter, claim.meter_version, claim.link, work.id) == ("m1", 1, "tcp://m1:4059", "o1")
    assert await orders_claimed(store) == []
    assert await store.lanes.claim_meter("m1") is None
    await store.lanes.release(claim)
    again, _ = await claim_one(store)
    assert again.fence > claim.fence


async def test_priorities_go_first_then_who_waits_longest(place: Place, store: Store) -> None:
    await put_meters(store, "a", "b", "c", "d")
    for meter, priority in (("a", Priority.CAMPAIGN), ("b", Priority.OPERATOR), ("c", Priority.CREDIT)):
        place.clock.move(1)
        await add(store, an_order(f"o-{meter}", meter, priority=priority))
    place.clock.move(1)
    await add(store, an_order("o-d", "d"))
    assert await orders_claimed(store, limit=3) == ["o-c", "o-d", "o-b"]
    assert await orders_claimed(store) == ["o-a"]


async def test_only_the_ranks_that_are_asked_for_are_claimed(store: Store) -> None:
    await put_meters(store, "a", "b")
    await add(store, an_order("o-a", "a", priority=Priority.CAMPAIGN), an_order("o-b", "b"))
    claimed = await store.lanes.claim([Quota(None, 5)], limit=5, ranks=(Priority.CAMPAIGN.rank,))
    assert [claim.meter for claim in claimed.claims] == ["a"]


async def test_within_a_lane_the_best_rank_goes_first_then_the_oldest(store: Store) -> None:
    await put_meters(store, "m1")
    for order_id, priority in (("o1", Priority.CAMPAIGN), ("o2", Priority.CREDIT), ("o3", Priority.CREDIT)):
        await add(store, an_order(order_id, priority=priority))
    claim, work = await claim_one(store)
    seen = [work.id]
    while True:
        await send(store, claim, work)
        following = await step(store, claim, work, C.ACCEPT)
        if following is None:
            break
        seen.append(following.id)
        work = following
    assert seen == ["o2", "o3", "o1"]
    assert await store.lanes.claim_meter("m1") is not None, "the lane was given back"


async def test_quotas_of_links_and_the_limit_of_all_hold_over_all_priorities(store: Store) -> None:
    for link in ("l1", "l2"):
        for number in range(4):
            meter = f"{link}-{number}"
            await put_meters(store, meter, link=link)
            await add(store, an_order(meter, meter, priority=Priority.CREDIT if number < 2 else Priority.CAMPAIGN))
    claimed = await store.lanes.claim([Quota("l1", 3), Quota("l2", 1)], limit=10, ranks=RANKS)
    assert sorted(claim.meter for claim in claimed.claims) == ["l1-0", "l1-1", "l1-2", "l2-0"]
    claimed = await store.lanes.claim([Quota("l1", 9), Quota("l2", 9), Quota(None, 9)], limit=2, ranks=RANKS)
    assert [claim.meter for claim in claimed.claims] == ["l2-1", "l1-3"]
    assert await orders_claimed(store, None) == []


async def test_who_asks_hears_when_to_ask_again(place: Place, store: Store) -> None:
    await put_meters(store, "m1", "m2")
    assert await next_due(store) is None
    await add(store, an_order("o1", not_before=place.clock.later(60)))
    assert await next_due(store) == place.clock.later(60)
    await add(store, an_order("o2", "m2"))
    assert await next_due(store) == place.clock.now()
    assert await orders_claimed(store) == ["o2"]
    assert await next_due(store) == place.clock.later(60)
    place.clock.move(61)
    assert await next_due(store) == place.clock.now(), "what is overdue is due now"
    assert await next_due(store, "nobody") is None


async def test_an_order_is_not_before_its_time_nor_in_the_way_of_others(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("later", not_before=place.clock.later(60)), an_order("now", priority=Priority.CAMPAIGN))
    claim, work = await claim_one(store)
    assert work.id == "now"
    assert await step(store, claim, work, C.HOLD) is None, "a held order is not in the way, and the other is not due"
    assert await orders_claimed(store) == []
    place.clock.move(60)
    assert await orders_claimed(store) == ["later"]


async def test_a_lane_has_the_rank_of_what_is_due_and_not_of_what_comes_later(place: Place, store: Store) -> None:
    await put_meters(store, "m1", "m2")
    await add(store, an_order("o1", priority=Priority.CAMPAIGN), an_order("o2", not_before=place.clock.later(60)))
    await add(store, an_order("o3", "m2", priority=Priority.OPERATOR))
    await store.meters.seen("m1")  # computed anew
    assert await orders_claimed(store, limit=1) == ["o3"]
    assert await orders_claimed(store) == ["o1"]


async def test_a_claim_for_something_else_than_orders_keeps_others_away(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim = await store.lanes.claim_meter("m1")
    assert claim is not None
    assert claim.work is None
    assert await orders_claimed(store) == []
    await store.lanes.release(claim)
    assert await orders_claimed(store) == ["o1"]
    with pytest.raises(LookupError):
        await store.lanes.claim_meter("nowhere")


# The fence.


async def lost(store: Store) -> tuple[LaneClaim, LaneClaim, str]:
    """A claim that is over, the one that is not, and the state of the order meanwhile."""
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    old, work = await claim_one(store)
    await send(store, old, work)
    await store.lanes.recover()
    new, _ = await claim_one(store)
    return old, new, (await record_of(store, "o1")).state


async def test_who_lost_the_lane_writes_nothing(store: Store) -> None:
    old, new, state = await lost(store)
    work = old.work
    assert work is not None
    for change in (C.ACCEPT, C.PEND, C.HOLD, C.DOUBT):
        with pytest.raises(LaneLost):
            await step(store, old, work, change)
    with pytest.raises(LaneLost):
        await send(store, old, work)
    await store.lanes.release(old)
    assert await store.lanes.claim_meter("m1") is None, "giving back what is lost takes it from nobody"
    assert await state_of(store, "o1") == state
    assert new.work is not None
    await step(store, new, new.work, C.ACCEPT)
    assert await state_of(store, "o1") is S.ACCEPTED


async def test_a_lane_that_was_given_back_is_lost(store: Store) -> None:
    await put_meters(store, "m1", "m2")
    await add(store, an_order("o1"), an_order("o2", "m2"))
    claim, other = (await claim_all(store)).claims
    assert claim.work is not None
    with pytest.raises(LaneLost):
        await send(store, other, claim.work)
    await store.lanes.release(claim)
    with pytest.raises(LaneLost):
        await send(store, claim, claim.work)
    assert await state_of(store, "o1") is S.QUEUED


async def test_an_illegal_step_changes_nothing(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    before = await record_of(store, "o1")
    for change in (C.ACCEPT, C.TAKE_BACK, C.PEND, C.DOUBT, C.RECONCILE, C.RETRY, C.READ_AGAIN):
        with pytest.raises(IllegalChange):
            await step(store, claim, work, change)
    with pytest.raises(ValueError, match="begin_send"):
        await store.lanes.step(claim, work.number, a_step(work, C.SEND), NextHead.STAY)
    assert await record_of(store, "o1") == before
    assert len(await store.orders.timeline("o1")) == 1


# One order, step by step.


async def test_the_intent_is_remembered_with_what_the_meter_showed(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    assert (work.tokens[0].tries, work.tokens[0].before, work.maybe_delivered) == (0, None, False)
    await send(store, claim, work)
    record = await record_of(store, "o1")
    assert (record.state, record.maybe_delivered, record.tokens[0].tries) == (S.SENDING, True, 1)
    pending = await step(store, claim, work, C.PEND, NextHead.STAY)
    assert pending is not None
    assert (pending.state, pending.tokens[0].before, pending.tokens[0].account_before) == (S.PENDING, BEFORE, ACCOUNT)
    assert pending.tokens[0].token == work.tokens[0].token


async def test_an_outcome_is_kept_as_it_was_judged(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    assert await step(store, claim, work, C.REJECT, reason="crc") is None
    record = await record_of(store, "o1")
    assert (record.state, record.reason, record.due_at) == (S.REJECTED, "crc", None)
    (token,) = record.tokens
    assert (token.verdict, token.credited, token.status_code, token.reason) == (
        Outcome.REJECTED,
        Credited.NO,
        6,
        "crc",
    )
    assert token.details == {"row": "5", "data_value": "01", "elapsed_ms": 250}
    assert [event.name for event in await store.orders.timeline("o1")] == [
        "order.created",
        "order.sending",
        "test.reject",
    ]


async def test_parts_follow_one_another_and_the_rest_of_a_rejected_order_is_not_tried(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", tokens=[credit(n << 40) for n in (1, 2, 3)]), an_order("o2"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    second = await step(store, claim, work, C.CONTINUE, NextHead.STAY)
    assert second is not None
    assert (second.id, second.state, second.maybe_delivered) == ("o1", S.QUEUED, True)
    assert [token.position for token in second.tokens] == [1, 2]
    await send(store, claim, second)
    following = await step(store, claim, second, C.REJECT, reason="old")
    assert following is not None
    assert following.id == "o2"
    record = await record_of(store, "o1")
    assert [(token.verdict, token.credited, token.reason) for token in record.tokens] == [
        (Outcome.ACCEPTED, Credited.YES, None),
        (Outcome.REJECTED, Credited.NO, "old"),
        (Outcome.UNREACHED, Credited.NO, "not-tried"),
    ]


async def test_an_order_that_was_begun_goes_first_and_nothing_comes_between(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("set", tokens=[credit(1 << 40), credit(2 << 40)], priority=Priority.CAMPAIGN))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    work = await step(store, claim, work, C.CONTINUE, NextHead.STAY) or work
    await add(store, an_order("urgent"))
    due_at = place.clock.later(60)
    assert await step(store, claim, work, C.POSTPONE, NextHead.LEAVE, due_at=due_at) is None
    assert await orders_claimed(store) == [], "the urgent one waits for the set"
    place.clock.move(60)
    claimed = await store.lanes.claim([Quota(None, 1)], limit=1, ranks=(Priority.CREDIT.rank,))
    assert [claim.work.id for claim in claimed.claims if claim.work] == ["set"], "found under the urgent one's rank"


async def test_a_try_that_never_left_is_taken_back(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await step(store, claim, work, C.TAKE_BACK, NextHead.LEAVE, due_at=place.clock.later(60))
    record = await record_of(store, "o1")
    assert (record.state, record.maybe_delivered, record.tokens[0].tries) == (S.WAITING, False, 0)
    place.clock.move(60)
    _, work = await claim_one(store)
    assert (work.tokens[0].tries, work.tokens[0].before) == (0, None)
    assert (await store.orders.cancel("o1", who="ann")).state is S.CANCELLED


async def test_a_part_that_was_delivered_keeps_its_mark_when_the_next_is_taken_back(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", tokens=[credit(1 << 40), credit(2 << 40)]))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    second = await step(store, claim, work, C.CONTINUE, NextHead.STAY)
    assert second is not None
    await send(store, claim, second)
    await step(store, claim, second, C.TAKE_BACK, NextHead.LEAVE, due_at=place.clock.later(60))
    record = await record_of(store, "o1")
    assert (record.maybe_delivered, [token.tries for token in record.tokens]) == (True, [1, 0])
    with pytest.raises(IllegalChange):
        await store.orders.cancel("o1", who="ann")


async def test_a_doubt_is_read_back_when_it_is_due_and_nothing_else_is_sent(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", priority=Priority.CAMPAIGN), an_order("o2", priority=Priority.CAMPAIGN))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    assert await step(store, claim, work, C.DOUBT, NextHead.NEXT, due_at=place.clock.later(60), reason="x") is None
    assert await next_due(store) == place.clock.later(60)
    place.clock.move(60)
    claim, work = await claim_one(store)
    assert (work.id, work.state, work.doubts) == ("o1", S.RECONCILING, 1)
    assert work.tokens[0].before == BEFORE
    assert (await record_of(store, "o1")).reason == "x"
    assert (await store.orders.timeline("o1"))[-1].name == "order.reconciling"
    following = await step(store, claim, work, C.ACCEPT)
    assert following is not None
    assert following.id == "o2"


async def test_a_lane_is_given_back_with_an_order_under_way_and_found_again(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("o2"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await store.lanes.release(claim)
    claim, work = await claim_one(store)
    assert (work.id, work.state) == ("o1", S.RECONCILING)
    await store.lanes.release(claim)
    claim, work = await claim_one(store)
    assert (work.id, work.state) == ("o1", S.RECONCILING)


async def test_what_was_begun_waits_for_a_doubt_beside_it_and_is_not_offered_again_and_again(
    place: Place, store: Store
) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("doubt"), an_order("begun", tokens=[credit(1 << 40), credit(2 << 40)]))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    work = await step(store, claim, work, C.HOLD) or work
    assert work.id == "begun"
    await send(store, claim, work)
    work = await step(store, claim, work, C.CONTINUE, NextHead.STAY) or work
    await store.orders.reconcile("doubt", who="ann")  # while its meter is spoken to about the other
    await store.lanes.release(claim)
    claim, work = await claim_one(store)
    assert work.id == "doubt"
    due_at = place.clock.later(60)
    assert await step(store, claim, work, C.DOUBT, NextHead.NEXT, due_at=due_at) is None
    assert await orders_claimed(store) == []
    assert await next_due(store) == due_at
    assert await store.lanes.repair() == 0
    place.clock.move(60)
    claim, work = await claim_one(store)
    assert work.id == "doubt"
    following = await step(store, claim, work, C.ACCEPT)
    assert following is not None
    assert following.id == "begun"


# Waiting, and being woken.


async def leave(store: Store, place: Place, seconds: float = 3600) -> None:
    claim, work = await claim_one(store)
    due_at = place.clock.later(seconds)
    change = C.DOUBT if work.maybe_delivered else C.POSTPONE
    assert await step(store, claim, work, change, NextHead.LEAVE, due_at=due_at) is None


async def test_a_meter_out_of_reach_is_left_alone_by_all_its_orders(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("o2", priority=Priority.CAMPAIGN))
    await leave(store, place)
    record = await record_of(store, "o1")
    assert (record.state, record.attempts, record.due_at) == (S.WAITING, 1, place.clock.later(3600))
    assert await orders_claimed(store) == []
    assert await store.lanes.repair() == 0
    place.clock.move(3600)
    claimed = await store.lanes.claim([Quota(None, 1)], limit=1, ranks=(Priority.CREDIT.rank,))
    assert [claim.work.id for claim in claimed.claims if claim.work] == ["o1"], "with the rank of its best order"


async def test_a_new_order_is_worth_a_new_try(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    await leave(store, place)
    await add(store, an_order("o2", not_before=place.clock.later(60)))
    assert await orders_claimed(store) == []
    assert await next_due(store) == place.clock.later(60)
    await add(store, an_order("o3"))
    claim, work = await claim_one(store)
    assert work.id == "o3", "the one that waits has its own time"
    await store.lanes.release(claim)


async def test_a_new_order_behind_a_doubt_lets_the_meter_be_read(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await step(store, claim, work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(3600))
    held = await store.lanes.claim_meter("m1")
    assert held is not None
    await add(store, an_order("o2"))  # while somebody reads the meter for something else
    await store.lanes.release(held)
    _, work = await claim_one(store)
    assert (work.id, work.state) == ("o1", S.RECONCILING)


async def test_a_meter_that_is_seen_wakes_what_waits_for_it(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("tomorrow", not_before=place.clock.later(86400)))
    await leave(store, place)
    place.clock.move(10)
    assert await store.meters.seen("m1") == 1
    meter = await store.meters.get("m1")
    assert meter is not None
    assert meter.last_seen_at == place.clock.now()
    assert (await record_of(store, "tomorrow")).due_at == place.clock.later(86390)
    assert await orders_claimed(store) == ["o1"]
    assert await store.meters.seen("nowhere") == 0


@pytest.mark.parametrize("change", [C.DOUBT, C.PEND, C.HOLD], ids=["doubt", "pend", "hold"])
async def test_of_a_meter_that_is_seen_what_was_sent_is_read_at_once_unless_a_person_has_to_decide(
    place: Place, store: Store, change: Change
) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    due_at = None if change is C.HOLD else place.clock.later(3600)
    await step(store, claim, work, change, NextHead.LEAVE, due_at=due_at)
    assert await orders_claimed(store) == []
    await store.meters.seen("m1")
    if change is C.HOLD:
        assert await orders_claimed(store) == []
        assert await state_of(store, "o1") is S.HELD
        return
    _, work = await claim_one(store)
    assert (work.id, work.state) == ("o1", S.RECONCILING)


async def test_a_holder_can_give_a_lane_back_for_later(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, _ = await claim_one(store)
    await store.lanes.release(claim, not_before=place.clock.later(60))
    assert await next_due(store) == place.clock.later(60)
    assert await store.lanes.repair() == 0
    place.clock.move(60)
    assert await orders_claimed(store) == ["o1"]


async def test_a_claim_for_something_else_does_not_end_the_wait(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("o2"))
    await leave(store, place)
    claim = await store.lanes.claim_meter("m1")
    assert claim is not None
    await store.lanes.release(claim)
    assert await orders_claimed(store) == []


async def test_a_decision_of_a_person_ends_the_wait(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await step(store, claim, work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(3600))
    await store.orders.reconcile("o1", who="ann")
    assert await orders_claimed(store) == ["o1"]


# Expiry, recovery, repair.


async def test_what_cannot_have_arrived_expires(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", expires_at=place.clock.later(60)), an_order("o2"))
    place.clock.move(59)
    assert await store.lanes.expire() == 0
    place.clock.move(1)
    assert await store.lanes.expire() == 1
    record = await record_of(store, "o1")
    assert (record.state, record.reason, record.due_at) == (S.EXPIRED, "expired", None)
    (token,) = record.tokens
    assert (token.verdict, token.credited, token.reason) == (Outcome.UNREACHED, Credited.NO, "expired")
    assert (await store.orders.timeline("o1"))[-1].name == "order.expired"
    assert await orders_claimed(store) == ["o2"]
    assert await store.lanes.expire() == 0


async def test_what_was_delivered_in_part_is_held_when_its_time_is_over(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", tokens=[credit(1 << 40), credit(2 << 40)], expires_at=place.clock.later(60)))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    work = await step(store, claim, work, C.CONTINUE, NextHead.STAY) or work
    await step(store, claim, work, C.POSTPONE, NextHead.LEAVE, due_at=place.clock.later(3600))
    place.clock.move(60)
    assert await store.lanes.expire() == 1
    record = await record_of(store, "o1")
    assert (record.state, record.reason, record.maybe_delivered) == (S.HELD, "expired", True)
    assert (await store.orders.timeline("o1"))[-1].name == "order.held"


async def test_a_doubt_never_expires_by_itself(place: Place, store: Store) -> None:
    await put_meters(store, "m1", "m2")
    await add(
        store, an_order("o1", expires_at=place.clock.later(60)), an_order("o2", "m2", expires_at=place.clock.later(60))
    )
    for claim in (await claim_all(store)).claims:
        assert claim.work is not None
        await send(store, claim, claim.work)
        if claim.meter == "m1":
            await step(store, claim, claim.work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(30))
    place.clock.move(3600)
    assert await store.lanes.expire() == 0
    assert await state_of(store, "o1") is S.IN_DOUBT
    assert await state_of(store, "o2") is S.SENDING


async def test_more_than_one_transaction_of_orders_can_expire(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    orders = [an_order(f"o{number}", expires_at=place.clock.later(60)) for number in range(1100)]
    await add(store, *orders)
    place.clock.move(60)
    assert await store.lanes.expire() == 1100


async def test_a_start_finds_in_doubt_what_a_stop_cut_off(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1", "m2", "m3", "m4")
        await add(store, *(an_order(f"o{n}", f"m{n}") for n in range(1, 5)))
        claims = {claim.meter: claim for claim in (await claim_all(store)).claims}
        for meter in ("m1", "m2", "m3"):
            work = claims[meter].work
            assert work is not None
            await send(store, claims[meter], work)
            if meter == "m2":
                await step(store, claims[meter], work, C.PEND, NextHead.STAY)
            if meter == "m3":
                await step(store, claims[meter], work, C.RECONCILE, NextHead.STAY)
    place.clock.move(5)
    async with place.opened() as store:
        assert await orders_claimed(store) == [], "nobody knows yet that their holder is gone"
        assert await store.lanes.recover() == 3
        for order_id in ("o1", "o2", "o3"):
            record = await record_of(store, order_id)
            assert (record.state, record.reason, record.doubts, record.due_at) == (
                S.IN_DOUBT,
                "restart",
                0,
                place.clock.now(),
            )
            assert (await store.orders.timeline(order_id))[-1].name == "order.in_doubt"
        assert await state_of(store, "o4") is S.QUEUED
        assert await store.lanes.recover() == 0
        assert await orders_claimed(store) == ["o4", "o1", "o2", "o3"]


async def test_after_a_restore_everything_open_whose_time_had_come_may_have_happened(place: Place) -> None:
    async with place.opened() as store:
        await put_meters(store, "m1", "m2", "m3", "m4", "m5")
        await add(store, an_order("queued"), an_order("later", "m2", not_before=place.clock.later(3600)))
        await add(store, an_order("held", "m3"), an_order("done", "m4"), an_order("sending", "m5"))
        claims = {claim.meter: claim for claim in (await claim_all(store)).claims}
        for meter, change in (("m3", C.HOLD), ("m4", C.ACCEPT), ("m5", None)):
            work = claims[meter].work
            assert work is not None
            if meter != "m3":
                await send(store, claims[meter], work)
            if change is not None:
                await step(store, claims[meter], work, change)
        await store.counters.reserve("m1", "key", at_least=5, size=10)
        done = await record_of(store, "done")
        await store.database.write(
            lambda connection: connection.execute("INSERT INTO setting (key, value) VALUES ('restored', '0')")
        )
        place.clock.move(5)
        assert await store.lanes.recover() == 2
        later = await record_of(store, "later")
        assert (later.state, later.maybe_delivered, later.tokens[0].tries) == (S.WAITING, False, 0), (
            "not before its time"
        )
        for order_id in ("queued", "sending"):
            record = await record_of(store, order_id)
            assert (record.state, record.reason, record.maybe_delivered) == (S.IN_DOUBT, "restored", True)
            assert [token.tries for token in record.tokens] == [1]
            assert (await store.orders.timeline(order_id))[-1].name == "order.restored"
        assert later.due_at == place.clock.later(3595)
        held = await record_of(store, "held")
        assert (held.state, held.maybe_delivered, held.tokens[0].tries) == (S.HELD, True, 1)
        with pytest.raises(IllegalChange):
            await store.orders.cancel("held", who="ann")
        assert await record_of(store, "done") == done
        block = await store.counters.reserve("m1", "key", at_least=0, size=10)
        assert block is not None
        assert block.start > 1000, "what was reserved since the backup is not known"
        assert await store.lanes.recover() == 0, "once"
        claims = {claim.meter: claim for claim in (await claim_all(store)).claims}
        assert sorted(claims) == ["m1", "m5"]
        assert all(claim.work and claim.work.tokens[0].before is None for claim in claims.values())


async def test_the_rest_of_a_restored_order_is_never_said_not_to_be_credited(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1", tokens=[credit(1 << 40), credit(2 << 40)]))
    await store.database.write(
        lambda connection: connection.execute("INSERT INTO setting (key, value) VALUES ('restored', '0')")
    )
    await store.lanes.recover()
    claim, work = await claim_one(store)
    await step(store, claim, work, C.REJECT)
    assert (await record_of(store, "o1")).tokens[1].credited is Credited.UNKNOWN


async def test_a_parked_lane_is_mended_and_counted(place: Place, store: Store) -> None:
    await put_meters(store, "m1", "m2", "m3")
    await add(store, an_order("o1"), an_order("o2", "m2"), an_order("o3", "m3", not_before=place.clock.later(60)))
    assert await store.lanes.repair() == 0
    break_it = "UPDATE lane SET due_at = iif(meter = 1, NULL, due_at + 1000000)"
    await store.database.write(lambda connection: connection.execute(break_it))
    assert await store.lanes.repair() == 3
    assert await store.lanes.repair() == 0
    assert sorted(await orders_claimed(store)) == ["o1", "o2"]
    assert await next_due(store) == place.clock.later(60)


async def test_a_paused_link_is_the_dispatchers_business_alone(store: Store) -> None:
    await put_meters(store, "m1", link="l1")
    await store.links.put(LinkRecord(id="l1", paused=True), who="ann")
    await add(store, an_order("o1"))
    assert await orders_claimed(store, "l1") == ["o1"]


async def test_times_keep_their_microseconds(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    moment = place.clock.later(1) + timedelta(microseconds=1)
    await add(store, an_order("o1", not_before=moment))
    assert (await record_of(store, "o1")).due_at == moment
    assert await next_due(store) == moment


# What is said of a token is true at every moment.


async def test_what_was_said_of_a_token_that_was_not_reached_is_not_said_any_more_once_it_is_sent(
    place: Place, store: Store
) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    unreached = Judged(work.tokens[0].token, Verdict(Outcome.UNREACHED, Credited.NO, "offline", "1"))
    due_at = place.clock.later(60)
    step_back = Step(change=C.POSTPONE, outcomes=((0, unreached),), reason="offline", due_at=due_at)
    await store.lanes.step(claim, work.number, step_back, NextHead.LEAVE)
    assert (await record_of(store, "o1")).tokens[0].credited is Credited.NO
    place.clock.move(60)
    claim, work = await claim_one(store)
    await send(store, claim, work)
    (token,) = (await record_of(store, "o1")).tokens
    assert (token.verdict, token.credited, token.reason) == (None, Credited.UNKNOWN, None)


async def test_what_a_meter_showed_before_a_held_token_proves_nothing_after_the_next_one(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"), an_order("o2"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    following = await step(store, claim, work, C.HOLD)
    assert following is not None
    await send(store, claim, following)
    await step(store, claim, following, C.ACCEPT)
    await store.orders.reconcile("o1", who="ann")
    _, again = await claim_one(store)
    assert (again.id, again.tokens[0].tries, again.tokens[0].before) == ("o1", 1, None)


async def test_what_a_meter_showed_proves_nothing_of_the_one_that_took_its_place(place: Place, store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    await send(store, claim, work)
    await step(store, claim, work, C.DOUBT, NextHead.LEAVE, due_at=place.clock.later(0))
    await put_meters(store, "m1")
    _, again = await claim_one(store)
    assert (again.tokens[0].tries, again.tokens[0].before) == (1, None)


async def test_a_held_order_that_was_never_sent_is_tried_when_somebody_wants_it_read_again(store: Store) -> None:
    await put_meters(store, "m1")
    await add(store, an_order("o1"))
    claim, work = await claim_one(store)
    assert await step(store, claim, work, C.HOLD) is None
    assert (await store.orders.reconcile("o1", who="ann")).state is S.QUEUED
    claim, work = await claim_one(store)
    await send(store, claim, work)


async def test_one_damaged_token_holds_its_order_and_stops_no_other(store: Store) -> None:
    await put_meters(store, "m1", "m2")
    await add(store, an_order("o1"), an_order("o2", "m2"))
    await store.database.write(
        lambda connection: connection.execute(
            "UPDATE token SET sealed = zeroblob(60) WHERE order_number = (SELECT number FROM orders WHERE id = 'o1')"
        )
    )
    assert await orders_claimed(store) == ["o2"]
    damaged = await record_of(store, "o1")
    assert (damaged.state, damaged.reason) == (S.HELD, "internal-error")
