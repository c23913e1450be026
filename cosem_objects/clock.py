"""COSEM date-time (IEC 62056-6-2 clause 4.1.6.1): 12 octets in which any field may be left open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from struct import Struct

from cosem_objects.errors import RemoteProtocolError

DATE_TIME_SIZE = 12
_LAYOUT = Struct(">H7BhB")
"""Year; month to hundredths, an octet each; deviation; clock status."""
_YEAR_OPEN = 0xFFFF
_OPEN = 0xFF
_DEVIATION_OPEN = -0x8000


@dataclass(frozen=True, slots=True)
class CosemDateTime:
    """A meter's time. ``None`` = not specified. ``deviation`` in minutes: by the standard local time + deviation = UTC,
    so Paris in winter has -60; some meters use the opposite sign (``deviation_sign`` of the profile)."""

    year: int | None = None
    month: int | None = None
    day: int | None = None
    weekday: int | None = None
    hour: int | None = None
    minute: int | None = None
    second: int | None = None
    hundredths: int | None = None
    deviation: int | None = None
    clock_status: int = _OPEN

    @classmethod
    def from_octets(cls, octets: bytes) -> CosemDateTime:
        """Read 12 octets, big-endian. Special values such as 0xFE (last day of month) stay as they are."""
        if len(octets) != DATE_TIME_SIZE:
            raise RemoteProtocolError(f"a date-time has {DATE_TIME_SIZE} octets; {len(octets)} were received")
        year, *fields, deviation, clock_status = _LAYOUT.unpack(octets)
        month, day, weekday, hour, minute, second, hundredths = [None if field == _OPEN else field for field in fields]
        return cls(
            None if year == _YEAR_OPEN else year,
            *(month, day, weekday, hour, minute, second, hundredths),
            None if deviation == _DEVIATION_OPEN else deviation,
            clock_status,
        )

    @classmethod
    def from_datetime(cls, moment: datetime) -> CosemDateTime:
        """An aware ``moment`` keeps its offset; a naive one has no deviation."""
        offset = moment.utcoffset()
        return cls(
            moment.year,
            moment.month,
            moment.day,
            moment.isoweekday(),
            moment.hour,
            moment.minute,
            moment.second,
            moment.microsecond // 10_000,
            None if offset is None else -(offset // timedelta(minutes=1)),
            0,
        )

    def to_octets(self) -> bytes:
        year = _YEAR_OPEN if self.year is None else self.year
        deviation = _DEVIATION_OPEN if self.deviation is None else self.deviation
        fields = (self.month, self.day, self.weekday, self.hour, self.minute, self.second, self.hundredths)
        return (
            year.to_bytes(2, "big")
            + bytes(_OPEN if field is None else field for field in fields)
            + deviation.to_bytes(2, "big", signed=True)
            + bytes((self.clock_status,))
        )

    def to_datetime(self, deviation_sign: int = 1) -> datetime | None:
        """The moment, in UTC when the deviation is known; None when a field up to the minute is open or impossible."""
        if None in (self.year, self.month, self.day, self.hour, self.minute):
            return None
        try:
            moment = datetime(
                self.year or 0, self.month or 0, self.day or 0, self.hour or 0, self.minute or 0, self.second or 0
            )
            if self.deviation is None:
                return moment
            return moment.replace(tzinfo=timezone(-timedelta(minutes=self.deviation * deviation_sign))).astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        def shown(field: int | None, width: int = 2) -> str:
            return "*" * width if field is None else f"{field:0{width}d}"

        date = f"{shown(self.year, 4)}-{shown(self.month)}-{shown(self.day)}"
        return f"{date} {shown(self.hour)}:{shown(self.minute)}:{shown(self.second)}"
