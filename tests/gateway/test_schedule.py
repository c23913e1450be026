"""Waits grow within their limits, and end only in hours in which a meter may be called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from gateway.schedule import Backoff, Window, in_window

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("UTC", "Africa/Johannesburg", "Europe/Berlin", "America/St_Johns")]
)
TIMES = st.times().map(lambda time: f"{time:%H:%M}")
WINDOWS = st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] != pair[1]).map("-".join).map(Window.parse)


@given(MOMENTS, st.lists(WINDOWS, max_size=4), ZONES)
def test_a_window_is_open_at_the_moment_that_is_given_and_it_is_never_earlier(
    moment: datetime, windows: list[Window], zone: ZoneInfo
) -> None:
    found = in_window(moment, windows, zone)
    assert found >= moment
    assert found.utcoffset() == timedelta(0)
    local = found.astimezone(zone)
    # An hour that a change of the clocks swallows cannot be held to.
    is_real = local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset()
    assert not windows or not is_real or any(window.holds(local.time()) for window in windows)


@given(MOMENTS, WINDOWS)
def test_the_first_opening_is_taken(moment: datetime, window: Window) -> None:
    found = in_window(moment, [window])
    assert found == moment or (found.time() == window.opens and found - moment < timedelta(days=1))


def test_a_window_over_midnight_is_one_window() -> None:
    night = Window.parse("22:00-06:00")
    inside = datetime(2026, 11, 21, 3, tzinfo=UTC)
    assert in_window(inside, [night]) == inside
    assert in_window(inside.replace(hour=6), [night]) == inside.replace(hour=22)
    assert str(night) == "22:00-06:00"


def test_hours_are_local() -> None:
    night = Window.parse("22:00-06:00")
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert in_window(noon, [night], ZoneInfo("Africa/Johannesburg")) == noon.replace(hour=20)


@pytest.mark.parametrize(
    "text", ["", "22-06", "24:00-06:00", "22:00-22:00", "22:60-06:00", "22:00–06:00", "٢٢:00-06:00"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected two times of day"):
        Window.parse(text)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_its_size_and_never_above_the_longest(failures: int, chance: float) -> None:
    backoff = Backoff(first_seconds=60, longest_seconds=3600)
    full = min(3600, 60 * 2 ** min(failures - 1, 40))
    assert full / 2 <= backoff.wait(failures, chance).total_seconds() <= full


def test_waits_double() -> None:
    backoff = Backoff(first_seconds=60, longest_seconds=1000)
    assert [backoff.wait(n, 0.0).total_seconds() for n in (1, 2, 3, 4, 5, 6)] == [30, 60, 120, 240, 480, 500]
