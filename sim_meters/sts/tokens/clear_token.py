"""Tokens in clear, and how they become 20 digits and come out again. Which fields a type has, ``token_table`` says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tokens.amount import CurrencyAmount
from sim_meters.sts.tokens.coding import Details, MoneyAmount, Padding, Secret
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_kind import Field, TokenKind
from sim_meters.sts.tokens.token_table import RESERVED, kind_of


@dataclass(frozen=True, slots=True, repr=False)
class ClearToken:
    """A token in clear: what comes out when it is opened, and what goes in when it is made."""

    kind: TokenKind
    upper: int
    """Bits 63..16 of the clear block: subclass and fields."""

    def __getitem__(self, name: str) -> int:
        """The raw value of a field. ``KeyError`` if this type has none of the name."""
        for field in self.kind.layout:
            if field.name == name:
                return field.read(self.upper)
        raise KeyError(name)

    def meaning(self, field: Field) -> int:
        """What the field's bits stand for, as a number: of an amount, its token units."""
        return field.coding.meaning(field.read(self.upper))

    @property
    def tid(self) -> int | None:
        """The token identifier; ``None`` where the type has none."""
        return self["tid"] if self.kind.has_tid else None

    @property
    def units(self) -> int:
        """The amount of a credit token in token units; negative only in currency."""
        return self.kind.amount.meaning(self.kind.value.read(self.upper))

    @property
    def amount(self) -> Decimal:
        """The exact amount of a credit token in its unit."""
        return self.kind.amount.amount(self.kind.value.read(self.upper))

    @property
    def currency_amount(self) -> CurrencyAmount | None:
        """Sign, exponent and mantissa of a currency token; ``None`` for the others."""
        coding = self.kind.value.coding
        return coding.money(self.kind.value.read(self.upper)) if isinstance(coding, MoneyAmount) else None

    @property
    def details(self) -> Details:
        """What the codings tell beside the fields themselves."""
        details: dict[str, int | str] = {}
        for field in self.kind.layout:
            details |= field.coding.details(field.read(self.upper))
        return details

    @property
    def crc(self) -> int:
        """The CRC that belongs to these fields."""
        return token_crc(self.kind.token_class, self.upper, self.kind.crc_rule)

    @property
    def clear_block(self) -> int:
        """The 64 bits before encryption."""
        return self.upper << 16 | token_crc(self.kind.token_class, self.upper, self.kind.crc_rule)

    @property
    def words(self) -> str:
        """The type and, where there is one, what it is about; never a part of a key."""
        value = self.kind.value
        if isinstance(value.coding, Secret | Padding):
            return self.kind.name
        return f"{self.kind.name}, {value.coding.words(value.read(self.upper))}"

    def __repr__(self) -> str:  # the bits may hold a part of a key
        return f"<ClearToken {self.words}>"


def clear_token(kind: TokenKind, values: Mapping[str, int]) -> ClearToken:
    """A token from the raw values of its fields. Raises ``SettingError``, see ``TokenKind.pack``."""
    return ClearToken(kind, kind.pack(values))


def credit_token(kind: TokenKind, units: int, tid: int, rnd: int | None = None) -> ClearToken:
    """A credit token. Raises ``SettingError`` naming what is out of range.

    ``rnd`` (0 to 15) is needed for tokens in units and refused for currency tokens, which have no place for it.
    """
    values = {"tid": tid, kind.value.name: kind.amount.raw(units)}
    if rnd is not None:
        values["rnd"] = rnd
    return clear_token(kind, values)


def encode(clear: ClearToken, decoder_key: DecoderKey | None = None) -> Token:
    """The token, encrypted under a meter's key; class 1 is for every meter, and needs none."""
    kind, block = clear.kind, clear.clear_block
    if kind.token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
        if decoder_key is None:
            raise SettingError(f"key: {kind.name} is encrypted, and needs one")
        block = decoder_key.cipher.encrypt(block)
    return Token.from_block(kind.token_class, block)


def encode_credit(decoder_key: DecoderKey, kind: TokenKind, units: int, tid: int, rnd: int | None = None) -> Token:
    """A new credit token; see ``credit_token``. An amount of 0 is refused: legal to encode, but nobody means it."""
    if units == 0:
        raise SettingError("amount: expected at least one token unit; got 0")
    return encode(credit_token(kind, units, tid, rnd), decoder_key)


@dataclass(frozen=True, slots=True)
class DecodeFailure:
    """Why a token means nothing under this key: what a meter would answer, and a sentence for people."""

    result: TokenResult
    reason: str


def decode(token: Token, decoder_key: DecoderKey | None = None) -> ClearToken | DecodeFailure:
    """Open a token with a meter's key; class 1 needs none."""
    token_class, block, ea = token.token_class, token.block, 7
    if token_class is TokenClass.RESERVED:
        return DecodeFailure(TokenResult.FUNCTION_ERROR, "class 3 is reserved by the STS Association")
    if token_class is not TokenClass.NON_METER_SPECIFIC_MANAGEMENT:
        if decoder_key is None:
            raise SettingError(f"key: a token of class {token_class:d} is encrypted, and needs one")
        block, ea = decoder_key.cipher.decrypt(block), decoder_key.ea
    upper, subclass = block >> 16, block >> 60
    kind = kind_of(token_class, subclass, upper=upper, ea=ea)
    # The CRC comes before the verdict on a reserved subclass: until it fits, the subclass is noise, and a wrong key
    # would answer "function not supported" for every second token.
    rule = CrcRule.CRC if kind is None else kind.crc_rule
    if token_crc(token_class, upper, rule) != block & 0xFFFF:
        return DecodeFailure(TokenResult.CRC_ERROR, _CRC_REASONS[token_class])
    if kind is None:
        reserved = RESERVED.get((token_class, subclass), "it is reserved, or of one manufacturer")
        return DecodeFailure(TokenResult.FUNCTION_ERROR, f"class {token_class:d} subclass {subclass}: {reserved}")
    return ClearToken(kind, upper)


_ENCRYPTED_REASON = "the CRC does not fit: a wrong key and a mistyped digit look the same"
_CRC_REASONS = {
    TokenClass.CREDIT: _ENCRYPTED_REASON,
    TokenClass.NON_METER_SPECIFIC_MANAGEMENT: "the CRC does not fit: a digit is wrong",
    TokenClass.METER_SPECIFIC_MANAGEMENT: _ENCRYPTED_REASON,
}
