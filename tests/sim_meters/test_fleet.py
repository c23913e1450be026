"""Fleets alive: real wires of every kind, meters that are made when they are spoken to, one seed."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.verdict import Outcome
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase
from sim_meters.fleet.files import FLEETS
from sim_meters.fleet.fleet import Fleet
from sim_meters.fleet.meters import CHANGES_MAX, Cancellation, FleetMeters
from sim_meters.ledger import LedgerError, read_ledger
from tests.certificates import lab_tls
from tests.mosquitto import Mosquitto
from tests.sim_meters.fleets import TCP, UNITS, credit, fleet_plan, head_end, listed, living, member, read_list
from tests.sim_meters.meter_client import free_ports, running
from transports.calling_in.called_in import InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.calling_in.listener import listen_inbound
from transports.endpoint import Endpoint, EndpointError
from transports.wire_settings import WireSettings

ACCEPTED = Outcome.ACCEPTED
SECONDS = 10.0


async def test_the_small_fleet_takes_tokens_on_every_wire(tmp_path: Path) -> None:
    """As people start it, and as the list says that its meters are reached."""
    text = (FLEETS / "small.toml").read_text(encoding="utf-8")
    for port in re.findall(r"127\.0\.0\.1:(\d+)", text):
        text = text.replace(port, str(free_ports(3)))
    text = (
        re.sub(r"pty:///\w+/", f"pty://{tmp_path}/", text).replace("baud=9600", "baud=115200").replace("= 1.5", "= 0.1")
    )
    file, table = tmp_path / "fleet.toml", tmp_path / "meters.csv"
    file.write_text(text.replace("value = 1.0", "value = 0.1"), encoding="utf-8")
    options = ("--fleet", str(file), "--list", str(table), "--list-secrets")
    async with running(*options, meters=6) as meters, head_end() as pool:
        plan = fleet_plan(text)
        known = read_list(table)
        assert set(known) == {each.name for each in plan.members}
        assert {str(meter.endpoint) for meter in known.values()} == set(meters.urls)
        assert {url.partition(":")[0] for url in meters.urls} == {"tcp", "hdlc+tcp", "serial"}
        judged = await asyncio.gather(*(credit(pool, known[each.name], each) for each in plan.members))
        assert [one.verdict.outcome for one in judged] == [ACCEPTED] * 12
        assert (await meters.stop())[0] == 0
    assert table.stat().st_mode & 0o777 == 0o600


async def test_what_a_program_reads(tmp_path: Path) -> None:
    file, table = tmp_path / "fleet.toml", tmp_path / "meters.jsonl"
    file.write_text(f"{TCP}count = 5\nshare = 2\n[group.security]\nmechanism = 'lls'\n", encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sim_meters", "run", "--fleet", str(file), "--json", "--list", str(table)),
        stdout=asyncio.subprocess.PIPE,
        cwd=FLEETS.parents[1],
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            lines = [json.loads(await process.stdout.readline()) for _ in range(4)]
        rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    finally:
        process.terminate()
        await process.wait()
    assert [(line["event"], line.get("first"), line["meters"]) for line in lines] == [
        ("listening", "a-1", 2),
        ("listening", "a-3", 2),
        ("listening", "a-5", 1),
        ("ready", None, 5),
    ]
    assert lines[3]["wires"] == 3
    assert lines[3]["memory_octets"] > 1_000_000
    assert [row["id"] for row in rows] == [f"a-{number}" for number in range(1, 6)]
    assert [row["server_sap"] for row in rows] == [1, 2, 1, 2, 1]
    assert rows[0]["endpoint"] == lines[0]["url"]
    assert not {"password", "ek", "ak"} & set().union(*rows)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as mosquitto:
        yield mosquitto


async def test_a_fleet_at_a_broker(broker: Mosquitto, tmp_path: Path) -> None:
    """With both versions of the protocol, both payloads, and three meters behind one name."""
    text = "".join(
        f'[[group]]\nname = "g{number}"\ncount = 3\nlisten = "{broker.url}/site{number}/m{number}-01"\n{more}\n'
        for number, more in enumerate(
            (
                "",
                "share = 3\nserver_sap = 1001",
                "physical = 17\nmqtt = { payload = 'hdlc' }",
                "mqtt = { protocol = '3.1.1' }\nsecurity = { mechanism = 'hls-gmac' }",
            )
        )
    )
    async with living(text) as fleet:
        urls = {fleet.url_of(one) for one in fleet.plan.members}
        assert f"{broker.url}/site0/m0-03" in urls
        assert len(urls) == 10
        known = listed(fleet, tmp_path / "meters.csv")
        for group in fleet.plan.groups:
            async with head_end(group.wires) as pool:
                for number in range(3):
                    one = member(fleet, group.name_of(number))
                    assert (await credit(pool, known[one.name], one)).verdict.outcome is ACCEPTED, one.name


async def test_a_fleet_under_tls(tmp_path: Path) -> None:
    wires = WireSettings(tls=lab_tls())
    text = TCP.replace("tcp", "tcps") + "count = 2\nshare = 2\n"
    async with living(fleet_plan(text, wires=wires)) as fleet, head_end(wires) as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        for one in fleet.plan.members:
            assert fleet.url_of(one).startswith("tcps://127.0.0.1:")
            assert (await credit(pool, known[one.name], one)).verdict.outcome is ACCEPTED


def title_of_a_sealed_push(apdu: bytes) -> bytes | None:
    return apdu[2:10] if apdu[:2] == b"\xdb\x08" else None


async def test_meters_that_call_in(tmp_path: Path) -> None:
    """One group's modems say a line first, the other's meters a notification with their title."""
    words = FirstWords(title_of_a_sealed_push, re.compile("I am (?P<title>[0-9A-F]{16})"))
    endpoint = Endpoint("tcp", "127.0.0.1", free_ports())
    async with await listen_inbound(endpoint, InboundSettings(words=words)) as listener:
        text = f"""
            [[group]]
            name = "line"
            count = 2
            call_in = "{listener.url}"
            login = "I am {{title}}"

            [[group]]
            name = "push"
            count = 2
            call_in = "{listener.url}"

            [group.security]
            mechanism = "hls-gmac"
            """
        async with living(text) as fleet, head_end(called_in=listener.meters.shared_link) as pool:
            known = listed(fleet, tmp_path / "meters.csv")
            for one in fleet.plan.members:
                assert fleet.url_of(one) == listener.url
                title = one.config.security.meter_system_title
                assert str(known[one.name].endpoint) == f"inbound:{title.hex().upper()}"
                await listener.meters.wait(title, SECONDS)
                assert (await credit(pool, known[one.name], one)).verdict.outcome is ACCEPTED


async def test_thousands_listen_and_only_who_is_spoken_to_is_made(tmp_path: Path) -> None:
    text = TCP + "count = 2000\nshare = 1000\nserver_sap = 1001\nsecurity = { mechanism = 'hls-gmac' }\n"
    async with living(text) as fleet, head_end() as pool:
        assert fleet.meters.made == []
        known = listed(fleet, tmp_path / "meters.csv")
        assert fleet.meters.made == [], "a list wakes nobody"
        for name in ("a-1", "a-1000", "a-1001", "a-2000"):
            assert (await credit(pool, known[name], member(fleet, name))).verdict.outcome is ACCEPTED
        assert [made.name for made, _ in fleet.meters.made] == ["a-1", "a-1000", "a-1001", "a-2000"]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_ledgers_of_a_fleet_are_taken_up_again_and_keep_no_files_open(tmp_path: Path) -> None:
    text, state = TCP + "count = 40\nshare = 40\n", tmp_path / "state"
    async with living(text, state_dir=state) as fleet, head_end() as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        before = open_files()
        for one in fleet.plan.members:
            assert (await credit(pool, known[one.name], one)).verdict.outcome is ACCEPTED
            assert open_files() <= before + 4
        with pytest.raises(LedgerError, match="another process"):
            FleetMeters(fleet.plan, state_dir=state)
    async with living(text, state_dir=state) as fleet, head_end() as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        judged = await credit(pool, known["a-7"], member(fleet, "a-7"))
        assert (judged.verdict.outcome, judged.verdict.reason) == (Outcome.REJECTED, "used")
        assert [meter.config.device_name for _, meter in fleet.meters.made] == [member(fleet, "a-7").config.device_name]
    for one in fleet.plan.members:
        assert read_ledger(state / f"{one.config.device_name}.ledger").units_credited == UNITS


async def test_a_ledger_that_somebody_else_wrote_to_is_not_written_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(TCP, state_dir=tmp_path / "state") as fleet, head_end() as pool:
        one = member(fleet, "a-1")
        meter = fleet.meters.meter(one)
        file = tmp_path / "state" / f"{meter.config.device_name}.ledger"
        file.write_bytes(file.read_bytes() + b"{}\n")
        judged = await credit(pool, listed(fleet, tmp_path / "meters.csv")["a-1"], one)
        assert judged.verdict.outcome is not ACCEPTED
        assert meter.ledger.entries == []
    assert "somebody else changed it" in caplog.text


async def test_a_damaged_ledger_silences_its_own_meter_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    state = tmp_path / "state"
    text = TCP + "count = 2\nshare = 2\n"
    async with living(text, state_dir=state) as fleet, head_end() as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        for one in fleet.plan.members:
            assert (await credit(pool, known[one.name], one)).verdict.outcome is ACCEPTED
    file = state / f"{member(fleet, 'a-1').config.device_name}.ledger"
    file.write_bytes(file.read_bytes().replace(b'"units":256', b'"units":999'))
    async with living(text, state_dir=state) as fleet, head_end() as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        assert (await credit(pool, known["a-1"], member(fleet, "a-1"), 7_000_000)).verdict.reason == "hung-up"
        assert (await credit(pool, known["a-2"], member(fleet, "a-2"), 7_000_000)).verdict.outcome is ACCEPTED
    assert "it is damaged" in caplog.text


# Chance and faults.


def strikes(count: int, name: str, seed: int = 1) -> list[bool]:
    """Whether a fault of 50 % happens, in turn."""
    text = f'{TCP}count = {count}\n[[group.fault]]\nfault = "mute"\npercent = 50\n'
    meters = FleetMeters(fleet_plan(text, seed=seed))
    found = meters.plan.find(name)
    assert found is not None
    meter = meters.meter(found)
    return [meter.behaviour.happens(Fault.MUTE, Phase.READ, meter.now) is not None for _ in range(64)]


def test_what_happens_to_a_meter_depends_on_the_seed_and_on_nobody_else() -> None:
    assert strikes(3, "a-2") == strikes(300, "a-2")
    assert strikes(3, "a-2") != strikes(3, "a-3")
    assert strikes(3, "a-2") != strikes(3, "a-2", seed=2)


def active(meters: FleetMeters, name: str) -> list[Fault]:
    found = meters.plan.find(name)
    assert found is not None
    return [order.fault for order, _ in meters.meter(found).behaviour.active()]


def test_faults_are_for_the_meters_that_are_meant() -> None:
    text = f'{TCP}count = 9\n[[group.fault]]\nfault = "mute"\nnumbers = "2-3"\n[[group.fault]]\nfault = "delay"\n'
    meters = FleetMeters(fleet_plan(text))
    assert [len(active(meters, f"a-{number}")) for number in range(1, 5)] == [1, 2, 2, 1]


def test_faults_ordered_later_reach_meters_that_are_made_already_and_those_to_come() -> None:
    meters = FleetMeters(fleet_plan(TCP + "count = 9\n"))
    assert active(meters, "a-1") == []
    assert meters.change(FaultOrder.parse_mapping({"fault": "mute", "numbers": "1-4"})) == 1
    assert [active(meters, f"a-{number}") for number in (1, 2, 5)] == [[Fault.MUTE], [Fault.MUTE], []]
    assert meters.change(Cancellation(Fault.MUTE)) == 3
    assert [active(meters, f"a-{number}") for number in (1, 3)] == [[], []]
    assert meters.change(FaultOrder.parse("delay")) == 4
    assert meters.change(Cancellation()) == 4
    assert active(meters, "a-9") == []


def test_only_so_many_changes_are_kept() -> None:
    meters = FleetMeters(fleet_plan(TCP))
    for number in range(CHANGES_MAX):
        meters.change(FaultOrder(Fault.DELAY, value=float(number)))
    meters.change(FaultOrder(Fault.DELAY, value=1.0))  # it was there already
    with pytest.raises(ValueError, match="at most 1000 different changes"):
        meters.change(FaultOrder(Fault.MUTE))
    meters.change(Cancellation())
    meters.change(FaultOrder(Fault.MUTE))


# Links that go and come back.


async def test_a_meter_that_goes_offline_does_not_listen_and_comes_back_where_it_was(tmp_path: Path) -> None:
    async with living(TCP) as fleet, head_end() as pool:
        one = member(fleet, "a-1")
        known, url = listed(fleet, tmp_path / "meters.csv")["a-1"], fleet.url_of(one)
        assert (await credit(pool, known, one)).verdict.outcome is ACCEPTED
        meter = fleet.meters.meter(one)
        meter.go_offline()
        await until(known.endpoint, answered=False)
        assert (await credit(pool, known, one, 7_000_000)).verdict.outcome is Outcome.UNREACHED
        meter.go_online()
        await until(known.endpoint, answered=True)
        assert fleet.url_of(one) == url
        assert (await credit(pool, known, one, 7_000_000)).verdict.outcome is ACCEPTED
        meter.go_offline()
        meter.go_online()
        meter.go_offline()
        await until(known.endpoint, answered=False)


async def until(endpoint: Endpoint, *, answered: bool) -> None:
    """Somebody listens there, or nobody."""
    async with asyncio.timeout(SECONDS):
        while await is_answered(endpoint) is not answered:  # noqa: ASYNC110 - a port rings no bell
            await asyncio.sleep(0)


async def is_answered(endpoint: Endpoint) -> bool:
    try:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except OSError:
        return False
    writer.close()
    return True


async def test_the_others_stay_in_reach_when_one_behind_a_shared_listener_goes_offline(tmp_path: Path) -> None:
    async with living(TCP + "count = 2\nshare = 2\n") as fleet, head_end() as pool:
        known = listed(fleet, tmp_path / "meters.csv")
        fleet.meters.meter(member(fleet, "a-1")).go_offline()
        assert (await credit(pool, known["a-1"], member(fleet, "a-1"))).verdict.outcome is Outcome.UNREACHED
        assert (await credit(pool, known["a-2"], member(fleet, "a-2"))).verdict.outcome is ACCEPTED


async def test_a_place_that_is_taken_leaves_nothing_listening() -> None:
    first = free_ports(3)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", first + 2)
    async with server:
        text = TCP.replace(":0", f":{first}") + "count = 3\n"
        with pytest.raises(EndpointError, match=f"cannot listen on 127.0.0.1:{first + 2}"):
            async with Fleet(FleetMeters(fleet_plan(text))):
                pass
        assert not await is_answered(Endpoint("tcp", "127.0.0.1", first))


async def test_a_head_end_that_is_not_there_is_called_until_it_is(tmp_path: Path) -> None:
    port = free_ports()
    text = f'[[group]]\nname = "a"\ncall_in = "tcp://127.0.0.1:{port}"\n'
    async with living(text) as fleet:
        one = member(fleet, "a-1")
        title = one.config.security.meter_system_title
        words = FirstWords(title_of_a_sealed_push, re.compile("(?P<title>[0-9A-F]{16})"))
        endpoint = Endpoint("tcp", "127.0.0.1", port)
        async with await listen_inbound(endpoint, InboundSettings(words=words)) as listener:
            await listener.meters.wait(title, SECONDS)
            async with head_end(called_in=listener.meters.shared_link) as pool:
                known = listed(fleet, tmp_path / "meters.csv")["a-1"]
                fleet.meters.meter(one).go_offline()
                async with asyncio.timeout(SECONDS):
                    while len(listener.meters):  # noqa: ASYNC110 - nobody is told who waits for nobody
                        await asyncio.sleep(0)
                fleet.meters.meter(one).go_online()
                await listener.meters.wait(title, SECONDS)
                assert (await credit(pool, known, one)).verdict.outcome is ACCEPTED
