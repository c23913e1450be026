"""Every fault in every phase, against the real delivery: what the head-end says of a token is true by the ledger, and
the fault really struck. In virtual time, with wires in memory; ``House.deliver`` holds what is said against the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from cosem_objects import axdr
from cosem_objects.dlms.refusals import AssociationRefused
from cosem_objects.errors import RemoteProtocolError
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import FAULTS, Fault, Phase
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from sim_meters.sts.results import TokenResult
from tests.scenarios.virtual_clock import run_in_virtual_time
from tests.sim_meters.lab_house import FRAMINGS, SECURITIES, House, house, secured, tokens_of, words
from tests.sim_meters.meter_client import Client, associate
from transports.channel import ChannelError

T = TypeVar("T")

COUNTERS = {Fault.COUNTER_FALLS, Fault.COUNTER_JUMPS, Fault.COUNTER_RESET}
IN_A_DELIVERY = [
    (fault, phase)
    for fault, kind in FAULTS.items()
    for phase in Phase
    if phase in kind.phases - {Phase.PUSH, Phase.OTHER} and fault is not Fault.SECOND_ASSOCIATION_REFUSED
]
"""Those that a delivery can meet alone. The others have tests of their own below."""

ACCEPTED = "accepted, credited yes"
USED_AFTER_DOUBT = "accepted, credited yes, used-after-doubt"
ACCEPT, USED, CRC = TokenResult.ACCEPT, TokenResult.USED_ERROR, TokenResult.CRC_ERROR


def virtually(main: Coroutine[Any, Any, T]) -> T:
    return run_in_virtual_time(main)


def results(meter_house: House) -> list[TokenResult | None]:
    return [entry.result for entry in meter_house.meter.ledger.entries]


async def deliver_one(order: FaultOrder, wire: str, config: MeterConfig) -> tuple[list[str], int]:
    """What was said of a token until it was settled, and how often the fault struck."""
    async with house(order, config=config, wire=wire) as one:
        said = await one.deliver_until_settled(*tokens_of(config))
        return said, one.meter.behaviour.strikes.get(order.fault, 0)


@pytest.mark.parametrize("wire", FRAMINGS)
@pytest.mark.parametrize(("fault", "phase"), IN_A_DELIVERY)
def test_a_fault_strikes_where_it_is_ordered_and_what_is_said_stays_true(fault: Fault, phase: Phase, wire: str) -> None:
    for name, security in SECURITIES.items():
        said, struck = virtually(deliver_one(FaultOrder(fault, 1, phase=phase), wire, secured(security)))
        is_possible = fault not in COUNTERS or name != "none"
        assert struck == is_possible, (name, said)
        assert said


@pytest.mark.parametrize("wire", FRAMINGS)
@pytest.mark.parametrize(("fault", "phase"), IN_A_DELIVERY)
def test_a_fault_that_never_ends_makes_nothing_untrue(fault: Fault, phase: Phase, wire: str) -> None:
    for name, security in SECURITIES.items():
        if fault is Fault.GARBLED_ANSWER and name == "none":
            continue  # nothing could notice
        said, _ = virtually(deliver_one(FaultOrder(fault, phase=phase), wire, secured(security)))
        assert said


# The faults that are about money: fault -> what is said, what the meter did, how often the head-end sent the token.
MONEY: list[tuple[str, list[str], list[TokenResult], int]] = [
    ("drop-answer-after-enter:1", [ACCEPTED], [ACCEPT], 1),
    ("hang-up-after-enter:1", [ACCEPTED], [ACCEPT], 1),
    ("reboot-after-enter:1", [ACCEPTED], [ACCEPT], 1),
    ("reboot:1@enter", [ACCEPTED], [ACCEPT], 2),
    ("mute:1@enter", [ACCEPTED], [ACCEPT], 2),
    ("hang-up:1@readback", [ACCEPTED], [ACCEPT], 1),
    ("stale-status:1", [USED_AFTER_DOUBT], [ACCEPT, USED], 2),
    ("stale-status", ["in_doubt (not-shown), credited unknown"] * 5, [ACCEPT, *[USED] * 19], 20),
    ("stuck-pending=30:1", [ACCEPTED], [ACCEPT], 1),
    ("stuck-pending:1", ["in_doubt (pending), credited unknown"] * 5, [], 1),
    ("keypad:1@enter", [USED_AFTER_DOUBT], [ACCEPT, CRC, USED], 2),
    ("keypad:1@readback", [ACCEPTED], [ACCEPT, CRC], 1),
    ("keypad-same-token:1", ["rejected (used), credited unknown"], [ACCEPT, USED], 1),
    ("lock-out=200:1", ["in_doubt (busy), credited unknown", ACCEPTED], [ACCEPT], 2),
    ("duplicate-answer@enter", [ACCEPTED], [ACCEPT], 1),
    ("duplicate-frame@enter", [ACCEPTED], [ACCEPT], 1),
    ("refuse-association:2", ["unreached (busy), credited no"] * 2 + [ACCEPTED], [ACCEPT], 1),
    ("hls-fail:1", ["held (config), credited no"], [], 0),
    ("access-denied:1@enter", ["held (config), credited unknown"], [], 1),
    ("link-offline=100:1@enter", ["in_doubt (hung-up), credited unknown", ACCEPTED], [ACCEPT], 2),
    ("delay=15:1@enter", [ACCEPTED], [ACCEPT], 1),
]


@pytest.mark.parametrize("security", SECURITIES.values(), ids=SECURITIES)
@pytest.mark.parametrize("wire", FRAMINGS)
@pytest.mark.parametrize(("order", "said", "done", "sent"), MONEY, ids=[row[0] for row in MONEY])
def test_what_becomes_of_the_money(
    order: str, said: list[str], done: list[TokenResult], sent: int, wire: str, security: Any
) -> None:
    config = secured(security)

    async def play() -> None:
        async with house(order, config=config, wire=wire) as one:
            assert await one.deliver_until_settled(*tokens_of(config)) == said
            assert results(one) == done
            assert one.enters == sent

    virtually(play())


@pytest.mark.parametrize("order", ["reboot:1@readback", "reboot-after-enter:1"])
def test_a_reboot_forgets_a_token_that_waits_and_it_is_credited_when_it_comes_again(order: str) -> None:
    config = replace(lab_config(), status_delay_seconds=5.0)

    async def play() -> None:
        async with house(order, config=config) as one:
            assert await one.deliver_until_settled(*tokens_of(config)) == [ACCEPTED]
            assert results(one) == [ACCEPT], "the one that was forgotten was never booked"
            assert one.enters == 2

    virtually(play())


def test_a_skipped_order_strikes_in_the_middle_of_a_set() -> None:
    tokens = tokens_of(lab_config(), 3)

    async def play() -> None:
        async with house(FaultOrder(Fault.REBOOT, 1, phase=Phase.ENTER, skip=1)) as one:
            judged = await one.deliver(*tokens)
            assert [words(each) for each in judged] == [ACCEPTED] * 3
            assert one.enters == 4, "the second one twice"

    virtually(play())


def test_two_tokens_and_every_fault_at_a_third_of_the_time_stay_true_on_many_seeds() -> None:
    async def play(seed: int) -> tuple[list[str], dict[Fault, int]]:
        security = SECURITIES["hls-gmac" if seed % 2 else "none"]
        config = secured(security, status_delay_seconds=(0.0, 7.0)[seed // 2 % 2])
        # What cannot be noticed without ciphering, or locks the key out for the rest of the story, would end each.
        left_out = {Fault.GARBLED_ANSWER, Fault.STUCK_PENDING, Fault.HLS_FAIL, Fault.ACCESS_DENIED}
        orders = [FaultOrder(fault, chance_percent=33 if seed % 3 else 8) for fault in Fault if fault not in left_out]
        async with house(*orders, config=config, wire=list(FRAMINGS)[seed // 4 % 2], seed=seed) as one:
            said = await one.deliver_until_settled(*tokens_of(config, 2), runs_max=12)
            return said, dict(one.meter.behaviour.strikes)

    stories = [virtually(play(seed)) for seed in range(60)]
    assert stories[:10] == [virtually(play(seed)) for seed in range(10)], "a seed plays the same again"
    assert len({str(story) for story in stories}) > 50
    struck = {fault for _, strikes in stories for fault in strikes}
    assert len(struck) > 20, struck
    assert any(ACCEPTED in said for said, _ in stories)


# One association at a time.


async def connected(one: House) -> Client:
    return await associate((await one.connect()).channel(1, 1))


@pytest.mark.parametrize("wire", FRAMINGS)
@pytest.mark.parametrize("by_order", [True, False], ids=["on order", "by configuration"])
def test_a_second_association_is_refused_until_the_first_one_is_silent_for_too_long(wire: str, by_order: bool) -> None:
    config = lab_config() if by_order else replace(lab_config(), associations_max=1)
    orders = ["second-association-refused"] if by_order else []
    inactivity = SIM_PROFILE.inactivity_seconds

    async def play() -> None:
        async with house(*orders, config=config, wire=wire) as one:
            (token,) = tokens_of(config)
            other = await connected(one)  # and then its client falls silent, without a word
            assert await other.balance() == 0
            assert [words(judged) for judged in await one.deliver(token)] == ["unreached (busy), credited no"]
            assert one.meter.associations == 1
            await asyncio.sleep(inactivity - 1)
            with pytest.raises(AssociationRefused):
                await connected(one)
            await asyncio.sleep(2)
            assert one.meter.associations == 0
            assert [words(judged) for judged in await one.deliver(token)] == [ACCEPTED]
            assert one.meter.associations == 0, "it was released"
            with pytest.raises(ChannelError):
                await other.balance()

    virtually(play())


def test_who_speaks_in_time_keeps_the_association() -> None:
    async def play() -> None:
        async with house() as one:
            client = await connected(one)
            for _ in range(5):
                await asyncio.sleep(SIM_PROFILE.inactivity_seconds * 0.9)
                assert await client.balance() == 0

    virtually(play())


def test_a_broken_clock_does_not_shorten_the_patience_with_a_client() -> None:
    async def play() -> None:
        async with house("clock-step=86400:1@read") as one:
            client = await connected(one)
            before = one.meter.now()
            assert await client.balance() == 0
            assert (one.meter.now() - before).total_seconds() >= 86_400
            await asyncio.sleep(SIM_PROFILE.inactivity_seconds / 2)
            assert await client.balance() == 0

    virtually(play())


# Other requests, and other moments.


@pytest.mark.parametrize("fault", [fault for fault, kind in FAULTS.items() if Phase.OTHER in kind.phases])
@pytest.mark.parametrize("wire", FRAMINGS)
def test_a_fault_strikes_other_requests_too(fault: Fault, wire: str) -> None:
    config = secured(SECURITIES["hls-gmac"])

    async def play() -> None:
        async with house(FaultOrder(fault, 1, phase=Phase.OTHER), config=config, wire=wire) as one:
            security = replace(config.security, client_system_title=bytes.fromhex("5354534741544501"))
            client = await associate((await one.connect()).channel(1, 1), security)
            # Whatever it is to this client: the meter goes on.
            with suppress(ChannelError, RemoteProtocolError, TimeoutError):
                async with asyncio.timeout(60):
                    await client.set(8, "0-0:1.0.0.255", 2, axdr.NULL)
            assert one.meter.behaviour.strikes == {fault: 1}
            await asyncio.sleep(100)
            assert [words(judged) for judged in await one.deliver(*tokens_of(config))] == [ACCEPTED]

    virtually(play())


def test_the_customer_who_types_while_a_token_waits_or_the_meter_is_locked_is_told_so() -> None:
    async def play() -> None:
        first, second = tokens_of(lab_config(), 2)
        async with house("lock-out=60:1", "stuck-pending=60") as one:
            assert [words(each) for each in await one.deliver(first)] == ["in_doubt (busy), credited unknown"]
            assert one.meter.key_in(second) is TokenResult.LOCKOUT
            await asyncio.sleep(60)
            await (await connected(one)).enter(first)
            assert one.meter.key_in(second) is TokenResult.NOT_READY
            await asyncio.sleep(61)
            assert one.meter.key_in(second) is ACCEPT
            assert results(one) == [ACCEPT, ACCEPT]

    virtually(play())


def test_a_meter_that_is_offline_comes_back_and_tells_its_listener() -> None:
    async def play() -> None:
        async with house() as one:
            (token,) = tokens_of(lab_config())
            told: list[bool] = []
            one.meter.on_link = told.append
            client = await connected(one)
            one.meter.go_offline(100)
            with pytest.raises(ChannelError):
                await client.balance()
            assert (await one.deliver(token))[0].verdict.outcome == "unreached"
            await asyncio.sleep(101)
            assert [words(judged) for judged in await one.deliver(token)] == [ACCEPTED]
            assert told == [False, True]

    virtually(play())


def test_counters_that_begin_anew_are_in_the_ledger_as_well() -> None:
    config = secured(SECURITIES["hls-gmac"])

    async def play() -> None:
        async with house("counter-reset:1", config=config) as one:
            one.meter.behaviour.cancel()
            assert [words(judged) for judged in await one.deliver(*tokens_of(config))] == [ACCEPTED]
            before = one.meter.counters
            one.meter.behaviour.order(FaultOrder.parse("counter-reset:1"))
            client = await associate(
                (await one.connect()).channel(1, 1),
                replace(config.security, client_system_title=bytes.fromhex("5354534741544501")),
            )
            assert await client.balance() == 100
            assert one.meter.counters is not before
            assert one.meter.counters.last_received < before.last_received
            kept = one.meter.ledger.counters
            assert (kept.received, kept.sent_limit) == (one.meter.counters.last_received, 1001 + 1), kept

    virtually(play())
