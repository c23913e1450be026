"""The ciphers, the check sum and key generation, against what the standard says step by step."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, lists, sampled_from

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.ciphers.algorithms import ALGORITHMS, BlockCipher, algorithm_of
from sim_meters.sts.ciphers.misty1 import S7, S9, Misty1
from sim_meters.sts.ciphers.sta import OPERATIONAL_TABLES, Sta, StaTables
from sim_meters.sts.keys.decoder_key import DecoderKey, HmacSha256, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tokens.crc import CrcRule, crc_field, token_crc
from sim_meters.sts.vectors.vector_primitives import TEACHING_TABLES
from tests.sim_meters.simple_ciphers import (
    MASK,
    SimpleMisty1,
    sta_decrypted,
    sta_encrypted,
    sta_encryption_run_backwards,
)

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
DOCUMENT = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))
VECTORS: list[dict[str, Any]] = DOCUMENT["vectors"]
DERIVATIONS: list[dict[str, Any]] = [entry for entry in DOCUMENT["primitives"] if entry["kind"] == "dkga"]

TABLES = sampled_from([OPERATIONAL_TABLES, TEACHING_TABLES])
BLOCKS = integers(0, MASK)
LONG_KEYS = integers(0, (1 << 128) - 1)

VENDING_KEY_20 = "ABABABABABABABAB949494949494949401234567"
EA09_REFUSED = "EA09 (DEA) was withdrawn in edition 3 of IEC 62055-41, and no published token under it exists"
PAN = "600727000000000009"


@given(key=BLOCKS, block=BLOCKS, tables=TABLES)
def test_sta_is_the_cipher_that_the_standard_draws(key: int, block: int, tables: StaTables) -> None:
    cipher = Sta(key, tables)
    assert cipher.encrypt(block) == sta_encrypted(key, block, tables)
    assert cipher.decrypt(block) == sta_decrypted(key, block, tables)


@given(key=BLOCKS, block=BLOCKS, tables=TABLES)
def test_stas_rounds_run_backwards_equal_the_decryption_that_the_standard_draws(
    key: int, block: int, tables: StaTables
) -> None:
    assert sta_encryption_run_backwards(key, block, tables) == sta_decrypted(key, block, tables)


@given(key=LONG_KEYS, block=BLOCKS)
def test_misty1_is_the_cipher_of_the_rfc(key: int, block: int) -> None:
    fast, simple = Misty1(key), SimpleMisty1(key)
    assert fast.encrypt(block) == simple.encrypt(block)
    assert fast.decrypt(block) == simple.decrypt(block)


@pytest.mark.parametrize("cipher", [Misty1, SimpleMisty1])
@pytest.mark.parametrize(
    ("clear", "encrypted"),
    [(0x0123456789ABCDEF, 0x8B1DA5F56AB3D07C), (0xFEDCBA9876543210, 0x04B68240B13BE95D)],
)
def test_the_blocks_printed_in_the_rfc(cipher: Callable[[int], BlockCipher], clear: int, encrypted: int) -> None:
    # RFC 2994, section 4: the test data
    under_key = cipher(0x00112233445566778899AABBCCDDEEFF)
    assert under_key.encrypt(clear) == encrypted
    assert under_key.decrypt(encrypted) == clear


def test_the_tables_of_misty1_replace_one_to_one() -> None:
    assert sorted(S7) == list(range(1 << 7))
    assert sorted(S9) == list(range(1 << 9))


PUBLISHED = [vector for vector in VECTORS if vector["token_class"] != 1]


@pytest.mark.parametrize("vector", PUBLISHED, ids=lambda vector: vector["id"])
def test_a_published_clear_block_and_its_token_are_the_same_under_the_key(vector: dict[str, Any]) -> None:
    cipher = algorithm_of(int(vector["ea"])).cipher(int(vector["decoder_key_hex"], 16))
    clear, token = int(vector["clear_block_hex"], 16), Token.parse(vector["token"])
    assert Token.from_block(TokenClass(vector["token_class"]), cipher.encrypt(clear)) == token
    assert cipher.decrypt(token.block) == clear


def test_published_tokens_are_of_both_ciphers() -> None:
    assert {vector["ea"] for vector in PUBLISHED} == {"07", "11"}


@pytest.mark.parametrize("ea", ALGORITHMS)
@given(key=LONG_KEYS, block=BLOCKS)
def test_what_was_encrypted_is_decrypted(ea: int, key: int, block: int) -> None:
    algorithm = ALGORITHMS[ea]
    cipher = algorithm.cipher(key >> 128 - 8 * algorithm.key_bytes)
    assert cipher.decrypt(cipher.encrypt(block)) == block
    assert cipher.encrypt(cipher.decrypt(block)) == block


def test_the_teaching_tables_give_the_worked_example_of_the_standard() -> None:
    # IEC 62055-41, worked example printed with the teaching tables.
    encrypted = Sta(0x0ABC12DEF3456789, TEACHING_TABLES).encrypt(0x0B19EB230100C207)
    token = Token.from_block(TokenClass.CREDIT, encrypted)
    assert token.number == 0x2C45ED1618406DF95
    assert token.digits == "51043465443420856213"


def test_the_inverse_tables_are_those_that_public_implementations_print() -> None:
    back = OPERATIONAL_TABLES.inverse()
    assert back.substitution_if_1 == (12, 6, 2, 7, 13, 9, 5, 4, 1, 10, 14, 8, 0, 3, 15, 11)
    assert back.substitution_if_0 == (9, 11, 6, 5, 12, 7, 14, 2, 13, 3, 1, 15, 4, 8, 0, 10)
    assert back.permutation[:8] == (55, 54, 8, 25, 27, 47, 16, 26)
    assert back.permutation[-8:] == (10, 56, 13, 58, 49, 19, 24, 30)


@pytest.mark.parametrize(
    ("token_class", "upper_bits", "rule", "expected"),
    [
        # IEC 62055-41 worked examples, as quoted in public code
        (0, 0x004A2D900FF2, CrcRule.CRC, 0x0FFA),
        (0, 0x0B19EB230100, CrcRule.CRC, 0xC207),
        # STS531-1-07 CTSA20 to CTSA23: electricity, water, gas and time currency
        (0, 0x4052B13960AA, CrcRule.CRC_C, 0xC385),
        (0, 0x5162BB7B78E4, CrcRule.CRC_C, 0xFEAA),
        (0, 0x616369DA78E3, CrcRule.CRC_C, 0x56A6),
        (0, 0x716B6EFA78E3, CrcRule.CRC_C, 0xF82F),
    ],
)
def test_the_check_sum_of_published_blocks(token_class: int, upper_bits: int, rule: CrcRule, expected: int) -> None:
    assert token_crc(token_class, upper_bits, rule) == expected


@given(token_class=integers(0, 3), upper_bits=integers(0, (1 << 48) - 1), rule=sampled_from(CrcRule))
def test_the_check_sum_of_a_block_is_that_of_its_octets(token_class: int, upper_bits: int, rule: CrcRule) -> None:
    octets = bytes([token_class]) + upper_bits.to_bytes(6, "big") + rule.value
    assert token_crc(token_class, upper_bits, rule) == crc_field(octets)


@given(octets=binary(min_size=7, max_size=8), bit=integers(0, 55))
def test_any_flipped_bit_changes_the_check_sum(octets: bytes, bit: int) -> None:
    flipped = int.from_bytes(octets, "big") ^ 1 << bit
    assert crc_field(octets) != crc_field(flipped.to_bytes(len(octets), "big"))


def test_a_meter_that_does_not_know_currency_tokens_sees_a_wrong_crc() -> None:
    published = 0x4052B13960AA  # STS531-1-07 CTSA20
    assert token_crc(0, published, CrcRule.CRC) != token_crc(0, published, CrcRule.CRC_C)


def attributes(**changes: str) -> KeyAttributes:
    return KeyAttributes.parse(**{"pan": PAN, "sgc": "201457", **changes})


def derived(vending_key: str, **changes: str) -> str:
    wanted = attributes(**changes)
    return derive_decoder_key(VendingKey.parse(vending_key, wanted.dkga), wanted).octets.hex()


@pytest.mark.parametrize("entry", DERIVATIONS, ids=lambda entry: f"DKGA{entry['dkga']}-{entry['decoder_key_hex'][:6]}")
def test_published_key_inputs_give_the_published_key(entry: dict[str, Any]) -> None:
    inputs = {name: str(entry[name]) for name in ("sgc", "ti", "krn", "kt", "base_date", "ea", "dkga")}
    assert derived(entry["vending_key_hex"], pan=entry["meter_pan"], **inputs) == entry["decoder_key_hex"]


def test_published_keys_are_of_both_ciphers_and_generation_algorithms() -> None:
    assert {(entry["dkga"], entry["ea"]) for entry in DERIVATIONS} == {("02", "07"), ("04", "07"), ("04", "11")}


@given(key=binary(max_size=64), messages=lists(binary(max_size=200), max_size=3))
def test_the_hash_prepared_once_is_hmac(key: bytes, messages: list[bytes]) -> None:
    prepared = HmacSha256(key)
    for message in messages:
        assert prepared.digest(message) == hmac.digest(key, message, "sha256")


def test_changing_any_key_attribute_changes_the_key() -> None:
    changes = [
        {},
        {"pan": "600727111111111153"},
        {"sgc": "201458"},
        {"ti": "02"},
        {"krn": "2"},
        {"kt": "1"},
        {"base_date": "2035"},
    ]
    keys = [derived(VENDING_KEY_20, **change) for change in changes]
    assert keys[0] == "87f3ecbb2e46b48f"  # worked example, STS531-1-07
    assert len(set(keys)) == len(changes)


def test_a_vending_key_for_dkga02_counts_with_odd_parity() -> None:
    right = VendingKey.parse("ABABABABABABABAB", 2)
    assert VendingKey.parse("AAAAAAAAAAAAAAAA", 2) == right
    assert all(octet.bit_count() % 2 for octet in VendingKey(bytes(range(8))).octets)


def test_a_common_key_is_the_same_for_every_meter() -> None:
    keys = {
        derived("ABABABABABABABAB", dkga="02", kt="3", pan=pan)
        for pan in (PAN, "600727111111111153", "000001000000000082")
    }
    assert len(keys) == 1
    assert keys != {derived("ABABABABABABABAB", dkga="02", kt="2")}


def test_keys_stay_out_of_sight() -> None:
    vending_key = VendingKey.parse(VENDING_KEY_20, 4)
    decoder_key = derive_decoder_key(vending_key, attributes())
    for key in (vending_key, decoder_key):
        shown = repr(key) + str(key)
        assert key.octets.hex() not in shown.lower()
        assert repr(key.octets) not in shown


@pytest.mark.parametrize(
    ("text", "dkga", "message"),
    [
        ("AB" * 7, 2, "vending key: expected 16 hex digits (8 bytes, DKGA02); got 14"),
        ("AB" * 8, 4, "vending key: expected 40 hex digits (20 bytes, DKGA04); got 16"),
        ("AB" * 20, 2, "vending key: expected 16 hex digits (8 bytes, DKGA02); got 40"),
        ("AB" * 7 + "A", 2, "vending key: expected 16 hex digits (8 bytes, DKGA02); got 15"),
        ("XY" * 8, 2, "vending key: expected 16 hex digits (8 bytes, DKGA02); other characters were given"),
        ("", 4, "vending key: expected 40 hex digits (20 bytes, DKGA04); got 0"),
    ],
)
def test_a_vending_key_of_the_wrong_shape_is_refused(text: str, dkga: int, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        VendingKey.parse(text, dkga)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("ea", "text", "message"),
    [
        (7, "AB" * 16, "decoder key: expected 16 hex digits (8 bytes, EA07); got 32"),
        (11, "AB" * 8, "decoder key: expected 32 hex digits (16 bytes, EA11); got 16"),
        (9, "AB" * 8, f"ea: expected 07 or 11; {EA09_REFUSED}"),
        (8, "AB" * 8, "ea: expected 07 or 11; EA08 is no encryption algorithm of STS"),
    ],
)
def test_a_decoder_key_that_cannot_be_used_is_refused(ea: int, text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        DecoderKey.parse(text, ea)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "beginning"),
    [
        ({"sgc": "12345"}, "sgc: expected six digits"),
        ({"sgc": "12345x"}, "sgc: expected decimal digits"),
        ({"ti": "100"}, "ti: expected 0 to 99; got 100"),
        ({"krn": "0"}, "krn: expected 1 to 9; got 0"),
        ({"krn": "10"}, "krn: expected 1 to 9; got 10"),
        ({"kt": "4"}, "kt: expected 0 to 3; got 4"),
        ({"kt": "-1"}, "kt: expected decimal digits"),
        ({"kt": "0"}, "kt: an initialisation key (KT 0) is the manufacturer's own"),
        ({"kt": "3"}, "kt: a common key (KT 3) is offered with DKGA02 only"),
        ({"base_date": "2015"}, "base date: expected 1993, 2014 or 2035; got '2015'"),
        ({"ea": "09"}, f"ea: expected 07 or 11; {EA09_REFUSED}"),
        ({"dkga": "01"}, "dkga: expected 02 or 04; DKGA01 is for a fixed list of legacy meters"),
        ({"dkga": "03"}, "dkga: expected 02 or 04; DKGA03 was withdrawn"),
        ({"dkga": "05"}, "dkga: expected 02 or 04; DKGA05 is no key generation algorithm"),
        ({"dkga": "02"}, "vending key: expected 8 bytes (DKGA02); got 20"),
        ({"pan": "600727000000000008"}, "pan: the PAN check digit"),
    ],
)
def test_a_key_attribute_out_of_range_is_named(change: dict[str, str], beginning: str) -> None:
    with pytest.raises(SettingError) as caught:
        derive_decoder_key(VendingKey.parse(VENDING_KEY_20, 4), attributes(**change))
    assert str(caught.value).startswith(beginning)
