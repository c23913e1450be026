"""``simmeters sts encode``: every type of the table, and key-change sets."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from gateway.cli import deliver
from gateway.cli.parser import OneLineParser
from sim_meters.notices import LAB, LICENCE
from sim_meters.sts.commands import encode_commands
from sim_meters.sts.commands.encode_commands import CREDIT, add_other_kinds
from sim_meters.sts.keys.decoder_key import DecoderKey
from sim_meters.sts.machine.machine_settings import SETTING_HELP
from sim_meters.sts.tokens.clear_token import ClearToken, decode
from sim_meters.sts.tokens.coding import Padding
from sim_meters.sts.tokens.key_change import KeySections
from sim_meters.sts.tokens.token_kind import TokenKind
from sim_meters.sts.tokens.token_table import CLEAR_TAMPER, KEY_CHANGE, SECTION_2, TOKEN_KINDS, kind_of
from tests.sim_meters.sts_command_line import DECODER, VECTOR_FILE, VENDING, answer, printed, run, whole_command

VECTORS = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))["vectors"]
Vector = dict[str, Any]


def kind_of_vector(vector: Vector) -> TokenKind:
    ea = int(vector.get("ea", "7"))
    kind = kind_of(
        vector["token_class"], vector["token_subclass"], upper=int(vector["clear_block_hex"], 16) >> 16, ea=ea
    )
    assert kind is not None
    return kind


def key_words(vector: Vector) -> list[str]:
    if "decoder_key_hex" not in vector:
        return []
    if "vending_key_hex" not in vector:
        return ["--decoder-key", vector["decoder_key_hex"], "--ea", vector["ea"]]
    return [
        *("--vending-key", vector["vending_key_hex"], "--pan", vector["meter_pan"], "--sgc", vector["sgc"]),
        *("--ti", vector["ti"], "--krn", str(vector["krn"]), "--kt", str(vector["kt"])),
        *("--base-date", str(vector["base_date"]), "--dkga", vector["dkga"], "--ea", vector["ea"]),
    ]


def field_words(vector: Vector, kind: TokenKind) -> Iterator[str]:
    """The options of the fields, with the values that the vector states."""
    for field in kind.layout:
        if field.option:
            value = vector["fields"][field.name]
            yield f"--{field.option}"
            yield control_value(value) if field.option == "control-value" else written(field.option, value)


def written(option: str, value: int) -> str:
    return f"{value:#x}" if option == "control" and value else str(value)


@pytest.mark.parametrize(
    ("control", "token", "index"),
    [
        ("0", "02305843009347914912", 0),  # STS531-1, CTSA24
        ("63", "03440750115445279822", 63),
        ("0xfc0000000", "03440750115445279822", 63),
    ],
)
def test_an_extended_read_asks_for_an_index(control: str, token: str, index: int) -> None:
    made = answer("encode", "extended-read", "--control", control)
    assert (made["token"], made["control_index"]) == (token, index)
    assert f"index {index}\n" in printed("decode", token)


def test_bits_beside_the_index_are_shown() -> None:
    assert "index 1, other bits 0x5" in printed("encode", "extended-read", "--control", "0x40000005")


def control_value(raw: int) -> str:
    return f"flag:{raw >> 1 & 511}:{raw & 1}" if raw >> 10 == 63 else f"{raw >> 10}:{raw & 1023}"


OTHERS = [vector for vector in VECTORS if kind_of_vector(vector).command not in (CREDIT, KEY_CHANGE)]


def test_every_command_of_the_table_has_a_vector() -> None:
    with_vectors = {kind_of_vector(vector) for vector in VECTORS}
    assert {kind.command for kind in with_vectors} == {kind.command for kind in TOKEN_KINDS}


@pytest.mark.parametrize("vector", OTHERS, ids=lambda vector: vector["id"])
def test_a_published_token_comes_out_of_its_options(vector: Vector) -> None:
    kind = kind_of_vector(vector)
    words = list(field_words(vector, kind))
    made = answer("encode", kind.command, *key_words(vector), *words)
    assert made["token"] == vector["token"]
    assert made["clear_block_hex"] == vector["clear_block_hex"]
    assert made["kind"] == kind.name


def test_class_1_asks_for_no_key() -> None:
    made = answer("encode", "test", "--control", "all")
    assert made["token"] == "56493153725450313471"  # STS531-1, CTSA02
    code, _, error = whole_command("encode", "test", "--control", "all", *DECODER)
    assert (code, error) == (2, "simmeters sts: unknown option or argument --decoder-key\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["power-limit", "--watts", "16385"],
            "maximum power limit  asked 16385 W / encoded 16394 x 1 W / decoded 16394 W (rounded in",
        ),
        (
            ["power-limit", "--watts", "9.5"],
            "maximum power limit  asked 9.5 W / encoded 10 x 1 W / decoded 10 W (rounded in",
        ),
        (
            ["phase-unbalance", "--watts", "10"],
            "phase power unbalance limit  asked 10 W / encoded 10 x 1 W / decoded 10 W\n",
        ),
    ],
)
def test_watts_are_shown_as_asked_encoded_and_decoded(words: list[str], said: str) -> None:
    assert said in printed("encode", *words, *DECODER)


def test_an_amount_of_watts_stands_in_json_too() -> None:
    made = answer("encode", "power-limit", "--watts", "16385", *DECODER)
    assert made["amount"] == {"asked": "16385", "encoded_units": 16394, "decoded": "16394", "unit": "W"}
    assert made["mpl_watts"] == 16394


def test_chance_and_the_clock_fill_in_what_is_not_said() -> None:
    made = [answer("encode", "clear-tamper", *DECODER) for _ in range(12)]
    assert len({one["rnd"] for one in made}) > 1  # all alike once in 16^11 runs
    assert all(one["tid_time"] > "2025-01-01" for one in made)


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (["power-limit", *DECODER], "watts: is needed, expected a whole number of W"),
        (["power-limit", *DECODER, "--watts", "much"], "watts: expected a whole number of W; got 'much'"),
        (["power-limit", *DECODER, "--watts", "18201625"], "watts: amount: at most 18201624 units fit"),
        (["power-limit", "--watts", "1"], "key: expected exactly one of"),
        (["clear-credit", *DECODER, "--register", "beer"], "register: expected electricity, water"),
        (["clear-credit", *DECODER, "--register", "65536"], "register: expected electricity, water, gas"),
        (["clear-tamper", *DECODER, "--rnd", "16"], "rnd: expected 0 to 15; got 16"),
        (["extended-set", *DECODER, "--control-value", "63:1"], "control-value: expected INDEX:VALUE"),
        (["clear-tamper", *DECODER, "--ken", "256"], "ken: expected 0 to 255; got 256"),
        (["test", "--control", "everything"], "control: expected all, names joined by commas"),
        (["test", "--control", "0x1000000000"], "control: expected all, names joined by commas"),
        (["test", "--control", "all", "--manufacturer-code", "256"], "manufacturer-code: expected 0 to 255"),
        (["extended-read", "--control", "64"], "control: expected INDEX (0 to 63), or all 36 bits as a hex number"),
        (["extended-read", "--control", "0x1000000000"], "control: expected INDEX (0 to 63)"),
        (["extended-read", "--control", "0xall"], "control: expected INDEX (0 to 63)"),
    ],
)
def test_wrong_values_are_one_sentence(words: list[str], beginning: str) -> None:
    with pytest.raises(SettingError) as caught:
        run("encode", *words)
    assert str(caught.value).startswith(beginning)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [["credit", "--kwh", "1"], ["clear-tamper"], ["power-limit", "--watts", "5"]])
def test_no_token_is_made_after_the_keys_expiry(words: list[str]) -> None:
    """KEN 85 is good up to TID 85 << 16 | 0xFFFF (CTSA16)."""
    last = 85 << 16 | 0xFFFF
    assert answer("encode", *words, *DECODER, "--ken", "85", "--tid", str(last))["tid"] == last
    assert answer("encode", *words, *DECODER, "--tid", str(last + 1))["tid"] == last + 1, "never, if it is not said"
    code, out, error = whole_command("encode", *words, *DECODER, "--ken", "85", "--tid", str(last + 1))
    assert (code, out) == (2, "")
    assert error == ("simmeters sts: ken: a key of KEN 85 expired at 2024-09-18 22:55, before the moment of issue\n")


def test_a_time_beyond_the_base_date_is_named_with_the_way_out() -> None:
    code, _, error = whole_command(
        "encode", "credit", *DECODER, "--kwh", "1", "--base-date", "1993", "--issued-at", "2026-11-22T00:10"
    )
    assert code == 2
    assert "to 2024-11-24 20:15; 2026-11-22 00:10 is later: give --issued-at within, or another --base-date" in error


def test_a_part_of_a_key_is_not_in_the_error_about_it() -> None:
    with pytest.raises(SettingError, match=r"^key_word: .* got another number$") as caught:
        SECTION_2.pack({"ken_low": 0, "ti": 1, "key_word": 0x1_2345_6789})
    assert str(0x1_2345_6789) not in str(caught.value)


def test_a_row_more_in_the_table_is_a_command_more(monkeypatch: pytest.MonkeyPatch) -> None:
    value = replace(CLEAR_TAMPER.value, coding=TOKEN_KINDS[0].value.coding, option="volume")
    row = replace(CLEAR_TAMPER, name="a new type", command="new-type", layout=(*CLEAR_TAMPER.layout[:2], value))
    monkeypatch.setattr(encode_commands, "TOKEN_KINDS", (*TOKEN_KINDS, row))
    parser = ArgumentParser()
    add_other_kinds(parser.add_subparsers())
    options = parser.parse_args(["new-type", *DECODER, "--volume", "2.5", "--tid", "7", "--json"])
    assert options.func(options) == 0


def test_help_says_what_every_option_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "2000")
    for kind in TOKEN_KINDS:
        code, out, _ = whole_command("encode", kind.command, "--help")
        text = " ".join(out.split())
        assert code == 0
        assert LAB in text
        assert " ".join(LICENCE.split()) in text
        if kind.command != CREDIT:
            options = [field for field in kind.layout if field.option]
            assert all(f"--{field.option} " in text for field in options), kind.command


# Key changes.

SETS = {
    name: list(vectors)
    for name, vectors in groupby((vector for vector in VECTORS if "set_id" in vector), lambda vector: vector["set_id"])
}


def new_words(vector: Vector) -> list[str]:
    new = vector["fields"]
    sections = "3" if new["three_kct"] else "4" if vector["ea"] == "11" else "2"
    return [
        *("--new-vending-key", new["new_vending_key_hex"], "--new-sgc", new["new_sgc"], "--new-ti", new["new_ti"]),
        *("--new-krn", str(new["new_krn"]), "--new-kt", str(new["new_kt"]), "--new-ken", str(new["new_ken"])),
        *("--new-base-date", str(new["new_base_date"]), "--sections", sections, "--issued-at", "2014-03-01T13:00"),
    ]


@pytest.mark.parametrize("vectors", SETS.values(), ids=SETS)
def test_a_published_set_comes_out_of_its_options(vectors: list[Vector]) -> None:
    first = vectors[0]
    made = answer("encode", "key-change", *key_words(first), *new_words(first), "--show-key")
    by_subclass = dict(zip((one["subclass"] for one in made["sections"]), made["tokens"], strict=True))
    assert {vector["token_subclass"]: vector["token"] for vector in vectors}.items() <= by_subclass.items()
    assert made["new_key"]["decoder_key"] == first["new_decoder_key_hex"]
    assert made["rollover"] == bool(first["fields"]["ro"])


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--new-krn", "2"], 2),
        (["--new-sgc", "201461"], 3),
        (["--new-sgc", "201461", "--sections", "2"], 2),
        (["--new-krn", "2", "--sections", "3"], 3),
        (["--new-ea", "11"], 4),
        (["--ea", "11", "--new-ti", "02"], 4),
    ],
)
def test_how_many_tokens_a_set_has(words: list[str], count: int) -> None:
    made = answer("encode", "key-change", *VENDING, *words)
    assert len(made["tokens"]) == len(made["sections"]) == count
    assert [one["section"] for one in made["sections"]] == [1, 2, 3, 4][:count]


@pytest.mark.parametrize(
    ("words", "rollover"),
    [
        (["--base-date", "1993", "--new-base-date", "2014"], 1),
        (["--new-base-date", "1993"], 0),
        (["--new-krn", "2"], 0),
        (["--new-krn", "2", "--rollover", "yes"], 1),
        (["--base-date", "1993", "--new-base-date", "2014", "--rollover", "no"], 0),
    ],
)
def test_a_rollover_goes_with_a_later_base_date(words: list[str], rollover: int) -> None:
    made = answer("encode", "key-change", *VENDING, *words)
    first = {field["name"]: field["raw"] for field in made["sections"][0]["fields"]}
    assert (made["rollover"], first["ro"]) == (bool(rollover), rollover)


def test_the_new_key_stays_hidden_unless_it_is_asked_for() -> None:
    words = ["encode", "key-change", *VENDING, "--new-krn", "2"]
    key = answer(*words, "--show-key")["new_key"]["decoder_key"]
    halves = [key[:8], key[8:]]
    hidden = printed(*words) + printed(*words, "--json")
    shown = printed(*words, "--show-key")
    assert all(half not in hidden and str(int(half, 16)) not in hidden for half in halves)
    assert all(half in shown for half in halves)
    assert key in shown


def test_every_section_opens_under_the_present_key_alone() -> None:
    made = answer("encode", "key-change", *DECODER, "--new-decoder-key", "7F78CDD220BE39B8", "--new-ti", "02")
    present = DecoderKey.parse(DECODER[1])
    opened = [decode(Token.parse(digits), present) for digits in made["tokens"]]
    assert all(isinstance(one, ClearToken) for one in opened)
    assert made["tokens"] == ["06510894141453018386", "22979178279997208272"]  # STS531-1-07
    assert "sgc" not in made["new_key"]


@pytest.mark.parametrize("words", [["--new-krn", "2"], ["--new-sgc", "201461"], ["--new-ea", "11", "--new-ti", "7"]])
def test_the_sections_make_the_new_key_in_a_meter(words: list[str]) -> None:
    made = answer("encode", "key-change", *VENDING, *words, "--new-ken", "200", "--rollover", "yes", "--show-key")
    held = KeySections()
    for digits in reversed(made["tokens"]):
        section = decode(Token.parse(digits), DecoderKey.parse(DECODER[1]))
        assert isinstance(section, ClearToken)
        held = held.plus(section)
    new = held.complete(takes_four=len(made["tokens"]) == 4)
    assert new is not None
    shown = made["new_key"]
    assert new.decoder_key.octets.hex() == shown["decoder_key"]
    assert (f"{new.decoder_key.ea:02d}", f"{new.ti:02d}", new.krn, new.ken) == tuple(
        shown[name] for name in ("ea", "ti", "krn", "ken")
    )
    assert new.sgc in (None, int(shown["sgc"]))
    assert new.rollover


def test_the_line_for_delivery_names_what_class_116_will_show() -> None:
    made = answer("encode", "key-change", *VENDING, "--new-krn", "2", "--new-sgc", "201461", "--new-ken", "254")
    assert made["deliver_options"] == ["--new-krn 2", "--new-sgc 201461", "--new-ken 254"]
    text = printed("encode", "key-change", *VENDING, "--new-krn", "2")
    assert "stsgate deliver --kind key_change --new-krn 2 --token-file FILE" in text
    assert "in any order" in text
    unseen = printed("encode", "key-change", *DECODER, "--new-decoder-key", "7F78CDD220BE39B8")
    assert "class 116 shows no change" in unseen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--new-sgc", "201461", "--sections", "2"], "a set of 2 does not carry the supply group code"),
        (
            ["--base-date", "1993", "--new-base-date", "2014", "--rollover", "no"],
            "without RO the meter finds tokens of the later base date too old",
        ),
        (["--new-ea", "11"], "must take sets of 4 under EA07 (simmeters run --sts-setting kct_supported=4)"),
    ],
)
def test_what_may_surprise_is_said(words: list[str], said: str) -> None:
    assert said in printed("encode", "key-change", *VENDING, *words)
    assert said not in printed("encode", "key-change", *VENDING, "--new-krn", "2")


OLD_KEY = ["--vending-key", "ABABABABABABABAB", "--pan", "600727000000000009", "--sgc", "123456", "--dkga", "02"]


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        ([*VENDING], "new key: nothing changes, give --new-sgc, --new-ti, "),
        ([*VENDING, "--new-krn", "1"], "new key: nothing changes"),
        (
            [*VENDING, "--rollover", "yes", "--new-ken", "254"],
            "rollover: RO = 1 needs another key than the present one",
        ),
        ([*OLD_KEY, "--base-date", "1993", "--new-base-date", "2014"], "rollover: RO = 1 needs another key"),
        ([*OLD_KEY, "--new-kt", "3"], "new-kt: a keypad meter's key of type 2 may not be replaced by one of 3"),
        ([*DECODER, "--kt", "1", "--new-decoder-key", "0" * 16, "--new-kt", "0"], "new-kt: a keypad meter's key of"),
        ([*VENDING, "--new-krn", "3", "--new-ken", "85"], "new-ken: the new key expired at 2024-09-18 22:55, before"),
        ([*VENDING, "--new-krn", "3", "--new-ken", "256"], "new key: ken: expected 0 to 255; got 256"),
        ([*VENDING, "--new-krn", "0"], "new key: krn: expected 1 to 9; got 0"),
        ([*VENDING, "--new-sgc", "12345"], "new key: sgc: expected six digits; got '12345'"),
        ([*DECODER, "--new-decoder-key", "0" * 16, "--new-sgc", "99"], "new key: sgc: expected six digits; got '99'"),
        ([*VENDING, "--new-ea", "09"], "new key: ea: expected 07 or 11; EA09"),
        ([*VENDING, "--new-krn", "2", "--sections", "4"], "sections: a key of 64 bits comes in a set of 2 or 3; got 4"),
        ([*VENDING, "--new-ea", "11", "--sections", "3"], "sections: a key of 128 bits comes in a set of 4; got 3"),
        ([*VENDING, "--ea", "11", "--new-ea", "07"], "new-ea: expected 11; a meter under EA11 takes sets of 4"),
        ([*DECODER, "--new-krn", "2"], "new key: expected --new-decoder-key, as the present one is a decoder key"),
        ([*DECODER, "--new-decoder-key", "0" * 16, "--sections", "3"], "new-sgc: is needed, a set of 3 carries"),
        ([*VENDING, "--new-vending-key", "00"], "new key: vending key: expected 40 hex digits"),
        (
            [*VENDING, "--new-vending-key", "0" * 40, "--new-decoder-key", "0" * 16],
            "new key: key: expected exactly one",
        ),
    ],
)
def test_a_set_that_cannot_be_meant_is_refused_in_one_sentence(words: list[str], beginning: str) -> None:
    with pytest.raises(SettingError) as caught:
        run("encode", "key-change", *words)
    assert str(caught.value).startswith(beginning)
    assert "\n" not in str(caught.value)


def test_a_new_ken_alone_is_a_change() -> None:
    made = answer("encode", "key-change", *VENDING, "--new-ken", "254")
    first, second = ({field["name"]: field["raw"] for field in one["fields"]} for one in made["sections"])
    assert (first["ken_high"], second["ken_low"]) == (15, 14)


def test_an_expired_key_may_be_replaced() -> None:
    """The moment of issue is held against the new key alone (STS531-1, CTSA16)."""
    words = ["--new-krn", "3", "--new-ken", "85", "--issued-at"]
    assert run("encode", "key-change", *VENDING, *words, "2024-09-18T22:55") == 0
    with pytest.raises(SettingError, match=r"^new-ken: the new key expired"):
        run("encode", "key-change", *VENDING, *words, "2024-09-18T22:56")


def test_no_option_of_the_table_is_left_out() -> None:
    """Fields without an option are padding, or parts of a key change."""
    for kind in TOKEN_KINDS:
        if kind.command != KEY_CHANGE:
            assert all(field.option or isinstance(field.coding, Padding) for field in kind.layout), kind.name


def test_the_setting_that_is_advised_is_one() -> None:
    assert "kct_supported" in SETTING_HELP


def test_stsgate_deliver_takes_the_options_that_are_printed_for_it() -> None:
    words = ["--new-krn", "2", "--new-ti", "02", "--new-ea", "11", "--new-sgc", "012345", "--new-ken", "255"]
    made = answer("encode", "key-change", *VENDING, *words)
    parser = OneLineParser()
    deliver.add_command(parser.add_subparsers())
    given = [word for option in made["deliver_options"] for word in option.split()]
    options = parser.parse_args(["deliver", "--endpoint", "tcp://127.0.0.1", "--kind", "key_change", *given])
    assert (options.new_krn, options.new_ti, options.new_ea, options.new_sgc, options.new_ken) == (2, 2, 11, 12345, 255)
