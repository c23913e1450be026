"""A meter that keeps a part of every token for a debt: the token is accepted, the balance rises by less."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gateway.orders import Amount
from sim_meters.debt import DebtRecovery
from sim_meters.meter_config import lab_config
from tests.gateway.test_delivery import ACCEPTED, ONE, TWO, deliver, meter_at


async def test_a_debt_changes_the_balance_and_not_the_verdict() -> None:
    async with meter_at(replace(lab_config(), debt=DebtRecovery(owed_units=100, proportion=2500))) as place:
        notes = await deliver(place, ONE, amount=Amount(Decimal("25.6"), "kWh"))
        (judged,) = notes.judged
        assert notes.words == [ACCEPTED]
        assert (judged.before.balance, judged.after.balance) == (Decimal(0), Decimal("19.2"))
        (judged,) = (await deliver(place, TWO)).judged
        assert judged.after.balance == Decimal("41.3")
        assert place.meter.debt_units == 0


async def test_a_debt_that_takes_everything_leaves_no_balance_and_an_accepted_token() -> None:
    async with meter_at(replace(lab_config(), debt=DebtRecovery(owed_units=10_000, proportion=10_000))) as place:
        notes = await deliver(place, ONE)
    assert notes.words == [ACCEPTED]
    assert [judged.after.balance for judged in notes.judged] == [Decimal(0)]
