"""Presence: the retained JSON that says whether a meter is there. Pure.

    {"online": true, "since": "2026-01-31T12:00:00+00:00", "fw": "1.2.3", "profile": "default"}

A meter's last will is ``{"online": false}``. Reading is tolerant, because other people write it too: whatever does not
say plainly that a meter is offline leaves it unknown, and an unknown meter is tried.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

STATE_SIZE_MAX = 4096
TEXT_SIZE_MAX = 100


@dataclass(frozen=True, slots=True)
class Presence:
    online: bool
    since: str = ""
    """As the other side wrote it: most often a date and time, or Unix seconds."""
    firmware: str = ""
    profile: str = ""

    def encode(self) -> bytes:
        fields: dict[str, object] = {"online": self.online}
        fields |= {
            name: text
            for name, text in (("since", self.since), ("fw", self.firmware), ("profile", self.profile))
            if text
        }
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


OFFLINE = Presence(online=False)


def parse_presence(payload: bytes) -> Presence | None:
    """``None`` if this says nothing about presence."""
    if not 0 < len(payload) <= STATE_SIZE_MAX:
        return None
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("online"), bool):
        return None
    return Presence(fields["online"], _text(fields, "since"), _text(fields, "fw"), _text(fields, "profile"))


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    shown = "".join(character for character in str(value) if character.isprintable())
    return shown[:TEXT_SIZE_MAX]
