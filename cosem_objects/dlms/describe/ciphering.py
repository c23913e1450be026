"""Ciphered APDUs: their header, and what is inside when the keys are known."""

from __future__ import annotations

from dataclasses import dataclass

from cosem_objects.dlms.ciphered import COMPRESSED, HEADER_SIZE, TAG_SIZE, CipheredApdu, control_words
from cosem_objects.dlms.describe.moments import date_time_words
from cosem_objects.dlms.describe.scribe import Scribe
from cosem_objects.dlms.describe.source import Source
from cosem_objects.dlms.describe.values import octets_words
from cosem_objects.dlms.security import Cipher, DecipheringError
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, TITLE_SIZE, Ciphering
from cosem_objects.errors import RemoteProtocolError

GENERAL_CIPHERING, GENERAL_SIGNING = 0xDD, 0xDF
FROM_CLIENT = frozenset({0x01, 0xC0, 0xC1, 0xC3, 0x05, 0x06, 0xD9})
"""Tags of plain APDUs that only a client sends; all others come from the meter."""
_INITIATE_REQUEST = 0x01
_EITHER = frozenset({0xE0})
_KEY_SIZES = {0: 16, 1: 16, 2: 32}
"""Of the encryption key, by security suite."""


@dataclass(frozen=True, slots=True, repr=False)
class _Sealed:
    control: int
    counter: int
    text: Source
    """With the authentication tag."""
    plain_tag: int | None
    title: bytes
    is_dedicated: bool
    is_bound_to_header: bool = False
    """General ciphering: the tag covers the header as well, which is not checked here."""

    def __repr__(self) -> str:
        return f"<_Sealed {control_words(self.control)}, counter {self.counter}>"


def write_service_ciphered(scribe: Scribe) -> None:
    form, plain_tag = _announced(scribe.source.octets[scribe.start])
    _write_sealed(scribe, plain_tag, b"", is_dedicated=form is Ciphering.SERVICE_DED)


def write_general_ciphered(scribe: Scribe) -> None:
    is_dedicated = scribe.source.octets[scribe.start] == 0xDC
    title = scribe.octets("system-title", _title_words)
    _write_sealed(scribe, None, title, is_dedicated=is_dedicated)


def write_general_ciphering(scribe: Scribe) -> None:
    """General-ciphering, and the header that it shares with general-signing."""
    title = _write_header(scribe)
    start = scribe.position
    if scribe.reader.flag():
        _write_key_information(scribe, start)
    _write_sealed(scribe, None, title, is_dedicated=False, is_bound_to_header=True)


def write_general_signing(scribe: Scribe) -> None:
    _write_header(scribe)
    part = scribe.part(scribe.reader.length())
    scribe.put(scribe.inside(part))
    scribe.octets("signature", lambda octets: f"{len(octets)} octets, not checked")


def _announced(tag: int) -> tuple[Ciphering, int | None]:
    """The form, and the tag of the APDU inside, that a service-specific tag announces."""
    parsed = CipheredApdu.parse(bytes((tag, HEADER_SIZE)) + bytes(HEADER_SIZE))
    return parsed.form, parsed.plain_tag


def _title_words(title: bytes) -> str:
    return octets_words(title) if title else "not given"


def _write_header(scribe: Scribe) -> bytes:
    scribe.octets("transaction-id", octets_words)
    title = scribe.octets("originator-system-title", _title_words)
    scribe.octets("recipient-system-title", _title_words)
    scribe.octets("date-time", lambda octets: date_time_words(octets) if len(octets) == 12 else octets_words(octets))
    scribe.octets("other-information", octets_words)
    return title


def _write_key_information(scribe: Scribe, start: int) -> None:
    choice = scribe.reader.octet()
    if choice == 0:
        scribe.reader.octet()
        key_id = scribe.source.octets[scribe.position - 1]
        words = {0: "global unicast key", 1: "global broadcast key"}.get(key_id, f"key {key_id}")
        scribe.note("key-info", f"identified: {words}", start)
        return
    if choice == 1:
        scribe.reader.octet()
    else:
        scribe.reader.take(scribe.reader.length())
    size = len(scribe.reader.take(scribe.reader.length()))
    scribe.note(
        "key-info", f"{'wrapped' if choice == 1 else 'agreed'} key (secret, {size} octets)", start, is_secret=True
    )


def _write_sealed(
    scribe: Scribe, plain_tag: int | None, title: bytes, *, is_dedicated: bool, is_bound_to_header: bool = False
) -> None:
    size = scribe.reader.length()
    if size < HEADER_SIZE:
        raise RemoteProtocolError(f"{size} octets of ciphered contents, at least {HEADER_SIZE} expected")
    control = scribe.number("security-control", 1, lambda octet: f"{octet:02X} {control_words(octet)}")
    counter = scribe.number("invocation-counter", 4)
    text = scribe.part(size - HEADER_SIZE)
    sealed = _Sealed(control, counter, text, plain_tag, title, is_dedicated, is_bound_to_header)
    _write_opened(scribe, sealed)


def _write_opened(scribe: Scribe, sealed: _Sealed) -> None:
    start = scribe.position - len(sealed.text)
    tag_size = TAG_SIZE if sealed.control & AUTHENTICATED else 0
    if len(sealed.text) <= tag_size:
        raise RemoteProtocolError("a ciphered APDU without contents")
    if sealed.control & COMPRESSED:
        scribe.note("ciphered", f"{len(sealed.text)} octets, compressed: not supported here", start, is_secret=True)
        return
    text = sealed.text.cut(0, len(sealed.text) - tag_size)
    opened = _open(scribe, sealed, text)
    if opened.is_problem:
        scribe.problem(opened.words, start)
    if opened.plain is None:
        scribe.note("ciphered", f"{len(text)} octets" + ("" if opened.is_problem else f", {opened.words}"), start)
        return
    if tag_size and not opened.is_problem:
        scribe.note("authentication", opened.words, scribe.position - tag_size)
    mask = scribe.context.mask
    # An InitiateRequest may bring the dedicated key, which is needed; it is not shown.
    shown = opened.plain if mask is None or opened.plain[0] == _INITIATE_REQUEST else mask(opened.plain)
    scribe.put(scribe.inside(text.replaced(shown)))
    if not sealed.is_dedicated:
        _learn(scribe, sealed.title, opened.plain[0])


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    """The plain octets if there are any, and what is to say about the tag, or about why there are none."""

    plain: bytes | None
    words: str
    is_problem: bool = False

    def __repr__(self) -> str:
        return f"<_Opened {self.words}>"


def _open(scribe: Scribe, sealed: _Sealed, text: Source) -> _Opened:
    context = scribe.context
    ek = context.dedicated_key if sealed.is_dedicated else context.keys.ek
    in_clear = None if sealed.control & ENCRYPTED else text.octets
    suite = sealed.control & 0x0F
    if suite not in _KEY_SIZES:
        return _Opened(in_clear, f"security suite {suite} is not known: not checked", is_problem=True)
    if not ek:
        kind = "dedicated key" if sealed.is_dedicated else "key"
        return _Opened(in_clear, f"no {kind} given" + ("" if in_clear is None else ": tag not checked"))
    if len(ek) != _KEY_SIZES[suite]:
        words = f"a key of {_KEY_SIZES[suite]} octets is needed for suite {suite}, the one known has {len(ek)}"
        return _Opened(in_clear, words, is_problem=True)
    titles = _titles(scribe, sealed)
    if not titles:
        return _Opened(in_clear, f"the system title of the {_sender(sealed)} is not known")
    return _try(sealed, text, (ek, context.keys.ak), titles)


def _try(sealed: _Sealed, text: Source, keys: tuple[bytes, bytes], titles: list[bytes]) -> _Opened:
    ek, ak = keys
    cipher = Cipher(ek, ak)
    in_clear = None if sealed.control & ENCRYPTED else text.octets
    if not sealed.control & AUTHENTICATED:
        return _Opened(cipher.open(sealed.control, titles[0], sealed.counter, sealed.text.octets), "none")
    if not ak or sealed.is_bound_to_header:
        plain = in_clear if in_clear is not None else _unverified(cipher, sealed, text, titles[0])
        why = "no authentication key given" if not ak else "of a general-ciphering header"
        return _Opened(plain, f"tag not checked ({why})")
    for title in titles:
        try:
            plain = cipher.open(sealed.control, title, sealed.counter, sealed.text.octets)
        except DecipheringError:
            continue
        return _Opened(plain, f"tag fits, sender {title.hex().upper()}")
    words = "the authentication tag does not fit: another key or system title, or the octets were changed"
    if in_clear is None and sealed.plain_tag is not None:
        plain = _unverified(cipher, sealed, text, titles[0])
        if plain[:1] == bytes((sealed.plain_tag,)):
            words += "; the encryption key seems right, the authentication key wrong"
    return _Opened(in_clear, words, is_problem=True)


def _unverified(cipher: Cipher, sealed: _Sealed, text: Source, title: bytes) -> bytes:
    return cipher.open(ENCRYPTED, title, sealed.counter, text.octets)


def _titles(scribe: Scribe, sealed: _Sealed) -> list[bytes]:
    """Whose counter it may be: of who is named, else of who sends such an APDU, else of both sides."""
    context = scribe.context
    if sealed.title:
        return [sealed.title] if len(sealed.title) == TITLE_SIZE else []
    if sealed.plain_tag is None:
        candidates = [context.client_title, context.meter_title]
    else:
        candidates = [context.client_title if sealed.plain_tag in FROM_CLIENT else context.meter_title]
    return [title for title in candidates if len(title) == TITLE_SIZE]


def _sender(sealed: _Sealed) -> str:
    if sealed.plain_tag is None:
        return "sender"
    return "client" if sealed.plain_tag in FROM_CLIENT else "meter"


def _learn(scribe: Scribe, title: bytes, plain_tag: int) -> None:
    """A title that was named belongs to the client or the meter, as the APDU inside is a request or an answer."""
    if len(title) != TITLE_SIZE or plain_tag in _EITHER:
        return
    if plain_tag in FROM_CLIENT:
        scribe.context.client_title = title
    else:
        scribe.context.meter_title = title
