"""The cipher, the check sum and key generation, against what the standard says step by step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers, sampled_from

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.crc import CrcRule, crc_field, token_crc
from sim_meters.sts.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes
from sim_meters.sts.sta import OPERATIONAL_TABLES, Sta, StaTables
from sim_meters.sts.vector_primitives import TEACHING_TABLES

MASK = (1 << 64) - 1
TABLES = sampled_from([OPERATIONAL_TABLES, TEACHING_TABLES])
BLOCKS = integers(0, MASK)

VENDING_KEY_20 = "ABABABABABABABAB949494949494949401234567"
PAN = "600727000000000009"


def turned_left(key: int, count: int) -> int:
    count %= 64
    return (key << count | key >> 64 - count) & MASK


def moved(block: int, permutation: tuple[int, ...]) -> int:
    return sum((block >> bit & 1) << target for bit, target in enumerate(permutation))


def replaced(block: int, key: int, key_bit: int, if_0: tuple[int, ...], if_1: tuple[int, ...]) -> int:
    return sum(
        (if_1 if key >> 4 * nibble + key_bit & 1 else if_0)[block >> 4 * nibble & 0xF] << 4 * nibble
        for nibble in range(16)
    )


def encrypted_bit_by_bit(key: int, block: int, tables: StaTables) -> int:
    """The encryption as the standard draws it: substitute, permute, turn the key."""
    key = turned_left(key ^ MASK, -12)
    for _ in range(16):
        block = replaced(block, key, 3, tables.substitution_if_0, tables.substitution_if_1)
        block = moved(block, tables.permutation)
        key = turned_left(key, 1)
    return block


def decrypted_bit_by_bit(key: int, block: int, tables: StaTables) -> int:
    """The decryption as the standard draws it: the raw key, bit 4i, the tables swapped."""
    back = tables.inverse()
    for _ in range(16):
        block = moved(block, back.permutation)
        block = replaced(block, key, 0, back.substitution_if_1, back.substitution_if_0)
        key = turned_left(key, -1)
    return block


@given(key=BLOCKS, block=BLOCKS, tables=TABLES)
def test_sta_is_the_cipher_that_the_standard_draws(key: int, block: int, tables: StaTables) -> None:
    assert Sta(key, tables).encrypt(block) == encrypted_bit_by_bit(key, block, tables)


@given(key=BLOCKS, block=BLOCKS, tables=TABLES)
def test_rounds_run_backwards_equal_the_decryption_that_the_standard_draws(
    key: int, block: int, tables: StaTables
) -> None:
    assert Sta(key, tables).decrypt(block) == decrypted_bit_by_bit(key, block, tables)


@given(key=BLOCKS, block=BLOCKS)
def test_what_was_encrypted_is_decrypted(key: int, block: int) -> None:
    cipher = Sta(key)
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
        (9, "AB" * 8, "ea: expected 07; EA09 (DEA) was withdrawn in edition 3 of IEC 62055-41"),
        (11, "AB" * 16, "ea: expected 07; EA11 (MISTY1) is not covered yet"),
        (8, "AB" * 8, "ea: expected 07; EA08 is no encryption algorithm of STS"),
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
        ({"ea": "09"}, "ea: expected 07; EA09 (DEA) was withdrawn"),
        ({"ea": "11"}, "ea: expected 07; EA11 (MISTY1) is not covered yet"),
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
