"""What goes with the program onto a machine: systemd unit, Dockerfile. They agree with settings and commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from gateway.__main__ import main
from gateway.settings.loading import all_settings, load_settings
from gateway.settings.sections import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "config" / "stsgate.service"
VARIABLES = {setting.variable for setting in all_settings()}
WEBHOOKS_AND_API_SECONDS = 10 + 5
"""What may come after the drain: webhooks that are being called, requests that are being answered."""


def unit() -> dict[str, list[str]]:
    """Each key of the unit with all of its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    number, _, name = re.sub(r"(\d)([a-z])", r"\1 \2", text).partition(" ")
    return float(number) * {"": 1, "s": 1, "min": 60}[name]


def dockerfile() -> list[tuple[str, str]]:
    """Instruction and argument, line by line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in dockerfile() if word == instruction]


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


# systemd.


def test_the_unit_starts_a_command_that_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    program, command, *options = shlex.split(unit()["ExecStart"][0])
    assert (program, command) == ("/opt/stsgate/bin/stsgate", "serve")
    assert options == ["--config", "/etc/stsgate/gateway.toml"]
    assert "--config FILE" in help_of("serve", capsys)


def test_the_unit_sets_settings_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = dict(text.split("=", 1) for text in unit()["Environment"])
    assert environment.keys() <= VARIABLES
    state = f"/var/lib/{unit()['StateDirectory'][0]}"
    assert environment == {"STSGATE_SERVICE_DATA_DIR": state}
    here = {**environment, "STSGATE_SERVICE_DATA_DIR": str(tmp_path)}
    assert load_settings(None, here, {}).service.data_dir == str(tmp_path)


def test_the_unit_waits_longer_than_the_service_drains() -> None:
    found = unit()
    drain = Settings().service.drain_seconds
    assert seconds(found["TimeoutStopSec"][0]) >= drain + WEBHOOKS_AND_API_SECONDS
    assert found["Type"] == ["notify"]
    assert seconds(found["WatchdogSec"][0]) > 2 * Settings().health.loop_lag_seconds_max


def test_the_unit_restarts_after_a_crash_and_not_for_wrong_settings() -> None:
    found = unit()
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["2"]
    assert "-HUP $MAINPID" in found["ExecReload"][0]


def test_the_unit_allows_as_many_files_as_there_are_meters() -> None:
    assert int(unit()["LimitNOFILE"][0]) > 2 * Settings().delivery.in_flight_max


def test_the_unit_is_one_to_systemd_where_there_is_systemd(tmp_path: Path) -> None:
    program = tmp_path / "stsgate"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text(encoding="utf-8").replace("/opt/stsgate/bin/stsgate", str(program))
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    assert re.findall(r"^\[(\w+)\]$", text, re.MULTILINE) == ["Unit", "Service", "Install"]
    verify = shutil.which("systemd-analyze")
    if verify is not None:
        done = subprocess.run([verify, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")


# Docker.


def test_the_image_holds_all_packages_and_nothing_else_is_sent_to_the_builder() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {name for line in arguments("COPY") if "--from" not in line for name in line.split()[:-1]}
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert copied == {*packages, "pyproject.toml", "README.md", "LICENSE", "requirements/run.lock"}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    for name in copied:
        assert (ROOT / name).exists()


def test_the_image_runs_the_service_without_rights_on_its_volume() -> None:
    assert [json.loads(word) for word in (*arguments("ENTRYPOINT"), *arguments("CMD"))] == [["stsgate"], ["serve"]]
    assert arguments("USER") == ["stsgate"]
    environment = dict(re.findall(r"(STSGATE_\w+)=(\S+)", " ".join(arguments("ENV"))))
    assert environment.keys() <= VARIABLES
    assert environment["STSGATE_SERVICE_DATA_DIR"] == arguments("VOLUME")[0] == "/data"
    port = environment["STSGATE_SERVICE_HTTP"].rpartition(":")[2]
    assert arguments("EXPOSE") == [port]
    assert [word for word, _ in dockerfile()].index("USER") < [word for word, _ in dockerfile()].index("ENTRYPOINT")


def test_the_image_is_asked_for_its_health_by_a_program_that_is_in_it() -> None:
    (line,) = arguments("HEALTHCHECK")
    program, option, code = json.loads(line.partition("CMD ")[2])
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert "127.0.0.1:8321/healthz" in code


def test_the_image_names_no_package_index_and_installs_what_is_locked() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://(?!127\.0\.0\.1)", text.replace("http{s}", ""))
    assert "--require-hashes -r requirements/run.lock" in text
    assert "--no-deps" in text
