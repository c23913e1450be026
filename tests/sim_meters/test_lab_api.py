"""The lab API over real HTTP: a fleet on real sockets, looked at, disturbed and moved in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem_objects.errors import SettingError
from cosem_objects.sts_token import Token
from sim_meters.clock import Clock, SystemClock, VirtualClock
from sim_meters.fleet.files import load_fleet
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.meters import FleetMeters
from sim_meters.issuing import OTHER_KINDS
from sim_meters.lab_api.address import LabAddress
from sim_meters.lab_api.problems import Problem
from sim_meters.lab_api.server import lab_api
from sim_meters.lab_api.tokens import FIELDS, KINDS, MEMBERS, LabIssuer
from sim_meters.meter import SimMeter
from sim_meters.sts.results import TokenResult
from tests.fuzz.properties import assert_harmless
from tests.sim_meters.meter_client import Client, associate, free_ports, running
from transports.channel import ChannelClosed
from transports.endpoint import Endpoint
from transports.registry import open_link

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOCAL = LabAddress("127.0.0.1", 0)
FLEET = """
seed = 42

[[group]]
name = "street"
count = 30
listen = "tcp://127.0.0.1:0"
share = 30
server_sap = 1

[[group]]
name = "kiosk"
count = 2
listen = "tcp://127.0.0.1:0"
currency = "ZAR:-2"
status_delay_seconds = 3600.0

[[group.fault]]
fault = "mute"
count = 1
phase = "release"

[[group]]
name = "shed"
count = 2
listen = "tcp://127.0.0.1:0"
emergency_credit = 5
sts = { base_date = 1993, settings = { kct_supported = 4 } }

[[group]]
name = "keyed"
listen = "tcp://127.0.0.1:0"
sts = { decoder_key = "0123456789abcdef" }
"""
LONG_AGO = datetime(2024, 11, 1, 12, tzinfo=UTC)
"""When tokens of base date 1993 could still be made."""


@dataclass
class Lab:
    """A running fleet, and a client of its API."""

    fleet: Fleet
    url: str
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and body, of which every error is a problem."""
        sent = {} if body is None else {"data": json.dumps(body).encode()}
        named = {"Content-Type": "application/json", **headers} if body is not None else headers
        async with self.http.request(method, f"{self.url}{path}", headers=named, **sent) as response:
            octets = await response.read()
            kind = "application/problem+json" if response.status >= 400 else "application/json"
            assert response.status == 204 or response.content_type == kind
            value = json.loads(octets) if octets else None
            if response.status >= 400:
                assert value["status"] == response.status
            return response.status, value

    async def get(self, path: str) -> Any:
        status, value = await self.call("GET", path)
        assert status == 200, value
        return value

    async def token(self, meter: str, amount: str = "10", **more: str) -> Token:
        status, value = await self.call("POST", "/tokens", {"meter": meter, "amount": amount, **more})
        assert status == 201, value
        return Token.parse(value["token"])

    async def tokens(self, meter: str, **more: object) -> list[Token]:
        """Of a key-change set."""
        status, value = await self.call("POST", "/tokens", {"meter": meter, "kind": "key_change", **more})
        assert status == 201, value
        return [Token.parse(digits) for digits in value["tokens"]]

    async def typed(self, meter: str, token: Token | str) -> str:
        digits = token if isinstance(token, str) else token.digits
        status, said = await self.call("POST", f"/meters/{meter}/keypad", {"token": digits})
        assert status == 200
        return str(said["result"])

    def meter(self, name: str) -> SimMeter:
        member = self.fleet.plan.find(name)
        assert member is not None
        return self.fleet.meters.meter(member)

    async def client(self, name: str) -> Client:
        member = self.fleet.plan.find(name)
        assert member is not None
        link = await open_link(Endpoint.parse(self.fleet.url_of(member)))
        return await associate(link.channel(1, member.config.server_sap))


@asynccontextmanager
async def lab(tmp_path: Path, clock: Clock | None = None, *, state_dir: Path | None = None) -> AsyncIterator[Lab]:
    file = tmp_path / "fleet.toml"
    file.write_text(FLEET)
    clock = clock or VirtualClock(START)
    with closing(FleetMeters(load_fleet(str(file)), clock=clock, state_dir=state_dir)) as meters:
        async with Fleet(meters) as fleet, lab_api(LOCAL, fleet) as url, aiohttp.ClientSession() as http:
            yield Lab(fleet, url, http)


async def test_the_summary_says_how_many_meters_there_are_and_what_time_it_is(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        summary = await one.get("")
        assert summary["seed"] == 42
        assert summary["meters"]["total"] == 35
        assert summary["meters"]["made"] == 0
        assert summary["meters"]["groups"][:2] == [{"name": "street", "count": 30}, {"name": "kiosk", "count": 2}]
        assert summary["clock"] == {"is_virtual": True, "now": START.isoformat()}


async def test_meters_are_listed_page_by_page_without_being_made(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        names, after = [], ""
        while True:
            page = await one.get(f"/meters?limit=7{after}")
            names += [meter["name"] for meter in page["meters"]]
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        assert names == [f"street-{number}" for number in range(1, 31)] + [
            *("kiosk-1", "kiosk-2", "shed-1", "shed-2", "keyed-1")
        ]
        found = (await one.get("/meters?name=kiosk-*"))["meters"]
        assert [meter["name"] for meter in found] == ["kiosk-1", "kiosk-2"]
        assert found[0]["url"].startswith("tcp://127.0.0.1:")
        assert (await one.get(f"/meters?name={found[1]['device_name']}"))["meters"] == found[1:]
        assert one.fleet.meters.made == []


async def test_a_token_is_made_typed_and_seen_in_balance_and_ledger_but_never_whole(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        token, other = await one.token("street-3", "25.6", unit="kWh"), await one.token("street-3", "1")
        assert token != other
        for digits, result in ((token.digits, "ACCEPT"), (token.digits, "USED_ERROR"), (other.digits, "ACCEPT")):
            status, said = await one.call("POST", "/meters/street-3/keypad", {"token": digits})
            assert (status, said["result"]) == (200, result)
        meter = await one.get("/meters/street-3")
        assert (meter["balance"], meter["switch"], meter["tokens"]) == ("26.6 kWh", "connected", 3)
        assert meter["shown"]["token"] == other.masked
        ledger = await one.get("/meters/street-3/ledger?limit=2")
        assert [record["result"] for record in ledger["records"]] == ["ACCEPT", "USED_ERROR"]
        rest = await one.get(f"/meters/street-3/ledger?first={ledger['next']}")
        assert [record["number"] for record in rest["records"]] == [3]
        assert rest["next"] is None
        shown = json.dumps([meter, ledger, rest])
        assert token.digits not in shown
        assert other.digits not in shown
        assert one.meter("street-3").ledger.times_credited(token) == 1


async def test_tokens_are_of_the_kind_that_the_meter_sells(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        token = await one.token("kiosk-1", "49.90", unit="ZAR")
        status, said = await one.call("POST", "/meters/kiosk-1/keypad", {"token": token.digits})
        assert (status, said["status"]["code"]) == (200, 3)
        for body in (
            {"meter": "kiosk-1", "amount": "10", "unit": "kWh"},
            {"meter": "kiosk-1", "amount": "10", "kind": "bonus"},
            {"meter": "kiosk-1", "amount": "10", "kind": 1},
            {"meter": "kiosk-1", "amount": "10", "kind": "key_change"},
            {"meter": "kiosk-1", "amount": "10", "new_krn": 2},
            {"meter": "kiosk-1", "kind": "key_change"},
            {"meter": "kiosk-1", "kind": "key_change", "new_krn": 0},
            {"meter": "kiosk-1", "kind": "key_change", "new_krn": 1.5},
            {"meter": "kiosk-1", "kind": "key_change", "new_krn": 2, "rollover": "yes"},
            {"meter": "kiosk-1", "kind": "key_change", "new_ea": "09"},
            {"meter": "kiosk-1", "kind": "management"},
            {"meter": "kiosk-1", "kind": "management", "command": "test", "control": "all"},
            {"meter": "kiosk-1", "kind": "management", "command": "power-limit"},
            {"meter": "kiosk-1", "kind": "management", "command": "power-limit", "watts": -1},
            {"meter": "kiosk-1", "kind": "management", "command": "power-limit", "watts": True},
            {"meter": "kiosk-1", "kind": "management", "command": "power-limit", "watts": 1, "register": "all"},
            {"meter": "kiosk-1", "kind": "test", "command": "power-limit", "watts": 1},
            {"meter": "kiosk-1", "kind": "test", "command": "test", "control": "dance"},
            {"meter": "kiosk-1", "amount": "ten"},
            {"meter": "kiosk-1", "amount": "0"},
            {"meter": "kiosk-1", "amount": 10},
            {"meter": "kiosk-1"},
            {"meter": "kiosk-1", "amount": "10", "tid": 5},
        ):
            status, problem = await one.call("POST", "/tokens", body)
            assert (status, problem["type"]) == (422, "invalid"), body
        assert (await one.call("POST", "/tokens", {"meter": "nobody", "amount": "1"}))[0] == 404


async def test_a_key_change_goes_from_key_to_key_and_tokens_follow_what_the_meter_holds(tmp_path: Path) -> None:
    async with lab(tmp_path, VirtualClock(LONG_AGO)) as one:
        old = await one.token("shed-1", "10")
        assert await one.typed("shed-1", old) == "ACCEPT"
        # A meter whose sets have up to four sections takes one of three, which says so itself, but none of two.
        first, second, third = await one.tokens("shed-1", new_krn=2, new_base_date="2014", new_ken=170, with_sgc=True)
        assert await one.typed("shed-1", third) == "THIRD_KEY_CHANGE_SECTION"
        assert await one.typed("shed-1", second) == "SECOND_KEY_CHANGE_SECTION"
        sts = (await one.get("/meters/shed-1"))["sts"]
        assert (sts["krn"], sts["ken"], sts["sections_held"]) == (1, 255, [2, 3])
        assert sts["tids"]["count"] == 2, "the date of manufacture, and the credit"
        late = await one.token("shed-1", "10")
        assert await one.typed("shed-1", first) == "ACCEPT"
        sts = (await one.get("/meters/shed-1"))["sts"]
        assert (sts["krn"], sts["ken"], sts["sections_held"]) == (2, 170, [])
        assert sts["tids"]["lowest"] in (None, 0), "rolled over"
        assert await one.typed("shed-1", late) == "CRC_ERROR"
        assert await one.typed("shed-1", await one.token("shed-1", "5")) == "ACCEPT"
        four = await one.tokens("shed-1", new_krn=3, new_ea="11", rollover=False, new_sgc="123456")
        assert len(four) == 4
        assert [await one.typed("shed-1", token) for token in reversed(four)][-1] == "ACCEPT"
        meter = await one.get("/meters/shed-1")
        assert {name: meter["sts"][name] for name in ("sgc", "krn", "kt", "ti", "ken", "ea")} == {
            "sgc": "123456",
            "krn": 3,
            "kt": 2,
            "ti": "01",
            "ken": 170,
            "ea": "11",
        }
        assert await one.typed("shed-1", await one.token("shed-1", "5")) == "ACCEPT"
        assert (await one.get("/meters/shed-1"))["balance"] == "20.0 kWh"
        key = one.meter("shed-1").state.machine.key.decoder_key.octets.hex()
        assert key not in json.dumps(meter).lower()


CAMPAIGN = {
    **{name: {"new_krn": 2, "new_base_date": 2014} for name in ("old", "oldest", "water", "gas", "time", "money")},
    "migrating": {"new_krn": 2, "new_ea": "11"},
    "new": {"new_krn": 3},
    "expired": {"new_krn": 2, "new_ken": 170},
    "stock": {"new_kt": 2},
}
"""Of the shipped fleet for key changes: what is new in each group's keys."""


def test_the_shipped_fleet_takes_a_campaign_and_then_credit() -> None:
    plan = load_fleet("key_change")
    issuer = LabIssuer(plan.seed)
    assert {group.name for group in plan.groups} == set(CAMPAIGN)
    with closing(FleetMeters(plan, clock=VirtualClock(START))) as meters:
        for member in plan.members:
            meter, name = meters.meter(member), member.name
            made = issuer.issue(member, meter, {"kind": "key_change", **CAMPAIGN[member.group.name]})
            results = [meter.key_in(Token.parse(digits)) for digits in made["tokens"]]  # type: ignore[attr-defined]
            assert results[-1] is TokenResult.ACCEPT, name
            credit = issuer.issue(member, meter, {"amount": "10"})
            assert meter.key_in(Token.parse(str(credit["token"]))) is TokenResult.ACCEPT, name
            key = meter.state.machine.key
            assert (key.krn, key.kt) == (CAMPAIGN[member.group.name].get("new_krn", 1), 2), name
            assert meter.state.balance_units > 0, name


VALUES = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.sampled_from(
        [*KINDS, *OTHER_KINDS, *FIELDS, "all", "0:1", "flag:1:1", "0x8", "11", "07", "1993", "201457", "1", "25.6"]
    ),
    st.sampled_from([None, True, False, 0.5, [], {}, "abababababababab949494949494949401234567"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(MEMBERS[1:]), VALUES, max_size=5), st.sampled_from(["old-1", "new-1", "oldest-2"])
)
def test_any_request_for_tokens_is_answered_or_refused_in_one_sentence(body: dict[str, Any], name: str) -> None:
    plan = load_fleet("key_change")
    member = plan.find(name)
    assert member is not None
    with closing(FleetMeters(plan, clock=VirtualClock(LONG_AGO))) as meters:
        try:
            made = LabIssuer(1).issue(member, meters.meter(member), body)
        except (SettingError, Problem) as error:
            assert_harmless(SettingError(str(error)))
        else:
            tokens: list[str] = made.get("tokens") or [made["token"]]  # type: ignore[assignment]
            assert all(Token.parse(digits) for digits in tokens)


async def test_a_set_that_nobody_entered_changes_nothing_for_the_issuer(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        for krn in (2, 3):
            await one.tokens("street-1", new_krn=krn)
        assert await one.typed("street-1", await one.token("street-1")) == "ACCEPT"


async def test_the_issuer_knows_keys_of_an_earlier_run_by_what_the_meter_shows(tmp_path: Path) -> None:
    async with lab(tmp_path, state_dir=tmp_path / "state") as one:
        for token in await one.tokens("street-1", new_krn=2, new_base_date=2035, rollover=False):
            await one.typed("street-1", token)
    async with lab(tmp_path, VirtualClock(START.replace(year=2036)), state_dir=tmp_path / "state") as one:
        assert (await one.get("/meters/street-1"))["sts"]["krn"] == 2
        assert await one.typed("street-1", await one.token("street-1")) == "ACCEPT"


async def test_a_key_of_which_the_issuer_knows_nothing_is_a_conflict(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        assert await one.typed("keyed-1", await one.token("keyed-1")) == "ACCEPT"
        status, problem = await one.call("POST", "/tokens", {"meter": "keyed-1", "kind": "key_change", "new_krn": 2})
        assert (status, problem["detail"]) == (
            *(422, "key: expected a vending key; from a decoder key no other is derived"),
        )
        other = "fedcba9876543210fedcba9876543210fedcba98"
        for token in await one.tokens("street-1", new_vending_key=other):
            await one.typed("street-1", token)
        assert await one.typed("street-1", await one.token("street-1")) == "ACCEPT"
    async with lab(tmp_path, state_dir=tmp_path / "state") as one:
        for token in await one.tokens("street-1", new_vending_key=other):
            await one.typed("street-1", token)
    async with lab(tmp_path, state_dir=tmp_path / "state") as one:
        status, problem = await one.call("POST", "/tokens", {"meter": "street-1", "amount": "1"})
        assert (status, problem["type"]) == (409, "conflict")
        assert "not issued here" in problem["detail"]
        assert (await one.call("POST", "/tokens", {"meter": "street-1", "kind": "test", **TEST_ALL}))[0] == 201


TEST_ALL = {"command": "test", "control": "all"}


async def test_management_and_test_tokens_are_made_by_the_commands_of_the_table(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        for command, fields in (
            ("power-limit", {"watts": 1000}),
            ("phase-unbalance", {"watts": "500"}),
            ("extended-set", {"control-value": "0:123"}),
            ("clear-credit", {"register": "all"}),
        ):
            body = {"meter": "street-2", "kind": "management", "command": command, **fields}
            status, made = await one.call("POST", "/tokens", body)
            assert (status, made["command"]) == (201, command)
            assert await one.typed("street-2", made["token"]) == "ACCEPT"
        meter = await one.get("/meters/street-2")
        assert meter["limits"] == {"power_watts": 1000, "phase_unbalance_watts": 500}
        assert meter["control_values"] == {"0": 123}
        _, made = await one.call("POST", "/tokens", {"meter": "street-2", "kind": "test", **TEST_ALL})
        assert await one.typed("street-2", made["token"]) == "ACCEPT"
        assert "power limit 1000 W" in (await one.get("/meters/street-2"))["shown"]["description"]


async def test_a_cover_is_opened_and_a_token_clears_it(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        await one.typed("street-2", await one.token("street-2"))
        assert await one.call("POST", "/meters/street-2/tamper") == (204, None)
        meter = await one.get("/meters/street-2")
        assert (meter["tampered"], meter["switch"]) == (True, "disconnected")
        body = {"meter": "street-2", "kind": "management", "command": "clear-tamper"}
        await one.typed("street-2", (await one.call("POST", "/tokens", body))[1]["token"])
        meter = await one.get("/meters/street-2")
        assert (meter["tampered"], meter["switch"]) == (False, "connected")
        records = (await one.get("/meters/street-2/ledger"))["records"]
        assert [record["kind"] for record in records] == ["token", "tamper", "token"]


async def test_emergency_credit_is_taken_once_and_paid_back_first(tmp_path: Path) -> None:
    async with lab(tmp_path, VirtualClock(LONG_AGO)) as one:
        taken = {"balance": "5.0 kWh", "owed": "5.0 kWh"}
        assert await one.call("POST", "/meters/shed-1/emergency-credit") == (200, taken)
        for meter in ("shed-1", "street-1"):
            status, problem = await one.call("POST", f"/meters/{meter}/emergency-credit")
            assert (status, problem["type"]) == (409, "conflict")
        assert (await one.get("/meters/shed-1"))["emergency_owed"] == "5.0 kWh"
        await one.typed("shed-1", await one.token("shed-1", "8"))
        meter = await one.get("/meters/shed-1")
        assert (meter["emergency_owed"], meter["balance"]) == ("0.0 kWh", "8.0 kWh")
        records = (await one.get("/meters/shed-1/ledger"))["records"]
        assert [record["kind"] for record in records] == ["emergency-credit", "token"]
        assert (records[1]["units"], records[1]["repaid"]) == (80, 50)


async def test_a_keypad_that_is_locked_says_until_when(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        wrong = await one.token("street-5")
        for _ in range(3):
            assert await one.typed("street-4", wrong) == "CRC_ERROR"
        right = await one.token("street-4")
        assert await one.typed("street-4", right) == "LOCKOUT"
        lock_out = (await one.get("/meters/street-4"))["sts"]["lock_out"]
        assert lock_out["wrong_entries"] == 3
        assert 10 <= (datetime.fromisoformat(lock_out["until"]) - START).total_seconds() < 11
        await one.call("POST", "/clock", {"advance_seconds": 11})
        assert (await one.get("/meters/street-4"))["sts"]["lock_out"] == {"wrong_entries": 3, "until": None}
        assert await one.typed("street-4", right) == "ACCEPT"
        assert (await one.get("/meters/street-4"))["sts"]["lock_out"]["wrong_entries"] == 0


async def test_digits_that_are_no_token_are_a_wrong_entry(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        right = await one.token("street-4")
        for typed, wrong in (("1234", 1), ("9" * 20, 2), ("7063 0503", 3)):
            status, said = await one.call("POST", "/meters/street-4/keypad", {"token": typed})
            assert (status, said["result"], said["status"]["code"]) == (200, "FORMAT_ERROR", 4)
            meter = await one.get("/meters/street-4")
            assert (meter["shown"]["status"]["code"], meter["shown"]["delivery"]) == (4, "manual")
            assert meter["sts"]["lock_out"]["wrong_entries"] == wrong
        for typed in (right.digits, "1234"):
            _, said = await one.call("POST", "/meters/street-4/keypad", {"token": typed})
            assert said == {"result": "LOCKOUT", "status": None}, "it says nothing of the entry before"
        for typed in ("12a4", "", "١٢٣٤"):
            assert (await one.call("POST", "/meters/street-4/keypad", {"token": typed}))[0] == 422


async def test_a_token_after_the_keys_expiry_is_made_only_if_it_is_said(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        for token in await one.tokens("street-4", new_krn=2, new_ken=102):
            assert "ERROR" not in await one.typed("street-4", token)
        for body in ({"amount": "1"}, {"kind": "management", "command": "clear-tamper"}):
            status, problem = await one.call("POST", "/tokens", {"meter": "street-4", **body})
            assert (status, problem["detail"][:30]) == (422, "ken: a key of KEN 102 expired ")
            _, made = await one.call("POST", "/tokens", {"meter": "street-4", "expired": True, **body})
            assert await one.typed("street-4", made["token"]) == "KEY_EXPIRED_ERROR"


async def test_sections_that_wait_too_long_are_shown_no_more(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        await one.typed("street-1", (await one.tokens("street-1", new_krn=2))[0])
        assert (await one.get("/meters/street-1"))["sts"]["sections_held"] == [1]
        await one.call("POST", "/clock", {"advance_seconds": 601})
        assert (await one.get("/meters/street-1"))["sts"]["sections_held"] == []


async def test_faults_are_ordered_counted_and_taken_back_while_the_fleet_runs(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        body = {"orders": [{"fault": "hang-up-after-enter:1", "meter": "street-*"}, {"fault": "mute", "numbers": "9"}]}
        status, said = await one.call("PUT", "/faults", body)
        assert status == 200
        assert [order["meters"] for order in said["orders"]] == [0, 0], "none is made yet, and all of them will be so"
        client = await one.client("street-3")
        token = await one.token("street-3")
        with pytest.raises(ChannelClosed):
            await client.enter(token)
        assert one.meter("street-3").ledger.times_credited(token) == 1
        meter = await one.get("/meters/street-3")
        assert (meter["faults"], meter["strikes"]) == ([], {"hang-up-after-enter": 1})
        assert (await one.get("/meters/street-9"))["faults"][-1] == {"fault": "mute", "numbers": "9-9", "left": None}
        assert (await one.get("/meters/kiosk-1"))["faults"] == [
            {"fault": "mute", "count": 1, "phase": "release", "left": 1}
        ]
        listed = (await one.get("/faults?group=street"))["meters"]
        assert {meter["name"] for meter in listed} == {"street-3", "street-9"}
        assert await one.call("DELETE", "/faults?fault=mute&meter=street-9") == (200, {"meters": 1})
        assert [order["fault"] for order in (await one.get("/meters/street-9"))["faults"]] == ["hang-up-after-enter"]
        assert (await one.get("/meters/kiosk-1"))["faults"], "that of another group stays"
        assert (await one.call("DELETE", "/faults"))[0] == 200
        assert (await one.get("/meters/kiosk-1"))["faults"] == []
        assert (await one.get("/meters/street-11"))["faults"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"fault": "asleep"},
        {"fault": "mute", "often": 1},
        {"orders": []},
        {"orders": [3]},
        {"orders": [{"fault": "mute"}] * 101},
        {"orders": [{"fault": "mute"}], "fault": "mute"},
        {"fault": "mute", "begin": "0001-01-01T00:00:00+10:00"},
        {"fault": "mute", "end": "9999-12-31T23:59:59-10:00"},
        [1],
    ],
    ids=repr,
)
async def test_an_order_that_cannot_be_is_refused_and_nothing_changes(tmp_path: Path, body: object) -> None:
    async with lab(tmp_path) as one:
        one.meter("street-1")
        status, problem = await one.call("PUT", "/faults", body)
        assert (status, problem["type"]) == (422, "invalid")
        assert (await one.get("/meters/street-1"))["faults"] == []


async def test_an_hour_passes_at_once_and_a_waiting_token_is_booked(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        token = await one.token("kiosk-2", "49.90")
        await (await one.client("kiosk-2")).enter(token)
        meter = await one.get("/meters/kiosk-2")
        assert (meter["pending"], meter["shown"]["status"]["code"], meter["associations"]) == (True, 8, 1)
        status, clock = await one.call("POST", "/clock", {"advance_seconds": 3600})
        assert (status, clock["now"]) == (200, (START + timedelta(hours=1)).isoformat())
        meter = await one.get("/meters/kiosk-2")
        assert (meter["pending"], meter["shown"]["status"]["code"]) == (False, 3)
        assert one.meter("kiosk-2").ledger.times_credited(token) == 1
        for seconds in (-1, "3600", None, True, 1e12):
            assert (await one.call("POST", "/clock", {"advance_seconds": seconds}))[0] == 422


async def test_real_time_cannot_be_moved(tmp_path: Path) -> None:
    async with lab(tmp_path, SystemClock()) as one:
        status, problem = await one.call("POST", "/clock", {"advance_seconds": 1})
        assert (status, problem["type"]) == (409, "conflict")


async def test_a_reboot_forgets_what_waits_and_cuts_the_client_off(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        client = await one.client("kiosk-1")
        await client.enter(await one.token("kiosk-1"))
        assert await one.call("POST", "/meters/kiosk-1/reboot") == (204, None)
        with pytest.raises(ChannelClosed):
            await client.balance()
        meter = await one.get("/meters/kiosk-1")
        assert (meter["pending"], meter["tokens"], meter["associations"]) == (False, 0, 0)


async def test_a_link_goes_and_comes_back(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        assert await one.call("POST", "/meters/street-1/link", {"online": False}) == (200, {"online": False})
        assert (await one.get("/meters/street-1"))["online"] is False
        with pytest.raises(ChannelClosed):
            await one.client("street-1")
        assert await one.call("POST", "/meters/street-1/link", {"online": True}) == (200, {"online": True})
        assert await (await one.client("street-1")).balance() == 0
        assert (await one.call("POST", "/meters/street-1/link", {"online": False, "seconds": 60}))[0] == 200
        await one.call("POST", "/clock", {"advance_seconds": 61})
        assert (await one.get("/meters/street-1"))["online"] is True
        for body in ({}, {"online": "no"}, {"online": True, "seconds": 5}, {"online": False, "seconds": -1}):
            assert (await one.call("POST", "/meters/street-1/link", body))[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "", {"Host": "lab.example"}),
        ("GET", "", {"Host": "lab.example:8400"}),
        ("GET", "", {"Host": "127.0.0.1.example"}),
        ("GET", "/meters", {"Origin": "https://lab.example"}),
        ("GET", "/meters", {"Origin": "null"}),
        ("POST", "/meters/street-1/reboot", {"Sec-Fetch-Site": "cross-site"}),
    ],
)
async def test_another_sites_page_is_turned_away(
    tmp_path: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    async with lab(tmp_path) as one:
        status, problem = await one.call(method, path, **headers)
        assert (status, problem["type"]) == (403, "forbidden")
        own = one.url.removesuffix("/v1/sim")
        assert (await one.call("GET", "", Origin=own))[0] == 200
        assert one.fleet.meters.made == []


async def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        url = f"{one.url}/clock"
        for data, kind, expected in (
            (b"{", "application/json", 400),
            (b"[" * 100_000, "application/json", 400),
            (b"\xff", "application/json", 400),
            (b"{}", "text/plain", 415),
            (b" " * (1 << 19), "application/json", 413),
        ):
            async with one.http.post(url, data=data, headers={"Content-Type": kind}) as response:
                assert response.status == expected
                assert (await response.json(content_type="application/problem+json"))["status"] == expected
        too_many = b'{"advance_seconds": 1' + b"0" * 400 + b"}"
        async with one.http.post(url, data=too_many, headers={"Content-Type": "application/json"}) as response:
            assert response.status == 422
        for method, path, expected in (
            ("GET", "/nothing", 404),
            ("GET", "/meters/nobody", 404),
            ("GET", "/meters/street-31", 404),
            ("DELETE", "/clock", 405),
            ("GET", "/meters?limit=0", 422),
            ("GET", "/meters?limit=5&limit=6", 422),
            ("GET", "/meters?order=up", 422),
            ("GET", "/meters?after=nobody", 422),
            ("GET", "/faults?numbers=x", 422),
            ("DELETE", "/faults?fault=asleep", 422),
            ("GET", "/meters/street-1/ledger?first=0", 422),
        ):
            assert (await one.call(method, path))[0] == expected, path
        wrong = await one.call("POST", "/meters/street-1/keypad", {"token": "12a4"})
        assert (wrong[0], wrong[1]["detail"]) == (422, "token: expected digits, as a keypad has no other keys")


async def test_a_body_that_is_not_encoded_as_it_says_is_a_problem(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        host, _, port = one.url.removeprefix("http://").removesuffix("/v1/sim").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /v1/sim/clock HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n".encode()
            + b"Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\nno gzip"
        )
        assert await reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"
        writer.close()


@pytest.mark.parametrize(
    "text", ["", "8400", "localhost:8400", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "1.2.3.4.5:1", "[zz]:1"]
)
def test_an_address_is_an_address_and_a_port(text: str) -> None:
    with pytest.raises(SettingError, match="lab-api: expected ADDRESS:PORT"):
        LabAddress.parse(text)


def test_an_address_that_others_reach_has_to_be_allowed() -> None:
    assert LabAddress.parse("[::1]:8400") == LabAddress("::1", 8400)
    for text in ("0.0.0.0:8400", "[::]:8400", "192.0.2.1:8400"):
        with pytest.raises(SettingError, match="can be reached from outside"):
            LabAddress.parse(text)
        assert not LabAddress.parse(text, allow_remote=True).is_local


async def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    async with lab(tmp_path) as one:
        port = int(one.url.split(":")[2].split("/")[0])
        with pytest.raises(SettingError, match=r"lab-api: cannot listen at 127\.0\.0\.1"):
            async with lab_api(LabAddress("127.0.0.1", port), one.fleet):
                pass


async def test_simmeters_run_serves_it_with_a_virtual_clock() -> None:
    port = free_ports(2)
    options = ("--listen", f"tcp://127.0.0.1:{port}", "--lab-api", f"127.0.0.1:{port + 1}")
    async with running(*options, "--clock-start", "2026-11-21T12:00:00Z", "--status-delay", "60") as meters:
        url = f"http://127.0.0.1:{port + 1}/v1/sim"
        assert f"lab API {url}" in meters.lines
        async with aiohttp.ClientSession() as http:
            asked = {"meter": "meter-1", "amount": "25.6", "unit": "kWh"}
            async with http.post(f"{url}/tokens", json=asked) as response:
                token = Token.parse((await response.json())["token"])
            client = await meters.client()
            assert await client.enter(token) == 0
            assert (await client.status()).code == 8
            async with http.post(f"{url}/clock", json={"advance_seconds": 60}) as response:
                assert response.status == 200
            assert (await client.status()).code == 3
            await client.channel.close()
        async with asyncio.timeout(20):
            code, errors = await meters.stop()
        assert code == 0, errors
