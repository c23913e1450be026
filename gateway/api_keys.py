"""API keys: how one is made and recognised, and what its scopes allow. Pure, but for ``secrets`` in ``ApiKey.new``.

A key is ``stsgate_<id>_<32 random octets in base64url>``. The store keeps the SHA-256 of the whole; a slow hash would
add nothing, as nobody guesses 256 bits. It is looked up by that hash, so no comparison tells by its time how much of a
key was right.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

_FORM = re.compile(r"stsgate_([a-z0-9][a-z0-9-]{0,62})_([A-Za-z0-9_-]{43})", re.ASCII)
_SECRET_OCTETS = 32
_ID_OCTETS = 6


class Scope(StrEnum):
    """What the holder of an API key may do."""

    READ = "read"
    """Look at everything; change nothing."""
    ORDERS = "orders"
    """Hand in orders, and cancel them."""
    OPERATE = "operate"
    """Resolve held orders, have meters read, change meters and links."""
    ADMIN = "admin"
    """All of this, and API keys and webhooks."""


def allows(scopes: Collection[str], needed: Scope) -> bool:
    """Whether somebody with these scopes may do what needs this one."""
    return needed in scopes or Scope.ADMIN in scopes


class ApiKeyFormatError(ValueError):
    """This is no API key of ours. The message never holds it."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, whole. It is shown once, when it is made."""

    id: str
    text: str = field(repr=False)

    @classmethod
    def new(cls, key_id: str | None = None) -> ApiKey:
        """``key_id``: lower-case letters, digits and hyphens, else one is made. Raises ``ApiKeyFormatError``."""
        chosen = secrets.token_hex(_ID_OCTETS) if key_id is None else key_id
        return cls.parse(f"stsgate_{chosen}_{secrets.token_urlsafe(_SECRET_OCTETS)}")

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Raises ``ApiKeyFormatError``."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ApiKeyFormatError("an API key is stsgate_, its id, _ and 43 letters, digits, hyphens or underscores")
        return cls(match[1], text)

    @property
    def digest(self) -> bytes:
        return digest(self.text)


def digest(text: str) -> bytes:
    """What the store knows of a key. Of any text: a bootstrap key is whatever the operator chose."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
