"""The table of token types: what goes into a token comes out again, and what cannot go in is named."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, binary, data, integers, sampled_from

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import TID_MAX, BaseDate
from sim_meters.sts.tokens.amount import AMOUNT16_MAX, CURRENCY_MAX
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, clear_token, decode, encode, encode_credit
from sim_meters.sts.tokens.coding import MoneyAmount, Padding, Whole
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_kind import Commodity, Field, TokenKind
from sim_meters.sts.tokens.token_table import (
    CLEAR_TAMPER,
    SECTION_1,
    SECTION_3_OF_3,
    SECTION_3_OF_4,
    TEST_2,
    TOKEN_KINDS,
    credit_kind,
    kind_of,
)

KEY = DecoderKey.parse("87F3ECBB2E46B48F")
UNIT_KINDS = [kind for kind in TOKEN_KINDS if kind.commodity and not kind.is_currency]
CURRENCY_KINDS = [kind for kind in TOKEN_KINDS if kind.commodity and kind.is_currency]
KEYS = binary(min_size=8, max_size=8).map(DecoderKey) | binary(min_size=16, max_size=16).map(
    lambda octets: DecoderKey(octets, 11)
)
TIDS = integers(0, TID_MAX)
KIND_NAMES = {kind: f"{kind.token_class:d}.{kind.subclass} {kind.name}" for kind in TOKEN_KINDS}


def raw_values(kind: TokenKind, given_data: DataObject) -> dict[str, int]:
    """Any bits for every field that may have any."""
    return {
        field.name: given_data.draw(integers(0, (1 << field.bits) - 1), label=field.name)
        for field in kind.layout
        if not isinstance(field.coding, Padding)
    }


@pytest.mark.parametrize("kind", TOKEN_KINDS, ids=KIND_NAMES.get)
def test_the_fields_of_a_token_fill_its_block_and_do_not_overlap(kind: TokenKind) -> None:
    spans = sorted((span for field in kind.layout for span in field.spans), reverse=True)
    assert spans[0][0] == 59
    assert spans[-1][1] == 16
    for (_, lowest), (highest, _) in pairwise(spans):
        assert highest == lowest - 1
    assert sum(field.bits for field in kind.layout) == 44
    assert len({field.name for field in kind.layout}) == len(kind.layout)


def test_only_the_third_section_comes_in_two_forms() -> None:
    numbers = [(kind.token_class, kind.subclass) for kind in TOKEN_KINDS]
    twice = {number for number in numbers if numbers.count(number) > 1}
    assert twice == {(TokenClass.METER_SPECIFIC_MANAGEMENT, 8)}


@given(kind=sampled_from(TOKEN_KINDS), key=KEYS, data=data())
def test_whatever_a_token_carries_comes_out_as_it_went_in(kind: TokenKind, key: DecoderKey, data: DataObject) -> None:
    values = raw_values(kind, data)
    token = encode(clear_token(kind, values), key)
    assert token.token_class is kind.token_class
    decoded = decode(Token.parse(token.digits), key)
    assert isinstance(decoded, ClearToken)
    read_as = ClearToken(kind, decoded.upper)
    assert {name: read_as[name] for name in values} == values
    if kind.subclass != 8:
        assert decoded == read_as
        assert decoded.tid == values.get("tid")
        assert decoded.meaning(kind.value) == kind.value.coding.meaning(decoded[kind.value.name])


@given(kind=sampled_from(TOKEN_KINDS), data=data())
def test_what_a_field_means_leads_back_to_its_bits(kind: TokenKind, data: DataObject) -> None:
    for field in kind.layout:
        most = field.coding.most if isinstance(field.coding, Whole) else (1 << field.bits) - 1
        raw = data.draw(integers(0, most))
        meaning = field.coding.meaning(raw)
        is_minus_zero = isinstance(field.coding, MoneyAmount) and meaning == 0
        assert field.coding.raw(meaning) == (0 if is_minus_zero else raw)
        assert field.coding.words(raw)


@given(key=KEYS, kind=sampled_from(UNIT_KINDS), units=integers(1, AMOUNT16_MAX), tid=TIDS, rnd=integers(0, 15))
def test_credit_in_units_is_worth_what_was_asked_and_less_than_one_step_more(
    key: DecoderKey, kind: TokenKind, units: int, tid: int, rnd: int
) -> None:
    decoded = decode(encode_credit(key, kind, units, tid, rnd), key)
    assert isinstance(decoded, ClearToken)
    assert (decoded.kind, decoded.tid, decoded["rnd"]) == (kind, tid, rnd)
    assert units <= decoded.units < units + 10 ** (decoded.upper >> 14 & 0b11)
    assert decoded.amount == Decimal(decoded.units) / 10
    assert decoded.currency_amount is None


@given(
    key=KEYS,
    kind=sampled_from(CURRENCY_KINDS),
    units=integers(-CURRENCY_MAX, CURRENCY_MAX).filter(bool) | integers(-(10**7), 10**7).filter(bool),
    tid=TIDS,
)
def test_credit_in_currency_is_worth_what_was_asked_and_less_than_one_step_more(
    key: DecoderKey, kind: TokenKind, units: int, tid: int
) -> None:
    decoded = decode(encode_credit(key, kind, units, tid), key)
    assert isinstance(decoded, ClearToken)
    assert (decoded.kind, decoded.tid) == (kind, tid)
    assert decoded.currency_amount is not None
    # Money taken is rounded towards zero, from where the step above it may be one of the next exponent.
    step = 10 ** (decoded.currency_amount.exponent + (units < 0))
    assert units <= decoded.units < units + step, "rounding favours the customer"
    assert (decoded.units < 0) == (units < 0)


@pytest.mark.parametrize("commodity", Commodity)
@pytest.mark.parametrize("currency", [False, True])
def test_each_commodity_has_one_row_in_units_and_one_in_currency(commodity: Commodity, currency: bool) -> None:
    kind = credit_kind(commodity, currency=currency)
    assert kind.commodity is commodity
    assert kind.is_currency is currency
    assert kind.crc_rule is (CrcRule.CRC_C if currency else CrcRule.CRC)
    assert kind.subclass == list(Commodity).index(commodity) + 4 * currency


def test_a_new_token_type_is_one_row() -> None:
    fields = (
        Field("flow", "flow", ((59, 57), (20, 16)), Whole(0xFF)),
        Field("pad", "padding", ((56, 56),), Padding()),
        Field("place", "place", ((55, 21),), Whole((1 << 35) - 1)),
    )
    valve = TokenKind(TokenClass.METER_SPECIFIC_MANAGEMENT, 11, "SetValve", "valve", fields)
    made = clear_token(valve, {"flow": 0b101_00110, "place": 1})
    assert made.clear_block >> 16 == 0b1011_101_0 << 40 | 1 << 5 | 0b00110
    assert (made["flow"], made["place"], made["pad"], made.tid) == (0b101_00110, 1, 0, None)
    token = encode(made, KEY)
    assert ClearToken(valve, KEY.cipher.decrypt(token.block) >> 16) == made
    assert made.words == "SetValve, 1"


ELECTRICITY = credit_kind(Commodity.ELECTRICITY, currency=False)
MONEY = credit_kind(Commodity.ELECTRICITY, currency=True)


@pytest.mark.parametrize(
    ("kind", "units", "tid", "rnd", "message"),
    [
        (ELECTRICITY, 0, 0, 5, "amount: expected at least one token unit; got 0"),
        (MONEY, 0, 0, None, "amount: expected at least one token unit; got 0"),
        (ELECTRICITY, -1, 0, 5, "amount: expected no negative units; got -1"),
        (ELECTRICITY, AMOUNT16_MAX + 1, 0, 5, "amount: at most 18201624 units fit in a token; got 18201625"),
        (ELECTRICITY, 1, -1, 5, "tid: electricity credit needs it, in 24 bits; got -1"),
        (ELECTRICITY, 1, TID_MAX + 1, 5, "tid: electricity credit needs it, in 24 bits; got 16777216"),
        (ELECTRICITY, 1, 0, 16, "rnd: electricity credit needs it, in 4 bits; got 16"),
        (ELECTRICITY, 1, 0, None, "rnd: electricity credit needs it, in 4 bits; got None"),
        (MONEY, 1, 0, 5, "rnd: electricity currency credit carries none"),
        (SECTION_1, 1, 0, 5, "Set1stSectionDecoderKey: expected a credit token"),
    ],
)
def test_what_does_not_fit_in_a_token_is_named(
    kind: TokenKind, units: int, tid: int, rnd: int | None, message: str
) -> None:
    with pytest.raises(SettingError) as caught:
        encode_credit(KEY, kind, units, tid, rnd)
    assert str(caught.value) == message


def test_only_class_1_does_without_a_key() -> None:
    test = clear_token(TEST_2, {"control": 1, "mfr_code": 0})
    assert decode(encode(test)) == test
    credit = clear_token(ELECTRICITY, {"rnd": 5, "tid": 1, "transfer_amount_units": 1})
    with pytest.raises(SettingError, match=r"^key: electricity credit is encrypted, and needs one"):
        encode(credit)
    with pytest.raises(SettingError, match=r"^key: a token of class 0 is encrypted, and needs one"):
        decode(encode(credit, KEY))


def token_with(token_class: TokenClass, upper_bits: int, rule: CrcRule) -> Token:
    block = upper_bits << 16 | token_crc(token_class, upper_bits, rule)
    is_clear = token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    return Token.from_block(token_class, block if is_clear else KEY.cipher.encrypt(block))


KNOWN = {(kind.token_class, kind.subclass) for kind in TOKEN_KINDS}


@pytest.mark.parametrize("token_class", list(TokenClass)[:3])
@pytest.mark.parametrize("subclass", range(16))
def test_a_reserved_subclass_is_no_function_of_this_meter(token_class: TokenClass, subclass: int) -> None:
    decoded = decode(token_with(token_class, subclass << 44, CrcRule.CRC), KEY)
    if (token_class, subclass) not in KNOWN:
        assert isinstance(decoded, DecodeFailure)
        assert decoded.result is TokenResult.FUNCTION_ERROR
        assert f"class {token_class:d} subclass {subclass}" in decoded.reason
    elif token_class is TokenClass.CREDIT and subclass >= 4:
        assert isinstance(decoded, DecodeFailure)
        assert decoded.result is TokenResult.CRC_ERROR
    else:
        assert isinstance(decoded, ClearToken)


@pytest.mark.parametrize("token_class", list(TokenClass)[:3])
@pytest.mark.parametrize("subclass", range(16))
def test_the_wrong_crc_rule_is_a_crc_error(token_class: TokenClass, subclass: int) -> None:
    is_currency = token_class is TokenClass.CREDIT and 4 <= subclass <= 7
    failure = decode(token_with(token_class, subclass << 44, CrcRule.CRC if is_currency else CrcRule.CRC_C), KEY)
    assert isinstance(failure, DecodeFailure)
    assert failure.result is TokenResult.CRC_ERROR


def test_class_3_is_reserved_whatever_it_carries() -> None:
    reserved = DecodeFailure(TokenResult.FUNCTION_ERROR, "class 3 is reserved by the STS Association")
    for block in (0, 1, (1 << 64) - 1):
        assert decode(Token.from_block(TokenClass.RESERVED, block & ~(0b11 << 27)), KEY) == reserved


def test_the_third_section_is_told_by_the_key_and_by_its_padding() -> None:
    management = TokenClass.METER_SPECIFIC_MANAGEMENT
    assert kind_of(management, 8, upper=8 << 44 | 123456 << 20, ea=7) is SECTION_3_OF_3
    assert kind_of(management, 8, upper=8 << 44 | 123456 << 20 | 1, ea=7) is SECTION_3_OF_4
    assert kind_of(management, 8, upper=8 << 44 | 123456 << 20, ea=11) is SECTION_3_OF_4


def test_a_key_change_section_does_not_show_its_part_of_the_key() -> None:
    values = {"ken_high": 15, "krn": 1, "ro": 0, "three_kct": 0, "kt": 2, "key_word": 0xDEADBEEF}
    shown = repr(clear_token(SECTION_1, values)) + clear_token(SECTION_1, values).words
    assert "deadbeef" not in shown.lower()
    assert str(0xDEADBEEF) not in shown


# IEC 62055-41 worked example and STS531-1-07 compliance tokens; RND is 5 where there is one.
@pytest.mark.parametrize(
    ("key", "kind", "values", "block", "digits"),
    [
        ("87F3ECBB2E46B48F", ELECTRICITY, {"transfer_amount_units": 1}, 0x05014EEC00013188, "70630503470028726114"),
        (
            "929BD3A415C9420A05EC5EE9F3CE91C3",
            ELECTRICITY,
            {"transfer_amount_units": 1},
            0x05014EEC00013188,
            "58625789986991357486",
        ),
    ],
)
def test_the_worked_examples_in_full(
    key: str, kind: TokenKind, values: dict[str, int], block: int, digits: str
) -> None:
    tid = BaseDate.BASE_2014.tid_at(datetime(2014, 3, 1, 13))
    clear = clear_token(kind, {"rnd": 5, "tid": tid, **values})
    decoder_key = DecoderKey.parse(key, 7 if len(key) == 16 else 11)
    assert clear.clear_block == block
    assert encode(clear, decoder_key).digits == digits
    assert decode(Token.parse(digits), decoder_key) == clear
    assert clear.words == "electricity credit, 0.1 kWh"


def test_padding_is_zero_unless_somebody_asks_for_something_else() -> None:
    values = {"rnd": 1, "tid": 2}
    assert clear_token(CLEAR_TAMPER, values)["pad"] == 0
    assert clear_token(CLEAR_TAMPER, {**values, "pad": 3})["pad"] == 3
    assert clear_token(CLEAR_TAMPER, values).words == "ClearTamperCondition"
