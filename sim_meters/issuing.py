"""Tokens as a lab makes them: of every type, under the key that a meter has, had, or is about to get.

Pure: time and chance are handed in. The lab API and the scenarios make their tokens here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from textwrap import shorten

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.lab import LAB_VENDING_KEYS
from sim_meters.meter_config import MeterConfig
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes, parse_digits
from sim_meters.sts.keys.key_expiry import KEN_NEVER
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.amount import units_for
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token
from sim_meters.sts.tokens.key_change import MeterKey, key_change_set
from sim_meters.sts.tokens.token_kind import Field, TokenKind
from sim_meters.sts.tokens.token_table import KEY_CHANGE, RND, TID, TOKEN_KINDS

CREDIT = "credit"
OTHER_KINDS: Mapping[str, TokenKind] = {
    kind.command: kind for kind in TOKEN_KINDS if kind.command not in (CREDIT, KEY_CHANGE)
}
"""By the command of the table: token types of which each has a command of its own."""
_ERROR_SIZE_MAX = 160
"""Of what a coding says: some name all that could be written."""
KEY_TEXTS = ("sgc", "ti", "krn", "kt", "base_date", "ea", "dkga", "ken", "vending_key")
"""What can be said of another key."""


def fields_asked(kind: TokenKind) -> dict[str, Field]:
    """The fields that a person gives a value, by the table's option for them."""
    return {field.option: field for field in kind.layout if field.option and field not in (TID, RND)}


def asked_values(kind: TokenKind, said: Mapping[str, str]) -> dict[str, int]:
    """Raw values of these fields, from texts as people write them. Raises ``SettingError``."""
    fields = fields_asked(kind)
    for name in said:
        if name not in fields:
            raise SettingError(f"{name}: {kind.name} has no such field; expected {', '.join(fields) or 'none'}")
    values = {}
    for name, field in fields.items():
        text = said.get(name, field.usual)
        if text is None:
            raise SettingError(f"{name}: is missing; expected {field.coding.expected}")
        try:
            values[field.name] = field.coding.parse(text)
        except SettingError as error:
            raise SettingError(f"{name}: {shorten(str(error), _ERROR_SIZE_MAX, placeholder=' ...')}") from None
    return values


def credit_values(kind: TokenKind, amount: Decimal) -> dict[str, int]:
    """The raw value of a credit token's amount. Raises ``SettingError``, also for nothing."""
    units = units_for(amount, kind.decimals)
    if units == 0:
        raise SettingError("amount: expected at least one token unit")
    return {kind.value.name: kind.amount.raw(units)}


def completed(kind: TokenKind, values: Mapping[str, int], tid: int, rnd: int) -> ClearToken:
    """The token of these values, with TID and RND where the type has them."""
    own = {TID.name: tid, RND.name: rnd}
    return clear_token(kind, {**values, **{field.name: own[field.name] for field in kind.layout if field.name in own}})


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """A meter's key as those know it who make tokens: with the base date, which no meter knows."""

    attributes: KeyAttributes
    decoder_key: DecoderKey
    vending_key: VendingKey | None
    """``None``: it is not known, and no other key can be derived."""
    ken: int = KEN_NEVER

    @classmethod
    def of(cls, config: MeterConfig, vending_key: VendingKey | None) -> IssuerKey:
        """The key that a meter leaves the factory with."""
        return cls(attributes=config.key, decoder_key=config.decoder_key, vending_key=vending_key, ken=config.ken)

    @property
    def base_date(self) -> BaseDate:
        return self.attributes.base_date

    @property
    def meter_key(self) -> MeterKey:
        """As it is in the meter."""
        key = self.attributes
        return MeterKey(decoder_key=self.decoder_key, kt=key.kt, krn=key.krn, ti=key.ti, sgc=key.sgc, ken=self.ken)

    @property
    def shown(self) -> dict[str, str | int]:
        """All of it but the secrets."""
        key = self.attributes
        return {
            "sgc": f"{key.sgc:06d}",
            "ti": f"{key.ti:02d}",
            "krn": key.krn,
            "kt": int(key.kt),
            "ken": self.ken,
            "ea": f"{key.ea:02d}",
            "base_date": int(key.base_date),
        }

    @property
    def words(self) -> str:
        """``SGC 201457, TI 01, KRN 2, KT 2, EA07, base date 2014``."""
        key = self.attributes
        return (
            f"SGC {key.sgc:06d}, TI {key.ti:02d}, KRN {key.krn}, KT {key.kt:d}, EA{key.ea:02d}, "
            f"base date {key.base_date:d}"
        )

    def other(self, said: Mapping[str, str]) -> IssuerKey:
        """Another key of the same meter: what is not said (names of ``KEY_TEXTS``) stays. Raises ``SettingError``."""
        key = self.attributes
        dkga = said.get("dkga", f"{key.dkga:02d}")
        attributes = KeyAttributes.parse(
            key.pan.digits,
            said.get("sgc", f"{key.sgc:06d}"),
            ti=said.get("ti", f"{key.ti:02d}"),
            krn=said.get("krn", str(key.krn)),
            kt=said.get("kt", f"{key.kt:d}"),
            base_date=said.get("base_date", f"{key.base_date:d}"),
            ea=said.get("ea", f"{key.ea:02d}"),
            dkga=dkga,
        )
        ken = parse_digits("ken", said["ken"]) if "ken" in said else self.ken
        if attributes == key and "vending_key" not in said:
            return replace(self, ken=ken)
        vending_key = self._vending_key(said.get("vending_key"), attributes.dkga)
        decoder_key = derive_decoder_key(vending_key, attributes)
        return IssuerKey(attributes=attributes, decoder_key=decoder_key, vending_key=vending_key, ken=ken)

    def set_to(
        self, new: IssuerKey, *, rollover: bool | None = None, with_sgc: bool | None = None
    ) -> tuple[Token, ...]:
        """The key-change set from this key to another one. If it is not said: RO is 1 exactly when the base date gets
        later, and a set for EA07 brings the supply group code exactly when that changes. Raises ``SettingError``."""
        if rollover is None:
            rollover = new.base_date > self.base_date
        if with_sgc is None:
            with_sgc = new.attributes.sgc != self.attributes.sgc
        return key_change_set(self.decoder_key, new.meter_key, rollover=rollover, with_sgc=with_sgc)

    def _vending_key(self, text: str | None, dkga: int) -> VendingKey:
        if text is not None:
            return VendingKey.parse(text, dkga)
        if self.vending_key is None:
            raise SettingError("key: expected a vending key; from a decoder key no other is derived")
        present = self.attributes.dkga
        if dkga == present:
            return self.vending_key
        if self.vending_key != VendingKey.parse(LAB_VENDING_KEYS[present], present):
            raise SettingError(f"dkga: expected a vending key for DKGA{dkga:02d}, too")
        return VendingKey.parse(LAB_VENDING_KEYS[dkga], dkga)
