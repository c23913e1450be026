"""The STS token as a number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import TokenFormatError
from cosem_objects.sts_token import Token, TokenClass
from tests.vectors import FOLDER

LARGEST = 2**66 - 1
tokens = st.builds(Token, st.integers(0, LARGEST))


def _published_tokens() -> list[Any]:
    file = json.loads((FOLDER / "sts_vectors.json").read_text(encoding="utf-8"))
    found: list[Any] = []

    def walk(entry: Any) -> None:
        if isinstance(entry, dict):
            if isinstance(entry.get("token"), str) and isinstance(entry.get("token66_hex"), str):
                found.append(entry)
            for value in entry.values():
                walk(value)
        elif isinstance(entry, list):
            for value in entry:
                walk(value)

    walk(file)
    return found


def test_the_digits_of_every_vector_are_its_66_bits_and_show_its_class() -> None:
    vectors = _published_tokens()
    assert len(vectors) >= 1
    for vector in vectors:
        token = Token.parse(vector["token"])
        assert token.number == int(vector["token66_hex"], 16)
        if "token_class" in vector:
            assert token.token_class == vector["token_class"]


@pytest.mark.parametrize(
    "text",
    ["48643202781314010686", "4864 3202 7813 1401 0686", "4864-3202-7813-1401-0686", " 4864 3202-78131401 0686 "],
)
def test_a_token_is_read_however_the_slip_prints_it(text: str) -> None:
    token = Token.parse(text)
    assert token.number == 48643202781314010686
    assert token.digits == "48643202781314010686"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "other characters"),
        ("4864320278131401068", "19 were given"),
        ("486432027813140106861", "21 were given"),
        ("4864320278131401068a", "other characters"),
        ("4864320278131401068٣", "other characters"),
        ("4864320278131401068²", "other characters"),
        ("4864_3202_7813_1401_0686", "other characters"),
        ("4864\t3202\t7813\t1401\t0686", "other characters"),
        ("+4864320278131401068", "other characters"),
        ("4864.3202.7813.1401.0686", "other characters"),
        ("73786976294838206464", "66 bits"),
        ("99999999999999999999", "66 bits"),
    ],
)
def test_what_is_no_token_is_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(TokenFormatError, match=message) as caught:
        Token.parse(text)
    assert not text or text not in str(caught.value)


def test_the_largest_token_is_the_one_of_66_ones() -> None:
    assert Token.parse("73786976294838206463") == Token(LARGEST)


@pytest.mark.parametrize("number", [-1, LARGEST + 1])
def test_a_number_of_more_than_66_bits_is_no_token(number: int) -> None:
    with pytest.raises(TokenFormatError, match="66 bits"):
        Token(number)


def test_leading_zeros_belong_to_the_token() -> None:
    assert Token(7).digits == "00000000000000000007"
    assert Token.parse(Token(7).digits) == Token(7)


@given(tokens)
def test_every_token_survives_being_printed_and_read(token: Token) -> None:
    assert Token.parse(token.digits) == token
    assert len(token.digits) == 20


@given(tokens)
def test_a_token_is_its_block_and_its_class(token: Token) -> None:
    assert 0 <= token.block < 1 << 64
    assert Token.from_block(token.token_class, token.block) == token


@given(st.sampled_from(TokenClass), st.integers(0, 2**64 - 1))
def test_any_block_of_64_bits_carries_any_class(token_class: TokenClass, block: int) -> None:
    token = Token.from_block(token_class, block)
    assert (token.token_class, token.block) == (token_class, block)


def test_the_class_bits_trade_places_with_bits_28_and_27() -> None:
    # IEC 62055-41: the two bits of the block go to 65 and 64, the class takes their place.
    assert Token.from_block(TokenClass.CREDIT, 0b11 << 27).number == 0b11 << 64
    assert Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, 0).number == 0b10 << 27


@pytest.mark.parametrize("block", [-1, 2**64, 2**66])
def test_a_block_of_more_than_64_bits_makes_no_token(block: int) -> None:
    with pytest.raises(TokenFormatError):
        Token.from_block(TokenClass.CREDIT, block)


@given(tokens)
def test_a_token_shows_only_its_last_four_digits(token: Token) -> None:
    assert str(token) == repr(token) == f"<Token …{token.digits[-4:]}>"
    assert f"{token}" == repr(token)
