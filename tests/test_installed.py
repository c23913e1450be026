"""The program as it is installed: from a wheel, in an environment where the source tree does not exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cosem_objects", "transports", "gateway", "sim_meters")
TIMEOUT_SECONDS = 120

LIBRARIES = sysconfig.get_paths()["purelib"]
"""Where the dependencies are. On PYTHONPATH its .pth files do not count, so the source tree does not come with it."""


def run(command: Sequence[str], cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PIP_"))}
    return subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], ROOT)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel and nothing else; its ``bin``."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    done = run([*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)], folder)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A directory without anything, least of all packages that could be imported from it."""
    assert not list(tmp_path.iterdir())
    return tmp_path


def command(installed: Path, name: str, *arguments: str) -> list[str]:
    return [str(installed / name), *arguments]


def _names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as file:
        return set(file.namelist())


def test_the_wheel_holds_the_packages_their_data_and_the_licence(wheel: Path) -> None:
    names = _names(wheel)
    profiles = {f"config/meter_profiles/{path.name}" for path in (ROOT / "config" / "meter_profiles").glob("*.toml")}
    assert profiles
    assert profiles <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    sources = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    (licence,) = (name for name in names if name.endswith("/LICENSE"))
    assert re.fullmatch(r"stsgate-[^/]+\.dist-info/licenses/LICENSE", licence)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, no vectors, no notes, nothing compiled."""
    tops = {name.partition("/")[0] for name in _names(wheel)}
    (information,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {*PACKAGES, "config", information}
    assert not [name for name in _names(wheel) if "test" in name or "__pycache__" in name or name.endswith(".pyc")]


def test_the_wheel_says_what_it_needs_and_which_commands_it_brings(wheel: Path) -> None:
    with ZipFile(wheel) as file:
        (metadata,) = (file.read(name).decode() for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        (commands,) = (file.read(name).decode() for name in file.namelist() if name.endswith("/entry_points.txt"))
    assert "Requires-Python: >=3.11" in metadata
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra" not in line]
    assert [re.match(r"Requires-Dist: ([\w-]+)", line)[1] for line in needed] == NEEDED  # type: ignore[index]
    assert "stsgate = gateway.__main__:main" in commands
    assert "simmeters = sim_meters.__main__:main" in commands


NEEDED = ["aiohttp", "cryptography", "gmqtt", "prometheus-client", "pydantic", "serialx", "tzdata"]

WHERE = f"""
import importlib, json, sys
modules = {{name: importlib.import_module(name).__file__ for name in {PACKAGES!r}}}
print(json.dumps({{"modules": modules, "path": sys.path}}))
"""


def test_the_source_tree_is_out_of_reach(installed: Path, empty: Path) -> None:
    """Else the other tests here would prove nothing."""
    done = run(command(installed, "python", "-c", WHERE), empty, PYTHONPATH=LIBRARIES)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for name, file in said["modules"].items():
        assert Path(file).is_relative_to(installed.parent), name
    for place in said["path"]:
        assert not (Path(place or empty) / "pyproject.toml").exists(), place


def test_the_demo_plays_all_its_scenes(installed: Path, empty: Path) -> None:
    done = run(command(installed, "stsgate", "demo", "--exit"), empty, PYTHONPATH=LIBRARIES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 12 scenes ended as they must" in done.stdout
    assert done.stdout.count("LAB LAB LAB") >= 2
    assert done.stderr == ""
    assert not list(empty.iterdir())
    for text in (done.stdout, done.stderr):
        assert not re.search(r"(?<!\d)\d{20}(?!\d)", text.replace(" ", "").replace("-", "")), "a whole token"


def test_the_profiles_come_with_it(installed: Path, empty: Path) -> None:
    """Nobody listens at port 1 of this machine; a profile that is not found is wrong usage (2), nobody there is 3."""
    options = ["--endpoint", "tcp://127.0.0.1:1", "--token", "48643202781314010686"]
    for profile, code in (("default", 3), ("sim", 3), ("nowhere", 2)):
        done = run(
            command(installed, "stsgate", "deliver", *options, "--profile", profile), empty, PYTHONPATH=LIBRARIES
        )
        assert done.returncode == code, done.stderr


# Names that users rely on; architecture.md, "Names fixed for everybody".
SECRET_OPTIONS = [f"--{name}{source}" for name in ("password", "ek", "ak") for source in ("", "-file")]
SHARED_OPTIONS = [
    *("--client-sap", "--server-sap", "--physical", "--address-bytes", "--security", "--suite", "--ciphering"),
    *("--protection", "--system-title", "--profile", "--token-encoding", *SECRET_OPTIONS),
]
KEY_OPTIONS = [
    *("--pan", "--vending-key", "--vending-key-file", "--decoder-key", "--decoder-key-file", "--dkga", "--ea", "--sgc"),
    *("--ti", "--krn", "--kt", "--base-date"),
]
HELP: Mapping[str, tuple[list[str], list[str]]] = {
    "stsgate": (["stsgate"], ["demo", "serve", "push", "orders", "meters", "links", "backup", "deliver", "--version"]),
    "stsgate demo": (["stsgate", "demo"], ["--exit", "LAB"]),
    "stsgate deliver": (
        ["stsgate", "deliver"],
        [
            *("--endpoint", "--token", "--amount", "--unit", "--after-doubt", "--json", "--invocation-counter"),
            *("--meter-system-title", "--serial", "--pan", "--token-file", "Exit code", *SHARED_OPTIONS),
            *("--trace", "--trace-secrets", "--behind", "--hdlc-window"),
        ],
    ),
    "stsgate readback": (
        ["stsgate", "readback"],
        ["--list", "--attribute", "--log", "--from", "--to", "--last", "--json", "--trace", "Exit code"],
    ),
    "stsgate dlms": (["stsgate", "dlms"], ["decode", "transfer-key"]),
    "stsgate dlms decode": (
        ["stsgate", "dlms", "decode"],
        ["--file", "--binary", "--as", "--class", "--attribute", "--dedicated-key", "--show-secrets", "Exit code"],
    ),
    "stsgate dlms transfer-key": (
        ["stsgate", "dlms", "transfer-key"],
        ["--new-ek-file", "--new-ak-file", "--master-key-file", "--pending", "--prove", "--json", "Exit code"],
    ),
    "simmeters": (["simmeters"], ["run", "sts"]),
    "simmeters run": (
        ["simmeters", "run"],
        [
            *("--listen", "--meters", "--currency", "--status-delay", "--hdlc-info-max", "--state-dir", "--seed"),
            *("--manufactured", "--fault", *SHARED_OPTIONS, *KEY_OPTIONS),
            *("--trace", "--behind", "--hdlc-window", "--hdlc-push", "--debt", "--master-key", "--pdu-max"),
            *("--commodity", "--emergency-credit", "--ken", "--sts-setting"),
        ],
    ),
    "simmeters sts": (["simmeters", "sts"], ["key", "encode", "decode", "verify-vectors"]),
    "simmeters sts key": (["simmeters", "sts", "key"], ["--json", *KEY_OPTIONS]),
    "simmeters sts encode credit": (
        ["simmeters", "sts", "encode", "credit"],
        ["--amount", "--unit", "--issued-at", "--tid", "--rnd", "--json", *KEY_OPTIONS],
    ),
    "simmeters sts encode": (["simmeters", "sts", "encode"], ["credit", "power-limit", "test", "key-change"]),
    "simmeters sts encode key-change": (
        ["simmeters", "sts", "encode", "key-change"],
        ["--new-krn", "--new-base-date", "--new-ken", "--rollover", "--sections", "--show-key", *KEY_OPTIONS],
    ),
    "simmeters sts decode": (["simmeters", "sts", "decode"], ["--json", "--ken", *KEY_OPTIONS]),
    "simmeters sts verify-vectors": (["simmeters", "sts", "verify-vectors"], ["FILE", "--json"]),
}


@pytest.mark.parametrize(("words", "named"), HELP.values(), ids=HELP)
def test_help_names_every_option(installed: Path, empty: Path, words: list[str], named: list[str]) -> None:
    done = run([*command(installed, *words), "--help"], empty, PYTHONPATH=LIBRARIES, COLUMNS="100")
    assert (done.returncode, done.stderr) == (0, "")
    missing = [name for name in named if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", done.stdout)]
    assert not missing


def test_the_installed_translator_reads_a_message(installed: Path, empty: Path) -> None:
    done = run([*command(installed, "stsgate", "dlms", "decode"), "D8010601234567"], empty, PYTHONPATH=LIBRARIES)
    assert (done.returncode, done.stderr) == (0, "")
    assert "invocation-counter-error" in done.stdout
    assert "19088743" in done.stdout


@pytest.mark.parametrize("module", ["gateway", "sim_meters"])
def test_the_commands_can_be_called_as_modules(installed: Path, empty: Path, module: str) -> None:
    done = run(command(installed, "python", "-m", module, "--help"), empty, PYTHONPATH=LIBRARIES)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: {'stsgate' if module == 'gateway' else 'simmeters'} ")


def test_the_version_is_the_wheels(wheel: Path, installed: Path, empty: Path) -> None:
    version = wheel.name.split("-")[1]
    for words in (["stsgate"], ["python", "-m", "gateway"]):
        done = run([*command(installed, *words), "--version"], empty, PYTHONPATH=LIBRARIES)
        assert (done.returncode, done.stdout) == (0, f"stsgate {version}\n")
