"""Times as they stand in the file: whole microseconds since 1970 in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """An aware time as a number."""
    return (at - _EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The number's time, in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def micros_or_none(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def moment_or_none(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
