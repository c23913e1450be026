"""Key changes: sections in any order, complete sets of two, three and four, and what a new key brings and ends."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, booleans, builds, integers, sampled_from

from cosem_objects.sts_token import Token
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyType
from sim_meters.sts.machine.machine_settings import SgcAfterTwo
from sim_meters.sts.machine.token_machine import TokenMachine
from sim_meters.sts.results import SECTION_RESULTS, TokenResult
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION, KeySections, MeterKey, sections_of
from sim_meters.sts.tokens.token_table import CLEAR_TAMPER, SECTION_1, SECTION_2, SECTION_3_OF_3, SECTION_3_OF_4
from tests.sim_meters.lab_tokens import (
    KEY,
    MADE,
    NOON,
    OTHER_KEY,
    all_entered,
    credit,
    entered,
    key_change,
    machine,
    management,
    meter_key,
)
from tests.sim_meters.vector_file import KEY_CHANGES

ACCEPT = TokenResult.ACCEPT
NEW = meter_key(1, kt=KeyType.UNIQUE, ken=0x5A)
NEW_LONG = meter_key(1, ea=11, ken=0x5A)
LONG = meter_key(0, ea=11)
NAMES = {2: "two", 3: "three", 4: "four", 40: "four, from EA07 to EA11"}
SETS: dict[int, tuple[TokenMachine, MeterKey, tuple[Token, ...]]] = {
    2: (machine(), NEW, key_change(NEW, with_sgc=False)),
    3: (machine(), NEW, key_change(NEW)),
    4: (machine(key=LONG), NEW_LONG, key_change(NEW_LONG, LONG)),
    40: (machine(kct_supported=4), NEW_LONG, key_change(NEW_LONG)),
}
EVERY_SET = pytest.mark.parametrize("size", SETS, ids=NAMES.get)
MINUTE = timedelta(minutes=1)


def keys(ea: int) -> Any:
    size = 16 if ea == 11 else 8
    return builds(
        MeterKey,
        decoder_key=binary(min_size=size, max_size=size).map(lambda octets: DecoderKey(octets, ea)),
        kt=sampled_from(KeyType),
        krn=integers(1, 9),
        ti=integers(0, 99),
        sgc=integers(0, 999_999),
        ken=integers(0, 255),
    )


@given(new=keys(7) | keys(11), rollover=booleans(), with_sgc=booleans())
def test_sections_join_to_the_key_they_were_made_from(new: MeterKey, rollover: bool, with_sgc: bool) -> None:
    sections = sections_of(new, rollover=rollover, with_sgc=with_sgc)
    is_long = new.decoder_key.ea == 11
    assert len(sections) == (4 if is_long else 3 if with_sgc else 2)
    held = KeySections()
    for place, section in enumerate(sections, 1):
        assert held.complete(takes_four=is_long) is None
        assert NUMBER_OF_SECTION[section.kind] == place
        held = held.plus(section)
    made = held.complete(takes_four=is_long)
    assert made is not None
    assert (made.decoder_key, made.kt, made.krn, made.ti, made.ken) == (
        new.decoder_key,
        new.kt,
        new.krn,
        new.ti,
        new.ken,
    )
    assert (made.sgc, made.rollover) == (new.sgc if len(sections) > 2 else None, rollover)


def test_published_sets_bring_the_published_keys() -> None:
    for set_id in sorted({vector["set_id"] for vector in KEY_CHANGES} - {"sts-kct-05"}):  # its second is in sts-kct-04
        tokens = [vector for vector in KEY_CHANGES if vector["set_id"] == set_id]
        first = tokens[0]
        present = DecoderKey.parse(first["decoder_key_hex"], int(first["ea"]))
        old = MeterKey(
            decoder_key=present, kt=KeyType.UNIQUE, krn=first["krn"], ti=int(first["ti"]), sgc=int(first["sgc"])
        )
        for order in permutations(tokens):
            results, after = all_entered(machine(key=old), [Token.parse(vector["token"]) for vector in order])
            assert results[-1] is ACCEPT
            fields, key = first["fields"], after.key
            assert key.decoder_key.octets.hex() == first["new_decoder_key_hex"]
            stated = (fields["new_krn"], fields["new_kt"], int(fields["new_ti"]), fields["new_ken"])
            assert (key.krn, key.kt, key.ti, key.ken) == stated
            assert key.sgc == (int(fields["new_sgc"]) if len(tokens) == 4 else old.sgc)
            assert after.tids.tids == ((MADE,) if not fields["ro"] else after.tids.cleared().tids)


@EVERY_SET
def test_the_sections_of_a_set_may_come_in_any_order(size: int) -> None:
    meter, new, tokens = SETS[size]
    for order in permutations(range(len(tokens))):
        results, after = all_entered(meter, [tokens[place] for place in order])
        assert results == [*(SECTION_RESULTS[place] for place in order[:-1]), ACCEPT]
        expected = meter_key(1, ea=new.decoder_key.ea, ken=0x5A, sgc=new.sgc if size > 2 else KEY.sgc)
        assert after.key == expected
        assert (after.sections, after.sections_until) == (KeySections(), None)
        assert after.tids == meter.tids


@EVERY_SET
def test_until_the_last_section_the_old_key_is_in_force_and_afterwards_the_new_one(size: int) -> None:
    meter, new, tokens = SETS[size]
    for tid, token in enumerate(tokens, 2000):
        execution, meter = entered(meter, credit(tid, key=SETS[size][0].key))
        assert execution.result is ACCEPT
        assert entered(meter, credit(3000, key=new))[0].result is TokenResult.CRC_ERROR
        _, meter = entered(meter, token)
    assert entered(meter, credit(3000, key=SETS[size][0].key))[0].result is TokenResult.CRC_ERROR
    assert entered(meter, credit(2000, key=new))[0].result is TokenResult.USED_ERROR
    assert entered(meter, credit(3000, key=new))[0].result is ACCEPT
    assert all_entered(meter, tokens)[0] == [TokenResult.CRC_ERROR] * len(tokens), "the set sent again does nothing"


@EVERY_SET
def test_a_section_entered_again_replaces_the_one_before(size: int) -> None:
    meter, new, tokens = SETS[size]
    other = meter_key(7, ea=new.decoder_key.ea)
    wrong = key_change(other, meter.key, with_sgc=size != 2)
    results, after = all_entered(meter, [*wrong[:-1], *tokens])
    assert results[: len(wrong) - 1] == list(SECTION_RESULTS[: len(wrong) - 1])
    assert results[-1] is ACCEPT
    assert after.key.decoder_key == new.decoder_key
    again, after = all_entered(meter, [tokens[0], tokens[0], *tokens[1:]])
    assert again[:2] == [SECTION_RESULTS[0]] * 2
    assert after.key.decoder_key == new.decoder_key


@EVERY_SET
def test_sections_are_forgotten_some_time_after_the_last_of_them(size: int) -> None:
    meter, new, tokens = SETS[size]
    *early, last = tokens
    _, waiting = all_entered(meter, early, pause=timedelta(0))
    assert waiting.sections_until == NOON + 10 * MINUTE
    in_time, _ = entered(waiting, last, NOON + 10 * MINUTE - timedelta(seconds=1))
    assert in_time.result is ACCEPT
    late, after = entered(waiting, last, NOON + 10 * MINUTE)
    assert late.result is SECTION_RESULTS[len(tokens) - 1]
    assert after.key == meter.key
    assert after.sections.numbers == (len(tokens),)
    results, after = all_entered(after, early, NOON + 11 * MINUTE)
    assert results[-1] is ACCEPT, "the late one has begun a set of its own"
    assert after.key.decoder_key == new.decoder_key


def test_each_section_begins_the_time_anew_and_other_tokens_do_not() -> None:
    meter, new, tokens = SETS[4]
    for place, token in enumerate(tokens):
        meter = entered(meter, credit(2000 + place, key=LONG), NOON + place * 9 * MINUTE - MINUTE)[1]
        meter = entered(meter, token, NOON + place * 9 * MINUTE)[1]
    assert meter.key.decoder_key == new.decoder_key
    _, waiting = entered(machine(section_timeout_seconds=60), key_change(NEW)[0])
    assert entered(waiting, credit(2000))[1].sections_until == NOON + MINUTE


def test_two_sets_interleaved_make_the_key_of_the_later_sections() -> None:
    first, second = key_change(NEW, with_sgc=False), key_change(meter_key(2), with_sgc=False)
    results, after = all_entered(machine(), [first[0], second[0], second[1]])
    assert results == [*SECTION_RESULTS[:1] * 2, ACCEPT]
    assert after.key.decoder_key == meter_key(2).decoder_key


def test_a_set_of_two_keeps_the_supply_group_code_or_makes_it_zero() -> None:
    tokens = key_change(NEW, with_sgc=False)
    assert all_entered(machine(), tokens)[1].key.sgc == KEY.sgc != NEW.sgc
    assert all_entered(machine(sgc_after_two_sections=SgcAfterTwo.ZERO), tokens)[1].key.sgc == 0
    assert all_entered(machine(sgc_after_two_sections=SgcAfterTwo.ZERO), key_change(NEW))[1].key.sgc == NEW.sgc


def test_a_third_section_that_waits_does_not_hinder_a_set_of_two() -> None:
    third = key_change(meter_key(5))[2]
    results, after = all_entered(machine(), [third, *key_change(NEW, with_sgc=False)])
    assert results[-1] is ACCEPT
    assert (after.key.sgc, after.sections.numbers) == (KEY.sgc, ())


def section(kind: Any, **values: int) -> Token:
    given_values = {field.name: 0 for field in kind.layout} | values
    return encode(clear_token(kind, given_values), KEY.decoder_key)


@pytest.mark.parametrize(
    ("supported", "token", "result"),
    [
        (2, key_change(NEW)[0], TokenResult.FUNCTION_ERROR),
        (2, key_change(NEW, with_sgc=False)[0], TokenResult.FIRST_KEY_CHANGE_SECTION),
        (2, key_change(NEW)[2], TokenResult.FUNCTION_ERROR),
        (3, key_change(NEW)[0], TokenResult.FIRST_KEY_CHANGE_SECTION),
        (3, key_change(NEW)[2], TokenResult.THIRD_KEY_CHANGE_SECTION),
        (3, key_change(NEW_LONG)[3], TokenResult.FUNCTION_ERROR),
        (0, key_change(NEW_LONG)[3], TokenResult.FUNCTION_ERROR),
        (0, key_change(NEW_LONG)[2], TokenResult.RANGE_ERROR),
        (4, key_change(NEW_LONG)[3], TokenResult.FOURTH_KEY_CHANGE_SECTION),
        (0, section(SECTION_1, krn=0), TokenResult.RANGE_ERROR),
        (0, section(SECTION_1, krn=9), TokenResult.FIRST_KEY_CHANGE_SECTION),
        (0, section(SECTION_1, krn=10), TokenResult.RANGE_ERROR),
        (0, section(SECTION_2, ti=99), TokenResult.SECOND_KEY_CHANGE_SECTION),
        (0, section(SECTION_2, ti=100), TokenResult.RANGE_ERROR),
        (0, key_change(NEW, OTHER_KEY)[0], TokenResult.CRC_ERROR),
    ],
)
def test_a_section_that_cannot_be_is_not_held(supported: int, token: Token, result: TokenResult) -> None:
    meter = machine(kct_supported=supported)
    execution, after = entered(meter, token)
    assert execution.result is result
    assert (after.sections.numbers == ()) == (result not in SECTION_RESULTS)


def test_a_supply_group_code_beyond_six_digits_spoils_its_set() -> None:
    first, second, _ = key_change(NEW)
    results, after = all_entered(machine(), [section(SECTION_3_OF_3, sgc=1_000_000), second, first])
    assert results[-1] is TokenResult.RANGE_ERROR
    assert after == machine()
    tokens = (*key_change(NEW_LONG)[:2], section(SECTION_3_OF_4, sgc_low=0xFFF, key_word=1))
    fourth = encode(ClearToken(sections_of(NEW_LONG, rollover=False)[3].kind, 9 << 44 | 0xFFF << 32), KEY.decoder_key)
    results, after = all_entered(machine(kct_supported=4), [*tokens, fourth])
    assert results[-1] is TokenResult.RANGE_ERROR
    assert after.key == KEY


def test_a_meter_under_a_long_key_takes_no_set_of_three() -> None:
    token = key_change(NEW, LONG)[0]
    assert entered(machine(key=LONG), token)[0].result is TokenResult.FUNCTION_ERROR


def test_a_word_of_zeros_in_a_third_section_of_four_is_a_part_of_the_key() -> None:
    new = MeterKey(decoder_key=DecoderKey(bytes(range(1, 5)) + bytes(12), 11), kt=KeyType.UNIQUE, krn=2, ti=3, sgc=4097)
    for meter in (machine(kct_supported=4), machine(key=LONG)):
        for order in permutations(key_change(new, meter.key)):
            assert all_entered(meter, order)[1].key == new


@EVERY_SET
def test_a_rollover_clears_the_tids_and_nothing_else_does(size: int) -> None:
    meter, new, _ = SETS[size]
    for tid in (5_000_000, 5_000_001):
        meter = meter.with_tid(tid)
    for rollover in (False, True):
        tokens = key_change(new, meter.key, rollover=rollover, with_sgc=size != 2)
        _, after = all_entered(meter, tokens)
        low, high = credit(100, key=after.key), credit(5_000_000, key=after.key)
        assert entered(after, low)[0].result is (ACCEPT if rollover else TokenResult.OLD_ERROR)
        assert entered(after, high)[0].result is (ACCEPT if rollover else TokenResult.USED_ERROR)
        assert (after.key.krn, after.key.sgc) == (new.krn, new.sgc if size > 2 else KEY.sgc)


def test_migration_from_ea07_to_ea11_and_back() -> None:
    meter = machine(kct_supported=4)
    _, long = all_entered(meter, key_change(NEW_LONG))
    assert (long.key.decoder_key.ea, long.sections_supported) == (11, 4)
    assert entered(long, credit(2000, key=NEW_LONG))[0].result is ACCEPT
    results, _ = all_entered(long, key_change(meter_key(3, ea=11), NEW_LONG))
    assert results[-1] is ACCEPT
    assert entered(long, key_change(KEY, NEW_LONG)[0])[0].result is TokenResult.FUNCTION_ERROR


def test_sections_neither_use_nor_need_a_tid() -> None:
    meter = machine(consumed=[0xFFFFFF])
    _, after = all_entered(meter, key_change(meter_key(1)))
    assert after.key == meter_key(1)
    assert after.tids == meter.tids
    assert entered(after, management(0xFFFFFF, CLEAR_TAMPER, key=meter_key(1)))[0].result is TokenResult.USED_ERROR


def test_what_waits_does_not_show_its_part_of_a_key() -> None:
    _, waiting = all_entered(machine(), key_change(NEW)[:2])
    execution, _ = entered(machine(), key_change(NEW)[0])
    assert repr(waiting.sections) == "<KeySections (1, 2)>"
    octets = NEW.decoder_key.octets
    for shown in (repr(waiting), repr(execution), execution.reason):
        assert octets[:4].hex() not in shown
        assert str(int.from_bytes(octets[:4], "big")) not in shown
