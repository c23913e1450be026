"""``stsgate readback`` as its users meet it, against real ``simmeters run`` processes on real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cosem_objects import axdr, security_setup
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import DataAccessResult
from cosem_objects.payment import AccountAttribute
from sim_meters.asked import Asked, InterfaceClass
from sim_meters.debt import DebtRecovery
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.gateway.test_cli import AK, EK, PASSWORD, ROOT, TIMEOUT_SECONDS, Said, Stsgate, meter_at, secured
from tests.sim_meters.meter_client import MeterProcess, running
from tests.transports.wires import free_port, listen_somewhere
from transports.channel import ApduChannel

CONFIG = lab_config()
GOOD = encode_credit(CONFIG.decoder_key, CONFIG.unit.kind, 256, 6_000_000, 5)
OTHER = encode_credit(lab_config(1).decoder_key, CONFIG.unit.kind, 256, 6_000_000, 5)
SECRET_TEXTS = [GOOD.digits, OTHER.digits, EK, AK, PASSWORD]


@pytest.fixture
def stsgate(capsys: pytest.CaptureFixture[str]) -> Stsgate:
    return Stsgate(capsys)


async def readback(stsgate: Stsgate, url: str, *options: str, profile: str = "sim") -> Said:
    said = await stsgate.beside("readback", "--endpoint", url, "--profile", profile, *options)
    for secret in SECRET_TEXTS:
        assert secret not in said.out + said.err
    return said


def shown(said: Said) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.out)
    return found


def fields(said: Said) -> dict[str, str]:
    """What stands behind each label, under its heading: ``Account/available credit``."""
    found, heading = {}, ""
    for line in said.out.splitlines()[1:]:
        if line and line[0] != " ":
            heading = line.partition(" 0-0:")[0]
        elif match := re.fullmatch(r"  (\S.*?)  +(\S.*)", line):
            found[f"{heading}/{match[1]}"] = match[2]
    return found


@asynccontextmanager
async def lab_meter(*options: str) -> AsyncIterator[MeterProcess]:
    async with running("--listen", f"tcp://127.0.0.1:{free_port()}", *options) as meter:
        yield meter


async def deliver(stsgate: Stsgate, url: str, *tokens: str, options: Sequence[str] = ()) -> None:
    what = [option for token in tokens for option in ("--token", token)]
    said = await stsgate.beside("deliver", "--endpoint", url, "--profile", "sim", *what, *options)
    assert said.code in {0, 1}, said.err


KEYS = ["--ek", EK, "--ak", AK]
SECURITIES: dict[str, list[str]] = {
    "none": [],
    "lls": ["--security", "lls", "--password", PASSWORD],
    "lls ciphered": ["--security", "lls", "--password", PASSWORD, *KEYS],
    "hls-gmac": ["--security", "hls-gmac", *KEYS],
    "hls-gmac general-glo": ["--security", "hls-gmac", *KEYS, "--ciphering", "general-glo"],
    "hls-gmac auth": ["--security", "hls-gmac", *KEYS, "--protection", "auth"],
    "hls-sha256": ["--security", "hls-sha256", "--password", PASSWORD, *KEYS],
}


@pytest.mark.parametrize("options", SECURITIES.values(), ids=SECURITIES)
async def test_a_meter_says_who_it_is_and_what_it_shows(stsgate: Stsgate, options: list[str]) -> None:
    async with lab_meter(*options) as meter:
        url = meter.urls[0]
        await deliver(stsgate, url, GOOD.digits, OTHER.digits, options=options)
        said = await readback(stsgate, url, *options)
        for_programs = shown(await readback(stsgate, url, *options, "--json"))
    assert (said.code, said.err) == (0, "")
    found = fields(said)
    expected = {
        "Identity/device name": "SIM00000000000",
        "Identity/MeterPAN": "600727000000000009",
        "IEC 62055-41 attributes/supply group code": "201457",
        "IEC 62055-41 attributes/encryption algorithm": "07",
        "Account/mode and status": "prepayment, active",
        "Account/currency": "kWh, consumption, in steps of 0.1",
        "Account/available credit": "25.6 kWh",
        "Account/credit status": "in credit",
        "Account/tokens are paid in": "100 % to 0-0:19.10.0.255",
        "Credit/current credit amount": "25.6 kWh",
        "Credit/credit status": "in use",
        "Disconnect control (relay)/control state": "connected",
        "Association LN/between": "client 1, server 1",
        "Association LN/authentication": options[1] if options else "none",
        "Security setup/suite": "0 (aes-gcm-128)",
        "Account/charges": "none",
        "IEC 62055-41 attributes/key type": "2 (unique)",
    }
    assert found.items() >= expected.items()
    assert not [name for name in found if name.startswith("Not read/")]
    token = found["Token gateway/last token"]
    assert re.fullmatch(
        rf"{OTHER.masked}, remote, authentication failure: crc, \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00", token
    )
    assert re.fullmatch(r"(none from|\d+ s behind|\d+ s ahead of) this computer", found["Clock/difference"])
    assert max(map(len, said.out.splitlines())) <= 118
    check_json(for_programs)


def check_json(found: dict[str, Any]) -> None:
    assert found["identity"]["meter_pan"] == "600727000000000009"
    assert found["account"]["obis"] == "0-0:19.0.0.255"
    assert found["account"]["available_credit"] == "25.6"
    assert found["account"]["account_mode_and_status"] == {"payment_mode": "prepayment", "account_status": "active"}
    assert found["account"]["currency"] == {"name": "kWh", "scale": -1, "unit": "consumption"}
    assert found["account"]["current_credit_status"] == ["in_credit"]
    assert [credit["credit_status"] for credit in found["credits"]] == ["in-use"]
    assert found["charges"] == []
    gateway = found["token_gateway"]
    assert gateway["token"] == OTHER.masked
    assert gateway["token_status"] == {
        "status_code": 5,
        "words": "authentication failure",
        "result": "crc",
        "data_value": "1" + "0" * 15,
    }
    assert datetime.fromisoformat(gateway["token_time"]).tzinfo == UTC
    assert found["sts"]["supply_group_code"] == "201457"
    assert (found["sts"]["tariff_index"], found["sts"]["encryption_algorithm"]) == ("01", "07")
    assert found["disconnect_control"]["control_state"] == "connected"
    assert found["skipped"] == []
    assert found["error"] is None


async def test_every_name_of_the_json_is_in_its_documentation(stsgate: Stsgate) -> None:
    text = (Path(__file__).parents[2] / "docs/readback.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(\w+)`", text))
    async with lab_meter() as meter:
        await deliver(stsgate, meter.urls[0], GOOD.digits)
        report = shown(await readback(stsgate, meter.urls[0], "--json"))
        chosen = ["--list", "--log", "--attribute", "111:0-0:19.0.0.255:15", "--attribute", "3:1-0:1.8.0.255:2"]
        rest = shown(await readback(stsgate, meter.urls[0], "--json", *chosen))
    assert set(names_in(report)) | set(names_in(rest)) <= documented


def names_in(found: Any) -> list[str]:
    if isinstance(found, dict):
        return [*found, *(name for value in found.values() for name in names_in(value))]
    return [name for value in found for name in names_in(value)] if isinstance(found, list) else []


async def test_a_new_meter_shows_no_token(stsgate: Stsgate) -> None:
    async with lab_meter() as meter:
        found = fields(await readback(stsgate, meter.urls[0]))
        gateway = shown(await readback(stsgate, meter.urls[0], "--json"))["token_gateway"]
    assert found["Token gateway/last token"] == "none yet"
    assert (gateway["has_token"], gateway["token"], gateway["token_time"]) == (False, None, None)


async def test_an_account_in_money_is_told_in_money(stsgate: Stsgate) -> None:
    async with lab_meter("--currency", "ZAR:-2") as meter:
        found = fields(await readback(stsgate, meter.urls[0]))
    assert found["Account/currency"] == "ZAR, monetary, in steps of 0.01"
    assert found["Account/available credit"] == "0.00 ZAR"
    assert found["Account/credit status"] == "out of credit"
    assert found["Disconnect control (relay)/control state"] == "disconnected"


POOR = 'account_obis = ""\nsts_obis = ""\ndisconnect_control_obis = ""\n'


async def test_what_a_meter_does_not_have_is_said(stsgate: Stsgate, tmp_path: Path) -> None:
    (tmp_path / "poor.toml").write_text(POOR)
    async with lab_meter("--profile", str(tmp_path / "poor.toml")) as meter:
        said = await readback(stsgate, meter.urls[0])
        for_programs = shown(await readback(stsgate, meter.urls[0], "--json"))
        by_profile = fields(await readback(stsgate, meter.urls[0], profile=str(tmp_path / "poor.toml")))
    assert (said.code, said.err) == (0, "")
    skipped = {name: words for name, words in fields(said).items() if name.startswith("Not read")}
    undefined = "object-undefined (4)"
    assert skipped == {
        "Not read/identity: meter pan": f"{undefined} (class 116 0-0:19.60.0.255)",
        "Not read/sts": f"{undefined} (class 116 0-0:19.60.0.255)",
        "Not read/account": f"{undefined} (class 111 0-0:19.0.0.255)",
        "Not read/credits": f"{undefined} (class 112 0-0:19.10.0.255)",
        "Not read/charges": f"{undefined} (class 113 0-0:19.20.0.255)",
        "Not read/disconnect control": f"{undefined} (class 70 0-0:96.3.10.255)",
    }
    assert [for_programs[name] for name in ("account", "sts", "disconnect_control", "credits")] == [
        None,
        None,
        None,
        [],
    ]
    assert by_profile["Not read/account"] == "the profile names no such object (class 111)"


async def test_hidden_tokens_stay_hidden(stsgate: Stsgate, tmp_path: Path) -> None:
    (tmp_path / "hidden.toml").write_text('token_readback = "hidden"\ndata_value_map = "onehot16"')
    hidden = str(tmp_path / "hidden.toml")
    async with lab_meter("--profile", hidden) as meter:
        assert fields(await readback(stsgate, meter.urls[0], profile=hidden))["Token gateway/last token"] == "none yet"
        await deliver(stsgate, meter.urls[0], GOOD.digits, options=["--profile", hidden])
        said = await readback(stsgate, meter.urls[0], profile=hidden)
    assert fields(said)["Token gateway/last token"].startswith("(hidden), remote, executed: accepted, 2")
    assert GOOD.masked not in said.out


async def test_the_public_client_is_told_little(stsgate: Stsgate) -> None:
    async with lab_meter("--security", "hls-gmac", *KEYS) as meter:
        said = await readback(stsgate, meter.urls[0], "--client-sap", "16")
    found = fields(said)
    assert said.code == 0
    assert found["Identity/device name"] == "SIM00000000000"
    assert found["Association LN/between"] == "client 16, server 1"
    assert found["Not read/token gateway"] == "read-write-denied (3) (class 115 0-0:19.40.0.255)"


# Lists and attributes.


async def test_the_list_of_objects_is_a_table(stsgate: Stsgate) -> None:
    async with lab_meter() as meter:
        said = await readback(stsgate, meter.urls[0], "--list")
        listed = shown(await readback(stsgate, meter.urls[0], "--list", "--json"))
    lines = said.out.splitlines()
    assert lines[2].split() == ["class", "version", "OBIS", "name", "of", "the", "class"]
    assert "  115        0  0-0:19.40.0.255  Token gateway" in lines
    assert "    7        1  1-0:99.15.0.255  Profile generic" in lines
    assert {"class_id": 64, "version": 1, "obis": "0-0:43.0.0.255", "name": "Security setup"} in listed["objects"]
    assert "account" not in listed


async def test_any_attribute_is_shown_as_a_tree(stsgate: Stsgate) -> None:
    wanted = ["8:0-0:1.0.0.255:9", "111:0-0:19.0.0.255:2", "115:0-0:19.40.0.255:2", "15:0-0:40.0.0.255:7"]
    options = [option for one in wanted for option in ("--attribute", one)]
    async with lab_meter() as meter:
        await deliver(stsgate, meter.urls[0], GOOD.digits)
        said = await readback(stsgate, meter.urls[0], *options)
        read = shown(await readback(stsgate, meter.urls[0], *options, "--json"))["attributes"]
    assert said.code == 3  # one of them was refused
    assert said.out.splitlines()[1:] == [
        "",
        "class 8 0-0:1.0.0.255 attribute 9: Clock, clock_base",
        "   0  clock_base: enum internal-crystal (1)",
        "",
        "class 111 0-0:19.0.0.255 attribute 2: Account, account_mode_and_status",
        "   0  account_mode_and_status: structure of 2",
        "   2    payment_mode:   enum prepayment (2)",
        "   4    account_status: enum active (2)",
        "",
        "class 115 0-0:19.40.0.255 attribute 2: Token gateway, token",
        f"   0  token: octet-string (token {GOOD.masked}, 20 octets)",
        "",
        "class 15 0-0:40.0.0.255 attribute 7: read-write-denied (3)",
    ]
    assert [one["refused"] for one in read] == [None, None, None, "read-write-denied (3)"]
    assert read[1]["value"]["children"][0]["value"] == "enum prepayment (2)"


# Logs.

TABLE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00)  (\S+) +(\S.*?)  +(\S+ kWh)")


def entries(said: Said) -> list[tuple[str, ...]]:
    assert (said.code, said.err) == (0, "")
    return [match.groups() for line in said.out.splitlines() if (match := TABLE.fullmatch(line))]


@pytest.mark.parametrize("pdu_size_max", [0xFFFF, 128])
async def test_the_token_log_is_read_whole_and_in_part(stsgate: Stsgate, tmp_path: Path, pdu_size_max: int) -> None:
    """A PDU of 128 octets makes blocks of everything that is long."""
    profile = tmp_path / "sized.toml"
    sim = (Path(__file__).parents[2] / "config/meter_profiles/sim.toml").read_text(encoding="utf-8")
    profile.write_text(f"{sim}\npdu_size_max = {pdu_size_max}\n")
    tokens = [encode_credit(CONFIG.decoder_key, CONFIG.unit.kind, 10, 6_000_000 + n, 5).digits for n in range(6)]
    options = ["--profile", str(profile)]
    async with lab_meter("--security", "hls-gmac", *KEYS, "--profile", str(profile)) as meter:
        url, secure = meter.urls[0], ["--security", "hls-gmac", *KEYS]
        await deliver(stsgate, url, *tokens, OTHER.digits, options=[*options, *secure])

        async def log(*chosen: str) -> list[tuple[str, ...]]:
            return entries(await readback(stsgate, url, *secure, "--log", *chosen, profile=str(profile)))

        everything = await log()
        assert [(row[1], row[2], row[3]) for row in everything] == [
            *(("remote", "execution ok", f"{n}.0 kWh") for n in range(1, 7)),
            ("remote", "authentication failure", "6.0 kWh"),
        ]
        assert await log("--last", "2") == everything[-2:]
        assert await log("--last", "99") == everything
        assert await log("--from", "2000-01-01", "--to", "2098-12-31") == everything
        assert await log("--to", "2020-12-31") == []
        assert await log("--from", "2097-01-01T00:00:00+01:00") == []
        last = everything[-1][0].replace(" ", "T", 1).replace(" ", "")
        assert everything[-1] in await log("--from", last)
        found = shown(await readback(stsgate, url, *secure, "--log", "--json", "--last", "1", profile=str(profile)))
        report = await readback(stsgate, url, *secure, profile=str(profile))
        listed = await readback(stsgate, url, *secure, "--list", profile=str(profile))
    names = [column["name"] for column in found["log"]["columns"]]
    assert names == ["time", "token_delivery_method", "status_code", "available_credit"]
    assert found["log"]["entries"][0][1:] == ["remote", "authentication-failure", "6.0"]
    assert found["log"]["note"] is None
    assert fields(report)["Account/available credit"] == "6.0 kWh"
    assert len(listed.out.splitlines()) == 16


async def test_an_empty_log_is_no_error(stsgate: Stsgate) -> None:
    async with lab_meter() as meter:
        for chosen in ([], ["--last", "5"], ["--from", "2026-01-01"]):
            said = await readback(stsgate, meter.urls[0], "--log", *chosen)
            assert (said.code, said.err) == (0, "")
            assert "log 1-0:99.15.0.255, 0 entries" in said.out


async def test_a_log_that_is_not_there_is_refused(stsgate: Stsgate) -> None:
    async with lab_meter() as meter:
        said = await readback(stsgate, meter.urls[0], "--log", "1-0:99.1.0.255")
    assert said.code == 3
    assert "refused: the log 1-0:99.1.0.255 cannot be read" in said.err


class OddMeter(SimMeter):
    """With other readers in place of its own."""

    def __init__(self, config: MeterConfig, **odd: Any) -> None:
        super().__init__(config)
        for obis, row in list(self._objects.items()):
            if row.class_id in odd.get("classes", {}):
                self._objects[obis] = odd["classes"][row.class_id](row)


@asynccontextmanager
async def odd_meter(**classes: Any) -> AsyncIterator[tuple[str, OddMeter]]:
    meter = OddMeter(CONFIG, classes={int(name[1:]): change for name, change in classes.items()})
    async with await listen_somewhere("tcp", meter.serve, accept=meter.config.is_for_us) as listener:
        yield listener.url, meter
    meter.close()


async def test_a_meter_that_gives_no_part_of_its_log_is_read_whole(stsgate: Stsgate) -> None:
    async with odd_meter(c7=lambda row: replace(row, selective_readers={})) as (url, meter):
        meter.enter(GOOD.digits.encode())
        meter.enter(OTHER.digits.encode())
        last = await readback(stsgate, url, "--log", "--last", "1")
        early = await readback(stsgate, url, "--log", "--to", "2020-01-01")
        zoned = await readback(stsgate, url, "--log", "--from", "2020-01-01T00:00+02:00")
        day = await readback(stsgate, url, "--log", "--from", "2020-01-01")
    assert "refused to give a part of the log (scope-of-access-violated (13))" in last.out
    assert [row[2] for row in entries(last)] == ["authentication failure"]
    assert entries(early) == []
    assert len(entries(zoned)) == len(entries(day)) == 2


async def test_only_the_wanted_entries_are_asked_for(stsgate: Stsgate) -> None:
    asked: list[tuple[int, list[object]]] = []

    def listening(row: InterfaceClass) -> InterfaceClass:
        def whole(asked_now: Asked) -> Data | DataAccessResult:
            asked.append((0, []))
            return row.readers[2](asked_now)

        def part(asked_now: Asked, selector: int, parameters: Data) -> Data | DataAccessResult:
            asked.append((selector, [one.value for one in parameters.elements]))
            return row.selective_readers[2](asked_now, selector, parameters)

        return replace(row, readers={**row.readers, 2: whole}, selective_readers={2: part})

    async with odd_meter(c7=listening) as (url, meter):
        await readback(stsgate, url, "--log", "--last", "2")
        assert asked == []  # an empty log is not asked for any
        for token in (GOOD, OTHER, OTHER):
            meter.enter(token.digits.encode())
        for chosen in ([], ["--last", "2"], ["--from", "2020-11-21T14:03:07+01:00", "--to", "2097-01-01T00:00Z"]):
            assert entries(await readback(stsgate, url, "--log", *chosen))
    assert asked[:2] == [(0, []), (2, [2, 0, 1, 0])]
    selector, (_, first, last, columns) = asked[2]
    assert (selector, columns) == (1, ())
    assert (first, last) == (bytes.fromhex("07E40B15FF0E030700FFC400"), bytes.fromhex("08310101FF00000000000000"))


async def test_a_log_that_begins_with_the_newest_is_shown_oldest_first(stsgate: Stsgate) -> None:
    def newest_first(row: InterfaceClass) -> InterfaceClass:
        def reverse(asked: Asked) -> Data:
            buffer = row.readers[2](asked)
            assert isinstance(buffer, Data)
            return axdr.array(*reversed(buffer.elements))

        def part(asked: Asked, selector: int, parameters: Data) -> Data:
            first, last = (one.integer for one in parameters.elements[:2])
            assert (selector, first) == (2, 1)
            return axdr.array(*reverse(asked).elements[:last])

        readers = {**row.readers, 2: reverse, 5: lambda _: axdr.enum(2)}
        return replace(row, readers=readers, selective_readers={2: part})

    async with odd_meter(c7=newest_first) as (url, meter):
        for token in (GOOD, OTHER, OTHER):
            meter.enter(token.digits.encode())
        everything = entries(await readback(stsgate, url, "--log"))
        assert [row[2] for row in everything] == ["execution ok", *["authentication failure"] * 2]
        assert entries(await readback(stsgate, url, "--log", "--last", "2")) == everything[1:]


async def test_a_value_of_another_form_is_said_and_the_rest_shown(stsgate: Stsgate) -> None:
    def odd(row: InterfaceClass) -> InterfaceClass:
        readers = {
            **row.readers,
            AccountAttribute.AVAILABLE_CREDIT: lambda _: axdr.utf8_string("much"),
            AccountAttribute.AMOUNT_TO_CLEAR: lambda _: DataAccessResult.TEMPORARY_FAILURE,
            AccountAttribute.CREDIT_REFERENCE_LIST: lambda _: axdr.array(axdr.octet_string(bytes(3))),
            AccountAttribute.MODE_AND_STATUS: lambda _: axdr.structure(axdr.enum(2), axdr.enum(9)),
        }
        return replace(row, readers=readers)

    async with odd_meter(c111=odd) as (url, _):
        said = await readback(stsgate, url)
        account = shown(await readback(stsgate, url, "--json"))["account"]
    found = fields(said)
    assert said.code == 0
    assert found["Account/mode and status"] == "prepayment, unknown (9)"
    assert found["Not read/account: available credit"].startswith("not understood: a whole number was expected")
    assert found["Not read/account: amount to clear"] == "temporary-failure (2) (class 111 0-0:19.0.0.255)"
    assert found["Credit/current credit amount"] == "0.0 kWh"  # the list says nothing, so the usual one is read
    assert (account["available_credit"], account["amount_to_clear"]) == (None, None)


async def test_a_meter_cannot_move_the_cursor_or_have_a_token_shown(stsgate: Stsgate) -> None:
    def odd(row: InterfaceClass) -> InterfaceClass:
        text = f"\x1b[2J {GOOD.digits[:4]} {GOOD.digits[4:]}"
        return replace(row, readers={**row.readers, 12: lambda _: axdr.visible_string(text)})

    async with odd_meter(c116=odd) as (url, _):
        said = await readback(stsgate, url)
        certificate = shown(await readback(stsgate, url, "--json"))["sts"]["sts_certificate_no"]
    assert "\x1b" not in said.out + certificate
    assert fields(said)["IEC 62055-41 attributes/STS certificate"] == certificate == f"?[2J {GOOD.masked}"


class TouchyMeter(SimMeter):
    """Hangs up when somebody asks for its security policy."""

    async def serve(self, channel: ApduChannel) -> None:
        def hang_up(_: Asked) -> Data:
            channel.hang_up()
            return axdr.NULL

        row = self._objects[security_setup.DEFAULT_OBIS]
        self._objects[security_setup.DEFAULT_OBIS] = replace(row, readers={**row.readers, 2: hang_up})
        await super().serve(channel)


async def test_a_meter_that_breaks_off_is_asked_for_the_rest_anew(stsgate: Stsgate) -> None:
    meter = TouchyMeter(CONFIG)
    async with await listen_somewhere("tcp", meter.serve, accept=meter.config.is_for_us) as listener:
        said = await readback(stsgate, listener.url)
        found = shown(await readback(stsgate, listener.url, "--json"))
    meter.close()
    assert said.code == 3
    assert "hung-up: " in said.err
    assert fields(said)["Push setup/retries"] == "0"
    assert "(the meter broke off)" in fields(said)["Not read/security setup"]
    assert found["security_setup"] is None
    assert found["error"]["reason"] == "hung-up"


# What cannot be read, and wrong usage.

UNREACHABLE: list[tuple[str, str, list[str]]] = [
    ("wrong-meter", "18 digits", ["--pan", "600727000000000017"]),
    ("wrong-meter", "device name", ["--serial", "SIM00000000001"]),
    ("config", "client", ["--client-sap", "2"]),
    ("config", "", ["--security", "lls", "--password", "another"]),
]


@pytest.mark.parametrize(("reason", "options"), [(row[0], row[2]) for row in UNREACHABLE])
@pytest.mark.parametrize("chosen", [[], ["--list"], ["--json"]], ids=["report", "list", "json"])
async def test_a_meter_that_is_another_or_refuses_is_told_with_its_reason(
    stsgate: Stsgate, reason: str, options: list[str], chosen: list[str]
) -> None:
    async with meter_at(config=secured(mechanism="lls", password=PASSWORD)) as (url, _):
        access = [] if "--security" in options else ["--security", "lls", "--password", PASSWORD]
        said = await readback(stsgate, url, *access, *options, *chosen)
    assert said.code == 3
    assert re.fullmatch(rf"stsgate readback: tcp://\S+: {reason}: [^\n]+\n", said.err)
    if "--json" in chosen:
        assert shown(said)["error"]["reason"] == reason


async def test_nobody_at_home_is_offline(stsgate: Stsgate) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    said = await readback(stsgate, url)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith(f"stsgate readback: {url}: offline: ")
    found = shown(await readback(stsgate, url, "--json"))
    assert (found["error"]["reason"], found["account"], found["credits"]) == ("offline", None, [])


async def test_the_right_meter_is_read(stsgate: Stsgate) -> None:
    async with lab_meter("--security", "hls-gmac", *KEYS) as meter:
        who = ["--pan", "600727000000000009", "--serial", "SIM00000000000", "--meter-system-title", "53494D0000000001"]
        said = await readback(stsgate, meter.urls[0], "--security", "hls-gmac", *KEYS, *who)
    assert said.code == 0
    assert said.out.startswith(f"{meter.urls[0]}, meter 53494D0000000001\n")


WRONG: list[tuple[str, list[str]]] = [
    ("no token_log_obis; give --log OBIS", ["--log", "--profile", "default"]),
    ("OBIS", ["--log", "1.2.3"]),
    ("--log", ["--last", "5"]),
    ("--log", ["--from", "2026-01-01"]),
    ("--last", ["--log", "--last", "0"]),
    ("--last", ["--log", "--last", "many"]),
    ("not both", ["--log", "--last", "5", "--to", "2026-01-01"]),
    ("from 'soon'", ["--log", "--from", "soon"]),
    ("to '2026-13-01'", ["--log", "--to", "2026-13-01"]),
    ("to '2026-11-22+00:00'", ["--log", "--to", "2026-11-22+00:00"]),
    ("later", ["--log", "--from", "2026-02-01", "--to", "2026-01-01"]),
    ("zone", ["--log", "--from", "2026-02-01T10:00+01:00", "--to", "2026-03-01"]),
    *(("attribute", ["--attribute", text]) for text in ("", "8", "8:0-0:1.0.0.255", "65536:0-0:1.0.0.255:2")),
    *(("attribute", ["--attribute", f"8:0-0:1.0.0.255:{number}"]) for number in ("0", "128", "-1", "x")),
    ("OBIS", ["--attribute", "8:1.0.0:2"]),
    ("known names", ["--profile", "nowhere"]),
    ("--token", ["--token", GOOD.digits]),
]


@pytest.mark.parametrize(("named", "options"), WRONG, ids=[" ".join(options) for _, options in WRONG])
def test_wrong_usage_is_one_line(stsgate: Stsgate, named: str, options: list[str]) -> None:
    said = stsgate("readback", "--endpoint", f"tcp://127.0.0.1:{free_port()}", "--profile", "sim", *options)
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"stsgate[^\n]*: [^\n]+\n", said.err)
    assert named in said.err


async def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """Such as ``head``: here it is gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    async with lab_meter() as meter:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "readback", "--endpoint", meter.urls[0], "--json"),
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        os.close(writing)
        _, errors = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    assert (process.returncode, errors) == (0, b"")


async def test_a_debt_is_told_with_its_charge(stsgate: Stsgate) -> None:
    async with meter_at("hdlc+tcp", replace(CONFIG, debt=DebtRecovery(1000, 2500))) as (url, meter):
        meter.enter(GOOD.digits.encode())
        said = await readback(stsgate, url)
        (charged,) = shown(await readback(stsgate, url, "--json"))["charges"]
    found = fields(said)
    assert said.code == 0
    assert found["Account/aggregated debt"] == "93.6 kWh"
    assert found["Account/charges"] == "0-0:19.20.0.255"
    assert found["Account/charges are paid"].startswith("0-0:19.20.0.255 is paid from 0-0:19.10.0.255")
    assert found["Charge/total amount remaining"] == "93.6 kWh"
    assert found["Charge/proportion"] == "25 % of each payment"
    assert found["Charge/unit charge active"] == "no prices"
    assert (charged["total_amount_paid"], charged["charge_type"]) == ("6.4", "payment-event-based")
    assert "Not read/charges" not in found
