"""Files that are refused: before anything is started, in one sentence that says where and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosem_objects.errors import SettingError
from sim_meters.scenario.model import ScenarioFile
from tests.fuzz.properties import assert_harmless
from tests.sim_meters.scenarios import HEAD, a_case, planned

TOKEN = 'do = "token"\ntoken = "t"\namount = 1'
ENTER = 'do = "enter"\ntoken = "t"\nexpect = { status_code = 3 }'
SET = 'do = "token"\ntoken = "set"\nkind = "key-change"\nnew_key = { krn = 2 }\n'
KIND = 'do = "token"\ntoken = "t"\nkind = "{}"\nfields = {{ {} }}'
REAL = HEAD + '[[meter]]\nname = "real"\nendpoint = "serial:///dev/ttyUSB0?baud=9600"\n'
TWO = HEAD + '[[meter]]\nname = "B"\n'
ON_REAL = 'on = ["real"]'


def no_clock(head: str = HEAD) -> str:
    return head.replace("[clock]\nstart = 2026-11-21T12:30:00Z\n", "")


def refusal(text: str, tmp_path: Path) -> str:
    with pytest.raises(SettingError) as refused:
        planned(text, tmp_path)
    message = str(refused.value).replace(str(tmp_path), "")
    assert_harmless(SettingError(message))
    return message


def test_a_short_scenario_is_fine(tmp_path: Path) -> None:
    plan = planned(a_case(TOKEN, ENTER), tmp_path)
    assert [run.title for run in plan.runs] == ["a case"]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (('do = "entre"',), "case 1, step 1: do: expected one of token, enter, keypad"),
        (('token = "t"',), "case 1, step 1: do is missing"),
        (('do = "enter"\ntokn = "t"',), "case 1, step 1, tokn: does not exist"),
        (('do = "enter"\nexpect = { result = "ok" }',), "step 1, expect, result: expected accepted, rejected"),
        (('do = "enter"\nexpect = { status_code = [3, 300] }',), "case 1, step 1, expect, status_code"),
        (('do = "token"\namount = 1',), "case 1, step 1, token: is missing"),
        (('do = "token"\ntoken = "t"\namount = "1,5"',), "case 1, step 1, amount: expected"),
        (('do = "advance"\nseconds = -1',), "case 1, step 1, seconds: expected greater than or equal to 0"),
        (('do = "token"\ntoken = "t"',), "'a case', step 1 (token): expected amount or digits"),
        (('do = "token"\ntoken = "t"\namount = 0',), "step 1 (token): amount: expected at least one token unit"),
        (('do = "token"\ntoken = "t"\namount = 99999999',), "step 1 (token): amount: at most 18201624 units fit"),
        (('do = "token"\ntoken = "t"\namount = 1\nunit = "Wh"',), "unit: expected kWh, m3, min or a currency code"),
        (('do = "token"\ntoken = "t"\namount = 1\nkey = { krn = 1 }',), "key: expected attributes that are not"),
        (
            ('do = "token"\ntoken = "t"\namount = 1\nkey = { krn = 10 }',),
            "step 1 (token): krn: expected 1 to 9; got 10",
        ),
        (('do = "token"\ntoken = "t"\ndigits = "99999999999999999999"',), "step 1 (token): a token fits in 66 bits"),
        (('do = "token"\ntoken = "t"\ndigits = "48643202781314010686"\namount = 1',), "digits or what a token is made"),
        (('do = "token"\ntoken = "t"\nkind = "bonus"',), "step 1, kind: expected text of the form ^(credit|test|"),
        (('do = "token"\ntoken = "t"\nkind = "key-change"',), "new_key: is missing; expected what is other"),
        ((SET + "amount = 1",), "amount: a token of kind key-change is not made of it"),
        ((SET + "minutes_ago = 1",), "minutes_ago: a token of kind key-change is not made of it"),
        ((TOKEN + "\nrollover = true",), "rollover: a token of kind credit is not made of it"),
        ((TOKEN + "\nfields = { watts = 1 }",), "fields: a token of kind credit is not made of it"),
        (('do = "token"\ntoken = "t"\nkind = "power-limit"',), "watts: is missing; expected a whole number of W"),
        ((KIND.format("power-limit", "watts = -1"),), "step 1, fields, watts: expected"),
        ((KIND.format("power-limit", "volts = 1"),), "volts: SetMaximumPowerLimit has no such field; expected watts"),
        ((KIND.format("clear-tamper", "pad = 1"),), "pad: ClearTamperCondition has no such field; expected none"),
        ((KIND.format("clear-credit", 'register = "oil"'),), "register: expected electricity, water, gas"),
        ((KIND.format("test", 'control = "dance"'),), "control: expected all, names joined by commas"),
        (('do = "token"\ntoken = "t"\namount = 1\nunit = "kWh"\ncommodity = "gas"',), "kWh does not measure gas"),
        ((SET.replace("krn = 2", "kt = 0"),), "kt: an initialisation key (KT 0) is the manufacturer's own"),
        ((SET.replace("krn = 2", 'ea = "09"'),), "ea: expected 07 or 11; EA09"),
        ((SET.replace("krn = 2", 'ea = "11", dkga = "02"'),), "EA11"),
        ((SET, 'do = "token"\ntoken = "t"\namount = 1\nkey_of = "st"'), "key_of: there is no key-change set 'st' yet"),
        ((SET, TOKEN + '\nkey_of = "set"\nkey = { ti = 2 }'), "expected key or key_of, not both"),
        ((SET, 'do = "enter"\ntoken = "set"'), "there is no token 'set' yet"),
        ((SET, 'do = "enter"\ntoken = "set.3"'), "there is no token 'set.3' yet"),
        (('do = "expect"\nsections = [5]',), "step 1, sections 1: expected"),
        ((ENTER,), "step 1 (enter): there is no token 't' yet"),
        (('do = "keypad"\ntoken = "t"',), "step 1 (keypad): there is no token 't' yet"),
        (('do = "keypad"',), "step 1 (keypad): expected token or digits, one of them"),
        (('do = "keypad"\ndigits = "12a4"',), "step 1, digits: expected text of the form ^[0-9]"),
        (('do = "enter"',), "step 1 (enter): expected token or octets, one of them"),
        ((TOKEN, 'do = "enter"\ntoken = "t"\noctets = "00"'), "step 2 (enter): expected token or octets, one of them"),
        ((TOKEN,), "case 'a case': expected at least one expectation; it can never fail"),
        ((TOKEN, 'do = "enter"\ntoken = "t"'), "it can never fail"),
        (('do = "expect"',), "step 1 (expect): expected something to be expected"),
        (('do = "expect"\nsts = {}\ntimes_credited = {}',), "expected something to be expected"),
        (('do = "expect"\nover_wire = true\nwithin_seconds = 1',), "expected something to be expected"),
        (('do = "expect"\nbalance_change = 1',), 'step 1 (expect): balance_change: expected a step with do = "mark"'),
        (('do = "mark"\nmeter = "B"',), "step 1 (mark): there is no meter 'B'"),
        (('do = "expect"\ntimes_credited = { t = 1 }',), "there is no token 't' yet"),
        (('do = "expect"\nstrikes = { lightning = 1 }',), "strikes: there is no fault 'lightning'; docs/faults.md"),
        (('do = "fault"\nfault = "lightning"',), "step 1 (fault): there is no fault 'lightning'"),
        (('do = "fault"\nfault = "stale-status"\nphase = "push"',), "expected one of its phases, enter; got push"),
        (('do = "advance"',), "step 1 (advance): expected seconds, minutes, hours or days"),
        (('do = "run"\ncommand = []',), "case 1, step 1, command"),
        (('do = "run"\ncommand = ["x", "{token:t}"]',), "step 1 (run): there is no token 't' yet"),
        (('do = "run"\ncommand = ["x", "{url}"]',), "{url}: expected one of {token:NAME}, {endpoint}"),
        (('do = "run"\ncommand = ["x", "{endpoint:B}"]',), "{endpoint:B}: there is no meter 'B'"),
        (('do = "run"\ncommand = ["x", "--y={meter}"]',), "{meter}: expected as an argument of its own"),
        (('do = "run"\ncommand = ["x"]\nstdin = "{meter}"',), "{meter}: expected as an argument of its own"),
        (('do = "run"\ncommand = ["x"]\nexpect = { stdout_has = [""] }',), "expected texts that are not empty"),
    ],
)
def test_a_step_that_cannot_be(steps: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    assert expected in refusal(a_case(*steps), tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = ", "no valid TOML"),
        ("a = " + "[" * 5000, "no valid TOML"),
        (HEAD, "case: is missing"),
        (HEAD.replace('name = "a test"', ""), "name: is missing"),
        (
            a_case(TOKEN, ENTER, head=no_clock().replace('[[meter]]\nname = "A"', "")),
            "on: expected the names of meters",
        ),
        (a_case(TOKEN, ENTER, head=HEAD.replace("2026-11-21T12:30:00Z", '"soon"')), "clock, start: expected text of"),
        (
            a_case(TOKEN, ENTER, head=HEAD.replace("2026-11-21T12:30:00Z", '"2026-13-41"')),
            "clock, start: expected a time",
        ),
        (a_case(TOKEN, ENTER, head=HEAD + '[[meter]]\nname = "A"\n'), "meter A: expected it once"),
        (a_case(TOKEN, ENTER, head=HEAD + 'profile = "nothing"\n'), "meter A: profile: expected default, "),
        (a_case(TOKEN, ENTER, head=HEAD + 'listen = "tcp://10.1.1.1:4059"\n'), "meter A: listen: expected a loopback"),
        (a_case(TOKEN, ENTER, head=HEAD + 'listen = "inbound:4D4D4D0000BC614E"\n'), "meter A: listen: expected one of"),
        (a_case(TOKEN, ENTER, head=HEAD + 'sts = { pan = "600727000000000000" }\n'), "the PAN check digit of"),
        (a_case(TOKEN, ENTER, head=HEAD + "physical = 17\n"), "only HDLC has physical addresses"),
        (a_case(TOKEN, ENTER, more="keep = true"), "keep: there is no case before it"),
        (a_case(TOKEN, ENTER, more='on = ["B"]'), "on: there is no meter 'B'"),
        (a_case(TOKEN, ENTER) + a_case(TOKEN, ENTER, head=""), "case 'a case': expected it once"),
        (
            a_case(TOKEN, ENTER) + a_case(ENTER, head="", name="b", more='keep = true\non = ["A"]'),
            "case 'b': on: expected none with keep",
        ),
        (a_case('do = "advance"\nminutes = 1', ENTER, head=no_clock()), "step 1 (advance): expected a virtual clock"),
        (
            a_case(TOKEN, 'do = "keypad"\ntoken = "t"', head=REAL, more=ON_REAL),
            "step 2 (keypad): meter real is a real one",
        ),
        (a_case('do = "fault"\nfault = "mute"', head=REAL, more=ON_REAL), "step 1 (fault): meter real is a real one"),
        (a_case('do = "link"\nstate = "online"', head=REAL, more=ON_REAL), "step 1 (link): meter real is a real one"),
        (a_case('do = "reboot"\nmeter = "real"', head=REAL), "step 1 (reboot): meter real is a real one"),
        (a_case('do = "tamper"', head=REAL, more=ON_REAL), "step 1 (tamper): meter real is a real one"),
        (a_case('do = "emergency"', head=REAL, more=ON_REAL), "step 1 (emergency): meter real is a real one"),
        (a_case('do = "expect"\nsections = []', head=REAL, more=ON_REAL), "sections need a simulated one"),
        (a_case(TOKEN, ENTER, head=REAL + "sts = { settings = { tid_depth = 5 } }\n"), "settings: expected none with"),
        (a_case(TOKEN, ENTER, head=HEAD + "sts = { settings = { tid_depth = 0 } }\n"), "tid_depth: expected 1 to 1000"),
        (a_case(TOKEN, ENTER, head=HEAD + "sts = { settings = { depth = 5 } }\n"), "settings, depth: expected text of"),
        (
            a_case(SET, 'do = "token"\ntoken = "t"\nmeter = "B"\namount = 1\nkey_of = "set"', head=TWO),
            "key_of: the set set is for meter A",
        ),
        (a_case('do = "advance"\nminutes = 1', head=REAL, more=ON_REAL), "its clock cannot be moved"),
        (
            a_case(TOKEN, 'do = "expect"\nbalance = 1\ntimes_credited = { t = 1 }', head=REAL, more=ON_REAL),
            "times_credited, strikes, sections need a simulated one",
        ),
        (a_case(TOKEN, ENTER, head=REAL + "status_delay_seconds = 5\n"), "status_delay_seconds: expected none with an"),
        (
            a_case(TOKEN, ENTER, head=REAL + 'security = { mechanism = "hls-gmac" }\n'),
            "meter real: security: expected the meter's own keys",
        ),
        (
            a_case(TOKEN, ENTER, head=REAL.replace("serial:///dev/ttyUSB0?baud=9600", "tcp://h:0")),
            "port 0 is for listening",
        ),
        (
            a_case(
                'do = "token"\ntoken = "t"\namount = 1\nkey = { krn = 2 }',
                head=HEAD + 'sts = { decoder_key = "0123456789abcdef" }\n',
            ),
            "key: expected a vending key of meter A",
        ),
        (a_case(TOKEN, ENTER, head='fleet = "nowhere.toml"\n' + HEAD), "cannot read"),
    ],
)
def test_a_file_that_cannot_be(text: str, expected: str, tmp_path: Path) -> None:
    assert expected in refusal(text, tmp_path)


@pytest.mark.parametrize(
    "secret", ['ek = "0F0F"', "password = 12345678", 'decoder_key = "0123456789abcdefgh"', 'vending_key = "abcd"']
)
def test_a_wrong_secret_is_not_repeated(secret: str, tmp_path: Path) -> None:
    table = "sts" if "_key" in secret else "security"
    message = refusal(a_case(TOKEN, ENTER, head=HEAD + f"{table} = {{ {secret} }}\n"), tmp_path)
    assert secret.partition(" = ")[2].strip('"') not in message
    assert secret.partition(" = ")[0].replace("_", " ") in message.replace("_", " ")


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    from sim_meters.scenario.file import read_file  # noqa: PLC0415

    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_file(ScenarioFile, tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match="expected text in UTF-8"):
        read_file(ScenarioFile, tmp_path / "binary.toml")


def test_meters_that_stand_in_must_be_there(tmp_path: Path) -> None:
    others = tmp_path / "others.toml"
    others.write_text('[[meter]]\nname = "B"\n', encoding="utf-8")
    with pytest.raises(SettingError, match="--meters: there is no meter 'B' in the scenario"):
        planned(a_case(TOKEN, ENTER), tmp_path, meters_path=others)


def test_a_case_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--case: there is no case 'b'; --list names them"):
        planned(a_case(TOKEN, ENTER), tmp_path, only=["b"])


def test_a_case_brings_those_that_it_goes_on_from(tmp_path: Path) -> None:
    text = a_case(TOKEN, ENTER, name="one")
    text += a_case(TOKEN, ENTER, head="", name="two") + a_case(ENTER, head="", name="three", more="keep = true")
    text += a_case(ENTER, head="", name="four", more="keep = true")
    assert [run.title for run in planned(text, tmp_path, only=["three"]).runs] == ["two", "three"]
    assert [run.title for run in planned(text, tmp_path, only=["one", "four"]).runs] == ["one", "two", "three", "four"]


def test_only_the_cases_that_are_run_have_to_suit_the_meters(tmp_path: Path) -> None:
    text = a_case(TOKEN, ENTER, head=REAL.replace('"A"', '"B"').replace('"real"', '"A"'), more='on = ["A"]')
    text += a_case('do = "reboot"', ENTER, head="", name="simulated", more='on = ["A"]')
    assert "meter A is a real one" in refusal(text, tmp_path)
    assert [run.title for run in planned(text, tmp_path, only=["a case"]).runs] == ["a case"]
    with pytest.raises(SettingError, match="meter A is a real one"):
        planned(text, tmp_path, only=["simulated"])


def test_a_case_on_several_meters_is_several_cases(tmp_path: Path) -> None:
    text = a_case(TOKEN, ENTER, name="one", head=HEAD + '[[meter]]\nname = "B"\n', more='on = ["A", "B"]')
    text += a_case(ENTER, head="", name="two", more="keep = true")
    titles = [run.title for run in planned(text, tmp_path).runs]
    assert titles == ["one [A]", "two [A]", "one [B]", "two [B]"]
    assert [run.title for run in planned(text, tmp_path, only=["one [B]"]).runs] == ["one [B]"]


def test_meters_of_a_fleet_can_be_named(tmp_path: Path) -> None:
    text = a_case(TOKEN, ENTER, head='name = "x"\nfleet = "small"\n', more='on = ["kiosk-2"]')
    plan = planned(text, tmp_path)
    assert list(plan.meters) == ["kiosk-2"]
    assert plan.meters["kiosk-2"].is_simulated


def test_faults_of_a_fleet_are_those_of_the_numbers_in_its_meters_names(tmp_path: Path) -> None:
    (tmp_path / "street.toml").write_text(
        '[[group]]\nname = "house"\ncount = 3\nlisten = "tcp://127.0.0.1:0"\n'
        '[[group.fault]]\nfault = "mute"\nnumbers = "2"\n'
    )
    text = a_case(
        TOKEN, ENTER, head='name = "x"\nfleet = "street.toml"\n', more='on = ["house-1", "house-2", "house-3"]'
    )
    faults = {name: len(meter.faults) for name, meter in planned(text, tmp_path).meters.items()}
    assert faults == {"house-1": 0, "house-2": 1, "house-3": 0}


def test_the_title_of_a_meter_is_checked_if_it_is_known(tmp_path: Path) -> None:
    keys = f'security = {{ mechanism = "hls-gmac", ek = "{"0f" * 16}", ak = "{"e1" * 16}" }}\n'

    def title(head: str) -> bytes:
        return planned(a_case(TOKEN, ENTER, head=head), tmp_path).meters["A"].security.meter_system_title

    real = HEAD + 'endpoint = "tcp://127.0.0.1:1"\n'
    assert title(HEAD + keys) == b"SIM" + (1).to_bytes(5, "big")
    assert title(real + keys) == b""
    assert title(real + 'system_title = "4D4D4D0000BC614E"\n' + keys) == bytes.fromhex("4D4D4D0000BC614E")
    assert title(HEAD) == b"", "nobody says it without keys"
