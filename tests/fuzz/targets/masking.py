"""Secrets overwritten in APDUs: whatever went before, the length stays and a secret does not.

An input is a row of APDUs of one conversation. After each, an APDU with a secret in it is masked as well.
"""

from __future__ import annotations

from itertools import pairwise

from cosem_objects import axdr
from cosem_objects.dlms.acse import Aarq, Mechanism
from cosem_objects.dlms.apdu import (
    ActionRequest,
    AttributeDescriptor,
    Conformance,
    DataNotification,
    InitiateRequest,
    MethodDescriptor,
    PrefixedRequest,
    SetRequest,
)
from cosem_objects.dlms.masking import MASK, Masker, apdu_name
from cosem_objects.obis import ObisCode
from tests.fuzz.properties import Choices
from tests.fuzz.targets.acse import seeds as associations
from tests.fuzz.targets.apdu import seeds as apdus

SIZE_MAX = 400
STEPS_MAX = 20
SECRET = b"48643202781314010686"
_OBIS = ObisCode.parse("0-0:19.40.0.255")
_INITIATE = InitiateRequest(Conformance.GET, 0, SECRET[:16]).encode()
WITH_SECRETS = (
    ActionRequest(MethodDescriptor(115, _OBIS, 1), axdr.octet_string(SECRET)).encode(),
    SetRequest(AttributeDescriptor(15, _OBIS, 7), axdr.octet_string(SECRET)).encode(),
    SetRequest(AttributeDescriptor(1, _OBIS, 2), axdr.structure(axdr.visible_string(SECRET.decode()))).encode(),
    DataNotification(1, b"", axdr.array(axdr.octet_string(SECRET))).encode(),
    Aarq(1, b"\x01", mechanism=Mechanism.LLS, authentication=SECRET).encode(),
    Aarq(1, _INITIATE).encode(),
    _INITIATE,
)


def seeds() -> list[bytes]:
    known = [apdu for apdu in (*apdus(), *associations(), *WITH_SECRETS) if len(apdu) < 0xFF]
    return [bytes((len(apdu),)) + apdu for apdu in known] + [
        bytes((len(one),)) + one + bytes((3, len(other))) + other for one, other in pairwise(known)
    ]


def one_input(octets: bytes) -> None:
    choices, masker = Choices(octets), Masker()
    for _ in range(STEPS_MAX):
        if not choices:
            break
        apdu = choices.piece()
        masked = masker.mask(apdu)
        assert len(masked) == len(apdu)
        assert masked[:1] == apdu[:1]
        assert all(octet in (now, MASK[0]) for octet, now in zip(masked, apdu, strict=True))
        assert apdu_name(apdu).isprintable()
        which = choices.octet()
        with_secret = WITH_SECRETS[which % len(WITH_SECRETS)]
        if which & 0x80:
            with_secret = PrefixedRequest(0, b"\x11", with_secret).encode()
        assert SECRET[:16] not in masker.mask(with_secret), "a secret is shown"
