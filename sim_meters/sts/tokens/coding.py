"""What the bits of a field mean, and how people write that: one class for each way.

A *raw* value is the field's bits as a number; its *meaning* is the number that people speak of (the units of an
amount, the watts of a limit), which is the raw value itself for most fields. The table of token types
(``token_table.TOKEN_KINDS``) says which field is coded how; commands, the vector check and the documentation ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from cosem_objects.errors import SettingError
from sim_meters.sts.keys.key_attributes import parse_digits
from sim_meters.sts.tokens.amount import (
    CurrencyAmount,
    amount_of,
    decode_amount16,
    encode_amount16,
    parse_amount,
    units_for,
)

BASE_CURRENCY = "base currency"
"""The unit of currency tokens: which currency it is does not travel in the token."""

Details = Mapping[str, int | str]


class Coding(Protocol):
    """One way of coding. All methods that take something from outside raise ``SettingError``."""

    @property
    def expected(self) -> str:
        """What a person may write, for ``--help`` and errors."""

    def parse(self, text: str) -> int:
        """The raw value of what a person wrote."""

    def words(self, raw: int) -> str:
        """The raw value as people read it."""

    def raw(self, meaning: int) -> int:
        """The raw value that carries a meaning."""

    def meaning(self, raw: int) -> int:
        """What a raw value stands for."""

    def details(self, raw: int) -> Details:
        """What else can be told of it: parts of the raw value by the names of the standard."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A number as it is."""

    most: int

    @property
    def expected(self) -> str:
        return f"0 to {self.most}"

    def parse(self, text: str) -> int:
        return self.raw(parse_digits("number", text))

    def words(self, raw: int) -> str:
        return str(raw)

    def raw(self, meaning: int) -> int:
        if not 0 <= meaning <= self.most:
            raise SettingError(f"expected {self.expected}; got {meaning}")
        return meaning

    def meaning(self, raw: int) -> int:
        return raw

    def details(self, raw: int) -> Details:
        return {}


@dataclass(frozen=True, slots=True)
class Secret(Whole):
    """A part of a key. Only who opens the token is shown it, as hex digits."""

    hex_width: int

    def words(self, raw: int) -> str:
        return f"{raw:0{self.hex_width}x} (part of the new key)"


@dataclass(frozen=True, slots=True)
class Named(Whole):
    """A number of which some values have names."""

    names: Mapping[str, int]

    @property
    def expected(self) -> str:
        return f"{', '.join(self.names)}, or a number up to {self.most}"

    def parse(self, text: str) -> int:
        found = self.names.get(text.lower())
        if found is not None:
            return found
        try:
            return self.raw(parse_digits("number", text))
        except SettingError:
            raise SettingError(f"expected {self.expected}; got {text!r}") from None

    def words(self, raw: int) -> str:
        return next((f"{raw} ({name})" for name, number in self.names.items() if number == raw), f"{raw} (unknown)")


@dataclass(frozen=True, slots=True)
class Flags(Whole):
    """Bits with names, of which several may be set; all of them together have a name of their own."""

    names: Mapping[str, int]
    all_of_them: str

    @property
    def expected(self) -> str:
        return f"{self.all_of_them}, names joined by commas ({', '.join(self.names)}), or a hex number such as 0x8"

    def parse(self, text: str) -> int:
        if text == self.all_of_them:
            return self.most
        if text.lower().startswith("0x"):
            try:
                return self.raw(int(text, 16))
            except ValueError:
                raise SettingError(f"expected {self.expected}") from None
        raw = 0
        for name in text.split(","):
            if name not in self.names:
                raise SettingError(f"expected {self.expected}; got {name!r}")
            raw |= self.names[name]
        return raw

    def words(self, raw: int) -> str:
        if raw == self.most:
            return f"{raw:#x} ({self.all_of_them})"
        return f"{raw:#x} ({', '.join(self.chosen(raw)) or 'nothing that has a name'})"

    def chosen(self, raw: int) -> list[str]:
        """The names whose bits are set."""
        return [name for name, bits in self.names.items() if raw & bits]


@dataclass(frozen=True, slots=True)
class Padding(Whole):
    """Bits that are zero and mean nothing."""

    most: int = 0

    def words(self, raw: int) -> str:
        return "0" if raw == 0 else f"{raw:#x} (should be 0)"


FLAG_INDEX = 63
"""The control index that stands for flags (STS202-5)."""


@dataclass(frozen=True, slots=True)
class ControlValue(Whole):
    """The value of an extended token set (STS202-5): six bits of index and ten of value, or, with index 63, nine bits
    of flag index and the flag."""

    most: int = 0xFFFF

    @property
    def expected(self) -> str:
        return "INDEX:VALUE (0 to 62, 0 to 1023), or flag:INDEX:0 or flag:INDEX:1 (0 to 511)"

    def parse(self, text: str) -> int:
        word, _, rest = text.partition(":")
        if word == "flag":
            index, _, value = rest.partition(":")
            return FLAG_INDEX << 10 | self._part(index, 511) << 1 | self._part(value, 1)
        return self._part(word, FLAG_INDEX - 1) << 10 | self._part(rest, 1023)

    def words(self, raw: int) -> str:
        index, value = raw >> 10, raw & 0x3FF
        return f"flag {value >> 1} = {value & 1}" if index == FLAG_INDEX else f"index {index} = {value}"

    @staticmethod
    def place_and_value(raw: int) -> tuple[int, int]:
        """Where a meter keeps it, and what: the index and its value, or 64 and the flag's index, and the flag."""
        index, value = raw >> 10, raw & 0x3FF
        return (FLAG_INDEX + 1 + (value >> 1), value & 1) if index == FLAG_INDEX else (index, value)

    def details(self, raw: int) -> Details:
        return {"control_index": raw >> 10, "control_value": raw & 0x3FF}

    def _part(self, text: str, most: int) -> int:
        try:
            number = parse_digits("value", text)
        except SettingError:
            number = most + 1
        if number > most:
            raise SettingError(f"expected {self.expected}")
        return number


_INDEX_SHIFT = 30


@dataclass(frozen=True, slots=True)
class ControlIndex(Whole):
    """What an extended read asks for: the control index in the six highest of 36 bits.

    guess: of the rest nothing is known, both published tokens (STS531-1, CTSA24) have zeros there; the table of class 1
    in IEC 62055-41 would settle it.
    """

    most: int = (1 << 36) - 1

    @property
    def expected(self) -> str:
        return f"INDEX (0 to {FLAG_INDEX}), or all 36 bits as a hex number such as 0xfc0000000"

    def parse(self, text: str) -> int:
        try:
            if text.lower().startswith("0x"):
                return self.raw(int(text, 16))
            return self.raw(parse_digits("index", text) << _INDEX_SHIFT)
        except (ValueError, SettingError):
            raise SettingError(f"expected {self.expected}") from None

    def words(self, raw: int) -> str:
        rest = raw & ((1 << _INDEX_SHIFT) - 1)
        return f"index {self.index(raw)}" + (f", other bits {rest:#x}" if rest else "")

    @staticmethod
    def index(raw: int) -> int:
        """Of the value that is asked for."""
        return raw >> _INDEX_SHIFT

    def details(self, raw: int) -> Details:
        return {"control_index": self.index(raw)}


@dataclass(frozen=True, slots=True)
class UnitAmount:
    """An amount in 16 bits. One token unit is ``10^-decimals`` of ``unit``; the meaning counts token units."""

    unit: str
    decimals: int

    @property
    def expected(self) -> str:
        return f"an amount in {self.unit}, such as 25.6" if self.decimals else f"a whole number of {self.unit}"

    def parse(self, text: str) -> int:
        try:
            amount = parse_amount(text)
        except SettingError:
            raise SettingError(f"expected {self.expected}; got {text!r}") from None
        return self.raw(units_for(amount, self.decimals))

    def words(self, raw: int) -> str:
        return f"{self.amount(raw):f} {self.unit}"

    def raw(self, meaning: int) -> int:
        return encode_amount16(meaning)

    def meaning(self, raw: int) -> int:
        return decode_amount16(raw)

    def amount(self, raw: int) -> Decimal:
        """The exact amount in ``unit``."""
        return amount_of(self.meaning(raw), self.decimals)

    def details(self, raw: int) -> Details:
        return {}


@dataclass(frozen=True, slots=True)
class MoneyAmount(UnitAmount):
    """An amount of money in 20 bits: the S&E nibble, then the amount field. May be negative."""

    def raw(self, meaning: int) -> int:
        money = CurrencyAmount.encode(meaning)
        return money.se_nibble << 16 | money.field

    def meaning(self, raw: int) -> int:
        return self.money(raw).units

    def money(self, raw: int) -> CurrencyAmount:
        """Sign, exponent and mantissa."""
        return CurrencyAmount.decode(raw >> 16, raw & 0xFFFF)

    def details(self, raw: int) -> Details:
        money = self.money(raw)
        return {
            "s": int(money.negative),
            "exponent": money.exponent,
            "mantissa": money.mantissa,
            "se_nibble": money.se_nibble,
        }
