"""How a number of the standard is shown to a person."""

from __future__ import annotations

from enum import IntEnum


def spell(kind: type[IntEnum], value: int) -> str:
    """``authentication-failure (13)``: the standard's name and number; a number that it does not know as such."""
    try:
        return f"{kind(value).name.lower().replace('_', '-')} ({value})"
    except ValueError:
        return f"unknown ({value})"
