"""What a row of the table of token types is: a token type, its fields, and their bits.

Every token is 64 bits before encryption: four bits of subclass (63..60), 44 bits of fields, and the CRC (15..0).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import TokenClass
from sim_meters.sts.tokens.coding import Coding, MoneyAmount, Padding, Secret, UnitAmount
from sim_meters.sts.tokens.crc import CrcRule


class Commodity(Enum):
    """What a credit buys."""

    ELECTRICITY = "electricity"
    WATER = "water"
    GAS = "gas"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Field:
    """Some bits of the clear block, and what they mean. ``spans``: (highest, lowest) bit, most significant first."""

    name: str
    """As in vector files and in JSON."""
    label: str
    spans: tuple[tuple[int, int], ...]
    coding: Coding
    option: str = ""
    """The option of ``simmeters sts encode`` that says it; empty: nobody is asked."""
    usual: str | None = None
    """What it says, as people write it, if they do not; ``None``: they have to."""

    limit: int = dataclasses.field(init=False)
    """Raw values are below it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", 1 << self.bits)

    @property
    def bits(self) -> int:
        return sum(high - low + 1 for high, low in self.spans)

    def read(self, upper: int) -> int:
        """The raw value, given the 48 bits above the CRC."""
        raw = 0
        for high, low in self.spans:
            raw = raw << (high - low + 1) | upper >> (low - 16) & ((1 << (high - low + 1)) - 1)
        return raw

    def place(self, raw: int) -> int:
        """The raw value at its place among the 48 bits above the CRC."""
        if len(self.spans) == 1:
            return raw << (self.spans[0][1] - 16)
        placed = 0
        for high, low in reversed(self.spans):
            placed |= (raw & ((1 << (high - low + 1)) - 1)) << (low - 16)
            raw >>= high - low + 1
        return placed


@dataclass(frozen=True, slots=True, eq=False)
class TokenKind:
    """One token type: a row of the table."""

    token_class: TokenClass
    subclass: int
    name: str
    command: str
    """How ``simmeters sts encode`` calls it; credit of all sorts is one command, and so are key-change sections."""
    layout: tuple[Field, ...]
    commodity: Commodity | None = None
    """What a credit token buys."""
    crc_rule: CrcRule = CrcRule.CRC

    @property
    def value(self) -> Field:
        """What the token is about: its last field."""
        return self.layout[-1]

    @property
    def amount(self) -> UnitAmount:
        """How a credit token counts. Raises ``SettingError`` for other tokens."""
        if self.commodity is None or not isinstance(self.value.coding, UnitAmount):
            raise SettingError(f"{self.name}: expected a credit token")
        return self.value.coding

    @property
    def unit(self) -> str:
        """Of a credit token; one token unit is ``10^-decimals`` of it."""
        return self.amount.unit

    @property
    def decimals(self) -> int:
        return self.amount.decimals

    @property
    def is_currency(self) -> bool:
        """Whether it carries money (with a sign and no RND) instead of the commodity's own unit."""
        return isinstance(self.value.coding, MoneyAmount)

    @property
    def has_tid(self) -> bool:
        """Whether it works once: class 0, and class 2 but for key changes."""
        return any(field.name == "tid" for field in self.layout)

    def pack(self, values: Mapping[str, int]) -> int:
        """The 48 bits above the CRC, from raw values. Raises ``SettingError`` for one that is missing, unknown, or has
        more bits than its field."""
        upper, unknown = self.subclass << 44, len(values)
        for field in self.layout:
            raw = values.get(field.name)
            if raw is not None:
                unknown -= 1
            elif isinstance(field.coding, Padding):
                raw = 0
            if raw is None or not 0 <= raw < field.limit:
                got = "another number" if raw is not None and isinstance(field.coding, Secret) else raw
                raise SettingError(f"{field.name}: {self.name} needs it, in {field.bits} bits; got {got}")
            upper |= field.place(raw)
        if unknown:
            names = {field.name for field in self.layout}
            raise SettingError(f"{min(set(values) - names)}: {self.name} carries none")
        return upper
