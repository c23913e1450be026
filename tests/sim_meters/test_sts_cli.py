"""``simmeters sts``: what a user types, reads, and gets as an exit code."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from cosem_objects.errors import SettingError, TokenFormatError
from sim_meters.sts.cli import add_sts_commands
from sim_meters.sts.commands import LAB

VECTOR_FILE = Path(__file__).parent.parent / "vectors" / "sts_vectors.json"
VENDING_KEY = "ABABABABABABABAB949494949494949401234567"
VENDING = ["--vending-key", VENDING_KEY, "--pan", "600727000000000009", "--sgc", "201457"]
DECODER = ["--decoder-key", "87F3ECBB2E46B48F"]
ISSUED = ["--issued-at", "2014-03-01T13:00"]
TOKEN = "70630503470028726114"  # STS531-1-07: 0.1 kWh, RND 5

Capture = pytest.CaptureFixture[str]


def run(*words: str) -> int:
    parser = ArgumentParser(prog="simmeters")
    add_sts_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["sts", *words])
    code = options.func(options)
    assert isinstance(code, int)
    return code


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


def test_decode_says_what_is_not_covered_yet(capsys: Capture) -> None:
    key_change = "06510894141453018386"  # STS531-1-07, first section
    failure = run_json(capsys, "decode", *DECODER, key_change, code=1)
    assert failure["class"] == 2
    assert "not covered yet" in failure["reason"]


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
        (["key", *VENDING, "--ea", "11"], "ea: expected 07; EA11 (MISTY1) is not covered yet"),
        (["key", *VENDING, "--krn", "0"], "krn: expected 1 to 9; got 0"),
        (["key", "--vending-key-file", "/nowhere", *VENDING[2:]], "--vending-key-file: cannot read /nowhere: No such"),
        (["decode", *DECODER], "token: expected 20 digits, as an argument or with --token"),
        (["decode", *DECODER, TOKEN, "--token", TOKEN], "token: expected 20 digits, as an argument or with --token"),
        (["decode", *DECODER, TOKEN, "--ea", "11"], "ea: expected 07; EA11 (MISTY1) is not covered yet"),
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
        (["encode", "credit", *DECODER, "--kwh", "1", "--tid", "16777216"], "TID: expected 0 to 16777215"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--tid", "1", *ISSUED], "tid: expected --tid or --issued-at"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--issued-at", "today"], "issued-at: expected a time such as"),
        (["encode", "credit", *DECODER, "--kwh", "1", "--issued-at", "2013-12-31"], "TID: base date 2014 spans"),
        (
            ["encode", "credit", *DECODER, "--amount", "1", "--unit", "ZAR", "--rnd", "5"],
            "rnd: currency tokens carry none",
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
    gaps, counts = capsys.readouterr().out.splitlines()
    assert gaps.startswith("not covered yet: ")
    assert "class 1: 27" in gaps
    assert passed_in(counts, failed=0) > 100


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
    assert lines[0] == "FAILED primitives[2] crc: crc_hex: states 0ffb; from data_hex: 0ffa"
    assert lines[1].startswith("FAILED sts-002: fields.rnd: states 6; from token: 5; ")
    assert passed_in(lines[-1], failed=2) == before - 2
    report = run_json(capsys, "verify-vectors", str(file), code=1)
    assert (report["passed"], report["failed"]) == (before - 2, 2)
    assert [mismatch["id"] for mismatch in report["mismatches"]] == ["primitives[2] crc", "sts-002"]
