"""``verify-vectors`` notices any change of the file, and takes entries of the same format that it has never seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from sim_meters.sts.keys.decoder_key import VendingKey, derive_decoder_key
from sim_meters.sts.keys.key_attributes import KeyAttributes
from sim_meters.sts.tokens.clear_token import ClearToken, clear_token, encode
from sim_meters.sts.tokens.key_change import MeterKey, sections_of
from sim_meters.sts.tokens.token_kind import Commodity, TokenKind
from sim_meters.sts.tokens.token_table import CLEAR_CREDIT, EXTENDED_SET, MAXIMUM_POWER_LIMIT, credit_kind
from sim_meters.sts.vectors.verification import verify
from tests.sim_meters.vector_file import KEY_CHANGES, PRIMITIVES, VECTORS, failures_of, name_of

COMMENTS = {"id", "kind", "source", "note", "cts_case"}
DES_KEY, HMAC_KEY = "ab" * 8, "ab" * 8 + "94" * 7 + "9401234567"


def fellows_of(vector: dict[str, Any]) -> list[dict[str, Any]]:
    """The other tokens of a key-change set."""
    return [one for one in KEY_CHANGES if one["set_id"] == vector.get("set_id") and one is not vector]


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_changing_any_one_field_of_a_token_vector_fails_by_its_id(vector: dict[str, Any], every: int) -> None:
    fellows = fellows_of(vector)
    assert failures_of("vectors", vector, *fellows) == []
    for what, changed in changes_of(vector, every):
        failed = failures_of("vectors", changed, *fellows)
        assert vector["id"] in failed, what
        if len(failed) > 1:
            # A section does not carry all that its entry states: that the rest is wrong, only its set can tell.
            assert what.startswith(("fields.new_ken", "fields.ro", "fields.three_kct", "set_id")), what


@pytest.mark.parametrize("primitive", PRIMITIVES, ids=name_of)
def test_changing_any_one_field_of_a_primitive_fails_by_its_place(primitive: dict[str, Any]) -> None:
    assert failures_of("primitives", primitive) == []
    for what, changed in changes_of(primitive):
        if primitive.get("dkga") == "02" and what.startswith("base_date") and "null" not in what:
            continue  # the base date does not enter such a key, and nothing else here depends on it
        if primitive.get("valid") is False and what.startswith("digits"):
            continue  # other digits may be invalid as well
        assert failures_of("primitives", changed) == [f"primitives[0] {primitive['kind']}"], what


@pytest.mark.parametrize("place", range(0, len(VECTORS), 31))
def test_in_the_whole_file_the_changed_entry_alone_is_named(place: int) -> None:
    changed = list(VECTORS)
    token = changed[place]["token"]
    changed[place] = {**changed[place], "token": token[::-1]}
    report = verify({"primitives": PRIMITIVES, "vectors": changed})
    assert [mismatch.name for mismatch in report.mismatches] == [VECTORS[place]["id"]]
    assert report.passed == len(PRIMITIVES) + len(VECTORS) - 1


@pytest.mark.parametrize("vector", KEY_CHANGES, ids=name_of)
def test_a_token_that_is_said_to_be_of_another_set_fails_by_its_id(vector: dict[str, Any]) -> None:
    others = [one for one in KEY_CHANGES if one is not vector]
    for set_id in {"sts-kct-02", "sts-kct-04", "sts-kct-11"} - {vector["set_id"]} | {"a set of its own"}:
        assert vector["id"] in failures_of("vectors", {**vector, "set_id": set_id}, *others), set_id


def changes_of(entry: dict[str, Any], every: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entry with one thing changed, for every field, and of long ones for every so many digits; at which it
    begins is another one for each token, so that among all of them each place has its turn."""
    for name, value in entry.items():
        if name == "fields":
            for inner, changed in changes_of(value, every):
                yield f"fields.{inner}", {**entry, "fields": changed}
        elif name not in COMMENTS:
            begin = int(entry.get("token", "0")[-3:]) % every if isinstance(value, str) and len(value) > every else 0
            for other in other_values(name, value, range(begin, len(str(value)), every)):
                yield f"{name} = {other}", {**entry, name: other}
            yield f"{name} is null", {**entry, name: None}


def other_values(name: str, value: Any, places: range) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif name in {"transfer_amount_units", "units", "mpl_watts", "mppul_watts"}:
        # Amounts that share one field, because they are rounded to the same one, are not told apart: hence the next.
        yield 20 * value + 7
        yield -value - 1
    elif name.endswith("base_date"):
        yield from {1993, 2014, 2035} - {int(value)}
    elif isinstance(value, int):
        yield value + 1
        yield value - 1
    elif name == "issued_at":
        # Seconds do not count; one minute would do, but for the one that is kept free.
        yield (datetime.fromisoformat(value) + timedelta(minutes=7)).isoformat()
        yield (datetime.fromisoformat(value) - timedelta(days=1)).isoformat()
    elif name == "unit":
        yield from ("0.1 MWh", "1 kWh", "kWh", "1e-4 base currency", "sNaN m3")
    elif name == "set_id":
        yield f"{value}-b"
    else:
        alphabet = "0123456789abcdef0" if name.endswith("hex") else "01234567890"
        for place in places:
            yield value[:place] + alphabet[alphabet.index(value[place]) + 1] + value[place + 1 :]


# Entries that are in no published list, made as the format's description has it.

Stated = dict[str, Any]
INPUTS: Stated = {
    "vending_key_hex": HMAC_KEY,
    "dkga": "04",
    "ea": "11",
    "base_date": 2035,
    "meter_pan": "600727111111111153",
    "sgc": "000123",
    "ti": "07",
    "krn": 9,
    "kt": 1,
}
OLD_INPUTS: Stated = {**INPUTS, "vending_key_hex": DES_KEY, "dkga": "02", "ea": "07", "base_date": 1993}


def key_of(inputs: Stated, ken: int = 255) -> MeterKey:
    digits = {name: str(inputs[name]) for name in ("ti", "krn", "kt", "base_date", "ea", "dkga")}
    made_for = KeyAttributes.parse(inputs["meter_pan"], f"{inputs['sgc']:0>6}", **digits)
    key = derive_decoder_key(VendingKey.parse(inputs["vending_key_hex"], made_for.dkga), made_for)
    return MeterKey(decoder_key=key, kt=made_for.kt, krn=made_for.krn, ti=made_for.ti, sgc=made_for.sgc, ken=ken)


def entry_of(inputs: Stated, clear: ClearToken, fields: Stated, **more: Any) -> Stated:
    key = key_of(inputs).decoder_key
    return {
        "id": f"new-{clear.kind.token_class:d}-{clear.kind.subclass}",
        "kind": "token",
        **inputs,
        "decoder_key_hex": key.octets.hex(),
        "token_class": int(clear.kind.token_class),
        "token_subclass": clear.kind.subclass,
        "fields": fields,
        "crc_hex": f"{clear.crc:04x}",
        "clear_block_hex": f"{clear.clear_block:016x}",
        "token": encode(clear, key).digits,
        **more,
    }


def value_entry(inputs: Stated, kind: TokenKind, meaning: int, **fields: Any) -> Stated:
    stated = {"rnd": 0, "tid": 1442, kind.value.name: meaning, **fields}
    if kind.is_currency:
        del stated["rnd"]
    values = {field.name: field.coding.raw(stated[field.name]) for field in kind.layout}
    return entry_of(inputs, clear_token(kind, values), stated)


WATER_MONEY = credit_kind(Commodity.WATER, currency=True)


@pytest.mark.parametrize(
    "entry",
    [
        value_entry(INPUTS, WATER_MONEY, -(10**20) - 1, issued_at="2035-01-02T00:01:30", unit="0.00001 base currency"),
        value_entry({**INPUTS, "ti": 7, "sgc": 123, "krn": "9", "base_date": "2035"}, EXTENDED_SET, 0xFFFF, tid=0),
        value_entry({**INPUTS, "ti": "7"}, EXTENDED_SET, 5 << 10 | 3, control_index=5, control_value=3),
        value_entry({**INPUTS, "ea": 7, "dkga": 4}, MAXIMUM_POWER_LIMIT, 16385, value_field=0x4001, unit="1 W"),
        value_entry(OLD_INPUTS, CLEAR_CREDIT, 6, value_field=6, issued_at="1993-01-02T00:02:00"),
        value_entry({**OLD_INPUTS, "kt": 3}, CLEAR_CREDIT, 99, tid=0xFFFFFF, issued_at="2024-11-24T20:15:59"),
    ],
    ids=lambda entry: f"{entry['id']} {entry['fields']}",
)
def test_entries_never_seen_pass_and_their_changes_fail(entry: Stated) -> None:
    assert failures_of("vectors", entry) == []
    assert verify({"primitives": [], "vectors": [entry]}).not_compared == ()
    for what, changed in changes_of(entry):
        assert failures_of("vectors", changed) == [entry["id"]], what


def key_change_entries(old: Stated, new: Stated, set_id: str, *, ken: int, ro: int, three_kct: int) -> list[Stated]:
    new_key = key_of({**old, **new}, ken)
    names = ("krn", "kt", "ti", "sgc", "base_date", "vending_key_hex")
    fields = {
        "new_ken": ken,
        "ro": ro,
        "three_kct": three_kct,
        **{f"new_{name}": {**old, **new}[name] for name in names},
    }
    more = {"set_id": set_id, "new_decoder_key_hex": new_key.decoder_key.octets.hex()}
    sections = sections_of(new_key, rollover=bool(ro), with_sgc=bool(three_kct))
    return [entry_of(old, section, fields, **more) for section in sections]


UNDER_HMAC = {"vending_key_hex": HMAC_KEY, "dkga": "04", "base_date": 2014, "kt": 2, "krn": 1}
SETS = [
    key_change_entries(OLD_INPUTS, {"base_date": 2014, "krn": 1, "kt": 2}, "rollover", ken=0x5A, ro=1, three_kct=0),
    key_change_entries(OLD_INPUTS, {"ti": 99, "krn": 1}, "three", ken=0x1E, ro=0, three_kct=1),
    key_change_entries(OLD_INPUTS, {**UNDER_HMAC, "ea": "11"}, "migration", ken=170, ro=1, three_kct=0),
    key_change_entries(INPUTS, {"sgc": "999999", "kt": 2}, "four", ken=0, ro=False, three_kct=False),
    key_change_entries(INPUTS, {"ea": "07"}, "and back", ken=255, ro=0, three_kct=1),
]


@pytest.mark.parametrize("entries", SETS, ids=[entries[0]["set_id"] for entries in SETS])
def test_key_changes_never_seen_pass_and_their_changes_fail(entries: list[Stated]) -> None:
    assert failures_of("vectors", *entries) == []
    assert verify({"primitives": [], "vectors": entries}).not_compared == ()
    for entry in entries:
        fellows = [one for one in entries if one is not entry]
        assert failures_of("vectors", entry) == [], "a token whose set is not listed in full is no failure"
        for what, changed in changes_of(entry, every=5):
            assert entry["id"] in failures_of("vectors", changed, *fellows), what


def test_a_key_change_under_bare_keys_is_compared_as_far_as_it_goes() -> None:
    (first, *_) = SETS[3]
    inputs = ("ea", "decoder_key_hex", "new_decoder_key_hex", "id", "kind", "token_class", "token_subclass", "token")
    bare = {name: first[name] for name in (*inputs, "crc_hex", "clear_block_hex")}
    fields = {name: value for name, value in first["fields"].items() if "vending" not in name and "date" not in name}
    assert failures_of("vectors", {**bare, "fields": fields}) == []
    assert failures_of("vectors", {**bare, "fields": {**fields, "new_krn": 8}}) == [first["id"]]
    assert failures_of("vectors", {**bare, "fields": {**fields, "new_kt": 1}}) == [first["id"]]


def test_the_same_set_from_two_sources_is_no_failure() -> None:
    again = [{**entry, "id": f"{entry['id']}-again", "set_id": "again"} for entry in SETS[2]]
    assert failures_of("vectors", *SETS[2], *again) == []


def test_a_set_of_four_never_says_that_it_is_one_of_three() -> None:
    entries = [{**entry, "fields": {**entry["fields"], "three_kct": 1}} for entry in SETS[2]]
    assert failures_of("vectors", *entries) == [entry["id"] for entry in entries]


def test_a_set_with_a_section_twice_is_named() -> None:
    first = SETS[2][0]
    assert failures_of("vectors", *SETS[2], {**first, "id": "one too many"})[-1] == "one too many"
