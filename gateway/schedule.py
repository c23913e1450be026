"""When to try again: growing waits with chance in them, inside the hours in which a meter may be called. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from cosem_objects.errors import SettingError

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DAYS_AHEAD = 3
"""A window opens every day; one that a change of the clocks swallows opens the day after."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of each day, in local time: from the first minute up to the last, which is no longer in it. ``22:00-06:00``
    goes over midnight."""

    opens: time
    closes: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``HH:MM-HH:MM``. Raises ``SettingError``."""
        found = _WINDOW.fullmatch(text)
        if found is None or found[1] + found[2] == found[3] + found[4]:
            raise SettingError(f"window {text[:20]!r}: expected two times of day, such as 22:00-06:00")
        hours = [int(part) for part in found.groups()]
        return cls(time(hours[0], hours[1]), time(hours[2], hours[3]))

    def holds(self, moment: time) -> bool:
        if self.opens < self.closes:
            return self.opens <= moment < self.closes
        return moment >= self.opens or moment < self.closes

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"


def in_window(moment: datetime, windows: Sequence[Window], zone: tzinfo = UTC) -> datetime:
    """The first moment from ``moment`` on, in UTC, in which a window is open; no windows = always."""
    local = moment.astimezone(zone)
    if not windows or any(window.holds(local.time()) for window in windows):
        return moment
    openings = [
        datetime.combine(local.date() + timedelta(days=days), window.opens, zone).astimezone(UTC)
        for window in windows
        for days in range(_DAYS_AHEAD)
    ]
    return min(opening for opening in openings if opening > moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double from ``first`` up to ``longest`` seconds, each drawn anew between half of it and all."""

    first_seconds: float = 60.0
    longest_seconds: float = 6 * 3600.0

    def wait(self, failures: int, chance: float) -> timedelta:
        """How long to wait after this many failures in a row, from 1 on; ``chance`` is drawn from 0 to below 1."""
        full = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 40))
        return timedelta(seconds=full * (0.5 + chance / 2))
