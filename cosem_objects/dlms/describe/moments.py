"""COSEM date-times, dates and times as ISO text (IEC 62056-6-2 clause 4.1.6.1).

Fields left open are lines, ``2026-11-__``: stars would look like something that is hidden.
"""

from __future__ import annotations

from datetime import timedelta

from cosem_objects.clock import CosemDateTime

_OPEN = 0xFF
_SPECIAL_MONTHS = {0xFD: "end of daylight saving", 0xFE: "begin of daylight saving"}
_SPECIAL_DAYS = {0xFD: "second last day of month", 0xFE: "last day of month"}
_STATUS_BITS = {
    0x01: "invalid",
    0x02: "doubtful",
    0x04: "different clock base",
    0x08: "invalid clock status",
    0x80: "daylight saving",
}


def date_time_words(octets: bytes) -> str:
    """``2026-11-21T14:50:46+01:00 (deviation -60)`` for 12 octets; ``not specified`` where date and time are open."""
    moment = CosemDateTime.from_octets(octets)
    notes = []
    zone = ""
    if moment.deviation is not None:
        # By the standard local time + deviation = UTC; ISO 8601 counts the other way.
        sign = "-" if moment.deviation > 0 else "+"
        hours, minutes = divmod(abs(moment.deviation), 60)
        zone = f"{sign}{hours:02d}:{minutes:02d}"
        notes.append(f"deviation {moment.deviation}")
    if moment.clock_status != _OPEN:
        notes += [words for bit, words in _STATUS_BITS.items() if moment.clock_status & bit]
    is_open = set(octets[:9]) == {_OPEN}
    shown = "not specified" if is_open else f"{date_words(octets[:5])}T{time_words(octets[5:9])}{zone}"
    return shown + (f" ({', '.join(notes)})" if notes else "")


def date_words(octets: bytes) -> str:
    """``2026-11-21`` for 5 octets."""
    year = int.from_bytes(octets[:2], "big")
    month, day, weekday = octets[2:5]
    special = [words for words in (_SPECIAL_MONTHS.get(month), _SPECIAL_DAYS.get(day)) if words]
    is_open = day == _OPEN and weekday != _OPEN
    special += [f"weekday {weekday}"] if is_open else []
    shown_year = "____" if year == 0xFFFF else f"{year:04d}"
    shown = f"{shown_year}-{_field(month)}-{_field(day)}"
    return f"{shown} [{', '.join(special)}]" if special else shown


def time_words(octets: bytes) -> str:
    """``14:50:46.12`` for 4 octets."""
    hundredths = octets[3]
    shown = ":".join(_field(field) for field in octets[:3])
    return shown if hundredths in (0, _OPEN) else f"{shown}.{hundredths:02d}"


def _field(field: int) -> str:
    return "__" if field >= 0xFD else f"{field:02d}"


def is_date_time(octets: bytes) -> bool:
    """Whether an octet-string of 12 octets can be meant as a date-time: every field is one that a clock can show."""
    if len(octets) != 12:
        return False
    year = int.from_bytes(octets[:2], "big")
    deviation = timedelta(minutes=int.from_bytes(octets[9:11], "big", signed=True))
    month, day, weekday, hour, minute, second, hundredths = octets[2:9]
    is_in_range = (
        (1 <= month <= 12 or month >= 0xFD)
        and (1 <= day <= 31 or day >= 0xFD)
        and 1 <= (weekday if weekday != _OPEN else 1) <= 7
        and all(
            field <= limit or field == _OPEN
            for field, limit in ((hour, 23), (minute, 59), (second, 59), (hundredths, 99))
        )
    )
    is_zone = abs(deviation) <= timedelta(hours=14) or octets[9:11] == b"\x80\x00"
    return (1970 <= year < 2200 or year == 0xFFFF) and is_in_range and is_zone
