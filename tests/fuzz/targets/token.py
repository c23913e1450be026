"""The text of a token, and the octets of one in every encoding."""

from __future__ import annotations

from cosem_objects.errors import TokenFormatError
from cosem_objects.sts_token import Token
from cosem_objects.token_gateway import TokenEncoding
from tests.fuzz.properties import assert_harmless

SIZE_MAX = 64
_TOKEN = Token(48643202781314010686)


def seeds() -> list[bytes]:
    written = (
        "4864 3202 7813 1401 0686",
        "48643202-78131401-0686",
        "73786976294838206464",
        "0" * 20,
        "٤" * 20,
        "1" * 19,
    )
    return [text.encode() for text in written] + [encoding.to_octets(_TOKEN) for encoding in TokenEncoding]


def one_input(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    try:
        token = Token.parse(text)
    except TokenFormatError as error:
        assert_harmless(error, [octets])
    else:
        assert token.digits == text.replace(" ", "").replace("-", "")
        assert_consistent(token)
    for encoding in TokenEncoding:
        try:
            token = encoding.from_octets(octets)
        except TokenFormatError as error:
            assert_harmless(error, [octets])
        else:
            assert encoding.to_octets(token) == octets
            assert_consistent(token)


def assert_consistent(token: Token) -> None:
    assert Token.parse(token.digits) == token
    assert Token.from_block(token.token_class, token.block) == token
    for encoding in TokenEncoding:
        assert encoding.from_octets(encoding.to_octets(token)) == token
    for shown in (repr(token), str(token), token.masked):
        assert sum(character.isdigit() for character in shown) == 4, "more of a token is shown than its end"
