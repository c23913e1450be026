"""High level security: how each side proves to the other that it knows the secret (IEC 62056-5-3, 5.3.4).

Each side has sent a challenge. In passes 3 and 4 each sends f(challenge of the other), and checks what it gets:

    HLS-GMAC (5)      SC || IC || tag, the tag made over the challenge under one's own title and counter
    HLS-SHA256 (6)    SHA-256(secret || own title || other's title || other's challenge || own challenge)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from cosem_objects.dlms.acse import Mechanism
from cosem_objects.dlms.apdu import is_apdu
from cosem_objects.dlms.ciphered import HEADER_SIZE, TAG_SIZE
from cosem_objects.dlms.security import Cipher, InvocationCounters
from cosem_objects.dlms.settings import AUTHENTICATED

CHALLENGE_SIZE_MIN, CHALLENGE_SIZE_MAX = 8, 64
_CHALLENGE_SIZE = 16


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What one side knows: keys for GMAC, the secret (HLS password) for SHA-256."""

    mechanism: Mechanism
    cipher: Cipher | None
    password: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Challenged:
    """One side of passes 3 and 4, when titles and challenges of both are known."""

    secrets: Secrets
    own_title: bytes
    other_title: bytes
    own_challenge: bytes
    """That which this side has sent."""
    other_challenge: bytes

    def answer(self, counters: InvocationCounters) -> bytes:
        """f(challenge of the other). GMAC takes one of our invocation counters for it. Raises
        ``LocalProtocolError`` when none is left."""
        if self.secrets.mechanism is Mechanism.HLS_SHA256:
            return self._digest(self.own_title, self.other_title, self.other_challenge, self.own_challenge)
        assert self.secrets.cipher is not None
        return answer_challenge(self.secrets.cipher, self.own_title, counters.take(), self.other_challenge)

    def is_answered(self, answer: bytes) -> bool:
        """Whether ``answer`` is the other's f(our challenge)."""
        if self.secrets.mechanism is Mechanism.HLS_SHA256:
            expected = self._digest(self.other_title, self.own_title, self.own_challenge, self.other_challenge)
            return hmac.compare_digest(answer, expected)
        assert self.secrets.cipher is not None
        return challenge_is_answered(self.secrets.cipher, self.other_title, self.own_challenge, answer)

    def _digest(self, *parts: bytes) -> bytes:
        return hashlib.sha256(self.secrets.password + b"".join(parts)).digest()


def is_challenge(octets: bytes) -> bool:
    """Whether this may be answered: long enough not to be collected beforehand, and no APDU, for which a GMAC answer
    would be a valid tag wherever authentication alone is enough."""
    return CHALLENGE_SIZE_MIN <= len(octets) <= CHALLENGE_SIZE_MAX and not is_apdu(octets)


def new_challenge(chance: Callable[[int], bytes]) -> bytes:
    """A challenge of our own, from so many octets of fresh ``chance``: one that the other side may answer."""
    challenge = chance(_CHALLENGE_SIZE)
    while not is_challenge(challenge):  # about one in 100,000
        challenge = chance(_CHALLENGE_SIZE)
    return challenge


def answer_challenge(cipher: Cipher, title: bytes, counter: int, challenge: bytes) -> bytes:
    """HLS-GMAC f(challenge) = SC || IC || tag, made by the side with ``title`` (passes 3 and 4)."""
    header = bytes((AUTHENTICATED,)) + counter.to_bytes(4, "big")
    return header + cipher.authenticate(AUTHENTICATED, title, counter, challenge)


def challenge_is_answered(cipher: Cipher, title: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether ``answer`` is the f(challenge) of the side with ``title``. The challenge makes it fresh, so the counter
    inside is not compared with others: stacks differ in where they take it from."""
    if len(answer) != HEADER_SIZE + TAG_SIZE:
        return False
    counter = int.from_bytes(answer[1:HEADER_SIZE], "big")
    return hmac.compare_digest(answer, answer_challenge(cipher, title, counter, challenge))
