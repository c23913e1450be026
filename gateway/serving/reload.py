"""Which settings can be changed while the service runs, and what is different between two of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.settings.loading import all_settings
from gateway.settings.sections import Settings

_WHILE_RUNNING = ("delivery", "links", "retention", "health", "log")
_WHILE_RUNNING_ALONE = ("service.drain_seconds", "metrics.refresh_seconds")
_AT_START_ALONE = ("delivery.counter_block", "links.linger_seconds")


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting that has another value."""

    name: str
    before: Any
    after: Any

    @property
    def can_change(self) -> bool:
        """Without a restart."""
        is_in_section = self.name.partition(".")[0] in _WHILE_RUNNING and self.name not in _AT_START_ALONE
        return is_in_section or self.name in _WHILE_RUNNING_ALONE

    def __str__(self) -> str:
        return f"{self.name} {_shown(self.before)} -> {_shown(self.after)}"


def differences(running: Settings, wanted: Settings) -> Iterator[Difference]:
    """In the sequence of the file."""
    before, after = running.model_dump(), wanted.model_dump()
    for setting in all_settings():
        section, _, name = setting.name.partition(".")
        if before[section][name] != after[section][name]:
            yield Difference(setting.name, before[section][name], after[section][name])


def reloaded(running: Settings, wanted: Settings) -> Settings:
    """What runs from now on: the running settings, with what can be changed as it is wanted."""
    values = running.model_dump()
    for difference in differences(running, wanted):
        if difference.can_change:
            section, _, name = difference.name.partition(".")
            values[section][name] = difference.after
    return Settings.model_validate(values)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value!r}" if isinstance(value, str) else f"{value:g}"
