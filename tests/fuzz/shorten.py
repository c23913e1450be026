"""Making an input that breaks something as short as it can be."""

from __future__ import annotations

import traceback
from collections.abc import Callable

TRIES_MAX = 20_000


def shortened(one_input: Callable[[bytes], None], octets: bytes) -> bytes:
    """A shorter input that breaks ``one_input`` at the same place; pieces are left out, long ones first."""
    wanted, tries, size = broken_at(one_input, octets), 0, len(octets) // 2
    while wanted is not None and size:
        start = 0
        while start < len(octets) and tries < TRIES_MAX:
            shorter, tries = octets[:start] + octets[start + size :], tries + 1
            if broken_at(one_input, shorter) == wanted:
                octets = shorter
            else:
                start += size
        size //= 2
    return octets


def broken_at(one_input: Callable[[bytes], None], octets: bytes) -> tuple[str, str, int | None] | None:
    """What an input raises and where; ``None`` if nothing."""
    try:
        one_input(octets)
    except Exception as error:  # whatever a target lets out is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return type(error).__name__, where.filename, where.lineno
    return None
