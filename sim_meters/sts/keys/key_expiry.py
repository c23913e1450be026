"""KEN, the key expiry number: until when tokens may be made under a key, and are taken (IEC 62055-41; CTSA16)."""

from __future__ import annotations

from datetime import datetime

from cosem_objects.errors import SettingError
from sim_meters.sts.keys.key_attributes import parse_digits
from sim_meters.sts.tid import BaseDate

KEN_NEVER = 255
"""The key expiry number of a key that does not expire."""


def parse_ken(text: str) -> int:
    """Read 0 to 255. Raises ``SettingError``."""
    ken = parse_digits("ken", text)
    if ken > KEN_NEVER:
        raise SettingError(f"ken: expected 0 to {KEN_NEVER}; got {ken}")
    return ken


def is_expired(ken: int, tid: int) -> bool:
    """Whether a token with this TID is beyond the key's last one: KEN is compared with the upper 8 of 24 bits."""
    return tid >> 16 > ken


def last_moment(ken: int, base_date: BaseDate) -> datetime:
    """The last minute of issue that a key is good for."""
    return base_date.moment((ken + 1 << 16) - 1)


def check_not_expired(ken: int, tid: int, base_date: BaseDate) -> None:
    """For those who make tokens. Raises ``SettingError``."""
    if is_expired(ken, tid):
        last = f"{last_moment(ken, base_date):%Y-%m-%d %H:%M}"
        raise SettingError(f"ken: a key of KEN {ken} expired at {last}, before the moment of issue")
