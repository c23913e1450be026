"""Meters come back to their broker at once: the pauses of the field would be most of these tests' time."""

from __future__ import annotations

import pytest

from transports.mqtt import coming_back


@pytest.fixture(autouse=True)
def quick_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coming_back, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(coming_back, "PAUSE_SECONDS_MAX", 0.1)
