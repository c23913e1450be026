"""Keypad lock-out: how long, for what, and what ends it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from

from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.machine.lock_out import LockOut, LockOutRule
from sim_meters.sts.machine.machine_settings import LockOutScope
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tokens.clear_token import clear_token, encode
from sim_meters.sts.tokens.token_table import TEST_2
from tests.sim_meters.lab_tokens import NOON, OTHER_KEY, credit, entered, key_change, machine, meter_key

SECOND = timedelta(seconds=1)
WRONG = credit(1, key=OTHER_KEY)
TEST = encode(clear_token(TEST_2, {"mfr_code": 0, "control": 2}))
WRONG_TEST = Token(TEST.number ^ 1)
FOREIGN_TEST = encode(clear_token(TEST_2, {"mfr_code": 9, "control": 2}))


def typed(meter: TokenMachine, token: Token, now: datetime = NOON) -> tuple[TokenResult, TokenMachine]:
    execution, after = entered(meter, token, now, is_keypad=True)
    return execution.result, after


def after_wrong(count: int, meter: TokenMachine | None = None) -> TokenMachine:
    meter = meter or machine()
    for _ in range(count):
        result, meter = typed(meter, WRONG)
        assert result is TokenResult.CRC_ERROR
    return meter


def test_the_third_wrong_entry_locks_and_each_further_one_doubles_the_delay() -> None:
    meter, now, delays = after_wrong(2), NOON, []
    for _ in range(10):
        result, meter = typed(meter, WRONG, now)
        assert result is TokenResult.CRC_ERROR
        assert meter.lock_out.until is not None
        delays.append((meter.lock_out.until - now).total_seconds())
        now = meter.lock_out.until
        result, still = typed(meter, credit(2000), now - SECOND)
        assert (result, still) == (TokenResult.LOCKOUT, meter), "what is typed while it waits counts for nothing"
    assert delays == [10, 20, 40, 80, 160, 320, 640, 1280, 1280, 1280]
    assert typed(meter, credit(2000), now)[0] is TokenResult.ACCEPT


@given(after=integers(1, 100), first=integers(1, 86_400), longest=integers(1, 86_400), failures=integers(0, 10**6))
def test_a_delay_never_shrinks_nor_passes_the_longest(after: int, first: int, longest: int, failures: int) -> None:
    rule = LockOutRule(after, first, longest)
    assert (rule.seconds(failures) == 0) == (failures < after)
    assert rule.seconds(failures) <= rule.seconds(failures + 1) <= longest


def test_class_1_passes_a_lock_and_does_not_end_it() -> None:
    locked = after_wrong(3)
    assert typed(locked, TEST) == (TokenResult.ACCEPT, locked)


@pytest.mark.parametrize("token", [WRONG_TEST, FOREIGN_TEST])
def test_a_wrong_class_1_token_counts_as_any_other(token: Token) -> None:
    result, meter = typed(after_wrong(2), token)
    assert result in (TokenResult.CRC_ERROR, TokenResult.MFR_CODE_ERROR)
    assert typed(meter, credit(2000))[0] is TokenResult.LOCKOUT


@pytest.mark.parametrize("token", [credit(2000), key_change(meter_key(1))[0]])
def test_a_token_for_this_meter_that_is_taken_ends_the_count(token: Token) -> None:
    result, meter = typed(after_wrong(2), token)
    assert result in (TokenResult.ACCEPT, *SECTION_RESULTS)
    assert meter.lock_out == LockOut()
    assert typed(after_wrong(2, meter), WRONG)[1].lock_out.until is not None


def test_a_class_1_token_does_not_end_the_count() -> None:
    _, meter = typed(after_wrong(2), TEST)
    assert typed(meter, WRONG)[1].lock_out.until is not None


def test_an_old_a_used_and_an_overflowing_token_have_the_right_digits() -> None:
    meter = machine(consumed=[2000])
    for _ in range(5):
        for token, has_room in ((credit(2000), True), (credit(1), True), (credit(3000), False)):
            execution, meter = entered(meter, token, has_room=has_room, is_keypad=True)
            assert execution.result not in (TokenResult.ACCEPT, TokenResult.LOCKOUT)
    assert meter.lock_out == LockOut()


@pytest.mark.parametrize(
    ("scope", "keypad_locks", "wire_locks"),
    [(LockOutScope.OFF, False, False), (LockOutScope.KEYPAD, True, False), (LockOutScope.ALL, True, True)],
)
def test_which_entries_count_and_are_turned_away(scope: LockOutScope, keypad_locks: bool, wire_locks: bool) -> None:
    for is_keypad, locks in ((True, keypad_locks), (False, wire_locks)):
        meter = machine(lock_out=scope)
        for _ in range(3):
            meter = entered(meter, WRONG, is_keypad=is_keypad)[1]
        expected = TokenResult.LOCKOUT if locks else TokenResult.ACCEPT
        assert entered(meter, credit(2000), is_keypad=is_keypad)[0].result is expected


def test_a_token_over_the_wire_passes_a_locked_keypad_and_opens_it() -> None:
    execution, meter = entered(after_wrong(3), credit(2000))
    assert execution.result is TokenResult.ACCEPT
    assert typed(meter, credit(2001))[0] is TokenResult.ACCEPT


def test_what_is_no_token_counts_and_is_turned_away_too() -> None:
    meter = machine()
    for _ in range(3):
        assert not meter.is_locked(None, NOON, is_keypad=True)
        meter = meter.with_entry(TokenResult.FORMAT_ERROR, None, NOON, is_keypad=True)
    assert meter.is_locked(None, NOON, is_keypad=True)
    assert not meter.is_locked(None, NOON, is_keypad=False)
    assert not meter.is_locked(TokenClass.NON_METER_SPECIFIC_MANAGEMENT, NOON, is_keypad=True)


def test_a_power_failure_ends_the_lock_and_nothing_else() -> None:
    meter = after_wrong(3, entered(machine(), key_change(meter_key(1))[0])[1])
    restarted = meter.powered_up()
    assert typed(restarted, credit(2000))[0] is TokenResult.ACCEPT
    assert (restarted.sections, restarted.key, restarted.tids) == (meter.sections, meter.key, meter.tids)


@given(lists(sampled_from([WRONG, TEST, WRONG_TEST, credit(2000), credit(2001)]), max_size=30), integers(0, 25))
def test_a_lock_always_ends_by_itself(tokens: list[Token], pause: int) -> None:
    meter, now = machine(), NOON
    for token in tokens:
        meter, now = typed(meter, token, now)[1], now + pause * SECOND
    assert typed(meter, credit(3000), now + 1280 * SECOND)[0] is TokenResult.ACCEPT


def test_settings_make_the_rule() -> None:
    meter = machine(lock_out_after=1, lock_out_first_seconds=60, lock_out_longest_seconds=90)
    _, meter = typed(meter, WRONG)
    assert meter.lock_out.until == NOON + 60 * SECOND
    _, meter = typed(meter, WRONG, NOON + 60 * SECOND)
    assert meter.lock_out.until == NOON + 150 * SECOND
