"""The bench: the meters of one case, simulated ones made for it and listening, real ones only named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from cosem_objects.axdr import Data
from cosem_objects.dlms.apdu import AttributeDescriptor, GetRequest, GetResponse
from cosem_objects.errors import SettingError
from cosem_objects.obis import ObisCode
from sim_meters.behaviour import Behaviour
from sim_meters.clock import Clock
from sim_meters.meter import SimMeter
from sim_meters.objects import answer
from sim_meters.scenario.client import MeterAccess
from sim_meters.scenario.meters import MeterPlan
from sim_meters.wire_faults import WireFaults
from transports.channel import Listener
from transports.endpoint import Endpoint
from transports.registry import listen
from transports.trace.trace import Trace


class SimulatedMeter:
    """A meter in this process, with a power switch and a plug in its wire."""

    def __init__(self, plan: MeterPlan, clock: Clock, seed: str, trace: Trace | None) -> None:
        self._plan = plan
        self._trace = trace
        self._listener: Listener | None = None
        self._wire = WireFaults()
        self._place = plan.endpoint
        self.endpoint = plan.endpoint
        """Whom a client calls: with the port that was really taken, from the first time on."""
        self.behaviour = Behaviour(plan.faults, seed)
        self.meter = SimMeter(plan.config, clock=clock, behaviour=self.behaviour, wire=self._wire)

    async def set_link(self, *, online: bool) -> None:
        """Plug the wire in, or pull it out. Raises ``EndpointError`` if it cannot listen."""
        if online and self._listener is None:
            self._listener = await listen(
                self._place,
                self.meter.serve,
                accept=self._plan.config.is_for_us,
                hdlc=self._plan.hdlc,
                wires=self._plan.wires,
                through=self._wire.filter,
                trace=self._trace,
            )
            self.endpoint = Endpoint.parse(self._listener.url)
            if self.endpoint.port:
                self._place = self.endpoint  # a wire that was pulled out comes back where it was
            self.meter.go_online()
        elif not online and self._listener is not None:
            self.meter.go_offline()
            listener, self._listener = self._listener, None
            await listener.close()

    async def get(self, class_id: int, obis: ObisCode, attribute: int) -> Data | int:
        """What the management client would read, without the wire and whatever goes wrong on it."""
        self.meter.catch_up()
        made = self.meter.association(self._plan.config.client_sap)
        assert made is not None, "the management client is known"
        said = answer(self.meter, made[1], GetRequest(AttributeDescriptor(class_id, obis, attribute)))
        assert isinstance(said, GetResponse)
        return said.result

    @property
    def sections_held(self) -> tuple[int, ...]:
        """Of a key-change set that is not complete."""
        return self.meter.state.machine.sections_held(self.meter.now())

    async def close(self) -> None:
        await self.set_link(online=False)
        self.meter.close()


class BenchMeter:
    """One meter of the case, whichever sort it is."""

    def __init__(self, plan: MeterPlan, simulated: SimulatedMeter | None, trace: Trace | None) -> None:
        self.plan = plan
        self._simulated = simulated
        # A simulated meter's trace is taken at its own end, where other clients are seen, too.
        self._trace = None if simulated is not None else trace

    @property
    def is_simulated(self) -> bool:
        return self._simulated is not None

    @property
    def simulated(self) -> SimulatedMeter:
        """Raises ``SettingError`` for a real one; the rules have refused such steps before."""
        if self._simulated is None:
            raise SettingError(f"meter {self.plan.name} is a real one")
        return self._simulated

    @property
    def endpoint(self) -> Endpoint:
        """Whom a client calls."""
        return self.plan.endpoint if self._simulated is None else self._simulated.endpoint

    @property
    def access(self) -> MeterAccess:
        plan = self.plan
        return MeterAccess(
            endpoint=self.endpoint,
            security=plan.security,
            profile=plan.profile,
            client_sap=plan.config.client_sap,
            server_sap=plan.config.server_sap,
            physical=plan.config.physical,
            hdlc=plan.client_hdlc,
            wires=plan.wires,
            trace=self._trace,
        )


class Bench:
    """``async with``: inside, the simulated meters listen. Raises ``EndpointError`` if one cannot."""

    def __init__(
        self,
        plans: Collection[MeterPlan],
        clock: Clock,
        seed: str,
        traces: Mapping[str, Trace],
    ) -> None:
        """``seed``: of what goes wrong; each meter makes its own of it."""
        self.clock = clock
        self.meters: dict[str, BenchMeter] = {}
        self._simulated: list[SimulatedMeter] = []
        self._opened = AsyncExitStack()
        for plan in plans:
            trace = traces.get(plan.name)
            simulated = SimulatedMeter(plan, clock, f"{seed}/{plan.name}", trace) if plan.is_simulated else None
            self._simulated += [] if simulated is None else [simulated]
            self.meters[plan.name] = BenchMeter(plan, simulated, trace)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            for simulated in self._simulated:
                opened.push_async_callback(simulated.close)
                await simulated.set_link(online=True)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()
