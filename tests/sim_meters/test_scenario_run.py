"""Running scenarios: what cases share and what not, what steps do, and how a failure reads."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sim_meters.scenario.report import Status
from tests.sim_meters.meter_client import free_ports
from tests.sim_meters.scenarios import HEAD, a_case, only_case, planned, ran

TOKEN = 'do = "token"\ntoken = "t"\namount = 25.6'
ENTER = 'do = "enter"\ntoken = "t"\nexpect = { result = "accepted" }'
SHORT_PATIENCE = HEAD + "response_timeout_seconds = 1\n"
HLS = HEAD + 'security = { mechanism = "hls-gmac" }\n'


def a_fault(fault: str, more: str = "count = 1") -> str:
    return f'do = "fault"\nfault = "{fault}"\n{more}'


def a_look(text: str) -> str:
    return f'do = "expect"\n{text}'


async def test_a_failure_says_step_expected_and_found(tmp_path: Path) -> None:
    wrong = 'do = "enter"\ntoken = "t"\nexpect = { status_code = [5, 6], balance_change = "25.7", reason = "used" }'
    case = await only_case(a_case(TOKEN, wrong, a_look("balance = 0")), tmp_path)
    assert case.status is Status.FAILED
    assert case.message == (
        "step 2 (enter): reason: expected used; found nothing; status_code: expected 5 or 6; found 3; "
        "balance_change: expected 25.7; found 25.6"
    )
    assert [step.number for step in case.steps] == [1, 2], "the step behind it was not taken"


async def test_cases_have_meters_tokens_and_faults_of_their_own(tmp_path: Path) -> None:
    text = a_case(TOKEN, a_fault("stale-status", ""), ENTER.replace("accepted", "in_doubt"), name="one")
    text += a_case(TOKEN, ENTER, a_look("balance = 25.6\ntimes_credited = { t = 1 }"), head="", name="two")
    assert (await ran(planned(text, tmp_path))).is_passed


async def test_a_case_that_keeps_goes_on_where_the_other_stopped(tmp_path: Path) -> None:
    text = a_case(TOKEN, 'do = "mark"', ENTER, name="one")
    more = a_look("balance_change = 25.6\ntimes_credited = { t = 1 }")
    text += a_case(more, head="", name="two", more="keep = true")
    assert (await ran(planned(text, tmp_path))).is_passed


async def test_behind_a_case_that_failed_nothing_is_kept(tmp_path: Path) -> None:
    text = a_case(a_look("balance = 1"), name="one")
    text += a_case(a_look("balance = 0"), head="", name="two", more="keep = true")
    text += a_case(a_look("balance = 0"), head="", name="three")
    report = await ran(planned(text, tmp_path))
    assert [case.status for case in report.cases] == [Status.FAILED, Status.SKIPPED, Status.PASSED]
    assert report.cases[1].message == "the case before it did not pass"
    assert not report.is_passed


@pytest.mark.parametrize(
    ("fault", "result", "credited"),
    [
        ("drop-answer-after-enter", "in_doubt", 1),
        ("hang-up-after-enter", "in_doubt", 1),
        ("hang-up-before-enter", "in_doubt", 0),
        ("stale-status", "in_doubt", 1),
        ("refuse-association", "unreached", 0),
        ("temporary-failure", "refused", 0),
    ],
)
async def test_what_a_client_sees_of_a_fault(fault: str, result: str, credited: int, tmp_path: Path) -> None:
    phase = 'count = 1\nphase = "enter"' if fault == "temporary-failure" else "count = 1"
    enter = ENTER.replace("accepted", result)
    look = a_look(f"times_credited = {{ t = {credited} }}\nstrikes = {{ {fault} = 1 }}")
    head = SHORT_PATIENCE if fault == "drop-answer-after-enter" else HEAD
    case = await only_case(a_case(TOKEN, a_fault(fault, phase), enter, look, head=head), tmp_path)
    assert case.message == ""


async def test_faults_below_the_framing_strike(tmp_path: Path) -> None:
    head = SHORT_PATIENCE + 'listen = "hdlc+tcp://127.0.0.1:0"\n'  # HDLC asks again
    case = await only_case(
        a_case(a_fault("bad-fcs"), TOKEN, ENTER, a_look("strikes = { bad-fcs = 1 }"), head=head), tmp_path
    )
    assert case.message == ""


async def test_a_fault_can_be_taken_back(tmp_path: Path) -> None:
    steps = (a_fault("refuse-association", ""), a_fault("refuse-association", "off = true"), TOKEN, ENTER)
    case = await only_case(a_case(*steps, a_look("strikes = { refuse-association = 0 }")), tmp_path)
    assert case.message == ""


async def test_digits_that_are_no_token_are_a_wrong_entry_at_the_keypad(tmp_path: Path) -> None:
    wrong = 'do = "keypad"\ndigits = "1234"\nexpect = {{ result = "{}" }}'
    rejected = wrong.format("rejected").replace("{ ", '{ reason = "field-format", ')
    case = await only_case(a_case(*[rejected] * 3, a_look("status_code = 4"), wrong.format("refused")), tmp_path)
    assert case.message == ""


async def test_a_time_beyond_the_base_date_is_named_with_the_way_out(tmp_path: Path) -> None:
    case = await only_case(a_case(TOKEN + "\nkey = { base_date = 1993 }", a_look("balance = 0")), tmp_path)
    assert "to 2024-11-24 20:15; " in case.message
    assert "let the clock start within" in case.message


async def test_chance_comes_from_the_seed(tmp_path: Path) -> None:
    tokens = [f'do = "token"\ntoken = "t{n}"\namount = 1' for n in range(20)]
    enters = [f'do = "enter"\ntoken = "t{n}"' for n in range(20)]
    text = a_case(*tokens, a_fault("stale-status", "percent = 50"), *enters, a_look("balance = 20"))

    async def results(seed: int) -> list[str]:
        (case,) = (await ran(planned(text, tmp_path, seed=seed))).cases
        assert case.status is Status.PASSED
        return ["IN DOUBT" if "IN DOUBT" in step.words else "ACCEPTED" for step in case.steps if step.do == "enter"]

    first = await results(1)
    assert first == await results(1) != await results(2)
    assert set(first) == {"IN DOUBT", "ACCEPTED"}


async def test_a_meter_without_a_link_is_looked_at_all_the_same(tmp_path: Path) -> None:
    offline, online = 'do = "link"\nstate = "offline"', 'do = "link"\nstate = "online"'
    unreached = ENTER.replace("accepted", "unreached")
    steps = (TOKEN, offline, offline, unreached, a_look("balance = 0"), online, online, ENTER)
    assert (await only_case(a_case(*steps, head=HLS), tmp_path)).message == ""


async def test_a_meter_that_cannot_be_asked_is_an_error(tmp_path: Path) -> None:
    steps = ('do = "link"\nstate = "offline"', a_look("over_wire = true\nbalance = 0"))
    case = await only_case(a_case(*steps), tmp_path)
    assert case.status is Status.ERROR
    assert case.message.startswith("step 2 (expect): cannot connect to 127.0.0.1")


async def test_a_real_meter_that_does_not_answer_is_unreached(tmp_path: Path) -> None:
    head = HEAD + f'endpoint = "tcp://127.0.0.1:{free_ports()}"\n'
    case = await only_case(a_case(TOKEN, ENTER, head=head), tmp_path)
    assert case.message == "step 2 (enter): result: expected accepted; found unreached"


async def test_an_expectation_can_wait_for_real_time(tmp_path: Path) -> None:
    head = 'name = "real time"\n[[meter]]\nname = "A"\nstatus_delay_seconds = 0.5\n'
    pending = ENTER.replace('"accepted"', '["pending", "accepted"]')  # this machine may be slower than the meter
    look = a_look("within_seconds = 20\nstatus_code = 3\nbalance = 25.6")
    case = await only_case(a_case(TOKEN, pending, look, head=head), tmp_path)
    assert case.message == ""


async def test_an_expectation_waits_for_a_meter_to_come_back(tmp_path: Path) -> None:
    head = 'name = "real time"\n[[meter]]\nname = "A"\n'
    fault = a_fault("link-offline", "count = 1\nvalue = 0.2")
    look = a_look("over_wire = true\nwithin_seconds = 20\nbalance = 0")
    case = await only_case(a_case(TOKEN, fault, ENTER.replace("accepted", "unreached"), look, head=head), tmp_path)
    assert case.message == ""


async def test_an_expectation_that_is_never_met_is_told_as_it_was_seen_last(tmp_path: Path) -> None:
    case = await only_case(a_case(a_look("within_seconds = 0.1\nbalance = 1")), tmp_path)
    assert case.message == "step 1 (expect): balance: expected 1; found 0.0"


async def test_all_that_a_meter_shows(tmp_path: Path) -> None:
    sts = 'sts = { pan = "600727000000000009", sgc = 201457, ti = 1, krn = 1, kt = 2, ken = 255, ea = 7 }'
    shown = f'balance = 25.6\nunit = "kWh"\nswitch = "connected"\ntoken = "t"\ndelivery = "remote"\n{sts}'
    looks = (a_look(shown), a_look(f"over_wire = true\n{shown}"), a_look('data_value = "0000000000000000"'))
    assert (await only_case(a_case(TOKEN, ENTER, *looks, head=HLS), tmp_path)).message == ""


async def test_what_a_meter_shows_otherwise_is_found(tmp_path: Path) -> None:
    other = 'do = "token"\ntoken = "u"\namount = 1'
    wrong = 'token = "u"\ndelivery = "manual"\nunit = "ZAR"\nsts = { krn = 2 }\nswitch = ["disconnected"]'
    case = await only_case(a_case(TOKEN, other, ENTER, a_look(wrong)), tmp_path)
    assert case.message == (
        "step 4 (expect): token: expected u; found another one, or none; delivery: expected manual; found remote; "
        "unit: expected ZAR; found kWh; switch: expected disconnected; found connected; sts.krn: expected 2; found 1"
    )


async def test_a_reason_that_the_profile_cannot_know_is_told_as_that(tmp_path: Path) -> None:
    again = 'do = "enter"\ntoken = "t"\nexpect = { reason = "used" }'
    case = await only_case(a_case(TOKEN, ENTER, again, head=HEAD + 'profile = "default"\n'), tmp_path)
    assert case.status is Status.FAILED
    assert case.message.endswith("found nothing: the profile default does not say what data_value means")


async def test_a_token_that_is_given_is_entered_as_it_is(tmp_path: Path) -> None:
    given = 'do = "token"\ntoken = "t"\ndigits = "0651 0894 1414 5301 8386"'
    # A section of a key change of STS531-1, whose key the lab meter has.
    case = await only_case(a_case(given, 'do = "enter"\ntoken = "t"\nexpect = { section = 1 }'), tmp_path)
    assert case.message == ""
    assert case.steps[0].words == "token t …8386: as given"


def a_set(new_key: str, more: str = "", name: str = "set") -> str:
    return f'do = "token"\ntoken = "{name}"\nkind = "key-change"\nnew_key = {{ {new_key} }}\n{more}'


def an_enter(token: str, expect: str) -> str:
    return f'do = "enter"\ntoken = "{token}"\nexpect = {{ {expect} }}'


@pytest.mark.parametrize(
    ("new_key", "more", "sections"),
    [
        ("krn = 2", "", 2),
        ("ti = 2, krn = 2", "with_sgc = true", 3),
        ('sgc = "123456"', "", 3),
        ('sgc = "123456"', "with_sgc = false", 2),
        ('ea = "11"', "", 4),
        ('vending_key = "0123456789abcdef0123456789abcdef01234567"', "", 2),
    ],
)
async def test_a_set_has_the_sections_that_its_key_needs_and_works(
    new_key: str, more: str, sections: int, tmp_path: Path
) -> None:
    four = 4 if sections == 4 else 3
    steps = [a_set(new_key, more)]
    steps += [an_enter(f"set.{number}", f"section = {number}") for number in range(1, sections)]
    steps += [an_enter(f"set.{sections}", 'result = "accepted"'), a_look("sections = []")]
    steps += [TOKEN + '\nkey_of = "set"', ENTER]
    head = HEAD + f"sts = {{ settings = {{ kct_supported = {four} }} }}\n"
    case = await only_case(a_case(*steps, head=head), tmp_path)
    assert case.message == ""
    assert f"key-change set set of {sections} for" in case.steps[0].words


async def test_a_rollover_clears_the_memory_of_tids_if_the_base_date_gets_later_or_it_is_said(tmp_path: Path) -> None:
    head = HEAD.replace("2026", "2020") + "sts = { base_date = 1993, settings = { tid_depth = 1 } }\n"
    for new_key, more, result in (
        ("krn = 2, base_date = 2014", "", "accepted"),
        ("krn = 2, base_date = 2014", "rollover = false", "rejected"),
        ("krn = 2", "rollover = true", "accepted"),
        ("krn = 2", "", "rejected"),
    ):
        old, new = TOKEN, 'do = "token"\ntoken = "n"\namount = 1\nminutes_ago = 1\nkey_of = "set"'
        enters = [an_enter("set.1", "section = 1"), an_enter("set.2", 'result = "accepted"')]
        steps = [old, ENTER, a_set(new_key, more), *enters, new, an_enter("n", f'result = "{result}"')]
        assert (await only_case(a_case(*steps, head=head), tmp_path)).message == "", (new_key, more)


async def test_tokens_under_two_keys_of_one_base_date_do_not_share_their_tid(tmp_path: Path) -> None:
    steps = [a_set("krn = 2"), TOKEN, 'do = "token"\ntoken = "n"\namount = 1\nkey_of = "set"', ENTER]
    steps += [an_enter("set.1", "section = 1"), an_enter("set.2", 'result = "accepted"')]
    case = await only_case(a_case(*steps, an_enter("n", 'result = "accepted"')), tmp_path)
    assert case.message == ""
    assert [step.words.partition("TID ")[2][:7] for step in case.steps[1:3]] == ["6778830", "6778831"]


@pytest.mark.parametrize(
    ("meter", "token", "result"),
    [
        ('commodity = "gas"', "amount = 1", "accepted"),
        ('commodity = "gas"', 'amount = 1\nunit = "m3"', "accepted"),
        ('commodity = "water"', 'amount = 1\nunit = "m3"\ncommodity = "gas"', "rejected"),
        ('commodity = "gas"\ncurrency = "ZAR"', "amount = 1", "accepted"),
        ('commodity = "gas"\ncurrency = "ZAR"', 'amount = 1\ncommodity = "water"', "rejected"),
        ('currency = "ZAR"', 'amount = 1\nunit = "min"', "rejected"),
        ("", 'amount = 1\nunit = "m3"', "rejected"),
    ],
)
async def test_an_amount_is_of_what_its_unit_and_the_meter_mean(
    meter: str, token: str, result: str, tmp_path: Path
) -> None:
    steps = ['do = "token"\ntoken = "t"\n' + token, an_enter("t", f'result = "{result}"')]
    assert (await only_case(a_case(*steps, head=HEAD + meter), tmp_path)).message == ""


async def test_emergency_credit_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    take = 'do = "emergency"'
    case = await only_case(a_case(take, a_look("balance = 0")), tmp_path)
    assert case.status is Status.ERROR
    assert "meter A has no emergency credit to take" in case.message
    case = await only_case(
        a_case(take, a_look("balance = 2.5"), take, head=HEAD + 'emergency_credit = "2.5"'), tmp_path
    )
    assert [step.status for step in case.steps] == [Status.PASSED, Status.PASSED, Status.ERROR]


async def test_what_a_meter_does_not_show_is_told(tmp_path: Path) -> None:
    test = 'do = "token"\ntoken = "t"\nkind = "test"\nfields = { control = "krn,ti" }'
    look = a_look('display_has = ["KRN 1", "KRN 7", "TI 09"]\nsections = [2]\npower_limit = 5')
    case = await only_case(a_case(test, ENTER, look), tmp_path)
    assert case.message == (
        "step 3 (expect): display_has: expected KRN 7, TI 09; found KRN 1 KT 2; TI 01; "
        "power_limit: expected 5; found 4294967295; sections: expected 2; found none"
    )


async def test_tokens_of_one_minute_do_not_share_their_tid(tmp_path: Path) -> None:
    two = [f'do = "token"\ntoken = "{name}"\namount = 1' for name in "ab"]
    same = [f'do = "token"\ntoken = "{name}"\namount = 1\nminutes_ago = 5' for name in "cd"]
    enters = [
        f'do = "enter"\ntoken = "{name}"\nexpect = {{ result = "{result}" }}'
        for name, result in (("a", "accepted"), ("b", "accepted"), ("c", "accepted"), ("d", "rejected"))
    ]
    assert (await only_case(a_case(*two, *same, *enters), tmp_path)).message == ""


async def test_time_goes_on_for_meter_and_tokens(tmp_path: Path) -> None:
    advance = 'do = "advance"\nseconds = 1.5\nminutes = 2\nhours = 3\ndays = 4'
    case = await only_case(a_case(advance, TOKEN, ENTER), tmp_path)
    assert case.steps[0].words == "the clock goes on by 4 days, 3:02:01.500000, to 2026-11-25 15:32:01 UTC"
    assert "(2026-11-25 15:32)" in case.steps[1].words


async def test_each_case_begins_at_the_same_moment(tmp_path: Path) -> None:
    text = a_case('do = "advance"\nhours = 1', TOKEN, ENTER, name="one") + a_case(TOKEN, ENTER, head="", name="two")
    report = await ran(planned(text, tmp_path))
    assert "(2026-11-21 13:30)" in report.cases[0].steps[1].words
    assert "(2026-11-21 12:30)" in report.cases[1].steps[0].words


async def test_meters_that_cannot_be_set_up_are_an_error_of_the_case_alone(tmp_path: Path) -> None:
    head = HEAD + f'[[meter]]\nname = "B"\nlisten = "pty://{tmp_path}/no-such-folder/line"\n'
    text = a_case(TOKEN, ENTER, head=head, name="one", more='on = ["B", "A"]')
    text += a_case(ENTER, head="", name="two", more="keep = true")
    report = await ran(planned(text, tmp_path))
    assert [case.status for case in report.cases] == [Status.ERROR, Status.ERROR, Status.PASSED, Status.FAILED]
    assert report.cases[0].message.startswith("the meters cannot be set up: ")
    assert report.cases[3].title == "two [A]", "the same token again is used"


# Programs.


def a_program(code: str, expect: str, more: str = "", arguments: str = "'{token:t}', '{endpoint}'") -> str:
    """It is handed a token and an endpoint."""
    command = f"['{sys.executable}', '-c', '''{code}''', {arguments}]"
    return f'do = "run"\ncommand = {command}\n{more}\nexpect = {expect}'


async def test_a_program_gets_what_is_filled_in_and_what_it_says_is_compared(tmp_path: Path) -> None:
    code = (
        'import json, sys; given = sys.stdin.read(); print("first a word"); '
        'print(json.dumps({"token": len(sys.argv[1]), "same": given.strip() == sys.argv[1], "url": sys.argv[2][:6]})); '
        'print(json.dumps({"a": {"b": [1], "c": True}})); print("oops", file=sys.stderr); sys.exit(7)'
    )
    output = '[{ token = 20, same = true, url = "tcp://" }, { "a.c" = true }]'
    expect = f'{{ exit_code = 7, output = {output}, stdout_has = ["a word"], stderr_has = ["oops"] }}'
    step = a_program(code, expect, 'stdin = "{token:t}\\n"')
    assert (await only_case(a_case(TOKEN, step), tmp_path)).message == ""


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ("{ exit_code = [1, 2] }", 'exit_code: expected 1 or 2; found 0; it said:\n{"x": 1}'),
        ("{ output = [{ x = true }] }", "output 1, x: expected true; found 1"),
        ("{ output = [{ x = 2 }] }", "output 1, x: expected 2; found 1"),
        ('{ output = [{ "x.y" = 2 }] }', "output 1, x.y: expected 2; found nothing"),
        ("{ output = [] }", 'output: expected 0 JSON objects; found 1 JSON object; it said:\n{"x": 1}'),
        ('{ stdout_has = ["y"] }', 'stdout_has: expected y; found {"x": 1}'),
        ('{ stderr_has = ["y"] }', "stderr_has: expected y; found nothing"),
    ],
)
async def test_a_program_that_does_something_else(expect: str, message: str, tmp_path: Path) -> None:
    case = await only_case(a_case(TOKEN, a_program('print("{\\"x\\": 1}", end="")', expect)), tmp_path)
    assert case.status is Status.FAILED
    assert message in case.message


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_program_that_does_not_end_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    command = 'do = "run"\ncommand = ["sh", "-c", "sleep 600 & echo $! > pid; wait"]'
    case = await only_case(a_case(f"{command}\ntimeout_seconds = 2\nexpect = {{ exit_code = 0 }}"), tmp_path)
    assert case.message == "step 1 (run): sh was stopped: it took more than 2 s"
    assert not is_running(int((tmp_path / "pid").read_text(encoding="ascii")))


async def test_what_a_program_can_be_told_of_meters(tmp_path: Path) -> None:
    told = "'{pan}', '{serial:B}', '{folder}', 'x{endpoint:B}'"
    code = "import sys; print(*sys.argv[1:])"
    said = f'["600727000000000009 SIM00010000008 {tmp_path} xtcp://127.0.0.1:"]'
    step = a_program(code, f"{{ stdout_has = {said} }}", arguments=told)
    case = await only_case(a_case(step, head=HEAD + '[[meter]]\nname = "B"\n'), tmp_path)
    assert case.message == ""


async def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    step = 'do = "run"\ncommand = ["no-such-program"]\nexpect = { exit_code = 0 }'
    case = await only_case(a_case(step), tmp_path)
    assert case.message == "step 1 (run): no-such-program cannot be started: No such file or directory"


async def test_a_program_that_talks_without_end_is_heard_only_so_long(tmp_path: Path) -> None:
    code = 'import sys; sys.stdout.write("x" * 5_000_000 + "the end")'
    case = await only_case(a_case(TOKEN, a_program(code, '{ exit_code = 0, stdout_has = ["the end"] }')), tmp_path)
    assert case.status is Status.FAILED
    assert case.message.startswith("step 2 (run): stdout_has: expected the end; found …xxxx")
    assert len(case.message) < 3000


# Secrets.


async def test_no_token_key_or_password_is_told(tmp_path: Path) -> None:
    password, ek, ak = "a password of a lab", "0f" * 16, "e1" * 16
    secrets = f'mechanism = "hls-sha256", password = "{password}", ek = "{ek}", ak = "{ak}"'
    head = HEAD + f"security = {{ {secrets} }}\n"
    code = "import sys; print(*sys.argv); sys.exit(1)"
    step = a_program(code, "{ exit_code = 0 }", arguments="'{meter}', '{token:t}'")
    lines: list[str] = []
    report = await ran(planned(a_case(TOKEN, step, head=head), tmp_path), lines)
    told = "\n".join(lines) + str(report.to_json())
    assert "--ek" in told
    assert "found 1; it said" in told
    for secret in (password, ek, ak):
        assert secret.lower() not in told.lower()
    assert "…" in report.cases[0].steps[0].words
    assert not re.search(r"\d{20}", told)


async def test_a_trace_is_kept_for_each_case_and_meter(tmp_path: Path) -> None:
    head = HEAD + '[[meter]]\nname = "B"\n'
    text = a_case(TOKEN, ENTER, head=head, name="First: a / case!", more='on = ["A", "B"]')
    assert (await ran(planned(text, tmp_path), trace_directory=tmp_path)).is_passed
    traces = {path.name: path.read_text(encoding="ascii") for path in [*tmp_path.glob("*.jsonl")]}  # noqa: ASYNC240
    assert sorted(traces) == ["001-first-a-case-A.jsonl", "002-first-a-case-B.jsonl"]
    for content in traces.values():
        assert "action-request" in content
        assert content.count('"link opened"') == 1
