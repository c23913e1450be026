"""The key inputs of a vector entry, and the decoder key they should give."""

from __future__ import annotations

from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes, parse_digits
from sim_meters.sts.vectors.vector_entry import Entry


def check_keys(entry: Entry) -> DecoderKey:
    """The decoder key as the entry has it; compared with what the vending key gives, if there is one."""
    if "vending_key_hex" in entry and derived_key(entry, "vending_key_hex", _attributes(entry)) != stated_key(entry):
        entry.differ("decoder_key_hex", "is not the key that the key inputs give")
    return stated_key(entry)


def stated_key(entry: Entry) -> DecoderKey:
    """The decoder key as the entry has it."""
    return DecoderKey.parse(entry.text("decoder_key_hex"), parse_digits("ea", entry.digits("ea")))


def derived_key(entry: Entry, name: str, attributes: KeyAttributes) -> DecoderKey:
    """The decoder key that the vending key in the field ``name`` gives."""
    vending_key = VendingKey.parse(entry.text(name), attributes.dkga)
    if vending_key.octets != entry.octets(name):
        # The parity bits are redundant, and redundancy is there to be compared.
        entry.differ(name, "expected odd parity in each byte")
    return derive_decoder_key(vending_key, attributes)


def _attributes(entry: Entry) -> KeyAttributes:
    return KeyAttributes.parse(
        entry.text("meter_pan"),
        entry.digits("sgc", 6),
        ti=entry.digits("ti"),
        krn=entry.digits("krn"),
        kt=entry.digits("kt"),
        base_date=entry.digits("base_date"),
        ea=entry.digits("ea"),
        dkga=entry.digits("dkga"),
    )
