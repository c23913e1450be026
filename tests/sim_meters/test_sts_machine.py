"""The meter's token machine: which result comes first, and what a result changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, tuples

from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_READ,
    EXTENDED_SET,
    MAXIMUM_POWER_LIMIT,
    PHASE_UNBALANCE_LIMIT,
    TEST_2,
    TEST_4,
    TOKEN_KINDS,
)
from tests.sim_meters.lab_tokens import (
    KEY,
    KWH,
    MADE,
    MONEY,
    NOON,
    OTHER_KEY,
    WATER,
    credit,
    does_not_fit,
    entered,
    fits,
    machine,
    management,
    meter_key,
)

ACCEPT = TokenResult.ACCEPT


def test_a_good_token_is_accepted_once() -> None:
    first, after = entered(machine(), credit(2000))
    assert first.result is ACCEPT
    assert first.token is not None
    assert first.token.units == 256
    again, still = entered(after, credit(2000))
    assert again.result is TokenResult.USED_ERROR
    assert again.token == first.token
    assert still == after


def test_the_same_tid_in_another_token_is_used_too() -> None:
    _, after = entered(machine((KWH, MONEY, CLEAR_TAMPER)), credit(2000))
    for token in (credit(2000, MONEY), management(2000, CLEAR_TAMPER)):
        assert entered(after, token)[0].result is TokenResult.USED_ERROR


def test_credit_that_does_not_fit_leaves_the_token_good() -> None:
    full, after = entered(machine(), credit(2000), has_room=False)
    assert full.result is TokenResult.OVERFLOW_ERROR
    assert after == machine()
    assert entered(after, credit(2000))[0].result is ACCEPT


def reserved(token_class: TokenClass, subclass: int) -> Token:
    upper = subclass << 44
    block = upper << 16 | token_crc(token_class, upper, CrcRule.CRC)
    is_clear = token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    return Token.from_block(token_class, block if is_clear else KEY.decoder_key.cipher.encrypt(block))


CREDIT_CLASS, TEST_CLASS, MANAGEMENT_CLASS, RESERVED_CLASS = TokenClass


@pytest.mark.parametrize(
    ("meter", "token", "result"),
    [
        (machine(), Token.from_block(TEST_CLASS, 0), TokenResult.CRC_ERROR),
        (machine(), Token.from_block(MANAGEMENT_CLASS, 0), TokenResult.CRC_ERROR),
        (machine(), Token.from_block(RESERVED_CLASS, 0), TokenResult.FUNCTION_ERROR),
        *((machine(), reserved(CREDIT_CLASS, subclass), TokenResult.FUNCTION_ERROR) for subclass in range(8, 16)),
        *((machine(), reserved(TEST_CLASS, subclass), TokenResult.FUNCTION_ERROR) for subclass in range(3, 16)),
        *(
            (machine(TOKEN_KINDS), reserved(MANAGEMENT_CLASS, subclass), TokenResult.FUNCTION_ERROR)
            for subclass in (2, 7, 11, 12, 13, 14, 15)
        ),
        (machine(), credit(2000, key=OTHER_KEY), TokenResult.CRC_ERROR),
        (machine(), credit(2000, WATER), TokenResult.FUNCTION_ERROR),
        (machine(), credit(2000, MONEY), TokenResult.FUNCTION_ERROR),
        (machine((MONEY,)), credit(2000), TokenResult.FUNCTION_ERROR),
        (machine((MONEY,)), credit(2000, MONEY, units=-5), ACCEPT),
        (machine((KWH,)), management(2000, MAXIMUM_POWER_LIMIT, 5), TokenResult.FUNCTION_ERROR),
        (machine(key=meter_key(kt=KeyType.DEFAULT)), credit(2000), TokenResult.DDTK_ERROR),
        (machine(key=meter_key(kt=KeyType.DEFAULT)), management(2000, CLEAR_TAMPER), ACCEPT),
        (machine(key=meter_key(kt=KeyType.INITIALISATION)), credit(2000), ACCEPT),
        (machine(key=meter_key(kt=KeyType.COMMON)), credit(2000), ACCEPT),
        (machine(key=meter_key(ken=1)), credit(0x1FFFF), ACCEPT),
        (machine(key=meter_key(ken=1)), credit(0x20000), TokenResult.KEY_EXPIRED_ERROR),
        (machine(key=meter_key(ken=1)), management(0x20000, CLEAR_TAMPER), TokenResult.KEY_EXPIRED_ERROR),
        (machine(key=meter_key(ken=1), checks_ken=False), credit(0x20000), ACCEPT),
        (machine(key=meter_key(ken=0)), credit(0xFFFF), ACCEPT),
        (machine(), credit(0xFFFFFF), ACCEPT),
        (machine(), credit(MADE), TokenResult.USED_ERROR),
        (machine(), credit(MADE - 1), TokenResult.OLD_ERROR),
        (machine(), management(MADE, CLEAR_TAMPER), TokenResult.USED_ERROR),
        (machine(), management(MADE - 1, CLEAR_TAMPER), TokenResult.OLD_ERROR),
        (machine(), management(2000, CLEAR_TAMPER, 1), TokenResult.RANGE_ERROR),
        (machine(), management(2000, MAXIMUM_POWER_LIMIT, 0xFFFF), ACCEPT),
        (machine(), management(2000, PHASE_UNBALANCE_LIMIT, 0), ACCEPT),
        (machine(), management(2000, EXTENDED_SET, 0 << 10 | 123), ACCEPT),
        (machine(), management(2000, EXTENDED_SET, 63 << 10 | 1), ACCEPT),
        (machine(), management(2000, EXTENDED_SET, 1 << 10), TokenResult.FUNCTION_ERROR),
        (machine(control_indexes=frozenset({1})), management(2000, EXTENDED_SET, 1 << 10), ACCEPT),
        (machine(control_indexes=frozenset({1})), management(2000, EXTENDED_SET, 0), TokenResult.FUNCTION_ERROR),
    ],
)
def test_each_reason_has_its_result(meter: TokenMachine, token: Token, result: TokenResult) -> None:
    execution, after = entered(meter, token)
    assert execution.result is result
    assert (after == meter) == (result is not ACCEPT)
    assert (execution.token is None) == (result is TokenResult.CRC_ERROR or execution.reason.startswith("class "))


@pytest.mark.parametrize(
    ("kinds", "register", "result"),
    [
        ((KWH,), 0, ACCEPT),
        ((KWH,), 0xFFFF, ACCEPT),
        ((KWH,), 1, TokenResult.FUNCTION_ERROR),
        ((KWH,), 4, TokenResult.FUNCTION_ERROR),
        ((KWH,), 8, TokenResult.RANGE_ERROR),
        ((KWH,), 0xFFFE, TokenResult.RANGE_ERROR),
        ((MONEY,), 4, ACCEPT),
        ((MONEY,), 0, TokenResult.FUNCTION_ERROR),
        ((KWH, WATER), 1, ACCEPT),
    ],
)
def test_a_meter_clears_the_registers_it_has(kinds: tuple[TokenKind, ...], register: int, result: TokenResult) -> None:
    meter = machine((*kinds, CLEAR_CREDIT))
    assert entered(meter, management(2000, CLEAR_CREDIT, register))[0].result is result


def class_1(kind: TokenKind, mfr_code: int = 0, control: int = 2) -> Token:
    return encode(clear_token(kind, {"mfr_code": mfr_code, "control": control}))


@pytest.mark.parametrize(
    ("own_code", "takes_zero", "token_code", "result"),
    [
        (7, True, 7, ACCEPT),
        (7, True, 0, ACCEPT),
        (7, False, 0, TokenResult.MFR_CODE_ERROR),
        (0, False, 0, ACCEPT),
        (7, True, 8, TokenResult.MFR_CODE_ERROR),
    ],
)
@pytest.mark.parametrize("kind", [TEST_2, TEST_4, EXTENDED_READ])
def test_a_test_token_is_for_one_manufacturer_or_for_all(
    kind: TokenKind, own_code: int, takes_zero: bool, token_code: int, result: TokenResult
) -> None:
    meter = machine(manufacturer_code=own_code, takes_code_zero=takes_zero)
    token = class_1(kind, token_code, 0 if kind is EXTENDED_READ else 2)
    execution, after = entered(meter, token)
    assert (execution.result, after) == (result, meter)


@pytest.mark.parametrize("key_type", KeyType)
def test_a_test_token_needs_neither_key_nor_tid(key_type: KeyType) -> None:
    meter = machine(key=meter_key(kt=key_type, ken=0), consumed=[0xFFFFFF])
    for _ in range(3):
        execution, meter = entered(meter, class_1(TEST_2, control=(1 << 36) - 1), has_room=False)
        assert execution.result is ACCEPT


@pytest.mark.parametrize(
    ("kind", "control", "result"),
    [
        (TEST_2, 0x1 | 1 << 35, ACCEPT),
        (TEST_2, 0, TokenResult.FUNCTION_ERROR),
        (TEST_2, 0x800 | 0x1000 | 1 << 18, TokenResult.FUNCTION_ERROR),
        (TEST_4, (1 << 28) - 1, ACCEPT),
        (EXTENDED_READ, 63 << 30, ACCEPT),
        (EXTENDED_READ, 5 << 30, TokenResult.FUNCTION_ERROR),
    ],
)
def test_a_test_of_which_the_meter_knows_nothing_is_no_function(
    kind: TokenKind, control: int, result: TokenResult
) -> None:
    assert entered(machine(), class_1(kind, 0, control))[0].result is result


ORDER = [
    TokenResult.CRC_ERROR,
    TokenResult.FUNCTION_ERROR,
    TokenResult.DDTK_ERROR,
    TokenResult.KEY_EXPIRED_ERROR,
    TokenResult.USED_ERROR,
    TokenResult.OVERFLOW_ERROR,
    ACCEPT,
]


def test_the_order_of_the_checks() -> None:
    """A token with everything wrong, put right one thing at a time, walks through the results in their order."""
    tid = 0x20000
    wrong_key = meter_key(kt=KeyType.DEFAULT, ken=1)
    meter = machine((WATER,), wrong_key, consumed=[tid])
    walked = [entered(meter, credit(tid, key=OTHER_KEY), has_room=False)[0].result]
    walked.append(entered(meter, credit(tid), has_room=False)[0].result)
    meter = replace(meter, kinds=frozenset({KWH}))
    walked.append(entered(meter, credit(tid), has_room=False)[0].result)
    meter = replace(meter, key=meter_key(ken=1))
    walked.append(entered(meter, credit(tid), has_room=False)[0].result)
    meter = replace(meter, key=meter_key(ken=255))
    walked.append(entered(meter, credit(tid), has_room=False)[0].result)
    walked.append(entered(meter, credit(tid + 1), has_room=False)[0].result)
    walked.append(entered(meter, credit(tid + 1))[0].result)
    assert walked == ORDER


def test_the_order_of_the_checks_of_a_management_token() -> None:
    tid, register = 0x20000, 99
    meter = machine((KWH,), meter_key(kt=KeyType.DEFAULT, ken=1), consumed=[tid])
    walked = [entered(meter, management(tid, CLEAR_CREDIT, register, key=OTHER_KEY))[0].result]
    walked.append(entered(meter, management(tid, CLEAR_CREDIT, register))[0].result)
    meter = replace(meter, kinds=frozenset({KWH, CLEAR_CREDIT}))
    walked.append(entered(meter, management(tid, CLEAR_CREDIT, register))[0].result)
    meter = replace(meter, key=meter_key())
    walked.append(entered(meter, management(tid, CLEAR_CREDIT, register))[0].result)
    walked.append(entered(meter, management(MADE - 1, CLEAR_CREDIT, register))[0].result)
    walked.append(entered(meter, management(tid + 1, CLEAR_CREDIT, register))[0].result)
    walked.append(entered(meter, management(tid + 1, CLEAR_CREDIT, 1))[0].result)
    walked.append(entered(meter, management(tid + 1, CLEAR_CREDIT, 0), has_room=False)[0].result)
    assert walked == [
        TokenResult.CRC_ERROR,
        TokenResult.FUNCTION_ERROR,
        TokenResult.KEY_EXPIRED_ERROR,
        TokenResult.USED_ERROR,
        TokenResult.OLD_ERROR,
        TokenResult.RANGE_ERROR,
        TokenResult.FUNCTION_ERROR,
        ACCEPT,
    ]


def test_what_is_refused_for_its_value_is_not_consumed() -> None:
    _, after = entered(machine(), management(2000, CLEAR_CREDIT, 99))
    assert entered(after, management(2000, CLEAR_TAMPER))[0].result is ACCEPT


def test_credit_is_asked_about_only_when_all_else_is_well() -> None:
    asked: list[ClearToken] = []

    def ask(token: ClearToken) -> bool:
        asked.append(token)
        return True

    meter = machine(consumed=[2000])
    refused = (
        credit(2000),
        credit(1),
        credit(3000, WATER),
        credit(3000, key=OTHER_KEY),
        management(3000, CLEAR_TAMPER),
    )
    for token in refused:
        meter.execute(token, NOON, ask)
    assert asked == []
    meter.execute(credit(3000), NOON, ask)
    assert [token.tid for token in asked] == [3000]


def test_tokens_out_of_order_work_within_the_depth_of_the_store() -> None:
    meter = machine(tid_depth=3, consumed=[2000, 2010, 2020])
    results = [entered(meter, credit(tid))[0].result for tid in (1999, 2000, 2001, 2021)]
    assert results == [TokenResult.OLD_ERROR, TokenResult.USED_ERROR, ACCEPT, ACCEPT]


@given(lists(tuples(integers(MADE - 5, MADE + 80), booleans(), booleans()), max_size=60), integers(1, 50))
def test_no_tid_works_twice_whatever_carries_it(entries: list[tuple[int, bool, bool]], depth: int) -> None:
    meter, ledger = machine(tid_depth=depth), list[int]()
    for tid, has_room, is_credit in entries:
        token = credit(tid) if is_credit else management(tid, CLEAR_TAMPER)
        execution, meter = entered(meter, token, has_room=has_room)
        if execution.result is ACCEPT:
            ledger.append(tid)
    assert len(ledger) == len(set(ledger))
    assert meter == machine(tid_depth=depth, consumed=ledger)


def test_judging_changes_nothing() -> None:
    meter = machine(consumed=[2000])
    before = replace(meter)
    for has_room in (fits, does_not_fit):
        meter.execute(credit(3000), NOON, has_room, is_keypad=True)
    assert meter == before


def test_a_machine_does_not_show_its_key() -> None:
    octets = KEY.decoder_key.octets
    shown = repr(machine()) + repr(machine().execute(credit(2000), NOON, fits))
    assert octets.hex() not in shown.lower()
    assert repr(octets) not in shown


def test_the_results_have_the_published_numbers() -> None:
    registers = [result.register for result in TokenResult]
    assert registers == [*range(1, 17), 2, 2]
    assert [result.section for result in TokenResult] == [None, 1, 2, *[None] * 13, 3, 4]
    assert all(one < other for one, other in pairwise(TokenResult))


def test_a_new_machine_knows_one_tid_and_holds_nothing() -> None:
    new = TokenMachine.new(KEY, frozenset({KWH}), MADE)
    assert (new.tids.tids, new.sections.numbers, new.key) == ((MADE,), (), KEY)
