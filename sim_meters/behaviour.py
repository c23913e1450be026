"""Scripted misbehaviour: what a meter does wrong, on order and countably, so that a head-end can prove its patience."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from cosem_objects.errors import SettingError


class Fault(StrEnum):
    """What can go wrong. The public client is never meant: who finds a meter must be able to ask it its name."""

    HANG_UP_BEFORE_ENTER = "hang-up-before-enter"
    """The link is closed when a token arrives; nothing is booked."""
    HANG_UP_AFTER_ENTER = "hang-up-after-enter"
    """The token is booked, then the link is closed without an answer."""
    DROP_ANSWER_AFTER_ENTER = "drop-answer-after-enter"
    """The token is booked and the answer never sent; the link stays."""
    STALE_STATUS = "stale-status"
    """The token is booked and answered, but the Token gateway goes on to show the one before."""
    REFUSE_ASSOCIATION = "refuse-association"
    """The association is rejected as transient: busy, try again."""


_FORM = re.compile(r"([a-z-]+)(?::(\d{1,6})(%?))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """One fault, and how often: ``count`` times (``None``: always), each time with this chance."""

    fault: Fault
    count: int | None = None
    chance_percent: int = 100

    @classmethod
    def parse(cls, text: str) -> FaultOrder:
        """Read ``NAME``, ``NAME:COUNT`` or ``NAME:PERCENT%``. Raises ``SettingError``."""
        match = _FORM.fullmatch(text)
        if match is None or match[1] not in list(Fault):
            raise SettingError(f"fault: expected NAME, NAME:COUNT or NAME:PERCENT%, NAME one of {', '.join(Fault)}")
        fault, number, is_percent = Fault(match[1]), match[2], match[3]
        if number is None:
            return cls(fault)
        if not is_percent:
            return cls(fault, count=int(number))
        if int(number) > 100:
            raise SettingError(f"fault: expected at most 100%; got {number}%")
        return cls(fault, chance_percent=int(number))


class Behaviour:
    """What is still to go wrong with one meter."""

    def __init__(self, orders: Iterable[FaultOrder] = (), rng: Random | None = None) -> None:
        self._orders = {order.fault: order for order in orders}
        self._left = {fault: order.count for fault, order in self._orders.items()}
        self._rng = rng or Random(0)  # noqa: S311 - chance on order, not a secret

    def happens(self, fault: Fault) -> bool:
        """Whether it goes wrong this time; uses up one of a counted fault."""
        order, left = self._orders.get(fault), self._left.get(fault)
        if order is None or left == 0:
            return False
        if order.chance_percent < 100 and self._rng.randrange(100) >= order.chance_percent:
            return False
        if left is not None:
            self._left[fault] = left - 1
        return True
