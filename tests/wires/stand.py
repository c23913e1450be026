"""A meter at one end of a wire and a head-end's way to it at the other, and what can be done to the wire between."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cosem_objects.dlms.apdu import ActionResult
from cosem_objects.dlms.settings import SecuritySettings
from cosem_objects.sts_token import Token
from gateway.meters import Meter
from gateway.session import connect_through
from sim_meters.meter import SimMeter
from sim_meters.meter_config import MeterConfig, lab_config
from tests.gateway.test_delivery import HLS, QUICK, secured
from tests.wires.point import MetersEnd, Point, Watch
from tests.wires.tap import Carried
from transports.channel import ApduChannel, Link
from transports.endpoint import Endpoint
from transports.hdlc.connection import HdlcSettings
from transports.link_pool import LinkPool
from transports.wire_settings import WIRE_DEFAULTS, WireSettings

IMPATIENT = replace(QUICK, response_timeout_seconds=0.4)
HDLC = HdlcSettings(response_timeout_seconds=0.2, retries=1)
PHYSICAL = 17


class ForgetfulMeter(SimMeter):
    """Credits a token as often as it is entered: nothing but the head-end's care, and the wire's, keeps it from doing
    so twice."""

    def __init__(self, config: MeterConfig) -> None:
        super().__init__(config)
        self.enters = 0

    def enter(self, octets: bytes) -> ActionResult:
        self.enters += 1
        self.state = replace(self.state, machine=self.config.new_machine())
        return super().enter(octets)


class Stand:
    """A meter, and how a head-end comes to it. Each wire has a class of its own."""

    endpoint: Endpoint
    connect: Callable[..., Awaitable[Link]]
    carried: Carried
    speaks_hdlc = False
    """Where the endpoint does not say it."""

    def __init__(self, watch: Watch, security: SecuritySettings = HLS) -> None:
        self.watch = watch
        self.meter = ForgetfulMeter(secured(security))
        self.physical = PHYSICAL
        self.neighbour: Stand | None = None
        """A meter on the same link."""

    @property
    def known(self) -> Meter:
        """The meter as the head-end knows it."""
        physical = self.physical if self.speaks_hdlc or self.endpoint.speaks_hdlc else None
        security = self.meter.config.security
        return Meter(endpoint=self.endpoint, profile=IMPATIENT, security=security, hdlc=HDLC, physical=physical)

    async def serve(self, channel: ApduChannel) -> None:
        """What the meter's listener calls."""
        one = self
        if self.neighbour is not None and channel.address.physical == self.neighbour.physical != self.physical:
            one = self.neighbour
        await one.meter.serve(MetersEnd(channel, one.watch))

    def times_credited(self, token: Token) -> int:
        return self.meter.ledger.times_credited(token)


class Neighbour(Stand):
    """A meter on the same link as another one: with an HDLC address of its own, or a name of its own on the broker."""

    def __init__(self, beside: Stand) -> None:
        super().__init__(Watch())
        other = lab_config(1)
        security = replace(HLS, meter_system_title=other.security.meter_system_title)
        self.meter = ForgetfulMeter(replace(other, security=security))
        self.physical = PHYSICAL + 1
        self.endpoint = beside.endpoint
        self.connect = beside.connect
        self.speaks_hdlc = beside.speaks_hdlc
        beside.neighbour = self


@asynccontextmanager
async def pooled(stand: Stand, wires: WireSettings = WIRE_DEFAULTS, **options: Any) -> AsyncIterator[None]:
    """While this lasts, the stand's ``connect`` takes its links from a pool."""
    pool = LinkPool(wires, **options)
    stand.connect = connect_through(pool)
    try:
        yield
    finally:
        await pool.close()


Wire = Callable[[Watch, Path], AbstractAsyncContextManager[Any]]
"""Sets up a stand; the path is its own, and nothing is there yet."""


@dataclass(frozen=True)
class Strike:
    """One way to break a wire."""

    name: str
    hit: Callable[[Any], Awaitable[None]]
    heal: Callable[[Any], Awaitable[None]] | None = None
    errors_before_heal: int = 1
    heals_before_enter: bool = False
    loses: bool = True
    """The last three as in ``Watch``."""

    def watch(self, point: Point) -> Watch:
        """For one delivery."""
        return Watch(
            point,
            errors_before_heal=self.errors_before_heal,
            heals_before_enter=self.heals_before_enter,
            loses=self.loses,
        )

    def aim(self, watch: Watch, stand: Stand) -> None:
        """From now on the watch strikes this stand."""
        watch.hit = partial(self.hit, stand)
        if self.heal is not None:
            watch.heal = partial(self.heal, stand)
