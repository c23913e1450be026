"""Times as people type them, and as the API says them."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
            f"{name} {text[:40]!r}: expected a time such as 2026-11-21T22:00, which is in this machine's zone, "
            "2026-11-21T22:00+02:00 or 2026-11-21T20:00Z"
        ) from None


def shown_time(text: Any) -> str:
    """A time of the API as its story's texts say theirs: in UTC, in seconds. A meter's clock may have no zone."""
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            return f"{moment:%Y-%m-%d %H:%M:%S}"
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError):
        return cell(text)


def with_shown_times(value: Any) -> Any:
    """An answer of the API, with its times as they are shown."""
    if isinstance(value, Mapping):
        return {name: shown_time(one) if _is_time(name) else with_shown_times(one) for name, one in value.items()}
    return [with_shown_times(one) for one in value] if isinstance(value, list) else value


def _is_time(name: str) -> bool:
    return name.endswith("_at") or name in ("not_before", "token_time")
