"""Limits of links hold at every moment, whoever asks in whatever sequence."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.links import LinkUse
from gateway.store.records import LinkRecord, Quota

DCU = LinkRecord(id="dcu", concurrency=2, rate_per_second=2.0, burst=3)


def use_of(*links: LinkRecord, now: float = 0.0) -> LinkUse:
    use = LinkUse()
    use.set_limits(links, now)
    return use


def test_no_more_than_the_limit_may_be_claimed() -> None:
    use = use_of(DCU)
    assert use.quotas(10, [None, "dcu"], 0.0) == [Quota(None, 10), Quota("dcu", 2)]
    use.enter("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == [Quota("dcu", 1)]
    use.enter("dcu")
    assert use.is_full("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == []
    use.leave("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == [Quota("dcu", 1)]


def test_a_paused_link_has_no_places_and_goes_on_afterwards() -> None:
    use = use_of(replace(DCU, paused=True))
    assert use.is_paused("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == []
    use.set_limits([DCU], 1.0)
    assert use.quotas(10, ["dcu"], 0.0) == [Quota("dcu", 2)]


def test_what_is_under_way_counts_when_limits_change() -> None:
    use = use_of(DCU)
    use.enter("dcu")
    use.enter("dcu")
    use.set_limits([replace(DCU, concurrency=1)], 1.0)
    assert use.quotas(10, ["dcu"], 0.0) == []
    use.leave("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == []
    use.leave("dcu")
    assert use.quotas(10, ["dcu"], 0.0) == [Quota("dcu", 1)]


def test_what_is_under_way_on_a_link_without_limits_counts_when_it_gets_some_again() -> None:
    use = use_of(DCU)
    use.enter("dcu")
    use.set_limits([], 1.0)
    assert not use.is_shared("dcu")
    assert use.under_way() == []
    use.set_limits([DCU], 2.0)
    assert use.under_way() == [(DCU, 1)]
    assert use.quotas(10, ["dcu"], 0.0) == [Quota("dcu", 1)]


def test_an_unknown_link_has_no_limits() -> None:
    use = use_of()
    use.enter("nobody")
    use.leave("nobody")
    assert use.quotas(5, ["nobody"], 0.0) == [Quota("nobody", 5)]
    assert not use.is_paused("nobody")
    assert use.seconds_to_turn("nobody", 1.0) == 0.0


@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 3), min_size=1, max_size=40),
    cancelled=st.sets(st.integers(0, 39)),
)
def test_beginnings_never_exceed_rate_and_burst_in_any_span(
    rate: float, burst: int, gaps: list[float], cancelled: set[int]
) -> None:
    use = use_of(LinkRecord(id="dcu", rate_per_second=rate, burst=burst))
    now, begun = 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        begins_at = now + use.seconds_to_turn("dcu", now)
        if number in cancelled and begins_at > now:
            use.give_back_turn("dcu")
        else:
            begun.append(begins_at)
    if not cancelled:
        assert begun == sorted(begun)
        for first, start in enumerate(begun):
            for count, end in enumerate(begun[first:], 1):
                assert count <= burst + rate * (end - start) + 1e-6


def test_no_more_is_claimed_than_will_have_its_turn_soon() -> None:
    use = use_of(LinkRecord(id="slow", rate_per_second=0.1, burst=2))
    assert use.quotas(10, ["slow"], 0.0) == [Quota("slow", 3)]
    for _ in range(3):
        use.seconds_to_turn("slow", 0.0)
    assert use.quotas(10, ["slow"], 0.0) == []
    assert use.quotas(10, ["slow"], 10.0) == [Quota("slow", 1)]
