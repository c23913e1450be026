"""``simmeters sts``: what a user types, reads, and gets as an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.notices import LAB
from sim_meters.sts.keys.key_check import key_check_value
from tests.sim_meters.sts_command_line import DECODER, TOKEN, VECTOR_FILE, VENDING, VENDING_KEY, run

ISSUED = ["--issued-at", "2014-03-01T13:00"]

Capture = pytest.CaptureFixture[str]


def run_json(capsys: Capture, *words: str, code: int = 0) -> Any:
    assert run(*words, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_key_prints_the_decoder_key(capsys: Capture) -> None:
    assert run("key", *VENDING) == 0
    printed = capsys.readouterr().out
    assert LAB in printed
    assert "87f3ecbb2e46b48f" in printed
    assert VENDING_KEY.lower() not in printed.lower()
    assert run_json(capsys, "key", *VENDING)["decoder_key"] == "87f3ecbb2e46b48f"


def test_key_shows_what_the_key_is_made_of_and_its_check_values(capsys: Capture) -> None:
    shown = run_json(capsys, "key", *VENDING, "--ea", "11")
    assert shown["decoder_key"] == "929bd3a415c9420a05ec5ee9f3ce91c3"  # STS531-1-07
    data_block = bytes.fromhex(shown["data_block"])
    assert len(data_block) == 49
    assert b"600727000000000009" in data_block
    assert shown["check_value"] == key_check_value(bytes.fromhex(shown["decoder_key"]))
    assert shown["vending_key_check_value"] == key_check_value(bytes.fromhex(VENDING_KEY))
    assert run("key", *VENDING, "--ea", "11") == 0
    printed = capsys.readouterr().out
    assert "11 (MISTY1, a key of 128 bits)" in printed
    assert f"{shown['check_value']} (rule from one source, unproven)" in printed


def test_a_key_check_value_tells_keys_apart_and_not_what_they_are() -> None:
    keys = [bytes([number] * size) for size in (8, 16, 20) for number in (0, 2, 4)]
    values = [key_check_value(key) for key in keys]
    assert len(set(values)) == len(keys)
    assert {len(value) for value in values} == {6}
    assert values[0] == "8ca64d"  # DES: eight zero bytes under the key of zeros (NIST SP 800-17 gives 8CA64DE9C1B123A7)


def test_key_follows_every_option(capsys: Capture) -> None:
    shown = run_json(
        capsys,
        "key",
        *["--vending-key", "ABABABABABABABAB", "--pan", "000001000000000082", "--sgc", "123456"],
        *["--dkga", "02", "--ea", "07", "--ti", "01", "--krn", "1", "--kt", "2", "--base-date", "1993"],
    )
    assert shown["decoder_key"] == "e94023262e9993c2"  # STS531-1-0-02
    assert (shown["dkga"], shown["base_date"], shown["pan"]) == ("02", 1993, "000001000000000082")


def test_encode_credit_prints_the_token_and_what_became_of_the_amount(capsys: Capture) -> None:
    assert run("encode", "credit", *VENDING, *ISSUED, "--kwh", "0.1", "--rnd", "5") == 0
    printed = capsys.readouterr().out
    assert LAB in printed
    assert "7063 0503 4700 2872 6114" in printed
    assert "asked 0.1 kWh / encoded 1 x 0.1 kWh / decoded 0.1 kWh" in printed
    assert "rounded" not in printed
    assert "87f3ecbb" not in printed.lower()


@pytest.mark.parametrize(
    ("words", "subclass", "units", "decoded"),
    [
        (["--amount", "25.6", "--unit", "kWh"], 0, 256, "25.6"),
        (["--amount", "25.6", "--unit", "kwh"], 0, 256, "25.6"),
        (["--kwh", "25.61"], 0, 257, "25.7"),
        (["--m3", "3"], 1, 30, "3.0"),
        (["--m3", "3", "--commodity", "gas"], 2, 30, "3.0"),
        (["--amount", "3", "--unit", "m3", "--commodity", "water"], 1, 30, "3.0"),
        (["--min", "90"], 3, 900, "90.0"),
        (["--amount", "1.00", "--unit", "ZAR"], 4, 100004, "1.00004"),
        (["--amount", "-1.00", "--unit", "ZAR"], 4, -99994, "-0.99994"),
        (["--amount", "16383", "--unit", "EUR", "--commodity", "water"], 5, 1638342624, "16383.42624"),
        (["--amount", "0.00001", "--unit", "EUR", "--commodity", "time"], 7, 1, "0.00001"),
    ],
)
def test_amounts_and_units(capsys: Capture, words: list[str], subclass: int, units: int, decoded: str) -> None:
    made = run_json(capsys, "encode", "credit", *DECODER, *ISSUED, *words)
    assert made["subclass"] == subclass
    assert made["amount"]["encoded_units"] == units
    assert made["amount"]["decoded"] == decoded
    opened = run_json(capsys, "decode", *DECODER, made["token"])
    assert opened["verified"] is True
    assert opened["amount"]["decoded"] == decoded
    assert opened["tid_time"] == "2014-03-01T13:00"


def test_rounding_is_said(capsys: Capture) -> None:
    assert run("encode", "credit", *DECODER, *ISSUED, "--amount", "1", "--unit", "ZAR") == 0
    printed = capsys.readouterr().out
    assert "asked 1 ZAR / encoded 100004 x 0.00001 ZAR / decoded 1.00004 ZAR (rounded" in printed


@pytest.mark.parametrize(
    ("words", "tid"),
    [
        (["--issued-at", "2014-03-01T13:00:59"], 85740),
        (["--issued-at", "2014-03-01T15:00+02:00"], 85740),
        (["--issued-at", "2014-03-01T13:00Z"], 85740),
        (["--issued-at", "2014-03-01T00:01"], 84962),
        (["--tid", "84961"], 84961),
        (["--issued-at", "1993-01-02", "--base-date", "1993"], 1440),
    ],
)
def test_the_time_of_issue(capsys: Capture, words: list[str], tid: int) -> None:
    made = run_json(capsys, "encode", "credit", *DECODER, "--kwh", "1", "--rnd", "0", *words)
    assert made["tid"] == tid


def test_time_and_rnd_have_defaults(capsys: Capture) -> None:
    made = run_json(capsys, "encode", "credit", *DECODER, "--kwh", "1")
    assert 0 <= made["rnd"] <= 15
    assert made["tid_time"] > "2025-01-01"


def test_decode_takes_a_token_in_groups_or_as_an_option(capsys: Capture) -> None:
    groups = [TOKEN[place : place + 4] for place in range(0, 20, 4)]
    for words in ([TOKEN], groups, ["-".join(groups)], ["--token", TOKEN]):
        assert run("decode", *DECODER, *words) == 0
        printed = capsys.readouterr().out
        assert LAB in printed
        assert "0.1 kWh" in printed
        assert "85740 (2014-03-01 13:00 for base date 2014)" in printed


def test_decode_says_why_a_token_does_not_verify(capsys: Capture) -> None:
    assert run("decode", *DECODER, TOKEN[:-1] + "5") == 1
    assert "a wrong key and a mistyped digit look the same" in capsys.readouterr().out
    failure = run_json(capsys, "decode", "--decoder-key", "0123456789ABCDEF", TOKEN, code=1)
    assert (failure["verified"], failure["result"]) == (False, "CRC_ERROR")


def test_keys_can_come_from_files(capsys: Capture, tmp_path: Path) -> None:
    vending, decoder = tmp_path / "vending.key", tmp_path / "decoder.key"
    vending.write_text(VENDING_KEY + "\n", encoding="ascii")
    decoder.write_text("87F3ECBB 2E46B48F\n", encoding="ascii")
    assert run("decode", "--decoder-key-file", str(decoder), TOKEN) == 0
    assert run("key", "--vending-key-file", str(vending), *VENDING[2:]) == 0
    assert "87f3ecbb2e46b48f" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        (["key", *DECODER], "key: expected a vending key"),
        (["key"], "key: expected exactly one of --vending-key, --decoder-key"),
        (["key", *VENDING, *DECODER], "key: expected exactly one of --vending-key, --decoder-key"),
        (["key", "--vending-key", VENDING_KEY], "pan: is needed with a vending key, give --pan"),
        (["key", *VENDING[:4]], "sgc: is needed with a vending key, give --sgc"),
        (["key", *VENDING, "--dkga", "02"], "vending key: expected 16 hex digits (8 bytes, DKGA02); got 40"),
        (["key", *VENDING, "--dkga", "01"], "dkga: expected 02 or 04; DKGA01"),
        (["key", *VENDING, "--dkga", "x"], "dkga: expected decimal digits; got 'x'"),
        (["key", *VENDING, "--dkga", "03"], "dkga: expected 02 or 04; DKGA03"),
        (["key", *VENDING, "--ea", "09"], "ea: expected 07 or 11; EA09 (DEA) was withdrawn"),
        (["key", *VENDING, "--kt", "0"], "kt: an initialisation key (KT 0) is the manufacturer's own"),
        (["key", "--vending-key-file", "a\0b", *VENDING[2:]], "--vending-key-file: expected the path of a file"),
        (["key", *VENDING, "--krn", "0"], "krn: expected 1 to 9; got 0"),
        (["key", "--vending-key-file", "/nowhere", *VENDING[2:]], "--vending-key-file: cannot read /nowhere: No such"),
        (["decode", *DECODER], "token: expected 20 digits, as an argument or with --token"),
        (["decode", *DECODER, TOKEN, "--token", TOKEN], "token: expected 20 digits, as an argument or with --token"),
        (["decode", *DECODER, TOKEN, "--ea", "11"], "decoder key: expected 32 hex digits (16 bytes, EA11); got 16"),
        (["decode", *DECODER, TOKEN, "--ken", "256"], "ken: expected 0 to 255; got 256"),
        (["decode", TOKEN], "key: expected exactly one of --vending-key, --decoder-key"),
        (["decode", "--decoder-key", "00", TOKEN], "decoder key: expected 16 hex digits (8 bytes, EA07); got 2"),
        (["decode", *DECODER, TOKEN, "--base-date", "2000"], "base date: expected 1993, 2014 or 2035; got '2000'"),
        (["encode", "credit", *DECODER], "amount: expected --amount with --unit, or one of --kwh, --m3, --min"),
        (["encode", "credit", *DECODER, "--amount", "1"], "amount: expected --amount with --unit"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--m3", "1"], "amount: expected --amount with --unit"),
        (["encode", "credit", *DECODER, "--kwh", "lots"], "amount: expected a decimal number such as 25.6"),
        (["encode", "credit", *DECODER, "--kwh", "0"], "amount: expected at least one token unit; got 0"),
        (["encode", "credit", *DECODER, "--kwh", "-1"], "amount: expected no negative units; got -10"),
        (["encode", "credit", *DECODER, "--kwh", "1820162.5"], "amount: at most 18201624 units fit in a token"),
        (["encode", "credit", *DECODER, "--amount", "1", "--unit", "eur"], "unit: expected kWh, m3, min or a currency"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--commodity", "gas"], "commodity: kWh does not measure gas"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--rnd", "16"], "rnd: expected 0 to 15; got 16"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--tid", "16777216"], "tid: expected 0 to 16777215"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--tid", "1", *ISSUED], "tid: expected --tid or --issued-at"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--issued-at", "today"], "issued-at: expected a time such as"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--issued-at", "2013-12-31"], "TID: base date 2014 spans"),
        (
            ["encode", "credit", *DECODER, "--amount", "1", "--unit", "ZAR", "--rnd", "5"],
            "rnd: electricity currency credit carries none",
        ),
        (["verify-vectors", "/nowhere"], "/nowhere: No such file or directory"),
    ],
)
def test_wrong_usage_is_one_error_that_names_the_thing(words: list[str], beginning: str) -> None:
    with pytest.raises(SettingError) as caught:
        run(*words)
    message = str(caught.value)
    assert message.startswith(beginning)
    assert "\n" not in message
    assert VENDING_KEY not in message


@pytest.mark.parametrize("token", ["1234", "7063050347002872611x", "9" * 20])
def test_what_is_no_token_is_said_to_be_none(token: str) -> None:
    with pytest.raises(TokenFormatError):
        run("decode", *DECODER, token)


def passed_in(line: str, failed: int) -> int:
    """The first count of the last line, which has to say that so many failed."""
    count, _, rest = line.partition(" ")
    assert rest == f"passed, {failed} failed"
    return int(count)


def test_verify_vectors_ends_with_its_counts(capsys: Capture) -> None:
    assert run("verify-vectors", str(VECTOR_FILE)) == 0
    notice, counts = capsys.readouterr().out.splitlines()
    assert notice == LAB
    assert passed_in(counts, failed=0) == 343


def test_verify_vectors_names_what_failed(capsys: Capture, tmp_path: Path) -> None:
    run("verify-vectors", str(VECTOR_FILE))
    before = passed_in(capsys.readouterr().out.splitlines()[-1], failed=0)
    document = json.loads(VECTOR_FILE.read_text(encoding="utf-8"))
    document["vectors"][1]["fields"]["rnd"] = 6
    document["primitives"][2]["crc_hex"] = "0ffb"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert run("verify-vectors", str(file)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "FAILED primitives[2] crc: crc_hex: states 0ffb; from data_hex: 0ffa"
    assert lines[2].startswith("FAILED sts-002: fields.rnd: states 6; from token: 5; ")
    assert passed_in(lines[-1], failed=2) == before - 2
    report = run_json(capsys, "verify-vectors", str(file), code=1)
    assert report["lab"] == LAB
    assert (report["passed"], report["failed"]) == (before - 2, 2)
    assert [mismatch["id"] for mismatch in report["mismatches"]] == ["primitives[2] crc", "sts-002"]
