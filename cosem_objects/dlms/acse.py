"""ACSE: how an association begins (AARQ, AARE) and ends (RLRQ, RLRE).

IEC 62056-5-3, ISO/IEC 15953 and 8650, in BER. An APDU here is a list of tagged fields; each field of ours is one
row in ``encode`` and one in ``decode``. Fields that we do not know are skipped, as BER allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, TypeAlias

from cosem_objects.errors import RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.octets import OctetReader, with_length

# 2.16.756.5.8.1.x names the application context, 2.16.756.5.8.2.x the authentication mechanism.
CONTEXT_OID = bytes.fromhex("608574050801")
MECHANISM_OID = bytes.fromhex("608574050802")


class ApplicationContext(IntEnum):
    LOGICAL_NAME = 1
    SHORT_NAME = 2
    LOGICAL_NAME_CIPHERED = 3
    SHORT_NAME_CIPHERED = 4


class Mechanism(IntEnum):
    """Authentication mechanisms."""

    NONE = 0
    LLS = 1
    HLS = 2
    HLS_MD5 = 3
    HLS_SHA1 = 4
    HLS_GMAC = 5
    HLS_SHA256 = 6
    HLS_ECDSA = 7


class AssociationResult(IntEnum):
    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class UserDiagnostic(IntEnum):
    """acse-service-user diagnostics: what the meter's application says about the AARQ."""

    NULL = 0
    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AP_TITLE_NOT_RECOGNIZED = 3
    CALLING_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 4
    CALLING_AE_QUALIFIER_NOT_RECOGNIZED = 5
    CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 6
    CALLED_AP_TITLE_NOT_RECOGNIZED = 7
    CALLED_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 8
    CALLED_AE_QUALIFIER_NOT_RECOGNIZED = 9
    CALLED_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 10
    AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED = 11
    AUTHENTICATION_MECHANISM_NAME_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class ProviderDiagnostic(IntEnum):
    """acse-service-provider diagnostics: what the meter's protocol layer says."""

    NULL = 0
    NO_REASON_GIVEN = 1
    NO_COMMON_ACSE_VERSION = 2


class _Tag(IntEnum):
    PROTOCOL_VERSION = 0x80
    APPLICATION_CONTEXT = 0xA1
    CALLING_AP_TITLE = 0xA6
    SENDER_REQUIREMENTS = 0x8A
    MECHANISM = 0x8B
    CALLING_AUTHENTICATION = 0xAC
    RESULT = 0xA2
    RESULT_DIAGNOSTIC = 0xA3
    RESPONDING_AP_TITLE = 0xA4
    RESPONDER_REQUIREMENTS = 0x88
    RESPONDING_MECHANISM = 0x89
    RESPONDING_AUTHENTICATION = 0xAA
    USER_INFORMATION = 0xBE


def _field(tag: int, contents: bytes | None) -> bytes:
    return b"" if contents is None else bytes((tag,)) + with_length(contents)


def _title(octets: bytes | None) -> bytes | None:
    return None if octets is None else b"\x04" + with_length(octets)


def _authentication(octets: bytes | None) -> bytes | None:
    return None if octets is None else b"\x80" + with_length(octets)


_AUTHENTICATION_BIT = b"\x07\x80"
"""ACSE requirements: one bit used, authentication."""


@dataclass(frozen=True, slots=True, repr=False)
class Aarq:
    """Association request. ``authentication`` is the password or the challenge CtoS."""

    TAG: ClassVar[int] = 0x60
    context: int
    user_information: bytes
    """An InitiateRequest, plain or ciphered."""
    calling_ap_title: bytes | None = None
    mechanism: int = Mechanism.NONE
    authentication: bytes | None = None

    def encode(self) -> bytes:
        authenticates = self.mechanism != Mechanism.NONE
        return _field(
            self.TAG,
            _field(_Tag.APPLICATION_CONTEXT, _oid(CONTEXT_OID, self.context))
            + _field(_Tag.CALLING_AP_TITLE, _title(self.calling_ap_title))
            + _field(_Tag.SENDER_REQUIREMENTS, _AUTHENTICATION_BIT if authenticates else None)
            + _field(_Tag.MECHANISM, MECHANISM_OID + bytes((self.mechanism,)) if authenticates else None)
            + _field(_Tag.CALLING_AUTHENTICATION, _authentication(self.authentication))
            + _field(_Tag.USER_INFORMATION, _title(self.user_information)),
        )

    def __repr__(self) -> str:  # authentication may be a password
        return f"<Aarq context {self.context}, mechanism {self.mechanism}>"


@dataclass(frozen=True, slots=True, repr=False)
class Aare:
    """Association response. ``authentication`` is the challenge StoC."""

    TAG: ClassVar[int] = 0x61
    context: int
    result: int
    diagnostic: int
    user_information: bytes | None = None
    provider_diagnostic: bool = False
    """The diagnostic comes from the ACSE service provider, not from the user."""
    responding_ap_title: bytes | None = None
    mechanism: int | None = None
    authentication: bytes | None = None

    def encode(self) -> bytes:
        diagnostic = _field(0xA2 if self.provider_diagnostic else 0xA1, b"\x02\x01" + bytes((self.diagnostic,)))
        authenticates = self.mechanism is not None
        return _field(
            self.TAG,
            _field(_Tag.APPLICATION_CONTEXT, _oid(CONTEXT_OID, self.context))
            + _field(_Tag.RESULT, b"\x02\x01" + bytes((self.result,)))
            + _field(_Tag.RESULT_DIAGNOSTIC, diagnostic)
            + _field(_Tag.RESPONDING_AP_TITLE, _title(self.responding_ap_title))
            + _field(_Tag.RESPONDER_REQUIREMENTS, _AUTHENTICATION_BIT if authenticates else None)
            + _field(
                _Tag.RESPONDING_MECHANISM, MECHANISM_OID + bytes((self.mechanism or 0,)) if authenticates else None
            )
            + _field(_Tag.RESPONDING_AUTHENTICATION, _authentication(self.authentication))
            + _field(_Tag.USER_INFORMATION, _title(self.user_information)),
        )

    def diagnostic_words(self) -> str:
        """``authentication-failure (13)``"""
        return spell(ProviderDiagnostic if self.provider_diagnostic else UserDiagnostic, self.diagnostic)

    def __repr__(self) -> str:
        return f"<Aare result {self.result}, {self.diagnostic_words()}>"


@dataclass(frozen=True, slots=True)
class Rlrq:
    """Release request."""

    TAG: ClassVar[int] = 0x62
    reason: int | None = 0
    user_information: bytes | None = field(default=None, repr=False)

    def encode(self) -> bytes:
        return _encode_release(self)


@dataclass(frozen=True, slots=True)
class Rlre:
    """Release response."""

    TAG: ClassVar[int] = 0x63
    reason: int | None = 0
    user_information: bytes | None = field(default=None, repr=False)

    def encode(self) -> bytes:
        return _encode_release(self)


AcseApdu: TypeAlias = Aarq | Aare | Rlrq | Rlre
TAGS = frozenset({Aarq.TAG, Aare.TAG, Rlrq.TAG, Rlre.TAG})


def decode(apdu: bytes) -> AcseApdu:
    """One ACSE APDU. Raises ``RemoteProtocolError``."""
    reader = OctetReader(apdu, "ACSE APDU")
    if reader.peek() not in TAGS:
        raise RemoteProtocolError(f"{apdu[:1].hex().upper() or 'nothing'} is no ACSE APDU")
    tag, contents = reader.element()
    fields = _read_fields(OctetReader(contents, "ACSE APDU"))
    reader.finish()
    if tag == Aarq.TAG:
        return _decode_aarq(fields)
    if tag == Aare.TAG:
        return _decode_aare(fields)
    kind = Rlrq if tag == Rlrq.TAG else Rlre
    reason = fields.get(0x80)
    if reason is not None and len(reason) != 1:
        raise RemoteProtocolError(f"release: a reason of {len(reason)} octets")
    return kind(reason[0] if reason else None, _octet_string(fields.get(_Tag.USER_INFORMATION)))


def _decode_aarq(fields: Mapping[int, bytes]) -> Aarq:
    if _Tag.USER_INFORMATION not in fields:
        raise RemoteProtocolError("AARQ: without user-information")
    return Aarq(
        context=_context(fields),
        user_information=_octet_string(fields[_Tag.USER_INFORMATION]) or b"",
        calling_ap_title=_octet_string(fields.get(_Tag.CALLING_AP_TITLE)),
        mechanism=_mechanism(fields.get(_Tag.MECHANISM)) or Mechanism.NONE,
        authentication=_authentication_value(fields.get(_Tag.CALLING_AUTHENTICATION)),
    )


def _decode_aare(fields: Mapping[int, bytes]) -> Aare:
    if _Tag.RESULT not in fields:
        raise RemoteProtocolError("AARE: without result")
    diagnostic, is_provider = _diagnostic(fields.get(_Tag.RESULT_DIAGNOSTIC))
    return Aare(
        context=_context(fields),
        result=_integer(fields[_Tag.RESULT]),
        diagnostic=diagnostic,
        user_information=_octet_string(fields.get(_Tag.USER_INFORMATION)),
        provider_diagnostic=is_provider,
        responding_ap_title=_octet_string(fields.get(_Tag.RESPONDING_AP_TITLE)),
        mechanism=_mechanism(fields.get(_Tag.RESPONDING_MECHANISM)),
        authentication=_authentication_value(fields.get(_Tag.RESPONDING_AUTHENTICATION)),
    )


def _read_fields(reader: OctetReader) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    while reader.remaining:
        tag, contents = reader.element()
        if tag in fields:
            raise RemoteProtocolError(f"ACSE APDU: field {tag:02X} twice")
        fields[tag] = contents
    return fields


def _encode_release(release: Rlrq | Rlre) -> bytes:
    reason = None if release.reason is None else bytes((release.reason,))
    information = _field(_Tag.USER_INFORMATION, _title(release.user_information))
    return _field(release.TAG, _field(0x80, reason) + information)


def _only_element(contents: bytes, what: str) -> tuple[int, bytes]:
    """Tag and contents of the one element that fills ``contents``."""
    if len(contents) >= 2 and contents[1] == len(contents) - 2 < 0x80:  # a short one: nearly always
        return contents[0], contents[2:]
    reader = OctetReader(contents, what)
    element = reader.element()
    reader.finish()
    return element


def _oid(prefix: bytes, last: int) -> bytes:
    return b"\x06" + with_length(prefix + bytes((last,)))


def _context(fields: Mapping[int, bytes]) -> int:
    what = "application context name"
    tag, oid = _only_element(fields.get(_Tag.APPLICATION_CONTEXT, b""), what)
    if tag != 0x06:
        raise RemoteProtocolError(f"{what}: no object identifier")
    return _after_prefix(CONTEXT_OID, oid, what)


def _mechanism(contents: bytes | None) -> int | None:
    return None if contents is None else _after_prefix(MECHANISM_OID, contents, "mechanism name")


def _after_prefix(prefix: bytes, oid: bytes, what: str) -> int:
    if len(oid) != len(prefix) + 1 or not oid.startswith(prefix):
        raise RemoteProtocolError(f"{what}: not one of DLMS")
    return oid[-1]


def _octet_string(contents: bytes | None) -> bytes | None:
    if contents is None:
        return None
    tag, octets = _only_element(contents, "ACSE octet-string")
    if tag != 0x04:
        raise RemoteProtocolError("ACSE octet-string: another type")
    return octets


def _authentication_value(contents: bytes | None) -> bytes | None:
    if contents is None:
        return None
    tag, octets = _only_element(contents, "authentication value")
    if tag not in (0x80, 0x81):  # charstring, or bitstring as a few stacks write it
        raise RemoteProtocolError("authentication value: neither charstring nor bitstring")
    return octets


def _integer(contents: bytes) -> int:
    tag, octets = _only_element(contents, "ACSE integer")
    if tag != 0x02 or len(octets) != 1:
        raise RemoteProtocolError("ACSE integer: not one octet")
    return octets[0]


def _diagnostic(contents: bytes | None) -> tuple[int, bool]:
    """The diagnostic, and whether the service provider gave it. A field that is missing says nothing."""
    if not contents:
        return UserDiagnostic.NULL, False
    source, diagnostic = _only_element(contents, "result source diagnostic")
    if source not in (0xA1, 0xA2):
        raise RemoteProtocolError(f"result source diagnostic: source {source:02X}")
    return _integer(diagnostic), source == 0xA2
