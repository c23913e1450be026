"""Token identifiers: from a time and back, one minute that is kept free, and the store that makes a token work once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import datetimes, integers, lists, sampled_from

from cosem_objects.errors import SettingError
from sim_meters.sts.machine.tid_store import DEPTH, TidStore
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import TID_MAX, BaseDate

BASE_DATES = sampled_from(BaseDate)


@pytest.mark.parametrize(
    ("base_date", "moment", "tid"),
    [
        (1993, "2004-03-29T00:00:59", 5911200),  # seconds do not count
        (1993, "2004-03-29T00:01:00", 5911202),  # STS531-1 CTSA09: 00:01 is kept free
        (1993, "2004-03-29T00:02:00", 5911202),
        (1993, "2024-11-24T20:15:59", TID_MAX),
        (2014, "2045-11-24T20:15:00", TID_MAX),
        (2035, "2066-11-24T20:15:00", TID_MAX),
    ],
)
def test_the_tid_of_a_moment(base_date: int, moment: str, tid: int) -> None:
    assert BaseDate(base_date).tid_at(datetime.fromisoformat(moment)) == tid


@given(base_date=BASE_DATES, tid=integers(0, TID_MAX))
def test_a_tid_leads_back_to_its_minute(base_date: BaseDate, tid: int) -> None:
    moment = base_date.moment(tid)
    kept_free = (moment.hour, moment.minute) == (0, 1)
    assert base_date.tid_at(moment) == (tid + 1 if kept_free else tid)


@pytest.mark.parametrize("base_date", BaseDate)
def test_there_is_no_tid_before_the_base_date_nor_after_24_bits(base_date: BaseDate) -> None:
    for moment in (base_date.moment(0) - timedelta(seconds=1), base_date.moment(TID_MAX + 1)):
        with pytest.raises(SettingError, match=f"^TID: base date {base_date:d} spans {base_date:d}-01-01 00:00 to"):
            base_date.tid_at(moment)


def test_tokens_within_one_minute_take_the_following_minutes() -> None:
    # STS531-1 CTSA09: three tokens at 00:03 carry 00:03, 00:04 and 00:05.
    now = datetime(2014, 3, 1, 0, 3)
    first = BaseDate.BASE_2014.next_tid(now, None)
    second = BaseDate.BASE_2014.next_tid(now, first)
    third = BaseDate.BASE_2014.next_tid(now, second)
    assert [BaseDate.BASE_2014.moment(tid).minute for tid in (first, second, third)] == [3, 4, 5]


@given(
    moments=lists(datetimes(datetime(2014, 1, 1, 23, 50), datetime(2014, 1, 2, 0, 10)), min_size=1, max_size=40),
)
def test_no_two_tokens_of_a_meter_share_a_tid_nor_take_the_free_minute(moments: list[datetime]) -> None:
    tids: list[int] = []
    for now in sorted(moments):
        tid = BaseDate.BASE_2014.next_tid(now, tids[-1] if tids else None)
        assert tid >= BaseDate.BASE_2014.tid_at(now)
        tids.append(tid)
    assert tids == sorted(set(tids))
    assert all(tid % 1440 != 1 for tid in tids)


def test_after_the_last_tid_there_is_no_next_one() -> None:
    with pytest.raises(SettingError, match=r"^TID: base date 2014 spans"):
        BaseDate.BASE_2014.next_tid(datetime(2045, 11, 24, 20, 15), TID_MAX)


@given(
    manufacture_tid=integers(0, 20),
    depth=integers(1, 6),
    offered=lists(integers(0, 40), max_size=60),
)
def test_the_store_does_what_a_list_of_all_accepted_tids_would_do(
    manufacture_tid: int, depth: int, offered: list[int]
) -> None:
    store = TidStore.new(manufacture_tid, depth)
    accepted: list[int] = []
    for tid in offered:
        kept = sorted([manufacture_tid] * depth + accepted)[-depth:]
        if tid in kept:
            expected = TokenResult.USED_ERROR
        elif tid < kept[0]:
            expected = TokenResult.OLD_ERROR
        else:
            expected = None
        assert store.refusal(tid) is expected
        if expected is None:
            store = store.with_tid(tid)
            accepted.append(tid)
    assert len(accepted) == len(set(accepted)), "a token works once"
    assert store == TidStore.new(manufacture_tid, depth, accepted)


def test_tokens_out_of_order_work_within_the_last_fifty() -> None:
    store = TidStore.new(0, consumed=range(100, 100 + 2 * DEPTH, 2))
    assert len(store.tids) == DEPTH == 50
    assert store.refusal(101) is None
    assert store.refusal(100) is TokenResult.USED_ERROR
    assert store.refusal(99) is TokenResult.OLD_ERROR


def test_tokens_from_before_the_meter_was_made_are_too_old() -> None:
    assert TidStore.new(1000).refusal(999) is TokenResult.OLD_ERROR


@given(before=lists(integers(0, 40), max_size=10), depth=integers(1, 6), offered=lists(integers(1, 40), max_size=40))
def test_a_cleared_store_is_that_of_a_meter_made_on_the_base_date(
    before: list[int], depth: int, offered: list[int]
) -> None:
    cleared, new = TidStore.new(20, depth, before).cleared(), TidStore.new(0, depth)
    for tid in offered:
        refusal = cleared.refusal(tid)
        assert refusal is new.refusal(tid)
        if refusal is None:
            cleared, new = cleared.with_tid(tid), new.with_tid(tid)


def test_a_store_without_room_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^tid store depth: expected at least 1; got 0"):
        TidStore.new(0, depth=0)
