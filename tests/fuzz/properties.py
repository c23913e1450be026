"""What must hold for every decoder, and how an input is taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cosem_objects.axdr import CompactArray, Data

MESSAGE_SIZE_MAX = 300
"""Characters of an error's message: it goes into logs, and an attacker may cause any number of them."""


def assert_harmless(error: Exception, secrets: Iterable[bytes] = ()) -> None:
    """The message of a refusal is there, short, one line, and says nothing of ``secrets``."""
    message = str(error)
    assert message, f"a {type(error).__name__} without a word"
    assert len(message) < MESSAGE_SIZE_MAX, f"a message of {len(message)} characters: {message[:80]!r}…"
    assert message.isprintable(), f"a message with control characters: {message!r}"
    assert_says_nothing_of(secrets, message)


def assert_says_nothing_of(secrets: Iterable[bytes], shown: str) -> None:
    """Neither the octets in hex nor as text stand in ``shown``. Short and monotonous ones are left out: they stand
    there by chance, as the hex of zeros does in any bit-string."""
    for secret in secrets:
        if len(secret) >= 8 and len(set(secret)) > 3:
            for form in (secret.hex(), secret.decode("latin-1"), repr(secret)[2:-1]):
                assert form.lower() not in shown.lower(), "a secret is shown"


def size_of(data: Data) -> int:
    """How many values ``data`` is made of. Without recursion: depth is one of the things that are tested."""
    count, open_values = 0, [data]
    while open_values:
        value = open_values.pop().value
        count += 1
        if isinstance(value, CompactArray):
            value = value.elements
        if isinstance(value, tuple):
            open_values.extend(value)
    return count


def secrets_in(data: Data) -> Iterator[bytes]:
    """The strings inside: any of them may be a token, a key or a password."""
    open_values = [data]
    while open_values:
        one = open_values.pop()
        value = one.value.elements if isinstance(one.value, CompactArray) else one.value
        if isinstance(value, tuple):
            open_values.extend(value)
        elif isinstance(value, bytes):
            yield value
        elif isinstance(value, str) and value.strip("01"):
            yield value.encode("utf-8")


@dataclass(slots=True)
class Choices:
    """Reads an input as a row of decisions; when it is used up, every further decision is 0."""

    octets: bytes
    position: int = 0

    def __bool__(self) -> bool:
        return self.position < len(self.octets)

    def octet(self) -> int:
        self.position += 1
        return self.octets[self.position - 1] if self.position <= len(self.octets) else 0

    def number(self) -> int:
        return self.octet() << 8 | self.octet()

    def piece(self) -> bytes:
        """Some octets; their number, in one octet, stands before them (FF: all that are left)."""
        size = self.octet()
        return self.rest() if size == 0xFF else self.take(size)

    def take(self, size: int) -> bytes:
        start = self.position
        self.position += size
        return self.octets[start : start + size]

    def rest(self) -> bytes:
        return self.take(max(0, len(self.octets) - self.position))

    def damage(self, octets: bytes) -> bytes:
        """``octets`` with one of them changed, cut off behind, or something added: never the same."""
        how, where, mask = self.octet() % 3, self.number(), self.octet() or 1
        if how == 0 or not octets:
            return octets + bytes((mask,))
        at = where % len(octets)
        return octets[:at] if how == 1 else octets[:at] + bytes((octets[at] ^ mask,)) + octets[at + 1 :]
