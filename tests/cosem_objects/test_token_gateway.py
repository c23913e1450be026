"""Class 115: status, what data_value means, and how digits become octets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects import axdr, token_gateway
from cosem_objects.axdr import Data, DataType
from cosem_objects.errors import RemoteProtocolError, TokenFormatError
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import (
    FAILURES,
    Attribute,
    DataValueMap,
    DeliveryMethod,
    StatusCode,
    StsResult,
    TokenEncoding,
    TokenStatus,
    onehot16,
)
from tests.cosem_objects.strategies import data_objects
from tests.cosem_objects.test_sts_token import tokens

TOKEN = Token.parse("48643202781314010686")


def test_the_numbers_are_those_of_the_standard() -> None:
    # IEC 62056-6-2, class 115 (fact sheet 1.1 to 1.3).
    assert [attribute.name.lower() for attribute in Attribute] == [
        "logical_name",
        "token",
        "token_time",
        "token_description",
        "token_delivery_method",
        "token_status",
    ]
    assert (Attribute.LOGICAL_NAME, Attribute.TOKEN_STATUS, token_gateway.METHOD_ENTER) == (1, 6, 1)
    assert [(method.value, method.name) for method in DeliveryMethod] == [(0, "REMOTE"), (1, "LOCAL"), (2, "MANUAL")]
    assert {StatusCode(code) for code in (4, 5, 6, 7)} == FAILURES


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "format OK, not yet executed"),
        (3, "executed"),
        (4, "format failure"),
        (5, "authentication failure"),
        (6, "validation failure"),
        (7, "execution failure"),
        (8, "received, not yet processed"),
        (9, "unknown status 9"),
        (255, "unknown status 255"),
    ],
)
def test_a_status_is_told_in_words_known_or_not(code: int, words: str) -> None:
    assert TokenStatus(code).words == words


def test_every_status_of_the_standard_has_words() -> None:
    assert [code.value for code in StatusCode] == list(range(9))
    assert len({code.words for code in StatusCode}) == 9


@given(st.integers(0, 255), st.text("01", max_size=40))
def test_every_status_comes_back_as_it_was(code: int, bits: str) -> None:
    status = TokenStatus(code, bits)
    assert TokenStatus.from_data(axdr.decode(axdr.encode(status.to_data()))) == status


@pytest.mark.parametrize(
    "data",
    [
        axdr.enum(3),
        axdr.unsigned(3),
        axdr.structure(axdr.enum(3), axdr.NULL),
        axdr.structure(axdr.unsigned(3), axdr.NULL),
    ],
    ids=repr,
)
def test_a_bare_code_and_a_missing_data_value_are_understood(data: Data) -> None:
    assert TokenStatus.from_data(data) == TokenStatus(3)


@pytest.mark.parametrize(
    "data",
    [
        axdr.NULL,
        axdr.boolean(True),
        axdr.octet_string(b"\x03"),
        axdr.structure(),
        axdr.structure(axdr.enum(3)),
        axdr.structure(axdr.bit_string("0"), axdr.enum(3)),
        axdr.structure(axdr.enum(3), axdr.octet_string(b"\0")),
    ],
    ids=repr,
)
def test_what_is_no_status_is_the_meters_fault(data: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        TokenStatus.from_data(data)


@given(data_objects)
def test_any_value_is_a_status_or_a_remote_error(data: Data) -> None:
    try:
        status = TokenStatus.from_data(data)
    except RemoteProtocolError:
        return
    assert set(status.data_value) <= {"0", "1"}
    assert status.words
    for meaning in DataValueMap:
        assert meaning.result(status.data_value) in (None, *StsResult)


# data_value.


@pytest.mark.parametrize("result", StsResult)
def test_one_bit_of_16_names_one_result(result: StsResult) -> None:
    bits = onehot16(result)
    assert (len(bits), bits.count("1")) == (16, 1)
    assert DataValueMap.ONEHOT16.result(bits) is result
    assert bits.index("1") == list(StsResult).index(result)


@pytest.mark.parametrize(
    "bits",
    [onehot16(None), "", "1", "1" * 16, "1100000000000000", "0000000000010000", "0" * 10],
    ids=["plain-accept", "empty", "too-short", "all", "two", "lock-out", "ten"],
)
def test_bits_that_name_no_single_result_prove_nothing(bits: str) -> None:
    assert DataValueMap.ONEHOT16.result(bits) is None


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (0, None),
        (3, None),
        (4, StsResult.OVERFLOW),
        (5, StsResult.KEY_TYPE),
        (6, StsResult.FORMAT),
        (7, StsResult.RANGE),
        (8, StsResult.FUNCTION),
        (9, StsResult.OLD),
        (10, StsResult.USED),
        (11, StsResult.KEY_EXPIRED),
        (12, StsResult.DEFAULT_KEY),
        (13, StsResult.CRC),
        (14, StsResult.MANUFACTURER_CODE),
        (15, None),
        (255, None),
    ],
)
def test_eight_bits_are_the_number_in_the_token_result_register(number: int, result: StsResult | None) -> None:
    assert DataValueMap.ORDINAL8.result(f"{number:08b}") is result
    assert DataValueMap.ORDINAL8.result(f"{number:08b}0000") is result
    assert DataValueMap.ORDINAL8.result(f"{number:08b}"[:7]) is None


@pytest.mark.parametrize("meaning", [DataValueMap.RAW, DataValueMap.NONE])
@pytest.mark.parametrize("bits", ["", "0" * 16, onehot16(StsResult.USED), f"{10:08b}"])
def test_what_a_maker_has_not_told_us_is_never_interpreted(meaning: DataValueMap, bits: str) -> None:
    assert meaning.result(bits) is None


# Encodings.


@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        (TokenEncoding.ASCII20, b"48643202781314010686"),
        (TokenEncoding.BCD10, bytes.fromhex("48643202781314010686")),
        (TokenEncoding.DIGITS20, bytes.fromhex("0408060403020002070801030104000100060806")),
        (TokenEncoding.BINARY9, bytes.fromhex("02a30f5f34f583ce3e")),
    ],
)
def test_the_digits_become_these_octets(encoding: TokenEncoding, octets: bytes) -> None:
    assert encoding.to_octets(TOKEN) == octets
    assert encoding.from_octets(octets) == TOKEN


@given(tokens, st.sampled_from(TokenEncoding))
def test_every_token_comes_back_from_every_encoding(token: Token, encoding: TokenEncoding) -> None:
    assert encoding.from_octets(encoding.to_octets(token)) == token


@pytest.mark.parametrize(
    ("encoding", "octets"),
    [
        (TokenEncoding.ASCII20, b""),
        (TokenEncoding.ASCII20, b"4864320278131401068"),
        (TokenEncoding.ASCII20, b"4864 3202 7813 1401 0686"),
        (TokenEncoding.ASCII20, b"4864320278131401 686"),
        (TokenEncoding.ASCII20, b"4864320278131401068\xff"),
        (TokenEncoding.ASCII20, b"99999999999999999999"),
        (TokenEncoding.BCD10, b""),
        (TokenEncoding.BCD10, bytes.fromhex("486432027813140106")),
        (TokenEncoding.BCD10, bytes.fromhex("4864320278131401068a")),
        (TokenEncoding.BCD10, b"\x99" * 10),
        (TokenEncoding.DIGITS20, b""),
        (TokenEncoding.DIGITS20, b"\x04" * 19),
        (TokenEncoding.DIGITS20, b"\x0a" * 20),
        (TokenEncoding.DIGITS20, b"\x0c" * 10),
        (TokenEncoding.DIGITS20, b"\x09" * 20),
        (TokenEncoding.BINARY9, b""),
        (TokenEncoding.BINARY9, bytes(8)),
        (TokenEncoding.BINARY9, bytes(10)),
        (TokenEncoding.BINARY9, b"\x04" + bytes(8)),
        (TokenEncoding.BINARY9, b"\xff" * 9),
    ],
)
def test_octets_that_are_no_token_are_refused_by_their_number_only(encoding: TokenEncoding, octets: bytes) -> None:
    with pytest.raises(TokenFormatError, match=f"{len(octets)} octets that are no token as {encoding.value}"):
        encoding.from_octets(octets)


@given(st.binary(max_size=24), st.sampled_from(TokenEncoding))
def test_arbitrary_octets_are_a_token_or_a_format_error(octets: bytes, encoding: TokenEncoding) -> None:
    try:
        token = encoding.from_octets(octets)
    except TokenFormatError:
        return
    assert encoding.to_octets(token) == octets


def test_a_value_of_another_type_is_no_octet_string() -> None:
    with pytest.raises(RemoteProtocolError):
        _ = Data(DataType.VISIBLE_STRING, TOKEN.digits).octets
