"""xDLMS APDUs in clear: ``apdu.decode``, then back and forth."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from cosem_objects import axdr
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.errors import RemoteProtocolError
from tests.fuzz.properties import assert_harmless, assert_says_nothing_of, secrets_in, size_of
from tests.vectors import dlms_vectors

SIZE_MAX = 512

_ATTRIBUTE = "0008 0000010000FF 02"
_METHOD = "0073 0000132800FF 01"
_BLOCK = "01 00000001 0A 0908 3132333435363738"
_WRITTEN = (
    f"C001C1 {_ATTRIBUTE} 01 02 0204 06 00000001 06 00000000 120001 120000",
    "C002C1 00000001",
    f"C003C1 02 {_ATTRIBUTE} 00 {_ATTRIBUTE} 01 01 00",
    "C401C1 0003",
    "C402C1 01 00000002 00 03 090101",
    "C402C1 01 00000002 01 13",
    "C403C1 02 00 1105 01 03",
    f"C101C1 {_ATTRIBUTE} 00 090101",
    f"C102C1 {_ATTRIBUTE} 00 {_BLOCK}",
    f"C103C1 {_BLOCK}",
    f"C104C1 01 {_ATTRIBUTE} 00 01 1105",
    f"C105C1 01 {_ATTRIBUTE} 00 {_BLOCK}",
    "C501C1 00",
    "C502C1 00000001",
    "C503C1 00 00000001",
    "C504C1 02 0003 00000001",
    "C505C1 02 0003",
    f"C301C1 {_METHOD} 01 090101",
    "C302C1 00000001",
    f"C303C1 02 {_METHOD} {_METHOD} 02 1105 00",
    f"C304C1 {_METHOD} {_BLOCK}",
    f"C305C1 01 {_METHOD} {_BLOCK}",
    f"C306C1 {_BLOCK}",
    "C701C1 00 01 00 1105",
    "C701C1 00 01 01 03",
    f"C702C1 {_BLOCK}",
    "C703C1 01 00 01 00 1105",
    "C704C1 00000001",
    f"C2 00 {_ATTRIBUTE} 1105",
    f"C2 01 0C 07E8011501000000FF000000 {_ATTRIBUTE} 1105",
    "0F 40000001 0C 07E8011501000000FF000000 0202 1105 00",
    "D8 01 06 00000010",
    "D8 02 02",
    "0E 01 06 00",
    "E0 C1 0001 0000 03 C00102",
    "E6 00 02 0011 C001C1 0001 0000010000FF 02 00",
    "E7 00 02 0011 C401C1 0003",
    "01 00 00 00 06 5F1F04 00 00081D 04B0",
    "01 01 10 000102030405060708090A0B0C0D0E0F 0100 0101 06 5F1F04 00 00081D 04B0",
    "08 00 06 5F1F04 00 00081D 04B0 0007",
)


def seeds() -> list[bytes]:
    known = [vector.octets for vector in dlms_vectors().values() if vector.layer in {"xdlms", "token-gateway"}]
    return known + [bytes.fromhex(text) for text in _WRITTEN]


def one_input(octets: bytes) -> None:
    try:
        apdu = xdlms.decode(octets)
    except RemoteProtocolError as error:
        assert_harmless(error)
        assert not xdlms.is_apdu(octets)
        return
    normal = apdu.encode()
    again = xdlms.decode(normal)
    assert again.encode() == normal
    assert again == apdu or "nan" in repr(apdu)
    assert_says_nothing_of(secrets_of(apdu), repr(apdu))
    assert str(apdu)


def secrets_of(apdu: xdlms.Apdu) -> list[bytes]:
    """The strings in all values of an APDU, and the octets of its blocks."""
    found: list[bytes] = []
    open_parts: list[object] = [apdu]
    while open_parts:
        part = open_parts.pop()
        if isinstance(part, axdr.Data):
            assert size_of(part) < 1 << 16
            found.extend(secrets_in(part))
        elif isinstance(part, tuple):
            open_parts.extend(part)
        elif isinstance(part, xdlms.DataBlock):
            found.append(part.octets)
        elif is_dataclass(part) and not isinstance(part, type):
            open_parts.extend(getattr(part, field.name) for field in fields(part))
    return found
