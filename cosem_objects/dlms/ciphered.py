"""Ciphered APDUs on the wire: which tags there are, and the parts of one (IEC 62056-5-3, 5.3.7 and the tag list of 7).

    service-specific   tag | length | SC | IC | text and authentication tag
    general            tag | title  | length | SC | IC | text and authentication tag

SC is the security control octet, IC the invocation counter. Nothing is deciphered here.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, Ciphering
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import OctetReader, with_length

TAG_SIZE = 12
"""Octets of the authentication tag at the end."""
_HEADER = Struct(">BI")
HEADER_SIZE = _HEADER.size
"""Security control octet and invocation counter."""
SUITE_BITS, BROADCAST, COMPRESSED = 0x0F, 0x40, 0x80

_PLAIN_GLO_DED = (
    (0x01, 0x21, 0x41),  # initiate-request
    (0x08, 0x28, 0x48),  # initiate-response
    (0x0E, 0x2E, 0x4E),  # confirmed-service-error
    (0xC0, 0xC8, 0xD0),  # get-request
    (0xC1, 0xC9, 0xD1),  # set-request
    (0xC2, 0xCA, 0xD2),  # event-notification-request
    (0xC3, 0xCB, 0xD3),  # action-request
    (0xC4, 0xCC, 0xD4),  # get-response
    (0xC5, 0xCD, 0xD5),  # set-response
    (0xC7, 0xCF, 0xD7),  # action-response
)
_SERVICE_TAGS: dict[Ciphering, dict[int | None, bytes]] = {
    Ciphering.SERVICE_GLO: {plain: bytes((glo,)) for plain, glo, _ in _PLAIN_GLO_DED},
    Ciphering.SERVICE_DED: {plain: bytes((ded,)) for plain, _, ded in _PLAIN_GLO_DED},
}
_GENERAL_TAGS = {Ciphering.GENERAL_GLO: b"\xdb", Ciphering.GENERAL_DED: b"\xdc"}
_FORMS: dict[int, tuple[Ciphering, int | None]] = {
    **{tag[0]: (form, plain) for form, tags in _SERVICE_TAGS.items() for plain, tag in tags.items()},
    **{tag[0]: (form, None) for form, tag in _GENERAL_TAGS.items()},
}
"""First octet -> form, and the tag of the APDU inside where that is announced."""
_UNSUPPORTED = {0xDD: "general-ciphering", 0xDF: "general-signing"}

TAGS = frozenset({*_FORMS, *_UNSUPPORTED})
"""First octets of everything ciphered or signed."""


class CipheredFormatError(RemoteProtocolError):
    """Octets that are no ciphered APDU, or one of a kind that is not supported."""


class CipheredApdu(NamedTuple):
    """One ciphered APDU, taken apart."""

    form: Ciphering
    plain_tag: int | None
    """The tag of the APDU inside, which service-specific forms announce."""
    title: bytes
    """The originator's system title; empty in service-specific forms, and where a general form leaves it out."""
    control: int
    counter: int
    sealed: bytes
    """Text, ciphered or not, and the authentication tag if there is one."""

    @classmethod
    def parse(cls, apdu: bytes) -> CipheredApdu:
        """Raises ``CipheredFormatError`` for other tags, ``RemoteProtocolError`` for octets that do not add up."""
        reader = OctetReader(apdu, "ciphered APDU")
        tag = reader.octet()
        known = _FORMS.get(tag)
        if known is None:
            raise CipheredFormatError(
                f"{_UNSUPPORTED[tag]} is not supported"
                if tag in _UNSUPPORTED
                else f"an APDU in clear ({tag:02X}) where a ciphered one was agreed"
            )
        form, plain_tag = known
        title = reader.string() if plain_tag is None else b""
        body = reader.string()
        reader.finish()
        if len(body) < HEADER_SIZE:
            raise CipheredFormatError("a ciphered APDU without security header")
        control, counter = _HEADER.unpack_from(body)
        return cls(form, plain_tag, title, control, counter, body[HEADER_SIZE:])

    def encode(self) -> bytes:
        """Raises ``LocalProtocolError`` for an APDU that has no such form."""
        body = with_length(_HEADER.pack(self.control, self.counter) + self.sealed)
        general_tag = _GENERAL_TAGS.get(self.form)
        if general_tag is not None:
            return general_tag + with_length(self.title) + body
        tag = _SERVICE_TAGS[self.form].get(self.plain_tag)
        if tag is None:
            raise LocalProtocolError(f"an APDU of tag {self.plain_tag or 0:02X} has no service-specific ciphered form")
        return tag + body

    def __repr__(self) -> str:  # authenticated alone, the text stands there in clear
        return f"<CipheredApdu {self.form.value}, {control_words(self.control)}, counter {self.counter}>"


def is_ciphered(apdu: bytes) -> bool:
    """Whether the first octet announces a ciphered APDU, of any kind."""
    return apdu[:1] != b"" and apdu[0] in TAGS


def control_words(control: int) -> str:
    """The security control octet in words: ``authenticated, encrypted, suite 0``."""
    bits = ((AUTHENTICATED, "authenticated"), (ENCRYPTED, "encrypted"), (BROADCAST, "broadcast key"))
    words = [word for bit, word in (*bits, (COMPRESSED, "compressed")) if control & bit]
    return ", ".join((*words, f"suite {control & SUITE_BITS}"))
