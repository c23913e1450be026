"""``stsgate dlms decode`` as its users meet it: what it takes, what it prints, and how it ends."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cosem_objects.errors import SettingError
from gateway.__main__ import main
from gateway.cli.traced_frames import traced_frames
from tests.gateway.test_cli import ONE, Stsgate, deliver_to, meter_at, secured

ROOT = Path(__file__).parents[2]
GET, ANSWER = "C001C1000100002B0100FF0200", "C401C1000600001391"
STATUS = "020216030400"
DIGITS = "48643202781314010686"
ENTER = "C301C100730000132800FF01010914" + DIGITS.encode().hex().upper()
SEALED = "C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B"
EK, AK, TITLE = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF", "4D4D4D0000BC614E"

Decode = Callable[..., tuple[int, str, str]]


@pytest.fixture
def decode(capsys: pytest.CaptureFixture[str]) -> Decode:
    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["dlms", "decode", *arguments])
        except SystemExit as end:  # how argparse leaves
            code = end.code if isinstance(end.code, int) else -1
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str]) -> Stsgate:
    return Stsgate(capsys)


def test_a_request_and_its_answer_are_printed_as_a_tree(decode: Decode) -> None:
    code, out, err = decode(GET, ANSWER)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "   0  get-request-normal",
        "   2    invoke-id-and-priority: id 1, confirmed, high priority",
        "   3    attribute:              Data 0-0:43.1.0.255 (invocation counter), value (attribute 2)",
        "",
        "  13  get-response-normal",
        "  15    invoke-id-and-priority: id 1, confirmed, high priority",
        "  16    answers:                Data 0-0:43.1.0.255 (invocation counter), value (attribute 2)",
        "  17    value:                  double-long-unsigned 5009",
    ]


@pytest.mark.parametrize(
    "written",
    [
        "c0 01 C1 00 01 00 00 2B 01 00 FF 02 00",
        "C0:01:C1:00:01:00:00:2B:01:00:FF:02:00",
        "C0-01-C1-00-01-00-00-2B-01-00-FF-02-00",
        "0xC0 0x01 0xC1 0x00 0x01 0x00 0x00 0x2B 0x01 0x00 0xFF 0x02 0x00",
        "C001C1\n0001 00002B\r\n\t0100FF 0200\n",
        "C0, 01, C1, 00, 01, 00, 00, 2B, 01, 00, FF, 02, 00",
    ],
)
def test_hex_may_be_written_in_many_ways(decode: Decode, written: str) -> None:
    assert decode(written) == decode(GET)
    assert decode(*written.split()) == decode(GET)


def test_hex_comes_from_a_file_or_standard_input(
    decode: Decode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = decode(GET)
    (tmp_path / "capture.txt").write_text(f"{GET[:10]}\n{GET[10:]}\n")
    (tmp_path / "capture.bin").write_bytes(bytes.fromhex(GET))
    assert decode("--file", str(tmp_path / "capture.txt")) == expected
    assert decode("--binary", "--file", str(tmp_path / "capture.bin")) == expected
    for arguments, octets in ((["-"], GET.encode()), (["--file", "-", "--binary"], bytes.fromhex(GET))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))
        assert decode(*arguments) == expected


def test_a_bare_value_has_the_names_of_its_attribute(decode: Decode) -> None:
    code, out, _ = decode("--data", "--class", "115", "--attribute", "6", STATUS)
    assert code == 0
    assert "status_code: enum execution-ok (3)" in out
    assert decode("--as", "data", STATUS)[1].startswith("   0  data: structure of 2")


def test_keys_open_what_is_ciphered(decode: Decode, tmp_path: Path) -> None:
    code, out, err = decode("--ek", EK, "--ak", AK, "--system-title", TITLE, SEALED)
    assert (code, err) == (0, "")
    assert "authentication:     tag fits, sender 4D4D4D0000BC614E" in out
    assert "Clock 0-0:1.0.0.255, time (attribute 2)" in out
    (tmp_path / "ek").write_text(EK + "\n")
    (tmp_path / "ak").write_text(AK + "\n")
    files = ("--ek-file", str(tmp_path / "ek"), "--ak-file", str(tmp_path / "ak"))
    assert decode(*files, "--system-title", TITLE, SEALED) == (0, out, "")


def test_without_a_key_the_header_is_shown(decode: Decode) -> None:
    code, out, err = decode(SEALED)
    assert (code, err) == (0, "")
    assert "security-control:   30 authenticated, encrypted, suite 0" in out
    assert "invocation-counter: 19088743" in out
    assert "no key given" in out


def test_a_wrong_key_is_said_with_the_offset(decode: Decode) -> None:
    code, out, err = decode("--ek", EK[::-1], "--ak", AK, "--system-title", TITLE, SEALED)
    assert code == 1
    assert "invocation-counter: 19088743" in out
    assert err.startswith("stsgate dlms decode: offset 7: the authentication tag does not fit")


def test_a_dedicated_key_opens_dedicated_ciphering(decode: Decode) -> None:
    code, out, _ = decode("--dedicated-key", EK, "--ak", AK, "--system-title", TITLE, "D0" + SEALED[2:])
    assert code == 0
    assert "ded-get-request" in out
    assert "time (attribute 2)" in out


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_token_is_shown_only_when_asked_for(decode: Decode, arguments: tuple[str, ...]) -> None:
    code, out, err = decode(*arguments, ENTER)
    assert code == 0
    assert "(token …0686, 20 octets)" in out
    assert DIGITS not in out + err
    assert DIGITS.encode().hex().upper() not in out + err
    assert DIGITS in decode(*arguments, "--show-secrets", ENTER)[1]


def test_garbage_is_an_error_with_its_offset_after_what_could_be_read(decode: Decode) -> None:
    code, out, err = decode(GET, ANSWER[:-2])
    assert code == 1
    assert "get-request-normal" in out
    assert "invoke-id-and-priority" in out.partition("\n\n")[2]
    assert err == "stsgate dlms decode: offset 18: get-response: 4 octets expected at offset 18, 3 are left\n"


@pytest.mark.parametrize(
    ("written", "offset", "words"),
    [
        (GET + "zz", 13, "'z' is no hex digit"),
        (GET + "C", 13, "half an octet: the number of hex digits is odd"),
        ("hello", 0, "'h' is no hex digit"),
    ],
)
def test_text_that_is_no_hex_is_an_error_behind_what_is(decode: Decode, written: str, offset: int, words: str) -> None:
    code, out, err = decode(written)
    assert code == 1
    assert ("get-request-normal" in out) is (offset > 0)
    assert err.startswith(f"stsgate dlms decode: offset {offset}: {words}")
    assert err.count("\n") == 1


def test_the_error_stands_in_the_json_too(decode: Decode) -> None:
    code, out, err = decode("--json", GET + "99" + "q")
    shown = json.loads(out)
    assert code == 1
    assert shown["octets"] == 14
    assert shown["messages"][0]["name"] == "get-request-normal"
    assert [error["offset"] for error in shown["errors"]] == [13, 14]
    assert err.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to decode"),
        (("--file", "x", GET), "either --file or HEX"),
        (("--file", "/does/not/exist"), "stsgate dlms decode: file: /does/not/exist cannot be read"),
        (("--binary", GET), "it goes with --file"),
        (("--class", "115", "--data", STATUS), "class and attribute go together"),
        (("--class", "115", "--attribute", "6", STATUS), "they go with --data"),
        (("--data", "--as", "hdlc", STATUS), "contradict each other"),
        (("--as", "morse", GET), "invalid choice"),
        (("--ek", "00", GET), "ek: expected 32 or 64 hex digits, got 1 octets"),
        (("--ak", "secret words", GET), "ak: expected 32 or 64 hex digits"),
        (("--system-title", "4D4D4D", GET), "system-title: expected 16 hex digits"),
        (("--nonsense", GET), "unknown option or argument --nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(decode: Decode, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = decode(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert "secret words" not in err


def test_dlms_without_a_command_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["dlms"])
    assert end.value.code == 2
    said = "stsgate dlms: expected a COMMAND: decode, transfer-key; see stsgate dlms --help\n"
    assert capsys.readouterr().err == said


# Traces.


@pytest.mark.parametrize("wire", ["tcp", "hdlc+tcp"])
async def test_a_trace_is_read_as_the_frames_that_it_holds(
    stsgate: Stsgate, decode: Decode, tmp_path: Path, wire: str
) -> None:
    paths = [tmp_path / "trace.jsonl", tmp_path / "trace.pcapng"]
    files = [option for path in paths for option in ("--trace", str(path))]
    async with meter_at(wire, secured(mechanism="hls-gmac", ek=EK, ak=AK)) as (url, _):
        options = ["--security", "hls-gmac", "--ek", EK, "--ak", AK]
        assert (await stsgate.beside(*deliver_to(url, ONE), *options, *files)).code == 0
    (code, out, err), of_packets = (decode("--file", str(path), "--ek", EK, "--ak", AK) for path in paths)
    assert (code, err) == (0, "")
    assert of_packets == (code, out, err)
    assert len([line for line in out.splitlines() if line.endswith(" AARQ")]) == 2
    assert ("HDLC SNRM" in out) is (wire == "hdlc+tcp")
    assert f"method-invocation-parameters: octet-string (token {ONE.masked}, 20 octets)" in out
    frames = [json.loads(line) for line in paths[0].read_text().splitlines()]
    hexes = [one["hex"] for one in frames if one["layer"] == "frame"]
    assert decode("--ek", EK, "--ak", AK, *hexes) == (code, out, err)


def test_two_links_of_one_trace_are_two_conversations(decode: Decode, tmp_path: Path) -> None:
    """Both ask with the same invoke-id, for other things."""
    other = GET.replace("002B0100FF02", "002A0000FF02")
    wrapped = {hexes: f"000100010001{len(hexes) // 2:04X}{hexes}" for hexes in (GET, other, ANSWER)}
    trace = tmp_path / "trace.jsonl"
    rows = [(1, GET), (2, other), (1, ANSWER), (2, ANSWER)]
    lines = [json.dumps({"layer": "frame", "link": link, "hex": wrapped[hexes]}) for link, hexes in rows]
    trace.write_text("\n".join(['{"layer": "note", "link": 1, "note": "link opened"}', "", *lines, '{"layer": "fra']))
    code, out, _ = decode("--file", str(trace))
    assert code == 0
    answers = [line.partition("answers:")[2].strip() for line in out.splitlines() if "answers:" in line]
    assert [answer.split()[1] for answer in answers] == ["0-0:43.1.0.255", "0-0:42.0.0.255"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"layer": "frame", "link": 1, "hex": "C0"}\n{"layer"}\n', "line 2 is not one of a trace"),
        (b'{"layer": "frame", "link": 1, "hex": "C"}\n', "line 1 is not one of a trace"),
        (b'{"hex": "C001"}', "line 1 is not one of a trace"),
        (b"\x0a\x0d\x0d\x0a\x07\0\0\0" + bytes(20), "the pcapng is damaged"),
        (b"\x0a\x0d\x0d\x0a\xff\xff\0\0" + bytes(20), "the pcapng is damaged"),
        (b"\x0a\x0d\x0d\x0a\x0c\0\0\0\x0c\0\0\0\x06\0\0\0\x0c\0\0\0\x0c\0\0\0", "the pcapng is not of --trace"),
    ],
)
def test_a_damaged_trace_is_one_line(decode: Decode, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "trace").write_bytes(content)
    code, out, err = decode("--file", str(tmp_path / "trace"))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


@given(some.binary(max_size=60), some.sampled_from([b"\x0a\x0d\x0d\x0a", b"{", b'{"layer": "frame"', b""]))
def test_whatever_a_file_holds_it_is_a_trace_or_none_or_refused(content: bytes, beginning: bytes) -> None:
    try:
        frames = traced_frames(beginning + content)
    except SettingError:
        return
    assert frames is None or len(frames) <= len(content)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "gateway", "dlms", "decode", "-"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write((GET * 5000).encode())
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0
