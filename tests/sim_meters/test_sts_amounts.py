"""Amounts: exact, and rounded in the customer's favour."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis.strategies import decimals, integers

from cosem_objects.errors import SettingError
from sim_meters.sts.tokens.amount import (
    AMOUNT16_MAX,
    CURRENCY_MAX,
    CurrencyAmount,
    amount_of,
    decode_amount16,
    encode_amount16,
    parse_amount,
    units_for,
)

EVERY_AMOUNT16 = [decode_amount16(field) for field in range(1 << 16)]


@pytest.mark.parametrize(
    ("field", "units"),
    [
        # first and last of each exponent, from the formula of IEC 62055-41
        (0x0000, 0),
        (0x3FFF, 16383),
        (0x4000, 16384),
        (0x7FFF, 180214),
        (0x8000, 180224),
        (0xBFFF, 1818524),
        (0xC000, 1818624),
        (0xFFFF, 18201624),
    ],
)
def test_an_amount_field_is_worth_what_the_formula_says(field: int, units: int) -> None:
    assert decode_amount16(field) == units
    assert encode_amount16(units) == field


def test_larger_fields_are_worth_more_and_each_encodes_to_itself() -> None:
    assert sorted(set(EVERY_AMOUNT16)) == EVERY_AMOUNT16
    assert [encode_amount16(units) for units in EVERY_AMOUNT16] == list(range(1 << 16))


@given(integers(1, AMOUNT16_MAX))
def test_the_customer_gets_the_smallest_amount_that_covers_what_was_asked(units: int) -> None:
    field = encode_amount16(units)
    assert decode_amount16(field) >= units
    assert decode_amount16(field - 1) < units


@given(integers(1, CURRENCY_MAX) | integers(1, 10**12))
def test_money_given_rounds_up_by_less_than_one_step(units: int) -> None:
    coded = CurrencyAmount.encode(units)
    assert coded.units >= units
    assert not coded.negative
    assert one_step_down(coded) < units


@given(integers(1, CURRENCY_MAX) | integers(1, 10**12))
def test_money_taken_rounds_towards_zero_by_less_than_one_step(units: int) -> None:
    coded = CurrencyAmount.encode(-units)
    assert -units <= coded.units < 0
    assert -one_step_up(coded) < -units


@given(integers(0, 1), integers(0, 31), integers(0, (1 << 14) - 1))
def test_currency_fields_survive_the_way_through_a_token(sign: int, exponent: int, mantissa: int) -> None:
    coded = CurrencyAmount(bool(sign), exponent, mantissa)
    assert CurrencyAmount.decode(coded.se_nibble, coded.field) == coded
    assert 0 <= coded.se_nibble <= 15
    assert 0 <= coded.field <= 0xFFFF
    if coded.units:
        assert CurrencyAmount.encode(coded.units) == coded


@pytest.mark.parametrize("exponent", range(32))
def test_at_the_ends_of_each_exponent_currency_is_exact_and_beyond_them_in_the_customers_favour(exponent: int) -> None:
    first, last = CurrencyAmount(False, exponent, 0).units, CurrencyAmount(False, exponent, (1 << 14) - 1).units
    assert first == sum(10**power << 14 for power in range(exponent))
    assert last == first + 10**exponent * 16383
    for units in (first, last):
        assert CurrencyAmount.encode(units).units == units
        assert CurrencyAmount.encode(-units).units == -units
    if exponent:
        before = CurrencyAmount(False, exponent - 1, (1 << 14) - 1).units
        assert CurrencyAmount.encode(before + 1).units == first
        assert CurrencyAmount.encode(1 - first).units == -before
    if exponent < 31:
        assert CurrencyAmount.encode(last + 1).units == CurrencyAmount(False, exponent + 1, 0).units
        assert CurrencyAmount.encode(-last - 1).units == (-last if exponent else -last - 1)


def one_step_down(coded: CurrencyAmount) -> int:
    if coded.mantissa:
        return CurrencyAmount(False, coded.exponent, coded.mantissa - 1).units
    return CurrencyAmount(False, coded.exponent - 1, (1 << 14) - 1).units


def one_step_up(coded: CurrencyAmount) -> int:
    """The next larger magnitude."""
    if coded.mantissa < (1 << 14) - 1:
        return CurrencyAmount(False, coded.exponent, coded.mantissa + 1).units
    if coded.exponent == 31:
        return CURRENCY_MAX + 1
    return CurrencyAmount(False, coded.exponent + 1, 0).units


@pytest.mark.parametrize(
    ("units", "exponent", "mantissa", "decoded"),
    [(100_000, 1, 8362, 100_004), (-100_000, 1, 8361, -99_994)],  # STS531-1-07 CTSA20
)
def test_published_currency_amounts(units: int, exponent: int, mantissa: int, decoded: int) -> None:
    coded = CurrencyAmount.encode(units)
    assert (coded.exponent, coded.mantissa, coded.units) == (exponent, mantissa, decoded)


@pytest.mark.parametrize(
    ("asked", "decimals_count", "units"),
    [
        ("25.6", 1, 256),
        ("0.1", 1, 1),
        ("0.01", 1, 1),
        ("25.61", 1, 257),
        ("25.60000000000000000000000000000000000001", 1, 257),
        (".5", 1, 5),
        ("7.", 1, 70),
        ("+1", 5, 100_000),
        ("-1", 5, -100_000),
        ("-1.000009", 5, -100_000),
        ("0", 1, 0),
    ],
)
def test_an_asked_amount_becomes_units_in_the_customers_favour(asked: str, decimals_count: int, units: int) -> None:
    assert units_for(parse_amount(asked), decimals_count) == units


@given(decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=7))
def test_the_encoded_amount_is_never_below_what_was_asked(asked: Decimal) -> None:
    encoded = amount_of(units_for(asked, 5), 5)
    assert 0 <= Fraction(encoded) - Fraction(asked) < Fraction(1, 10**5)


@given(integers(-CURRENCY_MAX, CURRENCY_MAX))
def test_an_amount_in_decimals_is_exact(units: int) -> None:
    assert Fraction(amount_of(units, 5)) * 10**5 == units


@pytest.mark.parametrize("text", ["", "-", ".", "1e3", "1,5", "25.6 kWh", "NaN", "inf", "٣", "1" * 41, "0x10", "1_0"])
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^amount: expected a decimal number such as 25.6"):
        parse_amount(text)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^amount: at most 18201624 units"):
        encode_amount16(AMOUNT16_MAX + 1)
    with pytest.raises(SettingError, match=r"^amount: expected no negative units"):
        encode_amount16(-1)
    for units in (CURRENCY_MAX + 1, -CURRENCY_MAX - 1):
        with pytest.raises(SettingError, match=r"^amount: between"):
            CurrencyAmount.encode(units)
