"""How long orders were in each state, off their stories; and how a sample is drawn."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway import timeline
from gateway.orders import Change, OrderState
from gateway.serving.metrics import Metrics
from gateway.serving.order_times import STATE_AFTER, OrderTimes, seconds_in_states
from gateway.store.records import EventRecord
from tests.gateway.store.stores import Clock, add, opened, order_of, put_meter, send_and

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
S = OrderState


def story(*lines: tuple[float, str]) -> list[EventRecord]:
    return [
        EventRecord(
            number=number,
            order="o",
            meter="m",
            at=NOW + timedelta(seconds=seconds),
            name=f"order.{name}",
            position=None,
            details={},
        )
        for number, (seconds, name) in enumerate(lines)
    ]


@pytest.mark.parametrize(
    ("events", "stays"),
    [
        (story(), []),
        (story((0, "created")), []),
        (story((0, "created"), (2, "sending"), (5, "accepted")), [(S.QUEUED, 2), (S.SENDING, 3)]),
        (
            story((0, "created"), (1, "postponed"), (61, "postponed"), (121, "sending"), (122, "accepted")),
            [(S.QUEUED, 1), (S.WAITING, 120), (S.SENDING, 1)],
        ),
        (
            story((0, "created"), (1, "sending"), (2, "in_doubt"), (4, "reconciling"), (5, "held"), (9, "resolved")),
            [(S.QUEUED, 1), (S.SENDING, 1), (S.IN_DOUBT, 2), (S.RECONCILING, 1)],
        ),
    ],
)
def test_every_stay_that_is_over_counts(events: list[EventRecord], stays: list[tuple[OrderState, float]]) -> None:
    assert list(seconds_in_states(events)) == stays


def test_every_event_that_there_is_was_thought_of() -> None:
    names = set(re.findall(r'"(order\.[a-z_]+)"', Path(timeline.__file__).read_text(encoding="utf-8")))
    assert names - {"order.resolved"} == set(STATE_AFTER)
    assert set(STATE_AFTER.values()) == set(OrderState)


async def test_orders_that_ended_are_read_from_the_store(tmp_path: Path) -> None:
    clock, metrics = Clock(), Metrics("1")
    async with opened(tmp_path, clock) as store:
        await put_meter(store, "m1")
        order = order_of("o1", "m1", 1)
        await add(store, order)
        clock.move(seconds=30)
        await send_and(store, order, Change.ACCEPT, event="order.accepted")
        times = OrderTimes(store.orders, metrics, Random(1))
        times.ended("o1")
        times.ended("never was")
        await times.read()
        await times.read()
    text = metrics.render().decode()
    assert 'stsgate_order_seconds_sum{state="accepted"} 30.0' in text
    assert 'stsgate_order_seconds_count{state="accepted"} 1.0' in text
    assert 'stsgate_order_state_seconds_sum{state="queued"} 30.0' in text


async def test_an_order_whose_end_is_written_a_little_later_is_read_once(tmp_path: Path) -> None:
    clock, metrics = Clock(), Metrics("1")
    async with opened(tmp_path, clock) as store:
        await put_meter(store, "m1")
        order = order_of("o1", "m1", 1)
        await add(store, order)
        times = OrderTimes(store.orders, metrics, Random(1))
        times.ended("o1")
        await times.read()
        assert 'state="accepted"' not in metrics.render().decode()
        await send_and(store, order, Change.ACCEPT, event="order.accepted")
        for _ in range(3):
            await times.read()
    assert 'stsgate_order_seconds_count{state="accepted"} 1.0' in metrics.render().decode()


class Heard:
    """Stands where the store is asked: which orders are read."""

    def __init__(self, *lines: tuple[float, str]) -> None:
        self.lines = lines
        self.asked: list[str] = []

    async def timeline(self, order_id: str) -> list[EventRecord]:
        self.asked.append(order_id)
        return story(*self.lines)


async def test_an_order_that_never_ends_is_given_up() -> None:
    heard: Any = Heard((0, "created"))
    times = OrderTimes(heard, Metrics("1"), Random(1))
    times.ended("o1")
    for _ in range(10):
        await times.read()
    assert heard.asked == ["o1"] * 3


async def test_each_order_has_the_same_chance_to_be_read() -> None:
    heard: Any = Heard((0, "created"), (1, "accepted"))
    times = OrderTimes(heard, Metrics("1"), Random(7), sample_max=10)
    for _ in range(300):
        for number in range(100):
            times.ended(str(number))
        await times.read()
    counts = Counter(heard.asked)
    assert len(heard.asked) == 3000
    assert set(counts) == {str(number) for number in range(100)}
    assert 10 <= min(counts.values()) <= max(counts.values()) <= 55  # 30 is to be expected
