"""The plug is pulled at every step of a delivery over a real line, once each: the ledger says what is true."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.profile import MeterProfile
from cosem_objects.token_gateway import DataValueMap
from gateway.delivery import Delivery
from gateway.events import Event
from gateway.meters import Meter
from gateway.session import connect_through
from gateway.verdict import Credited, Outcome
from sim_meters.meter import SimMeter
from sim_meters.meter_config import lab_config
from sim_meters.sts.tokens.clear_token import encode_credit
from tests.scenarios.town import KEYS, KWH
from transports.endpoint import Endpoint
from transports.link_pool import LinkPool
from transports.registry import listen
from transports.stream import ByteStream, OnBytes, OnClosed, PassingStream

PROFILE = MeterProfile(data_value_map=DataValueMap.ONEHOT16, poll_first_seconds=0.01)
SECURITY = SecuritySettings.parse(KEYS)
STEPS_MAX = 100


class Plug:
    """Between the line and its meter; pulled once, before the ``step``-th frame in either direction."""

    def __init__(self, step: int) -> None:
        self._left = step
        self.is_pulled = False

    def between(self, stream: ByteStream) -> ByteStream:
        return _Plugged(stream, self)

    def holds(self) -> bool:
        self._left -= 1
        self.is_pulled |= self._left == 0
        return self._left != 0


class _Plugged(PassingStream):
    def __init__(self, inner: ByteStream, plug: Plug) -> None:
        super().__init__(inner)
        self._plug = plug

    def start(self, on_bytes: OnBytes, on_closed: OnClosed) -> None:
        def arrived(data: bytes) -> None:
            if self._plug.holds():
                on_bytes(data)
            else:
                self._inner.hang_up()

        self._inner.start(arrived, on_closed)

    def write(self, data: bytes) -> None:
        if self._plug.holds():
            self._inner.write(data)
        else:
            self._inner.hang_up()


async def _forget(_event: Event) -> None:
    """Only the verdict counts here."""


async def deliver(path: Path, step: int) -> tuple[Outcome, bool]:
    """One delivery with the plug pulled at this step, checked against the ledger; and whether it came that far."""
    config = replace(lab_config(), profile=PROFILE, security=SECURITY)
    token = encode_credit(config.decoder_key, KWH, 100, tid=6_000_000, rnd=5)
    sim, pool, plug = SimMeter(config), LinkPool(), Plug(step)
    try:
        endpoint = Endpoint("pty", path=str(path))
        async with await listen(endpoint, sim.serve, accept=config.is_for_us, through=plug.between) as listener:
            meter = Meter(endpoint=Endpoint.parse(listener.url), profile=PROFILE, security=SECURITY)
            (judged,) = await Delivery(meter, _forget, connect=connect_through(pool)).run([token])
            await pool.close()
    finally:
        sim.close()
    times, verdict = sim.ledger.times_credited(token), judged.verdict
    assert times <= 1
    assert verdict.credited is Credited.UNKNOWN or (verdict.credited is Credited.YES) == (times == 1), step
    return verdict.outcome, plug.is_pulled


async def test_whenever_the_plug_is_pulled_nothing_is_credited_twice_and_the_verdict_is_true(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    for step in range(1, STEPS_MAX):
        outcome, is_pulled = await asyncio.wait_for(deliver(tmp_path / "line", step), 30)
        if not is_pulled:
            assert outcome is Outcome.ACCEPTED
            break
        outcomes.append(outcome)
    assert len(outcomes) > 25  # SNRM, AARQ, GET, RLRQ, DISC and their answers, twice over
    # Before the token leaves it is unreached; afterwards it is read back over a new line, and found.
    assert set(outcomes) == {Outcome.UNREACHED, Outcome.ACCEPTED}
    assert set(outcomes[-6:]) == {Outcome.ACCEPTED}
