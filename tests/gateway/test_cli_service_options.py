"""Commands that speak to the service: what they refuse before anything is sent, and who they say they are."""

from __future__ import annotations

import argparse
import io
import ssl
import sys
from pathlib import Path

import pytest

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token, TokenClass
from gateway.cli.service.options import add_service_options, service_from
from gateway.client.service_client import ServiceAddress
from tests.gateway.running_service import AK, EK, PASSWORD, SECRETS, SIGNING_SECRET, TOKENS, Stsgate, one_line

KEY = "stsgate_somebody_0123456789"
CLASS_3 = Token.from_block(TokenClass.RESERVED, 0x0123456789ABCDEF)
CLASS_2 = Token.from_block(TokenClass.METER_SPECIFIC_MANAGEMENT, 0x0123456789ABCDEF)
ONE, TWO = TOKENS[0].digits, TOKENS[1].digits
GROUPS = [ONE[start : start + 4] for start in range(0, 20, 4)]
PUT = ["meters", "put", "M-1", "--endpoint", "tcp://10.0.0.1:4059"]
RESOLVE = ["orders", "resolve", "A", "--credited"]

FILES: dict[str, bytes] = {
    "empty": b"",
    "latin": "Schlüssel".encode("latin-1"),
    "two-keys": f"{KEY}\n{KEY}\n".encode(),
    "short-token": ONE[:-1].encode(),
    "third-token": f"{ONE}\n\n{TWO[:-1]}\n".encode(),
    "same-token": ONE.encode(),
    "long": b"\n" * 10_000,
    "secret": SIGNING_SECRET.encode(),
    "no-id.csv": b"endpoint\ntcp://10.0.0.1:4059\n",
    "no-endpoint.csv": b"id\nM-1\n",
    "twice.csv": b"id,endpoint,id\nM-1,tcp://10.0.0.1:4059,M-1\n",
    "misspelt.csv": b"id,endpoint,meter_system_tittle\n",
    "headless.csv": f"M-1,tcp://10.0.0.1:4059,hls-gmac,{EK},{AK}\n".encode(),
    "latin.csv": "id,endpoint,description\nM-1,tcp://10.0.0.1:4059,Zähler".encode("latin-1"),
    "quotes.csv": b'id,endpoint\n"M-1,tcp://10.0.0.1:4059\n',
    "nobody.csv": b"id,endpoint\n\n,\n",
    "blank": b" \n\n",
    "semicolons.csv": b"id;meter;tokens\n",
    "misspelt-orders.csv": b"id,meter,token\n",
    "headless-orders.csv": f"A-1,M-1,{ONE}\n".encode(),
    "no-id-of-links.csv": b"concurrency\n1\n",
    "misspelt-links.csv": b"id,rate_per_secnd\n",
    "headless-links.csv": f"{EK},1,0.5\n".encode(),
    "nobody-of-links.csv": b"id,concurrency\n,\n",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Stsgate:
    stsgate = Stsgate(capsys, monkeypatch)
    stsgate.set("STSGATE_API_KEY", KEY)
    stsgate.set("STSGATE_SERVER", "http://127.0.0.1:1")  # nobody listens there; nobody must be called
    return stsgate


WRONG: list[tuple[str, list[str]]] = [
    # what the line must say | the command. FILES is a folder.
    # where the service is
    ("server", ["orders", "--server", "127.0.0.1:8321"]),
    ("server", ["orders", "--server", "ftp://127.0.0.1"]),
    ("server", ["orders", "--server", "http://"]),
    ("server", ["orders", "--server", "http://[::1"]),
    ("server", ["orders", "--server", "http://127.0.0.1:99999"]),
    ("server", ["orders", "--server", "http://127.0.0.1/?a=b"]),
    ("server", ["orders", "--server", "http://127.0.0.1/#a"]),
    ("server", ["orders", "--server", "http://127.0.0.1/a b"]),
    ("no password", ["orders", "--server", f"http://me:{PASSWORD.replace(' ', '')}@127.0.0.1"]),
    ("https, or --insecure", ["orders", "--server", "http://10.0.0.1"]),
    ("https, or --insecure", ["orders", "--server", "http://service.example"]),
    ("ca-file", ["orders", "--ca-file", "FILES/empty"]),
    ("ca-file", ["orders", "--server", "https://127.0.0.1", "--ca-file", "FILES/empty"]),
    ("ca-file", ["orders", "--server", "https://127.0.0.1", "--ca-file", "FILES/nowhere"]),
    *(("timeout", ["orders", "--timeout", text]) for text in ("", "0", "-1", "soon", "1e3", "nan", "inf", "1" * 9)),
    # who asks
    ("api-key-file", ["orders", "--api-key-file", "FILES/nowhere"]),
    ("api-key-file", ["orders", "--api-key-file", "FILES"]),
    ("api-key-file", ["orders", "--api-key-file", "FILES/empty"]),
    ("api-key-file", ["orders", "--api-key-file", "FILES/latin"]),
    ("one API key", ["orders", "--api-key-file", "FILES/two-keys"]),
    ("data-dir", ["orders", "--data-dir", "FILES"]),
    *(("never on the command line", [*command, "--api-key", KEY]) for command in (["orders"], ["push", "M-1", ONE])),
    ("never on the command line", ["orders", "show", "A", f"--api-key={KEY}"]),
    # commands
    ("METER", ["push"]),
    ("token", ["push", "M-1"]),
    ("invalid choice", ["orders", "shw"]),
    ("ID", ["orders", "show"]),
    ("ID: it is empty", ["orders", "show", ""]),
    ("ID: it is empty", ["links", "remove", " "]),
    ("unknown", ["orders", "show", "A", "B"]),
    ("state", ["orders", "--state", "held", "show", "A"]),
    ("link", ["meters", "--link", "A", "show", "A"]),
    ("limit", ["links", "--limit", "3", "pause", "A"]),
    # push
    ("19", ["push", "M-1", ONE[:-1]]),
    ("21", ["push", "M-1", ONE + "0"]),
    ("66 bits", ["push", "M-1", "99999999999999999999"]),
    ("other characters", ["push", "M-1", ONE[:-1] + "x"]),
    ("METER comes first", ["push", ONE, "M-1"]),
    ("METER comes first", ["push", f"{ONE[:4]} {ONE[4:]}", "M-1"]),
    ("METER comes first", ["push", ONE]),
    ("in quotes", ["push", "M-1", *GROUPS[:4]]),
    ("in quotes", ["push", "M-1", *GROUPS, "1"]),
    ("class 3", ["push", "M-1", *(CLASS_3.digits[start : start + 4] for start in range(0, 20, 4))]),
    ("twice", ["push", "M-1", *GROUPS, *GROUPS]),
    ("class 3", ["push", "M-1", CLASS_3.digits]),
    ("twice", ["push", "M-1", ONE, f"{ONE[:4]} {ONE[4:]}"]),
    ("twice", ["push", "M-1", ONE, "--token-file", "FILES/same-token"]),
    ("no credit", ["push", "M-1", CLASS_2.digits, "--kind", "credit"]),
    ("no key_change", ["push", "M-1", ONE, "--kind", "key_change"]),
    ("invalid choice", ["push", "M-1", ONE, "--kind", "money"]),
    ("invalid choice", ["push", "M-1", ONE, "--priority", "first"]),
    ("20 tokens", ["push", "M-1", *(Token((number + 1) << 30).digits for number in range(21))]),
    ("token-file: line 1: ", ["push", "M-1", "--token-file", "FILES/short-token"]),
    ("token-file: line 3: ", ["push", "M-1", "--token-file", "FILES/third-token"]),
    ("token-file", ["push", "M-1", "--token-file", "FILES/nowhere"]),
    ("token-file", ["push", "M-1", "--token-file", "FILES/latin"]),
    ("too long", ["push", "M-1", "--token-file", "FILES/long"]),
    ("once", ["push", "M-1", "-", "-"]),
    ("once", ["push", "M-1", "-", "--token-file", "-"]),
    ("unit", ["push", "M-1", ONE, "--amount", "5"]),
    ("amount", ["push", "M-1", ONE, "--unit", "kWh"]),
    ("one token", ["push", "M-1", ONE, TWO, "--amount", "5", "--unit", "kWh"]),
    *(("amount", ["push", "M-1", ONE, "--unit", "kWh", f"--amount={text}"]) for text in ("", "0", "1,5", "nan", "-5")),
    *(("unit", ["push", "M-1", ONE, "--amount", "5", "--unit", text]) for text in ("", "k", "kilowatt", "ÄÖÜ")),
    *(
        (option, ["push", "M-1", ONE, f"--{option}", text])
        for option in ("not-before", "expires-at")
        for text in ("", "soon", "2026-13-01", "2026-11-21T25:00", "20261121", "2026-W47", "0001-01-01T00:00+14:00")
    ),
    ("not later", ["push", "M-1", ONE, "--not-before", "2027-01-02", "--expires-at", "2027-01-01"]),
    ("2026-11-21T22:00+02:00 or 2026-11-21T20:00Z", ["push", "M-1", ONE, "--not-before", "tonight"]),
    ("(choose from 'credit', 'operator', 'campaign')", ["push", "M-1", ONE, "--priority", "first"]),
    ("(choose from 'credit', 'key_change', 'management', 'test')", ["push", "M-1", ONE, "--kind", "money"]),
    # orders
    ("state", ["orders", "--state", "lost"]),
    ("state", ["orders", "list", "--state", "held,"]),
    *(("limit", ["orders", "--limit", text]) for text in ("0", "-1", "many", "1000001")),
    ("--credited", ["orders", "resolve", "A", "--note", "x"]),
    ("--note", [*RESOLVE, "yes"]),
    ("note", [*RESOLVE, "yes", "--note", " "]),
    ("note", [*RESOLVE, "yes", "--note", "x" * 1001]),
    ("invalid choice", [*RESOLVE, "perhaps", "--note", "x"]),
    ("(choose from 'yes', 'no', 'retry')", [*RESOLVE, "perhaps", "--note", "x"]),
    ("file", ["orders", "import", "FILES/nowhere"]),
    ("is a directory", ["orders", "import", "FILES"]),
    ("row 1: its columns have semicolons", ["orders", "import", "FILES/semicolons.csv"]),
    ("row 1: ", ["orders", "import", "FILES/misspelt-orders.csv"]),
    ("nothing was sent", ["orders", "import", "FILES/headless-orders.csv"]),
    ("report", ["orders", "import", "FILES/blank", "--report", "FILES/nowhere/report"]),
    ("nothing in it", ["orders", "import", "FILES/empty"]),
    ("nothing in it", ["orders", "import", "FILES/blank"]),
    # meters
    ("--endpoint", ["meters", "put", "M-1"]),
    ("endpoint", ["meters", "put", "M-1", "--endpoint", "10.0.0.1"]),
    ("endpoint", ["meters", "put", "M-1", "--endpoint", f"tcp://me:{PASSWORD.replace(' ', '')}@10.0.0.1:1"]),
    ("security", [*PUT, "--security", "gmac"]),
    ("suite", [*PUT, "--suite", "1"]),
    ("suite", [*PUT, "--suite", "x"]),
    ("ek", [*PUT, "--security", "hls-gmac", "--ek", EK[:-1], "--ak", AK]),
    ("ak", [*PUT, "--security", "hls-gmac", "--ek", EK, "--ak", AK + "0"]),
    ("ek-file", [*PUT, "--ek-file", "FILES/empty"]),
    ("not allowed with", [*PUT, "--ek", EK, "--ek-file", "FILES/secret"]),
    ("ciphering", [*PUT, "--ciphering", "glo"]),
    ("meter-system-title", [*PUT, "--ek", EK, "--ak", AK, "--meter-system-title", "53"]),
    ("pan", [*PUT, "--pan", "1"]),
    ("sgc", [*PUT, "--sgc", "1"]),
    ("krn", [*PUT, "--krn", "x"]),
    ("krn", [*PUT, "--krn", "10"]),
    ("krn", [*PUT, "--krn", ""]),
    ("base-date", [*PUT, "--base-date", "1900"]),
    ("client-sap", [*PUT, "--client-sap", "0"]),
    ("windows", [*PUT, "--window", "22-6"]),
    ("time-zone", [*PUT, "--time-zone", "Middle/Earth"]),
    ("profile", [*PUT, "--profile", "nowhere"]),
    ("profile", [*PUT, "--profile", "./mine.toml"]),
    ("token-encoding", [*PUT, "--token-encoding", "ascii"]),
    ("invocation-counter", [*PUT, "--invocation-counter", "4294967296"]),
    ("link", [*PUT, "--link", "a b"]),
    ("description", [*PUT, "--description", "x" * 201]),
    ("cannot be read", ["meters", "import", "FILES/nowhere"]),
    ("UTF-8", ["meters", "import", "FILES/latin.csv"]),
    ("CSV", ["meters", "import", "FILES/quotes.csv"]),
    ("column id is missing", ["meters", "import", "FILES/no-id.csv"]),
    ("column endpoint is missing", ["meters", "import", "FILES/no-endpoint.csv"]),
    ("column id is there twice", ["meters", "import", "FILES/twice.csv"]),
    ("did you mean meter_system_title?", ["meters", "import", "FILES/misspelt.csv"]),
    ("row 1, column 1", ["meters", "import", "FILES/headless.csv"]),
    ("no meter", ["meters", "import", "FILES/nobody.csv"]),
    ("report", ["meters", "import", "FILES/nobody.csv", "--report", "FILES/nowhere/report"]),
    # links, keys, webhooks
    ("at least one limit", ["links", "set", "A"]),
    ("concurrency", ["links", "set", "A", "--concurrency", "0"]),
    *(("rate", ["links", "set", "A", "--rate", text]) for text in ("0", "-1", "many", "1e9", "nan", "")),
    ("burst", ["links", "set", "A", "--concurrency", "2", "--burst", "3"]),
    ("cannot be read", ["links", "import", "FILES/nowhere"]),
    ("column id is missing", ["links", "import", "FILES/no-id-of-links.csv"]),
    ("did you mean rate_per_second?", ["links", "import", "FILES/misspelt-links.csv"]),
    ("row 1, column 1", ["links", "import", "FILES/headless-links.csv"]),
    ("no link", ["links", "import", "FILES/nobody-of-links.csv"]),
    ("report", ["links", "import", "FILES/nobody-of-links.csv", "--report", "FILES/nowhere/report"]),
    ("limit", ["links", "--limit", "3", "export"]),
    ("scope", ["api-keys", "make", "me"]),
    ("invalid choice", ["api-keys", "make", "me", "--scope", "everything"]),
    ("(choose from 'read', 'orders', 'operate', 'admin')", ["api-keys", "make", "me", "--scope", "everything"]),
    ("expires-at", ["api-keys", "make", "me", "--scope", "read", "--expires-at", "never"]),
    ("key-file", ["api-keys", "make", "me", "--scope", "read", "--key-file", "FILES/empty"]),
    ("key-file", ["api-keys", "rotate", "a", "--key-file", "FILES/nowhere/key"]),
    ("overlap", ["api-keys", "rotate", "a", "--overlap", "-1"]),
    ("--url", ["webhooks", "put", "a"]),
    ("no password", ["webhooks", "put", "a", "--url", f"https://me:{PASSWORD.replace(' ', '')}@example.com/"]),
    ("secret-file", ["webhooks", "put", "a", "--url", "https://example.com/", "--secret-file", "FILES/nowhere"]),
    ("secret-file", ["webhooks", "put", "a", "--url", "https://example.com/", "--secret-file", "FILES/empty"]),
]  # fmt: skip


@pytest.mark.parametrize(("word", "command"), WRONG, ids=[f"{row[1][0]}-{row[0]}-{row[1][-1][-9:]!a}" for row in WRONG])
def test_wrong_usage_is_one_line_and_nothing_is_sent(
    stsgate: Stsgate, files: Path, word: str, command: list[str]
) -> None:
    """Had it been sent, the line would say that nobody is there, and the exit code would be 3."""
    said = stsgate(*(argument.replace("FILES", str(files)) for argument in command))
    one_line(said, word)
    assert KEY not in said.err


MISPLACED = [
    ["push", ONE, TWO[:-1]],
    ["push", "M-1", "--token", ONE],
    ["push", "M-1", f"--tokn={ONE}"],
    ["push", "M-1", TWO, "--token-file", ONE],
    ["push", "M-1", TWO, "--unit", ONE, "--amount", "5"],
    ["push", "M-1", TWO, "--not-before", ONE],
    ["push", "M-1", TWO, "--kind", ONE],
    ["orders", ONE],
    ["orders", "--state", ONE],
    ["orders", "resolve", "A", "--credited", ONE, "--note", "x"],
    ["orders", "import", ONE],
    ["orders", "--server", f"http://{EK}.example"],
    ["orders", "--server", EK],
    ["orders", "--timeout", EK],
    [*PUT, "--suite", EK],
    [*PUT, "--krn", EK],
    [*PUT, "--security", EK],
    [*PUT, "--meter-system-title", EK],
    [*PUT, "--profile", EK],
    [*PUT, "--time-zone", EK],
    [*PUT, "--window", EK],
    [*PUT, "--endpoint", EK],
    ["links", "set", "A", "--rate", EK],
    ["api-keys", "make", "me", "--scope", EK],
    ["webhooks", "put", "a", "--url", "https://example.com", "--secret-file", EK],
    ["webhooks", "put", "a", "--secret", EK, "--url", "https://example.com"],
]


@pytest.mark.parametrize("command", MISPLACED, ids=[" ".join(row[:3])[:24] + row[-1][-4:] for row in MISPLACED])
def test_a_secret_in_the_wrong_place_is_not_repeated(stsgate: Stsgate, command: list[str]) -> None:
    """``Said`` looks for the secrets."""
    one_line(stsgate(*command))


def test_standard_input_may_be_closed(stsgate: Stsgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    one_line(stsgate("push", "M-1", "-"), "standard input is closed")
    one_line(stsgate("orders", "import", "-"), "standard input is closed")


def test_standard_input_holds_tokens(stsgate: Stsgate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{ONE}\n{TWO[:-1]}\n"))
    one_line(stsgate("push", "M-1", "-"), "token: line 2: ", "19")


HELPED: list[tuple[list[str], str, str]] = [
    # the command | what its help says | what it does not say
    (["api-keys", "make"], "{read,orders,operate,admin}", "Scope"),
    (["orders", "resolve"], "compulsory: why", "ResolveCredited"),
    (["push"], "{credit,operator,campaign}", "Priority"),
    (["meters", "put"], "--profile NAME ", "NAME|FILE"),
]


@pytest.mark.parametrize(("command", "words", "other"), HELPED, ids=[" ".join(row[0]) for row in HELPED])
def test_help_says_what_can_be_given_in_plain_words(
    stsgate: Stsgate, command: list[str], words: str, other: str
) -> None:
    said = stsgate(*command, "--help")
    text = " ".join(said.out.split())
    assert said.code == 0
    assert words in text
    assert other not in text


# Who asks.


def address(environment: dict[str, str], *options: str) -> ServiceAddress:
    parser = argparse.ArgumentParser()
    add_service_options(parser)
    return service_from(parser.parse_args(options), environment=environment)


def test_the_key_is_taken_from_the_first_place_that_has_one(tmp_path: Path) -> None:
    names = ("option", "bootstrap-api-key", "file")
    for name in names:
        (tmp_path / name).write_text(f"key_from_{name}\n")
    file = {"STSGATE_API_KEY_FILE": str(tmp_path / "file")}
    both = {"STSGATE_API_KEY": "key_from_environment", **file}
    data_dir = ["--data-dir", str(tmp_path)]
    assert address(file).api_key == "key_from_file"
    assert address(both).api_key == "key_from_environment"
    assert address(both, *data_dir).api_key == "key_from_bootstrap-api-key"
    assert address(both, *data_dir, "--api-key-file", str(tmp_path / "option")).api_key == "key_from_option"


def test_without_a_key_nobody_is_asked() -> None:
    with pytest.raises(SettingError, match="an API key is needed: --api-key-file"):
        address({})


SERVERS: list[tuple[dict[str, str], list[str], str]] = [
    ({}, [], "http://127.0.0.1:8321"),
    ({"STSGATE_SERVER": "https://a.example/"}, [], "https://a.example"),
    ({"STSGATE_SERVER": "https://a.example"}, ["--server", "http://localhost:1/behind/"], "http://localhost:1/behind"),
    ({}, ["--server", "http://[::1]:8321"], "http://[::1]:8321"),
    ({}, ["--server", "http://10.0.0.1", "--insecure"], "http://10.0.0.1"),
]


@pytest.mark.parametrize(("environment", "options", "url"), SERVERS, ids=[row[2] for row in SERVERS])
def test_the_server_is_an_option_a_variable_or_this_machine(
    environment: dict[str, str], options: list[str], url: str
) -> None:
    assert address({"STSGATE_API_KEY": KEY, **environment}, *options).url == url


def test_https_trusts_the_system_or_a_file(tmp_path: Path) -> None:
    environment = {"STSGATE_API_KEY": KEY, "STSGATE_SERVER": "https://127.0.0.1"}
    assert address(environment).tls is None
    system = ssl.get_default_verify_paths().cafile
    if system is not None and Path(system).exists():
        tls = address(environment, "--ca-file", system).tls
        assert tls is not None
        assert tls.verify_mode is ssl.CERT_REQUIRED


def test_the_secrets_of_these_tests_are_the_ones_that_are_looked_for() -> None:
    assert {ONE, TWO, EK, AK, PASSWORD, SIGNING_SECRET} <= set(SECRETS)
