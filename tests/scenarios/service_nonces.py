"""Which invocation counters a protected APDU of ours uses up: one of its own, and one in an HLS answer inside of it."""

from __future__ import annotations

from collections.abc import Iterator

from cosem_objects import association_ln
from cosem_objects.dlms import acse
from cosem_objects.dlms import apdu as xdlms
from cosem_objects.dlms.apdu import ActionRequest
from cosem_objects.dlms.ciphered import CipheredApdu, is_ciphered
from cosem_objects.dlms.security import Cipher
from cosem_objects.dlms.settings import SecuritySettings


def nonces_of(apdu: bytes, security: SecuritySettings) -> Iterator[int]:
    """The counters, all under the meter's global key."""
    if apdu[:1] == bytes((acse.Aarq.TAG,)):
        information = acse.decode(apdu).user_information or b""  # type: ignore[union-attr]
        if is_ciphered(information):
            yield CipheredApdu.parse(information).counter
        return
    if not is_ciphered(apdu):
        return
    ciphered = CipheredApdu.parse(apdu)
    yield ciphered.counter
    cipher = Cipher(security.ek, security.ak)
    plain = cipher.open(ciphered.control, security.client_system_title, ciphered.counter, ciphered.sealed)
    request = xdlms.decode(plain)
    if isinstance(request, ActionRequest) and request.method.class_id == association_ln.CLASS_ID:
        assert request.data is not None
        yield int.from_bytes(request.data.octets[1:5], "big")
