"""Secrets at rest. AES-256-GCM, the record's identity as associated data, so that no record passes for another.

Three kinds of keys. The *key-encryption key* is the operator's and stands outside of the database. It seals *data
keys*, which are in the database and seal the records; each record names its data key, so that a new one for new records
leaves the old ones readable. The *digest key* is a data key that never changes: what is looked up by digest must be
found for ever. ``gateway/store/sqlite/data_keys.py`` keeps the sealed keys, ``gateway/key_source.py`` finds the
operator's.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_OCTETS = 32
KEY_ID_OCTETS = 8
DIGEST_OCTETS = 16
RECORDS_MAX = 2**31
"""Sealed under one data key before a new one is made. NIST SP 800-38D 8.3: at most 2^32 with random nonces."""

_VERSION = 1
_HEADER = struct.Struct(">BI")  # version, data key's id
_NONCE_OCTETS = 12
_TAG_OCTETS = 16


class VaultError(Exception):
    """A secret, or a key, cannot be had; the message names it, and never its contents."""


@dataclass(frozen=True, slots=True)
class KeyEncryptionKey:
    """The operator's key: it seals data keys, and nothing else."""

    octets: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.octets) != KEY_OCTETS:
            raise VaultError(f"a key-encryption key has {KEY_OCTETS} octets, this one has {len(self.octets)}")

    @classmethod
    def new(cls) -> KeyEncryptionKey:
        return cls(secrets.token_bytes(KEY_OCTETS))

    @property
    def id(self) -> str:
        """Tells one key from another, and nothing of its contents."""
        return hmac.digest(self.octets, b"stsgate key-encryption key", "sha256")[:KEY_ID_OCTETS].hex()

    def seal(self, data_key: DataKey) -> bytes:
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return nonce + AESGCM(self.octets).encrypt(nonce, data_key.octets, data_key.identity.encode())

    def open(self, key_id: int, purpose: str, sealed: bytes, made_at: datetime) -> DataKey:
        """Raises ``VaultError``."""
        empty = DataKey(key_id, purpose, made_at, b"")
        try:
            nonce, rest = sealed[:_NONCE_OCTETS], sealed[_NONCE_OCTETS:]
            octets = AESGCM(self.octets).decrypt(nonce, rest, empty.identity.encode())
        except (InvalidTag, ValueError):
            raise VaultError(
                f"{empty.identity} is damaged, or was not sealed by key-encryption key {self.id}"
            ) from None
        return DataKey(key_id, purpose, made_at, octets)


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that is kept in the database, here as it is in memory."""

    id: int
    purpose: str
    """``data`` or ``digest``."""
    made_at: datetime
    octets: bytes = field(repr=False)

    @classmethod
    def new(cls, key_id: int, purpose: str, made_at: datetime) -> DataKey:
        return cls(key_id, purpose, made_at, secrets.token_bytes(KEY_OCTETS))

    @property
    def identity(self) -> str:
        return f"data_key:{self.id}:{self.purpose}"


DATA = "data"
DIGEST = "digest"


class Vault:
    """Seals and opens records. Locked until the store has given it the data keys. May be used by many threads."""

    def __init__(self) -> None:
        self._key_encryption_key: KeyEncryptionKey | None = None
        self._ciphers: Mapping[int, AESGCM] = {}
        self._current = 0
        self._digest_key = b""
        self._purpose_keys: dict[str, bytes] = {}
        self._sealed = itertools.count()
        self._counted = 0

    def __repr__(self) -> str:
        return f"<Vault with {len(self._ciphers)} data keys>"

    def unlock(self, key: KeyEncryptionKey, keys: Mapping[int, DataKey]) -> None:
        """Take all data keys there are; the newest seals from now on. Raises ``VaultError`` if one kind is missing."""
        data = {key.id: AESGCM(key.octets) for key in keys.values() if key.purpose == DATA}
        digests = [key.octets for key in keys.values() if key.purpose == DIGEST]
        if not data or len(digests) != 1:
            raise VaultError("the data keys are not complete: expected one digest key and at least one data key")
        self._key_encryption_key = key
        self._ciphers, self._current = data, max(data)
        if digests[0] != self._digest_key:
            self._digest_key, self._purpose_keys = digests[0], {}

    @property
    def key_encryption_key(self) -> KeyEncryptionKey:
        """The operator's key that it was unlocked with. Raises ``VaultError``."""
        if self._key_encryption_key is None:
            raise VaultError("the vault is locked")
        return self._key_encryption_key

    @property
    def current_key(self) -> int:
        """The id of the data key that seals."""
        return self._current

    def uncounted(self) -> int:
        """How many records were sealed that nobody has written down yet. Asking counts as one."""
        return next(self._sealed) - self._counted

    def counted(self, records: int) -> None:
        """So many are on disk now."""
        self._counted += records

    def seal(self, plain: bytes, identity: str) -> bytes:
        """``identity`` names the record, such as ``meter:4711:password``; it opens under the same identity only."""
        current = self._current
        cipher = self._ciphers.get(current)
        if cipher is None:
            raise VaultError(f"{identity} cannot be sealed: the vault is locked")
        next(self._sealed)
        header = _HEADER.pack(_VERSION, current)
        nonce = secrets.token_bytes(_NONCE_OCTETS)
        return header + nonce + cipher.encrypt(nonce, plain, header + identity.encode())

    def open(self, sealed: bytes, identity: str) -> bytes:
        """Raises ``VaultError``: damaged, another record's, or its data key is not here."""
        if len(sealed) < _HEADER.size + _NONCE_OCTETS + _TAG_OCTETS:
            raise VaultError(f"{identity} cannot be opened: it is cut short")
        version, key_id = _HEADER.unpack_from(sealed)
        if version != _VERSION:
            raise VaultError(f"{identity} cannot be opened: expected a record of version {_VERSION}, got {version}")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise VaultError(f"{identity} cannot be opened: there is no data key {key_id}")
        header, start = sealed[: _HEADER.size], _HEADER.size + _NONCE_OCTETS
        try:
            return cipher.decrypt(sealed[_HEADER.size : start], sealed[start:], header + identity.encode())
        except InvalidTag:
            raise VaultError(f"{identity} cannot be opened: it is damaged, or another record's") from None

    def digest(self, purpose: str, octets: bytes) -> bytes:
        """16 octets that nobody can make without the digest key; the same for ever, and different for each purpose."""
        key = self._purpose_keys.get(purpose)
        if key is None:
            if not self._digest_key:
                raise VaultError(f"no digest for {purpose}: the vault is locked")
            key = self._purpose_keys[purpose] = hmac.digest(self._digest_key, f"for {purpose}".encode(), "sha256")
        return hmac.digest(key, octets, "sha256")[:DIGEST_OCTETS]
