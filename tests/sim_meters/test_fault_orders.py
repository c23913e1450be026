"""Orders of faults: as text, as a mapping, for which meters, when and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from sim_meters.behaviour import Behaviour
from sim_meters.clock import VirtualClock
from sim_meters.fault_order import FaultOrder, MeterSelector
from sim_meters.faults import FAULTS, Fault, Phase

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOON = VirtualClock(START).now

_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
_PATTERNS = st.from_regex(r"[A-Z*?0-9-]{1,12}", fullmatch=True)


@st.composite
def orders(draw: st.DrawFn) -> FaultOrder:
    fault = draw(st.sampled_from(Fault))
    kind = FAULTS[fault]
    amount = kind.amount
    begin = draw(st.none() | _MOMENTS)
    numbers = draw(st.none() | st.tuples(st.integers(0, 1000), st.integers(0, 1000)))
    return FaultOrder(
        fault,
        count=draw(st.none() | st.integers(0, 999_999)),
        chance_percent=draw(st.floats(0, 100)),
        phase=draw(st.none() | st.sampled_from(sorted(kind.phases))),
        value=None if amount is None else draw(st.none() | st.floats(amount.least, amount.most)),
        skip=draw(st.integers(0, 1000)),
        selector=MeterSelector(
            draw(st.just("*") | _PATTERNS),
            draw(st.just("*") | _PATTERNS),
            None if numbers is None else (min(numbers), max(numbers)),
        ),
        begin=begin,
        end=None if begin is None else begin + timedelta(hours=1),
    )


@given(orders())
def test_an_order_that_is_written_is_read_as_it_was(order: FaultOrder) -> None:
    assert FaultOrder.parse_mapping(order.to_mapping()) == order


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mute", FaultOrder(Fault.MUTE)),
        ("mute@read", FaultOrder(Fault.MUTE, phase=Phase.READ)),
        ("delay=2.5:3@enter", FaultOrder(Fault.DELAY, 3, phase=Phase.ENTER, value=2.5)),
        ("clock-step=-3600:1", FaultOrder(Fault.CLOCK_STEP, 1, value=-3600.0)),
        ("reboot-after-enter:0.5%", FaultOrder(Fault.REBOOT_AFTER_ENTER, chance_percent=0.5)),
        ("stale-status:100%", FaultOrder(Fault.STALE_STATUS)),
    ],
)
def test_an_order_as_text(text: str, expected: FaultOrder) -> None:
    assert FaultOrder.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "NAME"),
        ("asleep", "NAME"),
        ("mute:", "NAME"),
        ("mute:1.5", "NAME"),
        ("mute:x", "NAME"),
        ("mute:101%", "a percentage of 0 to 100"),
        ("mute@noon", "a phase, one of association, read"),
        ("stale-status@read", "one of its phases, enter; got read"),
        ("mute=3", "no value"),
        ("delay=-1", "a value of 0 to 86400 s; got -1"),
        ("delay=99999999", "a value of 0 to 86400 s"),
        ("mute:1@read ", "NAME"),
        ("mute:٣", "NAME"),
    ],
)
def test_what_is_no_order_is_refused_in_a_sentence(text: str, expected: str) -> None:
    with pytest.raises(SettingError, match=f"^fault.*: expected {expected}"):
        FaultOrder.parse(text)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({}, "campaign: expected a member fault"),
        ({"fault": "mute", "often": 3}, "campaign: expected fault, count, .*; got 'often'"),
        ({"fault": 3}, "campaign.fault: expected text"),
        ({"fault": "mute", "count": -1}, "campaign.count: expected a whole number"),
        ({"fault": "mute", "count": True}, "campaign.count: expected a whole number"),
        ({"fault": "mute", "percent": "many"}, "campaign.percent: expected a number"),
        ({"fault": "mute", "percent": float("nan")}, "campaign.percent: expected a number"),
        ({"fault": "mute", "numbers": "9-3"}, "campaign.numbers: expected a number or a range"),
        ({"fault": "mute", "begin": "noon"}, "campaign.begin: expected a time with its zone"),
        ({"fault": "mute", "begin": "2026-11-21T12:00"}, "campaign.begin: expected a time with its zone"),
        ({"fault": "mute", "begin": "2026-11-21T12:00Z", "end": "2026-11-21T12:00Z"}, "an end after its begin"),
        ({"fault": "mute", "phase": "noon"}, "a phase, one of"),
        ({"fault": "stale-status", "phase": "read"}, "campaign: fault stale-status: expected one of its phases"),
        ({"fault": "x" * 300}, "campaign.fault: expected text of 1 to 200"),
    ],
)
def test_what_is_no_mapping_is_refused_in_a_sentence(mapping: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        FaultOrder.parse_mapping(mapping, "campaign")


def test_the_text_form_is_understood_in_a_mapping_and_members_come_before_it() -> None:
    order = FaultOrder.parse_mapping({"fault": "delay=2:3@enter", "count": 5, "group": "canary", "numbers": 7})
    assert order == FaultOrder(
        Fault.DELAY, 5, phase=Phase.ENTER, value=2.0, selector=MeterSelector(group="canary", numbers=(7, 7))
    )


@pytest.mark.parametrize(
    ("selector", "is_meant"),
    [
        (MeterSelector(), True),
        (MeterSelector(meter="SIM00000000009"), True),
        (MeterSelector(meter="*9"), True),
        (MeterSelector(meter="00000000009"), True),
        (MeterSelector(meter="street-5"), True),
        (MeterSelector(meter="street-?"), True),
        (MeterSelector(meter="SIM1*"), False),
        (MeterSelector(group="str*"), True),
        (MeterSelector(group="canary"), False),
        (MeterSelector(numbers=(5, 5)), True),
        (MeterSelector(numbers=(1, 4)), False),
        (MeterSelector(meter="*9", group="street", numbers=(6, 9)), False),
    ],
)
def test_a_selector_means_the_meters_that_fit_all_that_it_says(selector: MeterSelector, *, is_meant: bool) -> None:
    assert selector.matches("SIM00000000009", "street", 5) is is_meant


def strikes(behaviour: Behaviour, fault: Fault, phase: Phase, times: int = 1) -> list[bool]:
    return [behaviour.happens(fault, phase, NOON) is not None for _ in range(times)]


def test_a_count_is_used_up_and_strikes_are_counted() -> None:
    behaviour = Behaviour([FaultOrder(Fault.MUTE, 2, phase=Phase.READ, skip=1)])
    assert strikes(behaviour, Fault.MUTE, Phase.ENTER) == [False]
    assert strikes(behaviour, Fault.HANG_UP, Phase.READ) == [False]
    assert behaviour.active() == [(FaultOrder(Fault.MUTE, 2, phase=Phase.READ, skip=1), 2)]
    assert strikes(behaviour, Fault.MUTE, Phase.READ, 5) == [False, True, True, False, False]
    assert behaviour.active() == []
    assert behaviour.strikes == {Fault.MUTE: 2}


def test_orders_come_and_go_while_the_meter_runs() -> None:
    behaviour = Behaviour()
    behaviour.order(FaultOrder(Fault.MUTE, phase=Phase.READ))
    behaviour.order(FaultOrder(Fault.MUTE, phase=Phase.ENTER))
    behaviour.order(FaultOrder(Fault.HANG_UP, 1))
    behaviour.order(FaultOrder(Fault.HANG_UP, 2))
    assert [left for _, left in behaviour.active()] == [None, None, 2], "the second took the place of the first"
    assert behaviour.cancel(Fault.MUTE, Phase.READ) == 1
    assert strikes(behaviour, Fault.MUTE, Phase.READ) == [False]
    assert strikes(behaviour, Fault.MUTE, Phase.ENTER) == [True]
    assert behaviour.cancel() == 2
    assert not any(strikes(behaviour, fault, phase)[0] for fault in Fault for phase in Phase)
    assert behaviour.strikes == {Fault.MUTE: 1}, "what has happened has happened"


def test_chance_comes_from_the_seed_and_one_order_does_not_shuffle_another() -> None:
    half = FaultOrder(Fault.MUTE, chance_percent=50)

    def story(seed: int | str, *others: FaultOrder) -> list[bool]:
        behaviour = Behaviour([*others, half], seed)
        return [
            strikes(behaviour, Fault.HANG_UP, Phase.READ)[0] or strikes(behaviour, Fault.MUTE, Phase.READ)[0]
            for _ in range(200)
        ]

    assert story("7/street-1") == story("7/street-1") != story("7/street-2")
    assert 60 < sum(story(1)) < 140
    other = FaultOrder(Fault.HANG_UP, chance_percent=10, phase=Phase.ENTER)
    assert story(1) == story(1, other)


def test_an_order_has_its_time() -> None:
    clock = VirtualClock(START)
    hour = timedelta(hours=1)
    behaviour = Behaviour([FaultOrder(Fault.MUTE, begin=START + hour, end=START + 2 * hour)])

    def happens() -> bool:
        return behaviour.happens(Fault.MUTE, Phase.READ, clock.now) is not None

    seen = []
    for _ in range(4):
        seen.append(happens())
        clock.advance(3599)
        seen.append(happens())
        clock.advance(1)
    assert seen == [False, False, True, True, False, False, False, False]


@given(st.binary(min_size=1, max_size=100), st.integers())
def test_garbling_turns_over_exactly_one_bit(octets: bytes, seed: int) -> None:
    garbled = Behaviour(seed=seed).garbled(octets)
    assert len(garbled) == len(octets)
    assert (int.from_bytes(garbled, "big") ^ int.from_bytes(octets, "big")).bit_count() == 1
