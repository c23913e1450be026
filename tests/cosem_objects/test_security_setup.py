"""Key wrap against RFC 3394, and the parameter of key_transfer both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, dictionaries, integers, sampled_from

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.errors import LocalProtocolError, RemoteProtocolError
from cosem_objects.security_setup import (
    POLICY_FLAGS,
    KeyId,
    KeyWrapError,
    key_transfer_data,
    read_key_transfer,
    security_policy,
    unwrap_key,
    wrap_key,
)
from tests.cosem_objects.strategies import data_objects

# RFC 3394, section 4.1: 128 bits of key data with a 128-bit KEK.
RFC_KEK = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
RFC_KEY = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
RFC_WRAPPED = bytes.fromhex("1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5")

keys = binary(min_size=16, max_size=16)


def test_a_key_is_wrapped_as_in_rfc_3394() -> None:
    assert wrap_key(RFC_KEK, RFC_KEY) == RFC_WRAPPED
    assert unwrap_key(RFC_KEK, RFC_WRAPPED) == RFC_KEY


def test_the_parameter_of_a_key_transfer_octet_by_octet() -> None:
    """Array of one structure of two: enum 0 (global unicast encryption key), octet-string of 24."""
    data = key_transfer_data({KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: RFC_KEY}, RFC_KEK)
    assert axdr.encode(data) == bytes.fromhex("0101020216000918") + RFC_WRAPPED
    assert read_key_transfer(data, RFC_KEK) == {KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: RFC_KEY}


@given(dictionaries(sampled_from(KeyId), keys, min_size=1), keys)
def test_what_is_transferred_is_what_was_meant(transferred: dict[KeyId, bytes], master_key: bytes) -> None:
    assert read_key_transfer(key_transfer_data(transferred, master_key), master_key) == transferred


@given(integers(0, 24 * 8 - 1))
def test_a_wrapped_key_with_a_flipped_bit_does_not_open(bit: int) -> None:
    flipped = (int.from_bytes(RFC_WRAPPED, "big") ^ 1 << bit).to_bytes(24, "big")
    with pytest.raises(KeyWrapError, match="does not open"):
        unwrap_key(RFC_KEK, flipped)


@pytest.mark.parametrize("size", [0, 8, 16, 23, 25, 32, 40])
def test_a_wrapped_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyWrapError, match=f"{size} were received"):
        unwrap_key(RFC_KEK, bytes(size))


@pytest.mark.parametrize(("master_size", "key_size"), [(0, 16), (24, 16), (16, 0), (16, 24), (16, 15)])
def test_only_whole_keys_are_wrapped(master_size: int, key_size: int) -> None:
    with pytest.raises(LocalProtocolError, match="keys of 16 octets"):
        wrap_key(bytes(master_size), bytes(key_size))


@given(data_objects)
def test_whatever_else_comes_is_refused_as_the_senders_fault(data: Data) -> None:
    with pytest.raises(RemoteProtocolError):
        read_key_transfer(data, RFC_KEK)
    with pytest.raises(RemoteProtocolError):
        read_key_transfer(axdr.array(data), RFC_KEK)
    with pytest.raises(RemoteProtocolError):
        read_key_transfer(axdr.array(axdr.structure(axdr.enum(0), data)), RFC_KEK)


def test_no_key_stands_in_an_error() -> None:
    for octets in (RFC_KEY, RFC_WRAPPED[:-1] + b"\0"):
        with pytest.raises(KeyWrapError) as error:
            unwrap_key(RFC_KEK, octets)
        assert octets.hex() not in str(error.value).lower()
        assert error.value.__cause__ is None


def test_the_policy_of_version_1_is_bits_2_to_7() -> None:
    assert security_policy(frozenset()) == 0
    assert [security_policy(frozenset({flag})) for flag in POLICY_FLAGS] == [4, 8, 16, 32, 64, 128]
