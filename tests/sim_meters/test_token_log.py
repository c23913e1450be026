"""The token log: the ledger as a Profile generic, read whole or in part."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.clock import CosemDateTime
from cosem_objects.dlms.apdu import ActionResult, AttributeDescriptor, DataAccessResult, GetRequest, GetResponse
from cosem_objects.dlms.client import ClientAssociation, Event
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.obis import ObisCode
from cosem_objects.profile_generic import CaptureObject, EntryDescriptor, RangeDescriptor
from sim_meters.account import AccountUnit
from sim_meters.behaviour import Behaviour
from sim_meters.debt import DebtRecovery
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault
from sim_meters.ledger import FileLedger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from sim_meters.token_log import ENTRIES_MAX
from tests.sim_meters.meter_client import NONE, NOW, TIMEOUT_SECONDS, Client, Clock, a_meter, client_of, credit, link_to
from transports.channel import ApduChannel

LOG = "1-0:99.15.0.255"
TIME = CaptureObject(8, ObisCode.parse("0-0:1.0.0.255"), 2)
METHOD = CaptureObject(115, ObisCode.parse("0-0:19.40.0.255"), 5)
CREDIT = CaptureObject(111, ObisCode.parse("0-0:19.0.0.255"), 5)
MINUTE = 60


def rows(buffer: Data | int) -> list[list[object]]:
    """Minutes after ``NOW``, and the rest as it is."""
    assert isinstance(buffer, Data)
    found = []
    for entry in buffer.elements:
        time, *rest = entry.elements
        moment = CosemDateTime.from_octets(time.octets).to_datetime()
        assert moment is not None
        found.append([round((moment - NOW).total_seconds() / MINUTE), *(value.value for value in rest)])
    return found


async def five_tokens(meter: SimMeter, clock: Clock, client: Client) -> list[list[object]]:
    """One a minute: 25.6, 0.1, one of another meter, the first again, 25.6 on the keypad. What the log must say."""
    config = meter.config
    tokens = [credit(config, 256, 6_000_000), credit(config, 1, 6_000_001), credit(lab_config(1)), credit(config)]
    for token in tokens:
        await client.enter(token)
        clock.move(MINUTE)
    meter.key_in(credit(config, 256, 6_000_009))
    return [[0, 0, 3, 256], [1, 0, 3, 257], [2, 0, 5, 257], [3, 0, 6, 257], [4, 2, 3, 513]]


async def test_every_token_is_in_the_log_with_the_balance_after_it() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    async with client_of(meter) as client:
        assert rows(await client.get(7, LOG, 2)) == []
        expected = await five_tokens(meter, clock, client)
        assert rows(await client.get(7, LOG, 2)) == expected
        assert await client.value(7, LOG, 7) == axdr.double_long_unsigned(5)


async def test_the_log_never_holds_a_token() -> None:
    meter = a_meter()
    token = credit(meter.config)
    async with client_of(meter) as client:
        await client.enter(token)
        octets = axdr.encode(await client.value(7, LOG, 2))
    for encoding in (token.digits.encode(), bytes.fromhex(token.digits), token.number.to_bytes(9, "big")):
        assert encoding not in octets


ENTRIES = [
    (EntryDescriptor(), slice(0, 5)),
    (EntryDescriptor(4), slice(3, 5)),
    (EntryDescriptor(2, 3), slice(1, 3)),
    (EntryDescriptor(1, 99), slice(0, 5)),
    (EntryDescriptor(9, 0), slice(5, 5)),
]


@pytest.mark.parametrize(("wanted", "part"), ENTRIES)
async def test_entries_are_chosen_by_number(wanted: EntryDescriptor, part: slice) -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    async with client_of(meter) as client:
        expected = await five_tokens(meter, clock, client)
        assert rows(await client.get(7, LOG, 2, wanted.selection())) == expected[part]


def moment(minutes: float, *, seconds: float = 0, **changes: int | None) -> Data:
    shown = CosemDateTime.from_datetime(NOW + timedelta(minutes=minutes, seconds=seconds))
    return axdr.octet_string(replace(shown, **changes).to_octets())


RANGES = [
    (moment(1), moment(3), slice(1, 4)),
    (moment(1, seconds=0.01), moment(3, seconds=-0.01), slice(2, 3)),
    (moment(-99), moment(99), slice(0, 5)),
    (moment(5), moment(9), slice(0, 0)),
    (moment(3), moment(1), slice(0, 0)),
    # Without hundredths an end includes its second, and a beginning too; without a zone it is the meter's own time.
    (moment(1, hundredths=None), moment(3, hundredths=None), slice(1, 4)),
    (moment(1, deviation=None), moment(3, deviation=None), slice(1, 4)),
    # In another zone it is the same moment.
    (moment(61, deviation=-60), moment(63, deviation=-60), slice(1, 4)),
]


@pytest.mark.parametrize(("first", "last", "part"), RANGES)
async def test_entries_are_chosen_by_time(first: Data, last: Data, part: slice) -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    async with client_of(meter) as client:
        expected = await five_tokens(meter, clock, client)
        wanted = RangeDescriptor(TIME, first, last)
        assert rows(await client.get(7, LOG, 2, wanted.selection())) == expected[part]


async def test_columns_are_chosen_both_ways() -> None:
    clock = Clock()
    meter = a_meter(clock=clock)
    async with client_of(meter) as client:
        await five_tokens(meter, clock, client)
        by_name = RangeDescriptor(TIME, moment(4), moment(4), (CREDIT, METHOD)).selection()
        by_number = EntryDescriptor(5, 5, 2, 2).selection()
        assert await client.get(7, LOG, 2, by_name) == axdr.array(axdr.structure(axdr.double_long(513), axdr.enum(2)))
        assert await client.get(7, LOG, 2, by_number) == axdr.array(axdr.structure(axdr.enum(2)))


REFUSED = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
MISUNDERSTOOD = DataAccessResult.TYPE_UNMATCHED
WRONG: list[tuple[str, tuple[int, Data], DataAccessResult]] = [
    ("selector", (3, EntryDescriptor().selection()[1]), REFUSED),
    ("no descriptor", (1, axdr.NULL), MISUNDERSTOOD),
    ("the other descriptor", (1, EntryDescriptor().selection()[1]), MISUNDERSTOOD),
    ("by another column", RangeDescriptor(CREDIT, moment(0), moment(1)).selection(), REFUSED),
    (
        "a column that is not there",
        RangeDescriptor(TIME, moment(0), moment(1), (replace(CREDIT, attribute_index=6),)).selection(),
        REFUSED,
    ),
    ("open times", RangeDescriptor(TIME, moment(0, year=None), moment(1)).selection(), MISUNDERSTOOD),
    ("no times", RangeDescriptor(TIME, axdr.unsigned(1), axdr.unsigned(2)).selection(), MISUNDERSTOOD),
    ("a date alone", RangeDescriptor(TIME, axdr.octet_string(bytes(5)), moment(2)).selection(), MISUNDERSTOOD),
]


@pytest.mark.parametrize(("selection", "result"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_what_cannot_be_chosen_is_refused(selection: tuple[int, Data], result: DataAccessResult) -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(7, LOG, 2, selection) == result
        assert isinstance(await client.get(7, LOG, 2), Data)


@pytest.mark.parametrize("attribute", [0, 1, 3, 7, 9])
async def test_only_the_buffer_can_be_read_in_part(attribute: int) -> None:
    async with client_of(a_meter()) as client:
        assert await client.get(7, LOG, attribute, EntryDescriptor().selection()) == REFUSED
        assert await client.get(115, "0-0:19.40.0.255", 2, EntryDescriptor().selection()) == REFUSED


@pytest.mark.parametrize("method", [1, 2])
async def test_no_client_can_empty_the_log_or_write_into_it(method: int) -> None:
    async with client_of(a_meter()) as client:
        assert (await client.act(7, LOG, method, axdr.integer(0))).result == ActionResult.READ_WRITE_DENIED


async def test_a_long_log_comes_in_blocks_whole_or_in_part() -> None:
    config, clock = lab_config(), Clock()
    meter = a_meter(config, clock=clock)
    for number in range(40):
        meter.enter(credit(config, 1, 6_000_000 + number).digits.encode())
        clock.move(MINUTE)
    expected = [[number, 0, 3, number + 1] for number in range(40)]
    association = ClientAssociation(NONE, InvocationCounters(), bytes(16), pdu_size_max=128)
    async with link_to(meter) as link:
        channel = link.channel(1, 1)
        await channel.open(TIMEOUT_SECONDS)
        await exchange(channel, association, association.associate())
        for selection, part in (
            (None, expected),
            (EntryDescriptor(11).selection(), expected[10:]),
            (RangeDescriptor(TIME, moment(5), moment(30)).selection(), expected[5:31]),
        ):
            request = GetRequest(AttributeDescriptor(7, ObisCode.parse(LOG), 2), selection)
            response, blocks = await exchange(channel, association, association.request(request))
            assert isinstance(response, GetResponse)
            assert rows(response.result) == part
            assert blocks > 3


async def exchange(channel: ApduChannel, association: ClientAssociation, octets: bytes) -> tuple[Event, int]:
    """The answer, and how many blocks were asked for on the way to it."""
    blocks = 0
    await channel.send(octets)
    while isinstance(event := association.receive(await channel.receive(TIMEOUT_SECONDS)), bytes):
        blocks += 1
        await channel.send(event)
    return event, blocks


async def test_the_oldest_entries_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim_meters.token_log.ENTRIES_MAX", 3)
    clock = Clock()
    meter = a_meter(clock=clock)
    async with client_of(meter) as client:
        expected = await five_tokens(meter, clock, client)
        assert rows(await client.get(7, LOG, 2)) == expected[2:]
        assert await client.value(7, LOG, 7) == axdr.double_long_unsigned(3)
    assert ENTRIES_MAX == 1000


async def test_a_meter_started_again_has_the_same_log(tmp_path: Path) -> None:
    clock = Clock()
    config = lab_config()
    buffers = []
    for start in range(2):
        meter = a_meter(config, clock=clock, ledger=FileLedger(tmp_path / "ledger", config.ledger_identity))
        async with client_of(meter) as client:
            if not start:
                await five_tokens(meter, clock, client)
            buffers.append(await client.value(7, LOG, 2))
        meter.close()
    assert buffers[0] == buffers[1]


async def balances(config: MeterConfig, *units: int) -> list[object]:
    clock = Clock()
    meter = a_meter(config, clock=clock)
    for number, one in enumerate(units):
        meter.enter(credit(config, one, 6_000_000 + number).digits.encode())
    async with client_of(meter) as client:
        found = [row[-1] for row in rows(await client.get(7, LOG, 2))]
        assert found[-1] == await client.balance()
    return found


async def test_the_balance_is_what_the_account_shows() -> None:
    assert await balances(replace(lab_config(), unit=AccountUnit.kwh(-3)), 256, 1) == [25_600, 25_700]
    money = replace(lab_config(), unit=AccountUnit.money("ZAR"))
    assert await balances(money, 1_000_000, -250_000) == [1000, 750]
    assert await balances(replace(lab_config(), debt=DebtRecovery(100, 5_000)), 100, 200) == [50, 200]


async def test_a_meter_without_an_account_logs_no_balance() -> None:
    meter = a_meter(replace(lab_config(), profile=replace(SIM_PROFILE, account_obis=None)))
    async with client_of(meter) as client:
        await client.enter(credit(meter.config))
        assert rows(await client.get(7, LOG, 2)) == [[0, 0, 3]]
        assert len((await client.value(7, LOG, 3)).elements) == 3


async def test_the_status_is_in_the_meters_own_code() -> None:
    meter = a_meter(replace(lab_config(), profile=replace(SIM_PROFILE, status_map={10: 3})))
    async with client_of(meter) as client:
        await client.enter(credit(meter.config))
        assert rows(await client.get(7, LOG, 2)) == [[0, 0, 10, 256]]


async def test_a_token_that_the_gateway_forgot_to_show_is_in_the_log() -> None:
    meter = a_meter(behaviour=Behaviour([FaultOrder(Fault.STALE_STATUS)]))
    async with client_of(meter) as client:
        await client.enter(credit(meter.config))
        assert (await client.gateway(2)).octets == b""
        assert rows(await client.get(7, LOG, 2)) == [[0, 0, 3, 256]]


async def test_a_token_in_work_is_not_in_the_log_yet() -> None:
    clock = Clock()
    meter = a_meter(replace(lab_config(), status_delay_seconds=30), clock=clock)
    async with client_of(meter) as client:
        await client.enter(credit(meter.config))
        assert rows(await client.get(7, LOG, 2)) == []
        clock.move(30)
        assert rows(await client.get(7, LOG, 2)) == [[0, 0, 3, 256]]


async def test_a_clock_of_the_opposite_sign_is_understood_in_ranges() -> None:
    profile = replace(SIM_PROFILE, deviation_sign=-1)
    clock = Clock(datetime(2026, 11, 21, 12, tzinfo=UTC))
    meter = a_meter(replace(lab_config(), profile=profile), clock=clock)
    async with client_of(meter) as client:
        await client.enter(credit(meter.config))
        at = CosemDateTime(2026, 11, 21, None, 13, 0, 0, 0, 60, 0)  # 13:00 +01:00, the other way round
        ends = axdr.octet_string(at.to_octets())
        assert len(rows(await client.get(7, LOG, 2, RangeDescriptor(TIME, ends, ends).selection()))) == 1


async def test_a_model_without_a_log_has_none() -> None:
    async with client_of(a_meter(replace(lab_config(), profile=replace(SIM_PROFILE, token_log_obis=None)))) as client:
        assert await client.get(7, LOG, 2) == DataAccessResult.OBJECT_UNDEFINED
