"""COSEM date-time: 12 octets, any of which may be left open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.clock import CosemDateTime
from cosem_objects.errors import RemoteProtocolError

PARIS_IN_WINTER = timezone(timedelta(hours=1))
OPEN = bytes.fromhex("ffff ff ff ff ff ff ff ff 8000 ff")

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),
    max_value=datetime(2105, 12, 31),
    timezones=offsets,
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 10_000 * 10_000))


def test_a_winter_morning_in_paris_is_written_with_a_deviation_of_minus_60() -> None:
    # IEC 62056-6-2: local time + deviation = UTC. 2026-01-15 is a Thursday, day 4 of the week.
    moment = datetime(2026, 1, 15, 8, 30, 5, 250_000, PARIS_IN_WINTER)
    clock = CosemDateTime.from_datetime(moment)
    assert clock.to_octets().hex(" ") == "07 ea 01 0f 04 08 1e 05 19 ff c4 00"
    assert clock.to_datetime() == datetime(2026, 1, 15, 7, 30, 5, tzinfo=UTC)


def test_a_meter_with_the_opposite_sign_means_the_same_moment() -> None:
    clock = CosemDateTime.from_octets(bytes.fromhex("07ea010f04081e0500003c00"))
    assert clock.to_datetime(deviation_sign=-1) == datetime(2026, 1, 15, 7, 30, 5, tzinfo=UTC)
    assert clock.to_datetime() == datetime(2026, 1, 15, 9, 30, 5, tzinfo=UTC)


def test_all_open_is_a_date_time_that_names_no_moment() -> None:
    clock = CosemDateTime.from_octets(OPEN)
    assert clock == CosemDateTime()
    assert clock.to_octets() == OPEN
    assert clock.to_datetime() is None
    assert str(clock) == "****-**-** **:**:**"


def test_without_deviation_the_moment_has_no_zone() -> None:
    clock = CosemDateTime.from_octets(bytes.fromhex("07ea010fff081eff ff8000ff"))
    moment = clock.to_datetime()
    assert moment is not None
    assert (moment.tzinfo, moment.isoformat()) == (None, "2026-01-15T08:30:00")


@pytest.mark.parametrize(
    "octets",
    [
        "ffff010f04081e0500ffc400",
        "07eaff0f04081e0500ffc400",
        "07ea01ff04081e0500ffc400",
        "07ea010f04ff1e0500ffc400",
        "07ea010f0408ff0500ffc400",
        "07eafe0f04081e0500ffc400",  # month FE: daylight saving begins
        "07ea01fe04081e0500ffc400",  # day FE: the last of the month
        "07ea021e04081e0500ffc400",  # 30 February
        "0000010f04081e0500ffc400",
        "fffe010f04081e0500ffc400",
        "07ea010f04181e0500ffc400",  # hour 24
        "07ea010f04081e05007fff00",  # a deviation of 22 days
        "00010101ff000000007fff00",
        "00010101ff00000000ffc400",  # year 1 has begun here, but not in UTC
        "270f0c1fff173b3b00000100",  # year 9999 still runs here, but not in UTC
    ],
)
def test_a_moment_that_is_open_or_impossible_is_none_and_keeps_its_octets(octets: str) -> None:
    clock = CosemDateTime.from_octets(bytes.fromhex(octets))
    assert clock.to_datetime() is None
    assert clock.to_octets().hex() == octets


@given(st.binary(min_size=12, max_size=12), st.sampled_from([1, -1]))
def test_any_12_octets_are_a_date_time_and_come_back_as_they_were(octets: bytes, sign: int) -> None:
    clock = CosemDateTime.from_octets(octets)
    assert clock.to_octets() == octets
    moment = clock.to_datetime(sign)
    assert moment is None or (moment.tzinfo is None) == (clock.deviation is None)
    assert len(str(clock)) >= 19


@given(moments)
def test_a_moment_survives_to_the_second(moment: datetime) -> None:
    clock = CosemDateTime.from_octets(CosemDateTime.from_datetime(moment).to_octets())
    assert clock.to_datetime() == moment.replace(microsecond=0)
    assert clock.hundredths == moment.microsecond // 10_000
    assert clock.weekday == moment.isoweekday()


@given(st.binary(max_size=40).filter(lambda octets: len(octets) != 12))
def test_another_number_of_octets_is_the_meters_fault(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="12 octets"):
        CosemDateTime.from_octets(octets)
