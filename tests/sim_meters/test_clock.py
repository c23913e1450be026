"""Clocks: what falls due is called in its order and at its time, however far the time moves at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from sim_meters.clock import SystemClock, VirtualClock, drifting
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.sts.results import TokenResult
from tests.scenarios.virtual_clock import run_in_virtual_time
from tests.sim_meters.meter_client import client_of, credit

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECONDS = st.floats(0, 1e6).map(lambda seconds: round(seconds, 3))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@given(st.lists(SECONDS, max_size=20), st.lists(SECONDS, max_size=10))
def test_everything_due_is_called_once_in_order_and_at_its_own_time(waits: list[float], steps: list[float]) -> None:
    clock, called = VirtualClock(START), []
    for number, seconds in enumerate(waits):
        clock.call_later(seconds, lambda number=number: called.append((clock.now(), number)))  # type: ignore[misc]
    for step in (*steps, 0.0):
        clock.advance(step)
    now = clock.now()
    assert abs(now - at(sum(steps))) < timedelta(milliseconds=1)
    due = sorted((at(seconds), number) for number, seconds in enumerate(waits) if at(seconds) <= now)
    assert called == due


def test_what_is_asked_for_by_a_callback_falls_due_in_the_same_advance() -> None:
    clock, ticks = VirtualClock(START), list[datetime]()

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_later(60, tick)

    clock.call_later(60, tick)
    clock.advance(600)
    assert ticks == [at(60 * minute) for minute in range(1, 11)]
    assert clock.now() == at(600)


def test_a_cancelled_timer_never_rings() -> None:
    clock, rung = VirtualClock(START), list[int]()
    timer = clock.call_later(1, lambda: rung.append(1))
    clock.call_later(0.5, timer.cancel)
    clock.advance(2)
    timer.cancel()
    assert rung == []


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), 1e15])
def test_time_goes_on_only_as_far_as_there_is_time(seconds: float) -> None:
    clock = VirtualClock(START)
    with pytest.raises(SettingError, match="virtual clock: "):
        clock.advance(seconds)
    assert clock.now() == START


def test_a_start_needs_a_zone() -> None:
    with pytest.raises(SettingError, match="with a time zone"):
        VirtualClock(datetime(2026, 11, 21))
    assert VirtualClock(datetime.fromisoformat("2026-11-21T14:00+02:00")).now() == START


@given(st.floats(-1e6, 1e6), st.floats(-100_000, 100_000), SECONDS)
def test_a_drifting_clock_gains_what_it_is_told_and_leaves_the_others_right(
    offset: float, ppm: float, passed: float
) -> None:
    clock = VirtualClock(START)
    wrong = drifting(clock, offset, ppm)
    clock.advance(passed)
    expected = at(offset + passed * (1 + ppm / 1e6))
    assert abs(wrong.now() - expected) < timedelta(milliseconds=10)
    assert abs(clock.now() - at(passed)) < timedelta(milliseconds=1)


def test_a_clock_can_go_wrong_again_and_again_and_stays_a_clock() -> None:
    clock = VirtualClock(START)
    wrong = drifting(clock, ppm=1000)
    clock.advance(1000)
    wrong = drifting(wrong, seconds=10)
    clock.advance(1000)
    assert wrong.now() == at(2000 + 10 + 2), "a step does not end the drift"
    wrong = drifting(wrong, ppm=0)
    clock.advance(1000)
    assert wrong.now() == at(3012), "a new drift takes the place of the old one"
    for _ in range(5000):
        wrong = drifting(wrong, seconds=400 * 86_400)
    assert wrong.now().year == 2126


def test_a_fast_clock_rings_early_by_the_right_one() -> None:
    clock, rung = VirtualClock(START), list[datetime]()
    drifting(clock, ppm=100_000).call_later(110, lambda: rung.append(clock.now()))
    clock.advance(200)
    (moment,) = rung
    assert abs(moment - at(100)) < timedelta(milliseconds=1)


def test_a_clock_that_is_hardly_one_is_refused() -> None:
    with pytest.raises(SettingError, match="clock drift"):
        drifting(VirtualClock(START), ppm=200_000)


async def test_who_sleeps_wakes_when_the_clock_is_moved_and_who_is_cancelled_leaves_nothing() -> None:
    clock = VirtualClock(START)
    sleeper, other = asyncio.create_task(clock.sleep(3600)), asyncio.create_task(clock.sleep(3600))
    await asyncio.sleep(0)
    other.cancel()
    await asyncio.wait((other,))
    clock.advance(3599)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(1)
    await sleeper
    assert other.cancelled()


def test_a_virtual_clock_can_run_by_itself() -> None:
    async def play() -> datetime:
        clock = VirtualClock(START)
        running = asyncio.create_task(clock.run(speed=60))
        await asyncio.sleep(10)
        running.cancel()
        await asyncio.wait((running,))
        return clock.now()

    assert abs(run_in_virtual_time(play()) - at(600)) < timedelta(seconds=5)


async def test_the_systems_clock_tells_the_time_and_rings() -> None:
    clock, rung = SystemClock(), asyncio.Event()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=60)
    clock.call_later(-1, rung.set)
    assert not rung.is_set()
    await asyncio.wait_for(rung.wait(), 20)


async def test_an_hour_of_a_meters_life_is_over_at_once() -> None:
    clock, config = VirtualClock(START), replace(lab_config(), status_delay_seconds=3600.0)
    meter = SimMeter(config, clock=clock)
    async with client_of(meter) as client:
        await client.enter(credit(config))
        clock.advance(3599.99)
        assert meter.ledger.entries == []
        clock.advance(0.01)
        assert [entry.result for entry in meter.ledger.entries] == [TokenResult.ACCEPT], "without anybody's asking"


def test_timers_that_were_cancelled_are_forgotten_while_the_clock_stands_still() -> None:
    clock, rung = VirtualClock(START), list[int]()
    clock.call_later(60, lambda: rung.append(1))
    for _ in range(10_000):
        clock.call_later(120, rung.clear).cancel()
    assert len(clock._due) < 200
    clock.advance(60)
    assert rung == [1]


@pytest.mark.parametrize("year", [1899, 9000, 9999])
def test_a_virtual_clock_begins_in_years_in_which_meters_can_be_wrong(year: int) -> None:
    with pytest.raises(SettingError, match=f"expected a start of the years 1900 to 8999; got {year}"):
        VirtualClock(datetime(year, 1, 1, tzinfo=UTC))


def test_time_ends_with_the_calendar_and_no_meter_falls_over_it() -> None:
    clock = VirtualClock(datetime(8999, 12, 31, 23, tzinfo=UTC))
    wrong = drifting(clock, 1e12, 100_000)
    with pytest.raises(SettingError, match="beyond the years 1900 to 8999"):
        clock.advance(3600)
    clock.advance(3599)
    clock.call_later(86_400, lambda: None)
    assert wrong.now() - clock.now() == timedelta(days=36_525)


def test_no_drift_makes_a_clock_wrong_by_more_than_a_hundred_years() -> None:
    clock = VirtualClock(datetime(1900, 1, 1, tzinfo=UTC))
    fast, slow = drifting(clock, ppm=100_000), drifting(clock, ppm=-100_000)
    clock.advance(7000 * 365 * 86_400.0)
    assert fast.now() - clock.now() == clock.now() - slow.now() == timedelta(days=36_525)


async def test_a_clock_that_runs_stands_still_at_the_end_of_the_calendar(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock(datetime(8999, 12, 31, 23, tzinfo=UTC))
    await asyncio.wait_for(clock.run(1e6), 10)
    assert "it stands still" in caplog.text
    assert clock.now().year == 8999
