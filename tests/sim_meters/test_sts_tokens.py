"""The table of token types: what goes into a token comes out again, and what cannot go in is named."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, sampled_from

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.amount import AMOUNT16_MAX, CURRENCY_MAX
from sim_meters.sts.crc import CrcRule, token_crc
from sim_meters.sts.decoder_key import DecoderKey
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import TID_MAX, BaseDate
from sim_meters.sts.tokens import (
    TOKEN_KINDS,
    Commodity,
    DecodedToken,
    DecodeFailure,
    TokenKind,
    credit_kind,
    decode,
    encode_credit,
)

KEY = DecoderKey.parse("87F3ECBB2E46B48F")
UNIT_KINDS = [kind for kind in TOKEN_KINDS.values() if not kind.is_currency]
CURRENCY_KINDS = [kind for kind in TOKEN_KINDS.values() if kind.is_currency]
KEYS = binary(min_size=8, max_size=8).map(DecoderKey)
TIDS = integers(0, TID_MAX)


@given(
    key=KEYS,
    kind=sampled_from(UNIT_KINDS),
    units=integers(1, AMOUNT16_MAX),
    tid=TIDS,
    rnd=integers(0, 15),
)
def test_credit_in_units_comes_out_as_it_went_in(
    key: DecoderKey, kind: TokenKind, units: int, tid: int, rnd: int
) -> None:
    token = encode_credit(key, kind, units, tid, rnd)
    assert token.token_class is TokenClass.CREDIT
    decoded = decode(Token.parse(token.digits), key)
    assert isinstance(decoded, DecodedToken)
    assert (decoded.kind, decoded.tid, decoded.rnd) == (kind, tid, rnd)
    assert units <= decoded.units < units + 1000
    assert decoded.amount == Decimal(decoded.units) / 10
    assert decoded.currency_amount is None


@given(
    key=KEYS,
    kind=sampled_from(CURRENCY_KINDS),
    units=integers(-CURRENCY_MAX, CURRENCY_MAX).filter(bool) | integers(-(10**7), 10**7).filter(bool),
    tid=TIDS,
)
def test_credit_in_currency_comes_out_as_it_went_in(key: DecoderKey, kind: TokenKind, units: int, tid: int) -> None:
    decoded = decode(encode_credit(key, kind, units, tid), key)
    assert isinstance(decoded, DecodedToken)
    assert (decoded.kind, decoded.tid, decoded.rnd) == (kind, tid, None)
    assert decoded.units >= units, "rounding favours the customer"
    assert (decoded.units < 0) == (units < 0)


@pytest.mark.parametrize("commodity", Commodity)
@pytest.mark.parametrize("currency", [False, True])
def test_each_commodity_has_one_row_in_units_and_one_in_currency(commodity: Commodity, currency: bool) -> None:
    kind = credit_kind(commodity, currency=currency)
    assert kind.commodity is commodity
    assert kind.is_currency is currency
    assert kind.crc_rule is (CrcRule.CRC_C if currency else CrcRule.CRC)


ELECTRICITY = credit_kind(Commodity.ELECTRICITY, currency=False)
MONEY = credit_kind(Commodity.ELECTRICITY, currency=True)


@pytest.mark.parametrize(
    ("kind", "units", "tid", "rnd", "message"),
    [
        (ELECTRICITY, 0, 0, 5, "amount: expected at least one token unit; got 0"),
        (MONEY, 0, 0, None, "amount: expected at least one token unit; got 0"),
        (ELECTRICITY, -1, 0, 5, "amount: expected no negative units; got -1"),
        (ELECTRICITY, AMOUNT16_MAX + 1, 0, 5, "amount: at most 18201624 units fit in a token; got 18201625"),
        (ELECTRICITY, 1, -1, 5, "TID: expected 0 to 16777215; got -1"),
        (ELECTRICITY, 1, TID_MAX + 1, 5, "TID: expected 0 to 16777215; got 16777216"),
        (ELECTRICITY, 1, 0, 16, "rnd: expected 0 to 15; got 16"),
        (ELECTRICITY, 1, 0, -1, "rnd: expected 0 to 15; got -1"),
        (ELECTRICITY, 1, 0, None, "rnd: expected 0 to 15; got None"),
        (MONEY, 1, 0, 5, "rnd: currency tokens carry none"),
    ],
)
def test_what_does_not_fit_in_a_token_is_named(
    kind: TokenKind, units: int, tid: int, rnd: int | None, message: str
) -> None:
    with pytest.raises(SettingError) as caught:
        encode_credit(KEY, kind, units, tid, rnd)
    assert str(caught.value) == message


def token_with(token_class: TokenClass, upper_bits: int, rule: CrcRule) -> Token:
    block = upper_bits << 16 | token_crc(token_class, upper_bits, rule)
    return Token.from_block(token_class, KEY.cipher.encrypt(block))


@pytest.mark.parametrize("subclass", range(8, 16))
def test_a_reserved_subclass_is_no_function_of_this_meter(subclass: int) -> None:
    failure = decode(token_with(TokenClass.CREDIT, subclass << 44, CrcRule.CRC), KEY)
    assert failure == DecodeFailure(TokenResult.FUNCTION_ERROR, f"class 0 subclass {subclass} is reserved")


@pytest.mark.parametrize("subclass", range(16))
def test_the_wrong_crc_rule_is_a_crc_error(subclass: int) -> None:
    wrong_rule = CrcRule.CRC if 4 <= subclass <= 7 else CrcRule.CRC_C
    failure = decode(token_with(TokenClass.CREDIT, subclass << 44, wrong_rule), KEY)
    assert isinstance(failure, DecodeFailure)
    assert failure.result is TokenResult.CRC_ERROR


@pytest.mark.parametrize(
    ("token_class", "reason"),
    [
        (TokenClass.NON_METER_SPECIFIC_MANAGEMENT, "class 1 (meter test and display) is not covered yet"),
        (TokenClass.METER_SPECIFIC_MANAGEMENT, "class 2 (management and key change) is not covered yet"),
        (TokenClass.RESERVED, "class 3 is reserved by the STS Association"),
    ],
)
def test_the_other_classes_are_no_function_yet(token_class: TokenClass, reason: str) -> None:
    assert decode(Token.from_block(token_class, 0), KEY) == DecodeFailure(TokenResult.FUNCTION_ERROR, reason)


def test_the_worked_example_in_full() -> None:
    # STS531-1-07: DKGA04, EA07, 0.1 kWh, issued 2014-03-01 13:00, RND 5
    tid = BaseDate.BASE_2014.tid_at(datetime(2014, 3, 1, 13))
    token = encode_credit(KEY, ELECTRICITY, 1, tid, 5)
    assert token.digits == "70630503470028726114"
    decoded = decode(token, KEY)
    assert isinstance(decoded, DecodedToken)
    assert decoded.clear_block == 0x05014EEC00013188
    assert f"{decoded.amount} {decoded.kind.unit}" == "0.1 kWh"
