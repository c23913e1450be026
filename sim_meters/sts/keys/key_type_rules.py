"""Which key may replace which (IEC 62055-41, state diagram of key types).

guess: the row of DUTK is stated by one public text of the clause, and "never back to DITK" by two; the rows of DITK,
DDTK and DCTK are from memory of the diagram, and consistent with these. The clause on key changes would settle it.
"""

from __future__ import annotations

from collections.abc import Mapping

from sim_meters.sts.keys.key_attributes import KeyType

_DITK, _DDTK, _DUTK, _DCTK = KeyType

PERMITTED: Mapping[KeyType, frozenset[KeyType]] = {
    _DITK: frozenset({_DITK, _DDTK, _DUTK, _DCTK}),
    _DDTK: frozenset({_DDTK, _DUTK, _DCTK}),
    _DUTK: frozenset({_DDTK, _DUTK}),
    _DCTK: frozenset({_DDTK, _DCTK}),
}
"""Present key type -> what a set under it may bring."""

MAGNETIC_CARD = 1
COMMON_KEY_CARRIER = {_DCTK: MAGNETIC_CARD}
"""A common key is for meters with this token carrier alone (TCT 01, erasable magnetic card)."""


def is_permitted(present: KeyType, new: KeyType, carriers: tuple[int, ...]) -> bool:
    """Whether a meter with these token carriers may change from one to the other."""
    return new in PERMITTED[present] and is_for_carriers(new, carriers)


def is_for_carriers(key_type: KeyType, carriers: tuple[int, ...]) -> bool:
    """Whether a meter with these token carriers may hold such a key at all."""
    return COMMON_KEY_CARRIER.get(key_type) in (None, *carriers)
