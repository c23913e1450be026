"""Times as people type them, and as the API says them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from cosem_objects.errors import SettingError
from gateway.cli.service.tables import cell

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def moment_from(name: str, text: str | None) -> datetime | None:
    """A time, in the zone of this machine unless it names its own; in UTC. Raises ``SettingError``."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text if _TIME.fullmatch(text) else "").astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingError(
            f"{name} {text[:40]!r}: expected a time such as 2026-11-21T22:00 or …+02:00 behind"
        ) from None


def local_time(text: Any) -> str:
    """A time of the API in the zone of this machine; seconds are enough."""
    try:
        moment = datetime.fromisoformat(str(text)).astimezone()
    except (ValueError, OverflowError):
        return cell(text)
    return f"{moment:%Y-%m-%d %H:%M:%S}"
