"""DLMS security suite 0: AES-GCM-128 ciphering and invocation counters (IEC 62056-5-3 clause 5.3).

How to think about it: every protected APDU is sealed under a nonce of *who* (system title, 8 octets) and *which*
(invocation counter, 4 octets). The counter of each side only rises. What was received moves a counter only after
its tag has been verified, so a forged APDU can neither lock a meter out nor let an old one back in.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cosem_objects.dlms.apdu import DataNotification, EventNotification, InitiateRequest, InitiateResponse
from cosem_objects.dlms.ciphered import BROADCAST, COMPRESSED, SUITE_BITS, TAG_SIZE, CipheredApdu, CipheredFormatError
from cosem_objects.dlms.settings import AUTHENTICATED, ENCRYPTED, TITLE_SIZE, Ciphering, SecuritySettings
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError

COUNTER_MAX = 0xFFFF_FFFF


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

    __slots__ = ("_jumped", "_last_received", "_next", "_reserved")

    def __init__(self, next_own: int = 1, last_received: int = -1, *, reserved: int = COUNTER_MAX) -> None:
        """``reserved``: the highest that may be used. Whoever keeps counters on disk reserves them there first."""
        self._next = next_own
        self._jumped = 0
        self._last_received = last_received
        self._reserved = reserved

    @property
    def next_own(self) -> int:
        """The counter that our next protected APDU will carry."""
        return self._next

    @property
    def last_received(self) -> int:
        """The highest counter whose tag was verified; -1 before the first."""
        return self._last_received

    def take(self) -> int:
        """Use up one of our own. Raises ``LocalProtocolError`` when none is left: then the key must be changed, or
        more of them reserved."""
        counter = self._next
        if counter > self._reserved:
            if counter > COUNTER_MAX:
                raise LocalProtocolError("the invocation counter is used up; the meter needs a new key")
            raise LocalProtocolError("no invocation counter is reserved")
        self._next = counter + 1
        return counter

    @property
    def left(self) -> int:
        """How many may still be used; not above 0 when none is reserved."""
        return self._reserved - self._next + 1

    def refill(self, block: range) -> None:
        """These were reserved; what is left below them is let go. Never back."""
        if block:
            self._next = max(self._next, block.start)
            self._reserved = max(self._reserved, block[-1])

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


_LIBRARY_TAG_SIZE = 16
"""Octets of the tag that the library makes; DLMS sends the first 12."""


class Cipher:
    """AES-GCM with an encryption key and the authentication key. One-shot calls: several times faster than a streaming
    context here."""

    __slots__ = ("_ak", "_encrypt")

    def __init__(self, ek: bytes, ak: bytes) -> None:
        self._encrypt = AESGCM(ek).encrypt
        self._ak = ak

    def seal(self, control: int, title: bytes, counter: int, plain: bytes) -> bytes:
        """``plain`` under security control octet ``control`` : ciphertext and tag, as they follow the counter."""
        if not control & ENCRYPTED:
            return plain + self.authenticate(control, title, counter, plain)
        nonce = title + counter.to_bytes(4, "big")
        if not control & AUTHENTICATED:
            return self._encrypt(nonce, plain, None)[:-_LIBRARY_TAG_SIZE]
        return self._encrypt(nonce, plain, bytes((control,)) + self._ak)[: TAG_SIZE - _LIBRARY_TAG_SIZE]

    def open(self, control: int, title: bytes, counter: int, sealed: bytes) -> bytes:
        """The plain octets, if the tag fits. Raises ``DecipheringError``."""
        nonce = title + counter.to_bytes(4, "big")
        if not control & AUTHENTICATED:
            return self._encrypt(nonce, sealed, None)[:-_LIBRARY_TAG_SIZE]
        if len(sealed) < TAG_SIZE:
            raise DecipheringError("a ciphered APDU shorter than its tag")
        text, tag = sealed[:-TAG_SIZE], sealed[-TAG_SIZE:]
        if control & ENCRYPTED:
            # The library knows only tags of 16 octets. In counter mode deciphering is enciphering, so the plain octets
            # are recovered, sealed once more, and released only if the first 12 octets of the tag agree.
            plain = self._encrypt(nonce, text, None)[:-_LIBRARY_TAG_SIZE]
            own_tag = self._encrypt(nonce, plain, bytes((control,)) + self._ak)[-_LIBRARY_TAG_SIZE:][:TAG_SIZE]
        else:
            plain, own_tag = text, self.authenticate(control, title, counter, text)
        if not hmac.compare_digest(own_tag, tag):
            raise DecipheringError("the authentication tag of a ciphered APDU does not fit")
        return plain

    def authenticate(self, control: int, title: bytes, counter: int, octets: bytes) -> bytes:
        """The GMAC tag over ``octets``: for authenticated-only APDUs and for HLS challenges."""
        nonce = title + counter.to_bytes(4, "big")
        return self._encrypt(nonce, b"", bytes((control,)) + self._ak + octets)[:TAG_SIZE]

    def __repr__(self) -> str:
        return "<Cipher>"


@dataclass(frozen=True, slots=True, repr=False)
class _Key:
    """A key in use: its cipher, where our counters come from, and which of the other side's were seen."""

    cipher: Cipher
    own: InvocationCounters
    received: InvocationCounters


_INITIATE = (InitiateRequest.TAG, InitiateResponse.TAG)
_UNASKED = (DataNotification.TAG, EventNotification.TAG)
_DEDICATED = frozenset({Ciphering.SERVICE_DED, Ciphering.GENERAL_DED})
_UNEXPECTED_BITS = SUITE_BITS | BROADCAST | COMPRESSED


class SecurityLayer:
    """Protects what one association sends and opens what it receives, under the global key and, once there is one,
    under the dedicated key of this association."""

    def __init__(
        self,
        settings: SecuritySettings,
        cipher: Cipher,
        counters: InvocationCounters,
        own_title: bytes,
        peer_title: bytes,
    ) -> None:
        self._settings = settings
        self._global = _Key(cipher, counters, counters)
        self._dedicated: _Key | None = None
        self._own_title = own_title
        self.peer_title = peer_title
        """Learned from the AARE or AARQ, if it was not known before."""
        self._required = settings.protection.bits
        self.form = settings.ciphering.with_global_key
        """The form of what is sent; a meter sets it to the form in which it was asked."""
        self.control = settings.protection.bits
        self.only_dedicated = False
        """Whether answers under the global key are refused: an association under a dedicated key is fresh, one under
        the global key may have been recorded on another day."""
        self.form_received = self.form
        self.control_received = settings.protection.bits

    def add_dedicated_key(self, key: bytes, *, restart_counters: bool = False) -> None:
        """Know the key that the client has chosen for this association. It shares the authentication key.

        Our counters go on from those of the global key: right for meters with one counter for both keys, and for
        those with one for each. ``restart_counters`` begins at 0, for meters that insist on that. What is received
        under a new key begins anew in any case.
        """
        fresh = InvocationCounters(next_own=0)
        own = fresh if restart_counters else self._global.own
        self._dedicated = _Key(Cipher(key, self._settings.ak), own, fresh)

    @property
    def has_dedicated_key(self) -> bool:
        return self._dedicated is not None

    @property
    def overhead(self) -> int:
        """Octets that ``protect`` adds at most to an APDU of up to 64 KiB."""
        title = 1 + len(self._own_title) if self.form.is_general else 0
        return 1 + title + 4 + 5 + (TAG_SIZE if self.control & AUTHENTICATED else 0)

    def protect(self, plain: bytes) -> bytes:
        """Seal one plain APDU in the present form under our next counter. Raises ``LocalProtocolError`` when no
        counter is left, or for an APDU that has no ciphered form."""
        form, tag = self.form, plain[0]
        if tag in _INITIATE:  # these have the service-specific form only, and the global key is all there is yet
            form = Ciphering.SERVICE_GLO
        elif tag == DataNotification.TAG:  # this one has no service-specific form
            form = Ciphering.GENERAL_DED if form.is_dedicated else Ciphering.GENERAL_GLO
        key = self._dedicated if form in _DEDICATED else self._global
        if key is None:
            raise LocalProtocolError("there is no dedicated key in this association")
        counter = key.own.take()
        sealed = key.cipher.seal(self.control, self._own_title, counter, plain)
        return CipheredApdu(form, tag, self._own_title, self.control, counter, sealed).encode()

    def unprotect(self, apdu: bytes) -> bytes:
        """The plain APDU inside. Raises ``RemoteProtocolError``: DecipheringError, ReplayedCounterError,
        WrongSystemTitleError. The peer's counter moves only when everything fits."""
        try:
            ciphered = CipheredApdu.parse(apdu)
        except CipheredFormatError as error:
            raise DecipheringError(str(error)) from None
        if len(self.peer_title) != TITLE_SIZE:
            raise DecipheringError("a ciphered APDU of somebody whose system title is not known")
        if ciphered.title and ciphered.title != self.peer_title:
            received, expected = ciphered.title[:TITLE_SIZE].hex(), self.peer_title.hex()
            raise WrongSystemTitleError(f"system title {received} was received, {expected} expected")
        self._check_control(ciphered.control)
        key = self._dedicated if ciphered.form in _DEDICATED else self._global
        if key is None:
            raise DecipheringError("ciphered with a dedicated key that was never agreed")
        key.received.check(ciphered.counter)
        plain = key.cipher.open(ciphered.control, self.peer_title, ciphered.counter, ciphered.sealed)
        if not plain or (ciphered.plain_tag is not None and plain[0] != ciphered.plain_tag):
            raise DecipheringError("the deciphered octets are not the APDU that was announced")
        if self.only_dedicated and ciphered.form not in _DEDICATED and plain[0] not in _UNASKED:
            raise DecipheringError("an answer under the global key, where the dedicated one was agreed")
        key.received.accept(ciphered.counter)
        self.form_received, self.control_received = ciphered.form, ciphered.control
        return plain

    def _check_control(self, control: int) -> None:
        if control & _UNEXPECTED_BITS:
            raise DecipheringError(f"security control {control:02x}: suite 0 under the unicast key was expected")
        if control & self._required != self._required:
            raise DecipheringError(f"security control {control:02x}: weaker than agreed ({self._required:02x})")
