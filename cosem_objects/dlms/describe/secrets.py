"""What is shown in place of a secret, and how a token is known when nothing says that it is one."""

from __future__ import annotations

import re

from cosem_objects.errors import TokenFormatError
from cosem_objects.token_gateway import TokenEncoding

_DIGITS_IN_TEXT = re.compile(r"(?<!\d)\d(?:[ -]?\d){19,}")


def secret_words(kind: str, octets: bytes) -> str:
    """``(token …0686, 20 octets)`` or ``(secret, 16 octets)``."""
    end = _end_of_token(octets) if kind == "token" else ""
    return f"({kind}{end}, {len(octets)} octet{'' if len(octets) == 1 else 's'})"


def may_be_token(octets: bytes) -> bool:
    """Whether a token can be read in these octets, in any of the four encodings, or in a text around it.

    Where a value has no name this is all that can be asked. Now and then other octets look the same, a number in BCD
    say; then they are hidden without need.
    """
    return _encoding(octets) is not None or text_has_token(octets.decode("latin-1"))


def text_has_token(text: str) -> bool:
    return _DIGITS_IN_TEXT.search(text) is not None


def _encoding(octets: bytes) -> TokenEncoding | None:
    if len(octets) not in (9, 10, 20):
        return None
    for encoding in TokenEncoding:
        try:
            encoding.from_octets(octets)
        except TokenFormatError:
            continue
        return encoding
    return None


def _end_of_token(octets: bytes) -> str:
    encoding = _encoding(octets)
    return "" if encoding is None else f" …{encoding.from_octets(octets).digits[-4:]}"
