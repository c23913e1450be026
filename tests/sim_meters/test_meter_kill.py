"""kill -9 at any moment: a token is booked or it never came, and what was answered stays true."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random

import pytest

from cosem_objects.dlms.security import InvocationCounters
from cosem_objects.sts_token import Token
from sim_meters.ledger import FileLedger, read_ledger
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from tests.sim_meters.meter_client import (
    AK,
    EK,
    HLS,
    METER_TITLE,
    Client,
    credit,
    enter_request,
    running,
)
from transports.channel import ChannelError

CONFIG = replace(lab_config(), security=HLS)
ROUNDS = 6
KEYS = ("--security", "hls-gmac", "--ek", EK, "--ak", AK, "--system-title", METER_TITLE)


@dataclass
class Client1:
    """What the client knows: it sent these tokens, and some were answered with status 3."""

    counters: InvocationCounters = field(default_factory=InvocationCounters)
    sent: list[Token] = field(default_factory=list)
    accepted: list[Token] = field(default_factory=list)

    async def deliver(self, client: Client, steps: int, now: asyncio.Event) -> None:
        """Enter fresh tokens until the meter is gone; after so many answers it is time."""
        for step in count():
            if step == steps:
                now.set()
            if step % 2:
                if (await client.status()).code == 3:
                    self.accepted.append(self.sent[-1])
            else:
                number = len(self.sent)
                self.sent.append(credit(CONFIG, units=1 + number, tid=6_000_000 + number))
                await client.enter(self.sent[-1])


@pytest.mark.parametrize("seed", range(3))
async def test_killed_in_the_middle_of_deliveries(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    path = tmp_path / f"{CONFIG.device_name}.ledger"
    client1, highest_received = Client1(), -1
    for _ in range(ROUNDS):
        async with running("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path), *KEYS) as meter:
            client = await meter.client(1, HLS, client1.counters)
            now = asyncio.Event()
            working = asyncio.create_task(client1.deliver(client, rng.randrange(8), now))
            await now.wait()
            # Not to wait for anything, but to be anywhere within the next question, its writes and its answer.
            await asyncio.sleep(rng.random() * 0.005)
            meter.process.kill()
            await meter.process.wait()
            with pytest.raises(ChannelError):
                await working
        ledger = read_ledger(path)
        for token in client1.sent:
            assert ledger.times_credited(token) <= 1
        for token in client1.accepted:
            assert ledger.times_credited(token) == 1, "it was answered: executed"
        assert ledger.counters.received >= highest_received
        # All but the last APDU were answered, so their counters are on the disk.
        assert client1.counters.next_own - 1 - ledger.counters.received <= 1
        highest_received = ledger.counters.received
    assert client1.accepted, "nothing was delivered: the test shows nothing"
    _check_a_restart(path, client1)


def _check_a_restart(path: Path, client1: Client1) -> None:
    """The meter's own words after the restart: every token once more, and each is credited exactly once in the end."""
    meter = SimMeter(CONFIG, FileLedger(path, CONFIG.ledger_identity))
    booked = [token for token in client1.sent if meter.ledger.times_credited(token)]
    assert meter.state.balance_units == meter.ledger.units_credited
    assert meter.state.balance_units == sum(1 + client1.sent.index(token) for token in booked)
    if meter.shown is not None:
        assert meter.shown.octets in {token.digits.encode() for token in client1.sent}
    for token in client1.sent[-40:]:  # the TID store knows the last fifty
        meter.enter(token.digits.encode())
        assert meter.ledger.times_credited(token) == 1
    meter.close()


async def test_the_meter_killed_between_received_and_done_has_never_seen_the_token(tmp_path: Path) -> None:
    token = credit(CONFIG)
    options = ("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path), *KEYS)
    counters = InvocationCounters()
    async with running(*options, "--status-delay", "3600") as meter:
        client = await meter.client(1, HLS, counters)
        assert await client.enter(token) == 0
        assert (await client.status()).code == 8
        meter.process.kill()
        await meter.process.wait()
    async with running(*options) as meter:
        client = await meter.client(1, HLS, counters)
        assert (await client.gateway(2)).octets == b""
        assert await client.balance() == 0
        assert await client.enter(token) == 0
        assert (await client.status()).code == 3
    ledger = read_ledger(tmp_path / f"{CONFIG.device_name}.ledger")
    assert ledger.times_credited(token) == 1


async def test_an_answer_never_leaves_before_its_record(tmp_path: Path) -> None:
    """Kill as soon as the answer to ``enter`` is there: the booking is too."""
    path = tmp_path / f"{CONFIG.device_name}.ledger"
    counters = InvocationCounters()
    for number in range(3):
        token = credit(CONFIG, tid=6_000_000 + number)
        async with running("--listen", "tcp://127.0.0.1:0", "--state-dir", str(tmp_path), *KEYS) as meter:
            client = await meter.client(1, HLS, counters)
            await client.channel.send(client.association.request(enter_request(token)))
            await client.channel.receive(20)
            meter.process.kill()
            await meter.process.wait()
        assert read_ledger(path).times_credited(token) == 1
        assert read_ledger(path).counters.received == counters.next_own - 1
