"""Class 64, Security setup: policy, titles and keys of a security context (IEC 62056-6-2, version 1).

Method 2, ``key_transfer`` (``global_key_transfer`` in version 0), replaces global keys. Each new key travels wrapped
under the master key, the key encrypting key (KEK), by AES key wrap (RFC 3394), which also shows whether both sides
have the same master key. It is all or nothing: if one key cannot be unwrapped, none is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from cryptography.hazmat.primitives import keywrap

from cosem_objects import axdr
from cosem_objects.axdr import Data, DataType
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.obis import ObisCode

CLASS_ID = 64
DEFAULT_OBIS = ObisCode.parse("0-0:43.0.0.255")

KEY_SIZE = 16
"""Of every key in suites 0 and 1, the master key included."""
_WRAP_SIZE = 8
"""By so much a wrapped key is longer: the integrity check value of RFC 3394."""


class Attribute(IntEnum):
    LOGICAL_NAME = 1
    SECURITY_POLICY = 2
    SECURITY_SUITE = 3
    CLIENT_SYSTEM_TITLE = 4
    SERVER_SYSTEM_TITLE = 5
    CERTIFICATES = 6


class Method(IntEnum):
    SECURITY_ACTIVATE = 1
    KEY_TRANSFER = 2
    KEY_AGREEMENT = 3
    GENERATE_KEY_PAIR = 4
    GENERATE_CERTIFICATE_REQUEST = 5
    IMPORT_CERTIFICATE = 6
    EXPORT_CERTIFICATE = 7
    REMOVE_CERTIFICATE = 8


class SecuritySuite(IntEnum):
    """Attribute 3."""

    AES_GCM_128 = 0
    AES_GCM_128_ECDSA_P_256 = 1
    AES_GCM_256_ECDSA_P_384 = 2


class KeyId(IntEnum):
    """Which key a ``key_transfer`` replaces."""

    GLOBAL_UNICAST_ENCRYPTION_KEY = 0
    GLOBAL_BROADCAST_ENCRYPTION_KEY = 1
    AUTHENTICATION_KEY = 2
    MASTER_KEY = 3


POLICY_FLAGS = (
    "authenticated_request",
    "encrypted_request",
    "digitally_signed_request",
    "authenticated_response",
    "encrypted_response",
    "digitally_signed_response",
)
"""Attribute 2 in version 1: bits 2 to 7 of the number, the least significant being bit 0."""


def security_policy(flags: frozenset[str]) -> int:
    return sum(1 << bit for bit, flag in enumerate(POLICY_FLAGS, 2) if flag in flags)


class KeyWrapError(RemoteProtocolError):
    """A key came that cannot be unwrapped, or that is none: nothing may be changed."""


def wrap_key(master_key: bytes, key: bytes) -> bytes:
    """``key`` under ``master_key``: 8 octets longer. Raises ``LocalProtocolError`` for keys of a wrong size."""
    if len(master_key) != KEY_SIZE or len(key) != KEY_SIZE:
        raise LocalProtocolError(f"key wrap: keys of {KEY_SIZE} octets are expected")
    return keywrap.aes_key_wrap(master_key, key)


def unwrap_key(master_key: bytes, wrapped: bytes) -> bytes:
    """The key inside. Raises ``KeyWrapError`` if it was wrapped under another master key, or changed on the way."""
    if len(wrapped) != KEY_SIZE + _WRAP_SIZE:
        raise KeyWrapError(f"a wrapped key has {KEY_SIZE + _WRAP_SIZE} octets; {len(wrapped)} were received")
    try:
        return keywrap.aes_key_unwrap(master_key, wrapped)
    except keywrap.InvalidUnwrap:
        raise KeyWrapError("a wrapped key does not open under the master key") from None


def key_transfer_data(keys: Mapping[KeyId, bytes], master_key: bytes) -> Data:
    """The parameter of ``key_transfer``: array of {key_id, key_wrapped}. Raises ``LocalProtocolError``."""
    return axdr.array(
        *(
            axdr.structure(axdr.enum(key_id), axdr.octet_string(wrap_key(master_key, key)))
            for key_id, key in keys.items()
        )
    )


def read_key_transfer(data: Data, master_key: bytes) -> dict[KeyId, bytes]:
    """All keys of one ``key_transfer``, unwrapped.

    Raises ``RemoteProtocolError`` when it is no array of such structures, and its child ``KeyWrapError`` when it is,
    but a key does not open, is not known, or comes twice.
    """
    wrapped = [_read_transferred(element) for element in _array(data)]
    keys: dict[KeyId, bytes] = {}
    for number, octets in wrapped:
        if number not in list(KeyId):
            raise KeyWrapError(f"there is no key {number}")
        if KeyId(number) in keys:
            raise KeyWrapError(f"key {number} comes twice")
        keys[KeyId(number)] = unwrap_key(master_key, octets)
    if not keys:
        raise KeyWrapError("a transfer of no keys")
    return keys


def _array(data: Data) -> tuple[Data, ...]:
    if data.type is not DataType.ARRAY:
        raise RemoteProtocolError(f"an array of keys was expected, {data.type.standard_name} received")
    return data.elements


def _read_transferred(data: Data) -> tuple[int, bytes]:
    if data.type is not DataType.STRUCTURE or len(data.elements) != 2:
        raise RemoteProtocolError("a structure of key_id and key_wrapped was expected")
    key_id, wrapped = data.elements
    if key_id.type is not DataType.ENUM or wrapped.type is not DataType.OCTET_STRING:
        raise RemoteProtocolError("key_id is an enum and key_wrapped an octet-string")
    return key_id.integer, wrapped.octets
