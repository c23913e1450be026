"""Settings for meters that call in, and for hints: what check-config refuses, and the tables of names and wPorts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosem_objects.errors import SettingError
from gateway.calling_in.tables import read_names, read_wports
from gateway.calling_in.texts import brokers
from gateway.hints import HintOutcome
from gateway.settings.inbound import inbound_settings
from gateway.settings.loading import SettingsInvalid, all_settings, load_settings
from gateway.settings.sections import InboundSection
from tests.certificates import Authority
from transports.calling_in.first_words import FirstReader
from transports.calling_in.meter import login_line

ROOT = Path(__file__).parents[2]
TITLE = bytes.fromhex("4C41420000000001")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default data directory is relative."""
    monkeypatch.chdir(tmp_path)


def problems_of(text: str) -> dict[str, str]:
    path = Path("gateway.toml")
    path.write_text(text, encoding="utf-8")
    try:
        load_settings(path, {}, {})
    except SettingsInvalid as error:
        places = {problem.where for problem in error.problems}
        return {place: "; ".join(one.message for one in error.problems if one.where == place) for place in places}
    return {}


REFUSED = [
    ('listen = "mqtt://host:1883/a/b"', "inbound.listen", "expected empty, or where to listen: tcp://host:port"),
    ('listen = "somewhere"', "inbound.listen", "expected empty, or where to listen"),
    ('login_pattern = "METER (.*)"', "inbound.login_pattern", "a regular expression with a group named title or name"),
    ('login_pattern = "METER (?P<title>"', "inbound.login_pattern", "a regular expression with a group"),
    ('login_answer = "\\u00fc"', "inbound.login_answer", "ASCII characters"),
    ('listen = "tcps://[::1]:1"', "inbound.certificate_file", "who listens with tcps shows a certificate"),
    ('key_file = "a"', "inbound.certificate_file", "go together"),
    ('require_client = true\nca_file = "a"', "inbound.require_client", "expected listen with tcps://"),
    ('ca_file = "a"', "inbound.ca_file", "expected require_client with it"),
    ("certificate_names_meter = true", "inbound.certificate_names_meter", "expected require_client with it"),
    ('keep_alive_answer = "PONG"', "inbound.keep_alive_answer", "expected keep_alive with it"),
    ('framing = "hdlc"\nwports_file = "a"', "inbound.wports_file", "HDLC has no wPorts"),
    (
        'listen = "tcp://[::1]:1"\nidentify_by_message = false\nlogin_pattern = ""',
        "inbound.listen",
        "expected a way to tell who calls: identify_by_message, login_pattern or wports_file",
    ),
    ('names_file = "missing.csv"', "inbound.names_file", "missing.csv: cannot be read (No such file or directory)"),
    ('wports_file = "missing.csv"', "inbound.wports_file", "missing.csv: cannot be read (No such file or directory)"),
]


@pytest.mark.parametrize(("text", "where", "message"), REFUSED)
def test_what_cannot_be_meant_is_refused_with_its_key(text: str, where: str, message: str) -> None:
    found = problems_of(f"[inbound]\n{text}\n")
    assert message in next((said for place, said in found.items() if where in place), str(found))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('brokers = "mqtt://host"', "hints.brokers"),
        ('brokers = "tcp://host:1"', "hints.brokers"),
        ('brokers = "mqtt://host:0"', "hints.brokers"),
        ('shared_group = "a/b"', "hints.shared_group"),
        ("push_interval_seconds = 0", "hints.push_interval_seconds"),
    ],
)
def test_hints_that_cannot_be_heard_are_refused(text: str, where: str) -> None:
    assert any(where in place for place in problems_of(f"[hints]\n{text}\n"))


def test_the_page_about_meters_that_call_in_names_settings_and_outcomes_that_there_are() -> None:
    page = (ROOT / "docs" / "inbound.md").read_text(encoding="utf-8")
    there_are = {setting.name for setting in all_settings() if setting.name.startswith(("inbound.", "hints."))}
    named = set(re.findall(r"`((?:inbound|hints)\.[a-z_]+)`", page))
    assert named <= there_are
    assert there_are - named == {"inbound.listen"}  # which stands in the examples
    outcomes = re.search(r"`stsgate_hints_total\{outcome\}` \((.*?)\)", page, re.DOTALL)
    assert outcomes is not None
    assert re.findall(r"`([a-z-]+)`", outcomes[1]) == list(HintOutcome)


def test_brokers_are_named_as_their_meters_endpoints_name_them() -> None:
    first, second = brokers("mqtt://broker:1883  mqtts://[::1]:8883")
    assert (first.scheme, first.authority, second.scheme, second.authority) == (
        *("mqtt", "broker:1883"),
        *("mqtts", "[::1]:8883"),
    )


def test_certificates_that_do_not_fit_are_said_before_the_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, two = authority.issue("one"), authority.issue("two")
    text = f'[inbound]\nlisten = "tcps://[::1]:1"\ncertificate_file = "{one.certificate}"\nkey_file = "{two.key}"\n'
    (message,) = problems_of(text).values()
    assert "certificate and key do not belong together" in message
    assert problems_of(text.replace(two.key, one.key)) == {}


def test_tables_are_read_with_comments_blanks_and_titles_in_any_case() -> None:
    Path("names.csv").write_text("# modems of the north\n\nmodem-7, 4c41420000000001\n'; drop,4C41420000000002\n")
    assert read_names("names.csv") == {"modem-7": TITLE, "'; drop": bytes.fromhex("4C41420000000002")}
    Path("wports.csv").write_text("300,4C41420000000001\n")
    assert read_wports("wports.csv") == {300: TITLE}
    section = InboundSection(
        login_pattern="MODEM (?P<name>.*)", names_file="names.csv", wports_file="wports.csv", keep_alive="PING\r\n"
    )
    words = inbound_settings(section).words
    caller = FirstReader(words).receive(b"PING\r\n" + login_line("MODEM modem-7"))
    assert caller is not None
    assert caller.title == TITLE
    assert words.wports == {300: TITLE}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modem-7,4C4142000000000\n", "line 1: expected two columns, a name and 16 hexadecimal digits"),
        ("modem-7\n", "line 1: expected two columns"),
        ("# x\nmodem-7,4C41420000000001,more\n", "line 2: expected two columns"),
        ("a,4C41420000000001\na,4C41420000000002\n", "line 2: its first column stands there twice"),
        ("\xff", "expected a CSV file in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_line(text: str, message: str) -> None:
    Path("names.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingError, match=message):
        read_names("names.csv")


@pytest.mark.parametrize("name", ["65536", "-1", "x", "1.0", "\u0661"])
def test_a_wport_is_a_number_of_two_bytes(name: str) -> None:
    Path("wports.csv").write_text(f"{name},4C41420000000001\n", encoding="utf-8")
    with pytest.raises(SettingError, match="entry 1: expected a wPort, 0 to 65535"):
        read_wports("wports.csv")
