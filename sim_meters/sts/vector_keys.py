"""The key inputs of a vector entry, and the decoder key they should give."""

from __future__ import annotations

from sim_meters.sts.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes, parse_digits
from sim_meters.sts.vector_entry import Entry

_KEY_BYTES_NOT_COVERED = {11: 16}
"""EA codes whose keys are not derived yet, and the key length that can be told all the same."""


def check_keys(entry: Entry) -> str | None:
    """Re-derive the decoder key if the entry states a vending key; says what is not covered yet."""
    ea = parse_digits("ea", entry.text("ea"))
    if ea in _KEY_BYTES_NOT_COVERED:
        entry.octets("decoder_key_hex", _KEY_BYTES_NOT_COVERED[ea])
        return f"EA{ea:02d}"
    if "vending_key_hex" in entry:
        attributes = _attributes(entry)
        vending_key = VendingKey.parse(entry.text("vending_key_hex"), attributes.dkga)
        if vending_key.octets != entry.octets("vending_key_hex"):
            # The parity bits are redundant, and redundancy is there to be compared.
            entry.differ("vending_key_hex", "expected odd parity in each byte")
        if derive_decoder_key(vending_key, attributes) != stated_key(entry):
            entry.differ("decoder_key_hex", "is not the key that the key inputs give")
    return None


def stated_key(entry: Entry) -> DecoderKey:
    """The decoder key as the entry has it."""
    ea = parse_digits("ea", entry.text("ea"))
    return DecoderKey.parse(entry.text("decoder_key_hex"), ea)


def _attributes(entry: Entry) -> KeyAttributes:
    return KeyAttributes.parse(
        entry.text("meter_pan"),
        entry.text("sgc"),
        ti=entry.text("ti"),
        krn=str(entry.integer("krn")),
        kt=str(entry.integer("kt")),
        base_date=str(entry.integer("base_date")),
        ea=entry.text("ea"),
        dkga=entry.text("dkga"),
    )
