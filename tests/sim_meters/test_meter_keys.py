"""Keys are transferred all or none, on the disk before the answer: a killed meter holds the old ones or the new."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cosem_objects import axdr
from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import ActionRequest, ActionResult, MethodDescriptor
from cosem_objects.dlms.refusals import AssociationRefused, ServiceRefused
from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.dlms.settings import Protection, SecuritySettings
from cosem_objects.errors import RemoteProtocolError
from cosem_objects.security_setup import DEFAULT_OBIS, KeyId, key_transfer_data, wrap_key
from sim_meters.lab import LAB_MASTER_KEY
from sim_meters.ledger import FileLedger, Ledger, read_ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from tests.sim_meters.meter_client import (
    AK,
    EK,
    HLS,
    METER_TITLE,
    Client,
    Clock,
    a_meter,
    associate,
    client_of,
    link_to,
    running,
)
from transports.channel import ChannelClosed, ChannelError

CONFIG = replace(lab_config(), security=HLS)
PLACE = "0-0:43.0.0.255"
UNICAST, BROADCAST, AUTHENTICATION, MASTER = KeyId
NEW_EK, NEW_AK, NEW_MASTER = (bytes([octet]) * 16 for octet in (0xE1, 0xA1, 0x31))
NEW = replace(HLS, ek=NEW_EK, ak=NEW_AK)
BOTH = {UNICAST: NEW_EK, AUTHENTICATION: NEW_AK}


async def transfer(client: Client, keys: Mapping[KeyId, bytes], master_key: bytes = LAB_MASTER_KEY) -> int:
    return (await client.act(64, PLACE, 2, key_transfer_data(keys, master_key))).result


async def opens(meter: SimMeter, security: SecuritySettings, counters: InvocationCounters | None = None) -> bool:
    """Whether the meter opens an association under these keys."""
    async with link_to(meter) as link:
        try:
            client = await associate(link.channel(), security, counters or InvocationCounters(next_own=50))
        except (AssociationRefused, ServiceRefused):
            return False
        return await client.balance() == 0


async def test_the_next_association_needs_the_new_keys_and_the_open_one_goes_on() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters()) as client:
        assert await transfer(client, BOTH) == ActionResult.SUCCESS
        assert await client.balance() == 0
        assert not await opens(meter, HLS)
        assert not await opens(meter, replace(HLS, ek=NEW_EK))
        assert not await opens(meter, replace(HLS, ak=NEW_AK))
        assert await opens(meter, NEW)
        assert await client.balance() == 0
        await client.release()
    assert meter.ledger.keys == BOTH


async def test_the_counters_of_a_new_encryption_key_begin_anew_on_both_sides() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters(next_own=500)) as client:
        await transfer(client, BOTH)
        assert (meter.counters.next_own, meter.counters.last_received) == (1, -1)
    assert await opens(meter, NEW, InvocationCounters(next_own=0))
    async with client_of(meter, client_sap=16) as public:
        assert (await public.value(1, "0-0:43.1.0.255", 2)).integer == meter.counters.last_received < 10


async def test_a_new_authentication_key_alone_leaves_the_counters_alone() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters(next_own=500)) as client:
        await transfer(client, {AUTHENTICATION: NEW_AK})
        own = meter.counters.next_own
    assert own > 1
    assert meter.counters.last_received > 500
    changed = replace(HLS, ak=NEW_AK)
    assert not await opens(meter, changed, InvocationCounters(next_own=400))
    assert await opens(meter, changed, InvocationCounters(next_own=600))


async def test_a_key_that_comes_back_uses_no_counter_twice() -> None:
    """There and back again, with an association that stays open under the old key meanwhile."""
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters()) as first:
        await transfer(first, {UNICAST: NEW_EK})
        used_before = meter.keys._counters
        await first.balance()
        async with link_to(meter) as link:
            second = await associate(link.channel(), replace(HLS, ek=NEW_EK))
            await transfer(second, {UNICAST: HLS.ek})
        assert len(used_before) == 2
        own, received = meter.counters.next_own, meter.counters.last_received
        await first.balance()
        assert (meter.counters.next_own, meter.counters.last_received) == (own + 1, received + 1)
    assert not await opens(meter, HLS, InvocationCounters(next_own=received))
    again = SimMeter(CONFIG, meter.ledger, clock=Clock())
    assert again.counters.next_own >= meter.counters.next_own
    assert again.counters.last_received == meter.counters.last_received


async def test_counters_of_the_old_key_are_kept_as_long_as_it_is_used(tmp_path: Path) -> None:
    meter = SimMeter(CONFIG, FileLedger(tmp_path / "ledger", CONFIG.ledger_identity), clock=Clock())
    async with client_of(meter, counters=InvocationCounters()) as client:
        await transfer(client, {UNICAST: NEW_EK})
        await client.balance()
        old = max(meter.keys._counters.values(), key=lambda counters: counters.last_received)
    meter.close()
    kept = read_ledger(tmp_path / "ledger")._counters.values()
    assert [record.received for record in kept] == [old.last_received]


async def test_a_new_master_key_is_needed_for_the_next_transfer() -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters()) as client:
        assert await transfer(client, {MASTER: NEW_MASTER}) == 0
        assert await transfer(client, BOTH) == ActionResult.OTHER_REASON
        assert await transfer(client, BOTH, NEW_MASTER) == 0
    assert await opens(meter, NEW)


def wrapped(key_id: Data, key: bytes) -> Data:
    return axdr.structure(key_id, axdr.octet_string(key))


GOOD = wrapped(axdr.enum(0), wrap_key(LAB_MASTER_KEY, NEW_EK))
REFUSED: list[tuple[str, Data | None, ActionResult]] = [
    ("nothing", None, ActionResult.TYPE_UNMATCHED),
    ("a single structure", GOOD, ActionResult.TYPE_UNMATCHED),
    ("an array of keys", axdr.array(axdr.octet_string(bytes(24))), ActionResult.TYPE_UNMATCHED),
    ("a structure of one", axdr.array(axdr.structure(axdr.enum(0))), ActionResult.TYPE_UNMATCHED),
    ("a key id that is no enum", axdr.array(wrapped(axdr.unsigned(0), bytes(24))), ActionResult.TYPE_UNMATCHED),
    ("no keys", axdr.array(), ActionResult.OTHER_REASON),
    ("another master key", key_transfer_data(BOTH, NEW_MASTER), ActionResult.OTHER_REASON),
    ("a key in clear", axdr.array(wrapped(axdr.enum(0), NEW_EK)), ActionResult.OTHER_REASON),
    ("too long a key", axdr.array(wrapped(axdr.enum(0), bytes(32))), ActionResult.OTHER_REASON),
    (
        "an unknown key",
        axdr.array(wrapped(axdr.enum(4), wrap_key(LAB_MASTER_KEY, NEW_EK))),
        ActionResult.OTHER_REASON,
    ),
    ("a good key and a bad one", axdr.array(GOOD, wrapped(axdr.enum(2), bytes(24))), ActionResult.OTHER_REASON),
    ("a key twice", axdr.array(GOOD, GOOD), ActionResult.OTHER_REASON),
]


@pytest.mark.parametrize(("parameters", "expected"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_is_refused_changes_nothing(parameters: Data | None, expected: ActionResult) -> None:
    meter = a_meter(CONFIG)
    async with client_of(meter, counters=InvocationCounters()) as client:
        assert (await client.act(64, PLACE, 2, parameters)).result == expected
        counted = meter.counters.last_received
    assert meter.ledger.keys == {}
    assert counted > 0
    assert await opens(meter, HLS)


async def test_a_client_that_has_shown_no_key_transfers_none() -> None:
    for security in (SecuritySettings(), SecuritySettings.parse({"mechanism": "lls", "password": "12345678"})):
        meter = a_meter(
            replace(lab_config(), security=replace(security, meter_system_title=bytes.fromhex(METER_TITLE)))
        )
        async with client_of(meter) as client:
            assert await transfer(client, BOTH) == ActionResult.READ_WRITE_DENIED
        assert meter.ledger.keys == {}


@pytest.mark.parametrize(
    ("changes", "policy"),
    [({}, 0x6C), ({"protection": Protection.AUTHENTICATED}, 0x24), ({"protection": Protection.ENCRYPTED}, 0x48)],
)
async def test_the_security_setup_tells_how_the_association_is_secured(changes: dict[str, object], policy: int) -> None:
    title = bytes.fromhex("5354534741544501")
    security = replace(HLS, client_system_title=title, **changes)  # type: ignore[arg-type]
    async with client_of(a_meter(replace(CONFIG, security=security)), counters=InvocationCounters()) as client:
        assert await client.value(64, PLACE, 2) == axdr.enum(policy)
        assert await client.value(64, PLACE, 4) == axdr.octet_string(title)
        assert await client.value(64, PLACE, 5) == axdr.octet_string(bytes.fromhex(METER_TITLE))


async def test_no_key_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    records: list[object] = []

    class Watched(Ledger):
        def append(self, record: object) -> None:  # type: ignore[override]
            records.append(record)
            super().append(record)  # type: ignore[arg-type]

    meter = a_meter(CONFIG, ledger=Watched())
    async with client_of(meter, counters=InvocationCounters()) as client:
        await transfer(client, BOTH, NEW_MASTER)
        await transfer(client, BOTH)
    told = f"{caplog.text} {records!r} {meter.config!r} {meter.state!r} {meter.keys!r} {meter.keys.security!r}"
    assert "global unicast encryption key" in caplog.text
    assert "KeysTransferred global_unicast_encryption_key" in told
    for key in (NEW_EK, NEW_AK, HLS.ek, LAB_MASTER_KEY, wrap_key(LAB_MASTER_KEY, NEW_EK)):
        for form in (key.hex(), key.hex().upper(), repr(key)[2:-1]):
            assert form not in told


# Power cuts.


async def test_wherever_the_record_is_torn_the_keys_are_the_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    meter = SimMeter(CONFIG, FileLedger(path, CONFIG.ledger_identity), clock=Clock())
    async with client_of(meter, counters=InvocationCounters()) as client:
        await transfer(client, BOTH)
    meter.close()
    whole = path.read_bytes()
    start = whole.index(b'{"kind":"keys"')
    end = whole.index(b"\n", start) + 1
    for size in (*range(start, end), end):
        path.write_bytes(whole[:size])
        meter = SimMeter(CONFIG, FileLedger(path, CONFIG.ledger_identity), clock=Clock())
        security = meter.keys.security
        assert (security.ek, security.ak) == ((NEW_EK, NEW_AK) if size == end else (HLS.ek, HLS.ak))
        meter.close()


async def test_a_transfer_that_cannot_be_written_is_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = SimMeter(CONFIG, FileLedger(tmp_path / "ledger", CONFIG.ledger_identity), clock=Clock())

    def full(self: FileLedger, fields: Mapping[str, object]) -> None:
        if fields["kind"] == "keys":
            monkeypatch.setattr("os.write", lambda *_: 0)
        write(self, fields)

    write = FileLedger._write
    async with client_of(meter, counters=InvocationCounters()) as client:
        with monkeypatch.context() as patch:
            patch.setattr(FileLedger, "_write", full)
            with pytest.raises(ChannelClosed):
                await transfer(client, BOTH)
            monkeypatch.undo()
    meter.close()
    again = SimMeter(CONFIG, FileLedger(tmp_path / "ledger", CONFIG.ledger_identity), clock=Clock())
    assert again.keys.security.ek == HLS.ek
    again.close()


OPTIONS = ("--listen", "tcp://127.0.0.1:0", "--security", "hls-gmac", "--ek", EK, "--ak", AK)


@pytest.mark.parametrize("seed", range(4))
async def test_killed_in_the_middle_of_transfers_the_meter_holds_one_set_of_keys(tmp_path: Path, seed: int) -> None:
    """Keys go round until the meter is gone; then it opens under the last ones that were answered, or the next ones."""
    rng = Random(seed)
    options = (*OPTIONS, "--system-title", METER_TITLE, "--state-dir", str(tmp_path))
    sets = [HLS] + [replace(HLS, ek=bytes([number]) * 16, ak=bytes([128 + number]) * 16) for number in range(1, 30)]
    counters = [InvocationCounters() for _ in sets]
    held = 0
    async with running(*options) as meter:

        async def go_round(now: asyncio.Event, steps: int) -> None:
            nonlocal held
            while True:
                if held == steps:
                    now.set()
                client = await meter.client(1, sets[held], counters[held])
                following = sets[held + 1]
                request = ActionRequest(
                    MethodDescriptor(64, DEFAULT_OBIS, 2),
                    key_transfer_data({UNICAST: following.ek, AUTHENTICATION: following.ak}, LAB_MASTER_KEY),
                )
                await client.ask(request)
                held += 1

        now = asyncio.Event()
        working = asyncio.create_task(go_round(now, rng.randrange(4)))
        await now.wait()
        # Not to wait for anything, but to be anywhere within the next association, its transfer and its answer.
        await asyncio.sleep(rng.random() * 0.02)
        meter.process.kill()
        await meter.process.wait()
        with pytest.raises(ChannelError):
            await working
    async with running(*options) as meter:
        opened = []
        for number in range(max(0, held - 1), held + 2):
            try:
                await meter.client(1, sets[number], counters[number])
            except RemoteProtocolError:
                continue
            opened.append(number)
    assert opened in ([held], [held + 1])
