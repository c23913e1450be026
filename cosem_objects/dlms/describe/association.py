"""How an association begins and ends: AARQ, AARE, RLRQ, RLRE, and the xDLMS initiate inside."""

from __future__ import annotations

from cosem_objects.dlms.acse import (
    CONTEXT_OID,
    MECHANISM_OID,
    ApplicationContext,
    AssociationResult,
    Mechanism,
    ProviderDiagnostic,
    UserDiagnostic,
)
from cosem_objects.dlms.apdu import Conformance, read_conformance
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.secrets import secret_words
from cosem_objects.dlms.describe.values import octets_words
from cosem_objects.dlms.settings import TITLE_SIZE
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.names import spell
from cosem_objects.octets import OctetReader

_PROTOCOL_VERSION = 0x80
_CONTEXT = 0xA1
_RESULT = 0xA2
_DIAGNOSTIC = 0xA3
_AUTHENTICATION = {0xAC: "calling-authentication-value", 0xAA: "responding-authentication-value"}
_TITLES = {0xA6: "calling-AP-title", 0xA4: "responding-AP-title"}
_MECHANISMS = {0x8B: "mechanism-name", 0x89: "mechanism-name"}
_REQUIREMENTS = {0x8A: "sender-acse-requirements", 0x88: "responder-acse-requirements"}
_USER_INFORMATION = 0xBE
_OTHER_AARQ = {
    0xA2: "called-AP-title",
    0xA3: "called-AE-qualifier",
    0xA4: "called-AP-invocation-id",
    0xA5: "called-AE-invocation-id",
    0xA7: "calling-AE-qualifier",
    0xA8: "calling-AP-invocation-id",
    0xA9: "calling-AE-invocation-id",
    0xBD: "implementation-information",
}
_OTHER_AARE = {
    0xA5: "responding-AE-qualifier",
    0xA6: "responding-AP-invocation-id",
    0xA7: "responding-AE-invocation-id",
    0xBD: "implementation-information",
}
_REASONS = {0: "normal", 1: "urgent or not-finished", 30: "user-defined"}
_CHALLENGES = (Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_GMAC, Mechanism.HLS_SHA256, Mechanism.HLS_ECDSA)
"""Mechanisms whose authentication value is a challenge, which anybody may see."""


def write_aarq(scribe: Scribe) -> None:
    scribe.context.begin()
    _Association(scribe, is_request=True).write()


def write_aare(scribe: Scribe) -> None:
    _Association(scribe, is_request=False).write()


def write_release(scribe: Scribe) -> None:
    end = _end(scribe)
    while scribe.position < end:
        start = scribe.position
        tag = scribe.reader.octet()
        size = scribe.reader.length()
        if tag == 0x80 and size == 1:
            reason = scribe.reader.octet()
            scribe.note("reason", f"{_REASONS.get(reason, 'unknown')} ({reason})", start)
        elif tag == _USER_INFORMATION:
            _write_user_information(scribe, size)
        else:
            _write_unknown(scribe, start, tag, size)


class _Association:
    """Reads AARQ or AARE; what its fields mean depends on those before them."""

    def __init__(self, scribe: Scribe, *, is_request: bool) -> None:
        self._scribe = scribe
        self._is_request = is_request
        self._mechanism: int | None = None

    def write(self) -> None:
        end = _end(self._scribe)
        while self._scribe.position < end:
            start = self._scribe.position
            tag = self._scribe.reader.octet()
            size = self._scribe.reader.length()
            self._field(start, tag, size)

    def _field(self, start: int, tag: int, size: int) -> None:
        scribe = self._scribe
        if tag == _USER_INFORMATION:
            _write_user_information(scribe, size)
        elif tag == _CONTEXT:
            context = _last_of_oid(_unwrapped(scribe, size, 0x06), CONTEXT_OID, "application-context-name")
            scribe.note("application-context-name", spell(ApplicationContext, context), start)
        elif tag in _MECHANISMS:
            self._mechanism = _last_of_oid(scribe.reader.take(size), MECHANISM_OID, "mechanism-name")
            scribe.note("mechanism-name", spell(Mechanism, self._mechanism), start)
        elif tag in _AUTHENTICATION:
            self._authentication(start, tag, size)
        elif tag == (0xA6 if self._is_request else 0xA4):
            self._title(start, tag, size)
        elif not self._is_request and tag == _RESULT:
            scribe.note("result", spell(AssociationResult, _number(_unwrapped(scribe, size, 0x02))), start)
        elif not self._is_request and tag == _DIAGNOSTIC:
            self._diagnostic(start, size)
        elif tag in _REQUIREMENTS:
            bits = scribe.reader.take(size)
            scribe.note(_REQUIREMENTS[tag], "authentication" if bits[1:2] >= b"\x80" else "none", start)
        elif tag == _PROTOCOL_VERSION:
            bits = scribe.reader.take(size)
            scribe.note("protocol-version", "version1" if bits[1:2] >= b"\x80" else bits.hex(), start)
        else:
            self._other(start, tag, size)

    def _authentication(self, start: int, tag: int, size: int) -> None:
        scribe = self._scribe
        reader = OctetReader(scribe.reader.take(size), _AUTHENTICATION[tag])
        reader.octet()
        octets = reader.take(reader.length())
        is_open = self._mechanism in _CHALLENGES or scribe.context.show_secrets
        kind = "challenge " if self._mechanism in _CHALLENGES else "password "
        words = octets_words(octets) if is_open else secret_words("secret", octets)
        scribe.note(_AUTHENTICATION[tag], kind + words, start, is_secret=not is_open)

    def _title(self, start: int, tag: int, size: int) -> None:
        scribe = self._scribe
        title = _unwrapped(scribe, size, 0x04)
        scribe.note(_TITLES[tag], f"system title {octets_words(title)}", start)
        if len(title) == TITLE_SIZE:
            if self._is_request:
                scribe.context.client_title = title
            else:
                scribe.context.meter_title = title

    def _diagnostic(self, start: int, size: int) -> None:
        contents = OctetReader(self._scribe.reader.take(size), "result-source-diagnostic")
        source = contents.octet()
        if source not in (0xA1, 0xA2):
            raise RemoteProtocolError(
                f"result-source-diagnostic: source {source:02X}, expected A1 (user) or A2 (provider)"
            )
        inside = OctetReader(contents.take(contents.length()), "result-source-diagnostic")
        inside.octet()
        value = _number(inside.take(inside.length()))
        kind = UserDiagnostic if source == 0xA1 else ProviderDiagnostic
        by = "acse-service-user" if source == 0xA1 else "acse-service-provider"
        self._scribe.note("result-source-diagnostic", f"{by}: {spell(kind, value)}", start)

    def _other(self, start: int, tag: int, size: int) -> None:
        name = (_OTHER_AARQ if self._is_request else _OTHER_AARE).get(tag)
        if name is None:
            _write_unknown(self._scribe, start, tag, size)
        else:
            self._scribe.note(name, octets_words(self._scribe.reader.take(size)), start)


def _end(scribe: Scribe) -> int:
    """Where the fields of a BER sequence end; an error at once if they were cut off is not wanted: they are read as
    far as they go."""
    size = scribe.reader.length()
    return scribe.position + size


def _write_unknown(scribe: Scribe, start: int, tag: int, size: int) -> None:
    scribe.reader.take(size)
    scribe.note(f"field {tag:02X}", f"{size} octets, not known here", start, is_secret=True)


def _unwrapped(scribe: Scribe, size: int, tag: int) -> bytes:
    """The contents of a BER value inside a field."""
    inside = OctetReader(scribe.reader.take(size), "ACSE field")
    found = inside.octet()
    if found != tag:
        raise RemoteProtocolError(f"ACSE field: type {found:02X}, expected {tag:02X}")
    return inside.take(inside.length())


def _number(octets: bytes) -> int:
    return int.from_bytes(octets, "big")


def _last_of_oid(oid: bytes, prefix: bytes, what: str) -> int:
    if len(oid) != len(prefix) + 1 or not oid.startswith(prefix):
        raise RemoteProtocolError(f"{what}: an object identifier that is not one of DLMS")
    return oid[-1]


def _write_user_information(scribe: Scribe, size: int) -> None:
    """An octet-string that holds an xDLMS APDU."""
    end = scribe.position + size
    with scribe.group("user-information"):
        if scribe.reader.octet() != 0x04:
            raise RemoteProtocolError("user-information: no octet-string")
        part = scribe.part(scribe.reader.length())
        scribe.put(scribe.inside(part))
        if scribe.position != end:
            raise RemoteProtocolError(f"user-information: its lengths do not agree at offset {scribe.position}")


# The xDLMS initiate.


def write_initiate_request(scribe: Scribe) -> None:
    reader = scribe.reader
    start = scribe.position
    if reader.flag():
        key = reader.take(reader.length())
        is_hidden = not scribe.context.show_secrets
        words = secret_words("secret", key) if is_hidden else octets_words(key)
        scribe.note("dedicated-key", words, start, is_secret=is_hidden)
        scribe.context.dedicated_key = key
    else:
        scribe.note("dedicated-key", "none", start)
    start = scribe.position
    is_allowed = not reader.flag() or reader.flag()
    scribe.note("response-allowed", "yes" if is_allowed else "no", start)
    _write_quality(scribe)
    _write_offer(scribe, "proposed")
    scribe.number("client-max-receive-pdu-size", 2, _size_words)


def write_initiate_response(scribe: Scribe) -> None:
    _write_quality(scribe)
    _write_offer(scribe, "negotiated")
    scribe.number("server-max-receive-pdu-size", 2, _size_words)
    scribe.number("vaa-name", 2, lambda name: f"{name:04X} ({'logical' if name == 7 else 'short'} names)")


def _size_words(size: int) -> str:
    return f"{size} octets" if size else "0 (no limit)"


def _write_quality(scribe: Scribe) -> None:
    start = scribe.position
    if scribe.reader.flag():
        scribe.number("quality-of-service")
    else:
        scribe.note("quality-of-service", "none", start)


def _write_offer(scribe: Scribe, word: str) -> None:
    scribe.number(f"{word}-dlms-version-number")
    write_conformance(scribe, f"{word}-conformance")


def write_conformance(scribe: Scribe, name: str) -> None:
    start = scribe.position
    conformance = read_conformance(scribe.reader)
    scribe.note(name, f"{conformance.value:06X} {', '.join(_services(conformance)) or 'none'}", start)


def _services(conformance: Conformance) -> list[str]:
    known = [flag for flag in Conformance if flag in conformance]
    words = [(flag.name or "").lower().replace("_", "-") for flag in sorted(known, reverse=True)]
    others = conformance.value & ~sum(Conformance)
    return words + [f"reserved {others:06X}"] * bool(others)
