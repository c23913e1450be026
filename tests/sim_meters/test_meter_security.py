"""The secured meter: high level security, counters that never go back, forms of ciphering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosem_objects.dlms.apdu import AttributeDescriptor, GetRequest, ServiceError
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Ciphering, SecuritySettings
from cosem_objects.obis import ObisCode
from sim_meters.ledger import FileLedger, Ledger, read_ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.records import CountersKept
from tests.sim_meters.meter_client import (
    AK,
    EK,
    HLS,
    METER_TITLE,
    Clock,
    a_meter,
    associate,
    client_of,
    credit,
    enter_request,
    link_to,
)

CONFIG = replace(lab_config(), security=HLS)
LLS = SecuritySettings.parse({"mechanism": "lls", "password": "12345678", "meter_system_title": METER_TITLE})
GENERAL = replace(HLS, ciphering=Ciphering.GENERAL_GLO)
CIPHERED_WITHOUT_HLS = SecuritySettings.parse(
    {"ek": EK, "ak": AK, "ciphering": "service-glo", "meter_system_title": METER_TITLE}
)
GMAC_IN_CLEAR = replace(HLS, ciphering=Ciphering.NONE)


@pytest.mark.parametrize("security", [HLS, LLS, GENERAL, CIPHERED_WITHOUT_HLS, GMAC_IN_CLEAR])
async def test_a_delivery_in_every_security(security: SecuritySettings) -> None:
    config = replace(lab_config(), security=security)
    async with client_of(a_meter(config), counters=InvocationCounters()) as client:
        assert await client.enter(credit(config)) == 0
        assert (await client.status()).code == 3
        assert await client.balance() == 256
        await client.release()


@pytest.mark.parametrize(
    ("answers_as_asked", "asked", "answered"),
    [(True, "service-glo", 0xCC), (True, "general-glo", 0xDB), (False, "general-glo", 0xCC)],
)
async def test_the_form_of_the_answer(answers_as_asked: bool, asked: str, answered: int) -> None:
    meter = a_meter(replace(CONFIG, answers_as_asked=answers_as_asked))
    async with link_to(meter) as link:
        client = await associate(link.channel(), replace(HLS, ciphering=Ciphering(asked)))
        sent = client.association.request(_read_balance())
        await client.channel.send(sent)
        assert (await client.channel.receive(5))[0] == answered


async def test_the_public_client_reads_where_to_go_on() -> None:
    """Read as client 16, go on with the next one: the procedure of every head-end that lost its counter."""
    meter = a_meter(CONFIG)
    assert await _public_counter(meter) == 0
    async with client_of(meter, counters=InvocationCounters(next_own=500)) as client:
        await client.balance()
    last = await _public_counter(meter)
    assert last == meter.counters.last_received > 500
    async with client_of(meter, counters=InvocationCounters(next_own=last + 1)) as client:
        assert await client.balance() == 0


async def test_an_old_counter_is_refused_with_the_expected_one() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters(next_own=500)):
        pass
    with pytest.raises(ServiceRefused) as refusal:
        async with client_of(meter, counters=InvocationCounters(next_own=1)):
            pass
    assert refusal.value.expected_counter == meter.counters.last_received + 1
    assert refusal.value.response.service_error == ServiceError.INVOCATION_COUNTER_ERROR  # type: ignore[union-attr]


async def test_a_repeated_enter_is_a_replay_and_nothing_is_booked_twice() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters()) as client:
        from_client = client.association.request(enter_request(credit(CONFIG)))
        await client.channel.send(from_client)
        await client.channel.receive(5)
        await client.channel.send(from_client)
        expected = (meter.counters.last_received + 1).to_bytes(4, "big")
        assert await client.channel.receive(5) == b"\xd8\x01\x06" + expected
    assert len(meter.ledger.entries) == 1


class CountingLedger(Ledger):
    """Remembers every record of the counters."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[CountersKept] = []

    def _remember(self, record: object) -> None:
        super()._remember(record)  # type: ignore[arg-type]
        if isinstance(record, CountersKept):
            self.kept.append(record)


async def test_counters_are_written_down_before_the_answer_leaves() -> None:
    ledger = CountingLedger()
    meter = SimMeter(CONFIG, ledger, clock=Clock())
    sent: list[tuple[int, int]] = []
    async with client_of(meter, counters=InvocationCounters(next_own=7)) as client:
        for _ in range(5):
            await client.balance()
            sent.append((ledger.counters.received, ledger.counters.sent_limit))
            assert ledger.counters.received == meter.counters.last_received
            assert ledger.counters.sent_limit >= meter.counters.next_own
    assert [received for received, _ in sent] == sorted({received for received, _ in sent})
    assert len({limit for _, limit in sent}) == 1, "our own are reserved in blocks"
    assert [record.sent_limit for record in ledger.kept] == sorted(record.sent_limit for record in ledger.kept)


async def test_a_restarted_meter_takes_no_old_counter_and_uses_none_of_its_own_twice(tmp_path: Path) -> None:
    path, used = tmp_path / "ledger", []
    for start in (1, 100, 200):
        meter = SimMeter(CONFIG, FileLedger(path, CONFIG.ledger_identity), clock=Clock())
        used.append((meter.counters.next_own, meter.counters.last_received))
        async with client_of(meter, counters=InvocationCounters(next_own=start)) as client:
            await client.balance()
        if start > 1:
            with pytest.raises(ServiceRefused):
                async with client_of(meter, counters=InvocationCounters(next_own=start)):
                    pass
        used.append((meter.counters.next_own, meter.counters.last_received))
        meter.close()
    own, received = zip(*used, strict=True)
    assert list(own) == sorted(set(own))
    # Four each: the AARQ, the challenge inside the HLS answer, the APDU around it, the GET.
    assert list(received) == [-1, 4, 4, 103, 103, 203]
    assert read_ledger(path).counters.received == received[-1]


async def test_a_meter_without_keys_writes_no_counters() -> None:
    ledger = CountingLedger()
    async with client_of(SimMeter(lab_config(), ledger, clock=Clock())) as client:
        await client.balance()
    assert ledger.kept == []


async def test_a_wrong_password_is_refused() -> None:
    meter = a_meter(replace(lab_config(), security=LLS))
    async with link_to(meter) as link:
        with pytest.raises(AssociationRefused):
            await associate(link.channel(), replace(LLS, password=b"87654321"))


async def test_challenges_are_fresh_or_handed_in() -> None:
    given: list[bytes] = []

    def handed_in() -> bytes:
        given.append(bytes([len(given)]) * 16)
        return given[-1]

    meter = a_meter(CONFIG, new_challenge=handed_in)
    for start in (1, 100):
        async with client_of(meter, counters=InvocationCounters(next_own=start)) as client:
            await client.balance()
    assert len(given) == 2


def _read_balance() -> GetRequest:
    return GetRequest(AttributeDescriptor(111, ObisCode.parse("0-0:19.0.0.255"), 5))


async def _public_counter(meter: SimMeter) -> int:
    async with client_of(meter, client_sap=16) as public:
        return (await public.value(1, "0-0:43.1.0.255", 2)).integer
