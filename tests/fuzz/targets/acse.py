"""AARQ, AARE, RLRQ and RLRE: ``acse.decode``, then back and forth."""

from __future__ import annotations

from cosem_objects.dlms import acse
from cosem_objects.dlms.acse import Aare, Aarq
from cosem_objects.errors import RemoteProtocolError
from tests.fuzz.properties import assert_harmless, assert_says_nothing_of
from tests.vectors import dlms_vectors

SIZE_MAX = 300


def seeds() -> list[bytes]:
    return [vector.octets for vector in dlms_vectors().values() if vector.layer == "acse"]


def one_input(octets: bytes) -> None:
    try:
        apdu = acse.decode(octets)
    except RemoteProtocolError as error:
        assert_harmless(error)
        return
    again = acse.decode(apdu.encode())
    assert again == apdu
    assert again.encode() == apdu.encode()
    secret = apdu.authentication if isinstance(apdu, Aarq | Aare) else apdu.user_information
    assert_says_nothing_of([secret or b""], repr(apdu))
    if isinstance(apdu, Aare):
        assert len(apdu.diagnostic_words()) < 100
