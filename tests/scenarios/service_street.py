"""The meters of a service's town, and the wires to them: both outlive the head-end, and report to the checker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from random import Random

from cosem_objects.dlms.apdu import ActionResult
from gateway.meters import Meter
from sim_meters.behaviour import Behaviour
from sim_meters.clock import SystemClock
from sim_meters.ledger import Ledger
from sim_meters.meter import SimMeter
from sim_meters.sts.results import TokenResult
from tests.scenarios.killable import Ending, Port, Process, in_the_world
from tests.scenarios.service_checker import Checker
from tests.scenarios.service_plan import MeterPlan, Plan, moment
from transports.calling import CONNECT_TIMEOUT_SECONDS
from transports.channel import Address, ApduChannel, Link, NotSentError
from transports.conversations import Conversations
from transports.faults import NO_FAULTS, FaultyStream
from transports.framing import HDLC, WRAPPER
from transports.hdlc.connection import HdlcSettings
from transports.memory_stream import stream_pair

_LATENCY_SECONDS = 0.02
_INACTIVITY_SECONDS = 120.0


class House:
    """One meter with its ledger, which outlives its reboots, and the wires that lead to it now."""

    def __init__(self, plan: MeterPlan, rng: Random, checker: Checker) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self.wires: list[_Wire] = []
        self._rng = rng
        self._checker = checker
        self._behaviour = Behaviour(plan.habits, rng.getrandbits(64))
        self._loop = asyncio.get_running_loop()
        self.meter = self._boot()

    @property
    def is_away(self) -> bool:
        now = self._loop.time()
        return any(start <= now < end for start, end in self.plan.away)

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way to it, and nothing in work in it."""
        return not self.wires and self.meter.pending is None

    async def reboot(self) -> None:
        """What it had not booked is forgotten."""
        await self.close()
        self.meter = self._boot()

    async def close(self) -> None:
        for wire in tuple(self.wires):
            await wire.close()
        self.meter.close()

    async def live(self, busy_seconds: float) -> None:
        """Its reboots, its outages, and what its customer types; then it behaves."""
        happenings: list[tuple[float, Callable[[], object]]] = [
            *((at, self.reboot) for at in self.plan.reboots),
            *((at, lambda token=token: self._key_in(token)) for at, token in self.plan.keyed_in),
            *((start, self.close) for start, _ in self.plan.away),
            (busy_seconds, self._behave),
        ]
        for at, happen in sorted(happenings, key=lambda item: item[0]):
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            result = happen()
            if asyncio.iscoroutine(result):
                await result

    def _behave(self) -> None:
        self.meter.behaviour = self._behaviour = Behaviour()

    def _key_in(self, token: object) -> None:
        result = self.meter.key_in(token)  # type: ignore[arg-type]
        self._checker.keyed_in(self.plan.id, token, is_accepted=result is TokenResult.ACCEPT)  # type: ignore[arg-type]

    def _boot(self) -> SimMeter:
        return _WatchedMeter(self, self._checker, self.plan, self._rng, self._behaviour, self._now)

    def _now(self) -> datetime:
        return moment(self._loop.time())


class _WatchedMeter(SimMeter):
    """Tells the checker what a client enters."""

    def __init__(
        self,
        house: House,
        checker: Checker,
        plan: MeterPlan,
        rng: Random,
        behaviour: Behaviour,
        now: Callable[[], datetime],
    ) -> None:
        challenge = Random(rng.getrandbits(64))
        super().__init__(
            plan.config,
            house.ledger,
            clock=SystemClock(now),
            new_challenge=lambda: challenge.randbytes(16),
            behaviour=behaviour,
        )
        self._checker = checker

    def enter(self, octets: bytes) -> ActionResult:
        result = super().enter(octets)
        self._checker.entered(self.config.device_name, octets, result)
        return result


class _Wire:
    """One connection as the meter sees it."""

    def __init__(self, house: House, server: Link, conversations: Conversations) -> None:
        self._house = house
        self._server = server
        self._conversations = conversations
        house.wires.append(self)

    async def close(self) -> None:
        if self in self._house.wires:
            self._house.wires.remove(self)
            await self._server.close()
            await self._conversations.close()

    async def end(self, faulty: FaultyStream, ending: Ending) -> None:
        """The head-end let go of it. Nobody tells a meter of a silent end: it waits, and then it is tired of it."""
        if ending is Ending.SILENT:
            await asyncio.sleep(_INACTIVITY_SECONDS)
        await faulty.close()
        await asyncio.sleep(_LATENCY_SECONDS)
        await self.close()


class Street:
    """Makes a new wire for every connection, with faults as long as the town is not healed."""

    def __init__(self, plan: Plan, checker: Checker, rng: Random) -> None:
        self._plan = plan
        self._checker = checker
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self.houses = {meter.id: House(meter, Random(rng.getrandbits(64)), checker) for meter in plan.meters}
        self._closing: set[asyncio.Task[None]] = set()

    async def connect(self, process: Process, meter: Meter) -> Link:
        """What the head-end calls. Raises ``NotSentError``."""
        house = self._house(meter)
        end = self._checker.connecting(process, house.plan)
        try:
            link = await self._connect(process, house, meter, end)
        except BaseException:
            end()
            raise
        return link

    async def _connect(self, process: Process, house: House, meter: Meter, end: Callable[[], None]) -> Link:
        await asyncio.sleep(_LATENCY_SECONDS)
        if house.is_away:
            await asyncio.sleep(self._rng.choice((0.0, CONNECT_TIMEOUT_SECONDS)))
            raise NotSentError("nobody is there")
        return in_the_world(self._wire, process, house, meter.hdlc, end)

    def _wire(self, process: Process, house: House, hdlc: HdlcSettings, end: Callable[[], None]) -> Link:
        transport = WRAPPER if house.plan.scheme == "tcp" else HDLC
        is_healed = self._loop.time() >= self._plan.busy_seconds
        faults = NO_FAULTS if is_healed else house.plan.faults
        ours, theirs = stream_pair()
        faulty = FaultyStream(ours, faults, Random(self._rng.getrandbits(64)), incoming=faults)
        conversations = Conversations(house.meter.serve, house.meter.config.is_for_us)
        wire = _Wire(house, transport.server(theirs, conversations, hdlc), conversations)
        ending = Ending.DRAINED if is_healed else self._rng.choice(self._plan.endings)

        def ended(ending: Ending) -> None:
            end()
            task = self._loop.create_task(wire.end(faulty, ending))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        port = Port(faulty, process, ending, ended)
        return process.run(lambda: _WatchedLink(transport.client(port, hdlc), house, self._checker))

    def _house(self, meter: Meter) -> House:
        for house in self.houses.values():
            body = house.plan.record.settings
            if body["endpoint"] == str(meter.endpoint) and body.get("physical") == meter.physical:
                return house
        raise NotSentError(f"{meter.endpoint} leads nowhere")

    async def close(self) -> None:
        for house in self.houses.values():
            await house.close()
        if self._closing:
            await asyncio.wait(self._closing)


class _WatchedLink(Link):
    """Tells the checker of each APDU that the head-end sends."""

    def __init__(self, inner: Link, house: House, checker: Checker) -> None:
        self._inner = inner
        self._house = house
        self._checker = checker

    def channel(self, client_sap: int = 1, server_sap: int = 1, physical: int | None = None) -> ApduChannel:
        channel = self._inner.channel(client_sap, server_sap, physical)
        return _WatchedChannel(channel, self._house, self._checker)

    async def close(self) -> None:
        await self._inner.close()


class _WatchedChannel(ApduChannel):
    def __init__(self, inner: ApduChannel, house: House, checker: Checker) -> None:
        self._inner = inner
        self._house = house
        self._checker = checker

    @property
    def address(self) -> Address:  # type: ignore[override]
        return self._inner.address

    @property
    def repeats(self) -> int:
        return self._inner.repeats

    async def open(self, timeout_seconds: float) -> None:
        await self._inner.open(timeout_seconds)

    async def send(self, apdu: bytes) -> None:
        self._checker.sent(self._house.plan, apdu)
        await self._inner.send(apdu)

    async def receive(self, timeout_seconds: float | None) -> bytes:
        return await self._inner.receive(timeout_seconds)

    async def close(self) -> None:
        await self._inner.close()

    def hang_up(self) -> None:
        self._inner.hang_up()
