"""DLMS security suite 0: AES-GCM-128 ciphering, HLS-GMAC, invocation counters (IEC 62056-5-3 clause 5.3).

How to think about it: every protected APDU is sealed under a nonce of *who* (system title, 8 octets) and *which*
(invocation counter, 4 octets). The counter of each side only rises. What was received moves a counter only after
its tag has been verified, so a forged APDU can neither lock a meter out nor let an old one back in.
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.octets import OctetReader, with_length

TAG_SIZE = 12
COUNTER_MAX = 0xFFFF_FFFF
CHALLENGE_SIZE_MIN, CHALLENGE_SIZE_MAX = 8, 64

_BROADCAST_OR_COMPRESSED = 0xC0
_SUITE_BITS = 0x0F

GENERAL_GLO = 0xDB
_SERVICE_GLO = {
    0x01: 0x21,  # initiate-request
    0x08: 0x28,  # initiate-response
    0x0E: 0x2E,  # confirmed-service-error
    0xC0: 0xC8,  # get-request
    0xC1: 0xC9,  # set-request
    0xC2: 0xCA,  # event-notification-request
    0xC3: 0xCB,  # action-request
    0xC4: 0xCC,  # get-response
    0xC5: 0xCD,  # set-response
    0xC7: 0xCF,  # action-response
}
_SERVICE_GLO_PLAIN = {ciphered: plain for plain, ciphered in _SERVICE_GLO.items()}
_UNSUPPORTED = {
    0xDC: "general-ded-ciphering",
    0xDD: "general-ciphering",
    0xDF: "general-signing",
    0xE0: "general-block-transfer",
    **dict.fromkeys((0x41, 0x48, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD7), "dedicated-key ciphering"),
}


class ReplayedCounterError(RemoteProtocolError):
    """An invocation counter that is not above the last one: a replay, or a side that lost its memory."""

    def __init__(self, received: int, expected: int) -> None:
        super().__init__(f"invocation counter {received} was received, at least {expected} expected")
        self.expected = expected


class DecipheringError(RemoteProtocolError):
    """The tag does not fit, or the ciphering is weaker or other than agreed."""


class WrongSystemTitleError(RemoteProtocolError):
    """Another meter (or client) than expected answered."""


class InvocationCounters:
    """The counters of one key, both directions. Forward only."""

    __slots__ = ("_jumped", "_last_received", "_next")

    def __init__(self, next_own: int = 1, last_received: int = -1) -> None:
        self._next = next_own
        self._jumped = 0
        self._last_received = last_received

    @property
    def next_own(self) -> int:
        """The counter that our next protected APDU will carry."""
        return self._next

    @property
    def last_received(self) -> int:
        """The highest counter whose tag was verified; -1 before the first."""
        return self._last_received

    def take(self) -> int:
        """Use up one of our own. Raises ``LocalProtocolError`` when none is left: then the key must be changed."""
        counter = self._next
        if counter > COUNTER_MAX:
            raise LocalProtocolError("the invocation counter is used up; the meter needs a new key")
        self._next = counter + 1
        return counter

    def jump_to(self, counter: int, jump_max: int) -> bool:
        """Move our own forward to what an unauthenticated answer claims; False if that is too far, or too far
        together with the jumps before. Never back."""
        jump = max(0, counter - self._next)
        if self._jumped + jump > jump_max:
            return False
        self._jumped += jump
        self._next += jump
        return True

    def check(self, received: int) -> None:
        """Raises ``ReplayedCounterError`` unless ``received`` is new. Moves nothing."""
        if received <= self._last_received:
            raise ReplayedCounterError(received, self._last_received + 1)

    def accept(self, received: int) -> None:
        """The tag is verified: the counter moves."""
        self._last_received = max(self._last_received, received)


class Cipher:
    """AES-GCM with the two global keys. One-shot calls: several times faster than a streaming context here."""

    __slots__ = ("_ak", "_gcm")

    def __init__(self, ek: bytes, ak: bytes) -> None:
        self._gcm = AESGCM(ek)
        self._ak = ak

    def seal(self, control: int, title: bytes, counter: int, plain: bytes) -> bytes:
        """``plain`` under security control octet ``control``: ciphertext and tag, as they follow the counter."""
        nonce = title + counter.to_bytes(4, "big")
        if control & ENCRYPTED:
            associated = bytes((control,)) + self._ak if control & AUTHENTICATED else None
            sealed = self._gcm.encrypt(nonce, plain, associated)
            return sealed[: len(plain) + TAG_SIZE] if control & AUTHENTICATED else sealed[: len(plain)]
        return plain + self.authenticate(control, title, counter, plain)

    def open(self, control: int, title: bytes, counter: int, sealed: bytes) -> bytes:
        """The plain octets, if the tag fits. Raises ``DecipheringError``."""
        nonce = title + counter.to_bytes(4, "big")
        if not control & AUTHENTICATED:
            return self._keystream(nonce, sealed)
        if len(sealed) < TAG_SIZE:
            raise DecipheringError("a ciphered APDU shorter than its tag")
        text = sealed[:-TAG_SIZE]
        # The library knows only tags of 16 octets. In counter mode deciphering is enciphering, so the plain octets
        # are recovered, sealed once more, and released only if the first 12 octets of the tag agree.
        plain = self._keystream(nonce, text) if control & ENCRYPTED else text
        if not hmac.compare_digest(self.seal(control, title, counter, plain), sealed):
            raise DecipheringError("the authentication tag of a ciphered APDU does not fit")
        return plain

    def authenticate(self, control: int, title: bytes, counter: int, octets: bytes) -> bytes:
        """The GMAC tag over ``octets``: for authenticated-only APDUs and for HLS challenges."""
        nonce = title + counter.to_bytes(4, "big")
        return self._gcm.encrypt(nonce, b"", bytes((control,)) + self._ak + octets)[:TAG_SIZE]

    def _keystream(self, nonce: bytes, octets: bytes) -> bytes:
        return self._gcm.encrypt(nonce, octets, None)[: len(octets)]

    def __repr__(self) -> str:
        return "<Cipher>"


def answer_challenge(cipher: Cipher, title: bytes, counter: int, challenge: bytes) -> bytes:
    """HLS-GMAC f(challenge) = SC || IC || tag, made by the side with ``title`` (passes 3 and 4)."""
    return (
        bytes((AUTHENTICATED,))
        + counter.to_bytes(4, "big")
        + cipher.authenticate(AUTHENTICATED, title, counter, challenge)
    )


def challenge_is_answered(cipher: Cipher, title: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether ``answer`` is the f(challenge) of the side with ``title``. The challenge makes it fresh, so the counter
    inside is not compared with others: stacks differ in where they take it from."""
    if len(answer) != 5 + TAG_SIZE:
        return False
    counter = int.from_bytes(answer[1:5], "big")
    return hmac.compare_digest(answer, answer_challenge(cipher, title, counter, challenge))


class SecurityLayer:
    """Protects what one association sends and opens what it receives."""

    def __init__(
        self,
        settings: SecuritySettings,
        cipher: Cipher,
        counters: InvocationCounters,
        own_title: bytes,
        peer_title: bytes,
    ) -> None:
        self._cipher = cipher
        self._counters = counters
        self._own_title = own_title
        self._peer_title = peer_title
        self._required = settings.protection.bits
        self.form = settings.ciphering
        """The form of what is sent; a meter sets it to the form in which it was asked."""
        self.control = settings.protection.bits
        self.form_received = settings.ciphering
        self.control_received = settings.protection.bits

    def protect(self, plain: bytes) -> bytes:
        """Seal one plain APDU in the present form under our next counter."""
        counter = self._counters.take()
        sealed = self._cipher.seal(self.control, self._own_title, counter, plain)
        body = with_length(bytes((self.control,)) + counter.to_bytes(4, "big") + sealed)
        if self.form is Ciphering.GENERAL_GLO and plain[0] not in (0x01, 0x08):  # initiate is always service-specific
            return bytes((GENERAL_GLO,)) + with_length(self._own_title) + body
        if plain[0] not in _SERVICE_GLO:
            raise LocalProtocolError(f"an APDU of tag {plain[0]:02X} has no service-specific ciphered form")
        return bytes((_SERVICE_GLO[plain[0]],)) + body

    def unprotect(self, apdu: bytes) -> bytes:
        """The plain APDU inside. Raises ``RemoteProtocolError``: DecipheringError, ReplayedCounterError,
        WrongSystemTitleError. The peer's counter moves only when everything fits."""
        form, plain_tag, title, body = _parse_ciphered(apdu)
        if len(self._peer_title) != TITLE_SIZE:
            raise DecipheringError("a ciphered APDU of somebody whose system title is not known")
        if title and title != self._peer_title:
            received, expected = title[:TITLE_SIZE].hex(), self._peer_title.hex()
            raise WrongSystemTitleError(f"system title {received} was received, {expected} expected")
        if len(body) < 5:
            raise DecipheringError("a ciphered APDU without security header")
        control, counter, sealed = body[0], int.from_bytes(body[1:5], "big"), body[5:]
        self._check_control(control)
        self._counters.check(counter)
        plain = self._cipher.open(control, self._peer_title, counter, sealed)
        if not plain or (plain_tag is not None and plain[0] != plain_tag):
            raise DecipheringError("the deciphered octets are not the APDU that was announced")
        self._counters.accept(counter)
        self.form_received, self.control_received = form, control
        return plain

    def _check_control(self, control: int) -> None:
        if control & _SUITE_BITS or control & _BROADCAST_OR_COMPRESSED:
            raise DecipheringError(f"security control {control:02x}: suite 0 under the unicast key was expected")
        if control & self._required != self._required:
            raise DecipheringError(f"security control {control:02x}: weaker than agreed ({self._required:02x})")


def is_ciphered(apdu: bytes) -> bool:
    """Whether the first octet announces a ciphered APDU, of any kind."""
    return apdu[:1] != b"" and (apdu[0] == GENERAL_GLO or apdu[0] in _SERVICE_GLO_PLAIN or apdu[0] in _UNSUPPORTED)


def _parse_ciphered(apdu: bytes) -> tuple[Ciphering, int | None, bytes, bytes]:
    """Form, tag of the plain APDU if announced, system title if given, and security header with what follows."""
    reader = OctetReader(apdu, "ciphered APDU")
    tag = reader.octet()
    if tag in _UNSUPPORTED:
        raise DecipheringError(f"{_UNSUPPORTED[tag]} is not supported")
    title = reader.take(reader.length()) if tag == GENERAL_GLO else b""
    if tag != GENERAL_GLO and tag not in _SERVICE_GLO_PLAIN:
        raise DecipheringError(f"an APDU in clear ({tag:02X}) where a ciphered one was agreed")
    body = reader.take(reader.length())
    reader.finish()
    if tag == GENERAL_GLO:
        return Ciphering.GENERAL_GLO, None, title, body
    return Ciphering.SERVICE_GLO, _SERVICE_GLO_PLAIN[tag], b"", body
