"""A key-change set, and what class 116 says about whether it took effect. Pure.

A meter puts a set into effect when it has all of its sections, and then at once. Until then each section is only
stored; it may be sent again, and an incomplete set is forgotten after a while (IEC 62055-41, key change). So the status
of a section says little, and the meter's key attributes say all: they are compared with what the caller expects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from cosem_objects.errors import SettingError
from cosem_objects.payment import KEY_ATTRIBUTES, KeyAttributes
from cosem_objects.profile import KeyChangeProof, MeterProfile
from cosem_objects.sts_token import Token, TokenClass
from gateway.orders import SECTIONS_MAX

SECTIONS_MIN = 2
NO_SUPPLY_GROUP = 0
"""What meters show as supply group that took a set of two sections, which does not carry it (STS Association, FAQ)."""
_GROUP = frozenset({"supply_group_code"})


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The sections of one set, in the sequence in which they are sent, and what class 116 must show afterwards."""

    sections: tuple[Token, ...]
    new_key: KeyAttributes
    """Only what is said in it is compared. If nothing is, anything that changed is the proof."""

    def check(self, profile: MeterProfile) -> None:
        """Raises ``SettingError`` for a set that no meter takes, or that could not be proven with this model."""
        for token in self.sections:
            if token.token_class is not TokenClass.METER_SPECIFIC_MANAGEMENT:
                raise SettingError(f"token {token.masked} is of class {token.token_class:d}, a section is of class 2")
        count = len(self.sections)
        if not SECTIONS_MIN <= count <= SECTIONS_MAX:
            raise SettingError(f"key_change: a set has {SECTIONS_MIN} to {SECTIONS_MAX} sections, {count} were given")
        if profile.key_change_proof is KeyChangeProof.CLASS_116:
            self._check_proof(profile)

    def _check_proof(self, profile: MeterProfile) -> None:
        if profile.sts_obis is None:
            advice = 'key_change_proof = "status" lets statuses prove a key change'
            raise SettingError(f"key_change: profile {profile.name} has no class 116 (sts_obis); {advice}")
        said = _said(self.new_key).keys()
        carries_group = len(self.sections) > SECTIONS_MIN
        if said - ({} if carries_group else _GROUP):
            return
        named = f"{'new-sgc, ' if carries_group else ''}new-krn, new-ti, new-kt, new-ken"
        why = "; a set of two sections does not carry the supply group" if said else ""
        raise SettingError(f"key_change: one of {named}, new-ea is needed: class 116 must show it afterwards{why}")


def new_key_of(said: Mapping[str, Any]) -> KeyAttributes:
    """What an order says of its new key, in the members of the API; base_date is nothing that class 116 shows."""
    values = {place: said.get(name) for name, place in _API_NAMES.items()}
    return KeyAttributes(**{place: None if value is None else int(value) for place, value in values.items()})


_API_NAMES = {
    "ea": "encryption_algorithm",
    "sgc": "supply_group_code",
    "ti": "tariff_index",
    "krn": "key_revision_number",
    "kt": "key_type",
    "ken": "key_expiry_number",
}


class KeyShown(Enum):
    """What class 116 says, compared with what the set is to bring."""

    NEW = auto()
    OLD = auto()
    """As before the first section of ours."""
    OTHER = auto()
    """Neither."""
    SILENT = auto()
    """Nothing about what was to be compared."""
    UNREAD = auto()
    """Nothing could be read since."""
    UNASKED = auto()
    """This model is not asked: its statuses have to do."""


def key_shown(new_key: KeyAttributes, before: KeyAttributes | None, now: KeyAttributes) -> KeyShown:
    """Compares what is said in ``new_key``; if nothing is, whether anything changed. ``before``: what was first read in
    this run, None if that is ``now``."""
    expected, shown = _said(new_key), _said(_with_known_group(now))
    if not expected and shown:
        earlier = {} if before is None else _said(_with_known_group(before))
        is_changed = any(shown[name] != earlier[name] for name in shown.keys() & earlier.keys())
        return KeyShown.NEW if is_changed else KeyShown.OLD
    compared = {name: value for name, value in expected.items() if name in shown or name not in _GROUP}
    if not compared or not compared.keys() <= shown.keys():
        return KeyShown.SILENT
    if all(shown[name] == value for name, value in compared.items()):
        return KeyShown.NEW
    earlier = shown if before is None else _said(before)
    is_as_before = all(earlier.get(name, value) == value for name, value in shown.items())
    return KeyShown.OLD if is_as_before else KeyShown.OTHER


def is_partly_new(new_key: KeyAttributes, now: KeyAttributes) -> bool:
    """Whether the meter shows any of the new values."""
    shown = _said(_with_known_group(now))
    expected = _said(new_key)
    return not expected or any(shown.get(name) == value for name, value in expected.items())


def _said(key: KeyAttributes) -> Mapping[str, int]:
    values = {name: getattr(key, name) for name in KEY_ATTRIBUTES}
    return {name: value for name, value in values.items() if value is not None}


def _with_known_group(key: KeyAttributes) -> KeyAttributes:
    return replace(key, supply_group_code=None) if key.supply_group_code == NO_SUPPLY_GROUP else key
