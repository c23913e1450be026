"""``stsgate check-config``: all that is wrong at once, or what differs from the defaults."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import main
from gateway.settings.sections import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STSGATE_")]:
        monkeypatch.delenv(name)


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["check-config", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def written(text: str) -> str:
    Path("gateway.toml").write_text(text, encoding="utf-8")
    return "gateway.toml"


def test_the_file_that_comes_with_the_project_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "config" / "gateway.toml")
    assert check(capsys, "--config", path) == (0, f"{path}: good; no settings differ from the defaults\n", "")


def test_without_a_file_defaults_and_environment_are_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STSGATE_RETENTION_DAYS", "90")
    code, out, _ = check(capsys)
    assert code == 0
    assert out.splitlines() == [
        "retention.days = 90",
        "defaults and environment: good; 1 setting differs from the defaults",
    ]


def test_everything_wrong_is_said_at_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STSGATE_LOG_LEVEL", "loud")
    monkeypatch.setenv("STSGATE_BOOTSTRAP_API_KEY", "guess-me")
    path = written('[service]\nhttp = "0.0.0.0:80"\n[retention]\ndays = -1\nyears = 2\n')
    code, out, err = check(capsys, "--config", path)
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "retention.years: no such setting",
        "retention.days: expected a whole number from 0 to 36500",
        "STSGATE_LOG_LEVEL: expected one of debug, info, warning, error",
        "service.http: 0.0.0.0 can be reached from outside: expected tls_certificate and tls_key, or insecure",
        "STSGATE_BOOTSTRAP_API_KEY: expected 24 to 200 printable ASCII characters without blanks",
        "gateway.toml: 5 problems",
    ]
    assert "guess-me" not in out


def test_programs_get_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = check(capsys, "--json", "--config", written("[api]\nrequests_burst = 5\n"))
    shown: Any = json.loads(out)
    assert (code, shown["valid"], shown["changed"]) == (0, True, {"api.requests_burst": 5})
    assert Settings.model_validate(shown["settings"]).api.requests_burst == 5
    code, out, _ = check(capsys, "--json", "--config", written("[api]\nrequests_burst = 0\n"))
    assert code == 1
    assert json.loads(out) == {
        "valid": False,
        "problems": [{"where": "api.requests_burst", "message": "expected a whole number from 1 to 1000000"}],
    }


def test_a_file_that_is_not_there_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(capsys, "--config", "missing.toml") == (
        1,
        "missing.toml: cannot be read (No such file or directory)\nmissing.toml: 1 problem\n",
        "",
    )


def test_nothing_is_changed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert check(capsys)[0] == 0
    assert list(tmp_path.iterdir()) == []
