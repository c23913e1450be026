"""The key-change tokens in a vector file: each from its fields and back, and the tokens of a set among each other.

A section carries only a part of what its entry states (the upper half of KEN, say), so some of that can be told wrong
by the other tokens of the set alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from itertools import combinations

from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.keys.key_attributes import KeyAttributes, parse_digits, parse_key_type
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, encode
from sim_meters.sts.tokens.key_change import NUMBER_OF_SECTION, MeterKey, sections_of
from sim_meters.sts.vectors.vector_entry import Entry
from sim_meters.sts.vectors.vector_keys import derived_key, stated_key

_DKGA_OF_KEY_BYTES = {8: 2, 20: 4}
_LONG_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What an entry states about the change that its token is a part of."""

    present_key: DecoderKey
    base_date: BaseDate | None
    new_key: MeterKey
    new_base_date: BaseDate | None
    new_vending_key: bytes | None = field(repr=False)
    ro: bool
    three_kct: bool

    @property
    def is_long(self) -> bool:
        """Whether the new key is one of 128 bits, which takes four tokens."""
        return len(self.new_key.decoder_key.octets) == _LONG_KEY_BYTES


def check_section(entry: Entry, token: ClearToken) -> None:
    """Compare one section with what the new key's inputs give, in both directions."""
    stated = entry.group("fields")
    change = _stated_change(entry)
    if "set_id" in entry:
        entry.text("set_id")
    if change.three_kct and change.is_long:
        stated.differ("three_kct", "is for sets of three tokens; one of four brings this key")
    _check_new_key(entry, stated, change)
    sections = sections_of(change.new_key, rollover=change.ro, with_sgc=change.three_kct)
    section = next((section for section in sections if section.kind.subclass == token.kind.subclass), None)
    if section is None:
        entry.differ("token_subclass", f"a set of {len(sections)} tokens has no such section")
        return
    found = ClearToken(section.kind, token.upper)
    for part in section.kind.layout:
        if found[part.name] != section[part.name]:
            entry.differ("token", f"{part.label} is not what the fields give")
    entry.compare_block("clear_block_hex", section.clear_block, "fields", is_secret=True)
    entry.compare_token("token", encode(section, change.present_key), "fields")


def check_sets(entries: Iterable[Entry]) -> None:
    """Compare the tokens of each set. Entries that differ by themselves are known to be wrong, and left out."""
    sets: dict[str, list[tuple[Entry, KeyChange]]] = defaultdict(list)
    for entry in entries:
        if not entry.differences and "set_id" in entry and _is_section(entry):
            sets[entry.text("set_id")].append((entry, _stated_change(entry)))
    for members in sets.values():
        _check_agreement(members)
    for one, other in combinations(sets.values(), 2):
        # The second token of a set of three is that of a set of two, and listed once; so a set may well be short of
        # one. But two sets for the same change that have no section in common are one.
        if one[0][1] == other[0][1] and not _sections(one) & _sections(other):
            for entry, _ in one + other:
                entry.differ("set_id", "the tokens of this change have different ones")


def _is_section(entry: Entry) -> bool:
    number = entry.integer("token_class"), entry.integer("token_subclass")
    return any(number == (kind.token_class, kind.subclass) for kind in NUMBER_OF_SECTION)


def _check_agreement(members: list[tuple[Entry, KeyChange]]) -> None:
    names = [f.name for f in fields(KeyChange) if len({getattr(change, f.name) for _, change in members}) > 1]
    if names:
        for entry, _ in members:
            entry.differ("set_id", f"the tokens of this set disagree on {', '.join(names)}")
    elif len(_sections(members)) < len(members):
        for entry, _ in members:
            entry.differ("set_id", "this set has a section twice")


def _sections(members: list[tuple[Entry, KeyChange]]) -> set[int]:
    return {entry.integer("token_subclass") for entry, _ in members}


def _stated_change(entry: Entry) -> KeyChange:
    stated = entry.group("fields")
    is_long = len(entry.octets("new_decoder_key_hex")) == _LONG_KEY_BYTES
    new_key = MeterKey(
        decoder_key=DecoderKey.parse(entry.text("new_decoder_key_hex"), 11 if is_long else 7),
        kt=parse_key_type(stated.digits("new_kt")),
        krn=parse_digits("new_krn", stated.digits("new_krn")),
        ti=parse_digits("new_ti", stated.digits("new_ti")),
        sgc=parse_digits("new_sgc", stated.digits("new_sgc")),
        ken=stated.integer("new_ken"),
    )
    return KeyChange(
        stated_key(entry),
        BaseDate.parse(entry.digits("base_date")) if "base_date" in entry else None,
        new_key,
        BaseDate.parse(stated.digits("new_base_date")) if "new_base_date" in stated else None,
        stated.octets("new_vending_key_hex") if "new_vending_key_hex" in stated else None,
        stated.bit("ro"),
        stated.bit("three_kct"),
    )


def _check_new_key(entry: Entry, stated: Entry, change: KeyChange) -> None:
    """Derive the new key, if the entry says from what."""
    if change.new_vending_key is None or "meter_pan" not in entry:
        return
    dkga = _DKGA_OF_KEY_BYTES.get(len(change.new_vending_key), 4)
    attributes = KeyAttributes.parse(
        entry.text("meter_pan"),
        stated.digits("new_sgc", 6),
        ti=stated.digits("new_ti"),
        krn=stated.digits("new_krn"),
        kt=stated.digits("new_kt"),
        base_date=stated.digits("new_base_date"),
        ea=str(change.new_key.decoder_key.ea),
        dkga=str(dkga),
    )
    if derived_key(stated, "new_vending_key_hex", attributes) != change.new_key.decoder_key:
        entry.differ("new_decoder_key_hex", "is not the key that the new key's inputs give")
    if 2 in (dkga, parse_digits("dkga", entry.digits("dkga"))):
        # No base date enters a key of DKGA02, and these tokens carry no TID: RO alone tells whether it moves.
        is_moved = change.base_date is not change.new_base_date
        if change.ro != is_moved:
            stated.differ("ro", f"states {change.ro:d}; the base date {'changes' if is_moved else 'stays'}")
