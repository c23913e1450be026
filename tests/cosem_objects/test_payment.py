"""The neighbours of the Token gateway: Account, Credit, IEC 62055-41 attributes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr, payment
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.payment import (
    CREDIT_STATUS_FLAGS,
    AccountAttribute,
    AccountModeAndStatus,
    CreditAttribute,
    Currency,
    CurrencyUnit,
    StsAttribute,
)
from tests.cosem_objects.strategies import data_objects


@pytest.mark.parametrize(
    ("attribute", "number"),
    [  # fact sheet 2.1, 2.2, 2.4
        (AccountAttribute.MODE_AND_STATUS, 2),
        (AccountAttribute.CURRENT_CREDIT_STATUS, 4),
        (AccountAttribute.AVAILABLE_CREDIT, 5),
        (AccountAttribute.AMOUNT_TO_CLEAR, 6),
        (AccountAttribute.TOKEN_GATEWAY_CONFIGURATION, 12),
        (AccountAttribute.CURRENCY, 15),
        (AccountAttribute.MAX_PROVISION_PERIOD, 19),
        (CreditAttribute.CURRENT_CREDIT_AMOUNT, 2),
        (CreditAttribute.STATUS, 8),
        (CreditAttribute.PERIOD, 11),
        (StsAttribute.METER_PAN, 2),
        (StsAttribute.SUPPLY_GROUP_CODE, 6),
        (StsAttribute.TARIFF_INDEX, 7),
        (StsAttribute.KEY_REVISION_NUMBER, 8),
        (StsAttribute.KEY_TYPE, 9),
        (StsAttribute.KEY_EXPIRY_NUMBER, 10),
        (StsAttribute.STS_CERTIFICATE_NO, 12),
    ],
)
def test_an_attribute_has_the_number_of_the_standard(attribute: int, number: int) -> None:
    assert attribute == number


currencies = st.builds(
    Currency,
    st.text(st.characters(categories=["L", "N"]), max_size=8),
    st.integers(-128, 127),
    st.sampled_from(CurrencyUnit),
)


@given(currencies)
def test_every_currency_comes_back_as_it_was(currency: Currency) -> None:
    assert Currency.from_data(axdr.decode(axdr.encode(currency.to_data()))) == currency


@pytest.mark.parametrize(
    ("scale", "raw", "amount"),
    [
        (-5, 5_000_000, "50.00000"),
        (-5, -(2**31), "-21474.83648"),
        (-3, 25_600, "25.600"),
        (-1, 256, "25.6"),
        (0, 7, "7"),
        (2, 7, "700"),
        (-128, 1, "1E-128"),
        (127, 2**31 - 1, "2147483647E+127"),
    ],
)
def test_an_amount_is_exact(scale: int, raw: int, amount: str) -> None:
    assert Currency("ZAR", scale, CurrencyUnit.MONETARY).amount(raw) == Decimal(amount)


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-128, 127))
def test_no_digit_of_an_amount_is_lost(raw: int, scale: int) -> None:
    amount = Currency("x", scale, CurrencyUnit.TIME).amount(raw)
    assert amount.as_tuple().exponent == scale
    assert int(amount.scaleb(-scale)) == raw


def test_the_name_may_come_in_any_text_type_and_with_blanks_around_it() -> None:
    for name in (axdr.octet_string(b"ZAR"), axdr.visible_string(" ZAR "), axdr.utf8_string("ZAR\n")):
        currency = Currency.from_data(axdr.structure(name, axdr.integer(-2), axdr.enum(2)))
        assert currency == Currency("ZAR", -2, CurrencyUnit.MONETARY)


@pytest.mark.parametrize(
    "data",
    [
        axdr.NULL,
        axdr.structure(),
        axdr.structure(axdr.utf8_string("ZAR"), axdr.integer(-2)),
        axdr.structure(axdr.enum(2), axdr.integer(-2), axdr.enum(2)),
        axdr.structure(axdr.utf8_string("ZAR"), axdr.NULL, axdr.enum(2)),
        axdr.structure(axdr.utf8_string("ZAR"), axdr.integer(-2), axdr.enum(3)),
        # A scale is one octet; a larger one would make amounts that no decimal can hold.
        axdr.structure(axdr.utf8_string("ZAR"), axdr.double_long(5_000_000), axdr.enum(2)),
        axdr.structure(axdr.utf8_string("ZAR"), axdr.double_long(-(2**31)), axdr.enum(2)),
        axdr.structure(axdr.utf8_string("ZAR"), axdr.unsigned(128), axdr.enum(2)),
    ],
    ids=repr,
)
def test_what_is_no_currency_is_the_meters_fault(data: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        Currency.from_data(data)


numbers = st.one_of(
    st.builds(axdr.double_long, st.integers(-(2**31), 2**31 - 1)),
    st.builds(axdr.long64_unsigned, st.integers(0, 2**64 - 1)),
    st.builds(axdr.enum, st.integers(0, 255)),
    st.builds(axdr.integer, st.integers(-128, 127)),
)
nearly_structures = st.lists(data_objects | numbers | st.builds(axdr.utf8_string, st.text(max_size=5)), max_size=4).map(
    lambda elements: axdr.structure(*elements)
)


@given(nearly_structures | data_objects)
def test_any_value_is_an_attribute_of_the_account_or_a_remote_error(data: Data) -> None:
    try:
        currency = Currency.from_data(data)
        assert currency.amount(2**31 - 1) is not None
    except RemoteProtocolError:
        pass
    try:
        account = AccountModeAndStatus.from_data(data)
        assert isinstance(account.payment_mode, int)
    except RemoteProtocolError:
        pass
    try:
        pan = payment.meter_pan_from_data(data)
        assert len(pan) == 18
        assert pan.isdigit()
    except RemoteProtocolError:
        pass


@given(st.integers(0, 255), st.integers(0, 255))
def test_mode_and_status_are_kept_known_or_not(mode: int, status: int) -> None:
    # Circutor swaps two of the states: a number is all that the class can vouch for.
    account = AccountModeAndStatus(mode, status)
    assert AccountModeAndStatus.from_data(account.to_data()) == account


@given(st.frozensets(st.sampled_from(CREDIT_STATUS_FLAGS)))
def test_every_set_of_credit_flags_comes_back_as_it_was(flags: frozenset[str]) -> None:
    bits = payment.credit_status_bits(flags)
    assert len(bits) == 8
    assert payment.credit_status_flags(bits) == flags


@pytest.mark.parametrize(("bits", "flags"), [("", set()), ("01", {"low_credit"}), ("0000001011", {"out_of_credit"})])
def test_more_or_fewer_bits_than_eight_are_understood(bits: str, flags: set[str]) -> None:
    # Gurux writes a wrong count for bit-strings that are not a multiple of 8.
    assert payment.credit_status_flags(bits) == flags


@pytest.mark.parametrize(
    ("pan", "numbers"),
    [
        ("600727000000000009", (600727, 0, 9)),
        ("600727123456789011", (600727, 12345678901, 1)),
        ("000012345678901236", (0, 1234567890123, 6)),
        ("000000000000000000", (0, 0, 0)),
    ],
)
def test_the_meter_pan_is_iin_drn_and_check_digit(pan: str, numbers: tuple[int, int, int]) -> None:
    data = payment.meter_pan_to_data(pan)
    assert tuple(element.integer for element in data.elements) == numbers
    assert payment.meter_pan_from_data(axdr.decode(axdr.encode(data))) == pan


@given(st.sampled_from(["600727", "0000", "999999", "100000"]), st.data())
def test_every_meter_pan_comes_back_as_it_was(iin: str, data: st.DataObject) -> None:
    rest = data.draw(st.text("0123456789", min_size=18 - len(iin), max_size=18 - len(iin)))
    assert payment.meter_pan_from_data(payment.meter_pan_to_data(iin + rest)) == iin + rest


@pytest.mark.parametrize(
    "data",
    [
        axdr.NULL,
        axdr.structure(axdr.double_long_unsigned(600727), axdr.long64_unsigned(1)),
        axdr.structure(axdr.utf8_string("600727"), axdr.long64_unsigned(1), axdr.unsigned(1)),
        axdr.structure(axdr.double_long(-600727), axdr.long64_unsigned(1), axdr.unsigned(1)),
        axdr.structure(axdr.double_long_unsigned(1_000_000), axdr.long64_unsigned(1), axdr.unsigned(1)),
        axdr.structure(axdr.double_long_unsigned(600727), axdr.long64_unsigned(10**11), axdr.unsigned(1)),
        axdr.structure(axdr.double_long_unsigned(0), axdr.long64_unsigned(10**13), axdr.unsigned(1)),
        axdr.structure(axdr.double_long_unsigned(600727), axdr.long64_unsigned(1), axdr.unsigned(10)),
        axdr.structure(axdr.double_long_unsigned(600727), axdr.long64_unsigned(1), axdr.integer(-1)),
    ],
    ids=repr,
)
def test_what_makes_no_18_digits_is_no_meter_pan(data: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        payment.meter_pan_from_data(data)
