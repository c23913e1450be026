"""Settings: every layer covers the one below, everything wrong is said at once, and no value is repeated."""

from __future__ import annotations

import json
import os
import re
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http_address import is_loopback, join_http_address, split_http_address
from gateway.settings.checks import tls_context
from gateway.settings.loading import OPTIONS, OTHER_VARIABLES, Setting, SettingsInvalid, all_settings, load_settings
from gateway.settings.sections import Settings
from tests.gateway.certificates import make_certificate

ROOT = Path(__file__).parents[2]
FILE = ROOT / "config" / "gateway.toml"
ALL = list(all_settings())
TOKEN = "1234 5678 9012 3456 7890"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default data directory is relative."""
    monkeypatch.chdir(tmp_path)


def value_of(settings: Settings, key: str) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)


def problems_of(
    text: str | None = None, environment: Mapping[str, str] | None = None, overrides: Mapping[str, object] | None = None
) -> dict[str, str]:
    """What is wrong, by place."""
    path = None
    if text is not None:
        path = Path("gateway.toml")
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid) as raised:
        load_settings(path, environment or {}, overrides or {})
    found = {problem.where: problem.message for problem in raised.value.problems}
    assert len(found) == len(raised.value.problems)
    assert str(raised.value) == "; ".join(map(str, raised.value.problems))
    return found


OWN_FORMS = {
    "inbound.listen": "tcp://127.0.0.1:4060",
    "inbound.login_pattern": "METER (?P<title>.*)",
    "hints.brokers": "mqtt://127.0.0.1:1883 mqtts://[::1]:8883",
}


def another(setting: Setting) -> tuple[str, object]:
    """A value that this setting takes and that is not its default: as a text, and as it is meant."""
    default = setting.default
    if isinstance(default, bool):
        return str(not default).lower(), not default
    if setting.name == "service.http":
        return "[::1]:9000", "[::1]:9000"
    if setting.name in OWN_FORMS:
        return OWN_FORMS[setting.name], OWN_FORMS[setting.name]
    if setting.expected.startswith("one of"):
        word = setting.expected.rpartition(" ")[2]
        return word, word
    if isinstance(default, str):
        return "other", "other"
    if setting.name == "delivery.campaign_share":
        return "0.5", 0.5
    value = type(default)(default + 1)
    return str(value), value


# Layers.


def test_without_a_file_everything_is_at_its_default() -> None:
    settings = load_settings(None, {}, {})
    assert settings == Settings()
    assert {setting.name: value_of(settings, setting.name) for setting in ALL} == {s.name: s.default for s in ALL}


NOT_ALONE = {
    *("service.tls_certificate", "service.tls_key", "database.url"),
    *("inbound.require_client", "inbound.certificate_names_meter", "inbound.keep_alive_answer"),
} | {setting.name for setting in ALL if setting.name.endswith("_file") and setting.name != "service.key_file"}
"""Settings for which no other value is right by itself."""


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.name)
def test_every_setting_can_be_set_in_the_environment(setting: Setting) -> None:
    text, value = another(setting)
    if setting.name in NOT_ALONE:
        assert problems_of(environment={setting.variable: text})
        return
    settings = load_settings(None, {setting.variable: text}, {})
    assert value_of(settings, setting.name) == value
    assert type(value_of(settings, setting.name)) is type(setting.default)
    others = [other.name for other in ALL if value_of(settings, other.name) != other.default]
    assert others == [setting.name]


def test_no_two_settings_share_a_variable_and_none_has_another_meaning() -> None:
    variables = [setting.variable for setting in ALL]
    assert len(set(variables)) == len(variables)
    assert not set(variables) & set(OTHER_VARIABLES)


def test_the_environment_covers_the_file_and_an_option_covers_both() -> None:
    Path("gateway.toml").write_text('[service]\nhttp = "127.0.0.1:1"\ndrain_seconds = 1\n[log]\nlevel = "error"\n')
    environment = {"STSGATE_SERVICE_HTTP": "127.0.0.1:2", "STSGATE_LOG_LEVEL": "debug"}
    settings = load_settings(Path("gateway.toml"), environment, {"service.http": "127.0.0.1:3"})
    assert (settings.service.http, settings.log.level, settings.service.drain_seconds) == ("127.0.0.1:3", "debug", 1)


def test_what_is_covered_need_not_be_right() -> None:
    Path("gateway.toml").write_text('[service]\nhttp = "nowhere"\n')
    settings = load_settings(Path("gateway.toml"), {}, {"service.http": "127.0.0.1:3"})
    assert settings.service.http == "127.0.0.1:3"


def test_variables_of_other_programs_do_not_disturb() -> None:
    environment = {"STSGATE_API_KEY": "k", "STSGATE_BOOTSTRAP_API_KEY": "b" * 24, "STSGATE": "x", "PATH": "/bin"}
    environment |= {"STSGATE_PEERS_PYTHON": "/usr/bin/python3", "STSGATE_WEBHOOK_SECRET": "w"}
    assert load_settings(None, environment, {}) == Settings()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("STSGATE_DELIVERY_IN_FLIGHT", "STSGATE_DELIVERY_IN_FLIGHT_MAX"),
        ("STSGATE_DELIVRY_IN_FLIGHT_MAX", "STSGATE_DELIVERY_IN_FLIGHT_MAX"),
        ("STSGATE_SERVICE_DATADIR", "STSGATE_SERVICE_DATA_DIR"),
        ("STSGATE_BOOTSTRAP_APIKEY", "STSGATE_BOOTSTRAP_API_KEY"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(variable: str, meant: str) -> None:
    assert problems_of(environment={variable: "1"}) == {variable: f"no such setting; did you mean {meant}?"}


# The file that comes with the project.


def commented_file() -> dict[str, tuple[str, object]]:
    """For each key of the file: the comment above it, and its value."""
    found: dict[str, tuple[str, object]] = {}
    values = tomllib.loads(FILE.read_text(encoding="utf-8"))
    section, comment = "", []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif line.startswith("["):
            section = line.strip("[]")
        elif " = " in line:
            name = line.partition(" ")[0]
            found[f"{section}.{name}"] = (" ".join(comment), values[section][name])
        if not line.startswith("#"):
            comment = []
    return found


def test_the_commented_file_shows_every_setting_at_its_default_and_nothing_else() -> None:
    shown = {key: (comment, value, type(value)) for key, (comment, value) in commented_file().items()}
    assert shown == {s.name: (s.description, s.default, type(s.default)) for s in ALL}
    assert list(shown) == [setting.name for setting in ALL]
    assert load_settings(FILE, {}, {}) == Settings()


def documented(setting: Setting) -> str:
    """Its row in the documentation."""
    default = json.dumps(setting.default) if setting.default != "" else "empty"
    return f"| `{setting.name}` | {default} | {setting.expected} | {setting.description} |"


def test_the_documentation_lists_every_setting_with_its_default_and_limits() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = "|".join(Settings.model_fields)
    rows = [line for line in text.splitlines() if re.match(rf"\| `({sections})\.", line)]
    assert rows == [documented(setting) for setting in ALL]


# Everything wrong, at once.


def test_all_problems_of_all_layers_are_said_at_once() -> None:
    found = problems_of(
        """
        [delivery]
        in_flight_max = 0
        campaign_share = "much"
        first_wait_seconds = 100.0
        longest_wait_seconds = 10.0
        frist_wait_seconds = 3
        [links]
        drain_seconds = 3
        [logs]
        level = "info"
        [metrics]
        open = 1
        """,
        {
            "STSGATE_LOG_FORMAT": "xml",
            "STSGATE_RETENTION_DAYS": "never",
            "STSGATE_DELIVRY_IN_FLIGHT_MAX": "3",
            "STSGATE_WEBHOOKS_TIMEOUT_SECONDS": "nan",
        },
        {"service.http": "0.0.0.0:8321", "database.url": "postgresql://somebody:secret@host/db"},
    )
    assert found == {
        "delivery.in_flight_max": "expected a whole number from 1 to 20000",
        "delivery.campaign_share": "expected a number above 0, at most 1",
        "delivery.longest_wait_seconds": "expected at least the first wait, 100",
        "delivery.frist_wait_seconds": "no such setting; did you mean first_wait_seconds?",
        "links.drain_seconds": "no such setting; it belongs into [service]",
        "logs": "no such section; did you mean log?",
        "metrics.open": "expected true or false",
        "STSGATE_LOG_FORMAT": "expected one of text, json",
        "STSGATE_RETENTION_DAYS": "expected a whole number from 0 to 36500",
        "STSGATE_DELIVRY_IN_FLIGHT_MAX": "no such setting; did you mean STSGATE_DELIVERY_IN_FLIGHT_MAX?",
        "STSGATE_WEBHOOKS_TIMEOUT_SECONDS": "expected a number above 0, at most 300",
        "--http": "0.0.0.0 can be reached from outside: expected tls_certificate and tls_key, or insecure",
        "--database": "PostgreSQL is not supported yet; leave it empty for SQLite in data_dir",
    }


def test_what_is_wrong_by_itself_is_not_compared_with_others() -> None:
    found = problems_of('[delivery]\nfirst_wait_seconds = 100000\nlongest_wait_seconds = "long"\n')
    assert found == {"delivery.longest_wait_seconds": "expected a number above 0, at most 2592000"}


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: setting.name)
def test_every_setting_refuses_a_value_of_another_kind(setting: Setting) -> None:
    section, _, name = setting.name.partition(".")
    for wrong in ("[1]", "{}", '"5"' if not isinstance(setting.default, str) else "5", "1979-05-27"):
        assert list(problems_of(f"[{section}]\n{name} = {wrong}\n")) == [setting.name]


NUMBERS = [setting for setting in ALL if type(setting.default) in (int, float)]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_every_number_has_limits_at_both_ends(setting: Setting) -> None:
    for wrong in ("-1", "1e30", "nan", "inf", "99999999999999999999"):
        found = problems_of(environment={setting.variable: wrong})
        assert found[setting.variable] == f"expected {setting.expected}"
    limits = re.findall(r"\d+(?:\.\d+)?", setting.expected)
    assert len(limits) == 2
    section, _, name = setting.name.partition(".")
    most = float(limits[1])
    assert setting.name in problems_of(
        f"[{section}]\n{name} = {most + 1 if '.' in str(setting.default) else int(most) + 1}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[service\n", "is no TOML: "),
        ("a = 1\na = 2\n", "is no TOML: "),
        ("x" * (1 << 20) + "y", "is no TOML: expected at most 1048576 octets"),
    ],
)
def test_a_file_that_is_no_toml_is_said_with_the_place(text: str, message: str) -> None:
    found = problems_of(text, {"STSGATE_LOG_LEVEL": "x"})
    assert list(found) == ["gateway.toml", "STSGATE_LOG_LEVEL"]
    assert found["gateway.toml"].startswith(message)


def test_a_file_that_cannot_be_read_is_said() -> None:
    for path, message in ((Path("missing.toml"), "No such file"), (Path(), "Is a directory")):
        with pytest.raises(SettingsInvalid) as raised:
            load_settings(path, {}, {})
        assert message in str(raised.value)
    Path("latin.toml").write_bytes(b'[service]\nhttp = "\xe4"\n')
    with pytest.raises(SettingsInvalid, match=r"latin\.toml: expected TOML in UTF-8"):
        load_settings(Path("latin.toml"), {}, {})


def test_a_section_that_is_no_table_is_said() -> None:
    assert problems_of("service = 5\n") == {"service": "expected a table, [service]"}
    assert problems_of("[[service]]\n") == {"service": "expected a table, [service]"}


def test_no_value_is_repeated_and_no_secret_in_a_name() -> None:
    secret = "a-very-secret-word"
    found = problems_of(
        f'[log]\nlevel = "{secret}"\n"{TOKEN}" = 1\n[service]\nhttp = "{secret}"\n'
        f'[database]\nurl = "postgres://u:{secret}@h"\n'
    )
    said = str(found)
    assert len(found) == 4
    assert secret not in said
    assert "7890" in said
    assert TOKEN not in said


@given(st.text(max_size=200))
def test_any_text_is_settings_or_is_refused_with_a_reason(text: str) -> None:
    path = Path("any.toml")
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        problems = [] if load_settings(path, {}, {}) else None
    except SettingsInvalid as error:
        problems = [(problem.where, problem.message) for problem in error.problems]
    assert problems is not None
    assert all(where and message for where, message in problems)


# What this machine says to them.


def test_a_data_directory_must_be_one_or_become_one() -> None:
    Path("file").write_text("")
    found = problems_of(overrides={"service.data_dir": "file/below"})
    assert found["--data-dir"].startswith("expected a directory; ")
    found = problems_of(environment={"STSGATE_SERVICE_DATA_DIR": "/proc/stsgate"})
    assert "/proc/stsgate cannot be made: /proc is not writable (" in found["STSGATE_SERVICE_DATA_DIR"]
    assert load_settings(None, {}, {"service.data_dir": "deep/below"}).service.data_dir == "deep/below"
    assert not Path("deep").exists()


def test_a_key_file_that_others_can_open_or_that_holds_no_key_is_refused() -> None:
    key = Path("kek")
    key.write_text("00" * 32)
    key.chmod(0o640)
    found = problems_of('[service]\nkey_file = "kek"\n')
    assert list(found) == ["service.key_file"]
    assert "chmod 600 kek" in found["service.key_file"]
    key.chmod(0o600)
    assert load_settings(Path("gateway.toml"), {}, {}).service.key_file == "kek"
    key.write_text("secret word")
    (message,) = problems_of('[service]\nkey_file = "kek"\n').values()
    assert "secret word" not in message
    assert problems_of('[service]\nkey_file = "."\n')["service.key_file"]


def test_certificate_and_key_must_be_there_and_belong_together() -> None:
    make_certificate("one")
    make_certificate("two")
    right = '[service]\nhttp = "0.0.0.0:8321"\ntls_certificate = "one.pem"\ntls_key = "one.key"\n'
    Path("gateway.toml").write_text(right)
    settings = load_settings(Path("gateway.toml"), {}, {})
    assert isinstance(tls_context(settings), ssl.SSLContext)
    found = problems_of(right, {"STSGATE_SERVICE_TLS_KEY": "two.key"})
    assert found == {"STSGATE_SERVICE_TLS_KEY": "one.pem and two.key: do not belong together"}
    found = problems_of(right, {"STSGATE_SERVICE_TLS_KEY": "missing.key"})
    assert found == {"STSGATE_SERVICE_TLS_KEY": "missing.key cannot be read by this user"}
    assert list(problems_of(right, {"STSGATE_SERVICE_TLS_KEY": ""})) == ["STSGATE_SERVICE_TLS_KEY"]
    found = problems_of(right, {"STSGATE_SERVICE_TLS_KEY": "one.pem"})
    assert "expected PEM files" in found["service.tls_key" if "service.tls_key" in found else "STSGATE_SERVICE_TLS_KEY"]


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:8321", "127.0.0.1", 8321), ("[::1]:0", "::1", 0), ("meters.example:65535", "meters.example", 65535)],
)
def test_an_address_has_a_host_and_a_port(address: str, host: str, port: int) -> None:
    assert split_http_address(address) == (host, port)
    assert join_http_address(host, port) == address


@pytest.mark.parametrize(
    "address", ["", "8321", ":8321", "::1:8321", "127.0.0.1", "127.0.0.1:", "h:65536", "h:-1", "h:٣", "[h]:1", "a b:1"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_http_address(address)


def test_only_addresses_that_nobody_else_reaches_are_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org")))  # noqa: S104


def test_options_name_settings() -> None:
    assert set(OPTIONS) <= {setting.name for setting in ALL}
    assert os.environ.get("STSGATE_SERVICE_HTTP") is None
