"""The meter's account: what it sells, in what it counts that, and how a balance is shown in the 32 bits of the class.

The balance is kept in *token units* (0.1 kWh, or 1e-5 of the currency), as they travel in tokens, so no addition ever
rounds. Only what the Account and Credit objects show is cut down to their scale, towards minus infinity: a meter
never shows credit that is not there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cosem_objects.errors import SettingError
from cosem_objects.payment import Currency, CurrencyUnit
from sim_meters.sts.tokens.amount import amount_of
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import credit_kind

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1

# One token unit is 0.1 kWh, m3 or minute: at -1 every token changes the number shown by exactly its own units.
_OWN_UNIT_SCALE = -1
# Cents: what people read on a receipt. The 1e-5 of a token are kept behind it.
_MONEY_SCALE = -2
_CURRENCY_FORM = re.compile(r"([A-Z]{3})(?::(-?\d))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountUnit:
    """What an account counts: the one token type that adds to it, and the currency that it shows."""

    kind: TokenKind
    currency: Currency

    @classmethod
    def kwh(cls, scale: int = _OWN_UNIT_SCALE) -> AccountUnit:
        return cls.own(Commodity.ELECTRICITY, scale)

    @classmethod
    def own(cls, commodity: Commodity, scale: int = _OWN_UNIT_SCALE) -> AccountUnit:
        """In the commodity's own unit: kWh, m3 or minutes."""
        kind = credit_kind(commodity, currency=False)
        unit = CurrencyUnit.TIME if commodity is Commodity.TIME else CurrencyUnit.CONSUMPTION
        return cls(kind, Currency(kind.unit, scale, unit))

    @classmethod
    def money(cls, code: str, scale: int = _MONEY_SCALE, commodity: Commodity = Commodity.ELECTRICITY) -> AccountUnit:
        return cls(credit_kind(commodity, currency=True), Currency(code, scale, CurrencyUnit.MONETARY))

    @classmethod
    def parse(cls, currency: str | None, commodity: str | None = None) -> AccountUnit:
        """Read ``CODE[:SCALE]`` of an account in money (``None``: in the commodity's own unit), and what the meter
        sells (``None``: electricity). Raises ``SettingError``."""
        sold = Commodity.ELECTRICITY if commodity is None else parse_commodity(commodity)
        return cls.own(sold) if currency is None else cls._parse_money(currency, sold)

    @classmethod
    def _parse_money(cls, text: str, commodity: Commodity) -> AccountUnit:
        match = _CURRENCY_FORM.fullmatch(text)
        if match is None:
            raise SettingError(
                f"currency: expected a currency code of three capitals, if need be with a scale from -9 to 9, "
                f"such as ZAR or ZAR:-2; got {text!r}"
            )
        code, scale = match.groups()
        return cls.money(code, _MONEY_SCALE if scale is None else int(scale), commodity)

    @property
    def commodity(self) -> Commodity:
        """What the meter sells."""
        assert self.kind.commodity is not None, "a credit is for something"
        return self.kind.commodity

    def raw(self, units: int) -> int:
        """What the objects show for so many token units: a number of 10^scale."""
        finer = -self.kind.decimals - self.currency.scale
        shift: int = 10 ** abs(finer)
        return units * shift if finer >= 0 else units // shift

    def fits(self, units: int) -> bool:
        """Whether a balance of so many token units can be shown in 32 bits; one that cannot would overflow."""
        return _INT32_MIN <= self.raw(units) <= _INT32_MAX

    def words(self, units: int) -> str:
        """``25.6 kWh``: the exact amount, for people."""
        return f"{amount_of(units, self.kind.decimals):f} {self.currency.name}"


def parse_commodity(text: str) -> Commodity:
    """Read ``electricity``, ``water``, ``gas`` or ``time``. Raises ``SettingError``."""
    try:
        return Commodity(text)
    except ValueError:
        names = ", ".join(commodity.value for commodity in Commodity)
        raise SettingError(f"commodity: expected one of {names}; got {text!r}") from None
