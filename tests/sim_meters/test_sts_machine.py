"""The meter's token machine: which result comes first, and what a result changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, tuples

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.decoder_key import DecoderKey
from sim_meters.sts.key_attributes import KeyType
from sim_meters.sts.machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens import Commodity, DecodedToken, TokenKind, credit_kind, encode_credit

KEY = DecoderKey.parse("87F3ECBB2E46B48F")
OTHER_KEY = DecoderKey.parse("0123456789ABCDEF")
KWH = credit_kind(Commodity.ELECTRICITY, currency=False)
WATER = credit_kind(Commodity.WATER, currency=False)
MONEY = credit_kind(Commodity.ELECTRICITY, currency=True)
MADE = 1000


def machine(
    kinds: Sequence[TokenKind] = (KWH,),
    key_type: KeyType = KeyType.UNIQUE,
    ken: int = 255,
    consumed: Sequence[int] = (),
) -> TokenMachine:
    return TokenMachine.new(KEY, kinds, MADE, consumed=consumed, key_type=key_type, ken=ken)


def credit(tid: int, kind: TokenKind = KWH, key: DecoderKey = KEY) -> Token:
    return encode_credit(key, kind, 256, tid, None if kind.is_currency else 5)


def fits(_: DecodedToken) -> bool:
    return True


def does_not_fit(_: DecodedToken) -> bool:
    return False


def test_a_good_token_is_accepted_once() -> None:
    first = machine().execute(credit(2000), fits)
    assert first.result is TokenResult.ACCEPT
    assert first.token is not None
    assert first.token.units == 256
    again = first.machine.execute(credit(2000), fits)
    assert again.result is TokenResult.USED_ERROR
    assert again.token == first.token
    assert again.machine == first.machine


def test_the_same_tid_in_another_token_is_used_too() -> None:
    meter = machine((KWH, MONEY)).execute(credit(2000), fits).machine
    assert meter.execute(credit(2000, MONEY), fits).result is TokenResult.USED_ERROR


def test_credit_that_does_not_fit_leaves_the_token_good() -> None:
    full = machine().execute(credit(2000), does_not_fit)
    assert full.result is TokenResult.OVERFLOW_ERROR
    assert full.machine == machine()
    assert full.machine.execute(credit(2000), fits).result is TokenResult.ACCEPT


@pytest.mark.parametrize(
    ("meter", "token", "result"),
    [
        (machine(), Token.from_block(TokenClass.NON_METER_SPECIFIC_MANAGEMENT, 0), TokenResult.FUNCTION_ERROR),
        (machine(), Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, 0), TokenResult.FUNCTION_ERROR),
        (machine(), Token.from_block(TokenClass.RESERVED, 0), TokenResult.FUNCTION_ERROR),
        (machine(), credit(2000, key=OTHER_KEY), TokenResult.CRC_ERROR),
        (machine(), credit(2000, WATER), TokenResult.FUNCTION_ERROR),
        (machine(), credit(2000, MONEY), TokenResult.FUNCTION_ERROR),
        (machine((MONEY,)), credit(2000), TokenResult.FUNCTION_ERROR),
        (machine(key_type=KeyType.DEFAULT), credit(2000), TokenResult.DDTK_ERROR),
        (machine(key_type=KeyType.INITIALISATION), credit(2000), TokenResult.ACCEPT),
        (machine(key_type=KeyType.COMMON), credit(2000), TokenResult.ACCEPT),
        (machine(ken=1), credit(0x1FFFF), TokenResult.ACCEPT),
        (machine(ken=1), credit(0x20000), TokenResult.KEY_EXPIRED_ERROR),
        (machine(), credit(0xFFFFFF), TokenResult.ACCEPT),
        (machine(), credit(MADE), TokenResult.USED_ERROR),
        (machine(), credit(MADE - 1), TokenResult.OLD_ERROR),
    ],
)
def test_each_reason_has_its_result(meter: TokenMachine, token: Token, result: TokenResult) -> None:
    execution = meter.execute(token, fits)
    assert execution.result is result
    assert (execution.machine == meter) == (result is not TokenResult.ACCEPT)


def test_the_order_of_the_checks() -> None:
    """A token with everything wrong, put right one thing at a time, walks through the results in their order."""
    tid = 0x20000
    meter = machine((WATER,), KeyType.DEFAULT, ken=1, consumed=[tid])
    seen = [meter.execute(credit(tid, key=OTHER_KEY), does_not_fit).result]
    seen.append(meter.execute(credit(tid), does_not_fit).result)
    meter = replace(meter, kinds=frozenset({KWH}))
    seen.append(meter.execute(credit(tid), does_not_fit).result)
    meter = replace(meter, key_type=KeyType.UNIQUE)
    seen.append(meter.execute(credit(tid), does_not_fit).result)
    meter = replace(meter, ken=255)
    seen.append(meter.execute(credit(tid), does_not_fit).result)
    seen.append(meter.execute(credit(tid + 1), does_not_fit).result)
    seen.append(meter.execute(credit(tid + 1), fits).result)
    assert seen == [
        TokenResult.CRC_ERROR,
        TokenResult.FUNCTION_ERROR,
        TokenResult.DDTK_ERROR,
        TokenResult.KEY_EXPIRED_ERROR,
        TokenResult.USED_ERROR,
        TokenResult.OVERFLOW_ERROR,
        TokenResult.ACCEPT,
    ]


def test_credit_is_asked_about_only_when_all_else_is_well() -> None:
    asked: list[DecodedToken] = []

    def ask(token: DecodedToken) -> bool:
        asked.append(token)
        return True

    meter = machine(consumed=[2000])
    for token in (credit(2000), credit(1), credit(3000, WATER), credit(3000, key=OTHER_KEY)):
        meter.execute(token, ask)
    assert asked == []
    meter.execute(credit(3000), ask)
    assert [token.tid for token in asked] == [3000]


@given(lists(tuples(integers(MADE - 5, MADE + 80), booleans()), max_size=80))
def test_a_machine_made_again_from_its_ledger_is_the_same_machine(entries: list[tuple[int, bool]]) -> None:
    meter, ledger = machine(), list[int]()
    for tid, has_room in entries:
        execution = meter.execute(credit(tid), fits if has_room else does_not_fit)
        meter = execution.machine
        if execution.result is TokenResult.ACCEPT:
            ledger.append(tid)
    assert len(ledger) == len(set(ledger))
    assert meter == machine(consumed=ledger)


def test_a_machine_does_not_show_its_key() -> None:
    assert KEY.octets.hex() not in repr(machine()).lower()
    assert repr(KEY.octets) not in repr(machine())


def test_a_key_expiry_number_has_eight_bits() -> None:
    for ken in (-1, 256):
        with pytest.raises(SettingError, match=r"^ken: expected 0 to 255"):
            machine(ken=ken)


def test_the_results_have_the_published_numbers() -> None:
    assert [(result.name, result.value) for result in TokenResult][:4] == [
        ("ACCEPT", 1),
        ("FIRST_KEY_CHANGE_SECTION", 2),
        ("SECOND_KEY_CHANGE_SECTION", 3),
        ("OVERFLOW_ERROR", 4),
    ]
    assert (TokenResult.USED_ERROR, TokenResult.OLD_ERROR, TokenResult.CRC_ERROR) == (10, 9, 13)
