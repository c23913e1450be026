"""Published compliance tokens, in both directions; and how ``verify-vectors`` reports what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import (
    DataObject,
    booleans,
    data,
    dictionaries,
    floats,
    integers,
    lists,
    none,
    recursive,
    sampled_from,
    text,
)

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from sim_meters.sts.keys.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens.clear_token import ClearToken, DecodeFailure, clear_token, decode, encode, encode_credit
from sim_meters.sts.vectors.verification import read_vector_file, verify
from tests.sim_meters.vector_file import KEY_CHANGES, PRIMITIVES, VECTOR_FILE, VECTORS, failures_of, name_of

CREDITS = [vector for vector in VECTORS if vector["token_class"] == 0]
MANAGEMENT = [vector for vector in VECTORS if vector["token_class"] and vector not in KEY_CHANGES]
DERIVABLE = [entry for entry in PRIMITIVES + VECTORS if "vending_key_hex" in entry]


def key_of(vector: dict[str, Any]) -> DecoderKey | None:
    return DecoderKey.parse(vector["decoder_key_hex"], int(vector["ea"])) if "ea" in vector else None


def opened(vector: dict[str, Any]) -> ClearToken:
    decoded = decode(Token.parse(vector["token"]), key_of(vector))
    assert isinstance(decoded, ClearToken)
    return decoded


def test_the_file_has_every_token_type_of_the_standard() -> None:
    assert (len(VECTORS), len(PRIMITIVES)) == (286, 57)
    assert {(vector["token_class"], vector["token_subclass"]) for vector in VECTORS} == {
        *((0, subclass) for subclass in range(8)),
        *((1, subclass) for subclass in (0, 1, 2)),
        *((2, subclass) for subclass in (0, 1, 3, 4, 5, 6, 8, 9, 10)),
    }


@pytest.mark.parametrize("entry", DERIVABLE, ids=name_of)
def test_key_inputs_give_the_published_decoder_key(entry: dict[str, Any]) -> None:
    attributes = KeyAttributes.parse(
        entry["meter_pan"],
        entry["sgc"],
        ti=entry["ti"],
        krn=str(entry["krn"]),
        kt=str(entry["kt"]),
        base_date=str(entry["base_date"]),
        ea=entry["ea"],
        dkga=entry["dkga"],
    )
    vending_key = VendingKey.parse(entry["vending_key_hex"], int(entry["dkga"]))
    assert derive_decoder_key(vending_key, attributes).octets.hex() == entry["decoder_key_hex"]


@pytest.mark.parametrize("vector", CREDITS, ids=name_of)
def test_fields_give_the_published_credit_token(vector: dict[str, Any]) -> None:
    fields, key = vector["fields"], key_of(vector)
    assert key is not None
    tid = fields["tid"]
    if "issued_at" in fields and "base_date" in vector:
        tid = BaseDate(vector["base_date"]).tid_at(datetime.fromisoformat(fields["issued_at"]))
    token = encode_credit(key, opened(vector).kind, fields["transfer_amount_units"], tid, fields.get("rnd"))
    assert token.digits == vector["token"]


@pytest.mark.parametrize("vector", CREDITS, ids=name_of)
def test_the_published_credit_token_gives_the_fields(vector: dict[str, Any]) -> None:
    fields, decoded = vector["fields"], opened(vector)
    assert (decoded.kind.token_class, decoded.kind.subclass) == (TokenClass.CREDIT, vector["token_subclass"])
    assert (decoded.tid, decoded.upper & 0xFFFF) == (fields["tid"], fields["amount_field"])
    assert f"{decoded.clear_block:016x}" == vector["clear_block_hex"]
    assert f"{decoded.crc:04x}" == vector["crc_hex"]
    assert decoded.units >= fields["transfer_amount_units"]
    if decoded.kind.is_currency:
        names = ("s", "exponent", "mantissa", "se_nibble")
        assert decoded.details == {name: fields[name] for name in names}
    else:
        assert decoded["rnd"] == fields["rnd"]


@pytest.mark.parametrize("vector", MANAGEMENT, ids=name_of)
def test_fields_give_the_published_management_token_and_come_out_of_it(vector: dict[str, Any]) -> None:
    fields, decoded = vector["fields"], opened(vector)
    assert (decoded.kind.token_class, decoded.kind.subclass) == (vector["token_class"], vector["token_subclass"])
    raw = {field.name: field.coding.raw(fields[field.name]) for field in decoded.kind.layout}
    assert {name: decoded[name] for name in raw} == raw
    assert decoded.meaning(decoded.kind.value) >= fields[decoded.kind.value.name]
    assert encode(clear_token(decoded.kind, raw), key_of(vector)).digits == vector["token"]


def test_a_single_wrong_digit_in_a_published_token_is_never_taken() -> None:
    for vector in VECTORS[::3]:
        for wrong in with_one_other_digit(vector["token"]):
            token = Token(int(wrong)) if int(wrong) < 1 << 66 else None
            # A class that needs no key is no wrong digit's luck: its own CRC is checked in clear.
            key = key_of(vector) or DecoderKey(bytes(8))
            assert token is None or isinstance(decode(token, key), DecodeFailure), (vector["id"], wrong)


def with_one_other_digit(text: str) -> Iterator[str]:
    for place, character in enumerate(text):
        for other in "0123456789":
            if other != character:
                yield text[:place] + other + text[place + 1 :]


@pytest.mark.parametrize("ea", [7, 11])
def test_under_another_key_a_published_token_has_a_wrong_crc(ea: int) -> None:
    other_key = DecoderKey(bytes(range(8 if ea == 7 else 16)), ea)
    for vector in VECTORS:
        if "ea" in vector:
            failure = decode(Token.parse(vector["token"]), other_key)
            assert isinstance(failure, DecodeFailure), vector["id"]
            assert failure.result is TokenResult.CRC_ERROR


def test_the_whole_file_verifies() -> None:
    report = verify(read_vector_file(VECTOR_FILE))
    assert report.mismatches == ()
    assert report.not_compared == ()
    assert report.passed == len(PRIMITIVES) + len(VECTORS)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"kind": "coupon"}, "kind: 'coupon' is unknown"),
        ({"token": "1234"}, "a token is 20 decimal digits; 4 were given"),
        ({"token": 5}, "token: expected a text"),
        ({"crc_hex": "xyz"}, "crc_hex: expected pairs of hex digits"),
        ({"crc_hex": "0019e6"}, "crc_hex: expected 2 bytes; got 3"),
        ({"fields": []}, "fields: expected an object"),
        ({"fields": {}}, "fields.rnd: is missing"),
        ({"fields": {**VECTORS[0]["fields"], "rnd": 16}}, "fields.rnd: expected 0 to 15; got 16"),
        ({"decoder_key_hex": "00"}, "decoder key: expected 16 hex digits (8 bytes, EA07); got 2"),
        ({"meter_pan": "1"}, "pan: expected 18 digits (IIN, DRN, check digit); got '1'"),
        ({"krn": True}, "krn: expected a whole number, or its digits"),
        ({"ti": 1.0}, "ti: expected a whole number, or its digits"),
        ({"ea": "09"}, "ea: expected 07 or 11; EA09 (DEA) was withdrawn in edition 3 of IEC 62055-41"),
        ({"dkga": "03"}, "dkga: expected 02 or 04; DKGA03 was withdrawn in edition 3 of IEC 62055-41"),
        ({"token_class": 1}, "token_class: states 1; from token: 0"),
    ],
)
def test_an_entry_that_cannot_be_read_fails_by_its_id_and_says_why(change: dict[str, Any], difference: str) -> None:
    report = verify({"primitives": [], "vectors": [{**VECTORS[0], **change}]})
    (mismatch,) = report.mismatches
    assert mismatch.name == VECTORS[0]["id"] == "sts-001"
    assert any(line.startswith(difference) for line in mismatch.differences), mismatch.differences


def test_a_vending_key_that_differs_in_parity_alone_fails_too() -> None:
    assert VECTORS[0]["vending_key_hex"] == "abababababababab"
    report = verify({"primitives": [], "vectors": [{**VECTORS[0], "vending_key_hex": "aaabababababaaab"}]})
    assert report.mismatches[0].differences == ("vending_key_hex: expected odd parity in each byte",)


JSON_VALUES = recursive(
    none() | booleans() | integers() | floats() | text() | sampled_from(["1E999999999999999999999", "\ud800", "²"]),
    lambda inner: lists(inner, max_size=3) | dictionaries(text(), inner, max_size=3),
)


@given(entry=sampled_from(PRIMITIVES + VECTORS), data=data(), value=JSON_VALUES)
def test_no_value_makes_the_check_stumble(entry: dict[str, Any], data: DataObject, value: Any) -> None:
    section = "vectors" if "token_subclass" in entry else "primitives"
    changed = {**entry, data.draw(sampled_from(sorted(entry))): value}
    if "fields" in entry and data.draw(booleans()):
        changed = {**entry, "fields": {**entry["fields"], data.draw(sampled_from(sorted(entry["fields"]))): value}}
    for name in failures_of(section, changed):
        assert name.isprintable()


def test_a_difference_says_what_is_stated_and_what_was_computed() -> None:
    fields = {**VECTORS[0]["fields"], "issued_at": "2004-03-01T13:56:00", "amount_field": 2, "rnd": 6, "unit": "1 kWh"}
    report = verify({"primitives": [], "vectors": [{**VECTORS[0], "fields": fields}]})
    assert report.mismatches[0].differences[:4] == (
        "fields.rnd: states 6; from token: 5",
        "fields.amount_field: states 2; from token: 1",
        "fields.issued_at: states 2004-03-01T13:56; TID 5871715 belongs to 2004-03-01T13:55",
        "fields.unit: states '1 kWh'; this token counts in 0.1 kWh",
    )


def test_differences_show_no_key_and_no_whole_token() -> None:
    vector = {**VECTORS[0], "token": "23716100501183194198", "vending_key_hex": "ABABABABABABABAC"}
    shown = repr(verify({"primitives": [], "vectors": [vector]}).mismatches).lower()
    assert "4198" not in shown or "…4198" in shown
    for secret in (vector["token"], VECTORS[0]["token"], vector["decoder_key_hex"], "abababababababa"):
        assert secret not in shown


@pytest.mark.parametrize("vector", KEY_CHANGES, ids=name_of)
def test_differences_of_a_key_change_show_no_part_of_a_key(vector: dict[str, Any]) -> None:
    other_key = "0123456789abcdef" * (len(vector["new_decoder_key_hex"]) // 16)
    wrong = {**vector, "new_decoder_key_hex": other_key, "clear_block_hex": vector["clear_block_hex"][:15] + "x"}
    for changed in (wrong, {**wrong, "clear_block_hex": vector["clear_block_hex"][::-1]}):
        (mismatch,) = verify({"primitives": [], "vectors": [changed]}).mismatches
        for key in (vector["new_decoder_key_hex"], vector["decoder_key_hex"], other_key, vector["clear_block_hex"]):
            assert not any(key[place : place + 8] in repr(mismatch) for place in range(0, len(key), 8))


def test_fields_that_nothing_is_known_about_are_named() -> None:
    more = {"colour": "red", "set_id": "x", "new_decoder_key_hex": "00"}
    vector = {**VECTORS[79], **more, "fields": {**VECTORS[79]["fields"], "weight": 3}}
    assert (vector["token_class"], vector["token_subclass"]) == (0, 4)
    report = verify({"primitives": [], "vectors": [vector]})
    assert (report.passed, report.mismatches) == (1, ())
    assert report.not_compared == ("colour", "fields.weight", "new_decoder_key_hex", "set_id")


def test_an_entry_without_an_id_is_named_by_its_place() -> None:
    vector = {name: value for name, value in VECTORS[0].items() if name != "id"}
    assert failures_of("vectors", {**vector, "crc_hex": "0000"}) == ["vectors[0] token"]
    report = verify({"primitives": [7], "vectors": []})
    assert [mismatch.name for mismatch in report.mismatches] == ["primitives[0]"]
    assert failures_of("vectors", {"id": "two\nlines \ud800", "kind": "token"}) == ["'two\\nlines \\ud800'"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a JSON file"),
        (b"{", "expected a JSON file"),
        (b"\xff\xfe{}", "expected a JSON file"),
        (b"[" * 100_000, "expected a JSON file"),
        (b"[]", 'expected a JSON object with "format": "sts-vectors/1"'),
        (b'{"format": "sts-vectors/2"}', 'expected a JSON object with "format": "sts-vectors/1"'),
        (b'{"format": "sts-vectors/1"}', 'expected a list "primitives"'),
        (b'{"format": "sts-vectors/1", "primitives": [], "vectors": {}}', 'expected a list "vectors"'),
    ],
)
def test_a_malformed_file_is_one_clear_error(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "vectors.json"
    file.write_bytes(content)
    with pytest.raises(SettingError) as caught:
        read_vector_file(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_an_unreadable_file_is_one_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(SettingError, match="^" + str(path)):
            read_vector_file(path)
