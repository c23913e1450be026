"""Debt recovery: the part of every credit token that a payment-event-based Charge (class 113) keeps.

Whole token units, as everywhere in the ledger. The part is rounded down, in the customer's favour, so a small token
may pay nothing back; and it is never more than what is still owed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from cosem_objects.charge import PROPORTION_WHOLE
from cosem_objects.errors import SettingError
from sim_meters.sts.tokens.amount import parse_amount

_HUNDREDTHS = PROPORTION_WHOLE // 100
"""A proportion counts in hundredths of a per cent."""


@dataclass(frozen=True, slots=True)
class DebtRecovery:
    """Raises ``SettingError`` for what is no debt."""

    owed_units: int
    """Token units owed when the meter was new."""
    proportion: int
    """Kept of every credit token, in parts of 10000."""

    @classmethod
    def parse(cls, text: str, decimals: int) -> DebtRecovery:
        """Read ``AMOUNT:PERCENT``, such as ``100:25`` or ``49.90:12.5``; units of 10^-``decimals``.

        A finer amount is rounded down, in the customer's favour. Raises ``SettingError``.
        """
        amount, _, percent = text.partition(":")
        try:
            owed, proportion = parse_amount(amount) * 10**decimals, parse_amount(percent) * _HUNDREDTHS
        except SettingError:
            raise SettingError(f"debt: expected AMOUNT:PERCENT such as 100:25; got {text!r}") from None
        if proportion != int(proportion):
            raise SettingError(f"debt: expected at most two decimals in the per cent; got {text!r}")
        if not 0 <= proportion <= PROPORTION_WHOLE:
            raise SettingError(f"debt: expected 0 to 100 per cent; got {text!r}")
        return cls(math.floor(owed), int(proportion))

    def __post_init__(self) -> None:
        if self.owed_units < 0:
            raise SettingError(f"debt: expected no negative amount; got {self.owed_units} units")
        if not 0 <= self.proportion <= PROPORTION_WHOLE:
            raise SettingError(f"debt proportion: expected 0 to {PROPORTION_WHOLE}; got {self.proportion}")

    def remaining(self, collected_units: int) -> int:
        """What is still owed once so much was collected."""
        return max(0, self.owed_units - collected_units)

    def part_of(self, token_units: int, collected_units: int) -> int:
        """What a token of ``token_units`` pays back. A token that takes money away pays nothing."""
        part = max(0, token_units) * self.proportion // PROPORTION_WHOLE
        return min(part, self.remaining(collected_units))
