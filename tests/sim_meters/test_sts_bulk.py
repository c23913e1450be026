"""Tokens by the million are the same tokens: everything in bulk against the way one is made, keyed and opened."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import DataObject, binary, data, integers, lists, none, sampled_from, text

from benchmarks.sts_errors import ERRORS, measured_errors
from cosem_objects.errors import SettingError, TokenFormatError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.bulk.batches import KeyBatch, TokenBatch, accepted, derive_keys, encode_credits, read_digits
from sim_meters.sts.ciphers.algorithms import ALGORITHMS
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.identity import MeterPan
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import TID_MAX
from sim_meters.sts.tokens.amount import AMOUNT16_MAX
from sim_meters.sts.tokens.clear_token import DecodeFailure, credit_token, decode, encode
from sim_meters.sts.tokens.crc import CrcRule, token_crc
from sim_meters.sts.tokens.token_kind import Commodity
from sim_meters.sts.tokens.token_table import TOKEN_KINDS, credit_kind

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))["vectors"]

LAB_VENDING_KEY = VendingKey.parse("ABABABABABABABAB949494949494949401234567", 4)
FIRST_PAN = MeterPan("600727000000000009")
ELECTRICITY = credit_kind(Commodity.ELECTRICITY, currency=False)
MONEY = credit_kind(Commodity.ELECTRICITY, currency=True)
CREDIT_KINDS = [kind for kind in TOKEN_KINDS if kind.token_class is TokenClass.CREDIT]
MOST = (1 << 63) - 1
NEAR_A_STEP = sampled_from([0, 16383, 16384, 180214, 180215, 180223, 180224, 1818524, 1818624, AMOUNT16_MAX])
UNITS = NEAR_A_STEP | integers(0, AMOUNT16_MAX)
MONEY_UNITS = NEAR_A_STEP | NEAR_A_STEP.map(lambda units: -units) | integers(-MOST, MOST)


def decoder_keys(ea: int, count: int, draw: DataObject) -> list[DecoderKey]:
    size = ALGORITHMS[ea].key_bytes
    octets = draw.draw(binary(min_size=size * count, max_size=size * count))
    return [DecoderKey(octets[place * size :][:size], ea) for place in range(count)]


def numbers(values: list[int]) -> Any:
    return np.array(values, np.int64)


def texts(tokens: TokenBatch) -> list[str]:
    return [digits.decode("ascii") for digits in tokens.digits]


@pytest.mark.parametrize("ea", ALGORITHMS)
@pytest.mark.parametrize("kind", CREDIT_KINDS, ids=lambda kind: kind.name)
@settings(max_examples=30)
@given(draw=data())
def test_tokens_made_together_are_those_made_one_at_a_time(ea: int, kind: Any, draw: DataObject) -> None:
    count = draw.draw(integers(1, 6))

    def each(strategy: Any) -> list[Any]:
        return draw.draw(lists(strategy, min_size=count, max_size=count))

    keys = decoder_keys(ea, count, draw)
    units, tids = each(MONEY_UNITS if kind.is_currency else UNITS), each(integers(0, TID_MAX))
    rnds = each(none() if kind.is_currency else integers(0, 15))
    one_at_a_time = [
        encode(credit_token(kind, *fields), key)
        for fields, key in zip(zip(units, tids, rnds, strict=True), keys, strict=True)
    ]
    batch = KeyBatch.of(keys)
    together = encode_credits(kind, numbers(units), numbers(tids), None if kind.is_currency else numbers(rnds), batch)
    assert texts(together) == [token.digits for token in one_at_a_time]
    assert accepted(together, batch).all()


@pytest.mark.parametrize("ea", ALGORITHMS)
def test_more_than_one_chunk_of_tokens_is_not_mixed_up(ea: int) -> None:
    rng, count = np.random.default_rng(8), 20_000
    keys = KeyBatch(ea, rng.integers(0, 1 << 64, count if ea == 7 else (count, 2), np.uint64))
    units, tids, rnds = (rng.integers(0, limit, count) for limit in (50_000, TID_MAX, 16))
    together = encode_credits(ELECTRICITY, units, tids, rnds, keys)
    for place in range(0, count, 997):
        key = DecoderKey(keys.keys[place : place + 1].astype(">u8").tobytes(), ea)
        one = encode(credit_token(ELECTRICITY, int(units[place]), int(tids[place]), int(rnds[place])), key)
        assert together.digits[place].decode() == one.digits
    back, is_token = read_digits(together.digits)
    assert is_token.all()
    assert accepted(back, keys).all()


@pytest.mark.parametrize("ea", ALGORITHMS)
def test_keys_derived_together_are_those_derived_one_at_a_time(ea: int) -> None:
    attributes = KeyAttributes(FIRST_PAN, 201457, ea=ea)
    pans = [FIRST_PAN.plus(count) for count in range(40)]
    keys = [derive_decoder_key(LAB_VENDING_KEY, replace(attributes, pan=pan)) for pan in pans]
    assert (derive_keys(LAB_VENDING_KEY, attributes, pans).keys == KeyBatch.of(keys).keys).all()


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if vector["token_class"] != 1], ids=lambda v: v["id"])
def test_a_published_token_is_accepted_under_its_key_and_no_other(vector: dict[str, Any]) -> None:
    key = DecoderKey.parse(vector["decoder_key_hex"], int(vector["ea"]))
    wrong = DecoderKey(bytes([key.octets[0] ^ 1]) + key.octets[1:], key.ea)
    token, is_token = read_digits(np.array([vector["token"], vector["token"]], "S20"))
    assert is_token.all()
    assert accepted(token, KeyBatch.of([key, wrong])).tolist() == [True, False]
    assert texts(token) == [vector["token"]] * 2


CREDITS = [
    vector
    for vector in VECTORS
    if vector["token_class"] == 0
    and abs(vector["fields"]["transfer_amount_units"]) <= MOST  # all but the largest money
]


def test_published_credit_of_both_ciphers_and_sorts_can_be_made_in_bulk() -> None:
    sorts = {(vector["ea"], vector["token_subclass"] >= 4) for vector in CREDITS}
    assert sorts == {("07", False), ("07", True), ("11", False), ("11", True)}


@pytest.mark.parametrize("vector", CREDITS, ids=lambda vector: vector["id"])
def test_published_credit_is_made_in_bulk(vector: dict[str, Any]) -> None:
    kind = next(kind for kind in CREDIT_KINDS if kind.subclass == vector["token_subclass"])
    key, fields = DecoderKey.parse(vector["decoder_key_hex"], int(vector["ea"])), vector["fields"]
    rnds = numbers([fields["rnd"]]) if "rnd" in fields else None
    units, tids = numbers([fields["transfer_amount_units"]]), numbers([fields["tid"]])
    assert texts(encode_credits(kind, units, tids, rnds, KeyBatch.of([key]))) == [vector["token"]]


def as_one_reads_it(digits: str) -> Token | None:
    try:
        return Token.parse(digits)
    except TokenFormatError:
        return None


@given(written=lists(integers(0, 10**20 - 1).map(lambda number: f"{number:020d}") | text("0123456789 -x", max_size=20)))
def test_digits_are_read_as_one_token_is_read(written: list[str]) -> None:
    tokens, is_token = read_digits(np.array([line.encode() for line in written], "S20"))
    plain = [None if set(line) & {" ", "-"} else as_one_reads_it(line) for line in written]
    assert is_token.tolist() == [one is not None for one in plain]
    for place, one in enumerate(plain):
        if one is not None:
            assert (tokens.classes[place], tokens.blocks[place]) == (one.token_class, one.block)
            assert tokens.digits[place].decode() == one.digits


@pytest.mark.parametrize("ea", ALGORITHMS)
@given(draw=data())
def test_a_block_of_any_class_is_accepted_in_bulk_when_its_crc_fits(ea: int, draw: DataObject) -> None:
    (key,) = decoder_keys(ea, 1, draw)
    token_class, upper = draw.draw(sampled_from(TokenClass)), draw.draw(integers(0, (1 << 48) - 1))
    clear = upper << 16 | token_crc(token_class, upper, draw.draw(sampled_from(CrcRule)))
    is_clear = token_class is TokenClass.NON_METER_SPECIFIC_MANAGEMENT
    token = Token.from_block(token_class, clear if is_clear else key.cipher.encrypt(clear))
    alone = decode(token, key)
    is_crc_error = isinstance(alone, DecodeFailure) and alone.result is TokenResult.CRC_ERROR
    fits = token_class is not TokenClass.RESERVED and not is_crc_error
    assert accepted(read_digits(np.array([token.digits], "S20"))[0], KeyBatch.of([key])).tolist() == [fits]


@pytest.mark.parametrize(
    ("kind", "units", "tid", "rnd", "message"),
    [
        (ELECTRICITY, -1, 0, 5, "transfer_amount_units: expected 0 to 18201624; got -1"),
        (ELECTRICITY, AMOUNT16_MAX + 1, 0, 5, "transfer_amount_units: expected 0 to 18201624; got 18201625"),
        (ELECTRICITY, 1, TID_MAX + 1, 5, "tid: expected 0 to 16777215; got 16777216"),
        (ELECTRICITY, 1, 0, 16, "rnd: expected 0 to 15; got 16"),
        (ELECTRICITY, 1, 0, None, "electricity credit: expected rnd, tid, transfer_amount_units; got tid, transfer_"),
        (MONEY, 1, 0, 5, "electricity currency credit: expected tid, transfer_amount_units; got rnd, tid, transfer_"),
        (MONEY, -MOST - 1, 0, None, f"transfer_amount_units: expected {-MOST} to {MOST}; got {-MOST - 1}"),
    ],
)
def test_what_does_not_fit_in_a_token_is_named(kind: Any, units: int, tid: int, rnd: int | None, message: str) -> None:
    keys = KeyBatch.of([DecoderKey(bytes(8))] * 2)
    rnds = None if rnd is None else numbers([5 if kind is ELECTRICITY else 0, rnd])
    with pytest.raises(SettingError) as caught:
        encode_credits(kind, numbers([1, units]), numbers([0, tid]), rnds, keys)
    assert str(caught.value).startswith(message)


def test_tokens_that_are_no_credit_and_numbers_of_another_count_are_refused() -> None:
    keys = KeyBatch.of([DecoderKey(bytes(8))] * 2)
    management = next(kind for kind in TOKEN_KINDS if kind.name == "SetMaximumPowerLimit")
    two, three = numbers([1, 2]), numbers([1, 2, 3])
    with pytest.raises(SettingError, match="SetMaximumPowerLimit: expected a credit token"):
        encode_credits(management, two, two, two, keys)
    with pytest.raises(SettingError, match=r"tid: expected one for each of 2 keys; got the shape \(3,\)"):
        encode_credits(ELECTRICITY, two, three, two, keys)


def test_keys_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(SettingError, match="keys: expected one encryption algorithm; got 2"):
        KeyBatch.of([DecoderKey(bytes(8)), DecoderKey(bytes(16), 11)])
    with pytest.raises(SettingError, match="dkga: expected 04 for many keys at once; got 02"):
        derive_keys(VendingKey(bytes(8)), KeyAttributes(FIRST_PAN, 201457, dkga=2), [FIRST_PAN])


@pytest.mark.parametrize(
    ("ea", "shape", "message"),
    [
        (7, (3, 2), r"keys: EA07 takes 1 of uint64 a key; got the shape \(3, 2\)"),
        (11, (3,), r"keys: EA11 takes 2 of uint64 a key; got the shape \(3,\)"),
        (9, (3,), r"ea: expected 07 or 11; EA09"),
    ],
)
def test_keys_of_another_shape_than_their_algorithms_are_refused(ea: int, shape: tuple[int], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        KeyBatch(ea, np.zeros(shape, np.uint64))


def test_digits_of_another_length_and_a_key_too_few_are_refused() -> None:
    with pytest.raises(SettingError, match=r"digits: expected an array of S20; got \|S21"):
        read_digits(np.array([b"0" * 21]))
    tokens, _ = read_digits(np.array([b"0" * 20] * 3))
    with pytest.raises(SettingError, match="keys: expected one for each of 3 tokens; got 2"):
        accepted(tokens, KeyBatch.of([DecoderKey(bytes(8))] * 2))


def test_no_meters_have_no_keys_and_no_tokens() -> None:
    for ea in ALGORITHMS:
        keys = derive_keys(LAB_VENDING_KEY, KeyAttributes(FIRST_PAN, 201457, ea=ea), [])
        assert len(keys) == 0
        assert texts(encode_credits(ELECTRICITY, numbers([]), numbers([]), numbers([]), keys)) == []


def test_keys_and_tokens_stay_out_of_sight() -> None:
    keys = KeyBatch.of([DecoderKey.parse("87F3ECBB2E46B48F")])
    tokens = encode_credits(ELECTRICITY, numbers([1]), numbers([1]), numbers([1]), keys)
    assert "[" not in repr(keys) + repr(tokens)


def test_without_numpy_the_missing_extra_is_named() -> None:
    program = "import sys; sys.modules['numpy'] = None; import sim_meters.sts.bulk.batches"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    last_line = done.stderr.splitlines()[-1]
    assert last_line.endswith('expected NumPy, which the extra "lab" of stsgate installs; it is missing')
    assert "SettingError" in last_line


def test_the_rest_of_sts_needs_no_numpy() -> None:
    program = (
        "import sys; sys.modules['numpy'] = None; import sim_meters.sts.commands.cli, sim_meters.sts.tokens.clear_token"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("ea", ALGORITHMS)
@pytest.mark.parametrize("error", ERRORS)
def test_a_mistyped_token_passes_only_at_the_crcs_own_rate(ea: int, error: str) -> None:
    tries = 50_000
    result = measured_errors(error, ea, tries, seed=62055)
    assert result.tries == tries
    assert result.too_large > 0 or error != "one digit wrong"
    assert result.other_class > result.reserved > 0, "errors reach the class bits, too"
    # With 2^-16 a try, 50,000 tries let 0.76 through on average; more than 8 are less likely than 1 in 10^7.
    assert result.accepted <= 8
