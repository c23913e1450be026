"""COSEM data: ``axdr.decode``, then back and forth, and the typed readers."""

from __future__ import annotations

from contextlib import suppress

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import RemoteProtocolError
from tests.fuzz.properties import assert_harmless, assert_says_nothing_of, secrets_in, size_of
from tests.vectors import dlms_vectors

SIZE_MAX = 512
READERS = ("integer", "octets", "bits", "boolean", "text", "elements")


def seeds() -> list[bytes]:
    objects = [vector.octets for vector in dlms_vectors().values() if vector.layer in {"account", "token-gateway"}]
    structure = "0204 0905 0102030405 1203E8 0100 0403A0"
    compact_array = "13 0202 0012 0109 06 0001 0961 0002"
    array_in_compact_array = "13 02 01 0002 11 16 06 010203040506"
    numbers = "020A 0501020304 0601020304 0F80 108000 11FF 12FFFF 14 8000000000000000 15 FFFFFFFFFFFFFFFF 1603 0D12"
    others = "0207 17 7FC00000 18 3FF0000000000000 19 07E8011501000000FF000000 1A 07E8011501 1B 01020304 0C03 E282AC FF"
    deltas = "0206 1C01 1D0102 1E01020304 1F01 200102 2101020304"
    written = (structure, compact_array, array_in_compact_array, numbers, others, deltas)
    return [*objects, *map(bytes.fromhex, written), bytes((2, 1)) * 15 + b"\0", b"\1\x82\0\2\0\0", b"\x0a\x81\x03abc"]


def one_input(octets: bytes) -> None:
    try:
        data = axdr.decode(octets)
    except RemoteProtocolError as error:
        assert_harmless(error)
        return
    # In a compact-array one octet can be a value inside as many structures as nesting allows, beside some empty ones.
    per_octet = 1 + axdr.DEPTH_MAX + axdr.EMPTY_RATIO_MAX
    assert size_of(data) <= 1 + len(octets) * per_octet, "few octets made many values"
    normal = axdr.encode(data)
    assert len(normal) <= len(octets), "what was read is written longer than it came"
    again = axdr.decode(normal)
    assert axdr.encode(again) == normal
    assert again == data or "nan" in repr(data)  # which differs from itself
    assert_says_nothing_of(secrets_in(data), repr(data))
    read(data)


def read(data: Data) -> None:
    for reader in READERS:
        with suppress(RemoteProtocolError):
            getattr(data, reader)
    with suppress(RemoteProtocolError):
        assert len(data.structure(2)) == 2
