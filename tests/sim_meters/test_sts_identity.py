"""MeterPANs: both forms, both check digits, and counting them up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from, text

from cosem_objects.errors import SettingError
from sim_meters.sts.keys.identity import MeterPan, luhn_digit, luhn_valid

PUBLISHED = ["600727000000000009", "000001000000000082", "600727111111111153"]  # STS531-1 compliance meters


@pytest.mark.parametrize(
    ("digits", "iin", "drn", "manufacturer_code", "serial", "block"),
    [
        ("600727000000000009", "600727", "00000000000", "00", 0, "0072700000000000"),
        ("600727111111111153", "600727", "11111111115", "11", 11111111, "0072711111111115"),
        ("000001000000000082", "0000", "0100000000008", "0100", 0, "0000100000000008"),
    ],
)
def test_a_pan_falls_into_its_parts(
    digits: str, iin: str, drn: str, manufacturer_code: str, serial: int, block: str
) -> None:
    pan = MeterPan.parse(digits)
    assert (pan.iin, pan.drn, pan.manufacturer_code, pan.serial) == (iin, drn, manufacturer_code, serial)
    assert pan.block.hex() == block


def test_spaces_and_hyphens_do_not_count() -> None:
    assert MeterPan.parse("600727 0000-000000 09") == MeterPan("600727000000000009")


@given(pan=sampled_from(PUBLISHED), count=integers(0, 10**7))
def test_counting_up_gives_another_valid_pan_of_the_same_maker(pan: str, count: int) -> None:
    first = MeterPan(pan)
    later = first.plus(count)
    assert MeterPan.parse(later.digits) == later
    assert later.serial == first.serial + count
    assert (later.iin, later.manufacturer_code) == (first.iin, first.manufacturer_code)
    assert later.plus(-count) == first


def test_counting_stops_where_serials_end() -> None:
    last = MeterPan("600727000000000009").plus(99_999_999)
    assert last.drn.startswith("0099999999")
    with pytest.raises(SettingError, match="no PAN 1 after"):
        last.plus(1)


@given(text("0123456789", min_size=1, max_size=20), integers(0, 19), integers(1, 9))
def test_luhn_notices_every_single_wrong_digit(digits: str, place: int, change: int) -> None:
    whole = digits + luhn_digit(digits)
    assert luhn_valid(whole)
    place %= len(whole)
    wrong = whole[:place] + str((int(whole[place]) + change) % 10) + whole[place + 1 :]
    assert not luhn_valid(wrong)


@pytest.mark.parametrize("text", ["", ":0", "x", "²0", "٠"])
def test_luhn_is_about_decimal_digits(text: str) -> None:
    assert not luhn_valid(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "pan: expected 18 digits"),
        ("60072700000000000", "pan: expected 18 digits"),
        ("6007270000000000090", "pan: expected 18 digits"),
        ("60072700000000000x", "pan: expected 18 digits"),
        ("٦٠٠٧٢٧٠٠٠٠٠٠٠٠٠٠٠٩", "pan: expected 18 digits"),
        ("600728000000000008", "pan: expected the IIN 600727 or 0000 at the start"),
        ("600727123456789041", "pan: the DRN check digit of 12345678904 should be 3"),
        ("600727000000000008", "pan: the PAN check digit of 600727000000000008 should be 9"),
    ],
)
def test_a_wrong_pan_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        MeterPan.parse(text)
    assert str(caught.value).startswith(message)
