"""Published compliance tokens, in both directions; and that ``verify-vectors`` notices anything that is not so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
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
from sim_meters.sts.decoder_key import DecoderKey, VendingKey, derive_decoder_key
from sim_meters.sts.key_attributes import KeyAttributes
from sim_meters.sts.results import TokenResult
from sim_meters.sts.tid import BaseDate
from sim_meters.sts.tokens import TOKEN_KINDS, DecodedToken, DecodeFailure, decode, encode_credit
from sim_meters.sts.vectors import read_vector_file, verify

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
DOCUMENT: dict[str, Any] = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))
PRIMITIVES: list[dict[str, Any]] = DOCUMENT["primitives"]
VECTORS: list[dict[str, Any]] = DOCUMENT["vectors"]
CREDITS = [vector for vector in VECTORS if vector["token_class"] == 0 and vector["ea"] == "07"]
DERIVABLE = [entry for entry in PRIMITIVES + VECTORS if "vending_key_hex" in entry and entry["ea"] == "07"]
COVERED_PRIMITIVES = [entry for entry in PRIMITIVES if entry["kind"] != "misty1" and entry.get("ea") != "11"]
COMMENTS = {"id", "kind", "source", "note", "cts_case", "set_id"}


def name_of(entry: dict[str, Any]) -> str:
    words = (entry.get("source") or "no source").split()
    return f"{entry.get('id', entry['kind'])} {entry.get('cts_case')} {words[0]}"


def kind_of(vector: dict[str, Any]) -> Any:
    return TOKEN_KINDS[TokenClass(vector["token_class"]), vector["token_subclass"]]


def test_the_file_has_every_credit_subclass() -> None:
    assert {vector["token_subclass"] for vector in CREDITS} == set(range(8))


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
def test_fields_give_the_published_token(vector: dict[str, Any]) -> None:
    fields, key = vector["fields"], DecoderKey.parse(vector["decoder_key_hex"])
    tid = fields["tid"]
    if "issued_at" in fields and "base_date" in vector:
        tid = BaseDate(vector["base_date"]).tid_at(datetime.fromisoformat(fields["issued_at"]))
    token = encode_credit(key, kind_of(vector), fields["transfer_amount_units"], tid, fields.get("rnd"))
    assert token.digits == vector["token"]


@pytest.mark.parametrize("vector", CREDITS, ids=name_of)
def test_the_published_token_gives_the_fields(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    decoded = decode(Token.parse(vector["token"]), DecoderKey.parse(vector["decoder_key_hex"]))
    assert isinstance(decoded, DecodedToken)
    assert decoded.kind is kind_of(vector)
    assert decoded.tid == fields["tid"]
    assert decoded.amount_field == fields["amount_field"]
    assert decoded.rnd == fields.get("rnd")
    assert f"{decoded.clear_block:016x}" == vector["clear_block_hex"]
    assert f"{decoded.crc:04x}" == vector["crc_hex"]
    assert decoded.units >= fields["transfer_amount_units"]
    if decoded.currency_amount is not None:
        money = decoded.currency_amount
        assert (money.negative, money.exponent, money.mantissa, money.se_nibble) == (
            bool(fields["s"]),
            fields["exponent"],
            fields["mantissa"],
            fields["se_nibble"],
        )


def test_a_single_wrong_digit_in_a_published_token_is_never_credit() -> None:
    for vector in CREDITS:
        key, digits = DecoderKey.parse(vector["decoder_key_hex"]), vector["token"]
        for wrong in with_one_other_digit(digits):
            if int(wrong) < 1 << 66:
                assert isinstance(decode(Token.parse(wrong), key), DecodeFailure), (vector["id"], wrong)


def with_one_other_digit(text: str) -> Iterator[str]:
    for place, character in enumerate(text):
        for other in "0123456789":
            if other != character:
                yield text[:place] + other + text[place + 1 :]


@pytest.mark.parametrize("vector", CREDITS, ids=name_of)
def test_under_another_key_a_published_token_has_a_wrong_crc(vector: dict[str, Any]) -> None:
    other_key = DecoderKey.parse("0123456789ABCDEF")
    failure = decode(Token.parse(vector["token"]), other_key)
    assert isinstance(failure, DecodeFailure)
    assert failure.result is TokenResult.CRC_ERROR


def test_the_whole_file_verifies() -> None:
    report = verify(read_vector_file(VECTOR_FILE))
    assert report.mismatches == ()
    assert report.not_compared == ()
    assert report.passed == len(CREDITS) + len(COVERED_PRIMITIVES)
    assert report.passed + sum(report.not_covered.values()) == len(PRIMITIVES) + len(VECTORS)
    later = [vector for vector in VECTORS if vector.get("ea") == "07" and vector["token_class"] == 2]
    assert report.not_covered["class 2"] == len(later)
    assert set(report.not_covered) == {
        "class 1",
        "class 2",
        "EA11 class 0",
        "EA11 class 2",
        "EA11 cipher",
        "EA11 keys",
    }


def failures_of(section: str, entry: dict[str, Any]) -> list[str]:
    document = {"primitives": [], "vectors": [], section: [entry]}
    return [mismatch.name for mismatch in verify(document).mismatches]


@pytest.mark.parametrize("vector", CREDITS, ids=name_of)
def test_changing_any_one_field_of_a_token_vector_fails_by_its_id(vector: dict[str, Any]) -> None:
    assert failures_of("vectors", vector) == []
    for what, changed in changes_of(vector):
        assert failures_of("vectors", changed) == [vector["id"]], what


@pytest.mark.parametrize("primitive", COVERED_PRIMITIVES, ids=name_of)
def test_changing_any_one_field_of_a_primitive_fails_by_its_place(primitive: dict[str, Any]) -> None:
    assert failures_of("primitives", primitive) == []
    for what, changed in changes_of(primitive):
        if primitive.get("dkga") == "02" and what.startswith("base_date"):
            continue  # the base date does not enter such a key
        if primitive.get("valid") is False and what.startswith("digits"):
            continue  # other digits may be invalid as well
        assert failures_of("primitives", changed) == [f"primitives[0] {primitive['kind']}"], what


NOT_COVERED = [vector for vector in VECTORS if vector not in CREDITS]


@pytest.mark.parametrize("vector", NOT_COVERED, ids=name_of)
def test_what_is_covered_of_the_other_vectors_is_compared_too(vector: dict[str, Any]) -> None:
    compared = {"token_class", "token_subclass", "crc_hex", "clear_block_hex"}
    if vector.get("ea") == "07":
        compared |= {"token", "decoder_key_hex", "vending_key_hex", "meter_pan", "sgc", "ti", "krn", "kt", "dkga"}
    for what, changed in changes_of(vector):
        if what.split()[0] in compared:
            assert failures_of("vectors", changed) == [vector["id"]], what


def changes_of(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entry with one thing changed, for every field and every digit of it."""
    for name, value in entry.items():
        if name == "fields":
            for inner, changed in changes_of(value):
                yield f"fields.{inner}", {**entry, "fields": changed}
        elif name not in COMMENTS:
            for other in other_values(name, value):
                yield f"{name} = {other}", {**entry, name: other}
            yield f"{name} is null", {**entry, name: None}


def other_values(name: str, value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif name in {"transfer_amount_units", "units"}:
        # The next amount that can be written: up to there, several amounts share one field.
        yield 20 * value + 7
        yield -value - 1
    elif isinstance(value, int):
        yield value + 1
        yield value - 1
    elif name == "issued_at":
        # One minute would do, but for the one that is kept free.
        yield (datetime.fromisoformat(value) + timedelta(minutes=7)).isoformat()
        yield (datetime.fromisoformat(value) - timedelta(days=1)).isoformat()
    elif name == "unit":
        yield from ("0.1 MWh", "1 kWh", "kWh", "1e-4 base currency", "sNaN m3")
    else:
        alphabet = "0123456789abcdef0" if name.endswith("hex") else "01234567890"
        for place, character in enumerate(value):
            yield value[:place] + alphabet[alphabet.index(character) + 1] + value[place + 1 :]


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
        ({"decoder_key_hex": "00"}, "decoder key: expected 16 hex digits (8 bytes, EA07); got 2"),
        ({"meter_pan": "1"}, "pan: expected 18 digits (IIN, DRN, check digit); got '1'"),
        ({"krn": True}, "krn: expected a whole number"),
        ({"ea": "09"}, "ea: expected 07; EA09 (DEA) was withdrawn in edition 3 of IEC 62055-41"),
        ({"ea": "11"}, "decoder_key_hex: expected 16 bytes; got 8"),
    ],
)
def test_an_entry_that_cannot_be_read_fails_by_its_id_and_says_why(change: dict[str, Any], difference: str) -> None:
    report = verify({"primitives": [], "vectors": [{**VECTORS[0], **change}]})
    (mismatch,) = report.mismatches
    assert mismatch.name == VECTORS[0]["id"] == "sts-001"
    assert difference in mismatch.differences


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
    fields = {**VECTORS[0]["fields"], "issued_at": "2004-03-01T13:56:00", "amount_field": 2}
    report = verify({"primitives": [], "vectors": [{**VECTORS[0], "fields": fields}]})
    assert report.mismatches[0].differences == (
        "fields.amount_field: states 2; from token: 1",
        "fields.issued_at: states 2004-03-01T13:56; TID 5871715 belongs to 2004-03-01T13:55",
        "fields.amount_field: states 2; from fields: 1",
    )


def test_differences_show_no_key_and_no_whole_token() -> None:
    vector = {**VECTORS[0], "token": "23716100501183194198", "vending_key_hex": "ABABABABABABABAC"}
    shown = repr(verify({"primitives": [], "vectors": [vector]}).mismatches).lower()
    assert "4198" not in shown or "…4198" in shown
    for secret in (vector["token"], VECTORS[0]["token"], vector["decoder_key_hex"], "abababababababa"):
        assert secret not in shown


def test_fields_that_nothing_is_known_about_are_named() -> None:
    vector = {**VECTORS[0], "colour": "red", "fields": {**VECTORS[0]["fields"], "weight": 3}}
    report = verify({"primitives": [], "vectors": [vector]})
    assert (report.passed, report.mismatches) == (1, ())
    assert report.not_compared == ("colour", "fields.weight")


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
