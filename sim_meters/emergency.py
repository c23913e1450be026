"""Emergency credit: an advance that the customer of an empty meter may take, and that the next tokens pay back first.

Whole token units, as everywhere in the ledger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosem_objects.errors import SettingError
from sim_meters.sts.tokens.amount import parse_amount


@dataclass(frozen=True, slots=True)
class EmergencyCredit:
    """Raises ``SettingError`` for what is no advance."""

    preset_units: int
    """Given at once, when the balance is used up and nothing is owed of the last advance."""

    @classmethod
    def parse(cls, text: str, decimals: int) -> EmergencyCredit:
        """Read an amount such as ``5``; units of 10^-``decimals``, a finer amount is rounded down."""
        try:
            amount = parse_amount(text)
        except SettingError as error:
            raise SettingError(f"emergency credit: {error}") from None
        return cls(math.floor(amount * 10**decimals))

    def __post_init__(self) -> None:
        if self.preset_units < 1:
            raise SettingError(f"emergency credit: expected more than nothing; got {self.preset_units} units")

    def can_be_taken(self, balance_units: int, owed_units: int) -> bool:
        return balance_units <= 0 and owed_units == 0


def repaid_of(token_units: int, owed_units: int) -> int:
    """What a token of ``token_units`` pays back of an advance. A token that takes money away pays nothing."""
    return min(max(0, token_units), owed_units)
