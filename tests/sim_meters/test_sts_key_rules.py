"""Which key may follow which: key types, expiry, rollover, and keys that the meter held before."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest

from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.keys.key_type_rules import PERMITTED, is_permitted
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.key_change import MeterKey
from tests.sim_meters.lab_tokens import KEY, all_entered, credit, entered, key_change, machine, meter_key

ACCEPT = TokenResult.ACCEPT
NEW = meter_key(1, kt=KeyType.UNIQUE, ken=0x5A)

# IEC 62055-41, state diagram of key types. No meter here has a magnetic card, so DCTK is never let in.
MATRIX = {
    (KeyType.INITIALISATION, KeyType.INITIALISATION),
    (KeyType.INITIALISATION, KeyType.DEFAULT),
    (KeyType.INITIALISATION, KeyType.UNIQUE),
    (KeyType.DEFAULT, KeyType.DEFAULT),
    (KeyType.DEFAULT, KeyType.UNIQUE),
    (KeyType.UNIQUE, KeyType.DEFAULT),
    (KeyType.UNIQUE, KeyType.UNIQUE),
    (KeyType.COMMON, KeyType.DEFAULT),
}
WITH_CARD = MATRIX | {
    (KeyType.INITIALISATION, KeyType.COMMON),
    (KeyType.DEFAULT, KeyType.COMMON),
    (KeyType.COMMON, KeyType.COMMON),
}


@pytest.mark.parametrize(("present", "new"), list(product(KeyType, KeyType)))
def test_which_key_may_replace_which(present: KeyType, new: KeyType) -> None:
    assert set(PERMITTED) == set(KeyType)
    assert is_permitted(present, new, (2, 8)) == ((present, new) in MATRIX)
    assert is_permitted(present, new, (1,)) == ((present, new) in WITH_CARD)
    meter = machine(key=meter_key(kt=present), consumed=[2000])
    results, after = all_entered(meter, key_change(meter_key(1, kt=new)))
    if (present, new) in MATRIX:
        assert (results[-1], after.key) == (ACCEPT, meter_key(1, kt=new))
    else:
        assert (results[-1], after) == (TokenResult.KEY_TYPE_ERROR, meter)


def test_under_a_default_key_a_set_is_taken_and_credit_is_not() -> None:
    default = meter_key(kt=KeyType.DEFAULT)
    meter = machine(key=default)
    assert entered(meter, credit(2000))[0].result is TokenResult.DDTK_ERROR
    _, meter = all_entered(meter, key_change(NEW))
    assert entered(meter, credit(2000, key=NEW))[0].result is ACCEPT


def test_a_key_change_is_exempt_from_the_key_expiry_and_ends_it() -> None:
    meter = machine(key=meter_key(ken=0))
    token = 0x10000
    assert entered(meter, credit(token))[0].result is TokenResult.KEY_EXPIRED_ERROR
    results, after = all_entered(meter, key_change(NEW))
    assert results[-1] is ACCEPT
    assert entered(after, credit(token, key=NEW))[0].result is ACCEPT
    assert entered(after, credit(0x5B0000, key=NEW))[0].result is TokenResult.KEY_EXPIRED_ERROR


def test_after_a_rollover_tokens_out_of_order_work_as_before() -> None:
    _, after = all_entered(machine(consumed=[5_000_000]), key_change(NEW, rollover=True))
    results, _ = all_entered(after, [credit(tid, key=NEW) for tid in (2000, 1000, 1500, 1000)])
    assert results == [ACCEPT, ACCEPT, ACCEPT, TokenResult.USED_ERROR]


def test_a_rollover_to_the_present_key_is_refused() -> None:
    meter = machine(consumed=[2000], refuses_former_keys=False)
    results, after = all_entered(meter, key_change(KEY, rollover=True))
    assert (results[-1], after) == (TokenResult.KEY_TYPE_ERROR, meter)
    results, after = all_entered(meter, key_change(KEY))
    assert (results[-1], after.key) == (ACCEPT, KEY)


def changed(meter: TokenMachine, *changes: tuple[MeterKey, bool]) -> tuple[list[TokenResult], TokenMachine]:
    """The last result of each of several sets in a row: new key and rollover."""
    results = []
    for new, rollover in changes:
        some, meter = all_entered(meter, key_change(new, meter.key, rollover=rollover))
        results.append(some[-1])
    return results, meter


A, B, C = KEY, meter_key(1), meter_key(2)


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        # back to a key whose tokens the meter remembers: they stay used or old
        ([(B, False), (A, False)], ACCEPT),
        # back to one whose tokens are forgotten
        ([(B, True), (A, False)], TokenResult.KEY_TYPE_ERROR),
        ([(B, True), (A, True)], TokenResult.KEY_TYPE_ERROR),
        ([(B, True), (C, False), (A, False)], TokenResult.KEY_TYPE_ERROR),
        ([(B, True), (C, True), (A, True)], TokenResult.KEY_TYPE_ERROR),
        # a rollover would make it forget them
        ([(B, False), (A, True)], TokenResult.KEY_TYPE_ERROR),
        ([(B, False), (A, False), (B, True)], TokenResult.KEY_TYPE_ERROR),
        ([(B, False), (C, True), (B, False)], TokenResult.KEY_TYPE_ERROR),
        ([(B, True), (C, False), (B, False)], ACCEPT),
    ],
)
def test_a_former_key_comes_back_only_while_its_tokens_are_remembered(
    changes: Iterable[tuple[MeterKey, bool]], last: TokenResult
) -> None:
    results, after = changed(machine(), *changes)
    assert results[-1] is last
    _, allowed = changed(machine(refuses_former_keys=False), *changes)
    assert (allowed.key.decoder_key == after.key.decoder_key) == (last is ACCEPT)
