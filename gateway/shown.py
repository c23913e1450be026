"""Text that may be shown: what a caller typed or a meter said, without secrets and control characters. Pure."""

from __future__ import annotations

import re


def without_secrets(message: str) -> str:
    """A message that may repeat what was typed: a token or key in the wrong place is cut down to its end."""
    message = _API_KEY.sub("stsgate_…", message)
    return _LONG_DIGITS.sub(lambda digits: f"…{digits[0][-4:]}", message)


def printable(text: str) -> str:
    """Text that a meter may have had a hand in: without control characters, and without a whole token."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text)
    return _TOKEN.sub(lambda digits: f"…{digits[0][-4:]}", text)


_API_KEY = re.compile(r"stsgate_[a-z0-9-]{1,63}_[A-Za-z0-9_-]{8,}")
_TOKEN = re.compile(r"\d(?:[ -]?\d){19,}")
_LONG_DIGITS = re.compile(r"[0-9A-Fa-f](?:[ ._-]?[0-9A-Fa-f]){14,}")
