"""``simmeters sts decode``: every field of every type, and why a token does not open."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.commands.diagnosis import search_digits, search_keys
from sim_meters.sts.commands.token_picture import field_table, picture
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes, KeyType
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, clear_token, decode, encode
from sim_meters.sts.tokens.coding import Padding
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import RESERVED, TOKEN_KINDS
from tests.sim_meters.sts_command_line import DECODER, TOKEN, VECTOR_FILE, VENDING, VENDING_KEY, answer, printed

VECTORS = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))["vectors"]
KEY = DecoderKey.parse(DECODER[1])
ATTRIBUTES = KeyAttributes.parse("600727000000000009", "201457")
BASE_DATE = BaseDate.BASE_2014


@st.composite
def clear_tokens(draw: st.DrawFn) -> ClearToken:
    kind: TokenKind = draw(st.sampled_from(TOKEN_KINDS))
    fields = [field for field in kind.layout if not isinstance(field.coding, Padding)]
    return clear_token(kind, {field.name: draw(st.integers(0, (1 << field.bits) - 1)) for field in fields})


# What is printed of a token that opens.


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_every_field_of_a_published_token_is_told(vector: dict[str, Any]) -> None:
    key = ["--decoder-key", vector["decoder_key_hex"], "--ea", vector["ea"]] if "ea" in vector else []
    base_date = ["--base-date", str(vector["base_date"])] if "base_date" in vector else []
    opened = answer("decode", *key, *base_date, vector["token"])
    assert opened["verified"] is True
    assert opened["clear_block_hex"] == vector["clear_block_hex"]
    assert opened["crc_hex"] == vector["crc_hex"]
    stated = vector["fields"]
    for name in ("rnd", "tid", "control", "mfr_code", "register", "amount_field", "exponent", "mantissa"):
        if name in stated:
            assert opened[name] == stated[name], name
    if "value_field" in stated:
        assert opened["fields"][-1]["raw"] == stated["value_field"]
    for name in ("krn", "kt", "ro", "three_kct"):
        if name in opened:
            assert opened[name] == stated[name if name in stated else f"new_{name}"], name


@given(clear_tokens())
def test_the_picture_shows_all_66_bits_and_a_name_below_each_field(token: ClearToken) -> None:
    bits, *labels = picture(token)
    assert bits.replace(" ", "") == f"{token.kind.token_class:02b}{token.clear_block:064b}"
    columns = [0, *(place + 1 for place, letter in enumerate(bits) if letter == " ")]
    spans = [(span, field.label) for field in token.kind.layout for span in field.spans]
    names = ["class", "subclass", *(label for _, label in sorted(spans, reverse=True)), "CRC"]
    assert len(names) == len(columns)
    for column, name in zip(columns, names, strict=True):
        above = [line[column : column + len(name)] for line in labels]
        depth = above.index(name)
        assert all(text.startswith("|") for text in above[:depth]), name
    assert max(map(len, [bits, *labels])) <= 100


@given(clear_tokens())
def test_the_table_has_a_line_for_each_field(token: ClearToken) -> None:
    head, *rows = field_table(token, BASE_DATE)
    assert head.split() == ["field", "bits", "hex", "meaning"]
    assert {row[: head.index("bits")].strip() for row in rows} == {
        "class",
        "subclass",
        "CRC",
        *(field.label for field in token.kind.layout),
    }
    for field in token.kind.layout:
        row = next(row for row in rows if row.startswith(f"{field.label}  "))
        assert f"{field.read(token.upper):0{-(-field.bits // 4)}x}" in row


def test_class_1_needs_no_key() -> None:
    text = printed("decode", "56493153725450313471")  # STS531-1, CTSA02
    assert "the CRC fits; class 1 needs no key" in text
    assert "0xfffffffff (all)" in text


def test_money_is_told_with_its_sign_exponent_and_mantissa() -> None:
    text = printed("decode", *DECODER, "42334201269947232996")  # STS531-1-07, CTSA20
    assert "1.00004 base currency (encoded 100004 x 0.00001 base currency)" in text
    assert "s 0, exponent 1, mantissa 8362, se nibble 0" in text
    assert "fits (CRC_C)" in text


def test_a_third_section_that_could_be_of_two_sets_is_said_to_be() -> None:
    note = "only its set can tell"
    assert note in printed("decode", *DECODER, "39620459059615037790")  # STS531-1-07, CTSA05
    assert note not in printed("decode", *DECODER, TOKEN)


@pytest.mark.parametrize(
    ("ken", "expired", "said"),
    [
        ("0", True, "KEN 0: EXPIRED, the key ended at 2014-02-15 12:15"),
        ("1", False, "KEN 1: the key is good until 2014-04-02 00:31"),
        ("255", False, "KEN 255: the key never expires"),
    ],
)
def test_a_key_expiry_number_is_held_against_the_tid(ken: str, expired: bool, said: str) -> None:
    assert answer("decode", *DECODER, "--ken", ken, TOKEN)["expired"] is expired
    assert said in printed("decode", *DECODER, "--ken", ken, TOKEN)


# What is printed of a token that does not.


def test_both_sums_of_a_token_that_does_not_open_are_told() -> None:
    wrong = TOKEN[:-1] + "5"
    block = KEY.cipher.decrypt(Token.parse(wrong).block)
    failure = answer("decode", *DECODER, wrong, code=1)
    assert failure["crc"] == {
        "stated_hex": f"{block & 0xFFFF:04x}",
        "computed_hex": f"{token_crc(0, block >> 16, rule_of(block)):04x}",
    }
    assert failure["mistyped"]["fits"] == [
        {"change": "digit 20 is 4 instead of 5", "token": "electricity credit, 0.1 kWh, issued 2014-03-01 13:00"}
    ]


def rule_of(block: int) -> CrcRule:
    return CrcRule.CRC_C if block >> 60 in (4, 5, 6, 7) else CrcRule.CRC


def test_a_fit_comes_with_a_caution() -> None:
    text = printed("decode", *VENDING, TOKEN[:-1] + "5", code=1)
    assert "digit 20 is 4 instead of 5: electricity credit, 0.1 kWh, issued 2014-03-01 13:00" in text
    assert "caution: by chance one of 188 tries fits in 1 of 348 cases" in text
    assert "nothing fits" in text  # no other key


def test_without_a_vending_key_no_other_key_is_tried() -> None:
    failure = answer("decode", *DECODER, TOKEN[:-1] + "5", code=1)
    assert "another_key" not in failure


@pytest.mark.parametrize(("token_class", "subclass"), [*RESERVED, (TokenClass.CREDIT, 9), (TokenClass(2), 15)])
def test_a_reserved_type_is_said_to_be_one_and_not_a_slip(token_class: TokenClass, subclass: int) -> None:
    upper = subclass << 44 | 85740
    block = upper << 16 | token_crc(token_class, upper, CrcRule.CRC)
    digits = Token.from_block(token_class, KEY.cipher.encrypt(block)).digits
    failure = answer("decode", *VENDING, digits, code=1)
    assert failure["result"] == "FUNCTION_ERROR"
    assert f"class {token_class:d} subclass {subclass}: " in failure["reason"]
    assert failure["crc"]["stated_hex"] == failure["crc"]["computed_hex"]
    assert "mistyped" not in failure


def test_a_slip_that_makes_it_class_3_is_found_too() -> None:
    """The class is two bits of the number, which a wrong digit can change into the reserved one."""
    number = Token.parse(TOKEN).number
    slips = (Token(number + digit * 10**place) for place in range(19) for digit in range(-9, 10))
    slip = next(
        one
        for one in slips
        if one.token_class is TokenClass.RESERVED and sum(a != b for a, b in zip(one.digits, TOKEN, strict=True)) == 1
    )
    failure = answer("decode", *DECODER, slip.digits, code=1)
    assert failure["reason"] == "class 3 is reserved by the STS Association"
    assert any("0.1 kWh" in fit["token"] for fit in failure["mistyped"]["fits"])


# The searches themselves.

WRITTEN = st.builds(lambda token, key: (token, encode(token, key)), clear_tokens(), st.just(KEY))


def opens_as(found: ClearToken, written: ClearToken) -> bool:
    return (found.kind.token_class, found.clear_block) == (written.kind.token_class, written.clear_block)


@settings(max_examples=30)
@given(WRITTEN, st.integers(0, 19), st.integers(1, 9))
def test_every_wrong_digit_is_found(written: tuple[ClearToken, Token], place: int, step: int) -> None:
    clear, token = written
    digits = token.digits
    slip = digits[:place] + str((int(digits[place]) + step) % 10) + digits[place + 1 :]
    if int(slip) >= 1 << 66:
        return
    search = search_digits(Token.parse(slip), KEY, BASE_DATE)
    expected = f"digit {place + 1} is {digits[place]} instead of {slip[place]}"
    assert any(fit.change == expected and opens_as(fit.token, clear) for fit in search.fits)
    assert 0 < search.tries <= 199


@settings(max_examples=30)
@given(WRITTEN, st.integers(0, 18))
def test_two_neighbours_exchanged_are_found(written: tuple[ClearToken, Token], place: int) -> None:
    clear, token = written
    digits = token.digits
    slip = digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :]
    if slip == digits or int(slip) >= 1 << 66:
        return
    search = search_digits(Token.parse(slip), KEY, BASE_DATE)
    expected = f"digits {place + 1} and {place + 2} are exchanged"
    assert any(fit.change == expected and opens_as(fit.token, clear) for fit in search.fits)


def test_without_a_key_only_class_1_is_tried() -> None:
    search = search_digits(Token.parse("56493153725450313472"), None, BASE_DATE)
    assert [fit.change for fit in search.fits] == ["digit 20 is 1 instead of 2"]
    assert search.tries < 199
    assert search.tried.endswith("those that need no key")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"krn": 7}, "KRN 7"),
        ({"kt": KeyType.DEFAULT}, "KT 1"),
        ({"ti": 99}, "TI 99"),
        ({"ti": 0}, "TI 00"),
        ({"base_date": BaseDate.BASE_1993}, "base date 1993"),
        ({"ea": 11}, "EA11"),
        ({"krn": 2, "base_date": BaseDate.BASE_2035, "ea": 11}, "KRN 2, base date 2035, EA11"),
    ],
)
def test_another_key_of_the_same_vending_key_is_found(changes: dict[str, Any], said: str) -> None:
    vending_key = VendingKey.parse(VENDING_KEY, 4)
    other = KeyAttributes(ATTRIBUTES.pan, ATTRIBUTES.sgc, **changes)
    clear = clear_token(TOKEN_KINDS[0], {"rnd": 5, "tid": 85740, "transfer_amount_units": 1})
    token = encode(clear, derive_decoder_key(vending_key, other))
    assert isinstance(decode(token, derive_decoder_key(vending_key, ATTRIBUTES)), DecodeFailure)
    search = search_keys(token, vending_key, ATTRIBUTES)
    (fit,) = (fit for fit in search.fits if opens_as(fit.token, clear))
    assert (fit.change, fit.base_date) == (said, other.base_date)
    assert search.tries == 206


def test_keys_that_a_generation_algorithm_does_not_make_are_passed_over() -> None:
    """Under DKGA02 the base date does not enter the key, and there is no EA11."""
    attributes = KeyAttributes.parse("600727000000000009", "123456", dkga="02", base_date="1993")
    token = Token.parse("23716100501183194197")  # STS531-1-0-02: KRN 1
    search = search_keys(token, VendingKey(bytes.fromhex("AB" * 8)), attributes)
    assert search.fits == ()
    assert search.tries == 99 + 17
