"""The settings of a token machine, and the attributes of its key: read from text, and kept within their limits."""

from __future__ import annotations

import pytest

from cosem_objects.errors import SettingError
from sim_meters.sts.machine.machine_settings import MachineSettings
from tests.sim_meters.lab_tokens import machine, meter_key


@pytest.mark.parametrize(("name", "low", "high"), [("krn", 1, 9), ("ti", 0, 99), ("sgc", 0, 999_999), ("ken", 0, 255)])
def test_the_attributes_of_a_key_have_their_limits(name: str, low: int, high: int) -> None:
    for good in (low, high):
        assert getattr(meter_key(**{name: good}), name) == good
    for bad in (low - 1, high + 1):
        with pytest.raises(SettingError, match=f"^{name}: expected {low} to {high}; got {bad}"):
            meter_key(**{name: bad})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("depth=1", "expected NAME=VALUE with a name of tid_depth, section_timeout_seconds,"),
        ("tid_depth=0", "tid_depth: expected 1 to 1000; got 0"),
        ("kct_supported=five", "kct_supported: expected 0, 2, 3 or 4; got 'five'"),
        ("kct_supported=1", "kct_supported: expected 0, 2, 3 or 4; got '1'"),
        ("sgc_after_two_sections=lose", "sgc_after_two_sections: expected one of keep, zero; got 'lose'"),
        ("refuses_former_keys=yes", "refuses_former_keys: expected true or false; got 'yes'"),
        ("control_indexes=1,64", "control_indexes: expected 0 to 63; got 64"),
        ("lock_out=never", "lock_out: expected one of off, keypad, all; got 'never'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        MachineSettings.parse([text])
    assert str(caught.value).startswith(message)


def test_settings_are_read_from_text() -> None:
    given_texts = [
        "tid_depth = 20",
        "control_indexes=",
        "lock_out=all",
        "checks_ken=false",
        "sgc_after_two_sections=zero",
    ]
    settings = MachineSettings.parse(text.replace(" ", "") for text in given_texts)
    assert (settings.tid_depth, settings.control_indexes, settings.lock_out) == (20, frozenset(), "all")
    assert (settings.checks_ken, settings.sgc_after_two_sections) == (False, "zero")
    assert machine(tid_depth=20).tids.depth == 20
