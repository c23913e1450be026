"""Orders for meters that call in: the engine with a real store, simulated meters on connections that they opened.

A meter's old connection is replaced at every step of a delivery. Whatever the order says in the end is held against
the meter's ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cosem_objects.dlms.settings import SecuritySettings
from gateway.calling_in.identify import sender_of
from gateway.consequence import RetryRules
from gateway.hints import HintOutcome, HintRules, PushHints, Sender
from gateway.orders import OrderState
from gateway.schedule import Backoff
from gateway.service import Service, ServiceOptions
from gateway.session import connect_through
from gateway.store.sqlite.store import SqliteStore
from gateway.verdict import Credited
from sim_meters.behaviour import Behaviour
from sim_meters.fault_order import FaultOrder
from sim_meters.faults import Fault, Phase
from sim_meters.meter import SimMeter
from sim_meters.meter_config import SIM_PROFILE, MeterConfig, lab_config
from tests.gateway.stores import open_vault
from tests.gateway.test_delivery import HLS, KEYS, credit, secured
from tests.gateway.test_service import HeadEnd, now
from tests.transports.inbound_wires import LOGIN, SECONDS, listen_somewhere, login
from transports.calling_in.called_in import CalledInMeters, InboundEvents, InboundSettings
from transports.calling_in.first_words import FirstWords
from transports.calling_in.listener import InboundListener
from transports.calling_in.meter import CallIn, CallingMeter, call_in, push_message
from transports.channel import ApduChannel, ChannelClosed
from transports.endpoint import Endpoint
from transports.link_pool import LinkPool

CONFIG = lab_config()
SECURED = secured(HLS)
TOKEN = credit(CONFIG)
TITLE = bytes.fromhex(KEYS["meter_system_title"])
HERE = f"inbound:{TITLE.hex().upper()}"
AN_HOUR = Backoff(first_seconds=3600, longest_seconds=3600)
WORDS = FirstWords(sender_of, LOGIN)


class Office(HeadEnd):
    """A head-end that meters can call."""

    def __init__(self, store: SqliteStore, service: Service) -> None:
        self.store = store
        self.service = service
        self.listener: InboundListener
        self.outcomes: list[HintOutcome] = []
        self._running = None

    async def has_called(self, times: int) -> None:
        await self._until(lambda: self.listener.counts["identified"] >= times)

    async def has_come_of_hints(self, outcome: HintOutcome) -> None:
        await self._until(lambda: self.outcomes[-1:] == [outcome])

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not is_so():  # noqa: ASYNC110 - counters ring no bell
                await asyncio.sleep(0.001)

    @asynccontextmanager
    async def called_by(self, meter: SimMeter, **how: Any) -> AsyncIterator[CallingMeter]:
        how = {"first": lambda: login(TITLE), "retry_seconds_min": 0.01, "retry_seconds_max": 0.05, **how}
        serve: Callable[[ApduChannel], Any] = how.pop("serve", meter.serve)
        async with call_in(Endpoint.parse(self.listener.url), serve, CallIn(**how)) as calling:
            yield calling


@asynccontextmanager
async def office(
    folder: Path, *, speaks_hdlc: bool = False, backoff: Backoff = AN_HOUR, **rules: Any
) -> AsyncIterator[Office]:
    store = await SqliteStore.open(folder, open_vault(), now)
    called_in = CalledInMeters()
    pool = LinkPool(called_in=called_in.shared_link)
    options = ServiceOptions(rules=RetryRules(backoff=backoff, doubt_backoff=backoff))
    place = Office(store, Service(store, options, now=now, rng=Random(1), connect=connect_through(pool)))
    hints = PushHints(
        store.meters,
        HintRules(**{"presence_interval_seconds": 0.01, **rules}),
        on_outcome=place.outcomes.append,
    )
    events = InboundEvents(
        on_called_in=lambda title: hints.present(Sender(HERE, title)),
        on_push=lambda title, apdu: hints.pushed(Sender(HERE, title), apdu),
    )
    settings = InboundSettings(words=replace(WORDS, speaks_hdlc=speaks_hdlc))
    hearing = asyncio.create_task(hints.run())
    async with await listen_somewhere(settings, events, meters=called_in) as place.listener:
        try:
            yield place
            await place.stop()
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            await pool.close()
            await store.close()


@pytest.mark.parametrize("speaks_hdlc", [False, True], ids=["wrapper", "hdlc"])
@pytest.mark.parametrize("config", [CONFIG, SECURED], ids=["none", "hls-gmac"])
async def test_an_order_waits_for_its_meter_and_is_delivered_as_soon_as_it_calls(
    tmp_path: Path, config: MeterConfig, speaks_hdlc: bool
) -> None:
    meter = SimMeter(config)
    async with office(tmp_path, speaks_hdlc=speaks_hdlc) as place:
        await place.know(HERE, security=KEYS if config is SECURED else {})
        await place.order("early", TOKEN)
        await place.start()
        waiting = await place.until("early", OrderState.WAITING)
        assert (waiting.tokens[0].reason, waiting.tokens[0].credited) == ("offline", Credited.NO)
        async with place.called_by(meter, speaks_hdlc=speaks_hdlc):
            order = await place.until("early")
        assert (order.state, order.tokens[0].credited) == (OrderState.ACCEPTED, Credited.YES)
        assert meter.ledger.times_credited(TOKEN) == 1
    meter.close()


async def test_a_meter_whose_first_message_is_a_ciphered_push_needs_no_login(tmp_path: Path) -> None:
    meter = SimMeter(SECURED)
    async with office(tmp_path) as place:
        await place.know(HERE, security=KEYS)
        await place.order("o", TOKEN)
        await place.start()
        await place.until("o", OrderState.WAITING)
        async with place.called_by(meter, first=lambda: push_message(meter.message())):
            assert (await place.until("o")).state is OrderState.ACCEPTED
    meter.close()


@pytest.mark.parametrize(("ek", "is_believed"), [(KEYS["ek"], True), ("00" * 16, False)], ids=["authentic", "forged"])
async def test_a_push_about_a_token_in_doubt_has_it_read_at_once_unless_it_is_forged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ek: str, is_believed: bool
) -> None:
    """The meter hangs up in the middle of ``enter``; without a hint the next look at it is due in an hour."""
    monkeypatch.setattr("gateway.rounds.doubt_wait", lambda _rounds, _profile: 0.0)
    meter = SimMeter(SECURED, behaviour=Behaviour([FaultOrder(Fault.HANG_UP_AFTER_ENTER, 1)]))
    stranger = SimMeter(secured(SecuritySettings.parse({**KEYS, "ek": ek})))
    stranger.counters.jump_to(1_000, 1_000)
    async with office(tmp_path, presence_interval_seconds=3600) as place:
        await place.know(HERE, security=KEYS)
        # It calls again only after it was looked for once, in vain.
        async with place.called_by(meter, retry_seconds_min=0.3, retry_seconds_max=0.3) as calling:
            await place.listener.meters.wait(TITLE, SECONDS)
            await place.order("o", TOKEN)
            await place.start()
            await place.until("o", OrderState.IN_DOUBT)
            await place.has_called(2)
            await calling.wait_connected(SECONDS)
            calling.say(push_message(stranger.message()))
            async with asyncio.timeout(SECONDS):
                await place.has_come_of_hints(HintOutcome.WOKEN if is_believed else HintOutcome.FORGED)
            if is_believed:
                order = await place.until("o")
                assert (order.state, order.tokens[0].credited) == (OrderState.ACCEPTED, Credited.YES)
            else:
                order = await place.until("o", OrderState.IN_DOUBT)
                assert order.due_at is not None
                assert order.due_at - now() > timedelta(minutes=20)
        assert meter.ledger.times_credited(TOKEN) == 1
    for each in (meter, stranger):
        each.close()


class Replaced(ApduChannel):
    """A meter's conversation in which the meter calls in anew, once, at its n-th exchange: before the request is looked
    at, or before its answer is sent."""

    def __init__(self, inner: ApduChannel, when: Moment) -> None:
        self.address = inner.address
        self._inner = inner
        self._when = when

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        apdu = await self._inner.receive(timeout_seconds)
        await self._when.comes("request")
        return apdu

    async def send(self, apdu: bytes) -> None:
        await self._when.comes("answer")
        await self._inner.send(apdu)

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()


@dataclass
class Moment:
    """When the meter calls in anew."""

    name: str
    left: int
    call_anew: Callable[[], Awaitable[None]]
    has_come: bool = False

    async def comes(self, name: str) -> None:
        if self.has_come or name != self.name:
            return
        self.left -= 1
        if self.left < 0:
            self.has_come = True
            await self.call_anew()
            raise ChannelClosed("the meter has another connection now")


@pytest.mark.parametrize("name", ["request", "answer"])
@pytest.mark.parametrize("config", [CONFIG, SECURED], ids=["none", "hls-gmac"])
async def test_a_connection_that_is_replaced_at_any_step_costs_no_truth_and_no_money(
    tmp_path: Path, config: MeterConfig, name: str
) -> None:
    step, moment = 0, None
    while moment is None or moment.has_come:
        folder = tmp_path / str(step)
        folder.mkdir()
        moment = await replaced_at(folder, config, name, step)
        step += 1
    assert step > 5, "association, two readings, enter, reading back, release"


async def replaced_at(folder: Path, config: MeterConfig, name: str, step: int) -> Moment:
    """One delivery, in which the meter calls in anew at this step."""
    meter = SimMeter(config)
    async with office(folder) as place, AsyncExitStack() as calls:

        async def call_anew() -> None:
            await calls.enter_async_context(place.called_by(meter))
            await place.has_called(2)

        moment = Moment(name, step, call_anew)
        await place.know(HERE, security=KEYS if config is SECURED else {})
        await calls.enter_async_context(
            place.called_by(meter, serve=lambda channel: meter.serve(Replaced(channel, moment)), retry_seconds_min=60)
        )
        await place.listener.meters.wait(TITLE, SECONDS)
        await place.order("o", TOKEN)
        await place.start()
        order = await place.until("o")
        (token,) = order.tokens
        assert (order.state, token.credited) == (OrderState.ACCEPTED, Credited.YES), (step, name)
        assert meter.ledger.times_credited(TOKEN) == 1
        await place.stop()
    meter.close()
    return moment


SILENCES = {
    "the answer to enter never comes": FaultOrder(Fault.DROP_ANSWER_AFTER_ENTER, 1),
    "it comes when the next association is asked for": FaultOrder(Fault.DELAY, 1, phase=Phase.ENTER, value=1.0),
    "so does what was read back": FaultOrder(Fault.DELAY, 1, phase=Phase.READBACK, value=1.0),
    "so does the association itself": FaultOrder(Fault.DELAY, 1, phase=Phase.ASSOCIATION, value=1.0),
}


@pytest.mark.parametrize("config", [CONFIG, SECURED], ids=["none", "hls-gmac"])
@pytest.mark.parametrize("silence", SILENCES.values(), ids=SILENCES)
async def test_a_meter_that_falls_silent_is_spoken_to_anew_on_the_same_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silence: FaultOrder, config: MeterConfig
) -> None:
    """Nothing tells the meter that we gave up, but the next AARQ."""
    impatient = replace(SIM_PROFILE, response_timeout_seconds=0.5)
    monkeypatch.setattr("gateway.meter_body.load_named_profile", lambda _name: impatient)
    meter = SimMeter(config, behaviour=Behaviour([silence]))
    async with office(tmp_path, backoff=Backoff(first_seconds=0.5, longest_seconds=0.5)) as place:
        await place.know(HERE, security=KEYS if config is SECURED else {})
        async with place.called_by(meter):
            await place.listener.meters.wait(TITLE, SECONDS)
            await place.order("o", TOKEN)
            await place.start()
            order = await place.until("o")
        assert (order.state, order.tokens[0].credited) == (OrderState.ACCEPTED, Credited.YES)
        assert place.listener.counts == {"identified": 1}
        assert meter.ledger.times_credited(TOKEN) == 1
    meter.close()
