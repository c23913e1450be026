"""The table of token types, and what stands inside a token of each.

A new token type is one row of ``TOKEN_KINDS``. So far the table holds class 0, transfer of credit; classes 1 and 2
are not covered yet, and class 3 is reserved.

| bits of the clear block | 63..60   | 59..56                       | 55..32 | 31..16 | 15..0        |
|---|---|---|---|---|---|
| field                   | subclass | RND, or S&E for currency     | TID    | amount | CRC or CRC_C |
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.amount import CurrencyAmount, amount_of, decode_amount16, encode_amount16
from sim_meters.sts.crc import CrcRule, token_crc
from sim_meters.sts.decoder_key import DecoderKey
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import check_tid


class Commodity(Enum):
    """What a credit buys."""

    ELECTRICITY = "electricity"
    WATER = "water"
    GAS = "gas"
    TIME = "time"


BASE_CURRENCY = "base currency"
"""The unit of currency tokens: which currency it is does not travel in the token."""


@dataclass(frozen=True, slots=True)
class TokenKind:
    """One token type. One token unit is ``10^-decimals`` of ``unit``."""

    token_class: TokenClass
    subclass: int
    name: str
    commodity: Commodity
    unit: str
    decimals: int
    crc_rule: CrcRule

    @property
    def is_currency(self) -> bool:
        """Whether the token carries money (with a sign and no RND) instead of the commodity's own unit."""
        return self.unit == BASE_CURRENCY


_CREDIT = TokenClass.CREDIT

# IEC 62055-41: units of 0.1 kWh, 0.1 m3, 0.1 minute, and 1e-5 of the base currency.
_ROWS = (
    TokenKind(_CREDIT, 0, "electricity credit", Commodity.ELECTRICITY, "kWh", 1, CrcRule.CRC),
    TokenKind(_CREDIT, 1, "water credit", Commodity.WATER, "m3", 1, CrcRule.CRC),
    TokenKind(_CREDIT, 2, "gas credit", Commodity.GAS, "m3", 1, CrcRule.CRC),
    TokenKind(_CREDIT, 3, "time credit", Commodity.TIME, "min", 1, CrcRule.CRC),
    TokenKind(_CREDIT, 4, "electricity currency credit", Commodity.ELECTRICITY, BASE_CURRENCY, 5, CrcRule.CRC_C),
    TokenKind(_CREDIT, 5, "water currency credit", Commodity.WATER, BASE_CURRENCY, 5, CrcRule.CRC_C),
    TokenKind(_CREDIT, 6, "gas currency credit", Commodity.GAS, BASE_CURRENCY, 5, CrcRule.CRC_C),
    TokenKind(_CREDIT, 7, "time currency credit", Commodity.TIME, BASE_CURRENCY, 5, CrcRule.CRC_C),
)
TOKEN_KINDS = {(kind.token_class, kind.subclass): kind for kind in _ROWS}


def credit_kind(commodity: Commodity, *, currency: bool) -> TokenKind:
    """The row for credit in a commodity, in its own unit or in currency."""
    return next(
        kind
        for kind in TOKEN_KINDS.values()
        if kind.token_class is TokenClass.CREDIT and kind.commodity is commodity and kind.is_currency is currency
    )


@dataclass(frozen=True, slots=True)
class DecodedToken:
    """The fields of a credit token: what comes out when it is decrypted, and what goes in when it is made."""

    kind: TokenKind
    nibble: int
    """Bits 59..56: RND, or S&E in currency tokens."""
    tid: int
    amount_field: int

    @property
    def rnd(self) -> int | None:
        """The four random bits; currency tokens have none."""
        return None if self.kind.is_currency else self.nibble

    @property
    def currency_amount(self) -> CurrencyAmount | None:
        """Sign, exponent and mantissa of a currency token; ``None`` for the others."""
        return CurrencyAmount.decode(self.nibble, self.amount_field) if self.kind.is_currency else None

    @property
    def units(self) -> int:
        """The amount in token units; negative only in currency."""
        money = self.currency_amount
        return decode_amount16(self.amount_field) if money is None else money.units

    @property
    def amount(self) -> Decimal:
        """The exact amount in ``kind.unit``."""
        return amount_of(self.units, self.kind.decimals)

    @property
    def crc(self) -> int:
        """The CRC that belongs to these fields."""
        return token_crc(self.kind.token_class, self._upper_bits, self.kind.crc_rule)

    @property
    def clear_block(self) -> int:
        """The 64 bits before encryption."""
        return self._upper_bits << 16 | self.crc

    @property
    def _upper_bits(self) -> int:
        return self.kind.subclass << 44 | self.nibble << 40 | self.tid << 16 | self.amount_field


def credit_fields(kind: TokenKind, units: int, tid: int, rnd: int | None = None) -> DecodedToken:
    """The fields of a credit token. Raises ``SettingError`` naming what is out of range.

    ``rnd`` (0 to 15) is needed for tokens in units and refused for currency tokens, which have no place for it.
    """
    check_tid(tid)
    if kind.is_currency:
        if rnd is not None:
            raise SettingError("rnd: currency tokens carry none")
        money = CurrencyAmount.encode(units)
        return DecodedToken(kind, money.se_nibble, tid, money.field)
    if rnd is None or not 0 <= rnd <= 15:
        raise SettingError(f"rnd: expected 0 to 15; got {rnd}")
    return DecodedToken(kind, rnd, tid, encode_amount16(units))


def encode(fields: DecodedToken, decoder_key: DecoderKey) -> Token:
    """Encrypt the fields under a meter's key."""
    return Token.from_block(fields.kind.token_class, decoder_key.cipher.encrypt(fields.clear_block))


def encode_credit(decoder_key: DecoderKey, kind: TokenKind, units: int, tid: int, rnd: int | None = None) -> Token:
    """A new credit token; see ``credit_fields``. An amount of 0 is refused: legal to encode, but nobody means it."""
    if units == 0:
        raise SettingError("amount: expected at least one token unit; got 0")
    return encode(credit_fields(kind, units, tid, rnd), decoder_key)


@dataclass(frozen=True, slots=True)
class DecodeFailure:
    """Why a token means nothing under this key: what a meter would answer, and a sentence for people."""

    result: TokenResult
    reason: str


_CLASS_NOT_DECODED = {
    TokenClass.NON_METER_SPECIFIC_MANAGEMENT: "class 1 (meter test and display) is not covered yet",
    TokenClass.METER_SPECIFIC_MANAGEMENT: "class 2 (management and key change) is not covered yet",
    TokenClass.RESERVED: "class 3 is reserved by the STS Association",
}


def decode(token: Token, decoder_key: DecoderKey) -> DecodedToken | DecodeFailure:
    """Open a token with a meter's key."""
    token_class = token.token_class
    if token_class in _CLASS_NOT_DECODED:
        return DecodeFailure(TokenResult.FUNCTION_ERROR, _CLASS_NOT_DECODED[token_class])
    block = decoder_key.cipher.decrypt(token.block)
    subclass = block >> 60
    kind = TOKEN_KINDS.get((token_class, subclass))
    # The CRC comes before the verdict on a reserved subclass: until it fits, the subclass is noise, and a wrong key
    # would answer "function not supported" for every second token.
    rule = CrcRule.CRC if kind is None else kind.crc_rule
    if token_crc(token_class, block >> 16, rule) != block & 0xFFFF:
        return DecodeFailure(
            TokenResult.CRC_ERROR, "the CRC does not fit: a wrong key and a mistyped digit look the same"
        )
    if kind is None:
        return DecodeFailure(TokenResult.FUNCTION_ERROR, f"class 0 subclass {subclass} is reserved")
    return DecodedToken(kind, block >> 56 & 0xF, block >> 32 & 0xFFFFFF, block >> 16 & 0xFFFF)
