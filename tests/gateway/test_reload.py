"""What a reload changes: everything that can change while the service runs, and nothing else."""

from __future__ import annotations

import pytest

from gateway.serving.reload import Difference, differences, reloaded
from gateway.settings.loading import all_settings
from gateway.settings.sections import Settings

BEFORE = Settings()
WHILE_RUNNING = {
    *("delivery.in_flight_max", "delivery.first_wait_seconds", "links.tcp_concurrency", "retention.days"),
    *("health.disk_free_mib_min", "log.level", "log.format", "service.drain_seconds", "metrics.refresh_seconds"),
}
AT_START_ALONE = {
    *("service.http", "service.data_dir", "service.key_file", "service.tls_key", "service.insecure", "database.url"),
    *("delivery.counter_block", "api.requests_burst", "webhooks.in_flight_max", "metrics.open", "trace.orders_kept"),
}


def changed(*keys: str) -> Settings:
    values = BEFORE.model_dump()
    for key in keys:
        section, _, name = key.partition(".")
        old = values[section][name]
        if isinstance(old, bool):
            values[section][name] = not old
        elif isinstance(old, str):
            values[section][name] = {"log.level": "error", "log.format": "json", "service.http": "[::1]:1"}.get(
                key, "x"
            )
        else:
            values[section][name] = type(old)(old + 1)
    return Settings.model_validate(values)


def test_the_same_settings_are_not_different() -> None:
    assert list(differences(BEFORE, Settings())) == []
    assert reloaded(BEFORE, Settings()) == BEFORE


@pytest.mark.parametrize("key", sorted(WHILE_RUNNING))
def test_a_setting_that_can_change_while_it_runs_does(key: str) -> None:
    wanted = changed(key)
    (found,) = differences(BEFORE, wanted)
    assert (found.name, found.can_change) == (key, True)
    assert reloaded(BEFORE, wanted) == wanted


@pytest.mark.parametrize("key", sorted(AT_START_ALONE))
def test_a_setting_that_needs_a_restart_stays_and_is_named_each_time(key: str) -> None:
    wanted = changed(key)
    (found,) = differences(BEFORE, wanted)
    assert (found.name, found.can_change) == (key, False)
    running = reloaded(BEFORE, wanted)
    assert running == BEFORE
    assert list(differences(running, wanted)) == [found]


def test_both_kinds_at_once_in_the_sequence_of_the_file() -> None:
    keys = [setting.name for setting in all_settings() if setting.name in WHILE_RUNNING | AT_START_ALONE]
    wanted = changed(*keys)
    assert [difference.name for difference in differences(BEFORE, wanted)] == keys
    assert {difference.name for difference in differences(reloaded(BEFORE, wanted), wanted)} == AT_START_ALONE


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (10, 20, "x 10 -> 20"),
        (True, False, "x true -> false"),
        ("a", "b", "x 'a' -> 'b'"),
        (0.5, 3600.0, "x 0.5 -> 3600"),
    ],
)
def test_a_difference_is_shown_with_both_values(before: object, after: object, shown: str) -> None:
    assert str(Difference("x", before, after)) == shown
