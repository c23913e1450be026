"""``simmeters scenario``: what it prints, writes and returns; and the same cases on a meter that is there already."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from sim_meters.__main__ import main
from sim_meters.scenario.model import schema
from sim_meters.scenario.plan import read_plan
from tests.sim_meters.meter_client import AK, EK, METER_TITLE, TIMEOUT_SECONDS, free_ports, running
from tests.sim_meters.scenarios import HEAD, ROOT, SHIPPED, a_case, ran

TOKEN = 'do = "token"\ntoken = "t"\namount = 25.6'
ENTER = 'do = "enter"\ntoken = "t"\nexpect = { result = "accepted", balance_change = 25.6 }'
AGAIN = 'do = "enter"\ntoken = "t"\nexpect = { reason = "used" }'
GOOD = a_case(TOKEN, ENTER, name="good") + a_case(AGAIN, head="", name="again", more="keep = true")
BAD = a_case(TOKEN, AGAIN, name="bad")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["scenario", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.toml"


def test_all_passed_is_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    code, out, errors = run(capsys, str(file))
    lines = out.splitlines()
    assert (code, errors) == (0, "")
    assert lines[0] == "a test: 2 cases, seed 0"
    assert lines[1] == "case good"
    assert re.fullmatch(r" {4}1  token t …\d{4}: 25\.6 kWh for 600727000000000009, TID 6778830 .*", lines[2])
    assert re.fullmatch(r"a test: 2 passed, in \d+\.\d\d s", lines[-1])


def test_one_failed_is_1_and_both_reports_are_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + BAD.replace(HEAD, ""))
    junit, report = file.with_suffix(".xml"), file.with_suffix(".json")
    code, out, _ = run(capsys, str(file), "--seed", "42", "--junit", str(junit), "--json", str(report))
    assert code == 1
    assert "FAILED: bad: step 2 (enter): reason: expected used; found nothing" in out
    suite = Xml.parse(junit).getroot()[0]  # noqa: S314 - it is our own
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
    assert properties["seed"] == "42"
    assert properties["clock"] == "virtual, from 2026-11-21T12:30:00Z"
    assert properties["python"] == ".".join(map(str, sys.version_info[:3]))
    assert properties["stsgate"]
    assert json.loads(report.read_text())["counts"] == {"passed": 2, "failed": 1, "error": 0, "skipped": 0}


def test_a_file_that_cannot_be_used_is_2_and_nothing_is_written(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD.replace("accepted", "ok"))
    junit = tmp_path / "report.xml"
    assert main(["scenario", str(file), "--junit", str(junit)]) == 2
    assert not junit.exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "expected FILE, a scenario"),
        (
            ("credits",),
            f"expected {', '.join(path.stem for path in SHIPPED)} or a file; got 'credits'",
        ),
        (("no/credit",), "no/credit: cannot be read: No such file"),
        (("FILE", "--seed", "x"), "--seed: expected a whole number"),
        (("FILE", "--case", "x"), "--case: there is no case 'x'"),
        (("FILE", "--meters", "nowhere.toml"), "nowhere.toml: cannot be read"),
        (("FILE", "--junit", "no/such/folder/x.xml"), "--junit: no/such/folder/x.xml cannot be written"),
        (("FILE", "--json", "no/such/folder/x"), "--json: no/such/folder/x cannot be written"),
        (("FILE", "--trace", "FILE"), "--trace: "),
        (("FILE", "--mqtt-topic-root", "a/#"), "mqtt-topic-root: expected levels"),
        (("FILE", "--sead", "1"), "unknown option or argument --sead"),
    ],
)
def test_wrong_usage_is_2_and_one_sentence(
    options: tuple[str, ...], expected: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(GOOD)
    code, out, errors = run(capsys, *(option.replace("FILE", str(file)) for option in options))
    assert (code, out) == (2, "")
    assert errors.startswith("simmeters scenario: ")
    assert expected in errors
    assert errors.count("\n") == 1


def test_cases_are_listed_and_chosen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD + BAD.replace(HEAD, ""))
    assert run(capsys, str(file), "--list") == (0, "good\nagain\nbad\n", "")
    code, out, _ = run(capsys, str(file), "--case", "good")
    assert code == 0
    assert re.findall(r"^case (.+)$", out, re.MULTILINE) == ["good"]
    _, out, _ = run(capsys, str(file), "--case", "again")
    assert re.findall(r"^case (.+)$", out, re.MULTILINE) == ["good", "again"]


def test_the_schema_is_printed_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--schema")
    assert code == 0
    assert json.loads(out) == schema()


def test_a_shipped_scenario_is_found_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "currency", "--list")
    assert code == 0
    assert "a credit that the account cannot hold is refused, and not used up\n" in out


def test_traces_go_into_a_folder_that_is_made(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GOOD)
    folder = tmp_path / "new" / "traces"
    assert run(capsys, str(file), "--trace", str(folder))[0] == 0
    assert [path.name for path in folder.iterdir()] == ["001-good-A.jsonl"]


# A meter that is there already.

SECURITY = f'security = {{ mechanism = "hls-gmac", ek = "{EK}", ak = "{AK}" }}\n'
LOOK = (
    'do = "expect"\nbalance_change = 25.6\nstatus_code = 6\ntoken = "t"\n'
    'delivery = "remote"\nswitch = "connected"\nsts = { krn = 1 }'
)
WRONG_KEY = 'do = "token"\ntoken = "wrong"\namount = 1\nkey = { sgc = "201458" }'
REFUSED = 'do = "enter"\ntoken = "wrong"\nexpect = { status_code = 5 }'
ON_ANY = a_case(
    *('do = "mark"', TOKEN, ENTER, AGAIN, LOOK, WRONG_KEY, REFUSED), head=HEAD + SECURITY, name="on any meter"
)


async def test_the_same_cases_run_on_a_meter_that_is_there_already(file: Path, tmp_path: Path) -> None:
    write(file, ON_ANY)
    simulated = await ran(read_plan(file, tmp_path))
    assert [case.message for case in simulated.cases] == [""]
    keys = ("--security", "hls-gmac", "--ek", EK, "--ak", AK, "--system-title", METER_TITLE)
    url = f"hdlc+tcp://127.0.0.1:{free_ports()}"
    others = tmp_path / "real.toml"
    table = f'[[meter]]\nname = "A"\nendpoint = "{url}"\nphysical = 17\nsystem_title = "{METER_TITLE}"\n'
    write(others, table + SECURITY)
    async with running("--listen", url, "--physical", "17", *keys) as process:
        real = await ran(read_plan(file, tmp_path, meters_path=others), trace_directory=tmp_path)
        _, log = await process.stop()
    assert [case.message for case in real.cases] == [""]
    assert [step.words for step in real.cases[0].steps] == [step.words for step in simulated.cases[0].steps]
    assert "action-request" in read(tmp_path / "001-on-any-meter-A.jsonl")
    assert log.count("status 3, accepted") == 1


def test_other_meters_stand_in_for_those_of_the_same_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = file.with_name("others.toml")
    write(file, GOOD)
    write(others, f'[[meter]]\nname = "A"\nendpoint = "tcp://127.0.0.1:{free_ports()}"\n')
    code, out, _ = run(capsys, str(file), "--meters", str(others))
    assert code == 1
    assert "FAILED: good: step 2 (enter): result: expected accepted; found unreached" in out


# Ending early.


SLEEPER = (
    'do = "run"\ncommand = ["sh", "-c", "echo $$ > pid.new; mv pid.new pid; sleep 600"]\nexpect = { exit_code = 0 }'
)
BEHIND = a_case('do = "expect"\nbalance = 0', head="", name="behind it", more="keep = true")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_run_that_is_stopped_reports_what_was_done(file: Path, number: signal.Signals) -> None:
    write(file, GOOD + a_case(SLEEPER, head="", name="sleeper") + BEHIND)
    junit = file.with_suffix(".xml")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim_meters", "scenario", str(file), "--junit", str(junit)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while (line := await process.stdout.readline()) != b"case sleeper\n":
                assert line, await process.communicate()
            await until(file.with_name("pid").exists)
            process.send_signal(number)
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, errors) == (1, b"")
    assert b"2 passed, 2 skipped" in out
    cases = list(Xml.fromstring(read(junit)).iter("testcase"))  # noqa: S314 - it is our own
    assert [next(child.tag for child in case) for case in cases] == ["system-out", "system-out", "skipped", "skipped"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(read(file.with_name("pid"))), 0)


async def until(is_so: Callable[[], bool]) -> None:
    while not is_so():  # noqa: ASYNC110 - nobody tells us of a file
        await asyncio.sleep(0.01)


def write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")


def read(file: Path) -> str:
    return file.read_text(encoding="utf-8")
