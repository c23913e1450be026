"""The token identifier (TID): whole minutes since a base date, 24 bits, which no two tokens of a meter share.

The moments here are plain calendar times in the one time scale a supply group uses for its TIDs.
guess: UTC, unless configured otherwise; no text we could read forces it (a supply group's vending system would tell).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum

from cosem_objects.errors import SettingError

TID_MAX = (1 << 24) - 1
_MINUTES_A_DAY = 24 * 60
_RESERVED_MINUTE = 1


class BaseDate(IntEnum):
    """The year on whose first of January, 00:00, the TID is zero."""

    BASE_1993 = 1993
    BASE_2014 = 2014
    BASE_2035 = 2035

    @classmethod
    def parse(cls, text: str) -> BaseDate:
        """Read ``1993``, ``2014`` or ``2035``. Raises ``SettingError``."""
        for base_date in cls:
            if text == str(base_date.value):
                return base_date
        raise SettingError(f"base date: expected 1993, 2014 or 2035; got {text!r}")

    def moment(self, tid: int) -> datetime:
        """The minute that a TID stands for."""
        return datetime(self.value, 1, 1) + timedelta(minutes=tid)

    def tid_at(self, moment: datetime) -> int:
        """The TID of an ordinary token issued then; seconds do not count. Raises ``SettingError`` out of range."""
        minutes = (moment - self.moment(0)) // timedelta(minutes=1)
        return self._ordinary(minutes)

    def next_tid(self, now: datetime, last: int | None) -> int:
        """The TID for one more token to a meter whose latest token carried ``last``.

        Several tokens within one minute take the following minutes (STS531-1, CTSA09).
        """
        now_tid = self.tid_at(now)
        return now_tid if last is None or last < now_tid else self._ordinary(last + 1)

    def _ordinary(self, minutes: int) -> int:
        # 00:01 of every day is kept for special applications; an ordinary token takes 00:02 (STS531-1, CTSA09).
        # guess: the same holds when counting up lands there; two tokens issued at 00:00 would settle it.
        tid = minutes + 1 if minutes % _MINUTES_A_DAY == _RESERVED_MINUTE else minutes
        if not 0 <= tid <= TID_MAX:
            first, end, asked = self.moment(0), self.moment(TID_MAX), self.moment(minutes)
            side = "later" if minutes > 0 else "earlier"
            raise SettingError(
                f"TID: base date {self.value} spans {first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}; "
                f"{asked:%Y-%m-%d %H:%M} is {side}"
            )
        return tid


def check_tid(tid: int) -> int:
    """The TID itself, if it has 24 bits; raises ``SettingError`` otherwise."""
    if not 0 <= tid <= TID_MAX:
        raise SettingError(f"TID: expected 0 to {TID_MAX}; got {tid}")
    return tid
